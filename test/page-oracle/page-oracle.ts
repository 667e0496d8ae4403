import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TimelineId } from '../../src/base/ids.ts';
import { formatLsn } from '../../src/base/lsn.ts';
import {
  CONTROL_FILE_PATH,
  type ControlFile,
  decodeControlFile,
} from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { runWorkload, type WorkloadResult } from '../oracle/workload.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { StorageComparison } from './compare-storage.ts';
import { Disturbances } from './disturbances.ts';
import { ExpectedState } from './expected-state.ts';
import type { HostSettings } from './host-protocol.ts';
import { findPgbench, runPgbenchLoad } from './pgbench-load.ts';
import { drawTimelineId, type Point, Points } from './points.ts';
import { Standby } from './standby.ts';
import { HostRequestError, StorageHost } from './storage-host.ts';
import { WalLog } from './wal-log.ts';

export interface PageOracleOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly pgBin?: string;
  /** SQL files to run instead of the corpus. */
  readonly sqlDirectory?: string;
  /** A command to run instead. */
  readonly exec?: string;
  readonly walBytesMax?: number;
  /** At the end, compares on the main timeline alone. */
  readonly isBrief?: boolean;
  /** Told what happens. */
  readonly onEvent?: (text: string) => void;
}

export interface PageOracleResult {
  /** LSNs at which all that storage has was compared with what a stock server has. */
  readonly lsns: number;
  /** Pages compared, on all timelines, each as often as it was. */
  readonly pages: number;
  readonly branches: number;
  readonly kills: number;
  /** Comparisons of an LSN that had been compared before. */
  readonly repeats: number;
  readonly mismatches: readonly string[];
  readonly walBytes: number;
  /** What tidying up was asked for, and what it did of it; the storage does so by itself, too. */
  readonly tidied: ReadonlyMap<string, number>;
  /** `page-oracle: lsns=N pages=N branches=N kills=N mismatches=N` */
  readonly summary: string;
}

/** What is said of a timeline that is deleted, or is about to be. */
const GONE_CODES: readonly string[] = ['TIMELINE_NOT_FOUND', 'CLOSING', 'CANCELLED'];
const MEBIBYTE = 1024 * 1024;
const WATCHED_MAX = 3;
const FOLLOW_INTERVAL_MS = 100;
/** When the workload is over and points still wait. */
const LATE_KILLS = 2;
const READ_INTERVAL_MS = 300;
const WAL_BYTES_PER_SECOND_MAX = 6e6;
/** Tiny layers and two cores for everything: the server waits for storage here, as a compute would be made to. */
const LAG_BYTES_MAX = 48 * MEBIBYTE;

/** A run of the oracle: everything that goes on at the same time, and what it finds. */
class PageOracle {
  readonly #options: PageOracleOptions;
  readonly #server: StockPostgres;
  readonly #host: StorageHost;
  readonly #log: WalLog;
  readonly #standby: Standby;
  readonly #walDirectory: string;
  readonly #random: SeededRandom;
  readonly #main: TimelineId;
  readonly #points: Points;
  readonly #disturbances: Disturbances;
  /** The workload is, or something has failed. */
  readonly #over = new AbortController();
  /** No point waits to be compared any more. */
  readonly #compared = new AbortController();
  /** Nobody reads any more. */
  readonly #quiet = new AbortController();
  /** No points are to come. */
  #isChosen = false;
  /** The main timeline has got all WAL that there is since the last kill. */
  #isCaughtUp = false;
  /** How far it had got when that was last so. */
  #caughtUpLsn = 0;
  #waiting: Point[] = [];
  /** Compared already, and still readable. */
  readonly #watched: Point[] = [];
  readonly mismatches: string[] = [];
  lsns = 0;
  pages = 0;
  repeats = 0;

