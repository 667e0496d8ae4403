import { AssertionError, VarveError } from '../../base/errors.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { ClientConnection } from '../../libpq/client/client-connection.ts';
import type { Logger } from '../../observe/log.ts';
import type { QueueGauges } from '../receive/acceptor-loop.ts';
import type { ResidentTimeline, Timeline } from '../timeline/timeline.ts';
import { chooseDonor, type ToldState } from './choose-donor.ts';
import { RecoveryStream } from './recovery-stream.ts';
import { nameOf } from './status-board.ts';

/** The first wait gives a compute the time to come, which brings WAL better than anybody. */
const DELAY = { minMs: 2000, maxMs: 60_000 };

export interface RecoveryOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly gauges: QueueGauges;
  readonly signal: AbortSignal;
  /** What those have told of a timeline that were heard lately. */
  readonly heardOf: (timeline: Timeline) => readonly ToldState[];
  /** Connects to one of a timeline's safekeepers, for that timeline. */
  readonly connect: (
    timeline: ResidentTimeline,
    nodeId: number,
    signal: AbortSignal,
  ) => Promise<ClientConnection>;
}

/** Brings timelines that no compute feeds up to where their other safekeepers are. One task at most for each. */
export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #recovering = new Set<string>();
  readonly #tasks = new TaskSet();

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** To be called whenever something may have made a recovery needed: news of a peer, or a compute that has gone. */
  consider(timeline: Timeline): void {
    const name = nameOf(timeline);
    if (this.#options.signal.aborted || this.#recovering.has(name)) return;
    if (this.#donorFor(timeline) === undefined) return;
    this.#recovering.add(name);
    this.#tasks.run(async () => {
      const isOpen = await this.#recover(timeline);
      this.#recovering.delete(name);
      // Something may have come just as the task saw no more need.
      if (isOpen) this.consider(timeline);
    });
  }

  /** Resolves when nothing goes on any more. Give the signal first. */
  settled(): Promise<void> {
    return this.#tasks.settled();
  }

  #donorFor(timeline: Timeline): ToldState | undefined {
    const { acceptor, receivers } = timeline;
    if (acceptor === undefined || acceptor.failure !== undefined || receivers.computes > 0) return undefined;
    return chooseDonor(acceptor.acceptor, this.#options.heardOf(timeline));
  }

  /** Until there is nobody to recover from. False if the timeline cannot be used. */
  async #recover(timeline: Timeline): Promise<boolean> {
    const { clock, random, signal, logger } = this.#options;
    const delay = new RetryDelay(DELAY, random);
    const fields = { tenantId: timeline.tenantId, timelineId: timeline.timelineId };
    try {
      using resident = await timeline.stay('wal');
      const ending = AbortSignal.any([signal, resident.signal]);
      for (;;) {
        await pause(clock, delay.nextMs(), ending);
        const donor = this.#donorFor(timeline);
        if (ending.aborted) return false;
        if (donor === undefined) return true;
        if (await this.#recoverFrom(donor, resident, ending)) delay.reset();
      }
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
      logger.warn('a timeline cannot be brought up to its peers', { ...fields, error: error.message });
      return false;
    }
  }

  /** True if that brought anything. */
  async #recoverFrom(donor: ToldState, timeline: ResidentTimeline, signal: AbortSignal): Promise<boolean> {
    const { clock, gauges, logger, connect } = this.#options;
    const { tenantId, timelineId } = timeline;
    const fields = { tenantId, timelineId, donorId: donor.nodeId };
    const stream = new RecoveryStream({
      timeline,
      signal,
      clock,
      gauges,
      connect: (ending) => connect(timeline, donor.nodeId, ending),
    });
    try {
      const takenBytes = await stream.run();
      const { term, flushLsn } = timeline.acceptor.acceptor;
      logger.info('WAL was taken from a peer', { ...fields, takenBytes, term, flushLsn });
      return takenBytes > 0;
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
      logger.warn('a recovery from a peer has failed', { ...fields, error: error.message });
      return false;
    }
  }
}
