import {
  isSegmentInRange,
  isSegmentTruncated,
  SLRU_PAGES_PER_SEGMENT,
  SLRUS,
  type SlruName,
  slruSegmentOfPage,
} from '../../postgres/files/slru.ts';
import { KIND_SLRU_BLOCK, KIND_SLRU_SEGMENT, slruNumber } from '../keyspace/keys.ts';
import { encodeSize, NO_VALUE } from '../keyspace/stored-values.ts';
import type { Stems } from '../layers/stems.ts';
import { VALUE_NEEDS_NO_BASE, VALUE_RECORD } from '../layers/value.ts';
import type { IngestSink } from './ingest-sink.ts';

interface TouchedPage {
  readonly slru: SlruName;
  readonly page: number;
  isZeroed: boolean;
}

/**
 * Which segments each SLRU has and how many pages are in each: all of them, since they are few. And which pages the
 * record under work changes.
 */
export class SlruPages {
  readonly #stems: Stems;
  readonly #segments: Readonly<Record<SlruName, Map<number, number>>> = {
    clog: new Map(),
    'multixact-offsets': new Map(),
    'multixact-members': new Map(),
    'commit-timestamp': new Map(),
  };
  readonly #touched: TouchedPage[] = [];

  constructor(stems: Stems) {
    this.#stems = stems;
  }

  /** A segment that is stored. */
  restore(slru: SlruName, segment: number, pages: number): void {
    this.#segments[slru].set(segment, pages);
  }

  has(slru: SlruName, page: number): boolean {
    const pages = this.#segments[slru].get(slruSegmentOfPage(page)) ?? 0;
    return page % SLRU_PAGES_PER_SEGMENT < pages;
  }

  /** The record changes the page. `isZeroed`: it was zeros before, whatever is stored for it. */
  touch(slru: SlruName, page: number, isZeroed: boolean): void {
    for (const touched of this.#touched) {
      if (touched.page !== page || touched.slru !== slru) continue;
      touched.isZeroed ||= isZeroed;
      return;
    }
    this.#touched.push({ slru, page, isZeroed });
  }

  /** As `touch` and `flush` of one page that is not zeroed. */
  putRecord(slru: SlruName, page: number, sink: IngestSink): void {
    const segment = slruSegmentOfPage(page);
    const index = page % SLRU_PAGES_PER_SEGMENT;
    if (index < (this.#segments[slru].get(segment) ?? 0)) {
      sink.putRecord(this.#blockStem(slru, segment), index, VALUE_RECORD);
      return;
    }
    this.touch(slru, page, false);
    this.flush(sink);
  }

  /** Puts the record under each page that was touched, and makes segments long enough, with zeros in between. */
  flush(sink: IngestSink): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    if (touched.length > 1) {
      touched.sort((left, right) => slruNumber(left.slru) - slruNumber(right.slru) || left.page - right.page);
    }
    let start = 0;
    for (let end = 1; end <= touched.length; end++) {
      if (end < touched.length && isSameSegment(touched[start] as TouchedPage, touched[end] as TouchedPage))
        continue;
      this.#flushSegment(start, end, sink);
      start = end;
    }
    touched.length = 0;
  }

  #flushSegment(start: number, end: number, sink: IngestSink): void {
    const { slru, page: firstPage } = this.#touched[start] as TouchedPage;
    const segment = slruSegmentOfPage(firstPage);
    const stem = this.#blockStem(slru, segment);
    const before = this.#segments[slru].get(segment) ?? 0;
    let pages = before;
    for (let at = start; at < end; at++) {
      const { page, isZeroed } = this.#touched[at] as TouchedPage;
      const index = page % SLRU_PAGES_PER_SEGMENT;
      const isNew = index >= pages;
      if (isNew) {
        for (; pages < index; pages++) sink.putZeroPage(stem, pages);
        pages++;
      }
      sink.putRecord(stem, index, isNew || isZeroed ? VALUE_RECORD | VALUE_NEEDS_NO_BASE : VALUE_RECORD);
    }
    if (pages > before) this.#putSegment(slru, segment, pages, sink);
  }

  /** Makes a page of zeros where there is none, by itself: the record is not put under it. */
  makePage(slru: SlruName, page: number, sink: IngestSink): void {
    if (this.has(slru, page)) return;
    const segment = slruSegmentOfPage(page);
    const stem = this.#blockStem(slru, segment);
    const pages = (page % SLRU_PAGES_PER_SEGMENT) + 1;
    for (let index = this.#segments[slru].get(segment) ?? 0; index < pages; index++)
      sink.putZeroPage(stem, index);
    this.#putSegment(slru, segment, pages, sink);
  }

  /** SimpleLruTruncate, without the check for a wrap-around. */
  truncate(slru: SlruName, cutoffPage: number, sink: IngestSink): void {
    this.#remove(slru, (segment) => isSegmentTruncated(SLRUS[slru], segment, cutoffPage), sink);
  }

  /** PerformMembersTruncation. */
  removeRange(slru: SlruName, startSegment: number, endSegment: number, sink: IngestSink): void {
    this.#remove(slru, (segment) => isSegmentInRange(segment, startSegment, endSegment), sink);
  }

  removeAll(slru: SlruName, sink: IngestSink): void {
    this.#remove(slru, () => true, sink);
  }

  #remove(slru: SlruName, isRemoved: (segment: number) => boolean, sink: IngestSink): void {
    const segments = this.#segments[slru];
    for (const segment of [...segments.keys()].sort((left, right) => left - right)) {
      if (!isRemoved(segment)) continue;
      segments.delete(segment);
      sink.putImage(this.#segmentStem(slru, segment), 0, NO_VALUE);
    }
  }

  #putSegment(slru: SlruName, segment: number, pages: number, sink: IngestSink): void {
    this.#segments[slru].set(segment, pages);
    sink.putImage(this.#segmentStem(slru, segment), 0, encodeSize(pages));
  }

  #blockStem(slru: SlruName, segment: number): number {
    return this.#stems.intern(KIND_SLRU_BLOCK, slruNumber(slru), 1, segment, 0);
  }

  #segmentStem(slru: SlruName, segment: number): number {
    return this.#stems.intern(KIND_SLRU_SEGMENT, slruNumber(slru), 0, segment, 0);
  }
}

function isSameSegment(left: TouchedPage, right: TouchedPage): boolean {
  return left.slru === right.slru && slruSegmentOfPage(left.page) === slruSegmentOfPage(right.page);
}
