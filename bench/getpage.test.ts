import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Latencies } from './getpage/latencies.ts';
import { formatGetpage, measureGetpage } from './getpage.ts';

test('PS-20: a quick run asks the page service for pages without a server, and says how long each took', {
  timeout: 300_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  try {
    const parts: string[] = [];
    const options = { recordings: directory, segmentSizeMiB: 16, seconds: 0.1, repeats: 1, busySeconds: 1 };
    const result = await measureGetpage({ ...options, isQuick: true, only: '' }, (text) => {
      parts.push(text);
    });
    expect(parts).toEqual(['hot', 'redo', 'cold', 'ingest', 'idle'].map((name) => `getpage: ${name}`));
    const depths = (name: string): number[] =>
      result.rates.filter((rate) => rate.name === name && rate.connections === 1).map(({ depth }) => depth);
    expect([depths('hot'), depths('cold')]).toEqual([
      [1, 16, 64],
      [1, 16, 64],
    ]);
    for (const { load, bare, pagesPerS, loopCpuUs } of result.rates) {
      expect(pagesPerS.median).toBeGreaterThan(0);
      expect(loopCpuUs).toBeGreaterThan(0);
      expect(bare.pagesPerS.median).toBeGreaterThan(0);
      expect(load.p50Us).toBeGreaterThan(0);
      const times = [load.p50Us, load.p95Us, load.p99Us, load.p999Us];
      expect(times).toEqual(times.toSorted((left, right) => left - right));
    }
    const redo = result.rates.find(({ name }) => name === 'redo of ten records');
    expect(redo?.valuesPerPage).toBeGreaterThan(8);
    expect(result.busy.map(({ ingestMegabytesPerS }) => ingestMegabytesPerS > 0)).toEqual([true, true]);
    expect(result.memory.map(({ added }) => added)).toEqual([0, 100, 50]);
    const text = formatGetpage(result);
    for (const name of ['redo of ten records', 'while WAL is taken in', '100 idle timelines more', 'p99.9']) {
      expect(text).toContain(name);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('percentiles are those of a sorted list, but for the width of a bucket', () => {
  const latencies = new Latencies();
  const durationsMs = Array.from({ length: 20_000 }, (_, index) => 0.004 * 1.0006 ** index);
  for (const duration of durationsMs) latencies.add(duration);
  const percentiles = latencies.percentiles();
  for (const [part, foundUs] of [
    [0.5, percentiles.p50Us],
    [0.95, percentiles.p95Us],
    [0.99, percentiles.p99Us],
    [0.999, percentiles.p999Us],
  ] as const) {
    const exactUs = (durationsMs[Math.floor(part * durationsMs.length)] as number) * 1000;
    expect(Math.abs(foundUs / exactUs - 1)).toBeLessThan(0.03);
  }
  expect(percentiles.maxUs).toBe(Math.max(...durationsMs) * 1000);
});
