import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CorruptionError } from '../../base/errors.ts';
import {
  formatSlruSegmentName,
  isSegmentInRange,
  isSegmentTruncated,
  multixactPrecedes,
  parseSlruSegmentName,
  parseSlruSegmentPath,
  SLRU_PAGES_PER_SEGMENT,
  SLRUS,
  type SlruName,
  slruPageOf,
  slruSegmentOfPage,
  slruSegmentPages,
  slruSegmentPath,
  xidPrecedes,
} from './slru.ts';

const { clog } = SLRUS;
const members = SLRUS['multixact-members'];
const offsets = SLRUS['multixact-offsets'];
const timestamps = SLRUS['commit-timestamp'];
const NAMES = Object.keys(SLRUS) as SlruName[];

describe('precedes', () => {
  test('transaction ids: permanent ones are the oldest, others go round', () => {
    expect(xidPrecedes(2, 3)).toBe(true);
    expect(xidPrecedes(0xffff_ffff, 2)).toBe(false);
    expect(xidPrecedes(0xffff_fff0, 3)).toBe(true);
    expect(xidPrecedes(3, 0xffff_fff0)).toBe(false);
    expect(xidPrecedes(100, 100)).toBe(false);
    expect(xidPrecedes(100, 100 + 0x7fff_ffff)).toBe(true);
    // Exactly half of the space apart: each precedes the other.
    expect(xidPrecedes(100, 100 + 2 ** 31)).toBe(true);
    expect(xidPrecedes(100 + 2 ** 31, 100)).toBe(true);
  });

  test('multixacts: no id is special', () => {
    expect(multixactPrecedes(0xffff_ffff, 1)).toBe(true);
    expect(multixactPrecedes(0, 0xffff_ffff)).toBe(false);
  });
});

describe('pages and segments', () => {
  test.each([
    [clog, 32_768, 131_071],
    [offsets, 2048, 2_097_151],
    [members, 1636, 2_625_285],
    [timestamps, 819, 5_244_160],
  ])('$name', (slru, entriesPerPage, lastPage) => {
    expect(slru.entriesPerPage).toBe(entriesPerPage);
    expect(slru.lastPage).toBe(lastPage);
    expect(slruPageOf(slru, 0xffff_ffff)).toBe(lastPage);
    expect(slruPageOf(slru, entriesPerPage - 1)).toBe(0);
    expect(slruPageOf(slru, entriesPerPage)).toBe(1);
  });

  test('names have four digits, more where the number needs them', () => {
    expect(formatSlruSegmentName(0)).toBe('0000');
    expect(formatSlruSegmentName(0xabc)).toBe('0ABC');
    expect(formatSlruSegmentName(slruSegmentOfPage(members.lastPage))).toBe('14078');
    expect(formatSlruSegmentName(slruSegmentOfPage(timestamps.lastPage))).toBe('28028');
    expect(slruSegmentPath(offsets, 17)).toBe('pg_multixact/offsets/0011');
    expect(parseSlruSegmentPath('pg_multixact/offsets/0011')).toEqual({ slru: offsets, segment: 17 });
    for (const name of ['', '000', '00a0', '0000000', '0000.tmp', '-001', '0 11']) {
      expect(parseSlruSegmentName(name), name).toBeUndefined();
    }
    for (const path of ['0000', 'pg_xact', 'pg_xact/', 'pg_xact/x/0000', 'pg_subtrans/0000', '/0000']) {
      expect(parseSlruSegmentPath(path), path).toBeUndefined();
    }
  });

  test('names round-trip', () => {
    fc.assert(
      fc.property(fc.constantFrom(...NAMES), fc.integer({ min: 0, max: 0xff_ffff }), (name, segment) => {
        const slru = SLRUS[name];
        expect(parseSlruSegmentPath(slruSegmentPath(slru, segment))).toEqual({ slru, segment });
      }),
    );
  });

  test('a segment file has whole pages', () => {
    expect(slruSegmentPages('x', 8192)).toBe(1);
    expect(slruSegmentPages('x', 32 * 8192)).toBe(32);
    expect(() => slruSegmentPages('x', 8191)).toThrow(CorruptionError);
    expect(() => slruSegmentPages('x', 33 * 8192)).toThrow(CorruptionError);
  });
});

describe('truncation', () => {
  test('segments wholly before the cutoff page go', () => {
    expect(isSegmentTruncated(clog, 0, 32)).toBe(true);
    expect(isSegmentTruncated(clog, 0, 31)).toBe(false);
    expect(isSegmentTruncated(clog, 1, 32)).toBe(false);
    expect(isSegmentTruncated(clog, 5, 200)).toBe(true);
    expect(isSegmentTruncated(clog, 6, 200)).toBe(false);
  });

  test('after wrapping around, the segments of the last epoch go and those ahead stay', () => {
    const lastSegment = slruSegmentOfPage(clog.lastPage);
    expect(isSegmentTruncated(clog, lastSegment, 5)).toBe(true);
    expect(isSegmentTruncated(clog, 0, 5)).toBe(false);
    expect(isSegmentTruncated(clog, 1, 5)).toBe(false);
    // Half of the space ahead of the cutoff is the future.
    const half = Math.floor((lastSegment + 1) / 2);
    expect(isSegmentTruncated(clog, half - 1, 5)).toBe(false);
    expect(isSegmentTruncated(clog, half + 1, 5)).toBe(true);
  });

  // slru.c, SlruPagePrecedesTestOffset: the safety rules that a PagePrecedes function has to keep.
  test.each([clog, offsets, timestamps])(
    '$name: the page of the newest entry is never taken away',
    (slru) => {
      const perPage = slru.entriesPerPage;
      for (const offset of [0, Math.floor(perPage / 2), perPage - 1]) {
        const left = perPage + offset;
        const right = left + 2 ** 31;
        const page = (entry: number): number => slruPageOf(slru, entry >>> 0);
        expect(slru.pagePrecedes(page(left), page(left))).toBe(false);
        expect(slru.pagePrecedes(page(left), page(right))).toBe(false);
        expect(slru.pagePrecedes(page(right), page(left))).toBe(false);
        expect(slru.pagePrecedes(page(left - perPage), page(right))).toBe(false);
        expect(slru.pagePrecedes(page(left + 2 * perPage), page(right))).toBe(true);
        expect(slru.pagePrecedes(page(right), page(left + perPage))).toBe(false);
        for (const newestPage of [2 * SLRU_PAGES_PER_SEGMENT - 1, SLRU_PAGES_PER_SEGMENT]) {
          const oldest = newestPage * perPage + offset + 1 - 2 ** 31;
          expect(isSegmentTruncated(slru, slruSegmentOfPage(newestPage), page(oldest))).toBe(false);
        }
      }
    },
  );

  test('a range of segments may wrap around', () => {
    expect([0, 1, 2, 3].filter((segment) => isSegmentInRange(segment, 1, 3))).toEqual([1, 2]);
    expect([0, 1, 2, 3].filter((segment) => isSegmentInRange(segment, 3, 1))).toEqual([0, 3]);
    expect([0, 1, 2, 3].filter((segment) => isSegmentInRange(segment, 2, 2))).toEqual([]);
  });
});
