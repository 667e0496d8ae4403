import { describe, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import type { AppendRequest, Elected, ProposerGreeting } from '../../contracts/acceptor-messages.ts';
import { type MembershipConfiguration, NO_MEMBERSHIP } from '../../contracts/membership.ts';
import type { TermHistory } from '../../contracts/term-history.ts';
import { TERM_MAX } from '../../contracts/term-history.ts';
import { Acceptor } from './acceptor.ts';
import type { AcceptorEffect, Decision, LogPosition } from './effects.ts';
import type { PersistentState } from './persistent-state.ts';

const lsn = (value: number): Lsn => toLsn(value);
const SEGMENT_BYTES = 1024 * 1024;
const history = (...entries: [number, number][]): TermHistory =>
  entries.map(([term, start]) => ({ term, lsn: lsn(start) }));
const members = (generation: number, ids: number[], newIds?: number[]): MembershipConfiguration => {
  const set = (of: number[]): MembershipConfiguration['members'] =>
    of.map((id) => ({ id, host: `sk${id}`, pgPort: 5454 }));
  return { generation, members: set(ids), newMembers: newIds && set(newIds) };
};

const FRESH: PersistentState = {
  tenantId: parseTenantId('11'.repeat(16)),
  timelineId: parseTimelineId('22'.repeat(16)),
  membership: NO_MEMBERSHIP,
  term: 0,
  termHistory: [],
  server: { pgVersion: 0, systemIdentifier: 0n, segmentBytes: SEGMENT_BYTES },
  timelineStartLsn: lsn(0),
  localStartLsn: lsn(0),
  commitLsn: lsn(0),
  backupLsn: lsn(0),
  peerHorizonLsn: lsn(0),
  remoteConsistentLsn: lsn(0),
  partialSegments: [],
  evictedAtLsn: undefined,
  createdAtMs: 0,
};
/** Term 1 wrote 100 to 200, and 150 of that is committed. */
const USED: PersistentState = {
  ...FRESH,
  term: 1,
  termHistory: history([1, 100]),
  timelineStartLsn: lsn(100),
  localStartLsn: lsn(100),
  commitLsn: lsn(150),
  peerHorizonLsn: lsn(120),
};

/** Carries effects out on a log that is only positions, in which each append ends with a whole record. */
class Rig {
  readonly acceptor: Acceptor;
  readonly effects: AcceptorEffect[] = [];
  state: PersistentState;
  log: LogPosition;

  constructor(state: PersistentState, end = 0, nodeId = 1) {
    this.state = state;
    this.log = { writeLsn: lsn(end), recordLsn: lsn(end), flushLsn: lsn(end) };
    this.acceptor = new Acceptor(nodeId, state, this.log);
  }

  run<Outcome>(decision: Decision<Outcome>): Outcome {
    this.effects.length = 0;
    let step = decision.next();
    while (step.done !== true) {
      this.effects.push(step.value);
      this.#carryOut(step.value);
      step = decision.next(this.log);
    }
    return step.value;
  }

  get kinds(): string[] {
    return this.effects.map(({ kind }) => kind);
  }

  #carryOut(effect: AcceptorEffect): void {
    const at = (end: Lsn): LogPosition => ({ writeLsn: end, recordLsn: end, flushLsn: end });
    if (effect.kind === 'persist') this.state = effect.state;
    else if (effect.kind === 'initialize-log' || effect.kind === 'truncate-log') this.log = at(effect.lsn);
    else if (effect.kind === 'flush-log') this.log = { ...this.log, flushLsn: this.log.recordLsn };
    else {
      const end = lsn(effect.beginLsn + effect.wal.length);
      this.log = { ...this.log, writeLsn: end, recordLsn: end };
    }
  }
}

