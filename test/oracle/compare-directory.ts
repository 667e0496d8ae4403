import { formatLsn } from '../../src/base/lsn.ts';
import { SLRUS, type SlruName } from '../../src/postgres/files/slru.ts';
import {
  getPageLsn,
  isNewPage,
  lineCount,
  PAGE_SPECIAL,
  PAGE_UPPER,
  Page,
} from '../../src/postgres/page/page.ts';
import {
  BLOCK_BYTES,
  FORK_INIT,
  FORK_MAIN,
  FORK_VISIBILITY_MAP,
} from '../../src/postgres/wal/record-header.ts';
import { maskPageHintBits, maskPageLsnAndChecksum } from '../../src/redo/mask/common.ts';
import { getMaskOfRelation } from '../../src/redo/mask/masks.ts';
import type { MaskFunction } from '../../src/redo/redo-types.ts';
import type { CatalogDescription, RelationDescription } from './catalog-description.ts';
import { firstDifference } from './replay.ts';
import type { RelationFork, ReplayedCluster } from './replayed-cluster.ts';

export interface DirectoryComparison {
  /** What is wrong, one sentence each. */
  readonly differences: string[];
  relations: number;
  relationPages: number;
  slruPages: number;
  relationMaps: number;
  preparedTransactions: number;
}

/**
 * Compares what replay has made (`ours`) with the directory of the stopped server (`theirs`): every relation that
 * the catalogs name but for free space maps and the contents of unlogged relations, every SLRU, relation map and
 * prepared transaction. This is what proves the resource managers whose pages the WAL does not show.
 *
 * Without `hintSettingIsConstant` the LSNs of heap pages are not compared: whether VISIBLE stamps one depends on
 * wal_log_hints of the server that replays, and so differs after a recovery that began with another setting.
 */
export function compareDirectory(
  ours: ReplayedCluster,
  theirs: ReplayedCluster,
  catalog: CatalogDescription,
  hintSettingIsConstant: boolean,
): DirectoryComparison {
  const result: DirectoryComparison = {
    differences: [],
    relations: 0,
    relationPages: 0,
    slruPages: 0,
    relationMaps: 0,
    preparedTransactions: 0,
  };
  const seen = new Set<string>();
  for (const database of catalog.databases) {
    for (const relation of database.relations) {
      if (seen.has(relation.path)) continue;
      seen.add(relation.path);
      compareRelation(ours, theirs, relation, hintSettingIsConstant, result);
    }
  }
  for (const name of Object.keys(SLRUS) as SlruName[]) compareSlru(name, ours, theirs, result);
  compareRelationMaps(ours, theirs, catalog, result);
  comparePrepared(ours, theirs, result);
  return result;
}

function compareRelation(
  ours: ReplayedCluster,
  theirs: ReplayedCluster,
  relation: RelationDescription,
  hintSettingIsConstant: boolean,
  result: DirectoryComparison,
): void {
  result.relations++;
  for (const fork of forksToCompare(relation)) {
    const place = [relation.tablespace, relation.database, relation.relfilenode, fork] as const;
    const name = `${relation.schema}.${relation.name} (${relation.path}, fork ${fork})`;
    const comparesLsn = hintSettingIsConstant || fork !== FORK_MAIN || relation.accessMethod !== 'heap';
    const hintLsns = comparesLsn ? ours.hintLsns : undefined;
    const mask = fork === FORK_VISIBILITY_MAP ? maskMap : getFinalMask(relation);
    compareFork(ours.findFork(...place), theirs.findFork(...place), mask, hintLsns, name, result);
  }
}

function forksToCompare(relation: RelationDescription): readonly number[] {
  if (relation.relpersistence !== 'u') return [FORK_MAIN, FORK_VISIBILITY_MAP, FORK_INIT];
  // contrib/bloom makes its init fork by generic WAL, which leaves unlogged relations out, init fork and all.
  return relation.accessMethod === 'bloom' ? [] : [FORK_INIT];
}

function compareFork(
  ours: RelationFork | undefined,
  theirs: RelationFork | undefined,
  mask: MaskFunction,
  hintLsns: ReadonlyMap<Page, number> | undefined,
  name: string,
  result: DirectoryComparison,
): void {
  const blocks = Math.max(ours?.blocks ?? 0, theirs?.blocks ?? 0);
  for (let block = 0; block < blocks; block++) {
    result.relationPages++;
    const left = new Page((ours?.pages[block]?.bytes ?? new Uint8Array(BLOCK_BYTES)).slice());
    const right = new Page((theirs?.pages[block]?.bytes ?? new Uint8Array(BLOCK_BYTES)).slice());
    if (isNeverUsed(left) && isNeverUsed(right)) continue;
    if (hintLsns !== undefined && !isSameLsn(left, right, hintLsns.get(ours?.pages[block] as Page))) {
      const lsns = `${showLsn(left)} instead of ${showLsn(right)}`;
      result.differences.push(`${name}: block ${block} has LSN ${lsns}`);
      continue;
    }
    // A page that only one side has ever written cannot be masked.
    if (!isNewPage(left) && !isNewPage(right)) {
      mask(left, block);
      mask(right, block);
    }
    const difference = firstDifference(left, right);
    if (difference < 0) continue;
    const found = `${showBytes(left, difference)} instead of ${showBytes(right, difference)}`;
    const size = `${ours?.blocks ?? 0} (server: ${theirs?.blocks ?? 0})`;
    result.differences.push(`${name}: block ${block} of ${size} differs at offset ${difference}: ${found}`);
  }
}

/**
 * The masks hide the LSN, but it decides whether a record is replayed: it must be the same. Where only a hint was
 * logged, without an image since full_page_writes was off, a server that did not have to recover since is ahead.
 */
