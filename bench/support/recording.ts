import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseLsn } from '../../src/base/lsn.ts';
import { CONTROL_FILE_PATH } from '../../src/postgres/files/control-file.ts';
import { formatSegmentName, isSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { copyDirectory } from '../../test/support/cluster-template.ts';
import { StockPostgres } from '../../test/support/stock-postgres.ts';
import type { Workload } from './workload.ts';

/** Settings that keep checkpoints and other writers of pages away, so that recovery has all of the WAL to replay. */
const RECORDING_SETTINGS = {
  autovacuum: 'off',
  bgwriter_lru_maxpages: 0,
  checkpoint_timeout: '1d',
  fsync: 'off',
  maintenance_work_mem: '256MB',
  max_wal_size: '64GB',
  shared_buffers: '512MB',
  synchronous_commit: 'off',
  wal_buffers: '16MB',
  wal_recycle: 'off',
} as const;

export interface RecordingOptions {
  readonly pgBin: string | undefined;
  readonly segmentSizeMiB: number;
}

interface Description {
  readonly startLsn: string;
  readonly endLsn: string;
  readonly segmentBytes: number;
  readonly postgres: string;
}

/**
 * A workload's WAL with all that replaying it needs: `snapshot`, the data directory from right before (cleanly shut
 * down, without its WAL), `wal`, the segment files, and `pg_control` of the server that was stopped at once
 * afterwards, which makes a server on the snapshot recover from a crash.
 */
export class Recording {
  readonly name: string;
  readonly directory: string;
  /** The checkpoint from which recovery begins. */
  readonly startLsn: number;
  /** The end of the last record of the workload. */
  readonly endLsn: number;
  readonly segmentBytes: number;
  /** Version of the server. */
  readonly postgres: string;

  private constructor(name: string, directory: string, description: Description) {
    this.name = name;
    this.directory = directory;
    this.startLsn = parseLsn(description.startLsn);
    this.endLsn = parseLsn(description.endLsn);
    this.segmentBytes = description.segmentBytes;
    this.postgres = description.postgres;
  }

  get snapshotDirectory(): string {
    return join(this.directory, 'snapshot');
  }

  get walDirectory(): string {
    return join(this.directory, 'wal');
  }

  get controlFile(): string {
    return join(this.directory, 'pg_control');
  }

  /** Opens the workload's recording below `parent`, and makes it first if it is not there. */
  static async open(workload: Workload, parent: string, options: RecordingOptions): Promise<Recording> {
    const directory = join(parent, `${workload.name}-${options.segmentSizeMiB}`);
    const file = join(directory, 'recording.json');
    if (!existsSync(file)) {
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory, { recursive: true });
      const description = await record(workload, directory, options);
      await writeFile(file, JSON.stringify(description));
    }
    return new Recording(workload.name, directory, JSON.parse(await readFile(file, 'utf8')) as Description);
  }

  /** The WAL from `startLsn` to `endLsn`, in one piece. */
  readWal(): Uint8Array {
    const wal = new Uint8Array(this.endLsn - this.startLsn);
    for (let lsn = this.startLsn; lsn < this.endLsn; ) {
      const segment = segmentNumber(lsn, this.segmentBytes);
      const inSegment = lsn % this.segmentBytes;
      const length = Math.min(this.segmentBytes - inSegment, this.endLsn - lsn);
      const bytes = readFileSync(join(this.walDirectory, formatSegmentName(1, segment, this.segmentBytes)));
      wal.set(bytes.subarray(inSegment, inSegment + length), lsn - this.startLsn);
      lsn += length;
    }
    return wal;
  }
}

async function record(
  workload: Workload,
  directory: string,
  options: RecordingOptions,
): Promise<Description> {
  await using server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: options.segmentSizeMiB,
    settings: { ...RECORDING_SETTINGS, ...workload.settings },
    ...(options.pgBin === undefined ? {} : { pgBin: options.pgBin }),
  });
  await server.start();
  await workload.prepare(server);
  await server.stop('fast');
  const snapshot = join(directory, 'snapshot');
  await copyDirectory(server.dataDirectory, snapshot);
  await rm(join(snapshot, 'pg_wal'), { recursive: true });
  await mkdir(join(snapshot, 'pg_wal'));

  await server.start();
  const [before] = await server.query<{ lsn: string; bytes: number; version: string }>(`
    SELECT redo_lsn::text AS lsn, bytes_per_wal_segment AS bytes, current_setting('server_version') AS version
    FROM pg_control_checkpoint(), pg_control_init()`);
  await workload.run(server);
  // The switch also makes sure that all WAL before it is in its file.
  const [after] = await server.query<{ lsn: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS lsn, pg_switch_wal()',
  );
  await server.stop('immediate');
  if (before === undefined || after === undefined)
    throw new Error('the server did not say where its WAL stands');

  await rename(join(server.dataDirectory, CONTROL_FILE_PATH), join(directory, 'pg_control'));
  const wal = join(directory, 'wal');
  await mkdir(wal);
  const first = formatSegmentName(1, segmentNumber(parseLsn(before.lsn), before.bytes), before.bytes);
  for (const name of await readdir(join(server.dataDirectory, 'pg_wal'))) {
    if (isSegmentName(name) && name >= first) {
      await copyDirectory(join(server.dataDirectory, 'pg_wal', name), join(wal, name));
    }
  }
  return { startLsn: before.lsn, endLsn: after.lsn, segmentBytes: before.bytes, postgres: before.version };
}
