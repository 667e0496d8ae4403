import { join } from 'node:path';
import { TarReader } from '../../src/base/tar/tar-reader.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import type { BackupOptions } from '../../src/pageserver/backup/backup-options.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { type Setting, StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';

export const CONTEXT: ReadContext = { task: 'base-backup', signal: new AbortController().signal };

/** All that a stock server starts from, at the last record. */
export const FULL: BackupOptions = {
  kind: 'full',
  lsn: undefined,
  previousRecordLsn: undefined,
  isReplica: false,
  compression: 'none',
};

export async function collectBytes(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(Buffer.concat(await Array.fromAsync(chunks)));
}

/** What is in an archive: names in their order, those of directories with a slash, and the files' contents. */
export async function readArchive(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ names: string[]; contents: Map<string, Uint8Array> }> {
  const names: string[] = [];
  const contents = new Map<string, Uint8Array>();
  const reader = new TarReader(chunks);
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    names.push(entry.type === 'directory' ? `${entry.name}/` : entry.name);
    if (entry.type === 'file') contents.set(entry.name, await reader.readAll(2 ** 30));
  }
  return { names, contents };
}

export interface BackupWorldOptions {
  /** Run one after another, as statements of the superuser. */
  readonly statements: readonly string[];
  readonly initdbArguments?: readonly string[];
  readonly serverSettings?: Readonly<Record<string, Setting>>;
  readonly settings?: Partial<TimelineSettings>;
}

/** A stock server that was stopped cleanly, and storage that has all its WAL. */
export class BackupWorld implements AsyncDisposable {
  readonly server: StockPostgres;
  readonly storage: StorageWorld;
  readonly main: ActiveTimeline;

  private constructor(server: StockPostgres, storage: StorageWorld, main: ActiveTimeline) {
    this.server = server;
    this.storage = storage;
    this.main = main;
  }

  static async open(options: BackupWorldOptions): Promise<BackupWorld> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(
      await StockPostgres.create({
        major: 17,
        settings: { fsync: false, autovacuum: false, wal_keep_size: '1TB', ...options.serverSettings },
        initdbArguments: options.initdbArguments ?? [],
      }),
    );
    const initialDirectory = join(server.rootDirectory, 'initial');
    await copyDirectory(server.dataDirectory, initialDirectory);
    await server.start();
    for (const statement of options.statements) await server.query(statement);
    await server.stop();
    const storage = stack.use(
      await StorageWorld.open({ settings: { historyBytes: 2 ** 50, ...options.settings } }),
    );
    const tenant = await storage.storage.attach(storage.tenantId);
    const main = await tenant.createTimeline(MAIN, {
      files: nodeFiles,
      directory: initialDirectory,
      version: POSTGRES_17,
    });
    await feedWal(main, join(server.dataDirectory, 'pg_wal'));
    stack.move();
    return new BackupWorld(server, storage, main);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.storage[Symbol.asyncDispose]();
    await this.server.dispose();
  }
}
