import { CorruptionError } from '../../base/errors.ts';
import {
  FIRST_NORMAL_XID,
  SLRU_PAGES_PER_SEGMENT,
  SLRUS,
  type SlruName,
  slruPageOf,
  slruSegmentOfPage,
  slruSegmentPath,
} from '../../postgres/files/slru.ts';
import type { CheckpointCounters } from '../../redo/effects/checkpoint-counters.ts';
import { SLRU_NAMES } from '../keyspace/keys.ts';

const TWO_POW_32 = 0x1_0000_0000;

export interface StoredSegment {
  readonly slru: SlruName;
  readonly segment: number;
  readonly pages: number;
}

/** A segment file, and which of its pages a server needs before it accepts connections. */
export interface SlruSegment extends StoredSegment {
  /** Those behind are zeros that nobody has written yet. */
  readonly storedPages: number;
  /** Counted from the segment's beginning, in order. The others may be filled in when they are first read. */
  readonly pagesAtOnce: readonly number[];
}

/**
 * What of each segment must be there at once: the pages that a start reads and trims (TrimCLOG in clog.c, TrimMultiXact
 * and SetOffsetVacuumLimit in multixact.c), those in which the next entries go, and where it looks for what is prepared.
 *
 * @param segments all that are stored
 * @param prepared full ids of prepared transactions
 * @throws CorruptionError where a page that a server has by now does not exist
 */
export function planSlrus(
  segments: readonly StoredSegment[],
  counters: CheckpointCounters,
  prepared: readonly number[],
): SlruSegment[] {
  const wanted = new Map<string, Set<number>>();
  const stored = new Map(segments.map(({ slru, segment, pages }) => [`${slru}/${segment}`, pages]));
  const pagesOf = new Map(stored);
  const want = (slru: SlruName, entry: number): boolean => {
    const page = slruPageOf(SLRUS[slru], entry);
    const segment = slruSegmentOfPage(page);
    const index = page % SLRU_PAGES_PER_SEGMENT;
    const name = `${slru}/${segment}`;
    if (index >= (pagesOf.get(name) ?? 0)) return false;
    const pages = wanted.get(name) ?? new Set();
    wanted.set(name, pages.add(index));
    return true;
  };
  const mustHave = (slru: SlruName, entry: number): void => {
    if (want(slru, entry)) return;
    const file = slruSegmentPath(SLRUS[slru], slruSegmentOfPage(slruPageOf(SLRUS[slru], entry)));
    throw new CorruptionError('SLRU_PAGE_MISSING', `the page of ${slru} for ${entry} does not exist`, {
      file,
    });
  };
  const nextXid = counters.nextXid % TWO_POW_32;
  if (nextXid === FIRST_NORMAL_XID) makeFirstPage(pagesOf);
  if (nextXid % SLRUS.clog.entriesPerPage !== 0) mustHave('clog', nextXid);
  for (const xid of prepared) want('clog', xid % TWO_POW_32);
  const { nextMulti, nextMultiOffset, oldestMulti } = counters;
  if (nextMulti % SLRUS['multixact-offsets'].entriesPerPage !== 0) mustHave('multixact-offsets', nextMulti);
  if (oldestMulti !== nextMulti) want('multixact-offsets', oldestMulti);
  if (nextMultiOffset % SLRUS['multixact-members'].entriesPerPage !== 0) {
    mustHave('multixact-members', nextMultiOffset);
  }
  if (counters.settings.trackCommitTimestamp) want('commit-timestamp', nextXid);
  return [...pagesOf]
    .map(([name, pages]) => {
      const [slru, segment] = name.split('/') as [SlruName, string];
      const pagesAtOnce = [...(wanted.get(name) ?? [])].sort((left, right) => left - right);
      return { slru, segment: Number(segment), pages, storedPages: stored.get(name) ?? 0, pagesAtOnce };
    })
    .sort(bySlruAndSegment);
}

/** Right after transaction ids have begun anew there is no page for them yet, but the server trims it. */
function makeFirstPage(pagesOf: Map<string, number>): void {
  const name = 'clog/0';
  pagesOf.set(name, Math.max(1, pagesOf.get(name) ?? 0));
}

const bySlruAndSegment = (left: StoredSegment, right: StoredSegment): number =>
  SLRU_NAMES.indexOf(left.slru) - SLRU_NAMES.indexOf(right.slru) || left.segment - right.segment;
