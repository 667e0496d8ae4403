import * as layout from '../../postgres/page/hash-page.ts';
import { INDEX_TUPLE_HEADER_BYTES, INDEX_TUPLE_TID } from '../../postgres/page/index-tuple.ts';
import { PAGE_LOWER, type Page } from '../../postgres/page/page.ts';
import { describeItems, type FieldValues, flagNames, type PageContent, tidText } from './page-content.ts';

const FLAGS = {
  OVERFLOW_PAGE: layout.HASH_OVERFLOW_PAGE,
  BUCKET_PAGE: layout.HASH_BUCKET_PAGE,
  BITMAP_PAGE: layout.HASH_BITMAP_PAGE,
  META_PAGE: layout.HASH_META_PAGE,
  BUCKET_BEING_POPULATED: layout.HASH_BUCKET_BEING_POPULATED,
  BUCKET_BEING_SPLIT: layout.HASH_BUCKET_BEING_SPLIT,
  BUCKET_NEEDS_SPLIT_CLEANUP: layout.HASH_BUCKET_NEEDS_SPLIT_CLEANUP,
  PAGE_HAS_DEAD_TUPLES: layout.HASH_PAGE_HAS_DEAD_TUPLES,
};

export function describeHashPage(page: Page): PageContent {
  const { view } = page;
  const flags = view.getUint16(layout.HASH_FLAG, true);
  const special = {
    previousBlock: view.getUint32(layout.HASH_PREVIOUS_BLOCK, true),
    nextBlock: view.getUint32(layout.HASH_NEXT_BLOCK, true),
    bucket: view.getUint32(layout.HASH_BUCKET, true),
    flags: flagNames(flags, FLAGS),
  };
  if ((flags & layout.HASH_META_PAGE) !== 0) return { special, contents: describeMeta(view) };
  if ((flags & layout.HASH_BITMAP_PAGE) !== 0) return { special, contents: describeBitmap(page) };
  return {
    special,
    items: describeItems(page, ({ view: item }) => ({
      tid: tidText(item, INDEX_TUPLE_TID),
      hash: item.getUint32(INDEX_TUPLE_HEADER_BYTES, true),
    })),
  };
}

function describeMeta(view: DataView): FieldValues {
  const overflowPoint = view.getUint32(layout.HASH_META_OVERFLOW_POINT, true);
  const bitmaps = view.getUint32(layout.HASH_META_BITMAPS, true);
  const readArray = (offset: number, count: number, max: number): number[] =>
    Array.from({ length: Math.min(count, max) }, (_, index) => view.getUint32(offset + index * 4, true));
  return {
    magic: view.getUint32(layout.HASH_META_MAGIC, true),
    version: view.getUint32(layout.HASH_META_VERSION, true),
    tuples: view.getFloat64(layout.HASH_META_TUPLES, true),
    fillFactor: view.getUint16(layout.HASH_META_FILL_FACTOR, true),
    bitmapBytes: view.getUint16(layout.HASH_META_BITMAP_BYTES, true),
    maxBucket: view.getUint32(layout.HASH_META_MAX_BUCKET, true),
    highMask: view.getUint32(layout.HASH_META_HIGH_MASK, true),
    lowMask: view.getUint32(layout.HASH_META_LOW_MASK, true),
    overflowPoint,
    firstFree: view.getUint32(layout.HASH_META_FIRST_FREE, true),
    procedure: view.getUint32(layout.HASH_META_PROCEDURE, true),
    spares: readArray(layout.HASH_META_SPARES, overflowPoint + 1, layout.HASH_SPLITPOINTS_MAX),
    bitmapBlocks: readArray(layout.HASH_META_BITMAP_BLOCKS, bitmaps, layout.HASH_BITMAPS_MAX),
  };
}

function describeBitmap(page: Page): FieldValues {
  const end = Math.min(page.view.getUint16(PAGE_LOWER, true), layout.HASH_OPAQUE);
  const used: number[] = [];
  for (let bit = 0; bit < (end - layout.HASH_BITMAP) * 8; bit++) {
    if (((page.bytes[layout.HASH_BITMAP + (bit >>> 3)] as number) & (1 << (bit & 7))) !== 0) used.push(bit);
  }
  return {
    usedBits: used.length,
    bits: Math.max(0, (end - layout.HASH_BITMAP) * 8),
    firstUsedBits: used.slice(0, 64),
  };
}
