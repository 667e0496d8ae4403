import { parseTimelineId, type TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import type { Key } from '../../src/pageserver/keyspace/key.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import type { CommandHandlers } from '../../test/support/command-process.ts';
import { type ServedPages, servePages } from '../../test/support/serve-pages.ts';
import { allPages, countValues, shuffled } from '../engine/read-bed.ts';
import { PageserverBed, takeWal } from '../support/pageserver-bed.ts';
import { readUsage } from '../support/process-usage.ts';
import { Recording } from '../support/recording.ts';
import { PGBENCH, QUICK_PGBENCH } from '../support/workloads.ts';
import type { HostCommands, IngestAmount, OpenHost, PageKind, PickedPages } from './host-messages.ts';
import { PAGE_LIST_FIELDS, type Target } from './load-messages.ts';

/** What a page needs beside its image, where redo is measured. */
const REDO_RECORDS = { least: 8, most: 12 };
/** WAL that is there before a branch begins. */
const PREFIX_BYTES: number = 1024 * 1024;
const PIECE_BYTES: number = 64 * 1024;
const AT_ONCE = 16;

interface Opened {
  readonly bed: PageserverBed;
  readonly recording: Recording;
  readonly active: ActiveTimeline;
  /** Where branches begin that the recording's WAL is taken into. */
  readonly branchLsn: Lsn;
}

interface Ingest {
  readonly stop: AbortController;
  readonly running: Promise<IngestAmount>;
}

/** A pageserver's storage engine and its page service, in one process of the benchmark. */
export class Host {
  #opened: Opened | undefined;
  #served: ServedPages | undefined;
  #ingest: Ingest | undefined;
  #branches = 0;
  readonly handlers: CommandHandlers<HostCommands> = {
    open: (argument) => this.#open(argument),
    pick: ({ kind, pagesMax }) => this.#pick(kind, pagesMax),
    startIngest: async () => this.#startIngest(),
    stopIngest: () => this.#stopIngest(),
    makeIdleTimelines: ({ count }) => this.#makeIdleTimelines(count),
    usage: async ({ collects }) => readUsage(collects),
  };

  async stop(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    stack.defer(() => this.#opened?.bed[Symbol.asyncDispose]());
    stack.defer(() => this.#served?.door.close());
    this.#ingest?.stop.abort();
    await this.#ingest?.running;
  }

  get #running(): Opened {
    if (this.#opened === undefined) throw new Error('nothing is open');
    return this.#opened;
  }

  async #open(options: OpenHost): Promise<Target> {
    const { engine, settings, blockCacheBytes, pageCacheBytes, isQuick, segmentSizeMiB } = options;
    const recording = await Recording.open(isQuick ? QUICK_PGBENCH : PGBENCH, options.recordings, {
      pgBin: undefined,
      segmentSizeMiB,
    });
    const bed = await PageserverBed.open({ engine, settings, blockCacheBytes, pageCacheBytes });
    const active = await bed.importRecording(recording);
    const wal = recording.readWal();
    await takeWal(active, recording, wal.subarray(0, PREFIX_BYTES));
    const branchLsn = active.timeline.lastRecordLsn;
    await takeWal(active, recording, wal);
    if (options.isFlushed) await active.timeline.flush();
    this.#opened = { bed, recording, active, branchLsn };
    return await this.#serve();
  }

  async #serve(): Promise<Target> {
    const { bed, active } = this.#running;
    await this.#served?.door.close();
    this.#served = await servePages(bed.world.storage);
    const { tenantId, timelineId } = active.timeline;
    return { port: this.#served.port, tenantId, timelineId };
  }

  async #pick(kind: PageKind, pagesMax: number): Promise<PickedPages> {
    const { active } = this.#running;
    const all = shuffled(await allPages(active));
    const counts = kind === 'any' ? [] : await countValues(active, all);
    const isWanted = (index: number): boolean => {
      if (kind === 'any') return true;
      const count = counts[index] as number;
      if (kind === 'image') return count === 1;
      return count > REDO_RECORDS.least && count <= REDO_RECORDS.most + 1;
    };
    const chosen = all
      .map((_, index) => index)
      .filter(isWanted)
      .slice(0, pagesMax);
    if (chosen.length === 0) throw new Error(`there is no page of the kind ${kind}`);
    const values = chosen.reduce((sum, index) => sum + (counts[index] ?? 0), 0);
    return {
      pages: packPages(chosen.map((index) => all[index] as Key)),
      lsn: active.timeline.lastRecordLsn,
      valuesPerPage: values / chosen.length,
    };
  }

  #startIngest(): undefined {
    const stop = new AbortController();
    this.#ingest = { stop, running: this.#takeIntoBranches(stop.signal) };
    // It is looked at by stopIngest.
    this.#ingest.running.catch(() => undefined);
  }

  async #stopIngest(): Promise<IngestAmount> {
    const ingest = this.#ingest;
    if (ingest === undefined) throw new Error('nothing is taken in');
    ingest.stop.abort();
    const amount = await ingest.running;
    this.#ingest = undefined;
    return amount;
  }

  /** The same WAL again and again: a branch begins before it, and is deleted behind it. */
  async #takeIntoBranches(signal: AbortSignal): Promise<IngestAmount> {
    const { bed, recording, active, branchLsn } = this.#running;
    const wal = recording.readWal();
    const startMs = performance.now();
    let bytes = 0;
    while (!signal.aborted) {
      const id = this.#nextBranch();
      const branch = await bed.tenant.createBranch(id, active.timeline.timelineId, branchLsn);
      const intake = await TimelineIntake.start(branch.timeline);
      const start = intake.position - recording.startLsn;
      for (let at = start; at < wal.length && !signal.aborted; at += PIECE_BYTES) {
        const piece = wal.subarray(at, Math.min(wal.length, at + PIECE_BYTES));
        await intake.take(piece);
        bytes += piece.length;
        await nodeClock.yieldToOthers();
      }
      await bed.tenant.deleteTimeline(id);
    }
    return { bytes, ms: performance.now() - startMs };
  }

  async #makeIdleTimelines(count: number): Promise<Target> {
    const { bed, active, branchLsn } = this.#running;
    const { timelineId } = active.timeline;
    const { tenant } = bed.world;
    // What is not in the store is gone after the restart.
    await tenant.timeline(timelineId).timeline.remote.waitForUploads(new AbortController().signal);
    let made = 0;
    const work = async (): Promise<void> => {
      while (made < count) {
        made++;
        await tenant.createBranch(this.#nextBranch(), timelineId, branchLsn);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await this.#served?.door.close();
    await bed.world.stop();
    await bed.world.start();
    return await this.#serve();
  }

  #nextBranch(): TimelineId {
    return parseTimelineId(`b${(++this.#branches).toString(16).padStart(31, '0')}`);
  }
}

function packPages(keys: readonly Key[]): Int32Array {
  const pages = new Int32Array(keys.length * PAGE_LIST_FIELDS);
  keys.forEach(({ field2, field3, field4, field5, index }, at) => {
    pages.set([field2, field3, field4, field5, index], at * PAGE_LIST_FIELDS);
  });
  return pages;
}
