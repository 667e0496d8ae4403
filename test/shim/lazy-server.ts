import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lsn } from '../../src/base/lsn.ts';
import { DataDirectory } from '../../src/compute/data-directory.ts';
import { LazyDirectory } from '../../src/compute/lazy/lazy-directory.ts';
import type { PageSource } from '../../src/compute/page-source.ts';
import type { StartSetFork, StartSetHeader } from '../../src/contracts/start-set.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeServers } from '../../src/io/node/servers.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { findAccount } from '../../src/io/node/unprivileged-account.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { RelationLocator } from '../../src/postgres/files/relation-locator.ts';
import type { SlruName } from '../../src/postgres/files/slru.ts';
import { writePageChecksum } from '../../src/postgres/page/checksum.ts';
import { isNewPage, Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { makeRootDirectory } from '../support/cluster-template.ts';
import { sourceOf } from '../support/start-set-directory.ts';
import { type Setting, StockPostgres } from '../support/stock-postgres.ts';
import { SIGNAL, shimPath } from './shim-world.ts';

/** The pages of a timeline in this process, as of one LSN. */
export class TimelinePages implements PageSource {
  blocks = 0;
  readonly #timeline: ActiveTimeline;
  readonly #header: Pick<StartSetHeader, 'recordEndLsn' | 'hasDataChecksums'>;

  constructor(timeline: ActiveTimeline, header: Pick<StartSetHeader, 'recordEndLsn' | 'hasDataChecksums'>) {
    this.#timeline = timeline;
    this.#header = header;
  }

  async readPages(
    relation: RelationLocator,
    contentFork: number,
    block: number,
    count: number,
    target: Uint8Array,
  ): Promise<void> {
    this.blocks += count;
    const bytes = new Uint8Array(count * BLOCK_BYTES);
    const pages = Array.from(
      { length: count },
      (_, index) => new Page(bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)),
    );
    const { recordEndLsn, hasDataChecksums } = this.#header;
    await sourceOf(this.#timeline).readPages({ relation, contentFork }, block, pages, recordEndLsn);
    for (const [index, page] of pages.entries())
      if (hasDataChecksums && !isNewPage(page)) writePageChecksum(page, block + index);
    target.set(bytes);
  }

  async readSlruSegment(slru: SlruName, segment: number): Promise<Uint8Array> {
    const { recordEndLsn } = this.#header;
    const bytes = await sourceOf(this.#timeline).slruSegment({ slru, segment }, recordEndLsn);
    if (bytes === undefined) throw new Error(`there is no segment ${segment} of ${slru}`);
    return bytes;
  }
}

/** As start sets order them. */
const compareForks = (left: StartSetFork, right: StartSetFork): number =>
  left.relation.tablespace - right.relation.tablespace ||
  left.relation.database - right.relation.database ||
  left.relation.relation - right.relation.relation ||
  left.fork - right.fork;

/** A stock server, not started, on a start set whose pages come as they are read. */
export class LazyServer implements AsyncDisposable {
  readonly server: StockPostgres;
  readonly lazy: LazyDirectory;
  readonly pages: TimelinePages;
  readonly failures: Error[];
  readonly totalBlocks: number;
  /** In the order of a list. */
  readonly forks: readonly StartSetFork[];

  private constructor(
    fields: Pick<LazyServer, 'server' | 'lazy' | 'pages' | 'failures' | 'totalBlocks' | 'forks'>,
  ) {
    this.server = fields.server;
    this.lazy = fields.lazy;
    this.pages = fields.pages;
    this.failures = fields.failures;
    this.totalBlocks = fields.totalBlocks;
    this.forks = fields.forks;
  }

  /**
   * @param configuration a data directory whose pg_hba.conf and pg_ident.conf are to be had
   * @param otherForks beside those of the start set, which its catalogs do not know
   */
  static async layOut(
    timeline: ActiveTimeline,
    lsn: Lsn,
    configuration: string,
    settings: Readonly<Record<string, Setting>>,
    otherForks: readonly StartSetFork[] = [],
  ): Promise<LazyServer> {
    const root = await makeRootDirectory(findAccount());
    const data = join(root, 'cluster');
    await mkdir(data, { mode: 0o700 });
    const directory = new DataDirectory(nodeFiles, data);
    const { segments, forks } = await directory.layOut(sourceOf(timeline).stream(lsn, 'primary'));
    for (const name of ['pg_hba.conf', 'pg_ident.conf'])
      await copyFile(join(configuration, name), join(data, name));
    await writeFile(join(data, 'postgresql.conf'), '');
    const pages = new TimelinePages(timeline, directory.header);
    const failures: Error[] = [];
    const onFailed = (error: Error): void => void failures.push(error);
    const lazy = await LazyDirectory.open(
      {
        directory: join(root, 'lazy'),
        dataDirectory: data,
        version: POSTGRES_17,
        shim: await shimPath(),
        pages,
        onFailed,
      },
      { files: nodeFiles, servers: nodeServers, sockets: nodeSockets(onFailed) },
      SIGNAL,
    );
    for (const segment of segments) await lazy.addSlruSegment(segment);
    await lazy.guard();
    const server = await StockPostgres.create({
      major: 17,
      dataDirectory: data,
      parentDirectory: root,
      settings,
      environment: lazy.environment,
    });
    const totalBlocks = forks.reduce((sum, { blocks }) => sum + blocks, 0);
    const all = [...forks, ...otherForks].sort(compareForks);
    return new LazyServer({ server, lazy, pages, failures, totalBlocks, forks: all });
  }

  /** Makes the list of files known, a part after another. Before or after the server is started. */
  async list(partForks: number = this.forks.length, between?: () => Promise<void>): Promise<void> {
    for (let start = 0; start < this.forks.length; start += partForks) {
      await this.lazy.addForks(this.forks.slice(start, start + partForks));
      await between?.();
    }
    await this.lazy.finishForks();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.dispose();
    await this.lazy.close();
    await nodeFiles.removeDirectory(join(this.server.dataDirectory, '..'));
  }
}
