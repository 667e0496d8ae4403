import { INVALID_LSN, type Lsn } from '../../../src/base/lsn.ts';
import type {
  AcceptorMessage,
  ProposerMessage,
  VoteResponse,
} from '../../../src/contracts/acceptor-messages.ts';
import type { MembershipConfiguration } from '../../../src/contracts/membership.ts';
import type { PreviousElections } from '../../../src/proposer/consensus/election.ts';
import type { FetchRange } from '../../../src/proposer/consensus/proposer-effects.ts';
import { ProposerMachine } from '../../../src/proposer/consensus/proposer-machine.ts';
import type { ProposerLog } from '../checkers/committed-log.ts';
import { isRecordEnd, LOG_BYTES_MAX } from './model-disk.ts';
import { INITIAL_LSN, SERVER, TENANT_ID, TIMELINE_ID } from './model-timeline.ts';

/** An answer, and beside it what the acceptor's log was then, which no message carries. */
export interface Answer {
  readonly message: AcceptorMessage;
  readonly wal: Uint8Array | undefined;
}

/** One connection from a proposer to a safekeeper. Messages stay in order, and may stay long. */
export interface Connection {
  readonly compute: ModelCompute;
  readonly nodeId: number;
  readonly toAcceptor: ProposerMessage[];
  readonly toProposer: Answer[];
  /** The proposer has it still. */
  isOpen: boolean;
  /** The safekeeper has it still, and goes on with what it was sent, also when the proposer is gone. */
  isAccepted: boolean;
  isPumpDue: boolean;
  fetch: FetchRange | undefined;
  /** It has brought WAL or heartbeats since the last answer. */
  isAnswerDue: boolean;
  /** A vote was answered over it. */
  hasVoted: boolean;
}

/** A server that writes WAL, and its proposer, which may need several machines one after the other. */
export class ModelCompute {
  /** The byte that is its WAL. */
  readonly writer: number;
  machine: ProposerMachine;
  membership: MembershipConfiguration;
  /** Its connections by safekeeper. */
  readonly connections = new Map<number, Connection>();
  isOver = false;
  /** The present machine knows that a quorum has the start of its term. */
  isStartCommitted = false;
  /** Any of its machines was elected, so that there is a server. */
  hasServer = false;
  /** Any of its machines has called anything committed. */
  hasCommitted = false;
  /** The log as the server has it. */
  readonly bytes: Uint8Array = new Uint8Array(LOG_BYTES_MAX);
  walEndLsn = 0;
  heldFromLsn = 0;
  /** The votes that the present machine was given, and the logs behind them. */
  readonly votes = new Map<number, { readonly vote: VoteResponse; readonly wal: Uint8Array }>();
  attempt = 0;

  constructor(writer: number, membership: MembershipConfiguration) {
    this.writer = writer;
    this.membership = membership;
    this.machine = this.#newMachine(undefined);
  }

  get name(): string {
    return `compute ${this.writer}, attempt ${this.attempt}`;
  }

  /** Goes on with a new election. */
  restartElection(membership: MembershipConfiguration): void {
    this.membership = membership;
    this.attempt++;
    const previous = this.machine.elections;
    this.isStartCommitted = false;
    this.votes.clear();
    this.machine = this.#newMachine(previous);
  }

  get log(): ProposerLog {
    const { term, termHistory } = this.machine;
    const bytes = this.bytes.slice(0, this.walEndLsn);
    return { term, termHistory, wal: { beginLsn: INVALID_LSN, bytes } };
  }

  /** The log that the election goes on from: what the best voter had. */
  donorWal(): Uint8Array {
    const { termHistory, startLsn } = this.machine;
    const donorTerm = termHistory.at(-2)?.term ?? 0;
    for (const { vote, wal } of this.votes.values()) {
      const lastTerm = vote.termHistory.at(-1)?.term ?? 0;
      if (lastTerm === donorTerm && (vote.flushLsn || INITIAL_LSN) === startLsn) return wal;
    }
    throw new Error(`${this.name} was elected without a donor`);
  }

  /** The server writes. */
  write(byteCount: number): void {
    this.bytes.fill(this.writer, this.walEndLsn, this.walEndLsn + byteCount);
    this.walEndLsn += byteCount;
  }

  /** The server writes until a record is whole. */
  writeRecord(): void {
    do this.write(1);
    while (!isRecordEnd(this.writer, this.walEndLsn));
  }

  #newMachine(previous: PreviousElections | undefined): ProposerMachine {
    return new ProposerMachine({
      tenantId: TENANT_ID,
      timelineId: TIMELINE_ID,
      ...SERVER,
      membership: this.membership,
      initialLsn: INITIAL_LSN as Lsn,
      previous,
    });
  }
}
