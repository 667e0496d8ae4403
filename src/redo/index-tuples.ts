/** Index tuples of btree and hash indexes, on a page and in a record, each checked before it is used. */
import { INDEX_TUPLE_HEADER_BYTES, indexTupleSize } from '../postgres/page/index-tuple.ts';
import {
  lineItemLength,
  lineItemOffset,
  maxAlign,
  PAGE_HEADER_BYTES,
  PAGE_SPECIAL,
  type Page,
} from '../postgres/page/page.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { addIndexItem, getLinePointer } from './page-items.ts';
import { failRedo } from './redo-failure.ts';

/** Refuses a page whose special space does not begin at `opaque`: it is of no such index. */
export function requireSpecialSpace(page: Page, opaque: number): void {
  if (page.view.getUint16(PAGE_SPECIAL, true) !== opaque)
    failRedo('the page has no special space of its index type');
}

/** Refuses a record that does not initialise a page which its kind makes anew (XLogInitBufferForRedo). */
export function requireInitialized(record: DecodedRecord, blockId: number): void {
  if (!record.willInitialize(blockId)) failRedo('the record does not say that it makes the page anew');
}

/** Refuses main data of another length. */
export function requireMainData(record: DecodedRecord, length: number): void {
  if (record.mainDataLength !== length)
    failRedo(`the main data have ${record.mainDataLength} bytes, not ${length}`);
}

/** Refuses data of a block reference of another length. */
export function requireBlockData(record: DecodedRecord, blockId: number, length: number): void {
  if (record.blockDataLength[blockId] !== length) {
    failRedo(`the block data have ${record.blockDataLength[blockId]} bytes, not ${length}`);
  }
}

/**
 * Offset on the page of the index tuple of a line. The line may be marked dead, since such a mark leaves the tuple
 * where it is. The tuple's own size has been checked against the line's length, and that against the page.
 */
export function getIndexTupleOffset(page: Page, offsetNumber: number): number {
  const pointer = getLinePointer(page, offsetNumber);
  const offset = lineItemOffset(pointer);
  const length = lineItemLength(pointer);
  if (length < INDEX_TUPLE_HEADER_BYTES || offset < PAGE_HEADER_BYTES || offset + length > BLOCK_BYTES) {
    failRedo(`line ${offsetNumber} holds no index tuple`);
  }
  const size = indexTupleSize(page.view, offset);
  if (size < INDEX_TUPLE_HEADER_BYTES || size > length) {
    failRedo(`the index tuple of line ${offsetNumber} claims ${size} bytes of ${length}`);
  }
  return offset;
}

/** Aligned size of the index tuple that begins at `offset` of a record, which must fit into `available` bytes. */
export function recordTupleBytes(view: DataView, offset: number, available: number): number {
  if (available < INDEX_TUPLE_HEADER_BYTES) failRedo('the record ends within an index tuple');
  const size = indexTupleSize(view, offset);
  if (size < INDEX_TUPLE_HEADER_BYTES || maxAlign(size) > available) {
    failRedo(`an index tuple of the record claims ${size} of ${available} bytes`);
  }
  return maxAlign(size);
}

/**
 * PageAddItem of the tuple that is all of a block reference's data; its own size must be that of the data.
 */
export function addRecordTuple(
  page: Page,
  record: DecodedRecord,
  blockId: number,
  offsetNumber: number,
): void {
  const offset = record.blockDataOffset[blockId] as number;
  const length = record.blockDataLength[blockId] as number;
  if (length < INDEX_TUPLE_HEADER_BYTES || indexTupleSize(record.view, offset) !== length) {
    failRedo(`the record's ${length} bytes are not one index tuple`);
  }
  addIndexItem(page, offsetNumber, record.bytes, record.view, offset, length);
}
