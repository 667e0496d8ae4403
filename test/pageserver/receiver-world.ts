import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { SafekeeperAddress } from '../../src/contracts/membership.ts';
import type { Clock, Timer } from '../../src/io/clock.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import type { SourceRules } from '../../src/pageserver/ingest/receiver/choose-source.ts';
import { WalReceiverCounts } from '../../src/pageserver/ingest/receiver/receiver-counts.ts';
import { StatusFeed } from '../../src/pageserver/ingest/receiver/status-feed.ts';
import { WalReceiver } from '../../src/pageserver/ingest/receiver/wal-receiver.ts';
import type { WalIntake } from '../../src/pageserver/ingest/wal-intake.ts';
import { START_LSN, TENANT, type TestSafekeeper, TIMELINE } from '../safekeeper/running-safekeeper.ts';
import { drawRecordBytes, type MadeWal, makeWal, TEST_SYSTEM } from '../support/safekeeper-wal.ts';
import { SeededRandom } from '../support/seeded-random.ts';

/** Records of about so many bytes in all, from where test timelines begin. */
export const walOf = (totalBytes: number): MadeWal =>
  makeWal({ startLsn: START_LSN, recordBytes: drawRecordBytes(new SeededRandom(7), totalBytes) });

/** The records that end at or below an LSN. */
export function beginningOf(wal: MadeWal, lsn: number): MadeWal {
  const ends = wal.ends.filter((end) => end <= lsn);
  const end = ends.at(-1) as Lsn;
  return { ...wal, ends, bytes: wal.bytes.subarray(0, end - wal.startLsn) };
}

/** What comes after the end of other WAL, which is a beginning of this. */
export function restOf(wal: MadeWal, beginning: MadeWal): MadeWal {
  const startLsn = beginning.ends.at(-1) as Lsn;
  return {
    ...wal,
    startLsn,
    ends: wal.ends.filter((end) => end > startLsn),
    bytes: wal.bytes.subarray(startLsn - wal.startLsn),
  };
}

export const endOf = (wal: MadeWal): Lsn => toLsn(wal.startLsn + wal.bytes.length);

export const addressOf = (safekeeper: TestSafekeeper, id: number): SafekeeperAddress => ({
  id,
  host: '127.0.0.1',
  pgPort: safekeeper.service.addresses.pg.port as number,
});

/** The machine's clock, and how many timers wait in it. */
class CountingClock implements Clock {
  timers = 0;
  monotonicMs = nodeClock.monotonicMs.bind(nodeClock);
  wallMs = nodeClock.wallMs.bind(nodeClock);
  yieldToOthers = nodeClock.yieldToOthers.bind(nodeClock);

  setTimer(delayMs: number, callback: () => void): Timer {
    let isSet = true;
    this.timers++;
    const end = (): void => {
      if (isSet) this.timers--;
      isSet = false;
    };
    const timer = nodeClock.setTimer(delayMs, () => {
      end();
      callback();
    });
    return {
      cancel: () => {
        end();
        timer.cancel();
      },
    };
  }
}

/** A receiver on real sockets, from its beginning to its end. */
export class RunningReceiver implements AsyncDisposable {
  readonly logger = new CollectingLogger();
  readonly counts = new WalReceiverCounts();
  /** The receiver's own: the status streams have another. */
  readonly clock = new CountingClock();
  readonly feed: StatusFeed;
  readonly receiver: WalReceiver;
  readonly #life = new AbortController();
  readonly running: Promise<void>;

  constructor(intake: WalIntake, members: readonly SafekeeperAddress[], rules: Partial<SourceRules> = {}) {
    const doors = {
      sockets: nodeSockets((error) => {
        throw error;
      }),
      clock: nodeClock,
      random: nodeRandom,
    };
    const access = { applicationName: 'pageserver-7' };
    this.feed = new StatusFeed({ doors, logger: this.logger, access, signal: this.#life.signal });
    this.receiver = new WalReceiver({
      doors: { ...doors, clock: this.clock },
      logger: this.logger,
      access,
      feed: this.feed,
      intake,
      counts: this.counts,
      members,
      tenantId: TENANT,
      timelineId: TIMELINE,
      systemIdentifier: TEST_SYSTEM,
      shardNumber: 0,
      currentSizeBytes: () => 4242,
      rules,
    });
    this.running = this.receiver.run(this.#life.signal);
  }

  async stop(): Promise<void> {
    this.#life.abort();
    await this.running;
    await this.feed.settled();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
