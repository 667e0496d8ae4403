import { expect, test } from 'vitest';
import { runPageOracle } from './page-oracle.ts';

test('storage has what a stock server makes of the same WAL, on branches and after kills, while it tidies up', async () => {
  const result = await runPageOracle({ seconds: 4, seed: 3, walBytesMax: 20e6, isBrief: true });
  expect(result.mismatches).toEqual([]);
  expect(result.lsns).toBeGreaterThan(0);
  expect(result.pages).toBeGreaterThan(10_000);
  expect(result.branches).toBeGreaterThan(0);
  expect(result.kills).toBeGreaterThan(0);
}, 180_000);
