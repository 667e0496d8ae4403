import { expect, test } from 'vitest';
import { isSegmentTruncated, SLRUS } from '../../postgres/files/slru.ts';
import { newestSlruPage } from './newest-slru-page.ts';

const LAST_PAGE = 2 ** 32 / 2048 - 1;

test('the newest page is where the next id will be, however many times ids have wrapped around', () => {
  const counters = { nextXid: 5 * 2 ** 32 + 2 * 32768 + 7, nextMulti: 3 * 2048 };
  expect(newestSlruPage('clog', counters)).toBe(2);
  expect(newestSlruPage('multixact-offsets', counters)).toBe(3);
  expect(newestSlruPage('commit-timestamp', counters)).toBeUndefined();
  const last = { nextXid: 2 ** 32 - 1, nextMulti: 2 ** 32 - 1 };
  expect(newestSlruPage('clog', last)).toBe(2 ** 32 / 32768 - 1);
  expect(newestSlruPage('multixact-offsets', last)).toBe(LAST_PAGE);
});

test('right after multixacts have wrapped around the last segment goes, though its page has the highest number', () => {
  const slru = SLRUS['multixact-offsets'];
  const cutoffPage = 0;
  const newest = newestSlruPage('multixact-offsets', { nextXid: 1000, nextMulti: 861 }) as number;
  expect(slru.pagePrecedes(newest, cutoffPage), 'no wrap-around in sight').toBe(false);
  expect(slru.pagePrecedes(LAST_PAGE, cutoffPage), 'as the highest page would have it').toBe(true);
  expect(isSegmentTruncated(slru, Math.floor(LAST_PAGE / 32), cutoffPage)).toBe(true);
});
