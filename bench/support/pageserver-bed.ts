import { parseTimelineId } from '../../src/base/ids.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { type FilesEngine, openFilesEngine } from '../../src/io/node/files-engine.ts';
import { NodeWorkers } from '../../src/io/node/workers.ts';
import { PAGESERVER_JOBS } from '../../src/pageserver/jobs.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { getPostgresVersion } from '../../src/postgres/versions/version.ts';
import { StorageWorld, type StorageWorldOptions } from '../../test/support/storage-world.ts';
import type { Recording } from './recording.ts';

/** WAL comes in pieces of this size, as it does from a socket. */
const PIECE_BYTES = 128 * 1024;

/** Nothing is done to layers behind the measurement's back. */
export const NO_UPKEEP = { compactionThreshold: 1e9, imageThreshold: 1e9, bottomThreshold: 1e9 } as const;

export interface PageserverBedOptions extends Omit<StorageWorldOptions, 'workers' | 'files'> {
  readonly engine?: FilesEngine['name'];
}

/** A storage engine with worker threads, in a temporary directory, that is given recordings. */
export class PageserverBed implements AsyncDisposable {
  readonly world: StorageWorld;
  readonly tenant: Tenant;
  #timelines = 0;

  private constructor(world: StorageWorld, tenant: Tenant) {
    this.world = world;
    this.tenant = tenant;
  }

  static async open({ engine = 'portable', ...options }: PageserverBedOptions = {}): Promise<PageserverBed> {
    const workers = new NodeWorkers({ jobsModule: PAGESERVER_JOBS, filesEngine: engine });
    const { files } = openFilesEngine(engine);
    const world = await StorageWorld.open({ ...options, files, workers });
    return new PageserverBed(world, await world.storage.attach(world.tenantId));
  }

  /** A timeline that begins with the recording's snapshot: its WAL may be taken in. */
  importRecording(recording: Recording): Promise<ActiveTimeline> {
    return this.tenant.createTimeline(parseTimelineId((++this.#timelines).toString(16).padStart(32, '0')), {
      files: nodeFiles,
      directory: recording.snapshotDirectory,
      version: getPostgresVersion(17),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}

/** Brings a timeline the recording's WAL from memory. Between two pieces others get their turn. Gives how many bytes. */
export async function takeWal(
  { timeline }: ActiveTimeline,
  recording: Recording,
  wal: Uint8Array,
): Promise<number> {
  const intake = await TimelineIntake.start(timeline);
  const start = intake.position - recording.startLsn;
  for (let at = start; at < wal.length; at += PIECE_BYTES) {
    await intake.take(wal.subarray(at, Math.min(wal.length, at + PIECE_BYTES)));
    await nodeClock.yieldToOthers();
  }
  return wal.length - start;
}
