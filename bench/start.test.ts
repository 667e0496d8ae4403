import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatStart, measureStart, shapesOf } from './start.ts';

test('a quick run starts computes on each cluster in each way, beside a plain start, on storage that is kept', {
  timeout: 300_000,
}, async () => {
  const keep = await mkdtemp(join(tmpdir(), 'varve-bench-keep-'));
  try {
    const shapes = shapesOf(1 / 256, [20]);
    const parts: string[] = [];
    const options = { shapes, repeats: 1, warmUps: 0, keep, pgBin: undefined };
    const result = await measureStart(options, (text) => void parts.push(text));
    const { rows, residentBytes } = result;
    expect(parts).toEqual([
      'start: making 10 MB',
      'start: making 4 MB, filled',
      'start: making 20 relations',
      'start: measuring',
    ]);
    expect(rows.map(({ name }) => name)).toEqual([
      'plain',
      ...shapes.flatMap(({ name }) => [`${name}, warm agent`, `${name}, new process`]),
    ]);
    for (const { p50Ms, p99Ms, ratio, steps } of rows) {
      expect(p99Ms).toBeGreaterThanOrEqual(p50Ms);
      expect(ratio).toBeGreaterThan(0);
      expect(steps['query']).toBeGreaterThan(0);
      const { started = 0, server = 0, connect = 0, query = 0 } = steps;
      expect(Math.max(started, server) + connect + query).toBeLessThanOrEqual(p50Ms + 0.01);
    }
    expect(Object.keys(rows[1]?.steps ?? {})).toContain('elect');
    for (const bytes of Object.values(residentBytes)) expect(bytes).toBeGreaterThan(0);
    const text = formatStart(result);
    expect(text).toContain('20 relations, warm agent');
    expect(text).toContain('start set');
    expect(await readdir(keep)).toContain('20-relations.prepared');
  } finally {
    await rm(keep, { recursive: true, force: true });
  }
});
