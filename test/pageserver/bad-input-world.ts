/** Several timelines of made-up WAL in one storage engine: one that something bad happens to, and others that must not notice. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { encodeControlFile } from '../../src/postgres/files/control-file.ts';
import { initializePage, Page } from '../../src/postgres/page/page.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_FPI } from '../../src/postgres/rmgr/xlog.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { StorageWorld, type StorageWorldOptions } from '../support/storage-world.ts';
import { SAMPLE_CONTROL_FILE } from './sample-cluster.ts';

export const MADE_SYSTEM: bigint = SAMPLE_CONTROL_FILE.systemIdentifier;
export const MADE_SEGMENT_BYTES: number = 1024 * 1024;
export const MADE_START: Lsn = SAMPLE_CONTROL_FILE.checkPoint;
export const MADE_RELATION = { tablespace: 1663, database: 5, relation: 16_384 };
export const context: ReadContext = { task: 'page-request', signal: new AbortController().signal };

const OTHER_TENANT = parseTenantId('a'.repeat(32));
export const VICTIM = parseTimelineId('2'.repeat(32));
const OTHER = parseTimelineId('4'.repeat(32));
const BLOCKS = 8;
/** Where a page tells which record has made it. */
const MARK_OFFSET = 8000;

/** Nothing is tidied up, unless a test wants it. */
const QUIET = {
  compactionThreshold: 1_000_000,
  imageThreshold: 1_000_000,
  bottomThreshold: 1_000_000,
  historyMs: 0,
  lsnWaitMs: 200,
};

/** A record with an image of a block, on which `mark` stands. */
export function imageRecord(block: number, mark: number, relation = MADE_RELATION): RecordToWrite {
  const page = new Page();
  initializePage(page, 8);
  page.view.setUint32(MARK_OFFSET, mark, true);
  const image = {
    bytes: page.bytes,
    holeOffset: 0,
    holeLength: 0,
    imageInfo: POSTGRES_17.imageApply,
    compressed: false,
  };
  return {
    resourceManager: RM_XLOG,
    info: XLOG_FPI,
    blocks: [{ blockId: 0, ...relation, blockNumber: block, image }],
  };
}

/** One timeline, with the WAL that it gets. */
export class Side {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly writer: WalWriter;
  /** What a block must have on it since when: the newest last. */
  readonly #marks = new Map<number, { readonly lsn: Lsn; readonly mark: number }[]>();
  readonly #world: StorageWorld;
  #mark = 0;
  #intake: { readonly of: unknown; readonly intake: TimelineIntake } | undefined;

  constructor(world: StorageWorld, tenantId: TenantId, timelineId: TimelineId, start: Lsn, previous: Lsn) {
    this.#world = world;
    this.tenantId = tenantId;
    this.timelineId = timelineId;
    this.writer = new WalWriter({
      version: POSTGRES_17,
      systemIdentifier: MADE_SYSTEM,
      timelineId: 1,
      segmentBytes: MADE_SEGMENT_BYTES,
      startLsn: start,
      previousLsn: previous,
    });
  }

  get tenant(): Tenant {
    return this.#world.storage.tenant(this.tenantId);
  }

  get active(): ActiveTimeline {
    return this.tenant.timeline(this.timelineId);
  }

