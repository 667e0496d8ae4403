/** What a backup of a running server has that PostgreSQL's recovery takes away when it begins. */
import type { Files } from '../../io/files.ts';
import {
  CLOG_XACTS_PER_PAGE,
  SLRU_PAGES_PER_SEGMENT,
  SLRUS,
  slruPageOf,
  slruSegmentOfPage,
  slruSegmentPath,
} from '../../postgres/files/slru.ts';
import { BLOCK_BYTES, FORK_INIT } from '../../postgres/wal/record-header.ts';
import { isMissing, readWholeFile } from './import-files.ts';
import type { ImportedFork } from './read-forks.ts';

/** TransactionIdDidCommit, TransactionIdDidAbort: what counts as neither is in progress or part of another. */
const COMMITTED = 1;
const ABORTED = 2;

/** Of unlogged relations only the init fork counts: no WAL makes the others whole (reinit.c, ResetUnloggedRelations). */
export function withoutUnlogged(forks: readonly ImportedFork[]): ImportedFork[] {
  const nameOf = ({ relation: { tablespace, database, relation } }: ImportedFork): string =>
    `${tablespace}/${database}/${relation}`;
  const unlogged = new Set(forks.filter(({ fork }) => fork === FORK_INIT).map(nameOf));
  return forks.filter((each) => each.fork === FORK_INIT || !unlogged.has(nameOf(each)));
}

/** Whether pg_xact says that a transaction was committed or aborted. */
export async function hasEnded(files: Files, directory: string, xid: number): Promise<boolean> {
  const page = slruPageOf(SLRUS.clog, xid);
  const path = `${directory}/${slruSegmentPath(SLRUS.clog, slruSegmentOfPage(page))}`;
  let segment: Uint8Array;
  try {
    segment = await readWholeFile(files, path);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  const inPage = xid % CLOG_XACTS_PER_PAGE;
  const offset = (page % SLRU_PAGES_PER_SEGMENT) * BLOCK_BYTES + Math.floor(inPage / 4);
  const status = ((segment[offset] ?? 0) >> ((inPage % 4) * 2)) & 3;
  return status === COMMITTED || status === ABORTED;
}
