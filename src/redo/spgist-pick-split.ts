/** Replay of SP-GiST's PICKSPLIT (access/spgist/spgxlog.c, spgRedoPickSplit). */
import type { Page } from '../postgres/page/page.ts';
import { SPGIST_NULLS, SPGIST_PLACEHOLDER, SPGIST_REDIRECT } from '../postgres/page/spgist-page.ts';
import {
  SPGIST_PICK_SPLIT_BYTES,
  SPGIST_PICK_SPLIT_DELETE_COUNT,
  SPGIST_PICK_SPLIT_INIT_DESTINATION,
  SPGIST_PICK_SPLIT_INIT_INNER,
  SPGIST_PICK_SPLIT_INIT_SOURCE,
  SPGIST_PICK_SPLIT_INNER_IS_PARENT,
  SPGIST_PICK_SPLIT_INSERT_COUNT,
  SPGIST_PICK_SPLIT_IS_ROOT_SPLIT,
  SPGIST_PICK_SPLIT_NODE,
  SPGIST_PICK_SPLIT_OFFSET_INNER,
  SPGIST_PICK_SPLIT_OFFSET_PARENT,
  SPGIST_PICK_SPLIT_STATE,
  SPGIST_PICK_SPLIT_STORES_NULLS,
  SPGIST_STATE_IS_BUILD,
  SPGIST_STATE_REDIRECT_XID,
} from '../postgres/rmgr/spgist-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { failRedo, requireRedo } from './redo-failure.ts';
import { newLeafFlags } from './spgist-leaf.ts';
import {
  addOrReplaceTuple,
  checkedInnerSize,
  checkedLeafSize,
  preparePage,
  replaceByDeadTuples,
  setNodeLink,
} from './spgist-tuples.ts';

/** spgRedoPickSplit. A chain of leaf tuples becomes an inner tuple and shorter chains, on up to four pages. */
export function redoPickSplit(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(record.mainDataLength >= SPGIST_PICK_SPLIT_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const end = main + record.mainDataLength;
  const deleted = view.getUint16(main + SPGIST_PICK_SPLIT_DELETE_COUNT, true);
  const inserted = view.getUint16(main + SPGIST_PICK_SPLIT_INSERT_COUNT, true);
  // Two bytes for each deleted line; two and the choice of the page for each inserted one.
  const inner = main + SPGIST_PICK_SPLIT_BYTES + deleted * 2 + inserted * 3;
  const innerSize = checkedInnerSize(record, inner, end);
  requireRedo(record.hasBlock(2), 'the block of the inner tuple is missing');
  switch (blockId) {
    case 0:
      prepareSource(page, record, deleted);
      insertLeafs(page, record, false, inner + innerSize);
      return true;
    case 1:
      prepareDestination(page, record);
      insertLeafs(page, record, true, inner + innerSize);
      return true;
    case 2: {
      const storesNulls = view.getUint8(main + SPGIST_PICK_SPLIT_STORES_NULLS) !== 0;
      const isNew = view.getUint8(main + SPGIST_PICK_SPLIT_INIT_INNER) !== 0;
      preparePage(page, record, 2, isNew, storesNulls ? SPGIST_NULLS : 0);
      const offsetNumber = view.getUint16(main + SPGIST_PICK_SPLIT_OFFSET_INNER, true);
      addOrReplaceTuple(page, offsetNumber, record, inner, innerSize);
      if (view.getUint8(main + SPGIST_PICK_SPLIT_INNER_IS_PARENT) !== 0) linkParent(page, record);
      return true;
    }
    case 3:
      preparePage(page, record, 3, false, 0);
      linkParent(page, record);
      return true;
    default:
      return failRedo('the record does not change this block');
  }
}

/** The source page loses the chain, or is made anew. The root is never a source: it becomes the inner page. */
function prepareSource(page: Page, record: DecodedRecord, deleted: number): void {
  const { view } = record;
  const main = record.mainDataOffset;
  requireRedo(
    view.getUint8(main + SPGIST_PICK_SPLIT_IS_ROOT_SPLIT) === 0,
    'the record does not change this block',
  );
  const isNew = view.getUint8(main + SPGIST_PICK_SPLIT_INIT_SOURCE) !== 0;
  preparePage(page, record, 0, isNew, newLeafFlags(record, main + SPGIST_PICK_SPLIT_STORES_NULLS));
  if (isNew) return;
  const state = main + SPGIST_PICK_SPLIT_STATE;
  const xid = view.getUint32(state + SPGIST_STATE_REDIRECT_XID, true);
  const first = view.getUint8(state + SPGIST_STATE_IS_BUILD) !== 0 ? SPGIST_PLACEHOLDER : SPGIST_REDIRECT;
  const innerBlock = record.blockNumber[2] as number;
  const innerOffset = view.getUint16(main + SPGIST_PICK_SPLIT_OFFSET_INNER, true);
  const toDelete = main + SPGIST_PICK_SPLIT_BYTES;
  replaceByDeadTuples(page, view, toDelete, deleted, first, SPGIST_PLACEHOLDER, innerBlock, innerOffset, xid);
}

function prepareDestination(page: Page, record: DecodedRecord): void {
  const main = record.mainDataOffset;
  const isNew = record.view.getUint8(main + SPGIST_PICK_SPLIT_INIT_DESTINATION) !== 0;
  preparePage(page, record, 1, isNew, newLeafFlags(record, main + SPGIST_PICK_SPLIT_STORES_NULLS));
}

/** Puts those of the leaf tuples, which stand from `start` on, that are for this page in place. */
function insertLeafs(page: Page, record: DecodedRecord, isDestination: boolean, start: number): void {
  const { view } = record;
  const main = record.mainDataOffset;
  const end = main + record.mainDataLength;
  const deleted = view.getUint16(main + SPGIST_PICK_SPLIT_DELETE_COUNT, true);
  const inserted = view.getUint16(main + SPGIST_PICK_SPLIT_INSERT_COUNT, true);
  const toInsert = main + SPGIST_PICK_SPLIT_BYTES + deleted * 2;
  const pageSelect = toInsert + inserted * 2;
  let position = start;
  for (let index = 0; index < inserted; index++) {
    const size = checkedLeafSize(record, position, end);
    if ((view.getUint8(pageSelect + index) !== 0) === isDestination) {
      addOrReplaceTuple(page, view.getUint16(toInsert + index * 2, true), record, position, size);
    }
    position += size;
  }
  requireRedo(position === end, 'the record has bytes after its leaf tuples');
}

/** The parent's node now leads to the new inner tuple. */
function linkParent(page: Page, record: DecodedRecord): void {
  const { view } = record;
  const main = record.mainDataOffset;
  const parent = view.getUint16(main + SPGIST_PICK_SPLIT_OFFSET_PARENT, true);
  const node = view.getUint16(main + SPGIST_PICK_SPLIT_NODE, true);
  const innerOffset = view.getUint16(main + SPGIST_PICK_SPLIT_OFFSET_INNER, true);
  setNodeLink(page, parent, node, record.blockNumber[2] as number, innerOffset);
}
