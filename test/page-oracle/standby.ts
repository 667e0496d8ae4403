import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatLsn } from '../../src/base/lsn.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { type Setting, StockPostgres } from '../support/stock-postgres.ts';
import type { RecordPlace } from './wal-log.ts';

export interface StandbyOptions {
  readonly pgBin?: string;
  /** The cluster before the run. It is copied. */
  readonly initialDirectory: string;
  /** Of the server whose WAL is replayed. */
  readonly walDirectory: string;
  /** Where the copy goes. */
  readonly parentDirectory: string;
}

const POLL_INTERVAL_MS = 10;
const REACHED_TARGET = 'shutdown at recovery target';
/** Not a restartpoint of its own accord: it takes the checkpoint that the one at the end needs (CreateRestartPoint). */
const NO_RESTARTPOINTS = { max_wal_size: '1TB', checkpoint_timeout: '1d' };

/**
 * A stock server that replays another one's WAL up to an LSN, stops, and goes on from there when it is asked for a later
 * one. Nobody is let in, and nothing happens in it but replay. WAL segments are read where the other server writes them.
 */
export class Standby implements AsyncDisposable {
  readonly #server: StockPostgres;
  readonly #dataDirectory: string;

  private constructor(server: StockPostgres, dataDirectory: string) {
    this.#server = server;
    this.#dataDirectory = dataDirectory;
  }

  static async create(options: StandbyOptions): Promise<Standby> {
    const { pgBin, initialDirectory, walDirectory, parentDirectory } = options;
    const dataDirectory = join(parentDirectory, 'standby');
    await copyDirectory(initialDirectory, dataDirectory);
    const ownWal = join(dataDirectory, 'pg_wal');
    await rm(ownWal, { recursive: true });
    await mkdir(ownWal);
    await writeFile(join(dataDirectory, 'recovery.signal'), '');
    const settings: Record<string, Setting> = {
      hot_standby: false,
      restore_command: `cp "${walDirectory}/%f" "%p"`,
      recovery_target_action: 'shutdown',
      fsync: false,
      autovacuum: false,
      wal_level: 'logical',
      wal_log_hints: true,
      track_commit_timestamp: true,
      max_prepared_transactions: 100,
      allow_in_place_tablespaces: true,
      shared_buffers: '128MB',
      ...NO_RESTARTPOINTS,
      dynamic_shared_memory_type: 'mmap',
      log_min_messages: 'log',
    };
    const server = await StockPostgres.create({
      major: 17,
      dataDirectory,
      settings,
      ...(pgBin === undefined ? {} : { pgBin }),
    });
    return new Standby(server, dataDirectory);
  }

  /**
   * Replays up to and including the record at `place`, which must be a stopping point (WalLog.isStoppingPoint), and
   * gives what is in the directory then.
   */
  async advance(place: RecordPlace): Promise<ReplayedCluster> {
    const server = this.#server;
    // The first record that starts there or above is the last one replayed (recoveryStopsAfter).
    await server.changeSettings({ recovery_target_lsn: formatLsn(place.startLsn) });
    const logged = (await server.log()).length;
    const log = async (): Promise<string> => (await server.log()).slice(logged);
    try {
      await server.start({ inRecovery: true });
    } catch (error) {
      // It may have been faster than we could see.
      if (!(await log()).includes(REACHED_TARGET)) throw error;
    }
    while (server.isRunning) await delay(POLL_INTERVAL_MS);
    const text = await log();
    if (!text.includes(REACHED_TARGET)) {
      throw new Error(
        `the standby did not stop in order at ${formatLsn(place.startLsn)}:\n${text.slice(-4000)}`,
      );
    }
    return ReplayedCluster.read(this.#dataDirectory, POSTGRES_17);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.dispose();
  }
}
