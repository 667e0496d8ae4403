import { expect, test } from 'vitest';
import { AssertionError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { checkPositions, type TimelinePositions } from './check-positions.ts';

const NAMES = [
  'gcCutoff',
  'remoteConsistentVisible',
  'remoteConsistentProjected',
  'diskConsistent',
  'lastRecord',
] as const;

function positions(values: readonly number[]): TimelinePositions {
  const [gcCutoff, remoteConsistentVisible, remoteConsistentProjected, diskConsistent, lastRecord] =
    values as unknown as [Lsn, Lsn, Lsn, Lsn, Lsn];
  return { gcCutoff, remoteConsistentVisible, remoteConsistentProjected, diskConsistent, lastRecord };
}

test('positions in order, equal ones too', () => {
  expect(() => checkPositions(positions([1, 2, 3, 4, 5]))).not.toThrow();
  expect(() => checkPositions(positions([7, 7, 7, 7, 7]))).not.toThrow();
  expect(() => checkPositions(positions([0, 0, 0, 0, 0]))).not.toThrow();
});

test('each pair out of order is a bug, and the error names it', () => {
  for (let upper = 1; upper < NAMES.length; upper++) {
    const values = NAMES.map((_, index) => (index < upper ? 20 : 10));
    expect(() => checkPositions(positions(values))).toThrow(
      `${NAMES[upper - 1]} is above ${NAMES[upper]}: gcCutoff 0/14`,
    );
  }
  expect(() => checkPositions(positions([1, 2, Number.NaN, 4, 5]))).toThrow(AssertionError);
});
