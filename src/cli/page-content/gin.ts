import * as layout from '../../postgres/page/gin-page.ts';
import { INDEX_TUPLE_TID } from '../../postgres/page/index-tuple.ts';
import {
  ITEM_POINTER_BYTES,
  itemPointerBlock,
  itemPointerOffsetNumber,
} from '../../postgres/page/item-pointer.ts';
import { PAGE_LOWER, type Page } from '../../postgres/page/page.ts';
import { describeIndexTuple, describeInnerTuple, describeLeafTuple } from './index-tuple.ts';
import {
  describeItems,
  type FieldValues,
  flagNames,
  type ItemBytes,
  orProblem,
  type PageContent,
  tidText,
} from './page-content.ts';

const FLAGS = {
  DATA: layout.GIN_DATA,
  LEAF: layout.GIN_LEAF,
  DELETED: layout.GIN_DELETED,
  META: layout.GIN_META,
  LIST: layout.GIN_LIST,
  LIST_FULLROW: layout.GIN_LIST_FULLROW,
  INCOMPLETE_SPLIT: layout.GIN_INCOMPLETE_SPLIT,
  COMPRESSED: layout.GIN_COMPRESSED,
};
/** GIN_TREE_POSTING, GIN_ITUP_COMPRESSED (ginblock.h), in the t_tid of an entry's tuple. */
const TREE_POSTING = 0xffff;
const ITEM_COMPRESSED = 0x8000_0000;
/** MaxHeapTuplesPerPageBits: a posting list counts items as block * 2048 + offset number. */
const OFFSET_NUMBERS = 2048;

export function describeGinPage(page: Page): PageContent {
  const { view } = page;
  const flags = view.getUint16(layout.GIN_FLAGS, true);
  const maxoff = view.getUint16(layout.GIN_MAXOFF, true);
  const special = {
    rightLink: view.getUint32(layout.GIN_RIGHT_LINK, true),
    maxoff,
    flags: flagNames(flags, FLAGS),
  };
  const has = (bit: number): boolean => (flags & bit) !== 0;
  if (has(layout.GIN_META)) return { special, contents: describeMeta(view) };
  if (has(layout.GIN_DATA)) {
    const contents = orProblem(() =>
      has(layout.GIN_LEAF) ? describeDataLeaf(page) : describeDataInner(view, maxoff),
    );
    return typeof contents === 'string' ? { special, problem: contents } : { special, contents };
  }
  if (has(layout.GIN_LIST)) return { special, items: describeItems(page, describeLeafTuple) };
  return { special, items: describeItems(page, has(layout.GIN_LEAF) ? describeEntry : describeInnerTuple) };
}

function describeMeta(view: DataView): FieldValues {
  const u32 = (offset: number): number => view.getUint32(layout.GIN_META_DATA + offset, true);
  const i64 = (offset: number): bigint => view.getBigInt64(layout.GIN_META_DATA + offset, true);
  return {
    head: u32(layout.GIN_META_HEAD),
    tail: u32(layout.GIN_META_TAIL),
    tailFreeBytes: u32(layout.GIN_META_TAIL_FREE_SIZE),
    pendingPages: u32(layout.GIN_META_PENDING_PAGES),
    pendingHeapTuples: i64(layout.GIN_META_PENDING_HEAP_TUPLES),
    totalPages: u32(layout.GIN_META_TOTAL_PAGES),
    entryPages: u32(layout.GIN_META_ENTRY_PAGES),
    dataPages: u32(layout.GIN_META_DATA_PAGES),
    entries: i64(layout.GIN_META_ENTRIES),
    version: u32(layout.GIN_META_VERSION),
  };
}

/** A leaf of a posting tree: segments of items, from the right bound up to pd_lower. */
function describeDataLeaf(page: Page): FieldValues {
  const { view } = page;
  const end = Math.min(view.getUint16(PAGE_LOWER, true), layout.GIN_OPAQUE);
  const segments: string[][] = [];
  let position = layout.GIN_DATA_CONTENTS;
  while (position < end) {
    segments.push(readPostingList(view, position, end));
    position += layout.postingListSize(view.getUint16(position + layout.POSTING_LIST_NBYTES, true));
  }
  return {
    rightBound: tidText(view, layout.GIN_DATA_RIGHT_BOUND),
    tids: segments.reduce((sum, segment) => sum + segment.length, 0),
    segments,
  };
}

function describeDataInner(view: DataView, maxoff: number): FieldValues {
  const children = Array.from({ length: maxoff }, (_, index) => {
    const item = layout.GIN_DATA_CONTENTS + index * layout.POSTING_ITEM_BYTES;
    return {
      child: itemPointerBlock(view, item + layout.POSTING_ITEM_CHILD_BLOCK),
      key: tidText(view, item + layout.POSTING_ITEM_KEY),
    };
  });
  return { rightBound: tidText(view, layout.GIN_DATA_RIGHT_BOUND), children };
}

/** An entry of the leaf level: a key with its items, or with the root of the tree that holds them. */
function describeEntry(item: ItemBytes): FieldValues {
  const { view } = item;
  const block = itemPointerBlock(view, INDEX_TUPLE_TID);
  const count = itemPointerOffsetNumber(view, INDEX_TUPLE_TID);
  if (count === TREE_POSTING) return { postingTree: block, ...describeIndexTuple(item) };
  const offset = (block & ~ITEM_COMPRESSED) >>> 0;
  const tids =
    (block & ITEM_COMPRESSED) !== 0
      ? readPostingList(view, offset, view.byteLength)
      : Array.from({ length: count }, (_, index) => tidText(view, offset + index * ITEM_POINTER_BYTES));
  return { tids: count === 0 ? [] : tids, ...describeIndexTuple(item) };
}

/** ginpostinglist.c: the first item, then differences in groups of seven bits, the lowest group first. */
function readPostingList(view: DataView, position: number, end: number): string[] {
  const start = position + layout.POSTING_LIST_BYTES;
  const listEnd = start + view.getUint16(position + layout.POSTING_LIST_NBYTES, true);
  if (listEnd > end) throw new RangeError('a posting list is cut off');
  let item = itemPointerBlock(view, position) * OFFSET_NUMBERS + itemPointerOffsetNumber(view, position);
  const tids = [tidText(view, position)];
  let difference = 0;
  let weight = 1;
  for (let at = start; at < listEnd; at++) {
    const byte = view.getUint8(at);
    difference += (byte & 0x7f) * weight;
    weight *= 128;
    // Six bytes hold 42 bits; all bits of a seventh count.
    if ((byte & 0x80) !== 0 && weight < 2 ** 49) continue;
    item += difference;
    tids.push(`(${Math.floor(item / OFFSET_NUMBERS)},${item % OFFSET_NUMBERS})`);
    difference = 0;
    weight = 1;
  }
  return tids;
}
