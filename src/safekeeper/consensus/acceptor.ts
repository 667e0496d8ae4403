import { BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import type {
  AcceptorGreeting,
  AppendRequest,
  AppendResponse,
  Elected,
  ProposerGreeting,
  VoteRequest,
  VoteResponse,
} from '../../contracts/acceptor-messages.ts';
import { checkMembership, isMember, type MembershipConfiguration } from '../../contracts/membership.ts';
import { highestCommonPoint, historyUpTo, lastLogTerm, TERM_MAX } from '../../contracts/term-history.ts';
import type { Decision, LogPosition } from './effects.ts';
import type { PersistentState } from './persistent-state.ts';
import { checkPositions } from './positions.ts';
import { checkServer, updatedServer } from './server-info.ts';

/** What other safekeepers of the timeline tell of it. */
export interface PeerPositions {
  readonly lastLogTerm: number;
  readonly commitLsn: Lsn;
  readonly backupLsn: Lsn;
  readonly peerHorizonLsn: Lsn;
  readonly remoteConsistentLsn: Lsn;
}

const NO_FEEDBACK = { time: 0n, xmin: 0n, catalogXmin: 0n } as const;
const max = (left: Lsn, right: Lsn): Lsn => (left > right ? left : right);
const min = (left: Lsn, right: Lsn): Lsn => (left < right ? left : right);

/**
 * One safekeeper's part in the consensus on one timeline's WAL: it votes once a term, follows the highest term that it
 * knows, and never says that WAL is durable before it is. Pure: it decides, and yields what is to be done.
 *
 * Decisions must run one at a time, each to its end. Its fields may be read at any time, also in the middle of a
 * decision: they change only when what they say is so.
 */
export class Acceptor {
  readonly nodeId: number;
  #persistent: PersistentState;
  #log: LogPosition;
  #commitLsn: Lsn;
  #backupLsn: Lsn;
  #peerHorizonLsn: Lsn;
  #remoteConsistentLsn: Lsn;
  /** The highest position that the proposer has called committed, which may be beyond what is flushed here. */
  #announcedCommitLsn: Lsn = INVALID_LSN;
  /** Where the WAL of the present term begins; 0 until its proposer says so. */
  #termStartLsn: Lsn = INVALID_LSN;

  constructor(nodeId: number, persistent: PersistentState, log: LogPosition) {
    this.nodeId = nodeId;
    this.#persistent = persistent;
    this.#log = log;
    this.#commitLsn = persistent.commitLsn;
    this.#backupLsn = persistent.backupLsn;
    this.#peerHorizonLsn = persistent.peerHorizonLsn;
    this.#remoteConsistentLsn = persistent.remoteConsistentLsn;
    this.#check();
  }

  /** As it is on disk. */
  get persistent(): PersistentState {
    return this.#persistent;
  }

  get log(): LogPosition {
    return this.#log;
  }

  get term(): number {
    return this.#persistent.term;
  }

  get membership(): MembershipConfiguration {
    return this.#persistent.membership;
  }

  /** All below is durable here. Where there is no WAL yet: where the timeline begins. */
  get flushLsn(): Lsn {
    return max(this.#log.flushLsn, this.#persistent.timelineStartLsn);
  }

  get commitLsn(): Lsn {
    return this.#commitLsn;
  }

  get backupLsn(): Lsn {
    return this.#backupLsn;
  }

  get peerHorizonLsn(): Lsn {
    return this.#peerHorizonLsn;
  }

  get remoteConsistentLsn(): Lsn {
    return this.#remoteConsistentLsn;
  }

  get termStartLsn(): Lsn {
    return this.#termStartLsn;
  }

  /** Term of the last WAL that is durable here; 0 where there is none. */
  get lastLogTerm(): number {
    return lastLogTerm(this.#persistent.termHistory, this.flushLsn);
  }

  /** As it would be on disk if it were saved now. */
  get current(): PersistentState {
    return this.#withPositions();
  }

  /** True if memory knows more than the control file. */
  get isAheadOfDisk(): boolean {
    const { commitLsn, backupLsn, peerHorizonLsn, remoteConsistentLsn } = this.#persistent;
    return (
      this.#commitLsn !== commitLsn ||
      this.#backupLsn !== backupLsn ||
      this.#peerHorizonLsn !== peerHorizonLsn ||
      this.#remoteConsistentLsn !== remoteConsistentLsn
    );
  }

  /**
   * A proposer says who it is, and what the WAL is of.
   * @throws BadRequestError where that is not this timeline's; ‘precondition’ where this node is no member
   */
  *greet(greeting: ProposerGreeting): Decision<AcceptorGreeting> {
    const { tenantId, timelineId, server } = this.#persistent;
    if (greeting.tenantId !== tenantId || greeting.timelineId !== timelineId) {
      throw new BadRequestError(
        'WRONG_TIMELINE',
        `the greeting is for ${greeting.tenantId}/${greeting.timelineId}, this is ${tenantId}/${timelineId}`,
      );
    }
    checkServer(server, greeting);
    const updated = updatedServer(server, greeting);
    if (updated !== server) yield* this.#persist({ ...this.#persistent, server: updated });
    if (greeting.membership.generation > this.membership.generation) {
      yield* this.switchMembership(greeting.membership);
    }
    return { kind: 'greeting', nodeId: this.nodeId, membership: this.membership, term: this.term };
  }

  /** A proposer wants to be the one of its term. The answer is durable before it is given. */
  *vote(request: VoteRequest): Decision<VoteResponse> {
    this.#checkGeneration(request.generation);
    checkTerm(request.term);
    // What is told of the log must be as true after a crash; and a compute starts where the highest vote says, so
    // nothing may become durable later that was not in the answer.
    yield* this.#flush();
    const voteGiven = this.term < request.term;
    if (voteGiven) yield* this.#persist({ ...this.#persistent, term: request.term });
    return {
      kind: 'vote-response',
      generation: this.membership.generation,
      term: this.term,
      voteGiven,
      flushLsn: this.flushLsn,
      truncateLsn: this.#peerHorizonLsn,
      termHistory: historyUpTo(this.#persistent.termHistory, this.flushLsn),
    };
  }

  /**
   * A proposer has been elected, and says where this log goes on. What is here beyond was never committed, and goes.
   * One of a lower term is not listened to.
   * @returns false if it was of a lower term
   */
  *follow(elected: Elected): Decision<boolean> {
    this.#checkGeneration(elected.generation);
    checkTerm(elected.term);
    if (this.term > elected.term) return false;
    const startLsn = this.#checkElected(elected);
    if (this.term < elected.term) yield* this.#persist({ ...this.#persistent, term: elected.term });
    const { termHistory } = elected;
    const old = this.#persistent;
    const timelineStartLsn = old.timelineStartLsn || (termHistory[0] as { lsn: Lsn }).lsn;
    const isLogNew = this.#log.writeLsn === 0;
    if (isLogNew) {
      const { systemIdentifier } = old.server;
      this.#log = yield { kind: 'initialize-log', lsn: startLsn, timelineStartLsn, systemIdentifier };
    } else {
      this.#log = yield { kind: 'truncate-log', lsn: startLsn };
    }
    this.#commitLsn = max(this.#commitLsn, timelineStartLsn);
    this.#backupLsn = max(this.#backupLsn, timelineStartLsn);
    this.#remoteConsistentLsn = max(this.#remoteConsistentLsn, timelineStartLsn);
    this.#peerHorizonLsn = this.#peerHorizonLsn || timelineStartLsn;
    this.#announcedCommitLsn = this.#commitLsn;
    yield* this.#persist({
      ...this.#withPositions(),
      termHistory,
      timelineStartLsn,
      // A log may be there that no state tells of: a crash came between the two.
      localStartLsn: isLogNew ? startLsn : old.localStartLsn || startLsn,
    });
    this.#termStartLsn = (termHistory.at(-1) as { lsn: Lsn }).lsn;
    return true;
  }

  /**
   * WAL from the proposer of the present term, and how far it is committed. It is written and not made durable: see
   * `flush`. There is an answer where the proposer is of a lower term, or where more has become durable.
   */
  *append(request: AppendRequest): Decision<AppendResponse | undefined> {
    this.#checkGeneration(request.generation);
    if (this.term > request.term) return this.#refusal();
    this.#checkAppend(request);
    const flushLsnBefore = this.#log.flushLsn;
    if (request.wal.length > 0) {
      this.#log = yield { kind: 'write-log', beginLsn: request.beginLsn, wal: request.wal };
    }
    this.#announcedCommitLsn = max(this.#announcedCommitLsn, request.commitLsn);
    this.#peerHorizonLsn = max(this.#peerHorizonLsn, request.truncateLsn);
    yield* this.#advanceCommit();
    return this.#log.flushLsn > flushLsnBefore ? this.#response() : undefined;
  }

  /** Makes all that was appended durable, and says so. */
  *flush(): Decision<AppendResponse> {
    yield* this.#flush();
    yield* this.#advanceCommit();
    return this.#response();
  }

  /** What another safekeeper knows: positions that hold for all. */
  *learn(peer: PeerPositions): Decision<void> {
    this.#backupLsn = max(this.#backupLsn, peer.backupLsn);
    this.#peerHorizonLsn = max(this.#peerHorizonLsn, peer.peerHorizonLsn);
    this.#remoteConsistentLsn = max(this.#remoteConsistentLsn, peer.remoteConsistentLsn);
    // Only where the last WAL is of the same term, the two logs are the same up to there.
    if (peer.lastLogTerm === 0 || peer.lastLogTerm !== this.lastLogTerm) return;
    this.#commitLsn = max(this.#commitLsn, min(peer.commitLsn, this.#log.flushLsn));
    this.#check();
    yield* this.#persistWhenDue();
  }

  /** All below is in object storage, in whole segments, uploaded by this safekeeper. */
  *recordBackup(backupLsn: Lsn): Decision<void> {
    if (backupLsn > this.#commitLsn) {
      throw new BadRequestError('BACKUP_AHEAD', 'WAL that is not committed was called backed up', {
        lsn: backupLsn,
      });
    }
    this.#backupLsn = max(this.#backupLsn, backupLsn);
    yield* this.save();
  }

  /**
   * A pageserver has made all below durable. It can have no more than is committed, so what it says beyond is not
   * believed: WAL is removed by this.
   */
  recordRemoteConsistent(lsn: Lsn): void {
    this.#remoteConsistentLsn = max(this.#remoteConsistentLsn, min(lsn, this.#commitLsn));
  }

  /** Changes what the control file says beside the consensus: uploads and eviction. */
  *updateStorage(change: Partial<Pick<PersistentState, 'partialSegments' | 'evictedAtLsn'>>): Decision<void> {
    yield* this.#persist({ ...this.#withPositions(), ...change });
  }

  /** Makes durable what only memory knows. */
  *save(): Decision<void> {
    if (this.isAheadOfDisk) yield* this.#persist(this.#withPositions());
  }

  /** Raises the term, to `term` or by one, so that whoever writes now is fenced. A lower one changes nothing. */
  *bumpTerm(term: number | undefined): Decision<{ previousTerm: number; currentTerm: number }> {
    const previousTerm = this.term;
    const wanted = term ?? previousTerm + 1;
    checkTerm(wanted);
    if (wanted > previousTerm) yield* this.#persist({ ...this.#persistent, term: wanted });
    return { previousTerm, currentTerm: this.term };
  }

  /**
   * Takes a configuration of a higher generation. The same generation changes nothing.
   * @throws VarveError ‘conflict’ / STALE_GENERATION for a lower one, ‘precondition’ / NOT_A_MEMBER
   */
  *switchMembership(next: MembershipConfiguration): Decision<MembershipConfiguration> {
    checkMembership(next);
    const previous = this.membership;
    if (next.generation < previous.generation) {
      throw new VarveError(
        'conflict',
        'STALE_GENERATION',
        `request to switch into generation ${next.generation} ignored, current generation ${previous.generation}`,
      );
    }
    if (next.generation === previous.generation) return previous;
    if (!isMember(next, this.nodeId)) {
      throw new VarveError(
        'precondition',
        'NOT_A_MEMBER',
        `safekeeper ${this.nodeId} is not a member of generation ${next.generation}`,
      );
    }
    // Whoever changes the members asks next what is durable here, and goes by that: nothing that was appended in the
    // generation before may become durable later.
    yield* this.#flush();
    yield* this.#persist({ ...this.#persistent, membership: next });
    return previous;
  }

  #checkGeneration(generation: number): void {
    if (generation === this.membership.generation) return;
    throw new VarveError(
      'precondition',
      'GENERATION_MISMATCH',
      `a message of generation ${generation} came to a safekeeper of generation ${this.membership.generation}`,
    );
  }

  /** Where the log is to go on, which both sides must find alike. */
  #checkElected({ term, termHistory, startStreamingAt }: Elected): Lsn {
    const first = termHistory[0];
    if (first === undefined || termHistory.at(-1)?.term !== term) {
      throw new BadRequestError('BAD_ELECTED', `the history of term ${term} does not end with it`);
    }
    const own = historyUpTo(this.#persistent.termHistory, this.flushLsn);
    const common = highestCommonPoint(termHistory, own, this.flushLsn);
    const startLsn = common?.lsn ?? first.lsn;
    if (startLsn !== startStreamingAt) {
      throw new VarveError(
        'conflict',
        'START_MISMATCH',
        `term ${term} would stream from ${formatLsn(startStreamingAt)}, the logs part at ${formatLsn(startLsn)}`,
        { lsn: startStreamingAt },
      );
    }
    // No proposer that was elected rightly ever asks for this.
    if (startLsn < this.#commitLsn) {
      throw new VarveError(
        'corruption',
        'COMMITTED_TRUNCATION',
        `term ${term} would cut WAL that is committed up to ${formatLsn(this.#commitLsn)}`,
        { lsn: startLsn },
      );
    }
    if (startLsn === 0) throw new BadRequestError('BAD_ELECTED', `term ${term} would begin at 0/0`);
    const { timelineStartLsn } = this.#persistent;
    if (startLsn < timelineStartLsn) {
      throw new BadRequestError(
        'BAD_ELECTED',
        `term ${term} would begin before the timeline, at ${formatLsn(timelineStartLsn)}`,
        { lsn: startLsn },
      );
    }
    return startLsn;
  }

  #checkAppend({ term, beginLsn }: AppendRequest): void {
    if (this.term < term || this.#persistent.termHistory.at(-1)?.term !== term || this.#termStartLsn === 0) {
      throw new BadRequestError(
        'APPEND_BEFORE_ELECTED',
        `WAL of term ${term} came before its election was told`,
        {
          lsn: beginLsn,
        },
      );
    }
    if (beginLsn === this.#log.writeLsn) return;
    const what = beginLsn > this.#log.writeLsn ? 'leaves a gap' : 'goes back';
    throw new BadRequestError(
      'APPEND_NOT_CONTIGUOUS',
      `the WAL ${what}: the log goes to ${formatLsn(this.#log.writeLsn)}`,
      { lsn: beginLsn },
    );
  }

  *#flush(): Decision<void> {
    if (this.#log.flushLsn === this.#log.recordLsn) return;
    this.#log = yield { kind: 'flush-log' };
    this.#check();
  }

  *#advanceCommit(): Decision<void> {
    this.#commitLsn = max(this.#commitLsn, min(this.#announcedCommitLsn, this.#log.flushLsn));
    this.#check();
    yield* this.#persistWhenDue();
  }

  /** The control file may stay behind, but not by more than a segment, and not behind the election that just ended. */
  *#persistWhenDue(): Decision<void> {
    const { commitLsn, backupLsn, peerHorizonLsn, remoteConsistentLsn, server } = this.#persistent;
    const far = server.segmentBytes;
    const due =
      (this.#termStartLsn !== 0 && this.#commitLsn >= this.#termStartLsn && commitLsn < this.#termStartLsn) ||
      this.#commitLsn - commitLsn >= far ||
      this.#backupLsn - backupLsn > far ||
      this.#peerHorizonLsn - peerHorizonLsn > far ||
      this.#remoteConsistentLsn - remoteConsistentLsn > far;
    if (due) yield* this.#persist(this.#withPositions());
  }

  #withPositions(): PersistentState {
    return {
      ...this.#persistent,
      commitLsn: this.#commitLsn,
      backupLsn: this.#backupLsn,
      peerHorizonLsn: this.#peerHorizonLsn,
      remoteConsistentLsn: this.#remoteConsistentLsn,
    };
  }

  *#persist(state: PersistentState): Decision<void> {
    yield { kind: 'persist', state };
    this.#persistent = state;
    this.#check();
  }

  #response(): AppendResponse {
    return {
      kind: 'append-response',
      generation: this.membership.generation,
      term: this.term,
      // A log that its proposer has not made its own yet counts for nothing in this term.
      flushLsn: this.#persistent.termHistory.at(-1)?.term === this.term ? this.flushLsn : INVALID_LSN,
      commitLsn: this.#persistent.commitLsn,
      hotStandbyFeedback: NO_FEEDBACK,
      pageserverFeedback: undefined,
    };
  }

  /** To a proposer whose time is over: the term says it all. */
  #refusal(): AppendResponse {
    return { ...this.#response(), flushLsn: INVALID_LSN, commitLsn: INVALID_LSN };
  }

  #check(): void {
    checkPositions({
      timelineStartLsn: this.#persistent.timelineStartLsn,
      localStartLsn: this.#persistent.localStartLsn,
      persistedCommitLsn: this.#persistent.commitLsn,
      commitLsn: this.#commitLsn,
      log: this.#log,
    });
  }
}

function checkTerm(term: number): void {
  if (term <= TERM_MAX) return;
  throw new BadRequestError(
    'BAD_TERM',
    `term ${term} leaves no room for those to come: ${TERM_MAX} is the highest`,
  );
}
