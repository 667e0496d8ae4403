import { describe, expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import { checkPositions, type Positions } from './positions.ts';

const lsn = (value: number): Lsn => toLsn(value);
const log = (flush: number, record: number, write: number): Positions['log'] => ({
  flushLsn: lsn(flush),
  recordLsn: lsn(record),
  writeLsn: lsn(write),
});

const GOOD: Positions = {
  timelineStartLsn: lsn(10),
  localStartLsn: lsn(20),
  persistedCommitLsn: lsn(30),
  commitLsn: lsn(40),
  log: log(50, 60, 70),
};

describe('the order of positions', () => {
  test('holds, also where all are the same', () => {
    expect(() => checkPositions(GOOD)).not.toThrow();
    const same = { timelineStartLsn: lsn(5), localStartLsn: lsn(5), persistedCommitLsn: lsn(5) };
    expect(() => checkPositions({ ...same, commitLsn: lsn(5), log: log(5, 5, 5) })).not.toThrow();
  });

  test.each<[string, Partial<Positions>]>([
    ['persisted commit LSN 0/29 is above the commit LSN 0/28', { persistedCommitLsn: lsn(41) }],
    ['commit LSN 0/33 is above the flush LSN 0/32', { commitLsn: lsn(51) }],
    ['flush LSN 0/3D is above the record LSN 0/3C', { log: log(61, 60, 70) }],
    ['record LSN 0/47 is above the write LSN 0/46', { log: log(50, 71, 70) }],
    ["timeline's start 0/15 is above the local start 0/14", { timelineStartLsn: lsn(21) }],
    ['local start 0/33 is above the flush LSN 0/32', { localStartLsn: lsn(51) }],
  ])('is broken where the %s', (message, change) => {
    expect(() => checkPositions({ ...GOOD, ...change })).toThrow(message);
  });

  test('of an empty log is that of its commit positions', () => {
    const empty = { ...GOOD, log: log(0, 0, 0) };
    expect(() => checkPositions(empty)).not.toThrow();
    expect(() => checkPositions({ ...empty, persistedCommitLsn: lsn(41) })).toThrow(/persisted commit/);
  });
});
