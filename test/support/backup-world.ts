/** A safekeeper's timelines with a bucket, without its network: for tests of backup and upkeep. */
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { INVALID_LSN, type Lsn, toLsn } from '../../src/base/lsn.ts';
import { NO_MEMBERSHIP } from '../../src/contracts/membership.ts';
import type { Clock } from '../../src/io/clock.ts';
import type { Files } from '../../src/io/files.ts';
import { Limiter } from '../../src/io/limiter.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { WalWorkspace } from '../../src/postgres/wal/workspace.ts';
import type { Backup } from '../../src/safekeeper/backup/backup.ts';
import type { Acceptor } from '../../src/safekeeper/consensus/acceptor.ts';
import { SafekeeperMetrics } from '../../src/safekeeper/metrics.ts';
import type { DurableAcceptor } from '../../src/safekeeper/timeline/durable-acceptor.ts';
import { NO_PEERS, type PeerTable } from '../../src/safekeeper/timeline/peer-info.ts';
import type { Timeline } from '../../src/safekeeper/timeline/timeline.ts';
import { Timelines } from '../../src/safekeeper/timeline/timelines.ts';
import { UPKEEP_DEFAULTS, type UpkeepSettings } from '../../src/safekeeper/upkeep/settings.ts';
import { Upkeep } from '../../src/safekeeper/upkeep/upkeep.ts';
import { drawRecordBytes, type MadeWal, makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from './safekeeper-wal.ts';
import { SeededRandom } from './seeded-random.ts';

export const TENANT = parseTenantId('aa'.repeat(16));
export const TIMELINE = parseTimelineId('bb'.repeat(16));
export const NODE_ID = 1;
/** Where the timeline's WAL begins: within its first segment. */
export const START = toLsn(0x100_0000 + 3 * 8192 + 0x100);
const FIRST_SEGMENT_LSN = 0x100_0000;

/** Four whole segments, of which the first is not whole, and some of the next. */
export const WAL: MadeWal = makeWal({
  startLsn: START,
  recordBytes: drawRecordBytes(new SeededRandom(7), 4.3 * TEST_SEGMENT_BYTES),
});
export const END: Lsn = WAL.ends.at(-1) as Lsn;

/** Where the n-th segment of the timeline begins. */
export const borderOf = (segment: number): Lsn => toLsn(FIRST_SEGMENT_LSN + segment * TEST_SEGMENT_BYTES);
/** The last record end at or below. */
export const endBelow = (lsn: number): Lsn => WAL.ends.findLast((end) => end <= lsn) as Lsn;

const workspace = new WalWorkspace();

export interface BackupWorldDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly directory: string;
  /** undefined: a safekeeper without a bucket. */
  readonly objects: ObjectStore | undefined;
  readonly settings?: Partial<UpkeepSettings>;
  readonly peers?: PeerTable;
}

export class BackupWorld implements AsyncDisposable {
  readonly timelines: Timelines;
  readonly timeline: Timeline;
  readonly upkeep: Upkeep;
  readonly metrics: SafekeeperMetrics;
  readonly logger: CollectingLogger;
  readonly #backup: Backup | undefined;

  private constructor(
    timeline: Timeline,
    parts: Pick<BackupWorld, 'timelines' | 'upkeep' | 'metrics' | 'logger'>,
    backup: Backup | undefined,
  ) {
    this.timelines = parts.timelines;
    this.upkeep = parts.upkeep;
    this.metrics = parts.metrics;
    this.logger = parts.logger;
    this.timeline = timeline;
    this.#backup = backup;
  }

  /** Loads what is in the directory, and makes the timeline if it is not there. */
  static async open(doors: BackupWorldDoors): Promise<BackupWorld> {
    const { files, clock, directory, objects, peers = NO_PEERS } = doors;
    const settings = { ...UPKEEP_DEFAULTS, ...doors.settings };
    const metrics = new SafekeeperMetrics(new Metrics(clock), () => []);
    const logger = new CollectingLogger();
    const backup: Backup | undefined = objects && {
      objects,
      nodeId: NODE_ID,
      files,
      clock,
      metrics,
      workspace,
      uploads: new Limiter(settings.backupParallelJobs),
      deletesOffloadedWal: settings.deleteOffloadedWal,
    };
    const upkeep = new Upkeep({ nodeId: NODE_ID, clock, logger, metrics, settings, peers, backup });
    const timelines = await Timelines.load({
      nodeId: NODE_ID,
      directory,
      files,
      clock,
      workspace,
      timelineDoors: {
        restore: (timeline, acceptor) => upkeep.restore(timeline, acceptor),
        onReceiverCount: () => undefined,
        onUse: (timeline, isInUse) => upkeep.noteUse(timeline, isInUse),
      },
    });
    const timeline = await timelines.create({
      tenantId: TENANT,
      timelineId: TIMELINE,
      membership: NO_MEMBERSHIP,
      server: { pgVersion: 170_011, systemIdentifier: TEST_SYSTEM, segmentBytes: TEST_SEGMENT_BYTES },
      startLsn: START,
      commitLsn: INVALID_LSN,
    });
    return new BackupWorld(timeline, { timelines, upkeep, metrics, logger }, backup);
  }

  get backup(): Backup {
    if (this.#backup === undefined) throw new Error('there is no bucket');
    return this.#backup;
  }

  /** The acceptor, while the timeline is open. */
  get acceptor(): Acceptor {
    return (this.timeline.acceptor as DurableAcceptor).acceptor;
  }

  /** As a proposer of a new term: appends and commits WAL up to there. Pageservers and peers have it all at once. */
  async feed(endLsn: Lsn, remoteConsistentLsn: Lsn = endLsn): Promise<void> {
    using resident = await this.timeline.stay('wal');
    const { acceptor } = resident;
    const term = acceptor.acceptor.term + 1;
    await acceptor.run((it) => it.vote({ kind: 'vote-request', generation: 0, term }));
    const { persistent, flushLsn } = acceptor.acceptor;
    const known = persistent.termHistory.filter(({ lsn }) => lsn < flushLsn);
    const termHistory = [...(known.length === 0 ? [] : known), { term, lsn: flushLsn }];
    await acceptor.run((it) =>
      it.follow({ kind: 'elected', generation: 0, term, startStreamingAt: flushLsn, termHistory }),
    );
    for (let lsn = flushLsn; lsn < endLsn; ) {
      const beginLsn = lsn;
      const nextLsn = toLsn(Math.min(lsn + 100_000, endLsn));
      await acceptor.run((it) =>
        it.append({
          kind: 'append-request',
          generation: 0,
          term,
          beginLsn,
          endLsn: nextLsn,
          commitLsn: endBelow(beginLsn) ?? START,
          truncateLsn: endBelow(beginLsn) ?? START,
          wal: WAL.bytes.subarray(beginLsn - START, nextLsn - START),
        }),
      );
      await acceptor.run((it) => it.flush());
      lsn = nextLsn;
    }
    await acceptor.run((it) =>
      it.append({
        kind: 'append-request',
        generation: 0,
        term,
        beginLsn: endLsn,
        endLsn,
        commitLsn: endLsn,
        truncateLsn: endLsn,
        wal: new Uint8Array(0),
      }),
    );
    acceptor.acceptor.recordRemoteConsistent(remoteConsistentLsn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.upkeep.close();
    await this.timelines.close();
  }
}
