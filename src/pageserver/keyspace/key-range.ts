import { compareKeys, formatKey, KEY_MAX, KEY_MIN, type Key } from './key.ts';

/** The keys from `start` on, up to, not including, `end`. */
export interface KeyRange {
  readonly start: Key;
  readonly end: Key;
}

export const ALL_KEYS: KeyRange = { start: KEY_MIN, end: KEY_MAX };

export function isInRange(range: KeyRange, key: Key): boolean {
  return compareKeys(range.start, key) <= 0 && compareKeys(key, range.end) < 0;
}

export function rangesOverlap(left: KeyRange, right: KeyRange): boolean {
  return compareKeys(left.start, right.end) < 0 && compareKeys(right.start, left.end) < 0;
}

export function equalRanges(left: KeyRange, right: KeyRange): boolean {
  return compareKeys(left.start, right.start) === 0 && compareKeys(left.end, right.end) === 0;
}

export function formatKeyRange(range: KeyRange): string {
  return `${formatKey(range.start)}-${formatKey(range.end)}`;
}
