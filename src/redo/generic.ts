/** Replay of generic records (access/transam/generic_xlog.c). */
import { copyBytes } from '../base/bytes.ts';
import { UnknownRecordError } from '../base/errors.ts';
import { PAGE_LOWER, PAGE_UPPER, type Page } from '../postgres/page/page.ts';
import {
  GENERIC_FRAGMENT_HEADER_BYTES,
  GENERIC_FRAGMENT_LENGTH,
  GENERIC_FRAGMENT_OFFSET,
  GENERIC_PAGES_MAX,
  genericResourceManager,
  XLOG_GENERIC,
} from '../postgres/rmgr/generic.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES, RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import { requireMainData } from './index-tuples.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/**
 * generic_redo: puts the fragments of the page's delta in their places (none at all is possible), then zeros between
 * pd_lower and pd_upper as the page now has them, since a delta says nothing on what is there. A page that was
 * restored from an image stays as it is.
 */
export function redoGeneric(page: Page, record: DecodedRecord, blockId: number): boolean {
  if ((record.info & ~RECORD_INFO_MASK) !== XLOG_GENERIC) {
    throw new UnknownRecordError(genericResourceManager.name, record.info, record.startLsn);
  }
  requireMainData(record, 0);
  if (blockId >= GENERIC_PAGES_MAX) failRedo('a generic record has no such block reference');
  requireRedo(!record.willInitialize(blockId), 'the record initialises a page that its kind only changes');
  applyDelta(page, record, blockId);
  const lower = page.view.getUint16(PAGE_LOWER, true);
  const upper = page.view.getUint16(PAGE_UPPER, true);
  if (lower > upper || upper > BLOCK_BYTES)
    failRedo(`corrupted page pointers: lower ${lower}, upper ${upper}`);
  page.bytes.fill(0, lower, upper);
  return true;
}

/** applyPageRedo. */
function applyDelta(page: Page, record: DecodedRecord, blockId: number): void {
  const { view } = record;
  let position = record.blockDataOffset[blockId] as number;
  const end = position + (record.blockDataLength[blockId] as number);
  while (position < end) {
    requireRedo(end - position >= GENERIC_FRAGMENT_HEADER_BYTES, 'the header of a fragment is cut off');
    const offset = view.getUint16(position + GENERIC_FRAGMENT_OFFSET, true);
    const length = view.getUint16(position + GENERIC_FRAGMENT_LENGTH, true);
    position += GENERIC_FRAGMENT_HEADER_BYTES;
    if (length > end - position) failRedo(`a fragment claims ${length} of ${end - position} bytes`);
    if (offset + length > BLOCK_BYTES) failRedo(`a fragment of ${length} bytes at ${offset} leaves the page`);
    copyBytes(page.bytes, page.view, offset, record.bytes, view, position, length);
    position += length;
  }
}