const used = (): Rig => new Rig(USED, 200);
const refusal = (code: string): unknown => expect.objectContaining({ code });
const vote = (term: number, generation = 0) => ({ kind: 'vote-request', generation, term }) as const;
const elected = (term: number, at: number, termHistory: TermHistory, generation = 0): Elected => ({
  kind: 'elected',
  generation,
  term,
  startStreamingAt: lsn(at),
  termHistory,
});
const append = (
  term: number,
  begin: number,
  bytes: number,
  change: Partial<AppendRequest> = {},
): AppendRequest => ({
  kind: 'append-request',
  generation: 0,
  term,
  beginLsn: lsn(begin),
  endLsn: lsn(begin + bytes),
  commitLsn: lsn(0),
  truncateLsn: lsn(0),
  wal: new Uint8Array(bytes),
  ...change,
});
const GREETING: ProposerGreeting = {
  kind: 'greeting',
  tenantId: FRESH.tenantId,
  timelineId: FRESH.timelineId,
  membership: NO_MEMBERSHIP,
  pgVersion: 170005,
  systemIdentifier: 7n,
  segmentBytes: SEGMENT_BYTES,
};

describe('a greeting', () => {
  test('is answered with who is here, and what it tells of the server is kept', () => {
    const rig = used();
    expect(rig.run(rig.acceptor.greet(GREETING))).toEqual({
      kind: 'greeting',
      nodeId: 1,
      membership: NO_MEMBERSHIP,
      term: 1,
    });
    expect(rig.state.server).toEqual({
      pgVersion: 170005,
      systemIdentifier: 7n,
      segmentBytes: SEGMENT_BYTES,
    });
    rig.run(rig.acceptor.greet(GREETING));
    expect(rig.kinds).toEqual([]);
  });

  test.each<[string, Partial<ProposerGreeting>]>([
    ['WRONG_TIMELINE', { tenantId: parseTenantId('33'.repeat(16)) }],
    ['WRONG_TIMELINE', { timelineId: parseTimelineId('33'.repeat(16)) }],
    ['WRONG_SEGMENT_SIZE', { segmentBytes: SEGMENT_BYTES * 2 }],
    ['NOT_A_MEMBER', { membership: members(1, [2, 3, 4]) }],
  ])('is refused as %s', (code, change) => {
    const rig = used();
    expect(() => rig.run(rig.acceptor.greet({ ...GREETING, ...change }))).toThrow(refusal(code));
  });

  test('with a newer configuration makes the acceptor take it, with an older one does not', () => {
    const rig = used();
    const next = members(2, [1, 2, 3]);
    expect(rig.run(rig.acceptor.greet({ ...GREETING, membership: next })).membership).toEqual(next);
    expect(rig.state.membership).toEqual(next);
    const old = { ...GREETING, membership: members(1, [7]) };
    expect(rig.run(rig.acceptor.greet(old)).membership).toEqual(next);
  });
});

describe('a vote', () => {
  test('is given once a term, and is durable before it is told', () => {
    const rig = used();
    const given = rig.run(rig.acceptor.vote(vote(2)));
    expect(given).toMatchObject({ voteGiven: true, term: 2, flushLsn: 200, truncateLsn: 120 });
    expect(given.termHistory).toEqual(history([1, 100]));
    expect(rig.state.term).toBe(2);
    expect(rig.run(rig.acceptor.vote(vote(2)))).toMatchObject({ voteGiven: false, term: 2 });
    expect(rig.run(rig.acceptor.vote(vote(1)))).toMatchObject({ voteGiven: false, term: 2 });
    expect(rig.kinds).toEqual([]);
    const again = new Rig(rig.state, 200);
    expect(again.run(again.acceptor.vote(vote(2))).voteGiven).toBe(false);
  });

  test('is given after all WAL is durable, and before that is told', () => {
    const rig = used();
    rig.run(rig.acceptor.follow(elected(1, 200, history([1, 100]))));
    rig.run(rig.acceptor.append(append(1, 200, 50)));
    expect(rig.acceptor.flushLsn).toBe(200);
    expect(rig.run(rig.acceptor.vote(vote(2)))).toMatchObject({ flushLsn: 250 });
    expect(rig.kinds).toEqual(['flush-log', 'persist']);
  });

  test('tells only of terms of which there is WAL', () => {
    const rig = new Rig({ ...USED, term: 5, termHistory: history([1, 100], [4, 200], [5, 201]) }, 200);
    expect(rig.run(rig.acceptor.vote(vote(6))).termHistory).toEqual(history([1, 100], [4, 200]));
  });

  test('of a timeline without WAL tells where it begins', () => {
    const known = new Rig({ ...FRESH, timelineStartLsn: lsn(100) });
    expect(known.run(known.acceptor.vote(vote(1)))).toMatchObject({ flushLsn: 100, termHistory: [] });
    const unknown = new Rig(FRESH);
    expect(unknown.run(unknown.acceptor.vote(vote(1)))).toMatchObject({ flushLsn: 0, termHistory: [] });
  });

  test('is refused in another generation', () => {
    const rig = used();
    expect(() => rig.run(rig.acceptor.vote(vote(2, 1)))).toThrow(refusal('GENERATION_MISMATCH'));
    expect(rig.acceptor.term).toBe(1);
  });
});

