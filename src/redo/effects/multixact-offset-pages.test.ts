import { describe, expect, test } from 'vitest';
import type { MultixactOffsetsEffect } from './effect.ts';
import { MultixactOffsetPages } from './multixact-offset-pages.ts';

const own = (page: number): MultixactOffsetsEffect => ({
  kind: 'multixact-offsets',
  page,
  multixacts: [],
  offsets: [],
  previousPage: undefined,
});
const next = (page: number): MultixactOffsetsEffect => ({ ...own(page), previousPage: page - 1 });
const never = (): boolean => {
  throw new Error('not to be asked');
};

describe('which pages of multixact offsets replay makes', () => {
  test('WAL of a current server: the page is zeroed, then written to', () => {
    const pages = new MultixactOffsetPages();
    expect(pages.zeroPage(8)).toBe(true);
    expect(pages.zeroPage(9)).toBe(true);
    expect(pages.nextPage(own(8), never)).toBe(false);
    expect(pages.nextPage(next(9), never)).toBe(false);
    expect(pages.nextPage(own(9), never)).toBe(false);
  });

  test('WAL of an older server: the page is made early, and the zeroing that follows is passed over', () => {
    const pages = new MultixactOffsetPages();
    expect(pages.zeroPage(8)).toBe(true);
    expect(pages.nextPage(own(8), never)).toBe(false);
    expect(pages.nextPage(next(9), never)).toBe(true);
    expect(pages.zeroPage(9)).toBe(false);
    // Only once.
    expect(pages.zeroPage(9)).toBe(true);
  });

  test('before any zeroing has been seen, what exists decides', () => {
    const pages = new MultixactOffsetPages();
    expect(pages.nextPage(own(8), never)).toBe(false);
    expect(pages.nextPage(next(9), (page) => page === 9)).toBe(false);
    expect(pages.nextPage(own(9), never)).toBe(false);
    expect(pages.nextPage(next(10), (page) => page === 9)).toBe(true);
    expect(pages.zeroPage(10)).toBe(false);
  });

  test('another multixact ends the waiting for the zeroing', () => {
    const pages = new MultixactOffsetPages();
    expect(pages.zeroPage(8)).toBe(true);
    expect(pages.nextPage(next(9), never)).toBe(true);
    expect(pages.nextPage(own(9), never)).toBe(false);
    expect(pages.zeroPage(9)).toBe(true);
  });
});
