import * as layout from '../../postgres/page/btree-page.ts';
import { INDEX_TUPLE_INFO, INDEX_TUPLE_TID, indexTupleSize } from '../../postgres/page/index-tuple.ts';
import {
  ITEM_POINTER_BYTES,
  itemPointerBlock,
  itemPointerOffsetNumber,
} from '../../postgres/page/item-pointer.ts';
import type { Page } from '../../postgres/page/page.ts';
import { describeIndexTuple, describeInnerTuple, describeLeafTuple } from './index-tuple.ts';
import {
  describeItems,
  type FieldValues,
  flagNames,
  type ItemBytes,
  type PageContent,
  tidText,
} from './page-content.ts';

const FLAGS = {
  LEAF: layout.BTREE_LEAF,
  ROOT: layout.BTREE_ROOT,
  DELETED: layout.BTREE_DELETED,
  META: layout.BTREE_META,
  HALF_DEAD: layout.BTREE_HALF_DEAD,
  SPLIT_END: layout.BTREE_SPLIT_END,
  HAS_GARBAGE: layout.BTREE_HAS_GARBAGE,
  INCOMPLETE_SPLIT: layout.BTREE_INCOMPLETE_SPLIT,
  HAS_FULL_XID: layout.BTREE_HAS_FULL_XID,
};
/** BT_PIVOT_HEAP_TID_ATTR (nbtree.h): a pivot tuple ends with a heap TID. */
const PIVOT_HEAP_TID = 0x1000;

export function describeBtreePage(page: Page): PageContent {
  const { view } = page;
  const flags = view.getUint16(layout.BTREE_FLAGS, true);
  const next = view.getUint32(layout.BTREE_NEXT, true);
  const special = {
    previous: view.getUint32(layout.BTREE_PREVIOUS, true),
    next,
    level: view.getUint32(layout.BTREE_LEVEL, true),
    flags: flagNames(flags, FLAGS),
    cycleId: view.getUint16(layout.BTREE_CYCLE_ID, true),
  };
  if ((flags & layout.BTREE_META) !== 0) return { special, contents: describeMeta(view) };
  if ((flags & layout.BTREE_DELETED) !== 0) {
    const hasFullXid = (flags & layout.BTREE_HAS_FULL_XID) !== 0;
    return {
      special,
      contents: hasFullXid ? { safeXid: view.getBigUint64(layout.BTREE_SAFE_XID, true) } : {},
    };
  }
  const isLeaf = (flags & layout.BTREE_LEAF) !== 0;
  const hasHighKey = next !== layout.BTREE_NO_BLOCK;
  return {
    special,
    items: describeItems(page, (item, line) => ({
      ...(hasHighKey && line === layout.BTREE_HIGH_KEY_LINE ? { isHighKey: true } : {}),
      ...describeTuple(item, isLeaf),
    })),
  };
}

function describeTuple(item: ItemBytes, isLeaf: boolean): FieldValues {
  const { view } = item;
  const isAlternative = (view.getUint16(INDEX_TUPLE_INFO, true) & layout.BTREE_ALTERNATIVE_TID) !== 0;
  if (!isAlternative) return isLeaf ? describeLeafTuple(item) : describeInnerTuple(item);
  const block = itemPointerBlock(view, INDEX_TUPLE_TID);
  const offsetNumber = itemPointerOffsetNumber(view, INDEX_TUPLE_TID);
  const count = offsetNumber & layout.BTREE_OFFSET_MASK;
  if ((offsetNumber & layout.BTREE_IS_POSTING) !== 0) {
    const tids = Array.from({ length: count }, (_, index) =>
      tidText(view, block + index * ITEM_POINTER_BYTES),
    );
    return { tids, ...describeIndexTuple(item) };
  }
  const hasTid = (offsetNumber & PIVOT_HEAP_TID) !== 0;
  return {
    child: isLeaf ? undefined : block,
    attributes: count,
    heapTid: hasTid ? tidText(view, indexTupleSize(view, 0) - ITEM_POINTER_BYTES) : undefined,
    ...describeIndexTuple(item),
  };
}

function describeMeta(view: DataView): FieldValues {
  return {
    magic: view.getUint32(layout.BTREE_META_MAGIC, true),
    version: view.getUint32(layout.BTREE_META_VERSION, true),
    root: view.getUint32(layout.BTREE_META_ROOT, true),
    level: view.getUint32(layout.BTREE_META_LEVEL, true),
    fastRoot: view.getUint32(layout.BTREE_META_FAST_ROOT, true),
    fastLevel: view.getUint32(layout.BTREE_META_FAST_LEVEL, true),
    lastCleanupDeletedPages: view.getUint32(layout.BTREE_META_LAST_CLEANUP_DELETED_PAGES, true),
    allEqualImage: view.getUint8(layout.BTREE_META_ALL_EQUAL_IMAGE) !== 0,
  };
}
