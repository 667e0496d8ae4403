import { CorruptionError, UnknownRecordError } from '../base/errors.ts';
import { getPageLsn, isNewPage, type Page, setPageLsn } from '../postgres/page/page.ts';
import {
  RM_BRIN,
  RM_BTREE,
  RM_GENERIC,
  RM_GIN,
  RM_GIST,
  RM_HASH,
  RM_HEAP,
  RM_HEAP2,
  RM_SEQUENCE,
  RM_SPGIST,
  RM_XLOG,
} from '../postgres/rmgr/resource-manager.ts';
import { restoreBlockImage } from '../postgres/wal/block-image.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { FORK_VISIBILITY_MAP } from '../postgres/wal/record-header.ts';
import { redoBrin } from './brin.ts';
import { redoBtree } from './btree.ts';
import { redoGeneric } from './generic.ts';
import { redoGin } from './gin.ts';
import { redoGist, redoGistRestored } from './gist.ts';
import { redoHash } from './hash.ts';
import { redoHeap } from './heap.ts';
import { redoHeap2 } from './heap2.ts';
import { failRedo, RedoFailure } from './redo-failure.ts';
import type { RedoFunction, RedoSettings } from './redo-types.ts';
import { redoSequence } from './sequence.ts';
import { redoSpgist } from './spgist.ts';
import { redoXlog } from './xlog.ts';

/** A record could not be replayed on a page: the page, the record or both are damaged. Says where. */
export class RedoError extends CorruptionError {
  constructor(record: DecodedRecord, blockId: number, reason: string, cause?: unknown) {
    const place = {
      lsn: record.startLsn,
      resourceManager: record.resourceManager,
      info: record.info,
      blockId,
      ...(record.hasBlock(blockId) ? { page: record.describeBlock(blockId) } : {}),
    };
    super('REDO_FAILED', `the record cannot be replayed: ${reason}`, place, cause);
  }
}

/** The page already has this record's change: its LSN is at or above the record's end. */
export const REDO_SKIPPED = 0;
/** The record's change was made. */
export const REDO_APPLIED = 1;
/** The page was replaced by the record's full-page image. */
export const REDO_RESTORED = 2;
export type RedoResult = typeof REDO_SKIPPED | typeof REDO_APPLIED | typeof REDO_RESTORED;

/** The resource managers whose records change pages that they name in block references. */
const redoFunctions: (RedoFunction | undefined)[] = [];
redoFunctions[RM_XLOG] = redoXlog;
redoFunctions[RM_HEAP2] = redoHeap2;
redoFunctions[RM_HEAP] = redoHeap;
redoFunctions[RM_BTREE] = redoBtree;
redoFunctions[RM_HASH] = redoHash;
redoFunctions[RM_GIN] = redoGin;
redoFunctions[RM_GIST] = redoGist;
redoFunctions[RM_SEQUENCE] = redoSequence;
redoFunctions[RM_SPGIST] = redoSpgist;
redoFunctions[RM_BRIN] = redoBrin;
redoFunctions[RM_GENERIC] = redoGeneric;

/**
 * What replay also does to pages that were restored from an image (BLK_RESTORED), where the image was taken before
 * the change was complete.
 */
const restoredFunctions: (RedoFunction | undefined)[] = [];
restoredFunctions[RM_GIST] = redoGistRestored;

/**
 * Replays one record on one of the pages that it names, in place (xlogutils.c, XLogReadBufferForRedoExtended, and
 * the resource manager's redo routine). `page` holds the block of `blockId`; where the record initialises it or
 * brings an image of it, what was on it does not matter, else it must have been written before.
 *
 * Touches nothing but `page`, and does no I/O. When it throws, the page's content is undefined and must be thrown
 * away.
 *
 * @throws RedoError where record and page do not fit each other.
 * @throws UnknownRecordError for a record kind that has no replay.
 * @throws CorruptionError for an image that cannot be restored.
 */
export function redo(page: Page, record: DecodedRecord, blockId: number, settings: RedoSettings): RedoResult {
  try {
    if (!record.hasBlock(blockId)) failRedo('it has no such block reference');
    if (record.blockApplyImage[blockId] === 1) {
      restoreBlockImage(record, blockId, page);
      // PostgreSQL leaves the LSN of a page that is still new alone.
      if (!isNewPage(page)) setPageLsn(page, record.endLsnHigh, record.endLsnLow);
      restoredFunctions[record.resourceManager]?.(page, record, blockId, settings);
      return REDO_RESTORED;
    }
    if (!record.willInitialize(blockId)) {
      if (isNewPage(page)) {
        if (!mayBeNew(record, blockId)) failRedo('the page has never been written');
      } else if (getPageLsn(page) >= record.endLsn) {
        return REDO_SKIPPED;
      }
    }
    const redoFunction = redoFunctions[record.resourceManager];
    if (redoFunction === undefined) {
      throw new UnknownRecordError(record.resourceManager, record.info, record.startLsn);
    }
    if (redoFunction(page, record, blockId, settings)) setPageLsn(page, record.endLsnHigh, record.endLsnLow);
    return REDO_APPLIED;
  } catch (error) {
    if (error instanceof RedoFailure) throw new RedoError(record, blockId, error.message, error);
    // The second net: a page has a buffer of its own, so a missed check ends here and harms nothing else.
    if (error instanceof RangeError)
      throw new RedoError(record, blockId, `an offset is out of range: ${error.message}`, error);
    throw error;
  }
}

/**
 * heap_xlog_visible reads the map's page with RBM_ZERO_ON_ERROR: the map may have been extended without WAL. And
 * XLOG_FPI_FOR_HINT does not even read a page of which it has no image.
 */
function mayBeNew(record: DecodedRecord, blockId: number): boolean {
  if (record.resourceManager === RM_XLOG) return true;
  return record.resourceManager === RM_HEAP2 && record.blockFork[blockId] === FORK_VISIBILITY_MAP;
}
