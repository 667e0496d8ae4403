import { VarveError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { pause } from '../io/retry-delay.ts';
import type { ServerProgram } from '../io/servers.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { Proposer } from '../proposer/proposer.ts';
import type { AuxiliaryKeeper } from './auxiliary-keeper.ts';
import type { ComputeDirectory } from './compute-directory.ts';
import { connectToServer } from './connect-to-server.ts';
import type { FillProgress } from './fill-pages.ts';
import type { DiskBudget } from './lazy/disk-budget.ts';
import type { LazyDirectory } from './lazy/lazy-directory.ts';
import type { LsnLease } from './lsn-lease.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { tailOf } from './postgres-process.ts';
import type { RecoveryWatch } from './recovery-watch.ts';
import { ServerStart, type StartedServer } from './server-start.ts';
import type { StepTime } from './step-times.ts';

/** From the end of a server on, for what is on its way from it. */
const LAST_WAL_WAIT_MS = 2000;
/** A server whose disk is full has so long to end in order. */
const FULL_STOP_MS = 60_000;

/** Why a compute has ended that nobody had stopped. */
export type ComputeEnd =
  | { readonly kind: 'stopped'; readonly commitLsn: Lsn }
  /** A later compute of the branch has taken over, or the proposer cannot go on. The server was killed. */
  | { readonly kind: 'failed'; readonly error: Error };

/**
 * One life of a stock server on storage: from an election, which fixes where it begins, to its end. It has no state that
 * storage does not have, and its directory is thrown away with it.
 */
export class Compute {
  /** Resolves when nothing of it runs any more. */
  readonly ended: Promise<ComputeEnd>;
  readonly startLsn: Lsn;
  readonly steps: readonly StepTime[];
  readonly #doors: ComputeDoors;
  readonly #options: ComputeOptions;
  readonly #directory: ComputeDirectory;
  readonly #proposer: Proposer | undefined;
  readonly #lease: LsnLease | undefined;
  readonly #lazy: LazyDirectory | undefined;
  readonly #budget: DiskBudget | undefined;
  readonly #watch: RecoveryWatch | undefined;
  readonly #keeper: AuxiliaryKeeper | undefined;
  readonly #all: AsyncDisposable;
  readonly #program: ServerProgram;
  readonly #life = new AbortController();
  #isStopping = false;

  private constructor(
    options: ComputeOptions,
    doors: ComputeDoors,
    { directory, program, lsn, proposer, lease, lazy, budget, keeper, watch, all, steps }: StartedServer,
  ) {
    this.#doors = doors;
    this.#options = options;
    this.#directory = directory;
    this.#proposer = proposer;
    this.#program = program;
    this.steps = steps;
    this.#lease = lease;
    this.#lazy = lazy;
    this.#budget = budget;
    this.#keeper = keeper;
    this.#watch = watch;
    this.#all = all;
    this.startLsn = lsn;
    this.ended = this.#untilEnded();
  }

  /**
   * Starts a server at the end of its branch. Whoever ran there before is fenced by it. When this resolves a connection
   * has worked, and commits are acknowledged once a quorum has them.
   * @throws VarveError ‘unavailable’ for storage that has not answered in time, or a server that does not start; ‘precondition’
   * or ‘bad-request’ for what cannot work; ‘cancelled’. Nothing is left running.
   */
  static async start(
    options: ComputeOptions,
    doors: ComputeDoors,
    signal: AbortSignal,
    onFill: FillProgress = () => undefined,
  ): Promise<Compute> {
    return new Compute(options, doors, await new ServerStart(options, doors, signal, onFill).run());
  }

  /** Of a primary. */
  get term(): number | undefined {
    return this.#proposer?.term;
  }

  /** A quorum has all below. */
  get commitLsn(): Lsn {
    return this.#proposer?.commitLsn ?? this.startLsn;
  }

  /** The postmaster. */
  get pid(): number {
    return this.#program.identity.pid;
  }

  /** How many of the server's sessions were the agent's own. */
  get agentSessions(): number {
    return this.#directory.agentSessions;
  }

  /** A connection of the superuser's, for the agent's own work. The caller closes it. @throws as connect */
  connect(database: string, signal: AbortSignal): Promise<ClientConnection> {
    return connectToServer(this.#directory, this.#options, this.#doors, database, signal);
  }

  /**
   * Ends it in order: sessions are ended, all that was acknowledged is on safekeepers, and so is all that the server wrote
   * last. Resolves when nothing is left. If the signal is given, it is killed.
   */
  async stop(signal: AbortSignal): Promise<ComputeEnd> {
    this.#isStopping = true;
    const kill = (): void => this.kill();
    signal.addEventListener('abort', kill);
    if (signal.aborted) kill();
    this.#program.signal('SIGINT');
    try {
      return await this.ended;
    } finally {
      signal.removeEventListener('abort', kill);
    }
  }

  /** Ends it at once. What was acknowledged is on safekeepers. */
  kill(): void {
    this.#life.abort();
  }

  async #untilEnded(): Promise<ComputeEnd> {
    const killed = Promise.withResolvers<string>();
    this.#life.signal.addEventListener('abort', () => killed.resolve('it was killed'));
    const failed = [
      this.#lease?.lost,
      this.#watch?.failed,
      this.#proposer?.ended.then(orClosed),
      this.#lazy?.ended.then(orClosed),
      this.#budget?.failed,
    ].filter((each) => each !== undefined);
    // A server that is shut down ends when its last WAL is committed.
    const ends = [this.#program.ended, killed.promise, ...failed];
    let full: VarveError | undefined;
    void this.#budget?.full.then((error) => {
      if (this.#isStopping) return;
      full = error;
      void this.#stopFull();
    });
    const how = await Promise.race(ends);
    try {
      const end = await this.#end(how);
      return full !== undefined && !(how instanceof Error) ? { kind: 'failed', error: full } : end;
    } catch (error) {
      return { kind: 'failed', error: error as Error };
    } finally {
      await this.#all[Symbol.asyncDispose]();
    }
  }

  /** In order, so that nothing is lost that can be written. What was asked for in between waits no longer. */
  async #stopFull(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#budget?.release();
    this.#program.signal('SIGINT');
    const waited = new AbortController();
    const isEnded = this.#program.ended.then(() => true);
    const late = pause(this.#doors.clock, FULL_STOP_MS, waited.signal).then(() => false);
    if (!(await Promise.race([isEnded, late]))) this.kill();
    waited.abort();
  }

  async #end(how: string | Error): Promise<ComputeEnd> {
    const { logger } = this.#doors;
    if (how instanceof Error) {
      // Nothing that the server says counts any more: its sessions must not see another answer.
      await this.#program.kill();
      logger.error('The server was killed, for storage does not serve it any more', { reason: how.message });
      return { kind: 'failed', error: how };
    }
    if (this.#life.signal.aborted) {
      return { kind: 'failed', error: new VarveError('cancelled', 'KILLED', 'the compute was killed') };
    }
    if (!this.#isStopping || how !== 'exit status 0') {
      await this.#program.kill();
      const output = await tailOf(this.#doors.files, this.#directory.outputPath);
      logger.error('The server has ended by itself', { how, output });
      return {
        kind: 'failed',
        error: new VarveError('unavailable', 'POSTGRES_ENDED', `the server ended: ${how}`),
      };
    }
    if (this.#proposer !== undefined) await this.#finish(this.#proposer);
    return { kind: 'stopped', commitLsn: this.commitLsn };
  }

  /** The server has ended in order. */
  async #finish(proposer: Proposer): Promise<void> {
    const { logger, clock } = this.#doors;
    const waited = new AbortController();
    // The source ends when the server's last WAL is confirmed, unless the connection to it was lost: then nobody waits for
    // what had not been sent.
    const isComplete = await Promise.race([
      proposer.sourceEnded.then(() => true),
      proposer.ended.then(() => false),
      pause(clock, LAST_WAL_WAIT_MS, waited.signal).then(() => false),
    ]);
    waited.abort();
    if (!isComplete) logger.warn('The server has ended without having sent all of its WAL');
    await proposer.finish(this.#life.signal);
    await this.#keeper?.saveLast(proposer.commitLsn, isComplete, this.#life.signal);
  }
}

const orClosed = (error: Error | undefined): Error =>
  error ?? new VarveError('cancelled', 'CLOSING', 'this was closed');