function isSameLsn(ours: Page, theirs: Page, hintLsn: number | undefined): boolean {
  const lsn = getPageLsn(theirs);
  return lsn === getPageLsn(ours) || lsn === hintLsn;
}

/** Eight bytes in hexadecimal. */
function showBytes(page: Page, offset: number): string {
  return Buffer.from(page.bytes.subarray(offset, offset + 8)).toString('hex');
}

function showLsn(page: Page): string {
  return formatLsn(getPageLsn(page));
}

/**
 * New, or initialised and empty: a relation is extended, and a page initialised, without WAL; a backend that dies
 * before it logs the first row leaves such a page behind.
 */
function isNeverUsed(page: Page): boolean {
  return (
    isNewPage(page) || (lineCount(page) === 0 && page.view.getUint16(PAGE_SPECIAL, true) === BLOCK_BYTES)
  );
}

const maskMap: MaskFunction = (page) => {
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
};

/** last_value 8, log_cnt 8, is_called 1 of the only tuple, which has a header of 24 bytes. */
const SEQUENCE_DATA_BYTES = 8 + 8 + 1;
const SEQUENCE_TUPLE_HEADER_BYTES = 24;

/** Behind the page header and the magic number (spgist_private.h, SpGistMetaPageData). */
const SPGIST_LAST_USED_PAGES = 24 + 4;

/**
 * The mask of pages at rest, where it hides more than at replay. nextval logs 32 values ahead and then counts up
 * on the page without WAL, so what the page of a sequence says is only known within that range. The metapage of an
 * SP-GiST index holds a cache of pages with free space, which is written without WAL.
 */
function getFinalMask(relation: RelationDescription): MaskFunction {
  const mask = getMaskOfRelation(relation.accessMethod, relation.relkind);
  if (relation.relkind === 'S') {
    return (page, block) => {
      const tuple = page.view.getUint16(PAGE_UPPER, true) + SEQUENCE_TUPLE_HEADER_BYTES;
      mask(page, block);
      page.bytes.fill(0, tuple, tuple + SEQUENCE_DATA_BYTES);
    };
  }
  if (relation.accessMethod !== 'spgist') return mask;
  return (page, block) => {
    mask(page, block);
    if (block === 0) page.bytes.fill(0, SPGIST_LAST_USED_PAGES);
  };
}

function compareSlru(
  name: SlruName,
  ours: ReplayedCluster,
  theirs: ReplayedCluster,
  result: DirectoryComparison,
): void {
  const zero = new Page();
  const numbers = new Set([...ours.slrus[name].keys(), ...theirs.slrus[name].keys()]);
  for (const number of [...numbers].sort((left, right) => left - right)) {
    result.slruPages++;
    const left = ours.slrus[name].get(number) ?? zero;
    const right = theirs.slrus[name].get(number) ?? zero;
    const difference = name === 'clog' ? firstStatusDifference(left, right) : firstDifference(left, right);
    if (difference < 0) continue;
    result.differences.push(
      `${name}: page ${number} differs at offset ${difference}: ${left.bytes[difference]} instead of ${right.bytes[difference]}`,
    );
  }
}

const SUB_COMMITTED = 3;

/**
 * First byte in which transaction statuses differ, or -1. A subtransaction is marked sub-committed on the pages that
 * its parent is not on before the commit is logged: a crash between leaves that on the server's disk.
 */
function firstStatusDifference(ours: Page, theirs: Page): number {
  for (let offset = 0; offset < BLOCK_BYTES; offset++) {
    const left = ours.bytes[offset] as number;
    const right = theirs.bytes[offset] as number;
    if (left === right) continue;
    for (let shift = 0; shift < 8; shift += 2) {
      const mine = (left >> shift) & 3;
      const other = (right >> shift) & 3;
      if (mine !== other && !(mine === 0 && other === SUB_COMMITTED)) return offset;
    }
  }
  return -1;
}

function compareBytes(
  name: string,
  left: Uint8Array | undefined,
  right: Uint8Array | undefined,
): string | undefined {
  if (left === undefined) return `${name}: the server has it, replay does not`;
  if (right === undefined) return `${name}: replay has it, the server does not`;
  return Buffer.compare(left, right) === 0 ? undefined : `${name}: the contents differ`;
}

/**
 * Of the databases that the catalogs know, and the shared one. A server that dies within CREATE or DROP DATABASE has
 * made or removed a directory of which no WAL speaks.
 */
function compareRelationMaps(
  ours: ReplayedCluster,
  theirs: ReplayedCluster,
  catalog: CatalogDescription,
  result: DirectoryComparison,
): void {
  const known = new Set([...catalog.databases, ...catalog.closedDatabases].map(({ oid }) => String(oid)));
  for (const key of new Set([...ours.relationMaps.keys(), ...theirs.relationMaps.keys()])) {
    const database = key.slice(key.indexOf('/') + 1);
    if (database !== '0' && !known.has(database)) continue;
    result.relationMaps++;
    const difference = compareBytes(
      `relation map ${key}`,
      ours.relationMaps.get(key),
      theirs.relationMaps.get(key),
    );
    if (difference !== undefined) result.differences.push(difference);
  }
}

function comparePrepared(ours: ReplayedCluster, theirs: ReplayedCluster, result: DirectoryComparison): void {
  for (const xid of new Set([...ours.prepared.keys(), ...theirs.prepared.keys()])) {
    result.preparedTransactions++;
    const name = `prepared transaction ${xid}`;
    const difference = compareBytes(name, ours.prepared.get(xid), theirs.prepared.get(xid));
    if (difference !== undefined) result.differences.push(difference);
  }
}
