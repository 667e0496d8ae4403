/** SP-GiST tuples made by hand, and short descriptions of those on a page. */
import { itemPointerBlock, itemPointerOffsetNumber } from '../../src/postgres/page/item-pointer.ts';
import { Page } from '../../src/postgres/page/page.ts';
import {
  initializeSpgistPage,
  SPGIST_DEAD_POINTER,
  SPGIST_DEAD_XID,
  SPGIST_LEAF_INFO,
  SPGIST_NEXT_OFFSET_MASK,
  SPGIST_PLACEHOLDER_COUNT,
  SPGIST_REDIRECTION_COUNT,
} from '../../src/postgres/page/spgist-page.ts';
import { appendItem, itemsOf } from './index-pages.ts';
import { ByteWriter } from './record-builder.ts';

/** A live leaf tuple of `size` bytes that ends with `label` repeated. */
export function leafTuple(label: number, next = 0, size = 24): Uint8Array {
  const writer = new ByteWriter()
    .u32(size << 2)
    .u16(next)
    .u16s(0, 7, label);
  while (writer.length < size) writer.u8(label);
  return writer.finish();
}

/** A dead tuple: 1 a redirection, 2 dead, 3 a placeholder. */
export function deadTuple(state: number, block = 0xffff_ffff, offsetNumber = 0, xid = 0): Uint8Array {
  return new ByteWriter()
    .u32((16 << 2) | state)
    .u16(0)
    .itemPointer(block, offsetNumber)
    .u32(xid)
    .finish();
}

/** A live inner tuple with a prefix of `prefixBytes` and a node of each given size, all without a downlink. */
export function innerTuple(nodeSizes: readonly number[], prefixBytes = 0): Uint8Array {
  const nodes = new ByteWriter();
  for (const size of nodeSizes) {
    nodes.u16s(0xffff, 0xffff, 0, size).zeros(size - 8);
  }
  const size = Math.max(16, 8 + prefixBytes + nodes.length);
  return new ByteWriter()
    .u32((nodeSizes.length << 3) | (prefixBytes << 16))
    .u16s(size, 0)
    .bytes(new Uint8Array(prefixBytes).fill(0x70))
    .bytes(nodes.finish())
    .zeros(size - 8 - prefixBytes - nodes.length)
    .finish();
}

/** An SP-GiST page with these tuples and counters that fit them. */
export function spgistPage(flags: number, tuples: readonly Uint8Array[]): Page {
  const page = new Page();
  initializeSpgistPage(page, flags);
  let redirections = 0;
  let placeholders = 0;
  for (const tuple of tuples) {
    appendItem(page, tuple);
    if ((tuple[0] & 3) === 1) redirections++;
    if ((tuple[0] & 3) === 3) placeholders++;
  }
  page.view.setUint16(SPGIST_REDIRECTION_COUNT, redirections, true);
  page.view.setUint16(SPGIST_PLACEHOLDER_COUNT, placeholders, true);
  return page;
}

/** Each tuple of a leaf page as text: `leaf 65 next 2`, `redirect 9.3 xid 77`, `dead`, `placeholder`. */
export function describeLeafPage(page: Page): string[] {
  return itemsOf(page).map((item) => {
    const view = new DataView(item.buffer);
    const pointer = `${itemPointerBlock(view, SPGIST_DEAD_POINTER)}.${itemPointerOffsetNumber(view, SPGIST_DEAD_POINTER)}`;
    const xid = view.getUint32(SPGIST_DEAD_XID, true);
    const next = view.getUint16(SPGIST_LEAF_INFO, true) & SPGIST_NEXT_OFFSET_MASK;
    switch (item[0] & 3) {
      case 0:
        return `leaf ${item[item.length - 1]} next ${next}`;
      case 1:
        return `redirect ${pointer} xid ${xid}`;
      case 2:
        return `dead ${pointer} xid ${xid}`;
      default:
        return `placeholder ${pointer} xid ${xid}`;
    }
  });
}

/** Numbers of redirections and placeholders that the page's special space claims. */
export function deadCounts(page: Page): { redirections: number; placeholders: number } {
  return {
    redirections: page.view.getUint16(SPGIST_REDIRECTION_COUNT, true),
    placeholders: page.view.getUint16(SPGIST_PLACEHOLDER_COUNT, true),
  };
}

/** The downlink of a node as `block.offset`, given where the node begins in the tuple. */
export function nodeLink(tuple: Uint8Array, nodeOffset: number): string {
  const view = new DataView(tuple.buffer);
  return `${itemPointerBlock(view, nodeOffset)}.${itemPointerOffsetNumber(view, nodeOffset)}`;
}
