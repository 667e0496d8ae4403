/** Replay of the SP-GiST records that VACUUM writes (access/spgist/spgxlog.c). All have one page, block 0. */
import {
  INVALID_BLOCK_NUMBER,
  INVALID_OFFSET_NUMBER,
  setItemPointer,
} from '../postgres/page/item-pointer.ts';
import type { Page } from '../postgres/page/page.ts';
import {
  SPGIST_DEAD,
  SPGIST_DEAD_POINTER,
  SPGIST_DEAD_TUPLE_BYTES,
  SPGIST_LEAF_STATE_SIZE,
  SPGIST_PLACEHOLDER,
  SPGIST_PLACEHOLDER_COUNT,
  SPGIST_REDIRECT,
  SPGIST_REDIRECTION_COUNT,
  SPGIST_TUPLE_STATE_MASK,
} from '../postgres/page/spgist-page.ts';
import {
  SPGIST_VACUUM_LEAF_BYTES,
  SPGIST_VACUUM_LEAF_CHAIN_COUNT,
  SPGIST_VACUUM_LEAF_DEAD_COUNT,
  SPGIST_VACUUM_LEAF_MOVE_COUNT,
  SPGIST_VACUUM_LEAF_PLACEHOLDER_COUNT,
  SPGIST_VACUUM_REDIRECT_BYTES,
  SPGIST_VACUUM_REDIRECT_COUNT,
  SPGIST_VACUUM_REDIRECT_FIRST_PLACEHOLDER,
  SPGIST_VACUUM_ROOT_BYTES,
  SPGIST_VACUUM_ROOT_DELETE_COUNT,
} from '../postgres/rmgr/spgist-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { deleteIndexItems, getItemOffset, getLinePointer, setLinePointer } from './page-items.ts';
import { requireRedo } from './redo-failure.ts';
import {
  addToCounter,
  deleteLastTuples,
  preparePage,
  replaceByDeadTuples,
  setNextOffset,
} from './spgist-tuples.ts';

/** Replaces tuples by dead ones that lead nowhere. */
function replaceAll(page: Page, record: DecodedRecord, numbers: number, count: number, state: number): void {
  const { view } = record;
  replaceByDeadTuples(
    page,
    view,
    numbers,
    count,
    state,
    state,
    INVALID_BLOCK_NUMBER,
    INVALID_OFFSET_NUMBER,
    0,
  );
}

/** spgRedoVacuumLeaf. */
export function redoVacuumLeaf(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(blockId === 0, 'the record does not change this block');
  requireRedo(record.mainDataLength >= SPGIST_VACUUM_LEAF_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const deadCount = view.getUint16(main + SPGIST_VACUUM_LEAF_DEAD_COUNT, true);
  const placeholderCount = view.getUint16(main + SPGIST_VACUUM_LEAF_PLACEHOLDER_COUNT, true);
  const moveCount = view.getUint16(main + SPGIST_VACUUM_LEAF_MOVE_COUNT, true);
  const chainCount = view.getUint16(main + SPGIST_VACUUM_LEAF_CHAIN_COUNT, true);
  const dead = main + SPGIST_VACUUM_LEAF_BYTES;
  const placeholders = dead + deadCount * 2;
  const moveSources = placeholders + placeholderCount * 2;
  const moveDestinations = moveSources + moveCount * 2;
  const chainSources = moveDestinations + moveCount * 2;
  const chainDestinations = chainSources + chainCount * 2;
  requireRedo(
    chainDestinations + chainCount * 2 === main + record.mainDataLength,
    'the offset numbers do not fill the main data',
  );
  preparePage(page, record, 0, false, 0);
  replaceAll(page, record, dead, deadCount, SPGIST_DEAD);
  replaceAll(page, record, placeholders, placeholderCount, SPGIST_PLACEHOLDER);
  for (let index = 0; index < moveCount; index++) {
    swapLines(
      page,
      view.getUint16(moveSources + index * 2, true),
      view.getUint16(moveDestinations + index * 2, true),
    );
  }
  replaceAll(page, record, moveSources, moveCount, SPGIST_PLACEHOLDER);
  for (let index = 0; index < chainCount; index++) {
    setNextOffset(
      page,
      view.getUint16(chainSources + index * 2, true),
      view.getUint16(chainDestinations + index * 2, true),
    );
  }
  return true;
}

function swapLines(page: Page, first: number, second: number): void {
  const firstPointer = getLinePointer(page, first);
  setLinePointer(page, first, getLinePointer(page, second));
  setLinePointer(page, second, firstPointer);
}

/** spgRedoVacuumRoot: a root that is still a leaf page has no chains, so its dead tuples just go. */
export function redoVacuumRoot(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(blockId === 0, 'the record does not change this block');
  requireRedo(record.mainDataLength >= SPGIST_VACUUM_ROOT_BYTES, 'the main data is cut off');
  const count = record.view.getUint16(record.mainDataOffset + SPGIST_VACUUM_ROOT_DELETE_COUNT, true);
  requireRedo(
    record.mainDataLength === SPGIST_VACUUM_ROOT_BYTES + count * 2,
    'the offset numbers do not fill the main data',
  );
  preparePage(page, record, 0, false, 0);
  deleteIndexItems(page, record.view, record.mainDataOffset + SPGIST_VACUUM_ROOT_BYTES, count);
  return true;
}

/** spgRedoVacuumRedirect: redirections become placeholders, and placeholders at the end of the page go. */
export function redoVacuumRedirect(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireRedo(blockId === 0, 'the record does not change this block');
  requireRedo(record.mainDataLength >= SPGIST_VACUUM_REDIRECT_BYTES, 'the main data is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const count = view.getUint16(main + SPGIST_VACUUM_REDIRECT_COUNT, true);
  requireRedo(
    record.mainDataLength === SPGIST_VACUUM_REDIRECT_BYTES + count * 2,
    'the offset numbers do not fill the main data',
  );
  preparePage(page, record, 0, false, 0);
  for (let index = 0; index < count; index++) {
    makePlaceholder(page, view.getUint16(main + SPGIST_VACUUM_REDIRECT_BYTES + index * 2, true));
  }
  addToCounter(page, SPGIST_REDIRECTION_COUNT, -count);
  addToCounter(page, SPGIST_PLACEHOLDER_COUNT, count);
  const first = view.getUint16(main + SPGIST_VACUUM_REDIRECT_FIRST_PLACEHOLDER, true);
  if (first !== INVALID_OFFSET_NUMBER)
    addToCounter(page, SPGIST_PLACEHOLDER_COUNT, -deleteLastTuples(page, first));
  return true;
}

/** Turns a redirection into a placeholder in place. Its transaction id stays. */
function makePlaceholder(page: Page, offsetNumber: number): void {
  const item = getItemOffset(page, offsetNumber, SPGIST_DEAD_TUPLE_BYTES);
  const word = page.view.getUint32(item + SPGIST_LEAF_STATE_SIZE, true);
  requireRedo((word & SPGIST_TUPLE_STATE_MASK) === SPGIST_REDIRECT, 'the tuple is not a redirection');
  page.view.setUint32(item + SPGIST_LEAF_STATE_SIZE, (word | SPGIST_PLACEHOLDER) >>> 0, true);
  setItemPointer(page.view, item + SPGIST_DEAD_POINTER, INVALID_BLOCK_NUMBER, INVALID_OFFSET_NUMBER);
}
