import { expect, test } from 'vitest';
import { formatSafekeeper, measureSafekeeper } from './safekeeper.ts';

test('a quick run measures a little of everything, and prints it', { timeout: 120_000 }, async () => {
  const options = { pgBin: undefined, seconds: 0.2, repeats: 1, isQuick: true, only: '' };
  const parts: string[] = [];
  const result = await measureSafekeeper(options, (text) => void parts.push(text));
  expect(parts.filter((text) => text.startsWith('safekeeper: '))).toEqual([
    'safekeeper: appends',
    'safekeeper: idle',
    'safekeeper: commits',
  ]);
  for (const { bytes, megabytesPerS, plainMegabytesPerS, syncsPerMegabyte } of result.appends ?? []) {
    expect(bytes).toBeGreaterThanOrEqual(16 * 1024 * 1024);
    expect(megabytesPerS.median).toBeGreaterThan(0);
    expect(plainMegabytesPerS.median).toBeGreaterThan(0);
    expect(syncsPerMegabyte).toBeGreaterThan(0);
  }
  expect(result.appends).toHaveLength(4);
  expect(result.idle?.stages.map(({ name }) => name)).toEqual([
    'after a start',
    'all in memory',
    'used, and let go of',
  ]);
  const through = result.commits?.results.filter(({ syncsPerCommit }) => syncsPerCommit !== undefined) ?? [];
  expect(through.map(({ clients }) => clients)).toEqual([1, 16]);
  for (const { p50Us, p99Us, syncsPerCommit, cpuUsPerCommit } of through) {
    expect(p99Us).toBeGreaterThanOrEqual(p50Us);
    // One sync serves at least one commit, but for those that segments and heartbeats ask for.
    expect(syncsPerCommit).toBeGreaterThan(0);
    expect(syncsPerCommit).toBeLessThan(1.5);
    expect(cpuUsPerCommit).toBeGreaterThan(0);
  }
  const text = formatSafekeeper(result);
  expect(text).toContain('8 KiB records, a process of its own');
  expect(text).toContain('100 timelines');
  expect(text).toContain('3 safekeepers, no sync, one process');
  expect(text).toContain('skipped: ');
});
