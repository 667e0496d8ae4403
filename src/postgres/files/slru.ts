import { CorruptionError } from '../../base/errors.ts';
import { BLOCK_BYTES } from '../wal/record-header.ts';

export type SlruName = 'clog' | 'multixact-offsets' | 'multixact-members' | 'commit-timestamp';

/** SLRU_PAGES_PER_SEGMENT (slru.h). */
export const SLRU_PAGES_PER_SEGMENT = 32;

/** CLOG_XACTS_PER_PAGE: two bits each. */
export const CLOG_XACTS_PER_PAGE: number = BLOCK_BYTES * 4;
/** SizeOfCommitTimestampEntry: time 8 + origin 2. */
export const COMMIT_TIMESTAMP_ENTRY_BYTES = 10;
/** COMMIT_TS_XACTS_PER_PAGE. */
export const COMMIT_TS_XACTS_PER_PAGE: number = Math.floor(BLOCK_BYTES / COMMIT_TIMESTAMP_ENTRY_BYTES);
/** MULTIXACT_OFFSETS_PER_PAGE: four bytes each. */
export const MULTIXACT_OFFSETS_PER_PAGE: number = BLOCK_BYTES / 4;
/** MULTIXACT_MEMBERS_PER_MEMBERGROUP: a group is four flag bytes, then four xids. */
export const MULTIXACT_MEMBERS_PER_GROUP = 4;
/** MULTIXACT_MEMBERGROUP_SIZE. */
export const MULTIXACT_MEMBER_GROUP_BYTES: number = 4 + 4 * 4;
/** MULTIXACT_MEMBERGROUPS_PER_PAGE; the page's last 12 bytes are not used. */
export const MULTIXACT_MEMBER_GROUPS_PER_PAGE: number = Math.floor(
  BLOCK_BYTES / MULTIXACT_MEMBER_GROUP_BYTES,
);
/** MULTIXACT_MEMBERS_PER_PAGE. */
export const MULTIXACT_MEMBERS_PER_PAGE: number =
  MULTIXACT_MEMBER_GROUPS_PER_PAGE * MULTIXACT_MEMBERS_PER_GROUP;

/** FirstNormalTransactionId (transam.h). */
export const FIRST_NORMAL_XID = 3;
/** FirstMultiXactId (multixact.h). */
export const FIRST_MULTIXACT = 1;

/** TransactionIdPrecedes (transam.c): modulo 2^32, but permanent ids are older than all others. */
export function xidPrecedes(left: number, right: number): boolean {
  if (left < FIRST_NORMAL_XID || right < FIRST_NORMAL_XID) return left < right;
  return ((left - right) | 0) < 0;
}

/** MultiXactIdPrecedes and MultiXactOffsetPrecedes: plainly modulo 2^32. */
export function multixactPrecedes(left: number, right: number): boolean {
  return ((left - right) | 0) < 0;
}

/**
 * The common form of CLOGPagePrecedes and its kin: the first entry of `left`'s page is older than both the first
 * and the last entry of `right`'s. `shift` moves both off the ids at the beginning that have a meaning of their own.
 */
function pagePrecedes(
  left: number,
  right: number,
  entriesPerPage: number,
  shift: number,
  precedes: (left: number, right: number) => boolean,
): boolean {
  const first = (left * entriesPerPage + shift) >>> 0;
  const other = (right * entriesPerPage + shift) >>> 0;
  return precedes(first, other) && precedes(first, (other + entriesPerPage - 1) >>> 0);
}

/** A "simple LRU": an array of 2^32 small entries in pages and segment files, used round and round (slru.c). */
export interface Slru {
  readonly name: SlruName;
  /** Relative to the data directory. */
  readonly directory: string;
  readonly entriesPerPage: number;
  /** The page of entry 2^32 - 1. */
  readonly lastPage: number;
  /** PagePrecedes: all entries of page `left` are older than all of page `right`. */
  readonly pagePrecedes: (left: number, right: number) => boolean;
}

