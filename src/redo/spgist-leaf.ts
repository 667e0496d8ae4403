/** Replay of the SP-GiST records that put leaf tuples into place (access/spgist/spgxlog.c). */
import type { Page } from '../postgres/page/page.ts';
import {
  SPGIST_LEAF,
  SPGIST_NULLS,
  SPGIST_PLACEHOLDER,
  SPGIST_REDIRECT,
} from '../postgres/page/spgist-page.ts';
import {
  SPGIST_ADD_LEAF_BYTES,
  SPGIST_ADD_LEAF_NEW_PAGE,
  SPGIST_ADD_LEAF_NODE,
  SPGIST_ADD_LEAF_OFFSET_HEAD,
  SPGIST_ADD_LEAF_OFFSET_LEAF,
  SPGIST_ADD_LEAF_OFFSET_PARENT,
  SPGIST_ADD_LEAF_STORES_NULLS,
  SPGIST_MOVE_LEAFS_BYTES,
  SPGIST_MOVE_LEAFS_COUNT,
  SPGIST_MOVE_LEAFS_NEW_PAGE,
  SPGIST_MOVE_LEAFS_NODE,
  SPGIST_MOVE_LEAFS_OFFSET_PARENT,
  SPGIST_MOVE_LEAFS_REPLACE_DEAD,
  SPGIST_MOVE_LEAFS_STATE,
  SPGIST_MOVE_LEAFS_STORES_NULLS,
  SPGIST_STATE_IS_BUILD,
  SPGIST_STATE_REDIRECT_XID,
} from '../postgres/rmgr/spgist-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { failRedo, requireRedo } from './redo-failure.ts';
import {
  addOrReplaceTuple,
  checkedLeafSize,
  preparePage,
  replaceByDeadTuples,
  replaceTuple,
  setNextOffset,
  setNodeLink,
} from './spgist-tuples.ts';

/** Flags of a new leaf page whose record has the byte storesNulls at `position`. */
export function newLeafFlags(record: DecodedRecord, position: number): number {
  return record.view.getUint8(position) === 0 ? SPGIST_LEAF : SPGIST_LEAF | SPGIST_NULLS;
}

/** spgRedoAddLeaf. */
export function redoAddLeaf(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(record.mainDataLength >= SPGIST_ADD_LEAF_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const leaf = view.getUint16(main + SPGIST_ADD_LEAF_OFFSET_LEAF, true);
  const head = view.getUint16(main + SPGIST_ADD_LEAF_OFFSET_HEAD, true);
  const parent = view.getUint16(main + SPGIST_ADD_LEAF_OFFSET_PARENT, true);
  if (blockId === 0) {
    const isNew = view.getUint8(main + SPGIST_ADD_LEAF_NEW_PAGE) !== 0;
    preparePage(page, record, 0, isNew, newLeafFlags(record, main + SPGIST_ADD_LEAF_STORES_NULLS));
    const tuple = main + SPGIST_ADD_LEAF_BYTES;
    const end = main + record.mainDataLength;
    const size = checkedLeafSize(record, tuple, end);
    requireRedo(tuple + size === end, 'the record has bytes after its leaf tuple');
    if (leaf === head) {
      // The head of the chain is a dead tuple, and the only one in it.
      replaceTuple(page, leaf, record, tuple, size);
      return true;
    }
    addOrReplaceTuple(page, leaf, record, tuple, size);
    if (head !== 0) setNextOffset(page, head, leaf);
    return true;
  }
  requireRedo(blockId === 1 && parent !== 0, 'the record does not change this block');
  requireRedo(record.hasBlock(0), "the leaf's block is missing");
  preparePage(page, record, 1, false, 0);
  const node = view.getUint16(main + SPGIST_ADD_LEAF_NODE, true);
  setNodeLink(page, parent, node, record.blockNumber[0] as number, leaf);
  return true;
}

/** spgRedoMoveLeafs. */
export function redoMoveLeafs(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(record.mainDataLength >= SPGIST_MOVE_LEAFS_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const end = main + record.mainDataLength;
  const moved = view.getUint16(main + SPGIST_MOVE_LEAFS_COUNT, true);
  const replaceDead = view.getUint8(main + SPGIST_MOVE_LEAFS_REPLACE_DEAD) !== 0;
  const inserted = replaceDead ? 1 : moved + 1;
  const toDelete = main + SPGIST_MOVE_LEAFS_BYTES;
  const toInsert = toDelete + moved * 2;
  const tuples = toInsert + inserted * 2;
  requireRedo(tuples <= end, 'the offset numbers are cut off');
  requireRedo(record.hasBlock(1), 'the destination block is missing');
  const destination = record.blockNumber[1] as number;
  // The tuple inserted last is the head of the moved chain.
  const chainHead = view.getUint16(toInsert + (inserted - 1) * 2, true);
  switch (blockId) {
    case 0: {
      preparePage(page, record, 0, false, 0);
      const state = main + SPGIST_MOVE_LEAFS_STATE;
      const xid = view.getUint32(state + SPGIST_STATE_REDIRECT_XID, true);
      const first = view.getUint8(state + SPGIST_STATE_IS_BUILD) !== 0 ? SPGIST_PLACEHOLDER : SPGIST_REDIRECT;
      replaceByDeadTuples(
        page,
        view,
        toDelete,
        moved,
        first,
        SPGIST_PLACEHOLDER,
        destination,
        chainHead,
        xid,
      );
      return true;
    }
    case 1: {
      const isNew = view.getUint8(main + SPGIST_MOVE_LEAFS_NEW_PAGE) !== 0;
      preparePage(page, record, 1, isNew, newLeafFlags(record, main + SPGIST_MOVE_LEAFS_STORES_NULLS));
      insertMovedLeafs(page, record, toInsert, inserted, tuples, end);
      return true;
    }
    case 2: {
      preparePage(page, record, 2, false, 0);
      const parent = view.getUint16(main + SPGIST_MOVE_LEAFS_OFFSET_PARENT, true);
      const node = view.getUint16(main + SPGIST_MOVE_LEAFS_NODE, true);
      setNodeLink(page, parent, node, destination, chainHead);
      return true;
    }
    default:
      return failRedo('the record does not change this block');
  }
}

/** Puts the `count` leaf tuples from `start` to `end` on the lines whose numbers stand at `numbers`. */
function insertMovedLeafs(
  page: Page,
  record: DecodedRecord,
  numbers: number,
  count: number,
  start: number,
  end: number,
): void {
  let position = start;
  for (let index = 0; index < count; index++) {
    const size = checkedLeafSize(record, position, end);
    addOrReplaceTuple(page, record.view.getUint16(numbers + index * 2, true), record, position, size);
    position += size;
  }
  requireRedo(position === end, 'the record has bytes after its leaf tuples');
}
