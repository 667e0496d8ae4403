import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findAccount } from '../../src/io/node/unprivileged-account.ts';
import { CONTROL_FILE_PATH } from '../../src/postgres/files/control-file.ts';
import { copyDirectory, makeRootDirectory } from '../../test/support/cluster-template.ts';
import { StockPostgres } from '../../test/support/stock-postgres.ts';
import { type Spread, spreadOf } from './measure.ts';
import type { Recording } from './recording.ts';

/** How long stock PostgreSQL's crash recovery took, from `redo starts` to `redo done`, as its log says. */
export interface StockRecovery {
  /** Processor time in user mode: decoding and redo, without reading files. */
  readonly userMs: Spread;
  readonly elapsedMs: Spread;
}

/** Room for all pages, no check of what replay gives, and the log line that says how long it took. */
const RECOVERY_SETTINGS = {
  shared_buffers: '2GB',
  log_min_messages: 'warning',
  wal_consistency_checking: '',
  max_wal_size: '64GB',
  fsync: 'off',
} as const;

/** xlogrecovery.c, PerformWalRecovery, and pg_rusage.c. The times are in steps of 10 ms. */
const REDO_DONE =
  /redo done at [0-9A-F/]+ system usage: CPU: user: ([\d.]+) s, system: [\d.]+ s, elapsed: ([\d.]+) s/;

/** Recovers copies of the recording's snapshot with its WAL, `repeats` times. */
export async function measureStockRecovery(
  recording: Recording,
  repeats: number,
  pgBin: string | undefined,
): Promise<StockRecovery> {
  const user: number[] = [];
  const elapsed: number[] = [];
  for (let run = 0; run < repeats; run++) {
    const match = REDO_DONE.exec(await recover(recording, pgBin));
    if (match === null) throw new Error(`${recording.name}: the server did not log how long redo took`);
    user.push(Number(match[1]) * 1000);
    elapsed.push(Number(match[2]) * 1000);
  }
  return { userMs: spreadOf(user), elapsedMs: spreadOf(elapsed) };
}

/** Starts a server on a copy of the crashed cluster; gives its log. */
async function recover(recording: Recording, pgBin: string | undefined): Promise<string> {
  const parent = await makeRootDirectory(findAccount());
  const dataDirectory = join(parent, 'data');
  try {
    await copyDirectory(recording.snapshotDirectory, dataDirectory);
    await rm(join(dataDirectory, 'pg_wal'), { recursive: true });
    await copyDirectory(recording.walDirectory, join(dataDirectory, 'pg_wal'));
    await copyDirectory(recording.controlFile, join(dataDirectory, CONTROL_FILE_PATH));
    await using server = await StockPostgres.create({
      major: 17,
      dataDirectory,
      settings: RECOVERY_SETTINGS,
      ...(pgBin === undefined ? {} : { pgBin }),
    });
    await server.start();
    await server.stop('immediate');
    return await server.log();
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}
