import { AssertionError, VarveError } from '../../../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../../../base/lsn.ts';
import { TaskSet } from '../../../base/task-set.ts';
import type { SafekeeperAddress } from '../../../contracts/membership.ts';
import type { Timer } from '../../../io/clock.ts';
import type { Logger } from '../../../observe/log.ts';
import type { WalIntake } from '../wal-intake.ts';
import {
  chooseSource,
  type LeaveReason,
  SOURCE_RULES_DEFAULT,
  type SourceRules,
  type SourceSituation,
} from './choose-source.ts';
import type { FeedbackDetails } from './feedback-message.ts';
import type { WalReceiverCounts } from './receiver-counts.ts';
import type { WalConnectionState, WalReceiverState, WalReceiverStatus } from './receiver-state.ts';
import { ReceiverStream } from './receiver-stream.ts';
import {
  connectToSource,
  type SourceAccess,
  type SourceDoors,
  type SourceTimeline,
} from './source-connection.ts';
import { failureOf, type SourceFailure, SourceRecord } from './source-record.ts';
import type { StatusFeed, TimelineNews } from './status-feed.ts';

/** As many safekeepers have to give bad WAL for the same place before it is called the timeline that is damaged. */
const DAMAGED_SOURCES = 2;

export interface WalReceiverOptions extends SourceTimeline {
  readonly doors: SourceDoors;
  readonly logger: Logger;
  readonly access: SourceAccess;
  readonly feed: StatusFeed;
  readonly intake: WalIntake;
  readonly counts: WalReceiverCounts;
  /** Of the timeline's configuration, in a joint one of both sets. */
  readonly members: readonly SafekeeperAddress[];
  readonly shardNumber: number;
  readonly currentSizeBytes: () => number;
  readonly rules?: Partial<SourceRules>;
}

interface Current {
  readonly address: SafekeeperAddress;
  readonly stream: ReceiverStream;
  readonly beganMs: number;
  /** Set when this side leaves. */
  leftFor: LeaveReason | undefined;
}

/**
 * Receives one timeline's WAL: from the safekeeper that is furthest, as long as anybody is ahead, and from another one
 * when that one is lost, lags, or gives WAL that cannot be taken. One connection at most at a time, each of which goes
 * on where the intake is, so nothing is lost and nothing comes twice. While nobody is ahead there is neither a connection
 * nor a timer.
 */
export class WalReceiver {
  readonly #options: WalReceiverOptions;
  readonly #rules: SourceRules;
  readonly #tasks = new TaskSet();
  readonly #records = new Map<number, SourceRecord>();
  /** Of what went wrong here: nobody is asked for WAL that could not be taken in. */
  readonly #own: SourceRecord;
  #members: readonly SafekeeperAddress[];
  #news: TimelineNews | undefined;
  #current: Current | undefined;
  #last: WalConnectionState | undefined;
  #lastFailure: WalReceiverState['lastFailure'];
  /** What the bucket has, as a safekeeper knew that has ended a connection in order. */
  #toldRemoteLsn: Lsn = INVALID_LSN;
  #isWaiting = false;
  #isIntakeClosed = false;
  #wake: (() => void) | undefined;

  constructor(options: WalReceiverOptions) {
    this.#options = options;
    this.#rules = { ...SOURCE_RULES_DEFAULT, ...options.rules };
    this.#members = this.#inOrder(options.members);
    this.#own = new SourceRecord(options.doors.random);
  }

