/** Index pages and tuples made by hand, for tests of redo. */

import {
  BTREE_FLAGS,
  BTREE_LEVEL,
  BTREE_NEXT,
  BTREE_PREVIOUS,
  initializeBtreePage,
} from '../../src/postgres/page/btree-page.ts';
import { initializeHashPage } from '../../src/postgres/page/hash-page.ts';
import {
  lineCount,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  Page,
} from '../../src/postgres/page/page.ts';
import { addIndexItem } from '../../src/redo/page-items.ts';
import { ByteWriter } from './record-builder.ts';

export interface Tid {
  readonly block: number;
  readonly offsetNumber: number;
}

export const tid = (block: number, offsetNumber: number): Tid => ({ block, offsetNumber });

function writeTid(writer: ByteWriter, value: Tid): ByteWriter {
  return writer
    .u16(value.block >>> 16)
    .u16(value.block)
    .u16(value.offsetNumber);
}

/** An index tuple with an eight-byte key: 16 bytes. */
export function makeTuple(key: number, heapTid: Tid, flags = 0): Uint8Array {
  return writeTid(new ByteWriter(), heapTid)
    .u16(16 | flags)
    .u32(key)
    .zeros(4)
    .finish();
}

/** A btree leaf tuple with an eight-byte key and a list of heap TIDs. */
export function makePosting(key: number, tids: readonly Tid[]): Uint8Array {
  const size = (16 + tids.length * 6 + 7) & ~7;
  const writer = writeTid(new ByteWriter(), tid(16, tids.length | 0x2000))
    .u16(size | 0x2000)
    .u32(key)
    .zeros(4);
  for (const value of tids) writeTid(writer, value);
  return writer.align(8).finish();
}

function addItems(page: Page, items: readonly Uint8Array[]): Page {
  for (const [index, item] of items.entries()) {
    addIndexItem(
      page,
      index + 1,
      item,
      new DataView(item.buffer, item.byteOffset, item.length),
      0,
      item.length,
    );
  }
  return page;
}

export interface BtreePageParts {
  readonly previous?: number;
  readonly next?: number;
  readonly level?: number;
  readonly flags?: number;
  readonly items?: readonly Uint8Array[];
}

export function makeBtreePage(parts: BtreePageParts = {}): Page {
  const page = new Page();
  initializeBtreePage(page);
  page.view.setUint32(BTREE_PREVIOUS, parts.previous ?? 0, true);
  page.view.setUint32(BTREE_NEXT, parts.next ?? 0, true);
  page.view.setUint32(BTREE_LEVEL, parts.level ?? 0, true);
  page.view.setUint16(BTREE_FLAGS, parts.flags ?? 1, true);
  return addItems(page, parts.items ?? []);
}

export interface HashPageParts {
  readonly previous?: number;
  readonly next?: number;
  readonly bucket?: number;
  readonly flag?: number;
  readonly items?: readonly Uint8Array[];
}

export function makeHashPage(parts: HashPageParts = {}): Page {
  const page = new Page();
  initializeHashPage(
    page,
    parts.previous ?? 1,
    parts.next ?? 0xffff_ffff,
    parts.bucket ?? 0,
    parts.flag ?? 2,
  );
  return addItems(page, parts.items ?? []);
}

/** The items of a page in the order of their lines. */
export function itemsOf(page: Page): Uint8Array[] {
  return Array.from({ length: lineCount(page) }, (_, index) => {
    const pointer = page.view.getUint32(linePointerOffset(index + 1), true);
    const offset = lineItemOffset(pointer);
    return page.bytes.slice(offset, offset + lineItemLength(pointer));
  });
}

/** Where the items of a page lie, in the order of their lines. */
export function itemOffsetsOf(page: Page): number[] {
  return Array.from({ length: lineCount(page) }, (_, index) =>
    lineItemOffset(page.view.getUint32(linePointerOffset(index + 1), true)),
  );
}
