/** Backups of running servers, made by hand: what pg_basebackup does is this, and a stream. */
import { spawn } from 'node:child_process';
import type { Dirent } from 'node:fs';
import { copyFile, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Lsn, parseLsn } from '../../src/base/lsn.ts';
import { parseBackupLabel } from '../../src/postgres/files/backup-label.ts';
import { CORPUS_DIRECTORY } from '../oracle/corpus.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';

export interface RunningBackup {
  readonly directory: string;
  readonly baseLsn: Lsn;
  readonly endLsn: Lsn;
  /** Files that were copied. */
  readonly files: number;
}

/** What pg_basebackup leaves out (basebackup.c, excludeFiles and excludeDirContents), as far as it is there. */
const LEFT_OUT =
  /^(postmaster\.(pid|opts)|backup_label|pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans|global\/pg_control|.*pg_internal\.init.*)(\/|$)/;

/** Copies the files of a server that goes on writing. Half of them are copied once more, so that some are much newer. */
export async function backUp(server: StockPostgres, directory: string): Promise<RunningBackup> {
  const client = await server.connect();
  try {
    await client.query("SELECT pg_backup_start('by hand', fast => true)");
    const files = await copyFiles(server.dataDirectory, directory, () => true);
    let count = 0;
    await copyFiles(server.dataDirectory, directory, () => count++ % 2 === 0);
    await copyOne(server.dataDirectory, directory, 'global/pg_control');
    const { rows } = await client.query<{ lsn: string; labelfile: string }>(
      'SELECT lsn::text, labelfile FROM pg_backup_stop(wait_for_archive => false)',
    );
    const { lsn, labelfile } = rows[0] as { lsn: string; labelfile: string };
    await writeFile(join(directory, 'backup_label'), labelfile);
    // What is recycled meanwhile was of before the backup.
    for await (const path of filesBelow(server.dataDirectory, 'pg_wal'))
      await copyOne(server.dataDirectory, directory, path);
    return { directory, baseLsn: parseBackupLabel(labelfile).startLsn, endLsn: parseLsn(lsn), files };
  } finally {
    await client.end();
  }
}

async function copyFiles(from: string, to: string, isWanted: () => boolean): Promise<number> {
  let files = 0;
  for await (const path of filesBelow(from)) {
    if (LEFT_OUT.test(path) || !isWanted()) continue;
    if (await copyOne(from, to, path)) files++;
  }
  return files;
}

/** By paths from the top. A database may be dropped while its directory is walked. */
async function* filesBelow(top: string, below = ''): AsyncGenerator<string> {
  for (const entry of await entriesOf(join(top, below))) {
    const path = join(below, entry.name);
    if (entry.isDirectory()) yield* filesBelow(top, path);
    else if (entry.isFile()) yield path;
  }
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return [];
  }
}

/** A file may have gone since it was listed. */
async function copyOne(from: string, to: string, path: string): Promise<boolean> {
  await mkdir(join(to, dirname(path)), { recursive: true });
  try {
    await copyFile(join(from, path), join(to, path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false;
  }
}

/** An archive by the system's own tar, whose names begin with `./`. */
export async function* tarOf(
  directory: string,
  parameters: readonly string[] = [],
): AsyncGenerator<Uint8Array> {
  const child = spawn('tar', ['-C', directory, '-cf', '-', ...parameters, '.'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    yield* child.stdout;
  } finally {
    child.kill();
  }
}

/** The corpus without what an import refuses. */
export async function corpusWithoutTablespaces(directory: string): Promise<string> {
  await cp(CORPUS_DIRECTORY, directory, { recursive: true });
  await rm(join(directory, 'tablespaces.sql'));
  const path = join(directory, 'databases.sql');
  const lines = (await readFile(path, 'utf8')).split('\n');
  await writeFile(
    path,
    lines.filter((line) => line.startsWith('--') || !/tablespace|spaced/i.test(line)).join('\n'),
  );
  return directory;
}
