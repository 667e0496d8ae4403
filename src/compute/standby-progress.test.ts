import { expect, test } from 'vitest';
import type { Lsn } from '../base/lsn.ts';
import { StandbyProgress, type StandbySample, type StandbyVerdict } from './standby-progress.ts';

const WAITING: StandbySample = {
  replayLsn: 1000 as Lsn,
  isPaused: false,
  waitEvent: 'RecoveryWalStream',
  pageserverLsn: 2000 as Lsn,
};

/** A sample each second, of which some have something else. */
function verdicts(seconds: number, changeAt: (second: number) => Partial<StandbySample>): StandbyVerdict[] {
  const progress = new StandbyProgress();
  return Array.from({ length: seconds }, (_, second) =>
    progress.note({ ...WAITING, ...changeAt(second) }, second * 1000),
  );
}

test('a standby that waits for WAL that there is tries another safekeeper, once, and is given up then', () => {
  const all = verdicts(21, (second) => ({
    waitEvent: second % 2 === 0 ? '' : 'RecoveryRetrieveRetryInterval',
  }));
  expect(all.indexOf('reconnect')).toBe(6);
  expect(all.filter((verdict) => verdict === 'reconnect')).toHaveLength(1);
  expect(all.indexOf('stuck')).toBe(20);
});

test.each<[string, (second: number) => Partial<StandbySample>]>([
  ['has replayed all that there is', () => ({ pageserverLsn: 1000 as Lsn })],
  ['is ahead of the pageserver', () => ({ pageserverLsn: 900 as Lsn })],
  ['is paused', () => ({ isPaused: true, waitEvent: 'RecoveryPause' })],
  ['waits for a query to end', () => ({ waitEvent: 'RecoveryConflictSnapshot' })],
  ['reads a page', () => ({ waitEvent: 'DataFileRead' })],
  ['is behind and goes on', (second) => ({ replayLsn: (1000 + Math.floor(second / 5)) as Lsn })],
])('a standby that %s is fine', (_, change) => {
  expect(new Set(verdicts(100, change))).toEqual(new Set(['fine']));
});

test('one that has gone on after it was still has all its time again', () => {
  const all = verdicts(40, (second) => ({ replayLsn: (second < 15 ? 1000 : 1100) as Lsn }));
  expect(all.filter((verdict) => verdict === 'reconnect')).toHaveLength(2);
  expect(all.indexOf('stuck')).toBe(35);
});
