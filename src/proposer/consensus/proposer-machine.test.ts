import { describe, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import {
  type AcceptorGreeting,
  APPEND_BYTES_MAX,
  type AppendResponse,
  type VoteResponse,
} from '../../contracts/acceptor-messages.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type { TermHistory } from '../../contracts/term-history.ts';
import type { ProposerEffect } from './proposer-effects.ts';
import { ProposerMachine, type ProposerMachineOptions } from './proposer-machine.ts';

const lsn = (value: number): Lsn => toLsn(value);
const history = (...entries: [number, number][]): TermHistory =>
  entries.map(([term, start]) => ({ term, lsn: lsn(start) }));
const members = (generation: number, ids: number[], newIds?: number[]): MembershipConfiguration => {
  const set = (of: number[]): MembershipConfiguration['members'] =>
    of.map((id) => ({ id, host: `sk${id}`, pgPort: 5454 }));
  return { generation, members: set(ids), newMembers: newIds && set(newIds) };
};
const OPTIONS: ProposerMachineOptions = {
  tenantId: parseTenantId('11'.repeat(16)),
  timelineId: parseTimelineId('22'.repeat(16)),
  pgVersion: 170005,
  systemIdentifier: 7n,
  segmentBytes: 1024 * 1024,
  membership: members(1, [1, 2, 3]),
  initialLsn: lsn(100),
  previous: undefined,
};
const OLD_LOG = history([1, 100]);

const kinds = (effects: readonly ProposerEffect[]): string[] => effects.map(({ kind }) => kind);
const fenced = expect.objectContaining({ kind: 'fenced' });

/** A machine, and safekeepers that say what they are told to. */
class Rig {
  readonly machine: ProposerMachine;
  readonly membership: MembershipConfiguration;

  constructor(change: Partial<ProposerMachineOptions> = {}) {
    const options = { ...OPTIONS, ...change };
    this.machine = new ProposerMachine(options);
    this.membership = options.membership;
  }

  greet(id: number, term = 1, change: Partial<AcceptorGreeting> = {}): ProposerEffect[] {
    this.machine.connected(id);
    const greeting: AcceptorGreeting = { kind: 'greeting', nodeId: id, membership: this.membership, term };
    return this.machine.received(id, { ...greeting, ...change });
  }

  vote(
    id: number,
    flush: number,
    termHistory: TermHistory,
    change: Partial<VoteResponse> = {},
  ): ProposerEffect[] {
    return this.machine.received(id, {
      kind: 'vote-response',
      generation: this.membership.generation,
      term: this.machine.term,
      voteGiven: true,
      flushLsn: lsn(flush),
      truncateLsn: lsn(0),
      termHistory,
      ...change,
    });
  }

  answer(id: number, flush: number, commit = 0, change: Partial<AppendResponse> = {}): ProposerEffect[] {
    return this.machine.received(id, {
      kind: 'append-response',
      generation: this.membership.generation,
      term: this.machine.term,
      flushLsn: lsn(flush),
      commitLsn: lsn(commit),
      hotStandbyFeedback: { time: 0n, xmin: 0n, catalogXmin: 0n },
      pageserverFeedback: undefined,
      ...change,
    });
  }

  /** All members greet and vote; each has 200 of term 1. */
  elect(): this {
    const { members: old, newMembers } = this.membership;
    const ids = [...new Set([...old, ...(newMembers ?? [])].map(({ id }) => id))];
    for (const id of ids) this.greet(id);
    for (const id of ids) this.vote(id, 200, OLD_LOG);
    return this;
  }

  /** Writes up to here, and sends it to these. */
  send(endLsn: number, ...ids: number[]): void {
    this.machine.extendWal(lsn(endLsn));
    for (const id of ids) this.machine.nextAppend(id, lsn(0));
  }
}

describe('greetings', () => {
  test('tell who it is; without generations they name no members', () => {
    const [first] = new Rig().machine.connected(1);
    expect(first).toMatchObject({
      kind: 'send',
      to: 1,
      message: { kind: 'greeting', membership: { generation: 1 } },
    });
    const [second] = new Rig({ membership: members(0, [1, 2, 3]) }).machine.connected(1);
    expect(second).toMatchObject({ message: { membership: { generation: 0, members: [] } } });
  });

  test('of a quorum give the term: one above the highest', () => {
    const rig = new Rig();
    expect(rig.greet(1, 4)).toEqual([]);
    const effects = rig.greet(3, 6);
    expect(effects.map((effect) => effect.kind === 'send' && effect.to)).toEqual([1, 3]);
    expect(effects).toMatchObject([{ message: { kind: 'vote-request', generation: 1, term: 7 } }, {}]);
    expect(rig.machine.phase).toBe('campaigning');
    expect(rig.greet(2, 5)).toMatchObject([{ to: 2, message: { kind: 'vote-request', term: 7 } }]);
  });

  test('of both sets are needed while two sets decide', () => {
    const rig = new Rig({ membership: members(2, [1, 2, 3], [3, 4, 5]) });
    for (const id of [1, 2, 3]) expect(rig.greet(id)).toEqual([]);
    expect(kinds(rig.greet(4))).toHaveLength(4);
  });

  test('that were heard count when the connection is gone', () => {
    const rig = new Rig();
    rig.greet(1);
    rig.machine.disconnected(1);
    expect(rig.greet(2)).toMatchObject([{ to: 2, message: { kind: 'vote-request', term: 2 } }]);
  });

  test('that cannot be right end the connection', () => {
    const rig = new Rig();
    expect(kinds(rig.greet(1, 1, { nodeId: 9 }))).toEqual(['disconnect']);
    expect(kinds(rig.greet(1, 1, { membership: members(0, []) }))).toEqual(['disconnect']);
    rig.greet(1);
    const again = { kind: 'greeting', nodeId: 1, membership: rig.membership, term: 1 } as const;
    expect(kinds(rig.machine.received(1, again))).toEqual(['disconnect']);
    // Nothing more of it is listened to.
    expect(rig.machine.received(1, again)).toEqual([]);
  });

  test('of a newer generation end this election, whatever its phase', () => {
    const newer = { membership: members(2, [1, 2, 3], [1, 2, 4]) };
    const greeting = new Rig();
    expect(greeting.greet(1, 1, newer)).toEqual([{ kind: 'membership-changed', ...newer }]);
    const campaigning = new Rig();
    for (const id of [1, 2]) campaigning.greet(id);
    expect(kinds(campaigning.greet(3, 1, newer))).toEqual(['membership-changed']);
    const elected = new Rig().elect();
    expect(kinds(elected.greet(3, 2, newer))).toEqual(['membership-changed']);
    expect(elected.machine.phase).toBe('over');
    expect(elected.machine.connected(1)).toEqual([]);
    expect(elected.machine.extendWal(lsn(300))).toEqual([]);
    expect(elected.answer(1, 200)).toEqual([]);
  });

  test('nobody to greet is refused', () => {
    expect(() => new Rig({ membership: members(1, []) })).toThrow(
      expect.objectContaining({ code: 'NO_SAFEKEEPERS' }),
    );
  });
});

describe('votes', () => {
  test('of a quorum win; each voter is told where its log goes on', () => {
    const rig = new Rig();
    for (const id of [1, 2, 3]) rig.greet(id);
    expect(rig.vote(1, 200, OLD_LOG)).toEqual([]);
    const effects = rig.vote(2, 150, OLD_LOG);
    expect(kinds(effects)).toEqual(['elected', 'send', 'pump', 'send', 'pump']);
    expect(effects[0]).toEqual({ kind: 'elected', term: 2, startLsn: 200 });
    const termHistory = history([1, 100], [2, 200]);
    expect(effects[1]).toMatchObject({
      to: 1,
      message: { kind: 'elected', startStreamingAt: 200, termHistory },
    });
    expect(effects[3]).toMatchObject({
      to: 2,
      message: { kind: 'elected', startStreamingAt: 150, termHistory },
    });
    expect(kinds(rig.vote(3, 0, []))).toEqual(['send', 'pump']);
    expect(rig.machine.nextAppend(3, lsn(200))).toMatchObject({ kind: 'fetch', beginLsn: 100, endLsn: 200 });
  });

  test('of both sets are needed while two sets decide', () => {
    const rig = new Rig({ membership: members(2, [1, 2, 3], [3, 4, 5]) });
    for (const id of [1, 2, 3, 4, 5]) rig.greet(id);
    for (const id of [1, 2, 3]) expect(rig.vote(id, 200, OLD_LOG)).toEqual([]);
    expect(kinds(rig.vote(5, 0, []))[0]).toBe('elected');
  });

  test('cut a log that went on in a term that lost', () => {
    const rig = new Rig();
    for (const id of [1, 2]) rig.greet(id, 3);
    rig.vote(1, 300, history([1, 100], [2, 160]));
    const effects = rig.vote(2, 180, history([1, 100], [3, 170]));
    expect(effects[0]).toMatchObject({ startLsn: 180 });
    expect(effects[1]).toMatchObject({ to: 1, message: { startStreamingAt: 160 } });
  });

  test('that are not given lose the campaign, also in the same term', () => {
    for (const term of [2, 3]) {
      const rig = new Rig();
      for (const id of [1, 2]) rig.greet(id);
      expect(rig.vote(1, 200, OLD_LOG, { voteGiven: false, term })).toEqual([{ kind: 'outvoted', term }]);
      expect(rig.machine.phase).toBe('over');
    }
  });

  test('that were given hold over a new connection, in each phase', () => {
    const rig = new Rig();
    for (const id of [1, 2]) rig.greet(id);
    rig.vote(1, 200, OLD_LOG);
    rig.machine.disconnected(1);
    expect(rig.greet(1, 2)).toMatchObject([{ message: { kind: 'vote-request', term: 2 } }]);
    expect(rig.vote(1, 200, OLD_LOG, { voteGiven: false })).toEqual([]);
    rig.machine.disconnected(1);
    // It is not there to be told, but its vote counts.
    const effects = rig.vote(2, 200, OLD_LOG);
    expect(kinds(effects)).toEqual(['elected', 'send', 'pump']);
    rig.greet(1, 2);
    expect(kinds(rig.vote(1, 200, OLD_LOG, { voteGiven: false }))).toEqual(['send', 'pump']);
  });

  test('that cannot be right end the connection', () => {
    const rig = new Rig();
    rig.machine.connected(1);
    expect(kinds(rig.vote(1, 200, OLD_LOG))).toEqual(['disconnect']);
    for (const id of [1, 2, 3]) rig.greet(id);
    expect(kinds(rig.vote(1, 200, OLD_LOG, { generation: 2 }))).toEqual(['disconnect']);
    for (const id of [2, 3]) rig.vote(id, 200, OLD_LOG);
    rig.greet(1, 2);
    expect(kinds(rig.vote(1, 200, history([1, 99])))).toEqual(['disconnect']);
  });
});

describe('appends', () => {
  test('carry what is at hand, in pieces, and count as sent', () => {
    const rig = new Rig().elect();
    rig.machine.extendWal(lsn(200 + APPEND_BYTES_MAX + 5));
    expect(rig.machine.nextAppend(1, lsn(200))).toEqual({
      kind: 'append',
      generation: 1,
      term: 2,
      beginLsn: 200,
      endLsn: 200 + APPEND_BYTES_MAX,
      commitLsn: 0,
      truncateLsn: 0,
    });
    expect(rig.machine.nextAppend(1, lsn(200))).toMatchObject({ endLsn: 200 + APPEND_BYTES_MAX + 5 });
    expect(rig.machine.nextAppend(1, lsn(200))).toBeUndefined();
    rig.machine.heartbeat();
    expect(rig.machine.nextAppend(1, lsn(200))).toMatchObject({ beginLsn: 200 + APPEND_BYTES_MAX + 5 });
  });

  test('of older WAL are fetched; what was not asked for is a bug', () => {
    const rig = new Rig();
    for (const id of [1, 2]) rig.greet(id);
    rig.vote(1, 200, OLD_LOG);
    rig.vote(2, 150, OLD_LOG);
    expect(rig.machine.donors).toEqual([]);
    rig.machine.nextAppend(1, lsn(200));
    rig.answer(1, 200);
    expect(rig.machine.donors).toEqual([1]);
    expect(rig.machine.nextAppend(2, lsn(200))).toEqual({ kind: 'fetch', beginLsn: 150, endLsn: 200 });
    expect(() => rig.machine.fetched(2, lsn(160), lsn(170))).toThrow(/does not need now/);
    expect(() => rig.machine.fetched(2, lsn(150), lsn(201))).toThrow(/does not need now/);
    expect(rig.machine.fetched(2, lsn(150), lsn(170))).toMatchObject({ beginLsn: 150, endLsn: 170 });
    expect(rig.machine.neededLsn).toBe(0);
    rig.machine.disconnected(2);
    expect(rig.machine.fetched(2, lsn(170), lsn(200))).toBeUndefined();
    expect(rig.machine.nextAppend(2, lsn(0))).toBeUndefined();
  });

  test('need an election, and WAL never gets shorter', () => {
    expect(() => new Rig().machine.extendWal(lsn(200))).toThrow(/before the election/);
    expect(() => new Rig().elect().machine.extendWal(lsn(199))).toThrow(/went back/);
    expect(() => new Rig().machine.connected(9)).toThrow(/not in the configuration/);
  });
});

describe('commit', () => {
  test('of the start needs no WAL: who was told of the election is asked at once', () => {
    const rig = new Rig().elect();
    for (const id of [1, 2]) {
      expect(rig.machine.nextAppend(id, lsn(200))).toMatchObject({ beginLsn: 200, endLsn: 200 });
      rig.answer(id, 200);
    }
    expect(rig.machine.commitLsn).toBe(200);
  });

  test('is what a quorum has, and is told to all at once', () => {
    const rig = new Rig().elect();
    rig.send(300, 1, 2, 3);
    expect(rig.answer(1, 280)).toEqual([]);
    const effects = rig.answer(2, 250);
    expect(effects[0]).toEqual({ kind: 'committed', commitLsn: 250 });
    expect(kinds(effects)).toEqual(['committed', 'pump', 'pump', 'pump']);
    expect(rig.machine.nextAppend(3, lsn(0))).toMatchObject({ beginLsn: 300, endLsn: 300, commitLsn: 250 });
    expect(rig.machine.nextAppend(3, lsn(0))).toBeUndefined();
    // What a safekeeper once had counts when it is gone, and an older answer takes nothing back.
    rig.machine.disconnected(1);
    rig.answer(2, 240);
    expect(rig.machine.positionOf(2).flushLsn).toBe(250);
    expect(rig.answer(3, 270)[0]).toEqual({ kind: 'committed', commitLsn: 270 });
  });

  test('never is of an earlier term alone', () => {
    const rig = new Rig();
    for (const id of [1, 2, 3]) rig.greet(id);
    rig.vote(1, 200, OLD_LOG);
    for (const id of [2, 3]) rig.vote(id, 150, OLD_LOG);
    for (const id of [2, 3]) {
      rig.machine.fetched(id, lsn(150), lsn(199));
      expect(rig.answer(id, 199)).toEqual([]);
      rig.machine.fetched(id, lsn(199), lsn(200));
    }
    rig.machine.nextAppend(1, lsn(200));
    expect(rig.answer(1, 200)).toEqual([]);
    expect(rig.answer(2, 200)[0]).toEqual({ kind: 'committed', commitLsn: 200 });
  });

  test('needs a majority of both sets', () => {
    const rig = new Rig({ membership: members(2, [1, 2, 3], [3, 4, 5]) }).elect();
    rig.send(300, 1, 2, 3, 4, 5);
    for (const id of [1, 2, 3]) expect(rig.answer(id, 300)).toEqual([]);
    expect(rig.answer(5, 260)[0]).toEqual({ kind: 'committed', commitLsn: 260 });
    const other = new Rig({ membership: members(2, [1, 2, 3], [3, 4, 5]) }).elect();
    other.send(300, 1, 2, 3, 4, 5);
    for (const id of [3, 4, 5]) expect(other.answer(id, 300)).toEqual([]);
    expect(other.answer(1, 260)[0]).toEqual({ kind: 'committed', commitLsn: 260 });
  });

  test('does not count answers of another generation', () => {
    const rig = new Rig().elect();
    rig.send(300, 1, 2, 3);
    rig.answer(1, 300);
    expect(kinds(rig.answer(2, 300, 0, { generation: 2 }))).toEqual(['disconnect']);
    expect(rig.machine.commitLsn).toBe(0);
    expect(rig.answer(3, 290)[0]).toEqual({ kind: 'committed', commitLsn: 290 });
  });

  test('does not count what was not sent, or comes too early', () => {
    const rig = new Rig().elect();
    rig.send(300, 1);
    expect(kinds(rig.answer(1, 301))).toEqual(['disconnect']);
    expect(kinds(rig.answer(2, 200, 0, { term: 1 }))).toEqual(['disconnect']);
    rig.greet(3, 2);
    expect(kinds(rig.answer(3, 200))).toEqual(['disconnect']);
    expect(rig.machine.commitLsn).toBe(0);
  });

  test('of the start is known when a quorum has it on disk', () => {
    const rig = new Rig().elect();
    rig.send(300, 1, 2, 3);
    rig.answer(1, 300, 150);
    expect(kinds(rig.answer(2, 300, 150))).not.toContain('start-committed');
    expect(kinds(rig.answer(1, 300, 200))).toEqual([]);
    expect(kinds(rig.answer(3, 300, 200))).toEqual(['start-committed']);
    expect(kinds(rig.answer(2, 300, 200))).toEqual([]);
  });
});

describe('what all have', () => {
  test('is the lowest of all, also of those that are away, and is committed', () => {
    const rig = new Rig();
    for (const id of [1, 2, 3]) rig.greet(id);
    rig.vote(1, 200, OLD_LOG, { truncateLsn: lsn(130) });
    for (const id of [2, 3]) rig.vote(id, 200, OLD_LOG);
    expect(rig.machine.truncateLsn).toBe(130);
    rig.send(300, 1, 2, 3);
    for (const id of [1, 2]) rig.answer(id, 300);
    expect(rig.machine.truncateLsn).toBe(130);
    rig.answer(3, 260);
    rig.machine.disconnected(3);
    expect(rig.machine.truncateLsn).toBe(260);
    rig.machine.heartbeat();
    expect(rig.machine.nextAppend(1, lsn(0))).toMatchObject({ commitLsn: 300, truncateLsn: 260 });
  });
});

describe('a higher term', () => {
  test('loses a campaign', () => {
    const rig = new Rig();
    for (const id of [1, 2]) rig.greet(id);
    expect(rig.greet(3, 3)).toEqual([{ kind: 'outvoted', term: 3 }]);
  });

  test('fences a winner: in a greeting, a vote, and an answer to WAL', () => {
    const fences = (effects: ProposerEffect[]): void => {
      expect(effects).toEqual([{ kind: 'fenced', reason: fenced }]);
    };
    fences(new Rig().elect().greet(3, 3));
    const voting = new Rig().elect();
    voting.greet(3, 2);
    fences(voting.vote(3, 200, OLD_LOG, { voteGiven: false, term: 3 }));
    fences(new Rig().elect().answer(2, 0, 0, { term: 3 }));
    // Also where the answer comes from a safekeeper that has left the generation.
    fences(new Rig().elect().answer(2, 0, 0, { term: 3, generation: 2 }));
  });
});

describe('an election after an election', () => {
  const again = (rig: Rig): Rig => new Rig({ previous: rig.machine.elections });

  test('is told of the one before', () => {
    const first = new Rig();
    expect(first.machine.elections).toEqual({ terms: [], startLsn: 0, donorTerm: 0, askedTerm: 0 });
    first.elect();
    expect(first.machine.elections).toEqual({ terms: [2], startLsn: 200, donorTerm: 1, askedTerm: 2 });
    const second = again(first);
    for (const id of [1, 2]) second.greet(id, 2);
    expect(second.machine.elections).toEqual({ terms: [2], startLsn: 200, donorTerm: 1, askedTerm: 3 });
    for (const id of [1, 2]) second.vote(id, 250, history([1, 100], [2, 200]));
    expect(second.machine.startLsn).toBe(250);
    expect(second.machine.elections).toEqual({ terms: [2, 3], startLsn: 200, donorTerm: 1, askedTerm: 3 });
  });

  test('remembers what was asked for and not won, and begins anew all the same', () => {
    const lost = new Rig();
    for (const id of [1, 2]) lost.greet(id, 6);
    expect(lost.machine.elections).toEqual({ terms: [], startLsn: 0, donorTerm: 0, askedTerm: 7 });
    const rig = again(lost);
    for (const id of [1, 2]) rig.greet(id, 1);
    expect(rig.machine.term).toBe(8);
    for (const id of [1, 2]) rig.vote(id, 200, OLD_LOG);
    expect(rig.machine.elections).toEqual({ terms: [8], startLsn: 200, donorTerm: 1, askedTerm: 8 });
    // Nothing runs yet that could be fenced.
    expect(again(lost).greet(1, 30)).toEqual([]);
  });

  test('is fenced by a term that it has not asked for', () => {
    const rig = again(new Rig().elect());
    expect(rig.greet(1, 3)).toEqual([{ kind: 'fenced', reason: fenced }]);
    const campaigning = again(new Rig().elect());
    for (const id of [1, 2]) campaigning.greet(id, 2);
    expect(campaigning.greet(3, 4)).toEqual([{ kind: 'fenced', reason: fenced }]);
  });

  test('is not fenced by a vote of its own whose answer was lost', () => {
    const second = again(new Rig().elect());
    for (const id of [1, 2]) second.greet(id, 2);
    second.machine.disconnected(1);
    second.greet(1, 3);
    const lost = second.vote(1, 200, OLD_LOG, { voteGiven: false });
    expect(lost).toEqual([{ kind: 'outvoted', term: 3 }]);
    const third = again(second);
    expect(third.greet(1, 3)).toEqual([]);
    expect(third.greet(2, 2)).toMatchObject([{ message: { term: 4 } }, { message: { term: 4 } }]);
  });

  test('is fenced by the log of a successor', () => {
    const rig = again(new Rig().elect());
    for (const id of [1, 2]) rig.greet(id, 2);
    rig.vote(1, 200, history([1, 100], [2, 200]));
    const effects = rig.vote(2, 260, history([1, 100], [2, 200], [3, 240]), { term: 3 });
    expect(effects).toMatchObject([{ kind: 'fenced', reason: { code: 'LOG_OF_ANOTHER' } }]);
    expect(rig.machine.phase).toBe('over');
  });
});
