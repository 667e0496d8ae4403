/** Replay of the resource manager Sequence (commands/sequence.c, seq_redo). */
import { copyBytes } from '../base/bytes.ts';
import { UnknownRecordError } from '../base/errors.ts';
import { initializePage, PAGE_SPECIAL } from '../postgres/page/page.ts';
import {
  SEQUENCE_MAGIC,
  SEQUENCE_MAGIC_BYTES,
  SEQUENCE_RECORD_TUPLE,
  XLOG_SEQ_LOG,
} from '../postgres/rmgr/sequence.ts';
import { reserveItem } from './page-items.ts';
import { failRedo } from './redo-failure.ts';
import type { RedoFunction } from './redo-types.ts';

/** The page is always made anew: it holds nothing but the sequence's tuple, which is the record's main data. */
export const redoSequence: RedoFunction = (page, record, blockId) => {
  if ((record.info & 0xf0) !== XLOG_SEQ_LOG)
    throw new UnknownRecordError('Sequence', record.info, record.startLsn);
  if (blockId !== 0) failRedo(`a sequence's record has no block reference ${blockId}`);
  if (!record.willInitialize(blockId)) failRedo('a sequence page must be made anew');
  if (record.mainDataLength < SEQUENCE_RECORD_TUPLE) failRedo('the sequence record is cut off');
  const length = record.mainDataLength - SEQUENCE_RECORD_TUPLE;
  initializePage(page, SEQUENCE_MAGIC_BYTES);
  page.view.setUint32(page.view.getUint16(PAGE_SPECIAL, true), SEQUENCE_MAGIC, true);
  const target = reserveItem(page, 1, length, false, false);
  const source = record.mainDataOffset + SEQUENCE_RECORD_TUPLE;
  copyBytes(page.bytes, page.view, target, record.bytes, record.view, source, length);
  return true;
};
