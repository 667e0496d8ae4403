import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatLsn } from '../../src/base/lsn.ts';
import type { PostgresVersion } from '../../src/postgres/versions/version.ts';
import { isSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { type Setting, StockPostgres } from '../support/stock-postgres.ts';
import { ConsistencyFlags } from './consistency-flags.ts';
import { ReplayedCluster } from './replayed-cluster.ts';

export interface ServerRecoveryOptions {
  readonly version: PostgresVersion;
  readonly pgBin?: string;
  /** The cluster before the run. It is copied. */
  readonly initialDirectory: string;
  /** All WAL of the run. It is copied. */
  readonly walDirectory: string;
  /** Where the copies go. */
  readonly parentDirectory: string;
  /** Recovery ends with the record that starts here. */
  readonly lastRecordLsn: number;
}

const POLL_INTERVAL_MS = 10;
const REACHED_TARGET = 'shutdown at recovery target';

/**
 * Nobody is let in and nothing happens but replay, so that no hint bit is set; buffers for all pages, so that replay
 * is fast. wal_log_hints and track_commit_timestamp are what the run begins with.
 */
function recoverySettings(lastRecordLsn: number): Record<string, Setting> {
  return {
    hot_standby: false,
    restore_command: 'false',
    recovery_target_lsn: formatLsn(lastRecordLsn),
    recovery_target_action: 'shutdown',
    fsync: false,
    autovacuum: false,
    wal_level: 'logical',
    wal_log_hints: true,
    wal_consistency_checking: '',
    track_commit_timestamp: true,
    max_prepared_transactions: 100,
    allow_in_place_tablespaces: true,
    shared_buffers: '128MB',
    checkpoint_timeout: '1h',
    dynamic_shared_memory_type: 'mmap',
    log_min_messages: 'log',
  };
}

/**
 * Lets the stock server replay the run's WAL on the initial cluster, up to its last checkpoint and no further, and
 * gives what it has made of it. Unlike the directory of the server that wrote the WAL, nothing in it comes from
 * anywhere but replay: hint bits, flags, dead tuples and LSNs are those of PostgreSQL's own redo routines.
 */
export async function recoverByServer(options: ServerRecoveryOptions): Promise<ReplayedCluster> {
  const { version, pgBin, initialDirectory, walDirectory, parentDirectory, lastRecordLsn } = options;
  const dataDirectory = join(parentDirectory, 'recovered');
  await copyDirectory(initialDirectory, dataDirectory);
  const recoveredWal = join(dataDirectory, 'pg_wal');
  await rm(recoveredWal, { recursive: true });
  await mkdir(recoveredWal);
  for (const name of await readdir(walDirectory)) {
    if (isSegmentName(name)) await copyFile(join(walDirectory, name), join(recoveredWal, name));
  }
  // What the server's own check finds wrong now and then is not (consistency-flags.ts).
  new ConsistencyFlags(version, dataDirectory).strip();
  await writeFile(join(dataDirectory, 'recovery.signal'), '');
  await using server = await StockPostgres.create({
    major: 17,
    dataDirectory,
    settings: recoverySettings(lastRecordLsn),
    ...(pgBin === undefined ? {} : { pgBin }),
  });
  try {
    await server.start({ inRecovery: true });
  } catch (error) {
    // It may have been faster than we could see.
    if (!(await server.log()).includes(REACHED_TARGET)) throw error;
  }
  while (server.isRunning) await delay(POLL_INTERVAL_MS);
  const recovered = ReplayedCluster.read(dataDirectory, version);
  if (recovered.control.checkPoint !== lastRecordLsn) {
    throw new Error(
      `the server's recovery ended at ${formatLsn(recovered.control.checkPoint)}; its log says:\n${await server.logTail()}`,
    );
  }
  return recovered;
}
