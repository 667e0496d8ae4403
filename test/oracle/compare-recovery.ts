import { formatLsn } from '../../src/base/lsn.ts';
import type { SlruName } from '../../src/postgres/files/slru.ts';
import {
  getPageLsn,
  PAGE_CHECKSUM,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_UPPER,
  Page,
  setPageLsn,
} from '../../src/postgres/page/page.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP, FORK_MAIN } from '../../src/postgres/wal/record-header.ts';
import type { CatalogDescription } from './catalog-description.ts';
import { firstDifference } from './replay.ts';
import type { RelationFork, ReplayedCluster } from './replayed-cluster.ts';

export interface RecoveryComparison {
  /** What is wrong, one sentence each. */
  readonly differences: string[];
  pages: number;
}

const BASE_TABLESPACE = '1663/';

/**
 * Compares what our replay has made (`ours`) with what the server's own replay of the same WAL has made
 * (`recovered`): every page of every fork but free space maps byte for byte, how long each fork is, every SLRU, map and
 * prepared transaction, and which databases and tablespaces there are. No mask hides anything but checksums, which
 * replay does not keep, and the unused space in the middle of a page.
 *
 * Without `settingsAreConstant` two things are not compared: the LSNs of pages in use by heaps (compare-directory.ts says
 * why), and commit timestamps. When those are switched off, replay removes all their files, but what of them is in
 * buffers comes back later (commit_ts.c, DeactivateCommitTs; slru.c, SlruInternalDeleteSegment); nobody ever reads it.
 */
export function compareRecovery(
  ours: ReplayedCluster,
  recovered: ReplayedCluster,
  catalog: CatalogDescription,
  settingsAreConstant: boolean,
): RecoveryComparison {
  const result: RecoveryComparison = { differences: [], pages: 0 };
  const relations = new Map(
    catalog.databases.flatMap((database) =>
      database.relations.map((relation) => [
        `${relation.tablespace}/${relation.database}/${relation.relfilenode}`,
        relation,
      ]),
    ),
  );
  for (const key of new Set([...ours.forks.keys(), ...recovered.forks.keys()])) {
    const fork = Number(key.slice(key.lastIndexOf('/') + 1));
    if (fork === FORK_FREE_SPACE_MAP) continue;
    const relation = relations.get(key.slice(0, key.lastIndexOf('/')));
    const isNoHeap = relation !== undefined && relation.accessMethod !== 'heap';
    const comparesLsn = settingsAreConstant || fork !== FORK_MAIN || isNoHeap;
    const name = `${key} (${relation?.name ?? 'no longer in the catalogs'})`;
    compareFork(ours.forks.get(key), recovered.forks.get(key), comparesLsn, name, result);
  }
  for (const name of Object.keys(ours.slrus) as SlruName[]) {
    if (settingsAreConstant || name !== 'commit-timestamp') compareSlru(name, ours, recovered, result);
  }
  compareContents('relation map', ours.relationMaps, recovered.relationMaps, result);
  compareContents('prepared transaction', ours.prepared, recovered.prepared, result);
  compareNames('database', inBase(ours.databases), inBase(recovered.databases), result);
  compareNames('tablespace', ours.tablespaces, recovered.tablespaces, result);
  return result;
}

/** Directories in other tablespaces come and go with the relations in them, which no record tells. */
function inBase(databases: ReadonlySet<string>): Set<string> {
  return new Set([...databases].filter((key) => key.startsWith(BASE_TABLESPACE)));
}

function compareFork(
  left: RelationFork | undefined,
  right: RelationFork | undefined,
  comparesLsn: boolean,
  name: string,
  result: RecoveryComparison,
): void {
  const leftBlocks = left?.blocks ?? 0;
  const rightBlocks = right?.blocks ?? 0;
  if (leftBlocks !== rightBlocks) {
    result.differences.push(`recovery: ${name} has ${leftBlocks} blocks instead of ${rightBlocks}`);
  }
  for (let block = 0; block < Math.min(leftBlocks, rightBlocks); block++) {
    result.pages++;
    const difference = comparePages(left?.pages[block], right?.pages[block], comparesLsn);
    if (difference !== undefined) result.differences.push(`recovery: ${name} block ${block}: ${difference}`);
  }
}

/** What differs between two pages, undefined where nothing does. */
export function comparePages(
  left: Page | undefined,
  right: Page | undefined,
  comparesLsn: boolean,
): string | undefined {
  const ours = new Page((left?.bytes ?? new Uint8Array(BLOCK_BYTES)).slice());
  const theirs = new Page((right?.bytes ?? new Uint8Array(BLOCK_BYTES)).slice());
  if (!comparesLsn) setPageLsn(ours, theirs.view.getUint32(0, true), theirs.view.getUint32(4, true));
  if (getPageLsn(ours) !== getPageLsn(theirs)) {
    return `LSN ${formatLsn(getPageLsn(ours))} instead of ${formatLsn(getPageLsn(theirs))}`;
  }
  blankPage(ours);
  blankPage(theirs);
  const difference = firstDifference(ours, theirs);
  if (difference < 0) return undefined;
  return `offset ${difference} has ${showBytes(ours, difference)} instead of ${showBytes(theirs, difference)}`;
}

/** Blanks out the checksum and, where the pointers of the page are in order, the space between lines and items. */
export function blankPage(page: Page): void {
  page.view.setUint16(PAGE_CHECKSUM, 0, true);
  const lower = page.view.getUint16(PAGE_LOWER, true);
  const upper = page.view.getUint16(PAGE_UPPER, true);
  if (lower >= PAGE_HEADER_BYTES && lower <= upper && upper <= BLOCK_BYTES) page.bytes.fill(0, lower, upper);
}

function compareSlru(
  name: SlruName,
  ours: ReplayedCluster,
  recovered: ReplayedCluster,
  result: RecoveryComparison,
): void {
  const zero = new Page();
  for (const number of new Set([...ours.slrus[name].keys(), ...recovered.slrus[name].keys()])) {
    result.pages++;
    const left = ours.slrus[name].get(number) ?? zero;
    const right = recovered.slrus[name].get(number) ?? zero;
    const difference = firstDifference(left, right);
    if (difference < 0) continue;
    const found = `${showBytes(left, difference)} instead of ${showBytes(right, difference)}`;
    result.differences.push(`recovery: ${name} page ${number}: offset ${difference} has ${found}`);
  }
}

/** Up to eight bytes in hexadecimal. */
function showBytes(page: Page, offset: number): string {
  return Buffer.from(page.bytes.subarray(offset, offset + 8)).toString('hex');
}

function compareContents<Key>(
  what: string,
  left: ReadonlyMap<Key, Uint8Array>,
  right: ReadonlyMap<Key, Uint8Array>,
  result: RecoveryComparison,
): void {
  compareNames(what, new Set(left.keys()), new Set(right.keys()), result);
  for (const [key, content] of left) {
    const other = right.get(key);
    if (other === undefined || Buffer.compare(content, other) === 0) continue;
    result.differences.push(`recovery: the contents of ${what} ${key} differ`);
  }
}

function compareNames<Name>(
  what: string,
  left: ReadonlySet<Name>,
  right: ReadonlySet<Name>,
  result: RecoveryComparison,
): void {
  for (const name of left.difference(right))
    result.differences.push(`recovery: we have ${what} ${name}, the server does not`);
  for (const name of right.difference(left))
    result.differences.push(`recovery: the server has ${what} ${name}, we do not`);
}
