/** Btree and hash pages and their tuples made by hand. */
import {
  BTREE_FLAGS,
  BTREE_LEVEL,
  BTREE_NEXT,
  BTREE_PREVIOUS,
  initializeBtreePage,
} from '../../src/postgres/page/btree-page.ts';
import { initializeHashPage } from '../../src/postgres/page/hash-page.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { appendItem } from './index-pages.ts';
import { ByteWriter } from './record-builder.ts';

export interface Tid {
  readonly block: number;
  readonly offsetNumber: number;
}

export const tid = (block: number, offsetNumber: number): Tid => ({ block, offsetNumber });

/** An index tuple with an eight-byte key: 16 bytes. */
export function makeTuple(key: number, heapTid: Tid, flags = 0): Uint8Array {
  return new ByteWriter()
    .itemPointer(heapTid.block, heapTid.offsetNumber)
    .u16(16 | flags)
    .u32(key)
    .zeros(4)
    .finish();
}

/** A btree leaf tuple with an eight-byte key and a list of heap TIDs. */
export function makePosting(key: number, tids: readonly Tid[]): Uint8Array {
  const size = (16 + tids.length * 6 + 7) & ~7;
  const writer = new ByteWriter()
    .itemPointer(16, tids.length | 0x2000)
    .u16(size | 0x2000)
    .u32(key)
    .zeros(4);
  for (const { block, offsetNumber } of tids) writer.itemPointer(block, offsetNumber);
  return writer.align(8).finish();
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
  for (const item of parts.items ?? []) appendItem(page, item);
  return page;
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
  for (const item of parts.items ?? []) appendItem(page, item);
  return page;
}
