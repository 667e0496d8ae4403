/** Replay of changed segments on a leaf of a GIN posting tree (access/gin/ginxlog.c, ginRedoRecompress). */
import { copyBytes } from '../base/bytes.ts';
import {
  GIN_COMPRESSED,
  GIN_DATA_CONTENTS,
  GIN_DATA_CONTENTS_BYTES_MAX,
  GIN_FLAGS,
  GIN_MAXOFF,
  GIN_OPAQUE,
} from '../postgres/page/gin-page.ts';
import { ITEM_POINTER_BYTES } from '../postgres/page/item-pointer.ts';
import { PAGE_LOWER, type Page } from '../postgres/page/page.ts';
import {
  GIN_RECOMPRESS_BYTES,
  GIN_SEGMENT_ADDITEMS,
  GIN_SEGMENT_DELETE,
  GIN_SEGMENT_HEADER_BYTES,
  GIN_SEGMENT_INSERT,
  GIN_SEGMENT_REPLACE,
  GIN_SEGMENT_TYPE,
} from '../postgres/rmgr/gin-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import {
  checkedSegmentSize,
  decodePostingList,
  encodePostingList,
  mergeItems,
  PAGE_ITEMS_MAX,
  readItemPointers,
} from './gin-posting-list.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** A count of item pointers is a half-word, and the data of a block has fewer than 64 KiB. */
const ADDED_ITEMS_MAX: number = Math.floor(0xffff / ITEM_POINTER_BYTES);

/** Scratch space: redo runs to its end without a pause, so one set serves all pages of a thread. */
const oldBytes = new Uint8Array(BLOCK_BYTES);
const oldView = new DataView(oldBytes.buffer);
const oldItems = new Float64Array(PAGE_ITEMS_MAX);
const addedItems = new Float64Array(ADDED_ITEMS_MAX);
const mergedItems = new Float64Array(PAGE_ITEMS_MAX + ADDED_ITEMS_MAX);

/**
 * The page while its segments are rewritten. Old ones are read from `oldBytes`, at their old offsets, up to `oldEnd`:
 * from the first changed segment on, what stands on the page may already be new.
 */
let oldPosition = 0;
let oldEnd = 0;
/** Number of the old segment at `oldPosition`. */
let segment = 0;
/** Where the next segment goes on the page. */
let writePosition = 0;

/**
 * Applies the actions in block 0's data to the leaf, whose flags and special space the caller has checked.
 *
 * A record without any action is refused: none is ever written, and PostgreSQL would empty the page.
 */
export function recompressDataLeaf(page: Page, record: DecodedRecord): void {
  const { view } = record;
  let position = record.blockDataOffset[0] as number;
  const end = position + (record.blockDataLength[0] as number);
  requireRedo(end - position >= GIN_RECOMPRESS_BYTES, 'the number of actions is cut off');
  const count = view.getUint16(position, true);
  requireRedo(count > 0, 'the record has no action for any segment');
  position += GIN_RECOMPRESS_BYTES;
  if ((page.view.getUint16(GIN_FLAGS, true) & GIN_COMPRESSED) === 0) compressOldFormat(page);
  oldPosition = GIN_DATA_CONTENTS;
  oldEnd = page.view.getUint16(PAGE_LOWER, true);
  requireRedo(
    oldEnd >= GIN_DATA_CONTENTS && oldEnd <= GIN_OPAQUE,
    `a leaf's segments cannot end at ${oldEnd}`,
  );
  segment = 0;
  writePosition = GIN_DATA_CONTENTS;
  for (let index = 0; index < count; index++) {
    requireRedo(end - position >= GIN_SEGMENT_HEADER_BYTES, 'an action is cut off');
    const target = view.getUint8(position);
    const action = view.getUint8(position + GIN_SEGMENT_TYPE);
    if (index === 0) keepSegmentsInPlace(page, target);
    else copySegments(page, target);
    position = applyAction(page, record, action, position + GIN_SEGMENT_HEADER_BYTES, end);
  }
  requireRedo(position === end, 'the record has bytes after its last action');
  appendSegment(page, oldBytes, oldView, oldPosition, oldEnd - oldPosition);
  page.view.setUint16(PAGE_LOWER, writePosition, true);
}

