import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import type { Setting, StockPostgres } from '../support/stock-postgres.ts';
import { type CatalogDescription, describeCatalog } from './catalog-description.ts';
import { ConsistencyFlags } from './consistency-flags.ts';
import { CORPUS_DIRECTORY, CorpusDeck, readCorpus } from './corpus.ts';
import { WorkloadControl, type WorkloadStatistics } from './workload-control.ts';
import { FIRST_CLOG_SEGMENT_XIDS, freezeEverything } from './workload-freezer.ts';
import { runRestarts } from './workload-restarts.ts';
import { WORKLOAD_DATABASE, WorkloadSession } from './workload-session.ts';
import { PREPARATION_SETTINGS, runSettings, type WalCompression } from './workload-settings.ts';

export interface WorkloadProgress {
  readonly elapsedSeconds: number;
  readonly seconds: number;
  readonly walBytes: number;
  readonly statements: number;
  readonly stops: number;
}

export interface WorkloadOptions {
  /** Created, but never started; it is left stopped. Its directory holds the result. */
  readonly server: StockPostgres;
  readonly seconds: number;
  readonly seed: number;
  /** Directory of SQL files to run instead of the corpus. `setup/*.sql` below it is run once, before the others. */
  readonly sqlDirectory?: string;
  /** A shell command to run again and again instead of SQL files, with PGHOST and so on set. */
  readonly exec?: string;
  /** Number of sessions, 6 by default. */
  readonly sessions?: number;
  /** wal_compression, `pglz` by default. The npm package's server knows neither lz4 nor zstd. */
  readonly compression?: WalCompression;
  readonly fullPageWrites?: boolean;
  /** About how much WAL may be written; by default 1.5 GB for 120 s, but no less than 400 MB. */
  readonly walBytesMax?: number;
  /** Asked before each file of a session: whether it is to wait, since whoever follows the WAL has fallen behind. */
  readonly isHeld?: () => boolean;
  /** Shortest and longest time between two kills; `false` for none. */
  readonly restartIntervalSeconds?: readonly [number, number] | false;
  /** Further settings of the server, which go before those of the run. */
  readonly settings?: Readonly<Record<string, Setting>>;
  /** Whether a restart may bring other values of settings that WAL tells of. It may, by default. */
  readonly changesParameters?: boolean;
  /** Told when the cluster's copy is complete, before the first record of the run. */
  readonly onInitialCluster?: (initialDirectory: string) => void;
  /** While this takes its time the run goes on, beyond its end if need be. */
  readonly onProgress?: (progress: WorkloadProgress) => void | Promise<void>;
}

export interface WorkloadResult {
  /** The cluster as it was before the first record of the run: cleanly stopped, at a shutdown checkpoint. */
  readonly initialDirectory: string;
  /** The cluster after the run: cleanly stopped. */
  readonly finalDirectory: string;
  /** Holds all WAL from the initial checkpoint to the final one. */
  readonly walDirectory: string;
  readonly catalog: CatalogDescription;
  readonly statistics: WorkloadStatistics;
}

/** The run begins this far before the end of pg_xact's first segment, so that CLOG can be truncated. */
const XIDS_LEFT_BEFORE_SEGMENT = 3000;
const SESSIONS = 6;
const MONITOR_INTERVAL_MS = 50;
const PROGRESS_INTERVAL_MS = 500;

/**
 * Runs a workload against a stock server that is killed again and again, and gives the cluster before it, all WAL of
 * it, and the cluster after it. The same seed gives the same files, data and kills, but not the same interleaving.
 *
 * The server checks each page itself when it recovers, and refuses to start where it finds a difference; where that
 * check is known to be wrong it is set aside for that recovery (consistency-flags.ts). Our own replay sees it all.
 */
export async function runWorkload(options: WorkloadOptions): Promise<WorkloadResult> {
  const { server, seconds } = options;
  const random = new SeededRandom(options.seed);
  await prepareCluster(server);
  await server.changeSettings({
    ...runSettings(options.compression ?? 'pglz', options.fullPageWrites ?? true),
    ...options.settings,
  });
  await server.start();
  await server.stop('fast');
  const initialDirectory = join(server.rootDirectory, 'initial');
  await copyDirectory(server.dataDirectory, initialDirectory);
  options.onInitialCluster?.(initialDirectory);
  await server.start();
  const directory = options.sqlDirectory ?? CORPUS_DIRECTORY;
  const initialLsn = await readInsertPosition(server);
  if (options.exec === undefined) await runSetup(server, directory);

  const control = new WorkloadControl(
    seconds,
    options.walBytesMax ?? Math.max(400e6, (1.5e9 * seconds) / 120),
    options.isHeld ?? (() => false),
  );
  const flags = new ConsistencyFlags(POSTGRES_17, server.dataDirectory);
  const parts: Promise<void>[] = [runMonitor(server, control, initialLsn, options.onProgress)];
  if (options.exec === undefined) {
    const deck = new CorpusDeck(await readCorpus(directory), random.fork());
    for (let number = 1; number <= (options.sessions ?? SESSIONS); number++) {
      parts.push(new WorkloadSession(server, control, deck, random.fork(), number).run());
    }
    parts.push(freezeEverything(server, control, random.fork()));
  } else {
    parts.push(runCommand(server, control, options.exec));
  }
  const interval = options.restartIntervalSeconds ?? (seconds < 30 ? [2.5, 5] : [3, 8]);
  if (interval !== false) {
    const { changesParameters = true } = options;
    const restarts = { intervalSeconds: interval, changesParameters };
    parts.push(runRestarts(server, control, random.fork(), flags, restarts));
  }

  // The first part to fail ends all others.
  try {
    await Promise.all(parts.map((part) => part.finally(() => control.stop())));
  } finally {
    await Promise.allSettled(parts);
  }
  await leavePreparedTransaction(server, control);
  const catalog = await describeCatalog(server);
  control.statistics.walBytes = (await readInsertPosition(server)) - initialLsn;
  await server.stop('fast');
  flags.restore();
  control.statistics.seconds = control.elapsedSeconds;
  const walDirectory = join(server.dataDirectory, 'pg_wal');
  return {
    initialDirectory,
    finalDirectory: server.dataDirectory,
    walDirectory,
    catalog,
    statistics: control.statistics,
  };
}