  constructor(
    options: PageOracleOptions,
    parts: { server: StockPostgres; host: StorageHost; log: WalLog; standby: Standby; random: SeededRandom },
  ) {
    const { server, host, log, standby, random } = parts;
    this.#options = options;
    this.#server = server;
    this.#host = host;
    this.#log = log;
    this.#standby = standby;
    this.#walDirectory = join(server.dataDirectory, 'pg_wal');
    this.#random = random;
    this.#main = drawTimelineId(random);
    this.#points = new Points({ host, log, random: random.fork(), main: this.#main });
    this.#disturbances = new Disturbances(host, random.fork());
  }

  get branches(): number {
    return this.#points.branches;
  }

  get tidied(): ReadonlyMap<string, number> {
    return this.#disturbances.tidied;
  }

  /** Whether storage is so far behind the server's position in WAL that the workload had better wait. */
  isBehind(position: number): boolean {
    return this.#caughtUpLsn > 0 && position - this.#caughtUpLsn > LAG_BYTES_MAX;
  }

  /** While the workload runs, and after it to the end. */
  async run(initialDirectory: string, workload: Promise<WorkloadResult>): Promise<void> {
    const create = { do: 'create', timelineId: this.#main, directory: initialDirectory } as const;
    const created = this.#host.request(create);
    const ended = workload.finally(() => {
      this.#event('the workload is over');
      this.#over.abort();
    });
    const chosen = created.then(() => this.#choosePoints());
    const compared = this.#compareWaiting().finally(() => this.#compared.abort());
    const disturbed = Promise.all([
      this.#killUntilCompared(),
      created.then(() => this.#disturbUntilCompared()),
    ]);
    // A read may wait for what is still to come. What the disturbances fail of is told of below.
    void disturbed.finally(() => this.#quiet.abort()).catch(() => undefined);
    const parts = [ended, chosen, compared, disturbed, created.then(() => this.#followUntilQuiet())];
    // The first one to fail ends all others.
    try {
      await Promise.all(parts);
    } finally {
      this.#over.abort();
      this.#waiting = [];
      await Promise.allSettled(parts);
    }
    this.#event('all that went on beside it is over');
    await this.#finish(await workload);
  }

  #event(text: string): void {
    this.#options.onEvent?.(text);
  }

  async #choosePoints(): Promise<void> {
    try {
      const random = this.#random.fork();
      await until(
        this.#over.signal,
        () => random.between(500, 2000),
        () => this.#choose(random),
      );
    } finally {
      this.#isChosen = true;
    }
  }

  /** Most often not before storage has what it had before the last kill: else it might never come forward. */
  async #killUntilCompared(): Promise<void> {
    const random = this.#random.fork();
    const { signal } = this.#compared;
    let left = LATE_KILLS;
    await until(
      signal,
      () => random.between(1000, 4500),
      async () => {
        const isPatient = random.chance(0.75);
        while (isPatient && !this.#isCaughtUp && !signal.aborted) await delay(FOLLOW_INTERVAL_MS);
        if (this.#over.signal.aborted && left-- <= 0) return;
        if (!signal.aborted) await this.#kill(random);
      },
    );
  }

  async #disturbUntilCompared(): Promise<void> {
    const random = this.#random.fork();
    const { signal } = this.#compared;
    const disturbances = this.#disturbances;
    await Promise.all([
      until(
        signal,
        () => random.between(50, 600),
        () => disturbances.tidy(this.#main),
      ),
      until(
        signal,
        () => READ_INTERVAL_MS,
        () => disturbances.readHead(),
      ),
    ]);
  }

  /**
   * Brings storage what the server has written for good. After a kill a branch may have to wait for what the main timeline
   * is brought anew: they do not wait for each other here.
   */
  async #followUntilQuiet(): Promise<void> {
    const feedGrowing = async (): Promise<void> => {
      while (!this.#quiet.signal.aborted) {
        await this.#feedRetired();
        const { growing } = this.#points;
        if (growing !== undefined) await this.#feed(growing, this.#log.position);
        await delay(FOLLOW_INTERVAL_MS);
      }
    };
    const feedMain = async (): Promise<void> => {
      while (!this.#quiet.signal.aborted) {
        const lsn = await this.#flushPosition();
        if (lsn !== undefined) this.#log.advance(lsn);
        const { kills } = this.#host;
        const { position } = this.#log;
        await this.#feed(this.#main, position);
        this.#caughtUpLsn = position;
        this.#isCaughtUp = kills === this.#host.kills;
        await delay(FOLLOW_INTERVAL_MS);
      }
    };
    await Promise.all([feedMain(), feedGrowing()]);
  }

  async #flushPosition(): Promise<number | undefined> {
    try {
      const rows = await this.#server.query<{ position: number }>(
        "SELECT (pg_current_wal_flush_lsn() - '0/0')::float8 AS position",
      );
      return rows[0]?.position;
    } catch {
      return undefined; // It is being restarted.
    }
  }

  async #feed(timelineId: TimelineId, lsn: number): Promise<void> {
    await this.#host.request({ do: 'feed', timelineId, directory: this.#walDirectory, lsn });
  }

  async #feedAll(lsn: number): Promise<void> {
    const { growing } = this.#points;
    const timelines = growing === undefined ? [this.#main] : [this.#main, growing];
    await Promise.all([...timelines.map((timelineId) => this.#feed(timelineId, lsn)), this.#feedRetired()]);
  }

  async #feedRetired(): Promise<void> {
    await Promise.all(this.#points.retired.map(({ timelineId, lsn }) => this.#feedIfThere(timelineId, lsn)));
  }

  /** A retired branch may be deleted meanwhile. */
  async #feedIfThere(timelineId: TimelineId, lsn: number): Promise<void> {
    try {
      await this.#feed(timelineId, lsn);
    } catch (error) {
      if (!(error instanceof HostRequestError) || !GONE_CODES.includes(error.code)) throw error;
    }
  }

  async #choose(random: SeededRandom): Promise<void> {
    if (this.#waiting.length > 1) return;
    try {
      await this.#server.query('CHECKPOINT');
    } catch {
      return; // It is being restarted.
    }
    await delay(random.between(150, 900));
    const point = await this.#points.choose();
    if (point === undefined) return;
    this.#event(`point ${formatLsn(point.place.endLsn)} on ${point.timelines.length} timelines`);
    this.#waiting.push(point);
  }

  async #kill(random: SeededRandom): Promise<void> {
    this.#isCaughtUp = false;
    await this.#host.restart(random);
    this.#event('killed and started');
  }

  /** Until the run is over and no point waits. */
  async #compareWaiting(): Promise<void> {
    for (;;) {
      const point = this.#waiting.shift();
      if (point !== undefined) await this.#comparePoint(point);
      else if (this.#isChosen) return;
      else await delay(50);
    }
  }

  async #comparePoint(point: Point): Promise<void> {
    const cluster = await this.#recover(point);
    for (const timelineId of point.timelines) await this.#compare('first', point, timelineId, cluster);
    this.lsns++;
    this.#watched.push(point);
    if (this.#watched.length > WATCHED_MAX) {
      const [forgotten] = this.#watched.splice(this.#random.below(WATCHED_MAX), 1);
      await this.#points.forget(forgotten as Point);
    }
    if (this.#random.chance(0.7)) {
      const again = this.#random.pick(this.#watched);
      await this.#compare('again', again, this.#random.pick(again.timelines));
      this.repeats++;
    }
  }

  async #recover(point: Point): Promise<ReplayedCluster> {
    const { place } = point;
    const cluster = await this.#standby.advance(place);
    const checkpoint = this.#log.checkpointBefore(place.endLsn);
    if (cluster.control.checkPoint !== checkpoint?.startLsn) {
      throw new Error(`the standby has not written what it had at ${formatLsn(place.endLsn)}`);
    }
    point.expected = new ExpectedState(place.endLsn, cluster, this.#log.preparedAt(place.endLsn));
    return cluster;
  }

  async #compare(
    what: string,
    point: Point,
    timelineId: TimelineId,
    cluster?: ReplayedCluster,
  ): Promise<void> {
    const { expected, place } = point;
    if (expected === undefined) throw new Error('nobody knows what to expect');
    const startedMs = performance.now();
    const comparison = new StorageComparison(this.#host, {
      what,
      timelineId,
      lsn: place.endLsn,
      expected,
      ...(cluster === undefined ? {} : { cluster }),
    });
    await comparison.run();
    this.pages += comparison.pages;
    this.mismatches.push(...comparison.mismatches);
    const tookMs = Math.round(performance.now() - startedMs);
    const where = `${timelineId === this.#main ? 'main' : timelineId.slice(0, 6)} at ${formatLsn(place.endLsn)}`;
    this.#event(
      `${what}: ${where}: ${comparison.pages} pages in ${tookMs} ms, ${comparison.mismatches.length} mismatches`,
    );
  }

  /**
   * The server has stopped. What the standby makes of all its WAL is what we have. (What the server itself has on its disk
   * may be more than that: it stamps pages for hints, and a crash may leave a commit's timestamp without the commit.)
   */
  async #finish(workload: WorkloadResult): Promise<void> {
    const final = ReplayedCluster.read(workload.finalDirectory, POSTGRES_17);
    const { checkPoint } = final.control;
    this.#log.advance(checkPoint + final.control.walSegmentBytes);
    const number = this.#log.recordNumber(this.#log.endLsn);
    const point = this.#points.last(this.#log.place(number));
    if (point.place.startLsn !== checkPoint) throw new Error('the last record is not the last checkpoint');
    await this.#feedAll(point.place.endLsn);
    const recovered = await this.#recover(point);
    for (const timelineId of point.timelines) await this.#compare('end', point, timelineId, recovered);
    this.lsns++;
    await this.#repeatAll('after a kill', point, async () => {
      await this.#kill(this.#random);
      await this.#feedAll(point.place.endLsn);
    });
    await this.#repeatAll('tidied up', point, () => this.#disturbances.tidyAll(this.#main));
    await this.#check();
  }

  async #repeatAll(what: string, last: Point, before: () => Promise<void>): Promise<void> {
    await before();
    for (const point of [...this.#watched, last]) {
      await this.#compare(what, point, this.#main);
      this.repeats++;
      const other = this.#random.pick(point.timelines);
      if (other !== this.#main && this.#options.isBrief !== true) await this.#compare(what, point, other);
    }
  }

  async #check(): Promise<void> {
    for (const status of await this.#host.request({ do: 'status' })) {
      const { timelineId, poisonedRecords, layers, gcCutoffLsn, lastRecordLsn } = status;
      this.#event(
        `${timelineId === this.#main ? 'main' : timelineId.slice(0, 6)}: ${layers.join('+')} layers, readable from ${formatLsn(gcCutoffLsn)} to ${formatLsn(lastRecordLsn)}`,
      );
      if (poisonedRecords > 0)
        this.mismatches.push(`timeline ${timelineId} has ${poisonedRecords} poisoned records`);
    }
    this.mismatches.push(
      ...this.#points.complaints,
      ...this.#disturbances.complaints,
      ...this.#host.loggedErrors,
    );
  }
}

