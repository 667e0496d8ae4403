import type { Page } from '../postgres/page/page.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';

/** What redo has to know of the cluster beside the record and the page. */
export interface RedoSettings {
  /**
   * XLogHintBitIsNeeded: data checksums or wal_log_hints are on, so that setting hint bits is logged and some
   * records stamp the LSN of pages that they only hint at.
   */
  readonly hintBitsAreLogged: boolean;
}

/**
 * Replays a record on one of its blocks, in place; the case BLK_NEEDS_REDO, or a page to be initialised, whose
 * former bytes do not matter. Called with a block that the record has.
 *
 * Returns true if the page's LSN is to become the record's end LSN, which is the rule.
 *
 * @throws RedoFailure where record and page do not fit; the page's content is then undefined (but of no other page).
 * @throws UnknownRecordError for a record kind that the resource manager does not have.
 */
export type RedoFunction = (
  page: Page,
  record: DecodedRecord,
  blockId: number,
  settings: RedoSettings,
) => boolean;

/**
 * Blanks out what PostgreSQL's own consistency check leaves out of the comparison (the resource manager's rm_mask),
 * in place, so that two pages are equal if and only if replay was right.
 */
export type MaskFunction = (page: Page, blockNumber: number) => void;
