import { AssertionError, BadRequestError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import {
  type AcceptorGreeting,
  type AcceptorMessage,
  APPEND_BYTES_MAX,
  type AppendResponse,
  type VoteResponse,
} from '../../contracts/acceptor-messages.ts';
import { hasQuorum, type MembershipConfiguration, quorumPosition } from '../../contracts/membership.ts';
import { highestCommonPoint, type TermHistory } from '../../contracts/term-history.ts';
import { checkVoteFits, type ElectionOutcome, electionOutcome, type PreviousElections } from './election.ts';
import type { AppendRange, FetchRange, ProposerEffect } from './proposer-effects.ts';

export interface ProposerMachineOptions {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** Such as 170005; 0 where it is not known. */
  readonly pgVersion: number;
  /** 0 where it is not known. */
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
  /** Whom to ask. In generation 0 its members are all that there are. */
  readonly membership: MembershipConfiguration;
  /** Where the log begins if nothing was ever written to it. */
  readonly initialLsn: Lsn;
  /** What the last machine of this proposer gave as `elections`; undefined for the first. */
  readonly previous: PreviousElections | undefined;
}

type Phase = 'greeting' | 'campaigning' | 'elected' | 'over';

/** What is known of one safekeeper. */
interface Peer {
  readonly id: number;
  phase: 'offline' | 'connected' | 'greeted' | 'voted' | 'streaming';
  /** Term of its greeting; -1 before one. */
  greetedTerm: number;
  /** Its vote for us, which holds also when the connection is gone. */
  grantedVote: VoteResponse | undefined;
  /** Where its log goes on, over this connection: all below was sent. */
  sentLsn: Lsn;
  /** What it has made durable in our term, as it said; it holds also when the connection is gone. */
  flushLsn: Lsn;
  /** The commit LSN that is in its control file. */
  persistedCommitLsn: Lsn;
  /** What it was told last. */
  toldCommitLsn: Lsn;
  isHeartbeatDue: boolean;
}

/**
 * The proposer's part in the consensus on one timeline's WAL: it gets a term from a quorum, finds out where the log
 * ends, makes every safekeeper's log the same up to there and sends what comes after, and knows what is committed.
 *
 * Pure: each method takes what has happened and returns what is to be done. It holds no WAL, only positions. One
 * machine does one election; it is `over` once it has returned ‘outvoted’, ‘fenced’ or ‘membership-changed’.
 */
export class ProposerMachine {
  readonly #options: ProposerMachineOptions;
  readonly #peers: ReadonlyMap<number, Peer>;
  #phase: Phase = 'greeting';
  #term = 0;
  #history: TermHistory = [];
  #startLsn: Lsn = INVALID_LSN;
  #truncateLsn: Lsn = INVALID_LSN;
  #commitLsn: Lsn = INVALID_LSN;
  #walEndLsn: Lsn = INVALID_LSN;
  #isStartCommitted = false;

  constructor(options: ProposerMachineOptions) {
    this.#options = options;
    const { members, newMembers } = options.membership;
    if (members.length === 0) {
      throw new BadRequestError('NO_SAFEKEEPERS', 'a proposer needs at least one safekeeper');
    }
    const ids = new Set([...members, ...(newMembers ?? [])].map(({ id }) => id));
    this.#peers = new Map([...ids].map((id) => [id, newPeer(id)]));
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** The term of this election; 0 before it has one. */
  get term(): number {
    return this.#term;
  }

  get startLsn(): Lsn {
    return this.#startLsn;
  }

  get commitLsn(): Lsn {
    return this.#commitLsn;
  }

  /** What the next machine of this proposer must be told as `previous`. */
  get elections(): PreviousElections {
    const { previous } = this.#options;
    const terms = previous?.terms ?? [];
    const askedTerm = Math.max(previous?.askedTerm ?? 0, this.#term);
    const isWon = this.#history.length > 0;
    if (previous !== undefined && (terms.length > 0 || !isWon)) {
      return { ...previous, terms: isWon ? [...terms, this.#term] : terms, askedTerm };
    }
    const donorTerm = this.#history.at(-2)?.term ?? 0;
    return { terms: isWon ? [this.#term] : [], startLsn: this.#startLsn, donorTerm, askedTerm };
  }

  /** All safekeepers have all below. */
  get truncateLsn(): Lsn {
    return this.#truncateLsn;
  }

  get termHistory(): TermHistory {
    return this.#history;
  }

  /** The lowest position that a connected safekeeper still needs; `commitLsn` where none needs older WAL. */
  get neededLsn(): Lsn {
    let needed = this.#commitLsn;
    for (const peer of this.#peers.values()) {
      if (peer.phase === 'streaming' && peer.sentLsn < needed) needed = peer.sentLsn;
    }
    return needed;
  }

  /** Safekeepers whom older WAL can be read from, those that have most first. */
  get donors(): readonly number[] {
    return [...this.#peers.values()]
      .filter(({ phase, flushLsn }) => phase === 'streaming' && flushLsn > 0)
      .sort((left, right) => right.flushLsn - left.flushLsn || left.id - right.id)
      .map(({ id }) => id);
  }

  /** True if a quorum is connected and takes part. */
  get hasStreamingQuorum(): boolean {
    return hasQuorum(this.#options.membership, (id) => this.#peers.get(id)?.phase === 'streaming');
  }

  /** What a safekeeper has made durable in this term, and what it was told of the commit LSN. */
  positionOf(id: number): {
    readonly flushLsn: Lsn;
    readonly toldCommitLsn: Lsn;
    readonly isStreaming: boolean;
  } {
    const { flushLsn, toldCommitLsn, phase } = this.#peer(id);
    return { flushLsn, toldCommitLsn, isStreaming: phase === 'streaming' };
  }

  /** There is a connection to this safekeeper. */
  connected(id: number): ProposerEffect[] {
    if (this.#phase === 'over') return [];
    const peer = this.#peer(id);
    peer.phase = 'connected';
    const { tenantId, timelineId, membership, pgVersion, systemIdentifier, segmentBytes } = this.#options;
    const sent =
      membership.generation === 0 ? { generation: 0, members: [], newMembers: undefined } : membership;
    const message = {
      kind: 'greeting',
      tenantId,
      timelineId,
      membership: sent,
      pgVersion,
      systemIdentifier,
      segmentBytes,
    } as const;
    return [{ kind: 'send', to: id, message }];
  }

  disconnected(id: number): ProposerEffect[] {
    this.#peer(id).phase = 'offline';
    return [];
  }

  /** A message came over the connection to this safekeeper. */
  received(id: number, message: AcceptorMessage): ProposerEffect[] {
    const peer = this.#peer(id);
    if (this.#phase === 'over' || peer.phase === 'offline') return [];
    switch (message.kind) {
      case 'greeting':
        return this.#greeted(peer, message);
      case 'vote-response':
        return this.#voted(peer, message);
      case 'append-response':
        return this.#appended(peer, message);
    }
  }

  /** WAL up to here is at hand and may be sent. Never goes back. */
  extendWal(endLsn: Lsn): ProposerEffect[] {
    if (this.#phase === 'over') return [];
    if (this.#phase !== 'elected') throw new AssertionError('WAL came before the election was won');
    if (endLsn < this.#walEndLsn) throw new AssertionError('the end of WAL went back', { lsn: endLsn });
    this.#walEndLsn = endLsn;
    return this.#pumpAll();
  }

  /** Time has passed: tell every safekeeper that we are here. */
  heartbeat(): ProposerEffect[] {
    for (const peer of this.#peers.values()) peer.isHeartbeatDue = true;
    return this.#pumpAll();
  }

  /**
   * What to send to this safekeeper next; undefined if there is nothing. An append counts as sent with this call.
   * @param heldFromLsn WAL from here on is at hand
   */
  nextAppend(id: number, heldFromLsn: Lsn): AppendRange | FetchRange | undefined {
    const peer = this.#peer(id);
    if (this.#phase !== 'elected' || peer.phase !== 'streaming') return undefined;
    if (peer.sentLsn < this.#walEndLsn) {
      if (peer.sentLsn < heldFromLsn) return { kind: 'fetch', beginLsn: peer.sentLsn, endLsn: heldFromLsn };
      return this.#append(peer, Math.min(this.#walEndLsn, peer.sentLsn + APPEND_BYTES_MAX) as Lsn);
    }
    if (peer.isHeartbeatDue || peer.toldCommitLsn < this.#commitLsn) return this.#append(peer, peer.sentLsn);
    return undefined;
  }

  /**
   * Older WAL that this safekeeper lacks has been fetched: the append that carries it, at most APPEND_BYTES_MAX long.
   * It counts as sent with this call.
   */
  fetched(id: number, beginLsn: Lsn, endLsn: Lsn): AppendRange | undefined {
    const peer = this.#peer(id);
    if (this.#phase !== 'elected' || peer.phase !== 'streaming') return undefined;
    if (beginLsn !== peer.sentLsn || endLsn > this.#walEndLsn || endLsn - beginLsn > APPEND_BYTES_MAX) {
      throw new AssertionError(`WAL was fetched that safekeeper ${id} does not need now`, { lsn: beginLsn });
    }
    return this.#append(peer, endLsn);
  }

  #peer(id: number): Peer {
    const peer = this.#peers.get(id);
    if (peer === undefined) throw new AssertionError(`safekeeper ${id} is not in the configuration`);
    return peer;
  }

  #append(peer: Peer, endLsn: Lsn): AppendRange {
    const beginLsn = peer.sentLsn;
    peer.sentLsn = endLsn;
    peer.toldCommitLsn = this.#commitLsn;
    peer.isHeartbeatDue = false;
    return {
      kind: 'append',
      generation: this.#options.membership.generation,
      term: this.#term,
      beginLsn,
      endLsn,
      commitLsn: this.#commitLsn,
      truncateLsn: this.#truncateLsn,
    };
  }

  #greeted(peer: Peer, greeting: AcceptorGreeting): ProposerEffect[] {
    const { membership, previous } = this.#options;
    if (peer.phase !== 'connected') return disconnect(peer, 'a second greeting came');
    if (greeting.nodeId !== peer.id)
      return disconnect(peer, `safekeeper ${greeting.nodeId} answers at its address`);
    if (greeting.membership.generation > membership.generation) {
      this.#phase = 'over';
      return [{ kind: 'membership-changed', membership: greeting.membership }];
    }
    if (greeting.membership.generation < membership.generation) {
      return disconnect(peer, `it stays in generation ${greeting.membership.generation}`);
    }
    // Before a server runs there is nothing to fence.
    const isServing = previous !== undefined && previous.terms.length > 0;
    if (isServing && greeting.term > Math.max(previous.askedTerm, this.#term)) {
      return this.#fence(greeting.term, peer.id);
    }
    peer.phase = 'greeted';
    peer.greetedTerm = greeting.term;
    if (this.#phase === 'greeting') return this.#campaignIfHeard();
    if (greeting.term > this.#term) return this.#overtaken(greeting.term, peer.id);
    return [this.#voteRequest(peer)];
  }

  #campaignIfHeard(): ProposerEffect[] {
    if (!hasQuorum(this.#options.membership, (id) => (this.#peers.get(id)?.greetedTerm ?? -1) >= 0))
      return [];
    this.#phase = 'campaigning';
    const known = [...this.#peers.values()].map(({ greetedTerm }) => greetedTerm);
    this.#term = Math.max(0, this.#options.previous?.askedTerm ?? 0, ...known) + 1;
    return [...this.#peers.values()]
      .filter(({ phase }) => phase === 'greeted')
      .map((peer) => this.#voteRequest(peer));
  }

  #voteRequest(peer: Peer): ProposerEffect {
    const { generation } = this.#options.membership;
    return { kind: 'send', to: peer.id, message: { kind: 'vote-request', generation, term: this.#term } };
  }

  #voted(peer: Peer, vote: VoteResponse): ProposerEffect[] {
    if (peer.phase !== 'greeted' || this.#phase === 'greeting')
      return disconnect(peer, 'a vote came unasked');
    if (vote.term > this.#term) return this.#overtaken(vote.term, peer.id);
    if (vote.generation !== this.#options.membership.generation) return leftGeneration(peer, vote);
    if (this.#phase === 'campaigning') {
      // It is in our term. Unless it has given us its vote before, somebody else has it, or our answer was lost:
      // another term tells.
      if (!vote.voteGiven && peer.grantedVote === undefined) return this.#overtaken(vote.term, peer.id);
      peer.phase = 'voted';
      peer.grantedVote = vote;
      return this.#electIfVoted();
    }
    peer.phase = 'voted';
    return this.#follow(peer, vote);
  }

  #electIfVoted(): ProposerEffect[] {
    const { membership, initialLsn, previous } = this.#options;
    if (!hasQuorum(membership, (id) => this.#peers.get(id)?.grantedVote !== undefined)) return [];
    const voters = [...this.#peers.values()].filter(({ grantedVote }) => grantedVote !== undefined);
    let outcome: ElectionOutcome;
    try {
      outcome = electionOutcome(
        this.#term,
        voters.map(({ grantedVote }) => grantedVote as VoteResponse),
        initialLsn,
      );
      checkVoteFits(outcome, previous);
    } catch (error) {
      this.#phase = 'over';
      if (error instanceof VarveError && error.kind === 'fenced') return [{ kind: 'fenced', reason: error }];
      throw error;
    }
    this.#phase = 'elected';
    this.#history = outcome.termHistory;
    this.#startLsn = outcome.startLsn;
    this.#walEndLsn = outcome.startLsn;
    this.#truncateLsn = outcome.truncateLsn;
    const effects: ProposerEffect[] = [{ kind: 'elected', term: this.#term, startLsn: this.#startLsn }];
    for (const peer of voters) {
      if (peer.phase === 'voted') effects.push(...this.#follow(peer, peer.grantedVote as VoteResponse));
    }
    return effects;
  }

  /** Tells a safekeeper where its log goes on. */
  #follow(peer: Peer, vote: VoteResponse): ProposerEffect[] {
    let startStreamingAt: Lsn;
    try {
      const common = highestCommonPoint(this.#history, vote.termHistory, vote.flushLsn);
      startStreamingAt = common?.lsn ?? (this.#history[0] as { lsn: Lsn }).lsn;
    } catch (error) {
      peer.phase = 'offline';
      return [{ kind: 'disconnect', from: peer.id, reason: error as Error }];
    }
    peer.phase = 'streaming';
    peer.sentLsn = startStreamingAt;
    peer.toldCommitLsn = INVALID_LSN;
    // An answer to this one shows that it follows.
    peer.isHeartbeatDue = true;
    const { generation } = this.#options.membership;
    return [
      {
        kind: 'send',
        to: peer.id,
        message: {
          kind: 'elected',
          generation,
          term: this.#term,
          startStreamingAt,
          termHistory: this.#history,
        },
      },
      { kind: 'pump', to: peer.id },
    ];
  }

  #appended(peer: Peer, response: AppendResponse): ProposerEffect[] {
    if (response.term > this.#term) return this.#overtaken(response.term, peer.id);
    if (peer.phase !== 'streaming') return disconnect(peer, 'an answer to WAL came before there was any');
    // Who changes the members has asked what it has when it left our generation. What has become durable there since
    // may not count in ours: the new members need not have it.
    if (response.generation !== this.#options.membership.generation) return leftGeneration(peer, response);
    if (response.term < this.#term || response.flushLsn > peer.sentLsn) {
      return disconnect(
        peer,
        `it claims ${formatLsn(response.flushLsn)} in term ${response.term}, which was not sent`,
      );
    }
    if (response.flushLsn > peer.flushLsn) peer.flushLsn = response.flushLsn;
    peer.persistedCommitLsn = response.commitLsn;
    const effects = this.#advanceCommit();
    if (!this.#isStartCommitted && this.#knowsStart()) {
      this.#isStartCommitted = true;
      effects.push({ kind: 'start-committed' });
    }
    return effects;
  }

  #advanceCommit(): ProposerEffect[] {
    const { membership } = this.#options;
    const flushOf = (id: number): number => this.#peers.get(id)?.flushLsn ?? 0;
    // WAL of earlier terms counts only once the quorum has the start of this one.
    const reached = quorumPosition(membership, (id) =>
      flushOf(id) >= this.#startLsn ? flushOf(id) : 0,
    ) as Lsn;
    this.#advanceTruncate();
    if (reached <= this.#commitLsn) return [];
    this.#commitLsn = reached;
    this.#advanceTruncate();
    return [{ kind: 'committed', commitLsn: reached }, ...this.#pumpAll()];
  }

  #advanceTruncate(): void {
    let lowest = this.#commitLsn;
    for (const { flushLsn } of this.#peers.values()) if (flushLsn < lowest) lowest = flushLsn;
    if (lowest > this.#truncateLsn) this.#truncateLsn = lowest;
  }

  #knowsStart(): boolean {
    return (
      this.#commitLsn >= this.#startLsn &&
      hasQuorum(
        this.#options.membership,
        (id) => (this.#peers.get(id)?.persistedCommitLsn ?? 0) >= this.#startLsn,
      )
    );
  }

  #pumpAll(): ProposerEffect[] {
    const effects: ProposerEffect[] = [];
    for (const { phase, id } of this.#peers.values()) {
      if (phase === 'streaming') effects.push({ kind: 'pump', to: id });
    }
    return effects;
  }

  /** A higher term than ours was seen, or ours is somebody else's. */
  #overtaken(term: number, by: number): ProposerEffect[] {
    if (this.#phase === 'elected') return this.#fence(term, by);
    this.#phase = 'over';
    return [{ kind: 'outvoted', term }];
  }

  #fence(term: number, by: number): ProposerEffect[] {
    this.#phase = 'over';
    const ours = this.#term || this.#options.previous?.terms.at(-1);
    const reason = new VarveError(
      'fenced',
      'FENCED',
      `safekeeper ${by} of timeline ${this.#options.tenantId}/${this.#options.timelineId} is in term ${term}, ours is ${ours}: a successor has taken over`,
    );
    return [{ kind: 'fenced', reason }];
  }
}

function newPeer(id: number): Peer {
  return {
    id,
    phase: 'offline',
    greetedTerm: -1,
    grantedVote: undefined,
    sentLsn: INVALID_LSN,
    flushLsn: INVALID_LSN,
    persistedCommitLsn: INVALID_LSN,
    toldCommitLsn: INVALID_LSN,
    isHeartbeatDue: false,
  };
}

/** Its greeting over a new connection will say what it is in now. */
function leftGeneration(peer: Peer, { generation }: VoteResponse | AppendResponse): ProposerEffect[] {
  return disconnect(peer, `it answers in generation ${generation}`);
}

/** Nothing more of this connection is listened to. */
function disconnect(peer: Peer, why: string): ProposerEffect[] {
  peer.phase = 'offline';
  const reason = new VarveError(
    'corruption',
    'BAD_SAFEKEEPER',
    `safekeeper ${peer.id} is not believed: ${why}`,
  );
  return [{ kind: 'disconnect', from: peer.id, reason }];
}
