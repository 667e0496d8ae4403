import { AssertionError, BadRequestError, VarveError } from '../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../base/lsn.ts';
import type { HotStandbyFeedback } from '../contracts/acceptor-messages.ts';
import type { MembershipConfiguration } from '../contracts/membership.ts';
import { cancelledError, throwIfCancelled } from '../io/cancelled.ts';
import type { Timer } from '../io/clock.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import { getPostgresVersion } from '../postgres/versions/version.ts';
import { BackPressure, type BackPressureReason } from './back-pressure.ts';
import type { PreviousElections } from './consensus/election.ts';
import { FeedbackAggregate, type PageserverProgress } from './feedback.ts';
import {
  PROPOSER_SETTINGS_DEFAULT,
  type ProposerDoors,
  type ProposerOptions,
  type ProposerSettings,
} from './options.ts';
import { ProposerSession, type SessionEnd, type SessionHandler } from './proposer-session.ts';
import type { ProposerStats } from './proposer-stats.ts';
import { WalIntake } from './wal-intake.ts';
import type { WalSource } from './wal-source.ts';
import { WalWindow } from './wal-window.ts';

/** A stock server whose directory storage has made stays on its first timeline. */
export const POSTGRES_TIMELINE_ID = 1;

/** What has to be known of whoever writes WAL. */
export type SourceServer = Pick<ProposerOptions, 'pgVersion' | 'systemIdentifier'>;

/**
 * Takes the WAL of one server to the safekeepers, and knows what is committed. It has a term of its own, which it
 * gets by an election; when somebody else gets a higher one it ends with an error of the kind ‘fenced’, and whoever
 * writes the WAL must be stopped at once.
 */
export class Proposer {
  /** Resolves when everything of it has ended: with why, if it had to. */
  readonly ended: Promise<Error | undefined>;
  /** Resolves when the source has ended in order. It is time for `finish` then. */
  readonly sourceEnded: Promise<void>;
  readonly #options: ProposerOptions;
  readonly #settings: ProposerSettings;
  readonly #doors: ProposerDoors;
  readonly #life = new AbortController();
  readonly #ready: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #tasks = new Set<Promise<unknown>>();
  readonly #resolveEnded: (error: Error | undefined) => void;
  readonly #resolveSourceEnded: () => void;
  #isEnding = false;
  /** An election was won, and its start is committed: a server may run. */
  #isReady = false;

  #membership: MembershipConfiguration;
  #session: ProposerSession;
  #previous: PreviousElections | undefined;
  #elections = 1;
  #term = 0;
  readonly #electionDelay: RetryDelay;
  #tickTimer: Timer | undefined;

  #window: WalWindow | undefined;
  #intake: WalIntake | undefined;
  #source: WalSource | undefined;
  readonly #sourceLife = new AbortController();
  #sourceTask: Promise<void> = Promise.resolve();

  /** What the safekeepers are to be told last, and what to do when a quorum was. */
  #farewell: { readonly finalLsn: Lsn; readonly told: () => void } | undefined;

  #startLsn: Lsn = INVALID_LSN;
  #commitLsn: Lsn = INVALID_LSN;
  readonly #commitListeners = new Set<(commitLsn: Lsn) => void>();
  readonly #feedback = new FeedbackAggregate();
  readonly #backPressure: BackPressure;

  private constructor(options: ProposerOptions, doors: ProposerDoors) {
    this.#options = options;
    this.#settings = { ...PROPOSER_SETTINGS_DEFAULT, ...options.settings };
    this.#backPressure = new BackPressure(this.#settings.backPressure);
    const { tenantId, timelineId } = options;
    this.#doors = { ...doors, logger: doors.logger.child({ tenantId, timelineId }) };
    this.#membership = options.membership;
    this.#electionDelay = new RetryDelay(this.#settings.electionRetry, doors.random);
    const ended = Promise.withResolvers<Error | undefined>();
    this.ended = ended.promise;
    this.#resolveEnded = ended.resolve;
    const sourceEnded = Promise.withResolvers<void>();
    this.sourceEnded = sourceEnded.promise;
    this.#resolveSourceEnded = sourceEnded.resolve;
    // `elect` waits for it and learns of its failure; once it has, `ended` tells of what comes.
    this.#ready.promise.catch(() => undefined);
    this.#session = this.#makeSession();
    this.#session.start();
    this.#armTick();
  }

