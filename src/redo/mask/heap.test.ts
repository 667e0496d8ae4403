import { expect, test } from 'vitest';
import { HEAP_BLOCK, heapPage, linesOf, sampleData, tupleOf } from '../../../test/support/heap-pages.ts';
import { refuses } from '../../../test/support/hostile-records.ts';
import { disturbHeader } from '../../../test/support/masked-pages.ts';
import {
  HEAP_HASNULL,
  HEAP_UPDATED,
  HEAP_XMAX_COMMITTED,
  HEAP_XMAX_INVALID,
  HEAP_XMAX_IS_MULTI,
  HEAP_XMIN_COMMITTED,
  HEAP_XMIN_FROZEN,
} from '../../postgres/page/heap-tuple.ts';
import { LINE_DEAD, linePointerOffset, makeLinePointer, Page } from '../../postgres/page/page.ts';
import { maskLpFlags, maskPageContent } from './common.ts';
import { maskHeap } from './heap.ts';

const samplePage = () =>
  heapPage(
    { data: sampleData(9), infomask: HEAP_HASNULL | HEAP_XMIN_COMMITTED | HEAP_XMAX_INVALID, cid: 7 },
    {
      data: sampleData(8),
      infomask: HEAP_UPDATED | HEAP_XMIN_FROZEN | HEAP_XMAX_COMMITTED | HEAP_XMAX_IS_MULTI,
    },
  );

const masked = (page: Page) => {
  maskHeap(page, HEAP_BLOCK);
  return page.bytes;
};

test('what PostgreSQL changes without WAL makes no difference', () => {
  const page = disturbHeader(samplePage());
  page.bytes.fill(5, 32, 8000);
  // The seven bytes after the first tuple's 33, its command id, and its ctid as a speculative token.
  page.bytes.fill(6, 8192 - 7, 8192);
  page.view.setUint32(8192 - 40 + 8, 77, true);
  page.view.setUint16(8192 - 40 + 12, 0x55, true);
  page.view.setUint16(8192 - 40 + 16, 0xfffe, true);
  const other = samplePage();
  other.view.setUint16(8192 - 40 + 20, HEAP_HASNULL, true);
  expect(masked(page)).toEqual(masked(other));
});

test('masks of a tuple keep what WAL decides', () => {
  const page = samplePage();
  maskHeap(page, HEAP_BLOCK);
  expect(tupleOf(page, 1)).toMatchObject({ infomask: HEAP_HASNULL, cid: 0, data: sampleData(9), xmin: 700 });
  expect(tupleOf(page, 2).infomask).toBe(HEAP_UPDATED | HEAP_XMIN_FROZEN | HEAP_XMAX_IS_MULTI);
});

test('each byte of a tuple beside the masked ones makes a difference', () => {
  const tuple = 8192 - 40;
  for (const offset of [0, 4, 12, 14, 16, 18, 20, 22, 24, 32]) {
    const page = samplePage();
    page.bytes[tuple + offset] = (page.bytes[tuple + offset] as number) ^ 1;
    expect(masked(page), `${offset}`).not.toEqual(masked(samplePage()));
  }
});

test('a dead line that still has storage keeps it, but for the padding', () => {
  const page = samplePage();
  page.view.setUint32(linePointerOffset(1), makeLinePointer(8192 - 40, LINE_DEAD, 33), true);
  const other = new Page(page.bytes.slice());
  other.bytes[8191] = 1;
  expect(masked(other)).toEqual(masked(page));
  other.bytes[8192 - 8] = 1;
  expect(other.bytes).not.toEqual(page.bytes);
});

test('refuses pages whose items lie elsewhere', () => {
  for (const pointer of [
    makeLinePointer(8190, 1, 30),
    makeLinePointer(8, 1, 30),
    makeLinePointer(8000, 1, 22),
  ]) {
    const page = samplePage();
    page.view.setUint32(linePointerOffset(1), pointer, true);
    expect(refuses(() => maskHeap(page, 0))).toBe(true);
  }
  expect(
    refuses(() => maskHeap(new Page(), 0)),
    'a new page',
  ).toBe(true);
});

test('flags of line pointers, and whole contents, for indexes', () => {
  const page = samplePage();
  page.view.setUint32(linePointerOffset(2), makeLinePointer(1, LINE_DEAD, 0), true);
  maskLpFlags(page);
  expect(linesOf(page)).toEqual([
    [0, 8192 - 40, 33],
    [0, 1, 0],
  ]);
  maskPageContent(page);
  const header = samplePage().bytes.slice(0, 24);
  header.fill(0, 12, 16);
  expect(page.bytes.slice(0, 24)).toEqual(header);
  expect(page.bytes.subarray(24).every((byte) => byte === 0)).toBe(true);
});
