/** GIN pages and posting lists made by hand, by the plainest means, to compare replay with. */
import {
  GIN_DATA_CONTENTS,
  GIN_FLAGS,
  GIN_MAXOFF,
  initializeGinPage,
} from '../../src/postgres/page/gin-page.ts';
import { PAGE_LOWER, Page } from '../../src/postgres/page/page.ts';
import { ByteWriter, joinBytes } from './record-builder.ts';

/** Block and offset number of a heap tuple. */
export type HeapTid = readonly [number, number];

export function tidBytes([block, offsetNumber]: HeapTid): Uint8Array {
  return new ByteWriter().itemPointer(block, offsetNumber).finish();
}

export function tidsBytes(tids: readonly HeapTid[]): Uint8Array {
  return joinBytes(...tids.map(tidBytes));
}

const toNumber = ([block, offsetNumber]: HeapTid): bigint => (BigInt(block) << 11n) | BigInt(offsetNumber);

/** A segment of a posting list with these items, which ascend. */
export function postingList(tids: readonly HeapTid[]): Uint8Array {
  const varbytes: number[] = [];
  for (let index = 1; index < tids.length; index++) {
    let difference = toNumber(tids[index] as HeapTid) - toNumber(tids[index - 1] as HeapTid);
    for (; difference > 0x7fn; difference >>= 7n) varbytes.push(Number(difference & 0x7fn) | 0x80);
    varbytes.push(Number(difference));
  }
  return new ByteWriter()
    .bytes(tidBytes(tids[0] as HeapTid))
    .u16(varbytes.length)
    .bytes(varbytes)
    .align(2)
    .finish();
}

/** A page with this content where the data of posting tree pages begin. */
export function ginDataPage(flags: number, contents: Uint8Array, maxoff = 0): Page {
  const page = new Page();
  initializeGinPage(page, flags);
  page.bytes.set(contents, GIN_DATA_CONTENTS);
  page.view.setUint16(PAGE_LOWER, GIN_DATA_CONTENTS + contents.length, true);
  page.view.setUint16(GIN_MAXOFF, maxoff, true);
  return page;
}

/** What stands between the beginning of a posting tree page's data and pd_lower. */
export function ginDataOf(page: Page): Uint8Array {
  return page.bytes.slice(GIN_DATA_CONTENTS, page.view.getUint16(PAGE_LOWER, true));
}

export const ginFlagsOf = (page: Page): number => page.view.getUint16(GIN_FLAGS, true);