  get state(): WalReceiverState {
    const heard = this.#news?.heard() ?? [];
    return {
      status: this.#status,
      connection: this.#current === undefined ? this.#last : describe(this.#current),
      waitingBytes: this.#current?.stream.waitingBytes ?? 0,
      lastFailure: this.#lastFailure,
      isDamaged: this.#isDamaged,
      sources: this.#members.map(({ id }) => ({
        nodeId: id,
        commitLsn: heard.find(({ nodeId }) => nodeId === id)?.state.commitLsn,
        failures: this.#records.get(id)?.failures ?? 0,
        lastFailure: this.#records.get(id)?.lastFailure,
      })),
    };
  }

  /** The configuration names these now. */
  setMembers(members: readonly SafekeeperAddress[]): void {
    this.#members = this.#inOrder(members);
    this.#news?.setMembers(this.#members);
    this.#wakeUp();
  }

  /** The timeline has more on its disk, or in the bucket. */
  progressed(): void {
    if (this.#current?.stream.isStreaming === true) this.#current.stream.sendFeedback();
    else this.#wakeUp();
  }

  /** Receives until the signal is given or the intake is closed. To be called once. */
  async run(signal: AbortSignal): Promise<void> {
    const { feed } = this.#options;
    const onAbort = (): void => this.#wakeUp();
    signal.addEventListener('abort', onAbort);
    using news = feed.follow(this.#options, this.#members, onAbort);
    this.#news = news;
    try {
      while (!signal.aborted && !this.#isIntakeClosed) {
        const { choice, againAtMs } = chooseSource(this.#situation(), this.#rules);
        this.#isWaiting = this.#current === undefined && againAtMs !== undefined;
        if (choice.kind === 'connect') this.#connect(choice.nodeId, signal);
        else if (choice.kind === 'stay') await this.#somethingHappens(againAtMs);
        else await this.#leave(choice.reason, signal);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#news = undefined;
      this.#isWaiting = false;
      this.#current?.stream.stop();
      await this.#tasks.settled();
    }
  }

  get #status(): WalReceiverStatus {
    if (this.#current !== undefined) return this.#current.stream.isStreaming ? 'streaming' : 'connecting';
    return this.#isWaiting ? 'waiting' : 'idle';
  }

  get #isDamaged(): boolean {
    const { position } = this.#options.intake;
    const damaged = this.#members.filter(({ id }) => this.#records.get(id)?.refusedLsn === position);
    return damaged.length > 0 && damaged.length >= Math.min(DAMAGED_SOURCES, this.#members.length);
  }

  #situation(): SourceSituation {
    const { doors, intake } = this.#options;
    const { remoteConsistentLsn } = intake.positions;
    const current = this.#current;
    const retryAtMs = new Map<number, number>();
    for (const { id } of this.#members) {
      const sourceRetryAtMs = this.#records.get(id)?.retryAtMs ?? 0;
      retryAtMs.set(id, Math.max(sourceRetryAtMs, this.#own.retryAtMs));
    }
    return {
      nowMs: doors.clock.monotonicMs(),
      position: intake.position,
      remoteConsistentLsn: remoteConsistentLsn > this.#toldRemoteLsn ? remoteConsistentLsn : INVALID_LSN,
      memberIds: this.#members.map(({ id }) => id),
      news: this.#news?.heard() ?? [],
      retryAtMs,
      connection: current && {
        nodeId: current.address.id,
        heardMs: current.stream.heardMs,
        waitingSinceMs: current.stream.waitingSinceMs,
        serverEndLsn: current.stream.serverEndLsn,
      },
    };
  }

  #connect(nodeId: number, signal: AbortSignal): void {
    const { doors, access, intake, counts, logger } = this.#options;
    const address = this.#members.find(({ id }) => id === nodeId) as SafekeeperAddress;
    const stream = new ReceiverStream({
      intake,
      clock: doors.clock,
      counts,
      feedback: () => this.#feedbackDetails(),
      connect: (ending) =>
        connectToSource(address, this.#options, access, doors, this.#rules.silenceMaxMs, ending),
      signal,
    });
    const current = { address, stream, beganMs: doors.clock.wallMs(), leftFor: undefined };
    this.#current = current;
    counts.connects.increment();
    counts.connections.add(1);
    logger.debug('WAL is asked of a safekeeper', {
      ...this.#logFields(nodeId),
      lsn: formatLsn(intake.position),
    });
    this.#tasks.run(async () => {
      try {
        await this.#receive(current, signal);
      } finally {
        counts.connections.subtract(1);
        this.#last = describe(current);
        this.#current = undefined;
        this.#wakeUp();
      }
    });
  }

  async #receive(current: Current, signal: AbortSignal): Promise<void> {
    const { doors, intake } = this.#options;
    const { stream } = current;
    const record = this.#recordOf(current.address.id);
    const before = intake.position;
    let failure: VarveError | undefined;
    try {
      const end = await stream.run();
      if (end === 'closed') this.#isIntakeClosed = true;
      if (end === 'ended') this.#toldRemoteLsn = stream.reportedRemoteLsn;
      failure = failureOf(current.leftFor);
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
      failure = error;
    }
    if (signal.aborted) return;
    if (intake.position > before) {
      record.succeed();
      this.#own.succeed();
    }
    if (failure !== undefined && stream.refusal === 'own-failure') this.#noteOwnFailure(failure);
    if (failure === undefined || stream.refusal === 'own-failure') record.rest(doors.clock.monotonicMs());
    else this.#noteFailure(current, record, failure);
  }

  #noteFailure({ address: { id }, stream }: Current, record: SourceRecord, failure: VarveError): void {
    const { counts, logger } = this.#options;
    const isTold = record.failures > 0 && record.lastFailure?.code === failure.code;
    this.#fail(record, failure, stream.refusal === 'bad-wal', id);
    if (failure.kind === 'corruption') counts.damages.increment();
    // Of a row of failures the first is told.
    const fields = { ...this.#logFields(id), error: failure.message };
    if (failure.kind === 'corruption') logger.error('a safekeeper gives WAL that cannot be taken', fields);
    else if (!isTold) logger.info('no WAL comes from a safekeeper', fields);
  }

  /** No safekeeper is to blame: whoever brings this WAL, it cannot be taken in. */
  #noteOwnFailure(failure: VarveError): void {
    const { counts, logger, tenantId, timelineId } = this.#options;
    const isTold = this.#own.failures > 0 && this.#own.lastFailure?.code === failure.code;
    this.#fail(this.#own, failure, false, undefined);
    counts.ownFailures.increment();
    if (isTold) return;
    const message = 'this pageserver cannot take the WAL of a timeline in, whoever brings it';
    const fields = { tenantId, timelineId, error: failure.message };
    if (failure.kind === 'corruption') logger.error(message, fields);
    else logger.warn(message, fields);
  }

  #fail(record: SourceRecord, failure: VarveError, isBadWal: boolean, nodeId: number | undefined): void {
    const { doors, intake, counts } = this.#options;
    const { clock } = doors;
    record.fail(failure, isBadWal, clock.monotonicMs(), clock.wallMs(), intake.position);
    this.#lastFailure = { ...(record.lastFailure as SourceFailure), nodeId };
    counts.failures.increment();
  }

  async #leave(reason: LeaveReason, signal: AbortSignal): Promise<void> {
    const current = this.#current as Current;
    const { logger, counts } = this.#options;
    current.leftFor = reason;
    counts.left[reason].increment();
    logger.info('WAL is not taken from a safekeeper any more', {
      ...this.#logFields(current.address.id),
      reason,
    });
    current.stream.stop();
    // Nobody else may bring anything before what is being taken has been taken.
    while (this.#current === current && !signal.aborted) await this.#somethingHappens(undefined);
  }

  #feedbackDetails(): FeedbackDetails {
    const { shardNumber, currentSizeBytes } = this.#options;
    return {
      shardNumber,
      currentTimelineSizeBytes: shardNumber === 0 ? currentSizeBytes() : 0,
      corruptionDetected: this.#isDamaged,
    };
  }

  #recordOf(nodeId: number): SourceRecord {
    let record = this.#records.get(nodeId);
    if (record === undefined) {
      record = new SourceRecord(this.#options.doors.random);
      this.#records.set(nodeId, record);
    }
    return record;
  }

  #logFields(safekeeperId: number): Record<string, unknown> {
    const { tenantId, timelineId } = this.#options;
    return { tenantId, timelineId, safekeeperId };
  }

  /** Of safekeepers that are equally far, each should serve as many timelines as the others. */
  #inOrder(members: readonly SafekeeperAddress[]): readonly SafekeeperAddress[] {
    // A joint configuration may name one twice.
    const distinct = [...new Map(members.map((member) => [member.id, member])).values()];
    const first = Number.parseInt(this.#options.timelineId.slice(0, 8), 16) % Math.max(1, distinct.length);
    return [...distinct.slice(first), ...distinct.slice(0, first)];
  }

  async #somethingHappens(untilMs: number | undefined): Promise<void> {
    const { clock } = this.#options.doors;
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (untilMs !== undefined) timer = clock.setTimer(Math.max(0, untilMs - clock.monotonicMs()), resolve);
    });
    timer?.cancel();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function describe({ address: { id, host, pgPort }, stream, beganMs }: Current): WalConnectionState {
  return {
    nodeId: id,
    address: `${host}:${pgPort}`,
    sinceMs: beganMs,
    streamedLsn: stream.receivedLsn,
    serverEndLsn: stream.serverEndLsn,
  };
}