  get localDirectory(): string {
    return join(this.#world.directory, 'local', 'tenants', this.tenantId, this.timelineId);
  }

  get bucketDirectory(): string {
    return join(this.#world.directory, 'bucket', 'tenants', this.tenantId, 'timelines', this.timelineId);
  }

  /** Appends records with images of blocks in turn to the WAL. */
  append(count = 1): void {
    for (; count > 0; count--) {
      const mark = ++this.#mark;
      const block = mark % BLOCKS;
      const { endLsn } = this.writer.append(imageRecord(block, mark));
      const marks = this.#marks.get(block) ?? [];
      marks.push({ lsn: endLsn, mark });
      this.#marks.set(block, marks);
    }
  }

  /** The intake of the timeline as it is now. */
  async intake(): Promise<TimelineIntake> {
    const { timeline } = this.active;
    if (this.#intake?.of !== timeline) {
      this.#intake = { of: timeline, intake: await TimelineIntake.start(timeline) };
    }
    return this.#intake.intake;
  }

  /** WAL from an LSN on. */
  walFrom(lsn: Lsn): Uint8Array {
    return this.writer.take().subarray(lsn - this.writer.baseLsn);
  }

  /** Has all WAL taken in that the timeline does not have. */
  async take(): Promise<void> {
    const intake = await this.intake();
    await intake.take(this.walFrom(intake.position));
  }

  /** Takes records in, and makes them a layer that is in the bucket. */
  async fill(count = 2 * BLOCKS): Promise<void> {
    this.append(count);
    await this.take();
    await this.active.timeline.flush();
    await this.active.timeline.remote.waitForUploads(context.signal);
  }

  async markOf(block: number, lsn: Lsn = this.active.timeline.lastRecordLsn): Promise<number> {
    const page = new Page();
    await this.active.reads.page(MADE_RELATION, 0, block, lsn, page, context);
    return page.view.getUint32(MARK_OFFSET, true);
  }

  /** Reads all blocks, at the last record and where each was last changed. */
  async verify(): Promise<void> {
    for (const [block, marks] of this.#marks) {
      const { lastRecordLsn } = this.active.timeline;
      const newest = marks.findLast(({ lsn }) => lsn <= lastRecordLsn);
      if (newest === undefined) continue;
      expect(await this.markOf(block)).toBe(newest.mark);
      expect(await this.markOf(block, newest.lsn)).toBe(newest.mark);
    }
  }

  /** The timeline takes records in, can be read, and brings layers to the bucket. */
  async goesOn(): Promise<void> {
    await this.fill();
    expect(this.active.timeline.lastRecordLsn).toBe(this.writer.position);
    expect(this.active.timeline.remote.projectedRemoteConsistentLsn).toBe(this.writer.position);
    await this.verify();
  }
}

export class BadInputWorld implements AsyncDisposable {
  readonly world: StorageWorld;
  /** Something bad is going to happen to it. */
  readonly victim: Side;
  /** Of the same tenant, and of another one. */
  readonly others: readonly Side[];

  private constructor(world: StorageWorld) {
    this.world = world;
    const side = (tenantId: TenantId, timelineId: TimelineId): Side =>
      new Side(world, tenantId, timelineId, MADE_START, toLsn(0));
    this.victim = side(world.tenantId, VICTIM);
    this.others = [side(world.tenantId, OTHER), side(OTHER_TENANT, OTHER)];
  }

  static async open(options: StorageWorldOptions = {}): Promise<BadInputWorld> {
    const world = await StorageWorld.open({ ...options, settings: { ...QUIET, ...options.settings } });
    try {
      const made = new BadInputWorld(world);
      await made.#create();
      return made;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  async restart(between: () => Promise<void> = async () => undefined): Promise<void> {
    await this.world.stop();
    await between();
    await this.world.start();
  }

  async othersGoOn(): Promise<void> {
    for (const other of this.others) await other.goesOn();
  }

  /** The value of a metric, with the labels that it has; undefined where it is not there. */
  async metric(series: string): Promise<number | undefined> {
    const text = await this.world.metrics.expose();
    const line = text.split('\n').find((each) => each.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }

  async #create(): Promise<void> {
    const directory = join(this.world.directory, 'cluster');
    for (const name of ['global', 'base/5', 'pg_xact'])
      await mkdir(join(directory, name), { recursive: true });
    const control = { ...SAMPLE_CONTROL_FILE, walSegmentBytes: MADE_SEGMENT_BYTES };
    await writeFile(join(directory, 'global/pg_control'), encodeControlFile(POSTGRES_17, control));
    await writeFile(join(directory, 'pg_xact/0000'), new Uint8Array(8192));
    const cluster = { files: nodeFiles, directory, version: POSTGRES_17 };
    await this.world.storage.attach(this.world.tenantId);
    await this.world.storage.attach(OTHER_TENANT);
    for (const side of [this.victim, ...this.others]) {
      await side.tenant.createTimeline(side.timelineId, cluster);
    }
  }
}

/** What an action is refused with. */
export async function errorOf(action: () => Promise<unknown>): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was refused');
}
