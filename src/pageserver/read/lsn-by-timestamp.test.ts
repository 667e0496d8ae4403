import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findLsnByTimestamp } from './lsn-by-timestamp.ts';

/** Commits at LSNs, in order, and the times that they had. */
const commitTimes =
  (commits: readonly (readonly [number, bigint])[]) =>
  (lsn: number): Promise<bigint | undefined> =>
    Promise.resolve(commits.findLast(([at]) => at <= lsn)?.[1]);

test('an LSN between two commits is found, and what lies outside of all is named so', async () => {
  const times = commitTimes([
    [800, 10n],
    [1600, 20n],
    [1608, 30n],
  ]);
  expect(await findLsnByTimestamp(5n, 80, 4000, times)).toEqual({ kind: 'past', lsn: 792 });
  expect(await findLsnByTimestamp(10n, 80, 4000, times)).toEqual({ kind: 'present', lsn: 1592 });
  expect(await findLsnByTimestamp(25n, 80, 4000, times)).toEqual({ kind: 'present', lsn: 1600 });
  expect(await findLsnByTimestamp(30n, 80, 4000, times)).toEqual({ kind: 'future', lsn: 4000 });
  expect(await findLsnByTimestamp(5n, 1600, 4000, times)).toEqual({ kind: 'past', lsn: 1600 });
  expect(await findLsnByTimestamp(5n, 80, 4000, commitTimes([]))).toEqual({ kind: 'nodata', lsn: 4000 });
});

test('the LSN found is the last before the first later commit, wherever commits are', async () => {
  const commits = fc.array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 50 })), {
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(commits, fc.integer({ min: -1, max: 51 }), async (given, wanted) => {
      const lsns = [...new Set(given.map(([at]) => at * 8))].sort((left, right) => left - right);
      const sorted = given.map(([, time]) => time).sort((left, right) => left - right);
      const history = lsns.map((lsn, index) => [lsn, BigInt(sorted[index] as number)] as const);
      const found = await findLsnByTimestamp(BigInt(wanted), 8, 4008, commitTimes(history));
      const firstLater = history.find(([, time]) => time > BigInt(wanted));
      if (found.kind === 'nodata') expect(history).toEqual([]);
      else if (found.kind === 'future') expect(firstLater).toBeUndefined();
      else expect(found.lsn).toBe(Math.max(8, (firstLater?.[0] as number) - 8));
    }),
  );
});
