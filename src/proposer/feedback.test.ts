import { expect, test } from 'vitest';
import { type Lsn, toLsn } from '../base/lsn.ts';
import type { AppendResponse } from '../contracts/acceptor-messages.ts';
import type { PageserverFeedback } from '../contracts/pageserver-feedback.ts';
import { FeedbackAggregate } from './feedback.ts';

const response = (
  hotStandby: readonly [bigint, bigint, bigint],
  pageserverFeedback?: PageserverFeedback,
): AppendResponse => ({
  kind: 'append-response',
  generation: 1,
  term: 1,
  flushLsn: 0 as Lsn,
  commitLsn: 0 as Lsn,
  hotStandbyFeedback: { time: hotStandby[0], xmin: hotStandby[1], catalogXmin: hotStandby[2] },
  pageserverFeedback,
});

const shard = (shardNumber: number, replyTime: bigint, lsn: number): PageserverFeedback => ({
  currentTimelineSizeBytes: shardNumber === 0 ? 1000 : 0,
  lastReceivedLsn: toLsn(lsn + 20),
  diskConsistentLsn: toLsn(lsn + 10),
  remoteConsistentLsn: toLsn(lsn),
  replyTime,
  shardNumber,
  corruptionDetected: shardNumber === 2,
});

test('the lowest xmin of all hot standbys counts, and none does not', () => {
  const aggregate = new FeedbackAggregate();
  expect(aggregate.update(1, response([0n, 0n, 0n]))).toBe(false);
  expect(aggregate.update(1, response([5n, 100n, 0n]))).toBe(true);
  expect(aggregate.update(2, response([9n, 200n, 70n]))).toBe(true);
  expect(aggregate.hotStandby).toEqual({ time: 9n, xmin: 100n, catalogXmin: 70n });
  // A later time alone is no change.
  expect(aggregate.update(2, response([10n, 200n, 70n]))).toBe(false);
  expect(aggregate.forget(1)).toBe(true);
  expect(aggregate.hotStandby).toEqual({ time: 10n, xmin: 200n, catalogXmin: 70n });
  expect(aggregate.forget(1)).toBe(false);
  expect(aggregate.forget(2)).toBe(true);
  expect(aggregate.hotStandby).toEqual({ time: 0n, xmin: 0n, catalogXmin: 0n });
});

test('of the pageserver, the position that all shards have reached, by the latest word of each', () => {
  const aggregate = new FeedbackAggregate();
  expect(aggregate.pageserver).toBeUndefined();
  aggregate.update(1, response([0n, 0n, 0n], shard(0, 10n, 500)));
  aggregate.update(2, response([0n, 0n, 0n], shard(0, 9n, 400)));
  expect(aggregate.pageserver).toMatchObject({ remoteConsistentLsn: 500, corruptionDetected: false });
  aggregate.update(2, response([0n, 0n, 0n], shard(2, 1n, 300)));
  expect(aggregate.pageserver).toEqual({
    currentTimelineSizeBytes: 1000,
    lastReceivedLsn: 320,
    diskConsistentLsn: 310,
    remoteConsistentLsn: 300,
    corruptionDetected: true,
  });
});

test('all hot standbys have applied what the last of them has; those behind a safekeeper that is gone do not count', () => {
  const aggregate = new FeedbackAggregate();
  const applied = (id: number, lsn: number | undefined): number | undefined => {
    const standbyApplyLsn = lsn === undefined ? {} : { standbyApplyLsn: toLsn(lsn) };
    aggregate.update(id, { ...response([0n, 0n, 0n]), ...standbyApplyLsn });
    return aggregate.standbyApplyLsn;
  };
  expect(applied(1, undefined)).toBeUndefined();
  expect(applied(1, 500)).toBe(500);
  expect(applied(2, 300)).toBe(300);
  expect(applied(3, undefined)).toBe(300);
  expect(applied(2, 600)).toBe(500);
  aggregate.forget(1);
  expect(aggregate.standbyApplyLsn).toBe(600);
  expect(applied(2, undefined)).toBeUndefined();
});