/** Pauses and acts, again and again. */
async function until(signal: AbortSignal, pauseMs: () => number, action: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    // The signal ends the wait, and then the loop.
    await delay(pauseMs(), undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) await action();
  }
}

/** Layers are full all the time, so that all that tidies up has something to do all the time. */
function hostSettings(directory: string, random: SeededRandom): HostSettings {
  return {
    directory,
    settings: {
      openLayerBytes: random.pick([2, 4]) * MEBIBYTE,
      openLayerAgeMs: random.pick([300, 3000, 60_000]),
      targetBytes: random.pick([1, 2]) * MEBIBYTE,
      compactionThreshold: random.pick([2, 3]),
      imageThreshold: random.pick([2, 3]),
      bottomThreshold: random.pick([2, 3]),
      historyBytes: random.pick([1, 2, 4]) * MEBIBYTE,
      historyMs: 500,
      lsnWaitMs: 60_000,
    },
    blockCacheBytes: random.pick([1, 8, 64]) * MEBIBYTE,
    pageCacheBytes: random.pick([1, 8, 64]) * MEBIBYTE,
  };
}

function readControlFile(directory: string): ControlFile {
  return decodeControlFile(POSTGRES_17, readFileSync(join(directory, CONTROL_FILE_PATH)));
}

/**
 * Runs a workload against a stock server and brings its WAL to a storage engine in another process, which is killed again
 * and again. At LSNs on the way a second stock server is stopped exactly there, and everything in its directory is
 * compared with what storage has at that LSN, on the main timeline and on branches.
 *
 * The seed decides what is done, but not when: that is up to the machine.
 */
