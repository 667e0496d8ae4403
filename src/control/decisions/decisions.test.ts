import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VarveError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import { afterFailure, describeFailure, toError } from './after-failure.ts';
import { bucketPosition } from './bucket-position.ts';
import { afterRequest, afterStart } from './endpoint-states.ts';
import { findHead, type LogPosition } from './find-head.ts';
import { backupName } from './names.ts';
import { place } from './placement.ts';

const position = (lastLogTerm: number, flush: number, commit: number, isWrittenTo = false): LogPosition => ({
  lastLogTerm,
  flushLsn: toLsn(flush),
  commitLsn: toLsn(commit),
  isWrittenTo,
});

test('what is new goes to those that have the fewest, and of those to the lower ids', () => {
  const nodes = [
    { id: 4, count: 1, isSchedulable: true },
    { id: 1, count: 2, isSchedulable: true },
    { id: 3, count: 1, isSchedulable: true },
    { id: 2, count: 0, isSchedulable: false },
  ];
  expect(place('pageserver', nodes, 1)).toEqual([3]);
  expect(place('safekeeper', nodes, 3)).toEqual([1, 3, 4]);
  expect(() => place('safekeeper', nodes, 4)).toThrow(/4 safekeepers are needed, and there are 3/);
});

test('placed one by one, nodes never differ by more than one', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 60 }), (nodeCount, things) => {
      const nodes = Array.from({ length: nodeCount }, (_, id) => ({ id, count: 0, isSchedulable: true }));
      const wanted = Math.min(3, nodeCount);
      for (let thing = 0; thing < things; thing++) {
        for (const id of place('safekeeper', nodes, wanted)) (nodes[id] as { count: number }).count++;
      }
      const counts = nodes.map(({ count }) => count);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }),
  );
});

test('the head is the end of the log that would win, once that is committed', () => {
  expect(findHead(3, [position(2, 100, 100)])).toEqual({ kind: 'no-quorum' });
  expect(findHead(3, [position(2, 100, 90), position(2, 100, 100)])).toEqual({ kind: 'known', lsn: 100 });
  // A longer log of an older term loses.
  expect(findHead(3, [position(1, 200, 90), position(2, 100, 100)])).toEqual({ kind: 'known', lsn: 100 });
  expect(findHead(3, [position(2, 120, 90), position(2, 100, 100)])).toEqual({ kind: 'elect' });
  expect(findHead(3, [position(2, 120, 90), position(2, 100, 100, true)])).toEqual({ kind: 'wait' });
});

test('no acknowledged commit is beyond the head, whichever majority answers', () => {
  const members = 5;
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 10, max: 40 }), { minLength: members, maxLength: members }),
      fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 3 }),
      fc.nat(),
      (flushes, answering, commitSeed) => {
        // What a majority has flushed may have been acknowledged.
        const acknowledged = [...flushes].sort((left, right) => right - left)[2] as number;
        const commit = commitSeed % (acknowledged + 1);
        const answers = answering.map((index) => {
          const flush = flushes[index] as number;
          return position(1, flush, Math.min(flush, commit));
        });
        const decision = findHead(members, answers);
        if (decision.kind === 'known') expect(decision.lsn).toBeGreaterThanOrEqual(acknowledged);
        else expect(decision.kind).toBe('elect');
      },
    ),
  );
});

test('what passes is tried again, what does not is undone, and a deletion goes on for ever', () => {
  const away = new VarveError('unavailable', 'CONNECT_FAILED', 'away');
  const wrong = new VarveError('precondition', 'BAD_BRANCH_POINT', 'wrong');
  const next = (error: unknown, isUndoable: boolean, isRetried = true, isEnding = false) =>
    afterFailure({ error, isUndoable, isRetried, isEnding });
  expect(next(away, true)).toBe('retry');
  expect(next(away, true, false)).toBe('undo');
  expect(next(wrong, true)).toBe('undo');
  expect(next(wrong, false)).toBe('retry');
  expect(next(new Error('a bug'), true)).toBe('undo');
  expect(next(wrong, true, true, true)).toBe('leave');
  expect(next(new VarveError('bad-request', 'GENERATION_TOO_LOW', 'old'), true)).toBe('retry');
  expect(describeFailure(new Error('secret')).message).not.toContain('secret');
  expect(toError(describeFailure(wrong))).toMatchObject({ kind: 'precondition', code: 'BAD_BRANCH_POINT' });
});

test('an endpoint does what is asked of it, unless it is being changed', () => {
  expect(afterRequest('start', 'suspended')).toBe('starting');
  expect(afterRequest('start', 'active')).toBe('nothing');
  expect(afterRequest('stop', 'starting')).toBe('stopping');
  expect(afterRequest('wake', 'suspended')).toBe('starting');
  for (const [request, state] of [
    ['start', 'stopping'],
    ['suspend', 'starting'],
    ['wake', 'stopped'],
    ['delete', 'creating'],
    ['start', 'deleting'],
  ] as const) {
    expect(() => afterRequest(request, state)).toThrow(VarveError);
  }
  expect(
    ['active', 'suspended', 'stopped', 'failed'].map((state) => afterStart(state as 'active', 300, null)),
  ).toEqual(['suspend', 'suspend', 'none', 'none']);
  expect(afterStart('active', 0, null)).toBe('start');
  // What it has failed of may be over by now.
  expect(afterStart('failed', 300, { kind: 'unavailable' })).toBe('suspend');
  expect(afterStart('failed', 300, { kind: 'precondition' })).toBe('none');
});

test('beyond the bucket is what neither layers nor uploaded WAL have', () => {
  const safekeeper = (commit: number, backup: number) => ({
    commitLsn: toLsn(commit),
    backupLsn: toLsn(backup),
  });
  const pageserver = { lastRecordLsn: toLsn(90), remoteConsistentLsn: toLsn(50) };
  expect(bucketPosition(null, [safekeeper(100, 0)], pageserver)).toEqual({ headLsn: 100, bucketLsn: 50 });
  expect(bucketPosition(toLsn(110), [safekeeper(100, 70)], pageserver)).toEqual({
    headLsn: 110,
    bucketLsn: 70,
  });
  expect(bucketPosition(null, [safekeeper(100, 70)], null)).toEqual({ headLsn: 100, bucketLsn: null });
});

test('the name of a backup says when it was, and is not too long', () => {
  const random = { fraction: () => 0, bytes: (length: number) => new Uint8Array(length).fill(0xab) };
  const timeMs = Date.UTC(2026, 2, 1, 12, 30, 5);
  expect(backupName('main', timeMs, random)).toBe('main_old_20260301T123005_abab');
  expect(backupName('n'.repeat(63), timeMs, random)).toHaveLength(63);
});