function makeSlru(
  name: SlruName,
  directory: string,
  entriesPerPage: number,
  shift: number,
  precedes: (left: number, right: number) => boolean,
): Slru {
  return {
    name,
    directory,
    entriesPerPage,
    lastPage: Math.floor(0xffff_ffff / entriesPerPage),
    pagePrecedes: (left, right) => pagePrecedes(left, right, entriesPerPage, shift, precedes),
  };
}

export const SLRUS: Readonly<Record<SlruName, Slru>> = {
  clog: makeSlru('clog', 'pg_xact', CLOG_XACTS_PER_PAGE, FIRST_NORMAL_XID + 1, xidPrecedes),
  'multixact-offsets': makeSlru(
    'multixact-offsets',
    'pg_multixact/offsets',
    MULTIXACT_OFFSETS_PER_PAGE,
    FIRST_MULTIXACT + 1,
    multixactPrecedes,
  ),
  'multixact-members': makeSlru(
    'multixact-members',
    'pg_multixact/members',
    MULTIXACT_MEMBERS_PER_PAGE,
    0,
    multixactPrecedes,
  ),
  'commit-timestamp': makeSlru(
    'commit-timestamp',
    'pg_commit_ts',
    COMMIT_TS_XACTS_PER_PAGE,
    FIRST_NORMAL_XID + 1,
    xidPrecedes,
  ),
};

/** The page that holds an entry: an xid, a multixact id or a member's offset. */
export function slruPageOf(slru: Slru, entry: number): number {
  return Math.floor(entry / slru.entriesPerPage);
}

export function slruSegmentOfPage(page: number): number {
  return Math.floor(page / SLRU_PAGES_PER_SEGMENT);
}

/**
 * SlruMayDeleteSegment: SimpleLruTruncate removes this segment, since its first and its last page precede the
 * cutoff page. (When only one of them does, the cutoff or the point of wrapping around lies within.)
 */
export function isSegmentTruncated(slru: Slru, segment: number, cutoffPage: number): boolean {
  const firstPage = segment * SLRU_PAGES_PER_SEGMENT;
  return (
    slru.pagePrecedes(firstPage, cutoffPage) &&
    slru.pagePrecedes(firstPage + SLRU_PAGES_PER_SEGMENT - 1, cutoffPage)
  );
}

/** Whether a segment lies in [start, end), where the range wraps around if it ends before it begins. */
export function isSegmentInRange(segment: number, start: number, end: number): boolean {
  return start <= end ? segment >= start && segment < end : segment >= start || segment < end;
}

/** SlruFileName with short names, which all four have: at least four upper-case hexadecimal digits. */
export function formatSlruSegmentName(segment: number): string {
  return segment.toString(16).toUpperCase().padStart(4, '0');
}

/** The segment number, or undefined where SlruScanDirectory would pass over the file (4 to 6 digits are names). */
export function parseSlruSegmentName(name: string): number | undefined {
  return /^[0-9A-F]{4,6}$/.test(name) ? Number.parseInt(name, 16) : undefined;
}

/** Path of a segment relative to the data directory. */
export function slruSegmentPath(slru: Slru, segment: number): string {
  return `${slru.directory}/${formatSlruSegmentName(segment)}`;
}

/** Which SLRU and segment a path relative to the data directory names, if any. */
export function parseSlruSegmentPath(path: string): { slru: Slru; segment: number } | undefined {
  const slash = path.lastIndexOf('/');
  const directory = path.slice(0, Math.max(slash, 0));
  const slru = Object.values(SLRUS).find((candidate) => candidate.directory === directory);
  const segment = parseSlruSegmentName(path.slice(slash + 1));
  return slru === undefined || segment === undefined ? undefined : { slru, segment };
}

/** How many pages a segment file of this length has; refuses a length that is not a number of whole pages. */
export function slruSegmentPages(path: string, lengthBytes: number): number {
  const pages = lengthBytes / BLOCK_BYTES;
  if (!Number.isInteger(pages) || pages > SLRU_PAGES_PER_SEGMENT) {
    throw new CorruptionError(
      'BAD_SLRU_SEGMENT',
      `a segment of ${lengthBytes} bytes is no number of pages up to 32`,
      {
        file: path,
      },
    );
  }
  return pages;
}