export async function runPageOracle(options: PageOracleOptions): Promise<PageOracleResult> {
  const { seconds, seed, pgBin, sqlDirectory, exec, walBytesMax } = options;
  const random = new SeededRandom(seed);
  const binaries = pgBin === undefined ? {} : { pgBin };
  await using server = await StockPostgres.create({ major: 17, ...binaries });
  const started = Promise.withResolvers<string>();
  const ending = new AbortController();
  let writtenBytes = 0;
  let isBehind: ((writtenBytes: number) => boolean) | undefined;
  const workload = runWorkload({
    server,
    seconds,
    seed,
    walBytesMax: walBytesMax ?? WAL_BYTES_PER_SECOND_MAX * seconds,
    fullPageWrites: true,
    changesParameters: false,
    settings: { wal_consistency_checking: '' },
    ...(sqlDirectory === undefined ? {} : { sqlDirectory }),
    ...(exec === undefined ? {} : { exec }),
    onInitialCluster: started.resolve,
    isHeld: () => isBehind?.(writtenBytes) ?? false,
    onProgress: ({ elapsedSeconds, walBytes }) => {
      writtenBytes = walBytes;
      if (elapsedSeconds > seconds - 1) ending.abort();
    },
  }).finally(() => ending.abort());
  const initialDirectory = await Promise.race([started.promise, workload.then(() => started.promise)]);
  await using stack = new AsyncDisposableStack();
  try {
    const directory = join(server.rootDirectory, 'storage');
    mkdirSync(directory);
    const control = readControlFile(initialDirectory);
    const walDirectory = join(server.dataDirectory, 'pg_wal');
    const log = new WalLog({
      directory: walDirectory,
      segmentBytes: control.walSegmentBytes,
      startLsn: control.checkPoint,
    });
    const parentDirectory = server.rootDirectory;
    const standby = stack.use(
      await Standby.create({ initialDirectory, walDirectory, parentDirectory, ...binaries }),
    );
    const settings = hostSettings(directory, random.fork());
    options.onEvent?.(`settings ${JSON.stringify(settings)}`);
    const host = stack.use(await StorageHost.start(settings));
    const pgbench = exec === undefined ? findPgbench() : undefined;
    const load = pgbench === undefined ? undefined : runPgbenchLoad(pgbench, server, ending.signal);
    const oracle = new PageOracle(options, { server, host, log, standby, random: random.fork() });
    isBehind = (bytes) => oracle.isBehind(control.checkPoint + bytes);
    await Promise.all([oracle.run(initialDirectory, workload), load]);
    const { lsns, pages, branches, repeats, mismatches, tidied } = oracle;
    return {
      lsns,
      pages,
      branches,
      kills: host.kills,
      repeats,
      mismatches,
      walBytes: log.endLsn - control.checkPoint,
      tidied,
      summary: `page-oracle: lsns=${lsns} pages=${pages} branches=${branches} kills=${host.kills} mismatches=${mismatches.length}`,
    };
  } finally {
    await Promise.allSettled([workload]);
  }
}
