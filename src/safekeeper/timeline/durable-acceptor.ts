import { BadRequestError, CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { Acceptor } from '../consensus/acceptor.ts';
import type { AcceptorEffect, Decision, LogPosition } from '../consensus/effects.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import type { ControlFileStore } from '../control-file/control-file-store.ts';
import type { WalStorage } from '../wal/wal-storage.ts';

/** What carries the acceptor's effects out. All three are of one timeline, and of one opening of it. */
export interface AcceptorParts {
  readonly acceptor: Acceptor;
  /** Undefined while the timeline's WAL is evicted: nothing can then be written. */
  readonly wal: WalStorage | undefined;
  readonly controlFile: ControlFileStore;
}

/**
 * Reads a timeline from its disk.
 * @param assumed what its control file is taken to say, to find out whether it could
 */
export type OpenAcceptor = (assumed?: PersistentState) => Promise<AcceptorParts>;

/** Counts what the disk is given to do, in bytes and seconds, of all timelines together. */
export interface AcceptorMeter {
  readonly nowMs: () => number;
  onWrite(lengthBytes: number, durationS: number): void;
  onFlush(durationS: number): void;
  onPersist(durationS: number): void;
}

/** What one timeline's disk was given to do since it was opened first. */
export interface AcceptorTotals {
  writtenWalBytes: number;
  writtenWalS: number;
  flushedWalS: number;
}

/**
 * An acceptor with its disk: runs one decision at a time, carries its effects out in their order, and tells who wants
 * to know when positions have changed.
 *
 * When the disk fails, nobody knows what of the last effects is on it. Everything is then refused until `reopen`
 * has read it anew.
 */
export class DurableAcceptor {
  readonly totals: AcceptorTotals = { writtenWalBytes: 0, writtenWalS: 0, flushedWalS: 0 };
  readonly #open: OpenAcceptor;
  readonly #meter: AcceptorMeter | undefined;
  #parts: AcceptorParts;
  #failure: VarveError | undefined;
  #isBusy = false;
  readonly #waiting: (() => void)[] = [];
  readonly #listeners = new Set<() => void>();

  private constructor(open: OpenAcceptor, parts: AcceptorParts, meter: AcceptorMeter | undefined) {
    this.#open = open;
    this.#parts = parts;
    this.#meter = meter;
  }

  /** @param open called again after the disk has failed */
  static async open(open: OpenAcceptor, meter?: AcceptorMeter): Promise<DurableAcceptor> {
    return new DurableAcceptor(open, await open(), meter);
  }

  get acceptor(): Acceptor {
    return this.#parts.acceptor;
  }

  get wal(): WalStorage | undefined {
    return this.#parts.wal;
  }

  /** Why everything is refused, if it is. */
  get failure(): VarveError | undefined {
    return this.#failure;
  }

  /** Calls `listener` after each decision that may have changed something. It must be quick and not throw. */
  listen(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Runs a decision when all before it are done. Where nothing has to be waited for, it is done on return, and its
   * outcome is returned as it is.
   *
   * @param decide called when it is this decision's turn, with the acceptor of that moment
   */
  run<Outcome>(decide: (acceptor: Acceptor) => Decision<Outcome>): Outcome | Promise<Outcome> {
    if (this.#isBusy) return this.#runLater(decide);
    this.#isBusy = true;
    let pending: Promise<LogPosition> | undefined;
    let decision: Decision<Outcome>;
    try {
      decision = this.#begin(decide);
      let step = decision.next();
      while (step.done !== true) {
        const log = this.#carryOut(step.value);
        if (log instanceof Promise) {
          pending = log;
          break;
        }
        step = decision.next(log);
      }
      if (step.done === true) return step.value;
    } finally {
      if (pending === undefined) this.#release();
    }
    return this.#finish(decision, pending as Promise<LogPosition>);
  }

  /** Runs `action` while no decision runs. */
  async exclusively<Result>(action: () => Promise<Result>): Promise<Result> {
    if (this.#isBusy) await this.#turn();
    this.#isBusy = true;
    try {
      return await action();
    } finally {
      this.#release();
    }
  }

  /** Reads everything anew from the disk: after a failure, or when the WAL has come back or gone to the bucket. */
  async reopen(): Promise<void> {
    await this.exclusively(() => this.#reopen());
  }

  /** As `reopen`, if the disk has failed; else nothing. */
  async recover(): Promise<void> {
    await this.exclusively(async () => {
      if (this.#failure !== undefined) await this.#reopen();
    });
  }

  /**
   * Replaces the state by hand, and reads everything anew: whoever writes WAL then has to be elected anew. What cannot
   * be opened on this disk is refused before anything is changed.
   *
   * @param change called when it is its turn, with the acceptor of that moment; may throw
   * @throws BadRequestError / BAD_PATCH where the disk does not hold what the state says, or where WAL that was
   * reported as durable would be forgotten
   */
  async patch(
    change: (acceptor: Acceptor) => PersistentState,
  ): Promise<{ readonly before: PersistentState; readonly after: PersistentState }> {
    return this.exclusively(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      const { acceptor, controlFile, wal } = this.#parts;
      const after = change(acceptor);
      const before = acceptor.persistent;
      await wal?.flush();
      await this.#try(after, acceptor.flushLsn);
      try {
        await controlFile.save(after);
      } catch (error) {
        this.#noteFailure(true, error);
        throw error;
      }
      await this.#reopen();
      return { before, after };
    });
  }

  /** Waits for the decision under way, and lets go of the files. Everything is refused afterwards. */
  async close(): Promise<void> {
    await this.exclusively(async () => {
      this.#failure = new VarveError('cancelled', 'CLOSING', 'the timeline is closed');
      await this.#parts.wal?.close();
    });
  }

  async #reopen(): Promise<void> {
    this.#failure ??= new VarveError('unavailable', 'TIMELINE_REOPENING', 'the timeline is being read anew');
    await this.#parts.wal?.close();
    this.#parts = await this.#open();
    this.#failure = undefined;
  }

  async #try(state: PersistentState, flushLsn: Lsn): Promise<void> {
    let parts: AcceptorParts;
    try {
      parts = await this.#open(state);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      throw new BadRequestError(
        'BAD_PATCH',
        `the disk holds something else: ${error.reason}`,
        error.place,
        error,
      );
    }
    await parts.wal?.close();
    if (parts.acceptor.flushLsn >= flushLsn) return;
    throw new BadRequestError('BAD_PATCH', `WAL is durable up to ${formatLsn(flushLsn)}, and must stay so`, {
      lsn: parts.acceptor.flushLsn,
    });
  }

  #begin<Outcome>(decide: (acceptor: Acceptor) => Decision<Outcome>): Decision<Outcome> {
    if (this.#failure !== undefined) throw this.#failure;
    return decide(this.#parts.acceptor);
  }

  async #runLater<Outcome>(decide: (acceptor: Acceptor) => Decision<Outcome>): Promise<Outcome> {
    await this.#turn();
    this.#isBusy = false;
    return this.run(decide);
  }

  async #finish<Outcome>(decision: Decision<Outcome>, pending: Promise<LogPosition>): Promise<Outcome> {
    try {
      let step = decision.next(await pending);
      while (step.done !== true) step = decision.next(await this.#carryOut(step.value));
      return step.value;
    } finally {
      this.#release();
    }
  }

  /** Resolves when it is the caller's turn; `#isBusy` stays set on its behalf. */
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(): void {
    for (const listener of this.#listeners) listener();
    const next = this.#waiting.shift();
    if (next === undefined) this.#isBusy = false;
    else next();
  }

  #carryOut(effect: AcceptorEffect): LogPosition | Promise<LogPosition> {
    const { wal, controlFile } = this.#parts;
    if (effect.kind === 'persist') return this.#guard(effect, controlFile.save(effect.state));
    if (wal === undefined) {
      throw new VarveError('unavailable', 'TIMELINE_EVICTED', 'the WAL of this timeline is in the bucket');
    }
    switch (effect.kind) {
      case 'initialize-log':
        return this.#guard(
          effect,
          wal.initialize(effect.lsn, effect.systemIdentifier, effect.timelineStartLsn),
        );
      case 'truncate-log':
        return this.#guard(effect, wal.truncate(effect.lsn));
      case 'flush-log':
        return this.#guard(effect, wal.flush());
      case 'write-log':
        return this.#write(wal, effect);
    }
  }

  #write(
    wal: WalStorage,
    effect: Extract<AcceptorEffect, { kind: 'write-log' }>,
  ): LogPosition | Promise<LogPosition> {
    const { beginLsn, wal: bytes } = effect;
    const meter = this.#meter;
    // Two looks at the clock take a tenth of a microsecond, a write takes some.
    const startMs = meter?.nowMs() ?? 0;
    let written: Promise<void> | undefined;
    try {
      written = wal.write(beginLsn, bytes, 0, bytes.length);
    } catch (error) {
      this.#noteFailure(wal.isFailed, error);
      throw error;
    }
    if (written !== undefined) return this.#guard(effect, written);
    if (meter !== undefined) this.#measureWrite(meter, bytes.length, (meter.nowMs() - startMs) / 1000);
    return this.#position();
  }

  /** Waits for an effect. One that fails in a way that leaves the disk's content unknown stops this acceptor. */
  async #guard(effect: AcceptorEffect, done: Promise<void>): Promise<LogPosition> {
    const { wal } = this.#parts;
    const startMs = this.#meter?.nowMs() ?? 0;
    try {
      await done;
    } catch (error) {
      this.#noteFailure(effect.kind === 'persist' || wal?.isFailed === true, error);
      throw error;
    }
    if (this.#meter !== undefined) this.#measure(this.#meter, effect, startMs);
    return this.#position();
  }

  #measure(meter: AcceptorMeter, effect: AcceptorEffect, startMs: number): void {
    const durationS = (meter.nowMs() - startMs) / 1000;
    if (effect.kind === 'persist') meter.onPersist(durationS);
    if (effect.kind === 'write-log') this.#measureWrite(meter, effect.wal.length, durationS);
    if (effect.kind !== 'flush-log') return;
    meter.onFlush(durationS);
    this.totals.flushedWalS += durationS;
  }

  #measureWrite(meter: AcceptorMeter, lengthBytes: number, durationS: number): void {
    meter.onWrite(lengthBytes, durationS);
    this.totals.writtenWalBytes += lengthBytes;
    this.totals.writtenWalS += durationS;
  }

  #noteFailure(isUnknown: boolean, error: unknown): void {
    if (!isUnknown) return;
    this.#failure ??= new VarveError(
      'unavailable',
      'TIMELINE_DISK_FAILED',
      'the disk failed under this timeline; it is to be read anew before it goes on',
      {},
      error,
    );
  }

  #position(): LogPosition {
    const { wal } = this.#parts;
    if (wal === undefined) return this.#parts.acceptor.log;
    return { writeLsn: wal.writeLsn, recordLsn: wal.recordLsn, flushLsn: wal.flushLsn };
  }
}
