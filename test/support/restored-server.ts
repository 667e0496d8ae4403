import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatLsn } from '../../src/base/lsn.ts';
import { findAccount, giveTo } from '../../src/io/node/unprivileged-account.ts';
import { copyDirectory, makeRootDirectory } from './cluster-template.ts';
import { type Setting, StockPostgres } from './stock-postgres.ts';

/** What each needs that has nothing of the server that wrote the WAL, and of which nothing may happen by itself. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  fsync: false,
  autovacuum: false,
  max_prepared_transactions: 100,
  max_locks_per_transaction: 256,
  allow_in_place_tablespaces: true,
  wal_level: 'logical',
  wal_keep_size: '1TB',
  dynamic_shared_memory_type: 'mmap',
};

/** A stock server on a data directory that was made for it. Both go when it is disposed of. */
export class RestoredServer implements AsyncDisposable {
  readonly server: StockPostgres;
  readonly #root: string;

  private constructor(server: StockPostgres, root: string) {
    this.server = server;
    this.#root = root;
  }

  /** @param fill makes the directory's content; it exists and is empty */
  static async create(
    fill: (dataDirectory: string) => Promise<void>,
    settings: Readonly<Record<string, Setting>> = {},
  ): Promise<RestoredServer> {
    const root = await makeRootDirectory(findAccount());
    try {
      const dataDirectory = join(root, 'data');
      await mkdir(dataDirectory, { mode: 0o700 });
      await fill(dataDirectory);
      const server = await StockPostgres.create({
        major: 17,
        dataDirectory,
        settings: { ...SETTINGS, ...settings },
      });
      return new RestoredServer(server, root);
    } catch (error) {
      await rm(root, { recursive: true, force: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.dispose();
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** Unpacks an archive by the system's own tar. @throws what that says of it */
export async function unpackTar(
  archive: AsyncIterable<Uint8Array>,
  directory: string,
  parameters: readonly string[] = [],
): Promise<number> {
  const child = spawn('tar', ['-C', directory, '-xf', '-', ...parameters], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  // It may end before it has read all: what it says then is the error.
  child.stdin.on('error', () => undefined);
  const ended = once(child, 'close');
  let lengthBytes = 0;
  for await (const chunk of archive) {
    lengthBytes += chunk.length;
    if (!child.stdin.write(chunk)) await Promise.race([once(child.stdin, 'drain'), ended]);
  }
  child.stdin.end();
  const [status] = await ended;
  if (status !== 0) throw new Error(`tar ended with ${status}: ${said}`);
  return lengthBytes;
}

export interface RecoveryOptions {
  /** The cluster before the WAL. It is copied. */
  readonly initialDirectory: string;
  readonly walDirectory: string;
  /** Recovery ends before the first record that starts here or later, of which there must be one. */
  readonly lsn: number;
  readonly settings?: Readonly<Record<string, Setting>>;
}

/** What PostgreSQL's own point-in-time recovery makes of a cluster and its WAL. Not started. */
export async function recoveredServer(options: RecoveryOptions): Promise<RestoredServer> {
  const { initialDirectory, walDirectory, lsn, settings } = options;
  return RestoredServer.create(
    async (dataDirectory) => {
      await rm(dataDirectory, { recursive: true });
      await copyDirectory(initialDirectory, dataDirectory);
      await writeFile(join(dataDirectory, 'recovery.signal'), '');
      await giveTo(findAccount(), join(dataDirectory, 'recovery.signal'));
    },
    {
      hot_standby: false,
      restore_command: `cp "${walDirectory}/%f" "%p"`,
      recovery_target_lsn: formatLsn(lsn),
      recovery_target_inclusive: false,
      recovery_target_action: 'promote',
      recovery_target_timeline: 'current',
      ...settings,
    },
  );
}
