import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { CheckPoint } from '../../src/postgres/files/checkpoint.ts';
import {
  CONTROL_FILE_PATH,
  type ControlFile,
  decodeControlFile,
} from '../../src/postgres/files/control-file.ts';
import {
  parseDatabasePath,
  parseRelationPath,
  RELATION_SEGMENT_BLOCKS,
} from '../../src/postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../../src/postgres/files/relation-locator.ts';
import {
  parseSlruSegmentPath,
  SLRU_PAGES_PER_SEGMENT,
  type SlruName,
} from '../../src/postgres/files/slru.ts';
import { Page } from '../../src/postgres/page/page.ts';
import type { PostgresVersion } from '../../src/postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';

/** The blocks of one fork. A hole is a page of zeros. */
export class RelationFork {
  readonly relation: RelationLocator;
  readonly fork: number;
  readonly pages: (Page | undefined)[] = [];

  constructor(relation: RelationLocator, fork: number) {
    this.relation = relation;
    this.fork = fork;
  }

  get blocks(): number {
    return this.pages.length;
  }

  /** The page, made of zeros (and the fork extended) where it does not exist. */
  makePage(block: number): Page {
    let page = this.pages[block];
    if (page === undefined) {
      while (this.pages.length < block) this.pages.push(undefined);
      page = new Page();
      this.pages[block] = page;
    }
    return page;
  }

  truncate(blocks: number): void {
    if (blocks < this.pages.length) this.pages.length = blocks;
  }

  copyFor(relation: RelationLocator): RelationFork {
    const copy = new RelationFork(relation, this.fork);
    for (const page of this.pages)
      copy.pages.push(page === undefined ? undefined : new Page(page.bytes.slice()));
    return copy;
  }
}

const forkKey = (tablespace: number, database: number, relation: number, fork: number): string =>
  `${tablespace}/${database}/${relation}/${fork}`;

/**
 * A whole cluster in memory: what replay has made of the directory that it started from. Read from a data
 * directory, it also serves to see what a stopped server has on disk.
 */
export class ReplayedCluster {
  readonly version: PostgresVersion;
  readonly control: ControlFile;
  readonly forks = new Map<string, RelationFork>();
  readonly slrus: Readonly<Record<SlruName, Map<number, Page>>> = {
    clog: new Map(),
    'multixact-offsets': new Map(),
    'multixact-members': new Map(),
    'commit-timestamp': new Map(),
  };
  /** By `tablespace/database`. */
  readonly relationMaps = new Map<string, Uint8Array>();
  /** State data of prepared transactions, without the CRC, by 32-bit xid. */
  readonly prepared = new Map<number, Uint8Array>();
  /** End of the last XLOG_FPI_FOR_HINT without an image of the page: the server stamps it, replay does not. */
  readonly hintLsns = new Map<Page, number>();
  /** Directories of databases, `tablespace/database`. */
  readonly databases = new Set<string>();
  /** Oids of tablespaces beside the two that every cluster has. */
  readonly tablespaces = new Set<number>();

  private constructor(version: PostgresVersion, control: ControlFile) {
    this.version = version;
    this.control = control;
  }

  get checkPoint(): CheckPoint {
    return this.control.checkPointCopy;
  }

  /** Reads a data directory whose server has stopped. Temporary relations are left out. */
  static read(directory: string, version: PostgresVersion): ReplayedCluster {
    const control = decodeControlFile(version, readFileSync(join(directory, CONTROL_FILE_PATH)));
    const cluster = new ReplayedCluster(version, control);
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      if (entry.parentPath === join(directory, 'pg_tblspc')) cluster.tablespaces.add(Number(entry.name));
      if (!entry.isFile()) continue;
      const path = relative(directory, join(entry.parentPath, entry.name));
      cluster.#readFile(directory, path, version);
    }
    return cluster;
  }

  #readFile(directory: string, path: string, version: PostgresVersion): void {
    const bytes = (): Uint8Array => new Uint8Array(readFileSync(join(directory, path)));
    const slru = parseSlruSegmentPath(path);
    if (slru !== undefined) {
      const content = bytes();
      for (let index = 0; (index + 1) * BLOCK_BYTES <= content.length; index++) {
        const page = new Page(content.slice(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES));
        this.slrus[slru.slru.name].set(slru.segment * SLRU_PAGES_PER_SEGMENT + index, page);
      }
      return;
    }
    if (path.startsWith('pg_twophase/')) {
      const content = bytes();
      this.prepared.set(Number.parseInt(path.slice(-8), 16), content.subarray(0, content.length - 4));
      return;
    }
    const directoryMatch = parseDatabasePath(version, dirname(path));
    if (directoryMatch !== undefined) {
      const key = `${directoryMatch.tablespace}/${directoryMatch.database}`;
      this.databases.add(key);
      if (path.endsWith('/pg_filenode.map')) this.relationMaps.set(key, bytes());
    }
    const parsed = parseRelationPath(version, path);
    if (parsed === undefined || parsed.temporaryBackend !== undefined) return;
    this.#readRelation(bytes(), parsed.relation, parsed.fork, parsed.segment);
  }

  #readRelation(content: Uint8Array, relation: RelationLocator, forkNumber: number, segment: number): void {
    const fork = this.makeFork(relation, forkNumber);
    const first = segment * RELATION_SEGMENT_BLOCKS;
    const blocks = Math.floor(content.length / BLOCK_BYTES);
    while (fork.pages.length < first + blocks) fork.pages.push(undefined);
    for (let block = 0; block < blocks; block++) {
      fork.pages[first + block] = new Page(content.slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
    }
  }

  findFork(tablespace: number, database: number, relation: number, fork: number): RelationFork | undefined {
    return this.forks.get(forkKey(tablespace, database, relation, fork));
  }

  makeFork(relation: RelationLocator, fork: number): RelationFork {
    const key = forkKey(relation.tablespace, relation.database, relation.relation, fork);
    let made = this.forks.get(key);
    if (made === undefined) {
      made = new RelationFork(relation, fork);
      this.forks.set(key, made);
    }
    return made;
  }

  dropRelation(relation: RelationLocator): void {
    for (let fork = 0; fork <= 3; fork++) {
      this.forks.delete(forkKey(relation.tablespace, relation.database, relation.relation, fork));
    }
  }

  dropDatabase(tablespace: number, database: number): void {
    const key = `${tablespace}/${database}`;
    for (const name of this.forks.keys()) {
      if (name.startsWith(`${key}/`)) this.forks.delete(name);
    }
    this.relationMaps.delete(key);
    this.databases.delete(key);
  }

  copyDatabase(
    source: { tablespace: number; database: number },
    target: { tablespace: number; database: number },
  ): void {
    this.dropDatabase(target.tablespace, target.database);
    const sourceKey = `${source.tablespace}/${source.database}`;
    const targetKey = `${target.tablespace}/${target.database}`;
    for (const [name, fork] of [...this.forks]) {
      if (!name.startsWith(`${sourceKey}/`)) continue;
      const relation = { ...target, relation: fork.relation.relation };
      this.forks.set(
        forkKey(relation.tablespace, relation.database, relation.relation, fork.fork),
        fork.copyFor(relation),
      );
    }
    const map = this.relationMaps.get(sourceKey);
    if (map !== undefined) this.relationMaps.set(targetKey, map.slice());
    this.databases.add(targetKey);
  }

  /** The page of an SLRU, made of zeros where it does not exist. */
  makeSlruPage(slru: SlruName, number: number): Page {
    let page = this.slrus[slru].get(number);
    if (page === undefined) {
      page = new Page();
      this.slrus[slru].set(number, page);
    }
    return page;
  }
}
