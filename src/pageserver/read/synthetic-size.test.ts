import { expect, test } from 'vitest';
import { computeSyntheticSize, type HistoryPoint } from './synthetic-size.ts';

const point = (
  parent: number | undefined,
  lsn: number,
  logicalBytes: number,
  isNeeded = true,
): HistoryPoint => ({ parent, lsn, logicalBytes, isNeeded });

test('a history that is retained costs a snapshot at its beginning and the WAL since', () => {
  const size = computeSyntheticSize([
    point(undefined, 100, 5000, false),
    point(0, 1100, 5200, false),
    point(1, 1400, 5300),
  ]);
  expect(size).toEqual({ bytes: 5300, payments: ['none', 'none', 'snapshot'] });
  const retained = computeSyntheticSize([
    point(undefined, 100, 5000, false),
    point(0, 1100, 5200),
    point(1, 1400, 5300),
  ]);
  expect(retained).toEqual({ bytes: 5500, payments: ['none', 'snapshot', 'wal'] });
});

test('branches share what they come from', () => {
  const branches = Array.from({ length: 10 }, () => point(0, 1010, 5000));
  const size = computeSyntheticSize([point(undefined, 1000, 5000), ...branches]);
  expect(size.bytes).toBe(5000 + 10 * 10);
  expect(size.payments.slice(1)).toEqual(branches.map(() => 'wal'));
});

test('a branch point that nobody needs is kept where it is the cheapest way to its branches', () => {
  const size = computeSyntheticSize([
    point(undefined, 1000, 5000, false),
    point(0, 1010, 5000),
    point(0, 1020, 5000),
  ]);
  expect(size).toEqual({ bytes: 5030, payments: ['snapshot', 'wal', 'wal'] });
});

test('much WAL to a small database is not paid for: a snapshot is cheaper', () => {
  const size = computeSyntheticSize([point(undefined, 0, 100), point(0, 1_000_000, 200)]);
  expect(size).toEqual({ bytes: 300, payments: ['snapshot', 'snapshot'] });
});

test('nothing costs nothing', () => {
  expect(computeSyntheticSize([])).toEqual({ bytes: 0, payments: [] });
});