describe('an election that is told', () => {
  test('begins a log where there is none, and then writes one state', () => {
    const rig = new Rig(FRESH);
    expect(rig.run(rig.acceptor.follow(elected(1, 100, history([1, 100]))))).toBe(true);
    expect(rig.kinds).toEqual(['persist', 'initialize-log', 'persist']);
    expect(rig.state).toMatchObject({
      term: 1,
      termHistory: history([1, 100]),
      timelineStartLsn: 100,
      localStartLsn: 100,
      commitLsn: 100,
      backupLsn: 100,
      peerHorizonLsn: 100,
      remoteConsistentLsn: 100,
    });
    expect(rig.acceptor.termStartLsn).toBe(100);
  });

  test('is heard again after a crash that left a log and no history', () => {
    const rig = new Rig({ ...FRESH, term: 1 }, 100);
    rig.run(rig.acceptor.follow(elected(1, 100, history([1, 100]))));
    expect(rig.kinds).toEqual(['truncate-log', 'persist']);
    expect(rig.state).toMatchObject({ timelineStartLsn: 100, localStartLsn: 100 });
  });

  test('cuts what was never committed, and keeps where the log begins', () => {
    const rig = used();
    rig.run(rig.acceptor.follow(elected(3, 170, history([1, 100], [3, 170]))));
    expect(rig.kinds).toEqual(['persist', 'truncate-log', 'persist']);
    expect(rig.state).toMatchObject({ term: 3, localStartLsn: 100, commitLsn: 150, peerHorizonLsn: 120 });
    expect(rig.acceptor.flushLsn).toBe(170);
    expect(rig.acceptor.lastLogTerm).toBe(3);
  });

  test('of a lower term is not listened to', () => {
    const rig = new Rig({ ...USED, term: 4 }, 200);
    expect(rig.run(rig.acceptor.follow(elected(3, 170, history([1, 100], [3, 170]))))).toBe(false);
    expect(rig.kinds).toEqual([]);
  });

  test.each<[string, Elected]>([
    ['GENERATION_MISMATCH', elected(2, 200, history([1, 100], [2, 200]), 1)],
    ['BAD_ELECTED', elected(2, 200, [])],
    ['BAD_ELECTED', elected(3, 200, history([1, 100], [2, 200]))],
    ['START_MISMATCH', elected(2, 190, history([1, 100], [2, 200]))],
    ['COMMITTED_TRUNCATION', elected(2, 140, history([1, 100], [2, 140]))],
    ['BAD_TERM_HISTORY', elected(2, 200, history([1, 101], [2, 200]))],
  ])('is refused as %s, and nothing is done', (code, message) => {
    const rig = used();
    expect(() => rig.run(rig.acceptor.follow(message))).toThrow(refusal(code));
    expect(rig.kinds).toEqual([]);
  });

  test('may not begin at 0, nor before the timeline', () => {
    const nowhere = new Rig(FRESH);
    expect(() => nowhere.run(nowhere.acceptor.follow(elected(1, 0, history([1, 0]))))).toThrow(
      refusal('BAD_ELECTED'),
    );
    const rig = new Rig({ ...FRESH, timelineStartLsn: lsn(100) });
    expect(() => rig.run(rig.acceptor.follow(elected(1, 50, history([1, 50]))))).toThrow(
      refusal('BAD_ELECTED'),
    );
    expect(rig.kinds).toEqual([]);
  });

  test('in the same term over a second connection cuts only what is not durable', () => {
    const rig = used();
    const message = elected(1, 200, history([1, 100]));
    rig.run(rig.acceptor.follow(message));
    rig.run(rig.acceptor.append(append(1, 200, 50)));
    rig.run(rig.acceptor.follow(message));
    expect(rig.log.writeLsn).toBe(200);
    // What the old connection still had in its queue does not fit any more.
    expect(() => rig.run(rig.acceptor.append(append(1, 250, 10)))).toThrow(refusal('APPEND_NOT_CONTIGUOUS'));
    rig.run(rig.acceptor.append(append(1, 200, 50)));
    rig.run(rig.acceptor.flush());
    expect(() => rig.run(rig.acceptor.follow(message))).toThrow(refusal('START_MISMATCH'));
    expect(rig.log.flushLsn).toBe(250);
  });

  test('forgets what an earlier proposer called committed beyond what is here', () => {
    const rig = used();
    rig.run(rig.acceptor.follow(elected(1, 200, history([1, 100]))));
    rig.run(rig.acceptor.append(append(1, 200, 0, { commitLsn: lsn(500) })));
    expect(rig.acceptor.commitLsn).toBe(200);
    rig.run(rig.acceptor.follow(elected(2, 200, history([1, 100], [2, 200]))));
    rig.run(rig.acceptor.append(append(2, 200, 100)));
    rig.run(rig.acceptor.flush());
    expect(rig.acceptor.commitLsn).toBe(200);
  });
});