/** Leaves the segments before `target` alone, and saves those from there on. */
function keepSegmentsInPlace(page: Page, target: number): void {
  for (; segment < target; segment++) oldPosition += checkedSegmentSize(page.view, oldPosition, oldEnd);
  oldBytes.set(page.bytes.subarray(oldPosition, oldEnd), oldPosition);
  writePosition = oldPosition;
}

/** Puts the unchanged segments before `target` in their new places. */
function copySegments(page: Page, target: number): void {
  requireRedo(target >= segment, 'actions are out of order');
  for (; segment < target; segment++) {
    const size = checkedSegmentSize(oldView, oldPosition, oldEnd);
    appendSegment(page, oldBytes, oldView, oldPosition, size);
    oldPosition += size;
  }
}

function appendSegment(page: Page, source: Uint8Array, view: DataView, position: number, size: number): void {
  if (size > GIN_OPAQUE - writePosition) failRedo(`no room on the page for ${size} bytes of posting lists`);
  copyBytes(page.bytes, page.view, writePosition, source, view, position, size);
  writePosition += size;
}

/** Applies one action to the old segment at oldPosition; `start` is after its header. Returns where the action ends. */
function applyAction(page: Page, record: DecodedRecord, action: number, start: number, end: number): number {
  if (action === GIN_SEGMENT_INSERT) {
    const size = checkedSegmentSize(record.view, start, end);
    appendSegment(page, record.bytes, record.view, start, size);
    return start + size;
  }
  requireRedo(oldPosition < oldEnd, `the leaf has no segment ${segment} to be changed`);
  const oldSize = checkedSegmentSize(oldView, oldPosition, oldEnd);
  let actionEnd = start;
  switch (action) {
    case GIN_SEGMENT_DELETE:
      break;
    case GIN_SEGMENT_REPLACE: {
      const size = checkedSegmentSize(record.view, start, end);
      appendSegment(page, record.bytes, record.view, start, size);
      actionEnd = start + size;
      break;
    }
    case GIN_SEGMENT_ADDITEMS:
      actionEnd = addItems(page, record, start, end);
      break;
    default:
      failRedo(`a leaf of a posting tree knows no action ${action}`);
  }
  oldPosition += oldSize;
  segment++;
  return actionEnd;
}

/** Writes the old segment with the record's items merged into it. Returns where those end in the record. */
function addItems(page: Page, record: DecodedRecord, start: number, end: number): number {
  requireRedo(end - start >= 2, 'the number of added items is cut off');
  const count = record.view.getUint16(start, true);
  const itemsEnd = start + 2 + count * ITEM_POINTER_BYTES;
  requireRedo(itemsEnd <= end, 'the added items are cut off');
  readItemPointers(record.view, start + 2, count, addedItems);
  const oldCount = decodePostingList(oldView, oldPosition, oldItems);
  const mergedCount = mergeItems(addedItems, count, oldItems, oldCount, mergedItems);
  writePosition += encodePostingList(page, writePosition, mergedItems, mergedCount);
  return itemsEnd;
}

/**
 * A leaf that was last written before 9.4 and came along with pg_upgrade has an array of item pointers, as many as
 * its maxoff says. They become one segment.
 */
function compressOldFormat(page: Page): void {
  const { view } = page;
  const count = view.getUint16(GIN_MAXOFF, true);
  if (count * ITEM_POINTER_BYTES > GIN_DATA_CONTENTS_BYTES_MAX)
    failRedo(`a leaf cannot have ${count} plain items`);
  let size = 0;
  if (count > 0) {
    readItemPointers(view, GIN_DATA_CONTENTS, count, oldItems);
    size = encodePostingList(page, GIN_DATA_CONTENTS, oldItems, count);
  }
  view.setUint16(PAGE_LOWER, GIN_DATA_CONTENTS + size, true);
  view.setUint16(GIN_FLAGS, view.getUint16(GIN_FLAGS, true) | GIN_COMPRESSED, true);
  view.setUint16(GIN_MAXOFF, 0, true);
}
