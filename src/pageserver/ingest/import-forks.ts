import { CorruptionError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import {
  parseDatabasePath,
  parseRelationPath,
  RELATION_SEGMENT_BLOCKS,
} from '../../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { computePageChecksum } from '../../postgres/page/checksum.ts';
import { getPageLsn, isNewPage, PAGE_CHECKSUM, type Page } from '../../postgres/page/page.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP } from '../../postgres/wal/record-header.ts';
import { compareKeys } from '../keyspace/key.ts';
import { relationBlockKey } from '../keyspace/keys.ts';
import { type ImportTarget, listOrNothing } from './import-files.ts';
import { type ImportedFork, readForks } from './read-forks.ts';

/** A cluster has about a thousand files, each of which has to be asked how long it is. */
const MEASURED_AT_ONCE = 16;

/** A directory that holds relations. */
export interface ImportedDatabase {
  /** Relative to the data directory. */
  readonly path: string;
  readonly tablespace: number;
  readonly database: number;
}

/** `global` and those in `base`. */
export async function findDatabases(
  files: Files,
  directory: string,
  version: PostgresVersion,
): Promise<ImportedDatabase[]> {
  const paths = ['global'];
  for (const name of await files.list(`${directory}/base`)) paths.push(`base/${name}`);
  return paths.flatMap((path) => {
    const place = parseDatabasePath(version, path);
    return place === undefined ? [] : [{ path, ...place }];
  });
}

/** In the order of their keys. Temporary relations and free space maps are left out. */
export async function findForks(
  files: Files,
  directory: string,
  version: PostgresVersion,
  databases: readonly ImportedDatabase[],
): Promise<ImportedFork[]> {
  const found = new Map<string, { relation: RelationLocator; fork: number; paths: string[] }>();
  for (const { path: databasePath } of databases) {
    for (const name of await listOrNothing(files, `${directory}/${databasePath}`)) {
      const file = parseRelationPath(version, `${databasePath}/${name}`);
      if (file === undefined || file.temporaryBackend !== undefined) continue;
      const { relation, fork, segment } = file;
      if (fork === FORK_FREE_SPACE_MAP) continue;
      const id = `${databasePath}/${relation.relation}/${fork}`;
      let entry = found.get(id);
      if (entry === undefined) {
        entry = { relation, fork, paths: [] };
        found.set(id, entry);
      }
      entry.paths[segment] = `${directory}/${databasePath}/${name}`;
    }
  }
  const forks: ImportedFork[] = [];
  const entries = [...found.values()];
  for (let start = 0; start < entries.length; start += MEASURED_AT_ONCE) {
    const group = entries.slice(start, start + MEASURED_AT_ONCE);
    const measured = await Promise.all(group.map(({ paths }) => measureFork(files, paths)));
    for (const [index, { relation, fork }] of group.entries()) {
      const size = measured[index];
      if (size !== undefined) forks.push({ relation, fork, ...size });
    }
  }
  return forks.sort((left, right) =>
    compareKeys(
      relationBlockKey(left.relation, left.fork, 0),
      relationBlockKey(right.relation, right.fork, 0),
    ),
  );
}

/** mdnblocks: a segment that is not full is the last; bytes behind the last whole block do not count. */
async function measureFork(
  files: Files,
  segmentPaths: readonly (string | undefined)[],
): Promise<{ blocks: number; paths: string[] } | undefined> {
  const paths: string[] = [];
  let blocks = 0;
  for (const path of segmentPaths) {
    if (path === undefined) break;
    const { kind, sizeBytes } = await files.stat(path);
    if (kind !== 'file') break;
    paths.push(path);
    const segmentBlocks = Math.min(Math.floor(sizeBytes / BLOCK_BYTES), RELATION_SEGMENT_BLOCKS);
    blocks += segmentBlocks;
    if (segmentBlocks < RELATION_SEGMENT_BLOCKS) break;
  }
  return paths.length === 0 ? undefined : { blocks, paths };
}

/**
 * Puts all pages of forks, which are in the order of their keys.
 * @param checkedBelowLsn pages with an LSN below have their checksum verified; undefined where there are no checksums
 */
export async function importForks(
  files: Files,
  forks: readonly ImportedFork[],
  checkedBelowLsn: number | undefined,
  target: ImportTarget,
): Promise<void> {
  for await (const { fork, path, block, count, pages } of readForks(files, forks)) {
    for (let index = 0; index < count; index++) {
      const page = pages[index] as Page;
      if (checkedBelowLsn !== undefined) checkPage(page, block + index, path, checkedBelowLsn);
      await target.put(relationBlockKey(fork.relation, fork.fork, block + index), page.bytes);
    }
  }
}

/**
 * Pages that have changed since a backup began may have been read while they were written. Their first record since then
 * has all of them (basebackup.c, verify_page_checksum).
 */
function checkPage(page: Page, block: number, file: string, belowLsn: number): void {
  if (isNewPage(page) || getPageLsn(page) >= belowLsn) return;
  if (page.view.getUint16(PAGE_CHECKSUM, true) === computePageChecksum(page, block)) return;
  throw new CorruptionError('BAD_PAGE_CHECKSUM', `the checksum of block ${block} is wrong`, { file });
}
