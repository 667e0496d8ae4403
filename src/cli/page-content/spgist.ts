import {
  INDEX_TUPLE_HEADER_BYTES,
  INDEX_TUPLE_TID,
  indexTupleSize,
} from '../../postgres/page/index-tuple.ts';
import { maxAlign, PAGE_HEADER_BYTES, type Page } from '../../postgres/page/page.ts';
import * as layout from '../../postgres/page/spgist-page.ts';
import { describeIndexTuple } from './index-tuple.ts';
import {
  describeItems,
  type FieldValues,
  flagNames,
  type ItemBytes,
  type PageContent,
  tidText,
} from './page-content.ts';

const FLAGS = {
  META: layout.SPGIST_META,
  DELETED: layout.SPGIST_DELETED,
  LEAF: layout.SPGIST_LEAF,
  NULLS: layout.SPGIST_NULLS,
};
const STATES = ['live', 'redirect', 'dead', 'placeholder'] as const;

/** SpGistMetaPageData (spgist_private.h): a magic number and SPGIST_CACHED_PAGES pairs of block and free space. */
const META: number = maxAlign(PAGE_HEADER_BYTES);
const CACHED_PAGES = 8;

export function describeSpgistPage(page: Page): PageContent {
  const { view } = page;
  const flags = view.getUint16(layout.SPGIST_FLAGS, true);
  const special = {
    flags: flagNames(flags, FLAGS),
    redirections: view.getUint16(layout.SPGIST_REDIRECTION_COUNT, true),
    placeholders: view.getUint16(layout.SPGIST_PLACEHOLDER_COUNT, true),
  };
  if ((flags & layout.SPGIST_META) !== 0) return { special, contents: describeMeta(view) };
  const isLeaf = (flags & layout.SPGIST_LEAF) !== 0;
  return { special, items: describeItems(page, (item) => describeTuple(item, isLeaf)) };
}

function describeMeta(view: DataView): FieldValues {
  const lastUsedPages = Array.from({ length: CACHED_PAGES }, (_, index) => ({
    block: view.getUint32(META + 4 + index * 8, true),
    freeSpace: view.getInt32(META + 8 + index * 8, true),
  }));
  return { magic: view.getUint32(META, true), lastUsedPages };
}

function describeTuple(item: ItemBytes, isLeaf: boolean): FieldValues {
  const { bytes, view } = item;
  const first = view.getUint32(0, true);
  const stateNumber = first & layout.SPGIST_TUPLE_STATE_MASK;
  const tupleState = STATES[stateNumber];
  if (stateNumber !== layout.SPGIST_LIVE) {
    return {
      tupleState,
      size: layout.spgistLeafTupleSize(view, 0),
      pointer: tidText(view, layout.SPGIST_DEAD_POINTER),
      xid: view.getUint32(layout.SPGIST_DEAD_XID, true),
    };
  }
  if (isLeaf) {
    return {
      tupleState,
      size: layout.spgistLeafTupleSize(view, 0),
      tid: tidText(view, layout.SPGIST_LEAF_HEAP_POINTER),
      nextOffset: view.getUint16(layout.SPGIST_LEAF_INFO, true) & layout.SPGIST_NEXT_OFFSET_MASK,
      key: bytes.subarray(layout.SPGIST_LEAF_HEADER_BYTES),
    };
  }
  const prefixSize = layout.spgistInnerPrefixSize(view, 0);
  const prefixEnd = layout.SPGIST_INNER_HEADER_BYTES + prefixSize;
  return {
    tupleState,
    size: layout.spgistInnerTupleSize(view, 0),
    allTheSame: (first & 4) !== 0,
    prefix: bytes.subarray(layout.SPGIST_INNER_HEADER_BYTES, prefixEnd),
    nodes: describeNodes(item, prefixEnd, layout.spgistInnerNodeCount(view, 0)),
  };
}

/** The nodes of an inner tuple: index tuples whose t_tid is the tuple below. Reading ends where the item does. */
function describeNodes(item: ItemBytes, start: number, count: number): FieldValues[] {
  const nodes: FieldValues[] = [];
  let position = start;
  for (let index = 0; index < count; index++) {
    const { key } = describeIndexTuple(item, position);
    nodes.push({ child: tidText(item.view, position + INDEX_TUPLE_TID), label: key });
    position += Math.max(indexTupleSize(item.view, position), INDEX_TUPLE_HEADER_BYTES);
  }
  return nodes;
}
