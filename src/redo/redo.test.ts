import { describe, expect, test } from 'vitest';
import { HEAP_BLOCK, heapPage, tupleOf } from '../../test/support/heap-pages.ts';
import { ByteWriter, buildRecord, type RecordBlock } from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import { getPageLsn, isNewPage, Page, setPageLsn } from '../postgres/page/page.ts';
import { getVisibility, VISIBILITYMAP_ALL_VISIBLE } from '../postgres/page/visibility-map.ts';
import { HEAP_BLKREF_VM, XLOG_HEAP_CONFIRM } from '../postgres/rmgr/heap-layout.ts';
import { XLOG_HEAP2_VISIBLE } from '../postgres/rmgr/heap2.ts';
import { RM_HEAP, RM_HEAP2, RM_SEQUENCE, RM_XACT, RM_XLOG } from '../postgres/rmgr/resource-manager.ts';
import { XLOG_FPI, XLOG_FPI_FOR_HINT } from '../postgres/rmgr/xlog.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { REDO_APPLIED, REDO_RESTORED, REDO_SKIPPED, RedoError, redo } from './redo.ts';

const settings = { hintBitsAreLogged: true };
const TOKEN = 0xfffe;

/** A speculative insertion on line 1, whose ctid CONFIRM sets right. */
function speculativePage(lsn: number): Page {
  const page = heapPage({ data: [1, 2, 3] });
  page.view.setUint16(8192 - 32 + 16, TOKEN, true);
  setLsn(page, lsn);
  return page;
}

function setLsn(page: Page, lsn: number): void {
  setPageLsn(page, Math.floor(lsn / 2 ** 32), lsn >>> 0);
}

/** Its LSNs do not fit 32 bits, so that both halves count. */
function confirm(block: RecordBlock = {}): DecodedRecord {
  return buildRecord({
    resourceManager: RM_HEAP,
    info: XLOG_HEAP_CONFIRM,
    mainData: new ByteWriter().u16(1).finish(),
    blocks: [{ blockNumber: HEAP_BLOCK, ...block }],
    startLsn: 3 * 2 ** 32 + 0x100,
  });
}

const { endLsn } = confirm();

describe('a page that the record changes', () => {
  test.each([0, 8, 2 ** 32, endLsn - 8])('is changed and stamped if its LSN is %d', (lsn) => {
    const page = speculativePage(lsn);
    expect(redo(page, confirm(), 0, settings)).toBe(REDO_APPLIED);
    expect(tupleOf(page, 1).ctid).toEqual([HEAP_BLOCK, 1]);
    expect(getPageLsn(page)).toBe(endLsn);
    expect(redo(page, confirm(), 0, settings), 'once more').toBe(REDO_SKIPPED);
  });

  test.each([endLsn, endLsn + 8, 2 ** 33 * 3])('is left alone if its LSN is %d', (lsn) => {
    const page = speculativePage(lsn);
    expect(redo(page, confirm(), 0, settings)).toBe(REDO_SKIPPED);
    expect(page.bytes).toEqual(speculativePage(lsn).bytes);
  });

  test('must have been written before', () => {
    expect(() => redo(new Page(), confirm(), 0, settings)).toThrow(RedoError);
    expect(() => redo(new Page(), confirm(), 0, settings)).toThrow(/never been written/);
  });

  test('is refused with the place of what does not fit', () => {
    const page = heapPage();
    expect(() => redo(page, confirm(), 0, settings)).toThrow(
      /no line 1.*LSN 3\/100.*resource manager 10.*info 0x50.*fork 0 block 131079/,
    );
    expect(() => redo(page, confirm(), 1, settings)).toThrow(/no such block reference/);
  });
});

describe('a page that the record makes anew', () => {
  const log = buildRecord({
    resourceManager: RM_SEQUENCE,
    info: 0,
    mainData: new ByteWriter().zeros(12).zeros(24).u8(24).finish(),
    blocks: [{ willInitialize: true }],
  });

  test.each([
    ['a new one', new Page()],
    ['one with a later LSN', speculativePage(2 ** 40)],
  ])('may be %s before', (_, page) => {
    expect(redo(page, log, 0, settings)).toBe(REDO_APPLIED);
    expect(getPageLsn(page)).toBe(log.endLsn);
  });
});

