import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import type { AcceptorMessage } from '../../../src/contracts/acceptor-messages.ts';
import type { MembershipConfiguration } from '../../../src/contracts/membership.ts';
import type { TermHistory } from '../../../src/contracts/term-history.ts';
import type { ProposerMachine } from '../../../src/proposer/consensus/proposer-machine.ts';
import type { Acceptor } from '../../../src/safekeeper/consensus/acceptor.ts';
import type { LogPosition } from '../../../src/safekeeper/consensus/effects.ts';
import type { PersistentState } from '../../../src/safekeeper/consensus/persistent-state.ts';
import type { DurableAcceptor } from '../../../src/safekeeper/timeline/durable-acceptor.ts';
import { AckDurability } from '../checkers/ack-durability.ts';
import { Acknowledged } from '../checkers/acknowledged.ts';
import { CommitQuorum } from '../checkers/commit-quorum.ts';
import { CommittedLog, type ProposerLog } from '../checkers/committed-log.ts';
import { ConfigurationSafety } from '../checkers/configuration-safety.ts';
import { ElectionSafety } from '../checkers/elections.ts';
import { checkLogMatching, checkLogOrder, checkLogSafety } from '../checkers/log-safety.ts';
import { Monotony } from '../checkers/monotony.ts';
import { SafetyViolation } from '../checkers/safety-violation.ts';
import type { AcceptorSnapshot, WalPiece } from '../checkers/snapshots.ts';
import { VoteBinds } from '../checkers/vote-binds.ts';
import { WrittenWal } from '../checkers/written-wal.ts';
import type { ComputeNode } from './compute-node.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { ServerWal } from './server-wal.ts';

/** Bytes are compared with what was written, and need not be with each other. */
const NO_WAL: WalPiece = { beginLsn: 0 as Lsn, bytes: new Uint8Array(0) };
/** Before the first record of a timeline there is another one, on a page that nobody has. */
const FIRST_BACK_LINK_BYTES = 64;

/** What was seen last of one safekeeper. */
interface Seen {
  durable: DurableAcceptor | undefined;
  acceptor: Acceptor | undefined;
  persistent: PersistentState | undefined;
  log: LogPosition | undefined;
  commitLsn: number;
  /** Its history and where its log ended, when it was seen last. */
  termHistory: TermHistory;
  flushLsn: Lsn;
  /** Bytes below were compared, and are committed. */
  comparedLsn: Lsn;
}

/** All checkers of one run, and what they are told of. */
export class Observer {
  readonly written = new WrittenWal();
  readonly acknowledged: Acknowledged;
  readonly elections = new ElectionSafety();
  readonly #committedLog: CommittedLog;
  readonly #quorum = new CommitQuorum();
  readonly #monotony = new Monotony();
  readonly #acks = new AckDurability();
  readonly #voteBinds = new VoteBinds();
  readonly #configurations = new ConfigurationSafety();
  readonly #startLsn: Lsn;
  readonly #fail: (error: unknown) => void;
  readonly #seen: Seen[];
  readonly #safekeepers: readonly SafekeeperNode[];
  /** Who was given each safekeeper's vote in each term. */
  readonly #votes = new Map<string, ProposerMachine>();

