import { TaskSet } from '../base/task-set.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import type { Timer } from '../io/clock.ts';
import type { Logger } from '../observe/log.ts';
import { WalReceiverCounts } from './ingest/receiver/receiver-counts.ts';
import type { WalReceiverState } from './ingest/receiver/receiver-state.ts';
import type { SourceAccess, SourceDoors } from './ingest/receiver/source-connection.ts';
import { StatusFeed } from './ingest/receiver/status-feed.ts';
import { WalReceiver } from './ingest/receiver/wal-receiver.ts';
import type { ActiveTimeline } from './tenant/active-timeline.ts';
import { LazyIntake } from './timeline/lazy-intake.ts';
import type { LogicalSizes } from './timeline/logical-sizes.ts';
import type { Timeline } from './timeline/timeline.ts';

/** What ingest knows of a timeline is let go of when so long nothing has come, at most twice that. */
const IDLE_MS = 30_000;
/** Safekeepers are told how large a timeline is, or was so long ago. */
const SIZE_AGE_MS = 60_000;

export interface WalReceiversOptions {
  readonly doors: SourceDoors;
  readonly logger: Logger;
  readonly access: SourceAccess;
  /** Those that keep the WAL of every timeline, in the order of their numbers. */
  readonly members: readonly SafekeeperAddress[];
  readonly sizes: LogicalSizes;
}

interface Receiving {
  readonly receiver: WalReceiver;
  readonly intake: LazyIntake;
  /** Somebody is finding out how large it is. */
  isSizing: boolean;
}

/** The WAL receivers of all timelines of a pageserver. A timeline that nobody writes to costs a few objects. */
export class WalReceivers {
  readonly counts = new WalReceiverCounts();
  readonly #options: WalReceiversOptions;
  readonly #ending = new AbortController();
  readonly #feed: StatusFeed;
  readonly #tasks = new TaskSet();
  readonly #receiving = new Map<Timeline, Receiving>();
  #sweep: Timer | undefined;

  constructor(options: WalReceiversOptions) {
    this.#options = options;
    const { doors, logger, access } = options;
    this.#feed = new StatusFeed({ doors, logger, access, signal: this.#ending.signal });
  }

  /** Receives the timeline's WAL from now on, until the timeline ends. */
  receive(active: ActiveTimeline): void {
    const { timeline } = active;
    if (this.#ending.signal.aborted || timeline.signal.aborted) return;
    const { doors, logger, access, members, sizes } = this.#options;
    const intake = new LazyIntake(timeline, () => this.#sweepLater());
    const receiver = new WalReceiver({
      tenantId: timeline.tenantId,
      timelineId: timeline.timelineId,
      systemIdentifier: timeline.systemIdentifier,
      doors,
      logger,
      access,
      feed: this.#feed,
      intake,
      counts: this.counts,
      members,
      shardNumber: 0,
      currentSizeBytes: () => sizes.known(timeline)?.bytes ?? 0,
    });
    const receiving: Receiving = { receiver, intake, isSizing: false };
    this.#receiving.set(timeline, receiving);
    const signal = AbortSignal.any([timeline.signal, this.#ending.signal]);
    timeline.onProgress = () => {
      receiver.progressed();
      if (!receiving.isSizing && !signal.aborted)
        this.#tasks.run(() => this.#size(active, receiving, signal));
    };
    this.#tasks.run(async () => {
      try {
        await receiver.run(signal);
      } finally {
        this.#receiving.delete(timeline);
        timeline.onProgress = () => undefined;
      }
    });
  }

  /** Timelines of which memory holds what ingest has to know. */
  get startedCount(): number {
    let count = 0;
    for (const { intake } of this.#receiving.values()) if (intake.isStarted) count++;
    return count;
  }

  /** How a timeline's WAL comes; undefined where nobody receives it. */
  stateOf(timeline: Timeline): WalReceiverState | undefined {
    return this.#receiving.get(timeline)?.receiver.state;
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#sweep?.cancel();
    await this.#tasks.settled();
    await this.#feed.settled();
  }

  /** It may have grown. */
  async #size(active: ActiveTimeline, receiving: Receiving, signal: AbortSignal): Promise<void> {
    receiving.isSizing = true;
    try {
      await this.#options.sizes.recent(active, signal, SIZE_AGE_MS);
    } finally {
      receiving.isSizing = false;
    }
  }

  #sweepLater(): void {
    if (this.#sweep !== undefined || this.#ending.signal.aborted) return;
    this.#sweep = this.#options.doors.clock.setTimer(IDLE_MS, () => {
      this.#sweep = undefined;
      this.#releaseIdle();
    });
  }

  #releaseIdle(): void {
    for (const { receiver, intake } of this.#receiving.values()) {
      if (!intake.isStarted) continue;
      if (receiver.state.status === 'idle') intake.release();
      if (intake.isStarted) this.#sweepLater();
    }
  }
}