describe('an append', () => {
  const following = (): Rig => {
    const rig = used();
    rig.run(rig.acceptor.follow(elected(2, 200, history([1, 100], [2, 200]))));
    return rig;
  };

  test('is written and not made durable, and has no answer before it is', () => {
    const rig = following();
    expect(rig.run(rig.acceptor.append(append(2, 200, 50)))).toBeUndefined();
    expect(rig.kinds).toEqual(['write-log']);
    expect(rig.acceptor.flushLsn).toBe(200);
    expect(rig.run(rig.acceptor.flush())).toMatchObject({ term: 2, flushLsn: 250, commitLsn: 150 });
    expect(rig.run(rig.acceptor.flush())).toMatchObject({ flushLsn: 250 });
    expect(rig.kinds).toEqual([]);
  });

  test('of a lower term is answered with the term alone', () => {
    const rig = following();
    rig.run(rig.acceptor.bumpTerm(undefined));
    const answer = rig.run(rig.acceptor.append(append(2, 200, 50)));
    expect(answer).toMatchObject({ term: 3, flushLsn: 0, commitLsn: 0 });
    expect(rig.kinds).toEqual([]);
  });

  test.each<[string, AppendRequest]>([
    ['GENERATION_MISMATCH', append(2, 200, 10, { generation: 1 })],
    ['APPEND_BEFORE_ELECTED', append(3, 200, 10)],
    ['APPEND_NOT_CONTIGUOUS', append(2, 210, 10)],
    ['APPEND_NOT_CONTIGUOUS', append(2, 190, 10)],
    ['APPEND_NOT_CONTIGUOUS', append(2, 210, 0)],
  ])('is refused as %s', (code, request) => {
    const rig = following();
    expect(() => rig.run(rig.acceptor.append(request))).toThrow(refusal(code));
    expect(rig.kinds).toEqual([]);
  });

  test('after a vote, or after a restart, needs the election to be told', () => {
    const rig = following();
    rig.run(rig.acceptor.vote(vote(3)));
    expect(() => rig.run(rig.acceptor.append(append(3, 200, 1)))).toThrow(refusal('APPEND_BEFORE_ELECTED'));
    const restarted = new Rig(following().state, 200);
    expect(() => restarted.run(restarted.acceptor.append(append(2, 200, 1)))).toThrow(
      refusal('APPEND_BEFORE_ELECTED'),
    );
  });

  test('moves the commit LSN up to what is durable here, and never back', () => {
    const rig = following();
    rig.run(rig.acceptor.append(append(2, 200, 50, { commitLsn: lsn(230) })));
    expect(rig.acceptor.commitLsn).toBe(200);
    rig.run(rig.acceptor.flush());
    expect(rig.acceptor.commitLsn).toBe(230);
    rig.run(rig.acceptor.append(append(2, 250, 0, { commitLsn: lsn(210), truncateLsn: lsn(110) })));
    expect([rig.acceptor.commitLsn, rig.acceptor.peerHorizonLsn]).toEqual([230, 120]);
    rig.run(rig.acceptor.append(append(2, 250, 0, { commitLsn: lsn(240), truncateLsn: lsn(220) })));
    expect([rig.acceptor.commitLsn, rig.acceptor.peerHorizonLsn]).toEqual([240, 220]);
  });

  test('that commits the start of the term makes that durable at once, later ones do not', () => {
    const rig = following();
    rig.run(rig.acceptor.append(append(2, 200, 0, { commitLsn: lsn(200) })));
    expect(rig.kinds).toEqual(['persist']);
    expect(rig.run(rig.acceptor.flush()).commitLsn).toBe(200);
    rig.run(rig.acceptor.append(append(2, 200, 50)));
    rig.run(rig.acceptor.flush());
    rig.run(rig.acceptor.append(append(2, 250, 0, { commitLsn: lsn(250) })));
    expect(rig.kinds).toEqual([]);
    // The answer has what is on disk.
    expect(rig.run(rig.acceptor.flush()).commitLsn).toBe(200);
    expect(rig.acceptor.isAheadOfDisk).toBe(true);
    rig.run(rig.acceptor.save());
    expect(rig.run(rig.acceptor.flush()).commitLsn).toBe(250);
  });

  test('that commits a segment more than is on disk makes that durable', () => {
    const rig = following();
    const end = 200 + SEGMENT_BYTES;
    rig.run(rig.acceptor.append(append(2, 200, SEGMENT_BYTES)));
    rig.run(rig.acceptor.append(append(2, end, 0, { commitLsn: lsn(200) })));
    rig.run(rig.acceptor.flush());
    rig.run(rig.acceptor.append(append(2, end, 0, { commitLsn: lsn(end - 1) })));
    expect(rig.kinds).toEqual([]);
    rig.run(rig.acceptor.append(append(2, end, 0, { commitLsn: lsn(end) })));
    expect(rig.kinds).toEqual(['persist']);
  });
});

