import { expect, test } from 'vitest';
import { formatLoad, measureLoad } from './load.ts';

test('a quick run reads and loads a compute beside stock servers', { timeout: 300_000 }, async () => {
  const parts: string[] = [];
  const sizes = { scale: 1, scannedBytes: 2_000_000, pages: 60, clients: [2] };
  const options = { ...sizes, seconds: 0.2, repeats: 1, only: '', keep: undefined, pgBin: undefined };
  const result = await measureLoad(options, (text) => void parts.push(text));
  expect(parts).toEqual(['load: making tables', 'load: reads', 'load: select', 'load: tpcb']);
  const [stock, near, far] = result.reads;
  expect(result.reads.map(({ name }) => name)).toEqual([
    'stock, from the page cache',
    'compute',
    'compute, pageserver 0.5 ms further',
    'the way alone, no page',
  ]);
  for (const { pageP50Us, pageP99Us, scan } of result.reads) {
    expect(pageP50Us).toBeGreaterThan(0);
    expect(pageP99Us).toBeGreaterThanOrEqual(pageP50Us);
    if (scan !== undefined) expect(scan.megabytesPerS.median).toBeGreaterThan(0);
  }
  expect(result.reads.filter(({ scan }) => scan !== undefined)).toHaveLength(3);
  // Each page comes through the shim, and through the way that takes longer.
  expect(near?.pageP50Us).toBeGreaterThan(stock?.pageP50Us as number);
  expect(far?.pageP50Us).toBeGreaterThan(500);
  expect(result.selects.map(({ name }) => name)).toEqual(['stock', 'compute']);
  expect(result.tpcb.map(({ name }) => name)).toEqual([
    'stock, standby',
    'stock, standby, full_page_writes off',
    'stock alone',
    'compute, 3 safekeepers',
  ]);
  for (const { transactionsPerS, p50Us, p99Us, ratio } of [...result.selects, ...result.tpcb]) {
    expect(transactionsPerS.median).toBeGreaterThan(0);
    expect(p99Us).toBeGreaterThanOrEqual(p50Us);
    expect(ratio).toBeGreaterThan(0);
  }
  const text = formatLoad(result);
  expect(text).toContain('select by key, warm');
  expect(text).toContain('like TPC-B');
});