describe('an image', () => {
  test.each([0, endLsn, 2 ** 40])('is restored and stamped whatever the page says (LSN %d)', (lsn) => {
    const page = speculativePage(lsn);
    const image = heapPage({ data: [4, 4] });
    const record = confirm({ image: image.bytes });
    expect(redo(page, record, 0, settings)).toBe(REDO_RESTORED);
    setLsn(image, record.endLsn);
    expect(page.bytes).toEqual(image.bytes);
  });

  test('of a page that is still new stays as it is, without an LSN', () => {
    const record = buildRecord({
      resourceManager: RM_XLOG,
      info: XLOG_FPI,
      blocks: [{ image: new Uint8Array(8192) }],
    });
    const page = speculativePage(8);
    expect(redo(page, record, 0, settings)).toBe(REDO_RESTORED);
    expect(isNewPage(page)).toBe(true);
    expect(page.bytes).toEqual(new Uint8Array(8192));
  });

  test('that only serves to check replay is not taken, nor does it change what is skipped', () => {
    const record = confirm({ image: heapPage({ data: [4, 4] }).bytes, applyImage: false });
    const page = speculativePage(8);
    expect(redo(page, record, 0, settings)).toBe(REDO_APPLIED);
    expect(tupleOf(page, 1)).toMatchObject({ ctid: [HEAP_BLOCK, 1], data: [1, 2, 3] });
    expect(getPageLsn(page)).toBe(record.endLsn);
    expect(redo(page, record, 0, settings)).toBe(REDO_SKIPPED);
  });
});

describe('a page without an image that need not have been written before', () => {
  /** xl_heap_visible: snapshotConflictHorizon 4, flags 1. */
  const visible = buildRecord({
    resourceManager: RM_HEAP2,
    info: XLOG_HEAP2_VISIBLE,
    mainData: new ByteWriter().u32(5).u8(VISIBILITYMAP_ALL_VISIBLE).finish(),
    blocks: [{ fork: 2 }, { blockNumber: 7 }],
  });

  test('is the visibility map of VISIBLE, but not the heap', () => {
    const map = new Page();
    expect(redo(map, visible, 0, settings)).toBe(REDO_APPLIED);
    expect(getVisibility(map, 7)).toBe(VISIBILITYMAP_ALL_VISIBLE);
    expect(getPageLsn(map)).toBe(visible.endLsn);
    expect(() => redo(new Page(), visible, 1, settings)).toThrow(/never been written/);
  });

  test('is not that of a record which clears bits', () => {
    const record = buildRecord({
      resourceManager: RM_HEAP,
      info: 0,
      mainData: new ByteWriter().u16(1).u8(1).finish(),
      blocks: [{}, { id: HEAP_BLKREF_VM, fork: 2 }],
    });
    expect(() => redo(new Page(), record, HEAP_BLKREF_VM, settings)).toThrow(/never been written/);
  });

  test('is one that was only hinted at, and stays as it is', () => {
    const record = buildRecord({ resourceManager: RM_XLOG, info: XLOG_FPI_FOR_HINT, blocks: [{}] });
    for (const page of [new Page(), speculativePage(8)]) {
      const before = page.bytes.slice();
      expect(redo(page, record, 0, settings)).toBe(REDO_APPLIED);
      expect(page.bytes).toEqual(before);
    }
    const image = buildRecord({ resourceManager: RM_XLOG, info: XLOG_FPI, blocks: [{}] });
    expect(() => redo(speculativePage(8), image, 0, settings)).toThrow(RedoError);
  });
});

test('a resource manager that changes no pages has no block references', () => {
  const record = buildRecord({ resourceManager: RM_XACT, info: 0, blocks: [{}] });
  expect(() => redo(speculativePage(8), record, 0, settings)).toThrow(UnknownRecordError);
});
