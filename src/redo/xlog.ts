import { UnknownRecordError } from '../base/errors.ts';
import type { Page } from '../postgres/page/page.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { failRedo } from './redo-failure.ts';

const XLOG_FPI_FOR_HINT = 0xa0;
const XLOG_FPI = 0xb0;

/**
 * xlog.c, xlog_redo. The only records of this resource manager that name pages are full-page images, and `redo`
 * has restored those before it asks here: what arrives is a block reference without an image to apply, which
 * XLOG_FPI_FOR_HINT may have (the page had been logged just before) and XLOG_FPI may not.
 */
export function redoXlog(_page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (record.info & 0xf0) {
    case XLOG_FPI_FOR_HINT:
      return false;
    case XLOG_FPI:
      return failRedo(`block reference ${blockId} of a full-page image record has no image to apply`);
    default:
      throw new UnknownRecordError('XLOG', record.info, record.startLsn);
  }
}
