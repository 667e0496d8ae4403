import { VarveError } from '../../../src/base/errors.ts';
import type { Lsn } from '../../../src/base/lsn.ts';
import type {
  AcceptorMessage,
  ProposerMessage,
  VoteResponse,
} from '../../../src/contracts/acceptor-messages.ts';
import { type MembershipConfiguration, NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import type { AppendRange, ProposerEffect } from '../../../src/proposer/consensus/proposer-effects.ts';
import type { Decision } from '../../../src/safekeeper/consensus/effects.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { SafetyViolation } from '../checkers/safety-violation.ts';
import { expectSameWal } from '../checkers/snapshots.ts';
import { ModelAcceptor } from './model-acceptor.ts';
import { type Connection, ModelCompute } from './model-compute.ts';
import { ModelController } from './model-controller.ts';
import { type DiskFault, ModelDisk } from './model-disk.ts';
import { address, type Birth, newTimelineState } from './model-timeline.ts';
import { Observer } from './observer.ts';

/** What is broken on purpose, to show that the checkers see it. */
export type Mutant =
  | DiskFault
  | 'votes-for-all'
  | 'generation-ignored'
  | 'history-forgotten'
  | 'append-ahead';

export interface WorldOptions {
  readonly acceptorCount: number;
  readonly hasGenerations: boolean;
  readonly births: readonly Birth[];
  readonly mutant: Mutant | undefined;
}

const DISK_FAULTS: readonly string[] = ['sync-lies', 'state-is-lost', 'tail-comes-back'];

/** Safekeepers, computes and what is on the way between them. Whoever drives it says what happens next. */
export class World {
  readonly random: SeededRandom;
  readonly options: WorldOptions;
  readonly observer = new Observer();
  readonly acceptors: readonly ModelAcceptor[];
  readonly computes: ModelCompute[] = [];
  /** All that one side at least still has. */
  connections: Connection[] = [];
  readonly controller: ModelController;
  /** What happened, for a walk that is looked at. */
  readonly trace: string[] | undefined;
  /** The highest term that each writer, or an administrator (0), has asked for. */
  readonly askedTerms = new Map<number, number>();
  refusals = new Map<string, number>();

  constructor(seed: number, options: WorldOptions, trace?: string[]) {
    this.random = new SeededRandom(seed);
    this.options = options;
    this.trace = trace;
    const initial: MembershipConfiguration = {
      generation: options.hasGenerations ? 1 : 0,
      members: [1, 2, 3].map(address),
      newMembers: undefined,
    };
    const fault = DISK_FAULTS.includes(options.mutant ?? '') ? (options.mutant as DiskFault) : undefined;
    this.acceptors = Array.from({ length: options.acceptorCount }, (_, index) => {
      const id = index + 1;
      const birth = id <= 3 ? (options.births[index % options.births.length] as Birth) : 'unknown';
      const membership = options.hasGenerations && id <= 3 ? initial : NO_MEMBERSHIP;
      return new ModelAcceptor(
        id,
        new ModelDisk(newTimelineState(membership, birth), this.random.fork(), fault),
      );
    });
    this.controller = new ModelController(initial, options.acceptorCount, this.random.fork());
  }

  note(what: () => string): void {
    this.trace?.push(what());
  }

  acceptor(id: number): ModelAcceptor {
    return this.acceptors[id - 1] as ModelAcceptor;
  }

  /** A new compute is started, which knows this configuration. */
  startCompute(membership: MembershipConfiguration): ModelCompute {
    const compute = new ModelCompute(this.computes.length + 1, membership);
    this.computes.push(compute);
    const { members, newMembers } = membership;
    for (const { id } of [...members, ...(newMembers ?? [])]) this.connect(compute, id);
    return compute;
  }

  // What happens to connections.

  connect(compute: ModelCompute, nodeId: number): void {
    if (this.acceptor(nodeId).acceptor === undefined) return;
    this.disconnect(compute, nodeId);
    const connection: Connection = {
      compute,
      nodeId,
      toAcceptor: [],
      toProposer: [],
      isOpen: true,
      isAccepted: true,
      isPumpDue: false,
      fetch: undefined,
      isAnswerDue: false,
      hasVoted: false,
    };
    compute.connections.set(nodeId, connection);
    this.connections.push(connection);
    this.#apply(compute, compute.machine.connected(nodeId));
  }

  /** The proposer's side is gone. What it has sent may yet be worked on. */
  disconnect(compute: ModelCompute, nodeId: number): void {
    const connection = compute.connections.get(nodeId);
    if (connection === undefined) return;
    compute.connections.delete(nodeId);
    connection.isOpen = false;
    connection.toProposer.length = 0;
    this.#apply(compute, compute.machine.disconnected(nodeId));
  }

  /** The safekeeper's side is gone, with what it has not read. The proposer hears of it after the last answer. */
  drop(connection: Connection): void {
    connection.isAccepted = false;
    connection.toAcceptor.length = 0;
  }

  stopCompute(compute: ModelCompute): void {
    compute.isOver = true;
    for (const nodeId of [...compute.connections.keys()]) this.disconnect(compute, nodeId);
  }

  crash(model: ModelAcceptor, isInsideEffect: boolean): void {
    this.#announceTruncation(model);
    model.crash(isInsideEffect);
    for (const connection of this.connections) if (connection.nodeId === model.id) this.drop(connection);
  }

  restart(model: ModelAcceptor): void {
    model.restart();
    this.observer.restarted(model);
  }

  /** Carries out the next effect of the decision that is under way. */
  stepAcceptor(model: ModelAcceptor): void {
    this.#announceTruncation(model);
    model.step();
  }

  // What safekeepers do.

  /** The safekeeper takes the next message of a connection. */
  receive(connection: Connection): void {
    const model = this.acceptor(connection.nodeId);
    const message = connection.toAcceptor.shift();
    if (message === undefined || model.acceptor === undefined) return;
    const { acceptor } = model;
    this.note(() => `${model.id} takes ${message.kind} of ${connection.compute.name}`);
    switch (message.kind) {
      case 'greeting':
        this.#decide(connection, acceptor.greet(message), (answer) => this.#answer(connection, answer));
        break;
      case 'vote-request':
        this.#decide(connection, acceptor.vote(this.#asAcceptorKnows(connection, message)), (vote) => {
          connection.hasVoted = true;
          this.#voted(connection, vote);
        });
        break;
      case 'elected':
        this.#decide(
          connection,
          acceptor.follow(this.#asAcceptorKnows(connection, message)),
          () => undefined,
        );
        break;
      case 'append-request':
        this.#decide(connection, acceptor.append(this.#asAcceptorKnows(connection, message)), (response) => {
          connection.isAnswerDue = true;
          if (response !== undefined) this.#answer(connection, response);
        });
    }
  }

  /** The safekeeper makes durable what it has, and says so over this connection. */
  flush(connection: Connection): void {
    const { acceptor } = this.acceptor(connection.nodeId);
    if (acceptor === undefined) return;
    connection.isAnswerDue = false;
    this.#decide(connection, acceptor.flush(), (response) => this.#answer(connection, response));
  }

  bumpTerm(model: ModelAcceptor): void {
    const { acceptor } = model;
    if (acceptor === undefined) return;
    // Also if a crash comes before the answer.
    this.#asked(0, acceptor.term + 1);
    model.run(
      acceptor.bumpTerm(undefined),
      () => undefined,
      () => undefined,
    );
  }

  /** One safekeeper hears of another's positions, as they are now. */
  learn(model: ModelAcceptor, peer: ModelAcceptor): void {
    if (model.acceptor === undefined || peer.acceptor === undefined) return;
    const { lastLogTerm, commitLsn, backupLsn, peerHorizonLsn, remoteConsistentLsn } = peer.acceptor;
    const positions = { lastLogTerm, commitLsn, backupLsn, peerHorizonLsn, remoteConsistentLsn };
    const neverRefused = (error: VarveError): void => {
      throw error;
    };
    model.run(model.acceptor.learn(positions), () => undefined, neverRefused);
  }

  #decide<Outcome>(
    connection: Connection,
    decision: Decision<Outcome>,
    done: (outcome: Outcome) => void,
  ): void {
    const refused = (error: VarveError): void => {
      this.note(() => `  refused: ${error.code}`);
      this.refusals.set(error.code, (this.refusals.get(error.code) ?? 0) + 1);
      this.drop(connection);
    };
    this.acceptor(connection.nodeId).run(decision, done, refused);
  }

  #voted(connection: Connection, vote: VoteResponse): void {
    if (vote.voteGiven) this.observer.votes.granted(connection.nodeId, vote.term);
    this.observer.acks.reported(connection.nodeId, vote.termHistory.at(-1)?.term ?? 0, vote.flushLsn);
    let answer = vote;
    if (this.options.mutant === 'votes-for-all') answer = { ...vote, voteGiven: true };
    if (this.options.mutant === 'history-forgotten') {
      answer = { ...vote, termHistory: vote.termHistory.slice(0, 1) };
    }
    this.#answer(connection, answer);
  }

  #answer(connection: Connection, message: AcceptorMessage): void {
    if (!connection.isAccepted || !connection.isOpen) return;
    const { acceptor, disk, id } = this.acceptor(connection.nodeId);
    if (message.kind === 'append-response' && message.flushLsn > 0) {
      this.observer.acks.reported(id, acceptor?.lastLogTerm ?? 0, message.flushLsn);
    }
    const wal = message.kind === 'vote-response' ? disk.bytes.slice(0, message.flushLsn) : undefined;
    const { generation } = connection.compute.membership;
    const isAltered = this.options.mutant === 'generation-ignored' && message.kind !== 'greeting';
    connection.toProposer.push({ message: isAltered ? { ...message, generation } : message, wal });
  }

  #announceTruncation(model: ModelAcceptor): void {
    const effect = model.pendingEffect;
    if (effect?.kind === 'truncate-log')
      this.observer.truncating(model.id, model.acceptor?.term ?? 0, effect.lsn);
  }

  #asAcceptorKnows<M extends Exclude<ProposerMessage, { kind: 'greeting' }>>(
    connection: Connection,
    message: M,
  ): M {
    const generation = this.acceptor(connection.nodeId).acceptor?.membership.generation ?? 0;
    return this.options.mutant === 'generation-ignored' ? { ...message, generation } : message;
  }

  // What proposers do.

  /** The proposer takes the next answer of a connection, or hears that the connection is gone. */
  deliver(connection: Connection): void {
    const { compute, nodeId } = connection;
    if (!connection.isOpen) return;
    const answer = connection.toProposer.shift();
    if (answer === undefined) {
      if (!connection.isAccepted) this.disconnect(compute, nodeId);
      return;
    }
    this.note(() => `${compute.name} takes ${describeAnswer(answer.message)} of ${nodeId}`);
    if (answer.message.kind === 'vote-response' && answer.wal !== undefined) {
      compute.votes.set(nodeId, { vote: answer.message, wal: answer.wal });
    }
    this.#apply(compute, compute.machine.received(nodeId, answer.message));
  }

  pump(connection: Connection): void {
    const { compute, nodeId } = connection;
    if (!connection.isOpen || connection.fetch !== undefined) return;
    connection.isPumpDue = false;
    const next = compute.machine.nextAppend(nodeId, compute.heldFromLsn as Lsn);
    if (next === undefined) return;
    if (next.kind === 'fetch') connection.fetch = next;
    else this.#send(connection, next);
  }

  /** Reads what a connection lacks from the safekeeper that has most. */
  fetch(connection: Connection): void {
    const { compute, fetch, nodeId } = connection;
    if (!connection.isOpen || fetch === undefined) return;
    const { machine } = compute;
    const { term } = machine;
    const donor = machine.donors
      .map((id) => this.acceptor(id))
      .find(({ acceptor }) => acceptor?.term === term);
    if (donor?.acceptor === undefined || donor.acceptor.persistent.termHistory.at(-1)?.term !== term) return;
    const available = Math.min(fetch.endLsn, donor.acceptor.flushLsn);
    if (available <= fetch.beginLsn) return;
    const endLsn = (fetch.beginLsn + 1 + this.random.below(available - fetch.beginLsn)) as Lsn;
    const wal = donor.disk.bytes.slice(fetch.beginLsn, endLsn);
    const piece = { beginLsn: fetch.beginLsn, bytes: wal };
    expectSameWal(
      'donor',
      piece,
      compute.log.wal,
      endLsn,
      `the logs of ${compute.name} and its donor ${donor.id}`,
    );
    connection.fetch = undefined;
    const append = machine.fetched(nodeId, fetch.beginLsn, endLsn);
    if (append !== undefined) this.#send(connection, append);
    connection.isPumpDue = true;
  }

  /** The server writes, and its proposer hears of it if it is elected. */
  write(compute: ModelCompute, isWholeRecord: boolean): void {
    if (isWholeRecord) compute.writeRecord();
    else compute.write(1 + this.random.below(3));
    if (compute.machine.phase === 'elected') {
      this.#apply(compute, compute.machine.extendWal(compute.walEndLsn as Lsn));
    }
  }

  heartbeat(compute: ModelCompute): void {
    this.#apply(compute, compute.machine.heartbeat());
  }

  #send(connection: Connection, range: AppendRange): void {
    const { compute } = connection;
    this.observer.committedLog.truncatable(range.truncateLsn);
    const { kind: _, ...rest } = range;
    const wal = compute.bytes.slice(range.beginLsn, range.endLsn);
    connection.toAcceptor.push({ kind: 'append-request', ...rest, wal });
    if (this.options.mutant === 'append-ahead' && connection.toAcceptor.length > 1) {
      const elected = connection.toAcceptor.findIndex(({ kind }) => kind === 'elected');
      if (elected >= 0) connection.toAcceptor.splice(elected, 1);
    }
    connection.isPumpDue = true;
  }

  #asked(writer: number, term: number): void {
    this.askedTerms.set(writer, Math.max(term, this.askedTerms.get(writer) ?? 0));
  }

  #apply(compute: ModelCompute, effects: readonly ProposerEffect[]): void {
    for (const effect of effects) {
      if (effect.kind !== 'pump' && effect.kind !== 'send')
        this.note(() => `  ${compute.name}: ${effect.kind}`);
      this.#applyOne(compute, effect);
    }
  }

  #applyOne(compute: ModelCompute, effect: ProposerEffect): void {
    switch (effect.kind) {
      case 'send':
        if (effect.message.kind === 'vote-request') this.#asked(compute.writer, effect.message.term);
        compute.connections.get(effect.to)?.toAcceptor.push(effect.message);
        break;
      case 'pump': {
        const connection = compute.connections.get(effect.to);
        if (connection !== undefined) connection.isPumpDue = true;
        break;
      }
      case 'disconnect':
        this.note(() => `    ${effect.reason.message}`);
        if (!(effect.reason instanceof VarveError) || effect.reason.code !== 'BAD_SAFEKEEPER')
          throw effect.reason;
        this.disconnect(compute, effect.from);
        break;
      case 'elected':
        this.#elected(compute);
        break;
      case 'committed':
        compute.hasCommitted = true;
        this.observer.committedLog.committed(effect.commitLsn, compute.log);
        break;
      case 'start-committed':
        compute.isStartCommitted = true;
        break;
      case 'outvoted':
        this.#restartElection(compute, compute.membership);
        break;
      case 'membership-changed':
        if (effect.membership.generation <= machineGeneration(compute))
          throw new Error('an old configuration');
        this.#restartElection(compute, effect.membership);
        break;
      case 'fenced':
        this.#checkFence(compute, effect.reason);
        this.stopCompute(compute);
        break;
    }
  }

  #restartElection(compute: ModelCompute, membership: MembershipConfiguration): void {
    for (const nodeId of [...compute.connections.keys()]) this.disconnect(compute, nodeId);
    compute.restartElection(membership);
  }

  #elected(compute: ModelCompute): void {
    const { machine } = compute;
    this.observer.elections.elected(machine.term, compute.name);
    const donorWal = compute.donorWal();
    if (!compute.hasServer) {
      compute.bytes.set(donorWal.subarray(0, machine.startLsn));
      compute.walEndLsn = machine.startLsn;
      compute.heldFromLsn = machine.startLsn;
    } else {
      if (machine.startLsn > compute.walEndLsn)
        throw new SafetyViolation('own-log', 'it goes on beyond its own log');
      const bytes = { beginLsn: 0 as Lsn, bytes: donorWal };
      expectSameWal(
        'own-log',
        bytes,
        compute.log.wal,
        machine.startLsn,
        `the logs of ${compute.name} and its donor`,
      );
    }
    this.observer.committedLog.elected(machine.startLsn, compute.log);
    compute.hasServer = true;
    if (compute.walEndLsn > machine.startLsn) {
      this.#apply(compute, machine.extendWal(compute.walEndLsn as Lsn));
    }
  }

  /**
   * Nobody is fenced unless somebody else has asked for a higher term than its own. But what was elected and never
   * committed anything may find, with other voters, another log than the one it went on from.
   */
  #checkFence(compute: ModelCompute, reason: Error): void {
    const isOtherLog = reason instanceof VarveError && reason.code === 'LOG_OF_ANOTHER';
    if (isOtherLog && !compute.hasCommitted) return;
    const { terms } = compute.machine.elections;
    // Its last term need not have reached any voter: then what somebody wrote before that is newer than its own log.
    const own = terms.at(isOtherLog ? 0 : -1) ?? 0;
    for (const [writer, term] of this.askedTerms) if (writer !== compute.writer && term >= own) return;
    throw new SafetyViolation('fence', `${compute.name} was fenced by nobody: ${reason.message}`);
  }
}

const machineGeneration = ({ membership }: ModelCompute): number => membership.generation;

function describeAnswer(message: AcceptorMessage): string {
  switch (message.kind) {
    case 'greeting':
      return `greeting of term ${message.term}, generation ${message.membership.generation}`;
    case 'vote-response':
      return `vote ${message.voteGiven} in term ${message.term}, flush ${message.flushLsn}, history ${message.termHistory.map(({ term, lsn }) => `${term}@${lsn}`)}`;
    case 'append-response':
      return `answer of term ${message.term}, generation ${message.generation}, flush ${message.flushLsn}, commit ${message.commitLsn}`;
  }
}