  /** @param fail ends the run */
  constructor(startLsn: Lsn, safekeepers: readonly SafekeeperNode[], fail: (error: unknown) => void) {
    this.#startLsn = startLsn;
    this.#fail = fail;
    this.#committedLog = new CommittedLog(startLsn);
    this.acknowledged = new Acknowledged(startLsn);
    this.#safekeepers = safekeepers;
    this.#seen = safekeepers.map(() => ({
      durable: undefined,
      acceptor: undefined,
      persistent: undefined,
      log: undefined,
      commitLsn: 0,
      termHistory: [],
      flushLsn: startLsn,
      comparedLsn: startLsn,
    }));
  }

  get commitLsn(): Lsn {
    return this.#committedLog.commitLsn;
  }

  /** Looks at those that have changed since the last time. Cheap, since it is called after each event. */
  observe(): void {
    const safekeepers = this.#safekeepers;
    for (let index = 0; index < safekeepers.length; index++) {
      const { durable } = safekeepers[index] as SafekeeperNode;
      if (durable === undefined) continue;
      const seen = this.#seen[index] as Seen;
      const { acceptor } = durable;
      if (durable !== seen.durable) this.#listen(durable, safekeepers[index] as SafekeeperNode, seen);
      this.#look(safekeepers[index] as SafekeeperNode, acceptor, seen);
    }
  }

  /** Compares the logs of all that are up. */
  compare(): void {
    const snapshots: AcceptorSnapshot[] = [];
    for (const [index, { id, acceptor }] of this.#safekeepers.entries()) {
      if (acceptor === undefined || acceptor !== this.#seen[index]?.acceptor) continue;
      snapshots.push(snapshotOf(id, acceptor));
    }
    checkLogSafety(snapshots);
    checkLogMatching(snapshots);
  }

  /** A proposer's machine is about to take a message. */
  heard(machine: ProposerMachine, nodeId: number, message: AcceptorMessage): void {
    if (message.kind === 'vote-response' && message.voteGiven) {
      const key = `${nodeId}/${message.term}`;
      const voter = this.#votes.get(key);
      if (voter !== undefined && voter !== machine) {
        throw new SafetyViolation(
          'vote-once',
          `safekeeper ${nodeId} has voted twice in term ${message.term}`,
        );
      }
      this.#votes.set(key, machine);
      this.#voteBinds.voted(nodeId, message.term, message.flushLsn);
    }
    if (message.kind !== 'append-response' || message.flushLsn === 0 || message.term !== machine.term) return;
    this.#quorum.reported(nodeId, message.term, message.flushLsn);
  }

  elected(machine: ProposerMachine, compute: ComputeNode): void {
    const { term, startLsn, termHistory } = machine;
    this.elections.elected(term, `${compute.node.name} as server ${compute.start?.server}`);
    // A server is started only when a quorum knows where; until then another election may find another place.
    if (compute.wal === undefined || compute.proposer === undefined) {
      const previousLsn = this.written.lastRecordStart(termHistory, startLsn);
      if (previousLsn === undefined && startLsn !== this.#startLsn) {
        throw new SafetyViolation(
          'record-end',
          `term ${term} would start at ${formatLsn(startLsn)}, where no record ends`,
        );
      }
      const server = compute.start?.server as number;
      compute.wal = new ServerWal(server, startLsn, previousLsn ?? startLsn - FIRST_BACK_LINK_BYTES);
    } else if (startLsn > compute.wal.endLsn) {
      throw new SafetyViolation('own-log', `server ${compute.wal.server} goes on beyond its own log`);
    }
    this.written.elected(termHistory, compute.wal);
    this.#committedLog.elected(startLsn, logOf(machine));
  }

  committed(machine: ProposerMachine, commitLsn: Lsn, membership: MembershipConfiguration): void {
    this.#quorum.committed(machine.term, commitLsn, membership);
    this.#committedLog.committed(commitLsn, logOf(machine));
    this.#committedLog.truncatable(machine.truncateLsn);
    this.acknowledged.acknowledged(commitLsn, machine.termHistory);
  }

  /** It may decide, answer and be let go of in one event: too fast for who looks after each. */
  #listen(durable: DurableAcceptor, safekeeper: SafekeeperNode, seen: Seen): void {
    seen.durable = durable;
    durable.listen(() => {
      if (seen.durable !== durable || !safekeeper.node.isAlive) return;
      try {
        this.#look(safekeeper, durable.acceptor, seen);
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #look(safekeeper: SafekeeperNode, acceptor: Acceptor, seen: Seen): void {
    const isSame =
      acceptor === seen.acceptor &&
      acceptor.persistent === seen.persistent &&
      acceptor.log === seen.log &&
      acceptor.commitLsn === seen.commitLsn;
    if (!isSame) this.#changed(safekeeper, acceptor, seen);
  }

  #changed(safekeeper: SafekeeperNode, acceptor: Acceptor, seen: Seen): void {
    const snapshot = snapshotOf(safekeeper.id, acceptor);
    const { nodeId, flushLsn, commitLsn, termHistory, persistedCommitLsn } = snapshot;
    checkLogOrder(snapshot);
    const isNew = acceptor !== seen.acceptor;
    if (isNew) this.#monotony.restarted({ ...snapshot, commitLsn: persistedCommitLsn });
    else this.#monotony.observed(snapshot);
    this.#configurations.observed(`safekeeper ${nodeId}`, acceptor.membership);
    if (flushLsn < seen.flushLsn) {
      for (const cut of this.written.cuts(seen.termHistory, seen.flushLsn, acceptor.term)) {
        this.#acks.truncating(nodeId, cut.term, cut.lsn);
      }
    }
    const followedTerm = termHistory.at(-1)?.term ?? 0;
    this.#acks.found(nodeId, flushLsn);
    // Before there is any WAL, a log may begin to exist and, after a crash, not exist yet.
    if (flushLsn > this.#startLsn) {
      this.#voteBinds.observed(nodeId, acceptor.term, followedTerm, flushLsn);
      this.#acks.reported(nodeId, acceptor.lastLogTerm, flushLsn);
    }
    this.#quorum.flushed(nodeId, followedTerm, flushLsn);
    this.#committedLog.acceptor(snapshot);
    if (!isNew && termHistory !== seen.termHistory && safekeeper.onFollowed !== undefined) {
      const { onFollowed } = safekeeper;
      safekeeper.onFollowed = undefined;
      onFollowed();
    }
    if (isNew) this.#compareBytes(safekeeper, acceptor, snapshot, seen);
    seen.acceptor = acceptor;
    seen.persistent = acceptor.persistent;
    seen.log = acceptor.log;
    seen.commitLsn = commitLsn;
    seen.termHistory = termHistory;
    seen.flushLsn = flushLsn;
  }

  #compareBytes(
    safekeeper: SafekeeperNode,
    acceptor: Acceptor,
    snapshot: AcceptorSnapshot,
    seen: Seen,
  ): void {
    const { nodeId, flushLsn, commitLsn, termHistory } = snapshot;
    const { localStartLsn } = acceptor.persistent;
    if (localStartLsn === 0) return;
    const from = Math.max(seen.comparedLsn, localStartLsn) as Lsn;
    if (from >= flushLsn) return;
    const piece = safekeeper.wal(from, flushLsn);
    if (piece.bytes.length < flushLsn - from) {
      throw new SafetyViolation(
        'written-wal',
        `safekeeper ${nodeId} lacks segments below ${formatLsn(flushLsn)}`,
      );
    }
    this.written.check(`safekeeper ${nodeId}`, termHistory, piece);
    seen.comparedLsn = commitLsn;
  }
}

function logOf({ term, termHistory }: ProposerMachine): ProposerLog {
  return { term, termHistory, wal: NO_WAL };
}

function snapshotOf(nodeId: number, acceptor: Acceptor): AcceptorSnapshot {
  const { persistent, term, flushLsn, commitLsn } = acceptor;
  return {
    nodeId,
    generation: persistent.membership.generation,
    term,
    termHistory: persistent.termHistory,
    flushLsn,
    commitLsn,
    persistedCommitLsn: persistent.commitLsn,
    wal: NO_WAL,
  };
}
