import { describe, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../../base/ids.ts';
import { type Lsn, toLsn } from '../../../base/lsn.ts';
import {
  chooseSource,
  SOURCE_RULES_DEFAULT,
  type SourceConnection,
  type SourceDecision,
  type SourceNews,
  type SourceSituation,
} from './choose-source.ts';

const NOW_MS = 1_000_000;
const GIB = 1024 ** 3;

const news = (
  nodeId: number,
  commit: number,
  changes: Partial<SourceNews['state']> = {},
  ageMs = 500,
): SourceNews => ({
  nodeId,
  heardMs: NOW_MS - ageMs,
  state: {
    tenantId: parseTenantId('1'.repeat(32)),
    timelineId: parseTimelineId('2'.repeat(32)),
    generation: 1,
    term: 3,
    lastLogTerm: 3,
    flushLsn: toLsn(commit),
    commitLsn: toLsn(commit),
    backupLsn: toLsn(0),
    remoteConsistentLsn: toLsn(0),
    peerHorizonLsn: toLsn(0),
    localStartLsn: toLsn(8),
    isActive: true,
    ...changes,
  },
});

const to = (nodeId: number, changes: Partial<SourceConnection> = {}): SourceConnection => ({
  nodeId,
  heardMs: NOW_MS - 100,
  waitingSinceMs: NOW_MS - 100,
  serverEndLsn: 0 as Lsn,
  ...changes,
});

const choose = (situation: Partial<SourceSituation>): SourceDecision =>
  chooseSource(
    {
      nowMs: NOW_MS,
      position: toLsn(1000),
      remoteConsistentLsn: toLsn(0),
      memberIds: [1, 2, 3],
      news: [],
      connection: undefined,
      retryAtMs: new Map(),
      ...situation,
    },
    SOURCE_RULES_DEFAULT,
  );

const STAY = { choice: { kind: 'stay' }, againAtMs: undefined };

describe('without a connection', () => {
  test('nothing is done, and no time is set, while nobody is ahead', () => {
    expect(choose({})).toEqual(STAY);
    expect(choose({ news: [news(1, 1000), news(2, 900), news(3, 0)] })).toEqual(STAY);
  });

  test('the one that has committed most is connected to', () => {
    const told = [news(1, 2000), news(2, 3000), news(3, 2500)];
    expect(choose({ news: told }).choice).toEqual({ kind: 'connect', nodeId: 2 });
  });

  test('of equal ones the first member is taken', () => {
    const told = [news(1, 2000), news(2, 2000), news(3, 2000)];
    expect(choose({ news: told, memberIds: [3, 1, 2] }).choice).toEqual({ kind: 'connect', nodeId: 3 });
  });

  test('flushed WAL that is not committed is no reason', () => {
    expect(choose({ news: [news(1, 1000, { flushLsn: toLsn(5000) })] })).toEqual(STAY);
  });

  test('who is no member, was not heard lately or has no WAL is nobody to connect to', () => {
    const unheard = SOURCE_RULES_DEFAULT.newsAgeMaxMs + 1;
    const told = [news(4, 9000), news(1, 8000, {}, unheard), news(2, 7000, { localStartLsn: toLsn(0) })];
    expect(choose({ news: told })).toEqual(STAY);
    expect(choose({ news: [...told, news(3, 1001)] }).choice).toEqual({ kind: 'connect', nodeId: 3 });
  });

  test('one that failed is passed over until its time has come, which is when to choose anew', () => {
    const told = [news(1, 5000), news(2, 3000)];
    const retryAtMs = new Map([[1, NOW_MS + 400]]);
    expect(choose({ news: told, retryAtMs }).choice).toEqual({ kind: 'connect', nodeId: 2 });
    retryAtMs.set(2, NOW_MS + 300);
    expect(choose({ news: told, retryAtMs })).toEqual({ choice: { kind: 'stay' }, againAtMs: NOW_MS + 300 });
    expect(choose({ news: told, retryAtMs, nowMs: NOW_MS + 400 }).choice).toEqual({
      kind: 'connect',
      nodeId: 1,
    });
  });

  test('what the bucket has is told to one if no safekeeper knows it', () => {
    const unknowing = [news(1, 900, { remoteConsistentLsn: toLsn(500) }), news(2, 1000)];
    const remoteConsistentLsn = toLsn(800);
    expect(choose({ news: unknowing, remoteConsistentLsn }).choice).toEqual({ kind: 'connect', nodeId: 2 });
    const knowing = news(3, 1000, { remoteConsistentLsn });
    expect(choose({ news: [...unknowing, knowing], remoteConsistentLsn })).toEqual(STAY);
    // It would not believe more than it has.
    const behind = [news(1, 700, { remoteConsistentLsn: toLsn(700) })];
    expect(choose({ news: behind, remoteConsistentLsn })).toEqual(STAY);
  });
});

describe('with a connection', () => {
  test('it stays, also at the end of all WAL, until it has been silent for too long', () => {
    const decision = choose({ connection: to(1), news: [news(1, 1000), news(2, 1000)] });
    expect(decision).toEqual({ choice: { kind: 'stay' }, againAtMs: NOW_MS - 100 + 10_000 });
    const silent = to(1, { heardMs: NOW_MS - 10_000, waitingSinceMs: NOW_MS - 60_000 });
    expect(choose({ connection: silent, news: [news(1, 1000)] }).choice).toEqual({
      kind: 'disconnect',
      reason: 'silent',
    });
    expect(choose({ connection: silent, news: [news(1, 1500), news(3, 1200)] }).choice).toEqual({
      kind: 'change',
      nodeId: 3,
      reason: 'silent',
    });
  });

  test('a little more WAL elsewhere is no reason to leave, a gigabyte is', () => {
    const connection = to(1, { serverEndLsn: toLsn(1500) });
    const little = [news(1, 1500), news(2, 1500 + GIB - 1)];
    expect(choose({ connection, news: little }).choice).toEqual({ kind: 'stay' });
    const much = [news(1, 1500), news(2, 1500 + GIB)];
    expect(choose({ connection, news: much }).choice).toEqual({
      kind: 'change',
      nodeId: 2,
      reason: 'far-behind',
    });
    // What it says on the connection is newer than its news.
    expect(choose({ connection: to(1, { serverEndLsn: toLsn(2000) }), news: much }).choice).toEqual({
      kind: 'stay',
    });
  });

  test('no progress for too long although another one has more', () => {
    const stuck = to(1, { waitingSinceMs: NOW_MS - 10_000 });
    expect(choose({ connection: stuck, news: [news(1, 1000), news(2, 1001)] }).choice).toEqual({
      kind: 'change',
      nodeId: 2,
      reason: 'no-progress',
    });
    expect(choose({ connection: stuck, news: [news(1, 1001), news(2, 1000)] }).choice).toEqual({
      kind: 'stay',
    });
    const failedLately = new Map([[2, NOW_MS + 1]]);
    expect(choose({ connection: stuck, news: [news(2, 1001)], retryAtMs: failedLately }).choice).toEqual({
      kind: 'stay',
    });
    const soon = to(1, { waitingSinceMs: NOW_MS - 9000 });
    expect(choose({ connection: soon, news: [news(2, 1001)] })).toEqual({
      choice: { kind: 'stay' },
      againAtMs: NOW_MS + 1000,
    });
  });

  test('a safekeeper is not blamed for what this side holds up', () => {
    const held = to(1, { heardMs: NOW_MS - 60_000, waitingSinceMs: undefined });
    expect(choose({ connection: held, news: [news(2, 9000 + GIB)] })).toEqual({
      choice: { kind: 'stay' },
      againAtMs: NOW_MS + 10_000,
    });
    const released = to(1, { heardMs: NOW_MS - 60_000, waitingSinceMs: NOW_MS - 1 });
    expect(choose({ connection: released, news: [] }).choice).toEqual({ kind: 'stay' });
  });

  test('one that is no member any more is left at once', () => {
    const connection = to(4, { waitingSinceMs: undefined });
    expect(choose({ connection, news: [news(2, 2000)] }).choice).toEqual({
      kind: 'change',
      nodeId: 2,
      reason: 'not-a-member',
    });
    expect(choose({ connection }).choice).toEqual({ kind: 'disconnect', reason: 'not-a-member' });
  });

  test('that its status stream is lost is no reason', () => {
    expect(choose({ connection: to(1), news: [] }).choice).toEqual({ kind: 'stay' });
  });
});
