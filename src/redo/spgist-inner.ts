/** Replay of the SP-GiST records that only change inner tuples (access/spgist/spgxlog.c). */
import type { Page } from '../postgres/page/page.ts';
import { SPGIST_PLACEHOLDER, SPGIST_REDIRECT } from '../postgres/page/spgist-page.ts';
import {
  SPGIST_ADD_NODE_BYTES,
  SPGIST_ADD_NODE_NEW_PAGE,
  SPGIST_ADD_NODE_NODE,
  SPGIST_ADD_NODE_OFFSET,
  SPGIST_ADD_NODE_OFFSET_NEW,
  SPGIST_ADD_NODE_OFFSET_PARENT,
  SPGIST_ADD_NODE_PARENT_BLOCK,
  SPGIST_ADD_NODE_PARENT_MAX,
  SPGIST_ADD_NODE_PARENT_NONE,
  SPGIST_ADD_NODE_STATE,
  SPGIST_SPLIT_TUPLE_BYTES,
  SPGIST_SPLIT_TUPLE_NEW_PAGE,
  SPGIST_SPLIT_TUPLE_OFFSET_POSTFIX,
  SPGIST_SPLIT_TUPLE_OFFSET_PREFIX,
  SPGIST_SPLIT_TUPLE_POSTFIX_SAME,
  SPGIST_STATE_IS_BUILD,
  SPGIST_STATE_REDIRECT_XID,
} from '../postgres/rmgr/spgist-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { failRedo, requireRedo } from './redo-failure.ts';
import {
  addOrReplaceTuple,
  checkedInnerSize,
  preparePage,
  replaceByDeadTuple,
  replaceTuple,
  setNodeLink,
} from './spgist-tuples.ts';

/**
 * spgRedoAddNode. The inner tuple with its new node takes the old one's place or, where that has no room, moves to
 * another page, and the old one becomes a redirection. The parent may be on either of these pages or on a third.
 */
export function redoAddNode(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(record.mainDataLength >= SPGIST_ADD_NODE_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const end = main + record.mainDataLength;
  const tuple = main + SPGIST_ADD_NODE_BYTES;
  const size = checkedInnerSize(record, tuple, end);
  requireRedo(tuple + size === end, 'the record has bytes after its inner tuple');
  const offsetNumber = view.getUint16(main + SPGIST_ADD_NODE_OFFSET, true);
  const parentBlock = view.getInt8(main + SPGIST_ADD_NODE_PARENT_BLOCK);
  requireRedo(
    parentBlock >= SPGIST_ADD_NODE_PARENT_NONE && parentBlock <= SPGIST_ADD_NODE_PARENT_MAX,
    "the record names no page of the parent's",
  );
  if (!record.hasBlock(1)) {
    requireRedo(blockId === 0, 'the record does not change this block');
    requireRedo(
      parentBlock === SPGIST_ADD_NODE_PARENT_NONE,
      'an inner tuple that stays in place has a new parent link',
    );
    preparePage(page, record, 0, false, 0);
    replaceTuple(page, offsetNumber, record, tuple, size);
    return true;
  }
  const newBlock = record.blockNumber[1] as number;
  const newOffsetNumber = view.getUint16(main + SPGIST_ADD_NODE_OFFSET_NEW, true);
  if (blockId === 1) {
    preparePage(page, record, 1, view.getUint8(main + SPGIST_ADD_NODE_NEW_PAGE) !== 0, 0);
    addOrReplaceTuple(page, newOffsetNumber, record, tuple, size);
  } else if (blockId === 0) {
    preparePage(page, record, 0, false, 0);
    const state = main + SPGIST_ADD_NODE_STATE;
    const xid = view.getUint32(state + SPGIST_STATE_REDIRECT_XID, true);
    const dead = view.getUint8(state + SPGIST_STATE_IS_BUILD) !== 0 ? SPGIST_PLACEHOLDER : SPGIST_REDIRECT;
    replaceByDeadTuple(page, offsetNumber, dead, newBlock, newOffsetNumber, xid);
  } else {
    requireRedo(blockId === parentBlock, 'the record does not change this block');
    preparePage(page, record, blockId, false, 0);
  }
  if (blockId === parentBlock) {
    const parent = view.getUint16(main + SPGIST_ADD_NODE_OFFSET_PARENT, true);
    setNodeLink(page, parent, view.getUint16(main + SPGIST_ADD_NODE_NODE, true), newBlock, newOffsetNumber);
  }
  return true;
}

/** spgRedoSplitTuple. The prefix tuple replaces the old one; the postfix tuple goes to the same page or another. */
export function redoSplitTuple(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(record.mainDataLength >= SPGIST_SPLIT_TUPLE_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const end = main + record.mainDataLength;
  const prefix = main + SPGIST_SPLIT_TUPLE_BYTES;
  const prefixSize = checkedInnerSize(record, prefix, end);
  const postfix = prefix + prefixSize;
  const postfixSize = checkedInnerSize(record, postfix, end);
  requireRedo(postfix + postfixSize === end, 'the record has bytes after its inner tuples');
  const postfixOffset = view.getUint16(main + SPGIST_SPLIT_TUPLE_OFFSET_POSTFIX, true);
  const isSamePage = view.getUint8(main + SPGIST_SPLIT_TUPLE_POSTFIX_SAME) !== 0;
  if (blockId === 0) {
    preparePage(page, record, 0, false, 0);
    replaceTuple(
      page,
      view.getUint16(main + SPGIST_SPLIT_TUPLE_OFFSET_PREFIX, true),
      record,
      prefix,
      prefixSize,
    );
    if (isSamePage) addOrReplaceTuple(page, postfixOffset, record, postfix, postfixSize);
    return true;
  }
  if (blockId !== 1 || isSamePage) return failRedo('the record does not change this block');
  preparePage(page, record, 1, view.getUint8(main + SPGIST_SPLIT_TUPLE_NEW_PAGE) !== 0, 0);
  addOrReplaceTuple(page, postfixOffset, record, postfix, postfixSize);
  return true;
}
