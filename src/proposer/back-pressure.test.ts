import { expect, test } from 'vitest';
import { type BackPressureReason, backPressureReason } from './back-pressure.ts';

const limits = { commitLagBytes: 100, receiveLagBytes: 1000, diskLagBytes: 10_000 };

test.each<[boolean, number, number, number, BackPressureReason | undefined, BackPressureReason | undefined]>([
  [true, 0, 0, 0, undefined, undefined],
  [false, 0, 0, 0, undefined, 'no-quorum'],
  [false, 101, 0, 0, 'commit-lag', 'no-quorum'],
  [true, 100, 1000, 10_000, undefined, undefined],
  [true, 101, 0, 0, undefined, 'commit-lag'],
  [true, 76, 0, 0, 'commit-lag', 'commit-lag'],
  [true, 75, 0, 0, 'commit-lag', undefined],
  [true, 76, 0, 0, 'no-quorum', undefined],
  [true, 0, 1001, 0, undefined, 'pageserver-lag'],
  [true, 0, 0, 10_001, undefined, 'pageserver-lag'],
  [true, 0, 0, 7501, 'pageserver-lag', 'pageserver-lag'],
  [true, 0, 750, 7500, 'pageserver-lag', undefined],
])('quorum %s, lags of %d, %d and %d after %s: %s', (hasQuorum, commit, receive, disk, before, expected) => {
  const input = { hasQuorum, commitLagBytes: commit, receiveLagBytes: receive, diskLagBytes: disk };
  expect(backPressureReason(input, limits, before)).toBe(expected);
});