  /**
   * Wins an election, and makes sure that a quorum knows its outcome durably: all up to `startLsn` is committed then.
   * Tries again while others are faster.
   * @param signal ends the election; later it has no effect
   * @throws VarveError ‘cancelled’; ‘precondition’ / EMPTY_LOG where nobody knows where the log begins; CorruptionError
   * where the safekeepers' logs cannot be right
   */
  static async elect(options: ProposerOptions, doors: ProposerDoors, signal: AbortSignal): Promise<Proposer> {
    throwIfCancelled(signal);
    const proposer = new Proposer(options, doors);
    const cancel = (): void => proposer.#end(cancelledError(signal));
    signal.addEventListener('abort', cancel);
    try {
      await proposer.#ready.promise;
      return proposer;
    } catch (error) {
      await proposer.ended;
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /** The term of the latest election that was won. */
  get term(): number {
    return this.#term;
  }

  /** Where the WAL of this proposer began. */
  get startLsn(): Lsn {
    return this.#startLsn;
  }

  /** A quorum has all below durably. */
  get commitLsn(): Lsn {
    return this.#commitLsn;
  }

  /** undefined: writing may go on. */
  get backPressure(): BackPressureReason | undefined {
    return this.#backPressure.reason;
  }

  get pageserverProgress(): PageserverProgress | undefined {
    return this.#feedback.pageserver;
  }

  get hotStandbyFeedback(): HotStandbyFeedback {
    return this.#feedback.hotStandby;
  }

  get stats(): ProposerStats {
    const { sentBytes, fetchedBytes, safekeepers } = this.#session;
    return {
      term: this.#term,
      startLsn: this.#startLsn,
      receivedLsn: this.#window?.endLsn ?? INVALID_LSN,
      commitLsn: this.#commitLsn,
      elections: this.#elections,
      heldBytes: this.#window?.heldBytes ?? 0,
      receivedBytes: this.#intake?.receivedBytes ?? 0,
      copiedBytes: this.#window?.copiedBytes ?? 0,
      sentBytes,
      fetchedBytes,
      safekeepers,
    };
  }

  /** The listener is called at each rise of the commit LSN. It must be quick and not throw. */
  onCommit(listener: (commitLsn: Lsn) => void): Disposable {
    this.#commitListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#commitListeners.delete(listener) };
  }

  /** The listener is called when back-pressure becomes due, for another reason, or is over. As onCommit. */
  onBackPressure(listener: (reason: BackPressureReason | undefined) => void): Disposable {
    return this.#backPressure.listen(listener);
  }

  /**
   * Begins to take the source's WAL, from `startLsn` on. When the source ends in order this waits for `finish`; when it
   * fails, so does the proposer. To be called once.
   * @param server of what server it is, where that was not known at the election
   */
  attach(source: WalSource, server: SourceServer = this.#options): void {
    if (this.#source !== undefined) throw new AssertionError('a proposer has one source');
    const { segmentBytes } = this.#options;
    const { pgVersion, systemIdentifier } = server;
    if (pgVersion === 0 || systemIdentifier === 0n) {
      throw new BadRequestError(
        'UNKNOWN_SERVER',
        "a source needs its server's version and system identifier",
      );
    }
    const version = getPostgresVersion(Math.floor(pgVersion / 10_000));
    if (this.#isEnding) return;
    const expectations = { version, segmentBytes, systemIdentifier, timelineId: POSTGRES_TIMELINE_ID };
    const intake = new WalIntake(this.#window as WalWindow, expectations, {
      onSafe: () => this.#act(() => this.#onSafe()),
      onFull: () => this.#letGo(),
      onRoom: () => source.resume(),
    });
    this.#source = source;
    this.#intake = intake;
    source.committed(this.#commitLsn);
    source.applied(this.#feedback.standbyApplyLsn);
    this.#sourceTask = this.#runSource(source, intake);
    this.#track(this.#sourceTask);
  }

  /**
   * A clean stop: takes nothing more from the source, waits until all whole records that came are committed, tells the
   * safekeepers so and waits until a quorum has answered, then ends.
   * @throws what the proposer ends with meanwhile; ‘cancelled’ if the signal is given, and then it is not ended
   */
  async finish(signal: AbortSignal): Promise<void> {
    this.#sourceLife.abort();
    await this.#sourceTask;
    const finalLsn = this.#intake?.recordEndLsn ?? this.#startLsn;
    const interrupted = Promise.withResolvers<never>();
    const cancel = (): void => interrupted.reject(cancelledError(signal));
    signal.addEventListener('abort', cancel);
    if (signal.aborted) cancel();
    const ended = this.ended.then((error) => {
      throw error ?? new VarveError('cancelled', 'CLOSING', 'the proposer was closed');
    });
    try {
      await Promise.race([this.#untilCommitted(finalLsn), ended, interrupted.promise]);
      const told = Promise.withResolvers<void>();
      this.#farewell = { finalLsn, told: told.resolve };
      this.#sayGoodbye();
      await Promise.race([told.promise, ended, interrupted.promise]);
    } finally {
      signal.removeEventListener('abort', cancel);
      // The race has told of the first of them; the others may still be rejected, for nobody.
      interrupted.promise.catch(() => undefined);
      ended.catch(() => undefined);
    }
    this.#end(undefined);
    await this.ended;
  }

  /** Ends at once, whatever is under way. May be called again. */
  async close(): Promise<void> {
    this.#end(undefined);
    await this.ended;
  }

  /** What the session tells. An earlier one is told to nobody. */
  #makeSession(): ProposerSession {
    const handler: SessionHandler = {
      onElected: (term, startLsn) => this.#goOn(term, startLsn),
      onStartCommitted: () => {
        this.#isReady = true;
        this.#ready.resolve();
      },
      onCommitted: (commitLsn) => this.#commit(commitLsn),
      onResponse: (id, response) => {
        if (this.#feedback.update(id, response)) this.#tellFeedback();
        this.#tellApplied();
      },
      onDisconnected: (id) => {
        if (this.#feedback.forget(id)) this.#tellFeedback();
        this.#tellApplied();
        this.#updateBackPressure();
      },
      onOver: (end) => this.#endTerm(end),
      onFailure: (error) => this.#end(error),
    };
    const start = { membership: this.#membership, previous: this.#previous };
    return new ProposerSession(start, this.#options, this.#settings, this.#doors, handler);
  }

  #goOn(term: number, startLsn: Lsn): void {
    this.#doors.logger.info('the election is won', { term, startLsn: formatLsn(startLsn) });
    this.#electionDelay.reset();
    this.#term = term;
    if (this.#window === undefined) {
      this.#window = new WalWindow(startLsn, this.#settings.windowBytes);
      this.#startLsn = startLsn;
    }
    this.#session.useWindow(this.#window);
    this.#extend();
    this.#updateBackPressure();
  }

  #commit(commitLsn: Lsn): void {
    if (commitLsn <= this.#commitLsn) return;
    this.#commitLsn = commitLsn;
    this.#source?.committed(commitLsn);
    for (const listener of this.#commitListeners) listener(commitLsn);
    this.#letGo();
    if (this.#backPressure.reason !== undefined) this.#updateBackPressure();
  }

  #endTerm(end: SessionEnd): void {
    if (end.kind === 'fenced') {
      this.#end(end.reason);
    } else if (end.kind === 'membership-changed') {
      this.#doors.logger.info('the membership has changed', { generation: end.membership.generation });
      this.#membership = end.membership;
      this.#startAgain(0);
    } else {
      this.#doors.logger.info('the election is lost', { term: end.term });
      this.#startAgain(this.#electionDelay.nextMs());
    }
  }

  #giveUpIfStuck(): void {
    if (!this.#session.isStuck(this.#doors.clock.monotonicMs())) return;
    this.#doors.logger.warn('whoever had the end of the log is gone: another election is needed', {
      term: this.#term,
      startLsn: formatLsn(this.#startLsn),
    });
    this.#startAgain(this.#electionDelay.nextMs());
  }

  /** Another election, over connections of its own. */
  #startAgain(delayMs: number): void {
    const old = this.#session;
    if (this.#isReady) {
      this.#previous = old.elections;
    } else {
      // Nothing stands on where the log was said to end.
      this.#window = undefined;
      this.#startLsn = INVALID_LSN;
    }
    const start = async (): Promise<void> => {
      await old.close();
      await pause(this.#doors.clock, delayMs, this.#life.signal);
      if (this.#isEnding) return;
      this.#session = this.#makeSession();
      this.#elections++;
      this.#session.start();
      this.#sayGoodbye();
    };
    this.#track(start().catch((error: unknown) => this.#end(error as Error)));
    this.#updateBackPressure();
  }

  async #runSource(source: WalSource, intake: WalIntake): Promise<void> {
    const { signal } = this.#sourceLife;
    try {
      await source.run(this.#startLsn, intake, signal);
      const receivedLsn = formatLsn(intake.window.endLsn);
      this.#doors.logger.info('the source has ended', { receivedLsn });
      this.#resolveSourceEnded();
    } catch (error) {
      if (!signal.aborted) this.#end(error as Error);
    }
  }

  /** More has come. A server writes its gigabyte within the time between two ticks. */
  #onSafe(): void {
    this.#extend();
    const isLate = this.#commitLagBytes > this.#settings.backPressure.commitLagBytes;
    if (isLate && this.#backPressure.reason === undefined) this.#updateBackPressure();
  }

  /** Lets the session send all that may be sent. */
  #extend(): void {
    if (this.#intake !== undefined && this.#session.isElected) this.#session.extendWal(this.#intake.safeLsn);
  }

  #letGo(): void {
    this.#intake?.letGo(this.#session.neededLsn, this.#commitLsn);
  }

  /** Where the end is near: lets the session tell it. A session that is replaced tells nobody any more. */
  #sayGoodbye(): void {
    const farewell = this.#farewell;
    if (farewell === undefined) return;
    const { finalLsn, told } = farewell;
    const goodbye = this.#session.sayGoodbye(finalLsn).then((isTold) => {
      // A session that was closed meanwhile has told nobody: the next one says it again.
      if (isTold) told();
    });
    this.#track(goodbye);
  }

  async #untilCommitted(lsn: Lsn): Promise<void> {
    if (this.#commitLsn >= lsn) return;
    const reached = Promise.withResolvers<void>();
    using _listening = this.onCommit((commitLsn) => {
      if (commitLsn >= lsn) reached.resolve();
    });
    await reached.promise;
  }

  #tellFeedback(): void {
    this.#source?.hotStandbyFeedback(this.#feedback.hotStandby);
  }

  #tellApplied(): void {
    this.#source?.applied(this.#feedback.standbyApplyLsn);
  }

  #armTick(): void {
    this.#tickTimer = this.#doors.clock.setTimer(this.#settings.heartbeatIntervalMs, () => {
      this.#act(() => {
        this.#session.heartbeat();
        this.#giveUpIfStuck();
        this.#letGo();
        this.#updateBackPressure();
        this.#armTick();
      });
    });
  }

  /** Also of what the source has written and not given: it does so faster than it gives. */
  get #commitLagBytes(): number {
    const writtenLsn = Math.max(this.#source?.writtenLsn ?? INVALID_LSN, this.#window?.endLsn ?? INVALID_LSN);
    return Math.max(0, writtenLsn - this.#commitLsn);
  }

  #updateBackPressure(): void {
    const progress = this.#feedback.pageserver;
    // 0: a pageserver does not know yet, such as before its first upload.
    const lagBytes = (lsn: Lsn = INVALID_LSN): number =>
      lsn === INVALID_LSN ? 0 : Math.max(0, this.#commitLsn - lsn);
    this.#backPressure.update({
      hasQuorum: this.#session.hasStreamingQuorum,
      commitLagBytes: this.#commitLagBytes,
      receiveLagBytes: lagBytes(progress?.lastReceivedLsn),
      diskLagBytes: lagBytes(progress?.diskConsistentLsn),
    });
  }

  /** What a timer or the event loop has called: what it throws is a bug, and the end. */
  #act(action: () => void): void {
    if (this.#isEnding) return;
    try {
      action();
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #track(task: Promise<void>): void {
    this.#tasks.add(task);
    const done = (): void => void this.#tasks.delete(task);
    task.then(done, done);
  }

  /** The end, once: everything is cancelled, and `ended` resolves when it has gone. */
  #end(error: Error | undefined): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (error !== undefined) {
      this.#doors.logger.warn('the proposer ends', {
        kind: error instanceof VarveError ? error.kind : 'assertion',
        reason: error.message,
      });
    }
    this.#tickTimer?.cancel();
    this.#life.abort();
    this.#sourceLife.abort();
    this.#ready.reject(error ?? new VarveError('cancelled', 'CLOSING', 'the proposer was closed'));
    void Promise.allSettled([...this.#tasks, this.#session.close()]).then(() => this.#resolveEnded(error));
  }
}