describe('an answer', () => {
  test('claims nothing in a term whose proposer has not made the log its own', () => {
    const rig = used();
    rig.run(rig.acceptor.vote(vote(2)));
    expect(rig.run(rig.acceptor.flush())).toMatchObject({ term: 2, flushLsn: 0 });
    rig.run(rig.acceptor.follow(elected(2, 170, history([1, 100], [2, 170]))));
    expect(rig.run(rig.acceptor.flush())).toMatchObject({ term: 2, flushLsn: 170 });
  });
});

describe('what others tell', () => {
  const PEER = {
    lastLogTerm: 1,
    commitLsn: lsn(180),
    backupLsn: lsn(110),
    peerHorizonLsn: lsn(130),
    remoteConsistentLsn: lsn(105),
  };

  test('moves positions up, and never down', () => {
    const rig = used();
    rig.run(rig.acceptor.learn(PEER));
    const { commitLsn, backupLsn, peerHorizonLsn, remoteConsistentLsn } = rig.acceptor;
    expect([commitLsn, backupLsn, peerHorizonLsn, remoteConsistentLsn]).toEqual([180, 110, 130, 105]);
    const zero = lsn(0);
    const less = { commitLsn: zero, backupLsn: zero, peerHorizonLsn: zero, remoteConsistentLsn: zero };
    rig.run(rig.acceptor.learn({ ...PEER, ...less }));
    expect(rig.acceptor.commitLsn).toBe(180);
    expect(rig.acceptor.backupLsn).toBe(110);
    rig.run(rig.acceptor.learn({ ...PEER, commitLsn: lsn(900) }));
    expect(rig.acceptor.commitLsn).toBe(200);
  });

  test.each([0, 2])('says nothing of the commit LSN if their log ends in term %i', (logTerm) => {
    const rig = used();
    rig.run(rig.acceptor.learn({ ...PEER, lastLogTerm: logTerm }));
    expect(rig.acceptor.commitLsn).toBe(150);
  });

  test('and uploads of WAL that is not committed are refused', () => {
    const rig = used();
    expect(() => rig.run(rig.acceptor.recordBackup(lsn(151)))).toThrow(refusal('BACKUP_AHEAD'));
    rig.run(rig.acceptor.recordBackup(lsn(150)));
    expect(rig.state.backupLsn).toBe(150);
    rig.acceptor.recordRemoteConsistent(lsn(140));
    rig.run(rig.acceptor.updateStorage({ evictedAtLsn: lsn(200) }));
    expect(rig.state).toMatchObject({ evictedAtLsn: 200, remoteConsistentLsn: 140 });
  });

  test('and a pageserver is not believed to have more than is committed', () => {
    const rig = used();
    rig.acceptor.recordRemoteConsistent(lsn(Number.MAX_SAFE_INTEGER));
    expect(rig.acceptor.remoteConsistentLsn).toBe(150);
    rig.acceptor.recordRemoteConsistent(lsn(120));
    expect(rig.acceptor.remoteConsistentLsn).toBe(150);
  });
});