/**
 * Uses up transaction ids nearly to the end of pg_xact's first segment and opens all databases, so that a freeze can
 * reach every one.
 */
async function prepareCluster(server: StockPostgres): Promise<void> {
  await server.changeSettings(PREPARATION_SETTINGS);
  await server.start();
  const client = await server.connect();
  try {
    await client.query('ALTER DATABASE template0 WITH ALLOW_CONNECTIONS true');
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    const count = FIRST_CLOG_SEGMENT_XIDS - XIDS_LEFT_BEFORE_SEGMENT - Number(rows[0]?.xid);
    for (let left = count; left > 0; left -= 10_000) {
      // A message that is part of the transaction needs an id, and each block is a subtransaction.
      await client.query(`DO $$ BEGIN
        FOR i IN 1..${Math.min(left, 10_000)} LOOP
          BEGIN PERFORM pg_logical_emit_message(true, '', ''); EXCEPTION WHEN division_by_zero THEN NULL; END;
        END LOOP; END $$`);
    }
    await client.query('CHECKPOINT');
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
  await server.stop('fast');
}

/** Creates the workload's database and runs the files below `setup`. Their errors are ours. */
async function runSetup(server: StockPostgres, directory: string): Promise<void> {
  await server.query(`CREATE DATABASE ${WORKLOAD_DATABASE}`);
  const client = await server.connect(WORKLOAD_DATABASE);
  try {
    await client.query('CREATE SCHEMA shared; SET search_path = shared, public');
    const setup = join(directory, 'setup');
    if (!existsSync(setup)) return;
    for (const { statements } of await readCorpus(setup)) {
      for (const statement of statements) await client.query(statement);
    }
  } finally {
    await client.end();
  }
}

/** One at least is there when the server stops, with subtransactions, a dropped table and a message of its own. */
async function leavePreparedTransaction(server: StockPostgres, control: WorkloadControl): Promise<void> {
  const client = await server.connect();
  try {
    await client.query('CREATE TABLE dropped_by_prepared (id integer)');
    for (const statement of [
      'BEGIN',
      'DROP TABLE dropped_by_prepared',
      'CREATE TABLE made_by_prepared (id serial PRIMARY KEY)',
      'SAVEPOINT first',
      'INSERT INTO made_by_prepared DEFAULT VALUES',
      'SAVEPOINT second',
      'INSERT INTO made_by_prepared DEFAULT VALUES',
      "PREPARE TRANSACTION 'left prepared'",
    ]) {
      await client.query(statement);
    }
  } catch (error) {
    // All places for prepared transactions may be taken: then there are enough.
    control.countError('prepare', error);
  } finally {
    await client.end();
  }
}

/** Position in bytes. */
async function readInsertPosition(server: StockPostgres): Promise<number> {
  const rows = await server.query<{ position: number }>(
    "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS position",
  );
  return rows[0]?.position ?? 0;
}

/** Watches the volume of WAL and the time, and says stop. */
async function runMonitor(
  server: StockPostgres,
  control: WorkloadControl,
  initialLsn: number,
  onProgress: WorkloadOptions['onProgress'],
): Promise<void> {
  let nextProgressMs = 0;
  while (!control.isStopping) {
    await control.untilUp();
    try {
      control.statistics.walBytes = (await readInsertPosition(server)) - initialLsn;
    } catch (error) {
      control.countError('monitor', error);
    }
    const { walBytes, statements, immediateStops, cleanStops } = control.statistics;
    const { elapsedSeconds, seconds } = control;
    if (elapsedSeconds * 1000 >= nextProgressMs) {
      nextProgressMs = elapsedSeconds * 1000 + PROGRESS_INTERVAL_MS;
      const stops = immediateStops + cleanStops;
      await onProgress?.({ elapsedSeconds, seconds, walBytes, statements, stops });
    }
    if (elapsedSeconds >= seconds || walBytes > control.walBytesMax * 1.1) break;
    await control.pause(MONITOR_INTERVAL_MS);
  }
  control.stop();
  await endSessions(server, control);
}

/** Ends statements that would hold up the end of the run. */
async function endSessions(server: StockPostgres, control: WorkloadControl): Promise<void> {
  try {
    await server.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
  } catch (error) {
    control.countError('end', error);
  }
}

/** Runs the command until the time is over; a command that fails is run again, as after a kill. */
async function runCommand(server: StockPostgres, control: WorkloadControl, command: string): Promise<void> {
  while (!control.isStopping) {
    await control.untilUp();
    const child = spawn('/bin/sh', ['-c', command], {
      detached: true,
      env: { ...process.env, ...server.clientEnvironment() },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const kill = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch (error) {
        control.countError('exec', error);
      }
    };
    control.stopSignal.addEventListener('abort', kill, { once: true });
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    control.stopSignal.removeEventListener('abort', kill);
    if (control.isStopping) return;
    control.statistics.commands++;
    if (status !== 0) {
      control.statistics.commandFailures++;
      await control.pause(100);
    }
  }
}
