import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatEngine, measureEngine } from './engine.ts';
import { formatIngest, measureIngest } from './ingest.ts';
import { Recording } from './support/recording.ts';
import { QUICK_PGBENCH } from './support/workloads.ts';

test('a quick run of ingest and engine measures a little of everything, and prints it', {
  timeout: 180_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  try {
    const recording = await Recording.open(QUICK_PGBENCH, directory, {
      pgBin: undefined,
      segmentSizeMiB: 16,
    });
    const ingest = await measureIngest(recording, { repeats: 1, pgBin: undefined });
    expect(ingest.take.bytes).toBe(recording.endLsn - recording.startLsn);
    expect(ingest.take.values).toBeGreaterThan(1000);
    expect(ingest.take.indexBytesPerValue).toBeLessThanOrEqual(24);
    expect(ingest.take.layerBytes).toBeGreaterThan(0);
    expect(ingest.receive.bytes).toBe(ingest.take.bytes);
    expect(ingest.busy.bytes).toBe(ingest.take.bytes);
    for (const { loopMs } of [ingest.take, ingest.receive]) expect(loopMs.median).toBeGreaterThan(0);
    expect(formatIngest([ingest])).toContain('pgbench-quick');

    const parts: string[] = [];
    const options = { seconds: 0.05, repeats: 1, only: '', layers: 1000, branches: 20 };
    const engine = await measureEngine(recording, options, (text) => void parts.push(text));
    expect(parts).toEqual(
      ['warm', 'layers', 'cold', 'branches', 'creations', 'cost'].map((name) => `engine: ${name}`),
    );
    for (const { pages, loopUs, allUs } of engine.reads) {
      expect(pages).toBeGreaterThan(0);
      expect(loopUs.median).toBeGreaterThan(0);
      expect(allUs).toBeGreaterThan(0);
    }
    expect(engine.reads.filter(({ name }) => name.endsWith('redo')).map(({ name }) => name)).toEqual([
      'open layer: redo',
      'layer files: redo',
      'cold, portable: redo',
      'cold, direct: redo',
    ]);
    expect(engine.branches.map(({ present }) => present)).toEqual([1, 21, 41, 5]);
    expect(engine.cost?.walBytes).toBe(ingest.take.bytes);
    expect(engine.cost?.storedBytes).toBeGreaterThan(0);
    const text = formatEngine(engine);
    for (const name of [
      'hot page',
      'image, 1001 layers',
      'among many',
      'new cluster',
      'written per byte of WAL',
    ]) {
      expect(text).toContain(name);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
