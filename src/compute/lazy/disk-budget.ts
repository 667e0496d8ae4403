import { VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { Clock } from '../../io/clock.ts';
import { pause } from '../../io/retry-delay.ts';
import type { ServerProgram, Servers } from '../../io/servers.ts';
import type { Logger } from '../../observe/log.ts';
import { BudgetPolicy } from './budget-policy.ts';
import type { LazyDirectory } from './lazy-directory.ts';
import type { GivePermission, GiveReport } from './shim-connection.ts';

/** Of what the file system has free at a start, where nobody says how much may be used. */
export const DEFAULT_BUDGET_PART = 0.8;
export const DISK_WAIT_MS_DEFAULT = 30_000;
/** WAL that was checkpointed goes by the server's next checkpoint: it is asked for one so often at most. */
const CHECKPOINT_MS = 5000;
const MOVE_WAIT_MS = 1000;
/** What a server has at its start is no danger; starting a process just then would hold up its first client. */
const EVICTOR_DELAY_MS = 1000;
/** What is used, and was given back, is told when it has changed by this part of the budget; so often at most. */
const TOLD_PART = 0.1;
const TOLD_MS = 2000;

export interface DiskBudgetOptions {
  readonly budgetBytes: number;
  /** Makes the server give away the WAL that it does not need. */
  readonly checkpoint: (signal: AbortSignal) => Promise<void>;
  /** How long writing is slow before the server is stopped. */
  readonly waitMs: number;
  /** Which the evictor is: any program that is linked with libc. It does nothing of its own. */
  readonly program: string;
  readonly directory: string;
  /** For what the evictor has to say. */
  readonly outputPath: string;
  readonly lazy: LazyDirectory;
  /** At which pages are read. */
  readonly pages: { readonly lsn: Lsn };
  /** Moves that up as far as storage is; undefined where it stays. */
  readonly position: { moveNow(): Promise<void> } | undefined;
}

export interface DiskBudgetDoors {
  readonly servers: Pick<Servers, 'start'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps what a compute has on its disk below a number of bytes: what storage has is given back, by a process of its own, and is
 * read again when it is needed. Where that is not enough WAL is written slowly, and checkpointed; and after a while the directory
 * is full. It is not held: the checkpoint that makes room has to write some.
 */
export class DiskBudget implements AsyncDisposable {
  /** Resolves when writing was slow for too long. */
  readonly full: Promise<VarveError>;
  /** Resolves when the evictor has ended by itself: what it owned nobody can have any more. */
  readonly failed: Promise<VarveError>;
  readonly #options: DiskBudgetOptions;
  readonly #doors: DiskBudgetDoors;
  readonly #policy: BudgetPolicy;
  readonly #full = Promise.withResolvers<VarveError>();
  readonly #failed = Promise.withResolvers<VarveError>();
  readonly #life = new AbortController();
  readonly #starting: Promise<ServerProgram | undefined>;
  #isSlowing = false;
  #isClosing = false;
  #isCheckpointing = false;
  #checkpointedAtMs = Number.NEGATIVE_INFINITY;
  #toldBytes = 0;
  #toldGivenBytes = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #givenBytes = 0;

  /** Does not wait for the evictor, which nothing waits for. */
  constructor(options: DiskBudgetOptions, doors: DiskBudgetDoors) {
    this.#options = options;
    this.#doors = doors;
    this.#policy = new BudgetPolicy(options.budgetBytes, options.waitMs);
    this.full = this.#full.promise;
    this.failed = this.#failed.promise;
    options.lazy.answerEvictor((report) => this.#answer(report));
    this.#starting = this.#startEvictor();
    this.#starting.then(
      async (evictor) => {
        if (evictor !== undefined) this.#onEnded(await evictor.ended);
      },
      (error: Error) => this.#onEnded(error.message),
    );
  }

  /** undefined where it is not needed any more. */
  async #startEvictor(): Promise<ServerProgram | undefined> {
    const { lazy, program, directory, outputPath } = this.#options;
    await pause(this.#doors.clock, EVICTOR_DELAY_MS, this.#life.signal);
    if (this.#life.signal.aborted) return undefined;
    const environment = { LC_ALL: 'C', ...lazy.evictorEnvironment };
    return await this.#doors.servers.start(program, ['--version'], { directory, outputPath, environment });
  }

  /** Writing is as fast as ever, whatever is used. */
  release(): void {
    this.#isClosing = true;
    this.#slow(false);
  }

  /** Nothing is given back any more. After the server has ended: of what the evictor owned nobody could say anything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    this.#life.abort();
    await this.#kill();
  }

  async #kill(): Promise<void> {
    // Where it did not start, whoever waited for that was told.
    const evictor = await this.#starting.catch(() => undefined);
    await evictor?.kill();
  }

  async #answer(report: GiveReport): Promise<GivePermission> {
    const { clock, logger } = this.#doors;
    const { budgetBytes, position, pages } = this.#options;
    if (report.hasNoHoles) return this.#giveUp();
    this.#tell(report);
    const decision = this.#policy.decide(report, clock.monotonicMs());
    if (!this.#isClosing) this.#slow(decision.slowsWal, report);
    if (decision.slowsWal) this.#checkpoint();
    if (decision.isFull && !this.#isClosing) {
      const { usedBytes } = report;
      const reason = `the server needs more than ${budgetBytes} bytes of its disk for what cannot be given back`;
      logger.error('The local directory is full', { usedBytes, budgetBytes });
      this.#full.resolve(new VarveError('unavailable', 'LOCAL_DISK_FULL', reason));
    }
    if (decision.wantsNewerLsn && position !== undefined) {
      // A pageserver that is away must not keep us from looking at what is used.
      await Promise.race([position.moveNow(), pause(clock, MOVE_WAIT_MS, this.#life.signal)]);
    }
    const { giveBytes, wakeBytes, isPressed } = decision;
    return { lsn: pages.lsn, giveBytes, wakeBytes, isPressed };
  }

  #giveUp(): GivePermission {
    this.#isClosing = true;
    this.#doors.logger.warn(
      'The file system cannot give back parts of files: the local directory has no limit',
    );
    // When it has its answer, and owns nothing.
    void this.#kill();
    return {
      lsn: this.#options.pages.lsn,
      giveBytes: 0,
      wakeBytes: Number.MAX_SAFE_INTEGER,
      isPressed: false,
    };
  }

  #slow(slows: boolean, report?: GiveReport): void {
    if (slows === this.#isSlowing) return;
    const { lazy, budgetBytes, pages } = this.#options;
    const { logger } = this.#doors;
    this.#isSlowing = slows;
    lazy.slowWal(slows);
    const fields = { ...report, budgetBytes, readLsn: formatLsn(pages.lsn) };
    if (slows) logger.warn('Writing is slowed until the disk has room', fields);
    else logger.info('The disk has room again', fields);
  }

  /** One at a time. */
  #checkpoint(): void {
    const { clock, logger } = this.#doors;
    const nowMs = clock.monotonicMs();
    if (this.#isCheckpointing || nowMs - this.#checkpointedAtMs < CHECKPOINT_MS) return;
    this.#checkpointedAtMs = nowMs;
    this.#isCheckpointing = true;
    const { signal } = this.#life;
    void this.#options
      .checkpoint(signal)
      .catch((error: Error) => {
        if (!signal.aborted) logger.warn('The server could not be asked for a checkpoint', { error });
      })
      .finally(() => {
        this.#isCheckpointing = false;
      });
  }

  #tell({ usedBytes, givenBytes }: GiveReport): void {
    const { budgetBytes, lazy } = this.#options;
    this.#givenBytes += givenBytes;
    const nowMs = this.#doors.clock.monotonicMs();
    if (nowMs - this.#toldAtMs < TOLD_MS) return;
    const changedBytes = Math.max(
      Math.abs(usedBytes - this.#toldBytes),
      this.#givenBytes - this.#toldGivenBytes,
    );
    if (changedBytes < budgetBytes * TOLD_PART) return;
    this.#toldBytes = usedBytes;
    this.#toldGivenBytes = this.#givenBytes;
    this.#toldAtMs = nowMs;
    const { blocksAgain } = lazy;
    this.#doors.logger.info('Local files', {
      usedBytes,
      budgetBytes,
      givenBytes: this.#givenBytes,
      blocksAgain,
    });
  }

  #onEnded(how: string): void {
    if (this.#isClosing) return;
    const reason = `the process that gives blocks back has ended: ${how}`;
    this.#failed.resolve(new VarveError('unavailable', 'EVICTOR_ENDED', reason));
  }
}