describe('term and membership', () => {
  test('a term is raised by one or to what is asked, and never lowered', () => {
    const rig = used();
    expect(rig.run(rig.acceptor.bumpTerm(undefined))).toEqual({ previousTerm: 1, currentTerm: 2 });
    expect(rig.run(rig.acceptor.bumpTerm(7))).toEqual({ previousTerm: 2, currentTerm: 7 });
    expect(rig.run(rig.acceptor.bumpTerm(3))).toEqual({ previousTerm: 7, currentTerm: 7 });
    expect(rig.state.term).toBe(7);
  });

  test('a term that leaves no room for others is refused, whoever brings it', () => {
    const rig = used();
    const term = TERM_MAX + 1;
    expect(() => rig.run(rig.acceptor.bumpTerm(term))).toThrow(/leaves no room/);
    expect(() => rig.run(rig.acceptor.vote({ kind: 'vote-request', generation: 0, term }))).toThrow(
      /leaves no room/,
    );
    expect(rig.state.term).toBe(1);
  });

  test('a joint configuration has a member of either set', () => {
    for (const id of [1, 4]) {
      const rig = new Rig(USED, 200, id);
      const joint = members(2, [1, 2, 3], [2, 3, 4]);
      expect(rig.run(rig.acceptor.switchMembership(joint))).toEqual(NO_MEMBERSHIP);
      expect(rig.state.membership).toEqual(joint);
    }
  });

  test.each<[string, MembershipConfiguration]>([
    ['STALE_GENERATION', members(1, [1])],
    ['NOT_A_MEMBER', members(3, [2, 3])],
    ['BAD_MEMBERSHIP', members(3, [])],
    ['BAD_MEMBERSHIP', members(3, [1], [])],
    ['BAD_MEMBERSHIP', members(3, [1, 1])],
  ])('%s', (code, next) => {
    const rig = new Rig({ ...USED, membership: members(2, [1, 2, 3]) }, 200);
    expect(() => rig.run(rig.acceptor.switchMembership(next))).toThrow(refusal(code));
    expect(rig.kinds).toEqual([]);
  });

  test('the same generation changes nothing', () => {
    const rig = new Rig({ ...USED, membership: members(2, [1, 2, 3]) }, 200);
    rig.run(rig.acceptor.switchMembership(members(2, [1, 5])));
    expect(rig.acceptor.membership).toEqual(members(2, [1, 2, 3]));
  });

  test('what was appended is durable before a generation is left', () => {
    const rig = used();
    rig.run(rig.acceptor.follow(elected(1, 200, history([1, 100]))));
    rig.run(rig.acceptor.append(append(1, 200, 50)));
    rig.run(rig.acceptor.switchMembership(members(2, [1, 2, 3])));
    expect(rig.kinds).toEqual(['flush-log', 'persist']);
    expect(() => rig.run(rig.acceptor.append(append(1, 250, 10)))).toThrow(refusal('GENERATION_MISMATCH'));
  });
});
