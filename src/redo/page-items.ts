/**
 * The line pointers and items of a data page (storage/page/bufpage.c), as redo needs them. All functions check
 * the page before they change it and raise a RedoFailure where PostgreSQL would raise an error; a page is never
 * left with items outside of its own bytes.
 */
import { copyBytes } from '../base/bytes.ts';
import {
  LINE_NORMAL,
  LINE_POINTER_BYTES,
  LINE_UNUSED,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  makeLinePointer,
  maxAlign,
  PAGE_FLAGS,
  PAGE_HAS_FREE_LINES,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_SPECIAL,
  PAGE_UPPER,
  type Page,
} from '../postgres/page/page.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** MaxHeapTuplesPerPage: line pointers of heap pages, each with the smallest tuple header (23 bytes, aligned to 24). */
export const HEAP_LINES_MAX: number = Math.floor(
  (BLOCK_BYTES - PAGE_HEADER_BYTES) / (24 + LINE_POINTER_BYTES),
);

/** As many line pointers as fit on a page at all. */
const LINES_MAX = (BLOCK_BYTES - PAGE_HEADER_BYTES) / LINE_POINTER_BYTES;

/** Scratch space of `compactItems`: redo runs to its end without a pause, so one set serves all pages of a thread. */
const scratchBytes = new Uint8Array(BLOCK_BYTES);
const scratchView = new DataView(scratchBytes.buffer);
const keptOffsets = new Uint16Array(LINES_MAX);
const keptLengths = new Uint16Array(LINES_MAX);
const keptLines = new Uint16Array(LINES_MAX);
const keptPointers = new Uint32Array(LINES_MAX);

/** Refuses a page whose lower, upper and special pointers are out of order. */
export function checkPagePointers(page: Page): void {
  const lower = page.view.getUint16(PAGE_LOWER, true);
  const upper = page.view.getUint16(PAGE_UPPER, true);
  const special = page.view.getUint16(PAGE_SPECIAL, true);
  if (lower < PAGE_HEADER_BYTES || lower > upper || upper > special || special > BLOCK_BYTES) {
    failRedo(`corrupted page pointers: lower ${lower}, upper ${upper}, special ${special}`);
  }
}

function checkAlignedPagePointers(page: Page): void {
  checkPagePointers(page);
  requireRedo(
    (page.view.getUint16(PAGE_SPECIAL, true) & 7) === 0,
    'corrupted page pointers: special is not aligned',
  );
}

/** The line pointer of an offset number that a record names; fails where the page has no such line. */
export function getLinePointer(page: Page, offsetNumber: number): number {
  if (offsetNumber < 1 || offsetNumber > lineCount(page)) {
    failRedo(`the page has no line ${offsetNumber}, only ${lineCount(page)}`);
  }
  return page.view.getUint32(linePointerOffset(offsetNumber), true);
}

/** Writes the line pointer of an existing line. */
export function setLinePointer(page: Page, offsetNumber: number, pointer: number): void {
  getLinePointer(page, offsetNumber);
  page.view.setUint32(linePointerOffset(offsetNumber), pointer, true);
}

/**
 * Offset on the page of the item of a line that must be in normal use, and hold at least `lengthMin` bytes that
 * all lie on the page. Its length: `lineItemLength(getLinePointer(page, offsetNumber))`.
 */
export function getItemOffset(page: Page, offsetNumber: number, lengthMin: number): number {
  const pointer = getLinePointer(page, offsetNumber);
  const offset = lineItemOffset(pointer);
  const length = lineItemLength(pointer);
  if (
    lineFlags(pointer) !== LINE_NORMAL ||
    length < lengthMin ||
    offset < PAGE_HEADER_BYTES ||
    offset + length > BLOCK_BYTES
  ) {
    failRedo(`line ${offsetNumber} holds no item of at least ${lengthMin} bytes`);
  }
  return offset;
}

/**
 * PageAddItemExtended with a given offset number: reserves room for an item of `length` bytes and sets its line
 * pointer. Returns the offset where the caller has to put the item's bytes.
 *
 * `overwrite` (PAI_OVERWRITE) takes over an unused line in place, without it later lines move up by one.
 * `heap` (PAI_IS_HEAP) applies the limit of lines on a heap page.
 */
export function reserveItem(
  page: Page,
  offsetNumber: number,
  length: number,
  overwrite: boolean,
  heap: boolean,
): number {
  const { view } = page;
  const lower = view.getUint16(PAGE_LOWER, true);
  const oldUpper = view.getUint16(PAGE_UPPER, true);
  const special = view.getUint16(PAGE_SPECIAL, true);
  // checkPagePointers and lineCount, written out: this is the hottest path of redo, and each read costs.
  if (lower < PAGE_HEADER_BYTES || lower > oldUpper || oldUpper > special || special > BLOCK_BYTES) {
    checkPagePointers(page);
  }
  const limit = ((lower - PAGE_HEADER_BYTES) >>> 2) + 1;
  if (offsetNumber < 1 || offsetNumber > limit)
    failRedo(`line ${offsetNumber} cannot be added after ${limit - 1} lines`);
  if (heap && offsetNumber > HEAP_LINES_MAX) failRedo(`a heap page has no line ${offsetNumber}`);
  const upper = oldUpper - maxAlign(length);
  const linePosition = linePointerOffset(offsetNumber);
  let newLower = lower;
  if (offsetNumber === limit) {
    newLower += LINE_POINTER_BYTES;
  } else if (overwrite) {
    const pointer = view.getUint32(linePosition, true);
    if (lineFlags(pointer) !== LINE_UNUSED || lineItemLength(pointer) !== 0) {
      failRedo(`line ${offsetNumber} is in use`);
    }
  } else {
    newLower += LINE_POINTER_BYTES;
  }
  if (newLower > upper) failRedo(`no room on the page for an item of ${length} bytes`);
  if (offsetNumber !== limit && !overwrite) {
    page.bytes.copyWithin(linePosition + LINE_POINTER_BYTES, linePosition, lower);
  }
  view.setUint32(linePosition, makeLinePointer(upper, LINE_NORMAL, length), true);
  view.setUint16(PAGE_LOWER, newLower, true);
  view.setUint16(PAGE_UPPER, upper, true);
  return upper;
}

/** `reserveItem` for an index, and the item's bytes copied from a buffer that the caller has bounds-checked. */
export function addIndexItem(
  page: Page,
  offsetNumber: number,
  source: Uint8Array,
  sourceView: DataView,
  sourceOffset: number,
  length: number,
): void {
  const target = reserveItem(page, offsetNumber, length, false, false);
  copyBytes(page.bytes, page.view, target, source, sourceView, sourceOffset, length);
}

/**
 * Lets the items in keptOffsets/keptLengths, which belong to the lines in keptLines, close up against `end`, one after
 * another. `isDescending`: each of them lies below the one before it, and the first below `end`, so that none is moved
 * onto one that is still to be moved.
 */
function compactItems(page: Page, count: number, end: number, isDescending: boolean): void {
  const { view, bytes } = page;
  let upper = end;
  let index = 0;
  // Items that already touch the end of the page stay where they are.
  while (index < count && (keptOffsets[index] as number) + (keptLengths[index] as number) === upper) {
    upper -= keptLengths[index] as number;
    index++;
  }
  if (index < count && !isDescending) scratchBytes.set(bytes);
  while (index < count) {
    // Items of which each lies right before the one before it move in one piece.
    const runEnd = (keptOffsets[index] as number) + (keptLengths[index] as number);
    const distance = upper - runEnd;
    let start = runEnd;
    for (
      ;
      index < count && (keptOffsets[index] as number) + (keptLengths[index] as number) === start;
      index++
    ) {
      start = keptOffsets[index] as number;
      // The offset stands in the lowest bits.
      const linePosition = linePointerOffset(keptLines[index] as number);
      view.setInt32(linePosition, view.getInt32(linePosition, true) + distance, true);
    }
    upper = start + distance;
    if (isDescending) moveUp(page, start, runEnd, distance);
    else copyBytes(bytes, view, upper, scratchBytes, scratchView, start, runEnd - start);
  }
  view.setUint16(PAGE_UPPER, upper, true);
}

/** From here on `copyWithin` costs less. */
const COPY_WITHIN_BYTES_MIN = 256;

/** Moves what is from `start` to `end`, a multiple of 8 bytes, up by `distance`; the two places may overlap. */
function moveUp(page: Page, start: number, end: number, distance: number): void {
  const { view, bytes } = page;
  if (end - start >= COPY_WITHIN_BYTES_MIN) {
    bytes.copyWithin(start + distance, start, end);
    return;
  }
  for (let at = end - 4; at >= start; at -= 4) view.setInt32(at + distance, view.getInt32(at, true), true);
}

/** PageRepairFragmentation: after pruning a heap page, closes the gaps and gives back unused lines at the end. */
export function repairFragmentation(page: Page): void {
  checkAlignedPagePointers(page);
  const { view } = page;
  const lower = view.getUint16(PAGE_LOWER, true);
  const upper = view.getUint16(PAGE_UPPER, true);
  const special = view.getUint16(PAGE_SPECIAL, true);
  const linesEnd = linePointerOffset(lineCount(page) + 1);
  let kept = 0;
  let unused = 0;
  let usedEnd = PAGE_HEADER_BYTES;
  let total = 0;
  /** Items before the first one that has to move close up to here. */
  let movedEnd = special;
  let lowest = special;
  let isDescending = true;
  // The items' places are written out: this goes over all lines of a page, and is most of what a prune record costs.
  for (let position = PAGE_HEADER_BYTES; position < linesEnd; position += LINE_POINTER_BYTES) {
    const pointer = view.getInt32(position, true);
    if ((pointer & LINE_FLAGS_MASK) === 0) {
      if (pointer !== 0) view.setInt32(position, 0, true);
      unused++;
      continue;
    }
    usedEnd = position + LINE_POINTER_BYTES;
    const length = ((pointer >>> 17) + 7) & ~7;
    if (length === 0) continue;
    const offset = pointer & 0x7fff;
    const end = offset + length;
    if (offset < upper || end > special) failCorruptedItem(position, offset);
    total += length;
    if (end > lowest) isDescending = false;
    lowest = offset;
    if (kept === 0 && end === movedEnd) {
      movedEnd = offset;
      continue;
    }
    keptLines[kept] = (position - PAGE_HEADER_BYTES) / LINE_POINTER_BYTES + 1;
    keptOffsets[kept] = offset;
    keptLengths[kept] = length;
    kept++;
  }
  if (total > special - lower) failRedo(`corrupted item lengths: ${total} bytes in ${special - lower}`);
  compactItems(page, kept, movedEnd, isDescending);
  if (usedEnd !== linesEnd) {
    unused -= (linesEnd - usedEnd) / LINE_POINTER_BYTES;
    view.setUint16(PAGE_LOWER, lower - (linesEnd - usedEnd), true);
  }
  setFreeLinesHint(page, unused > 0);
}

/** The flags of a line pointer, in their place. LINE_UNUSED is 0. */
const LINE_FLAGS_MASK: number = 3 << 15;

function failCorruptedItem(position: number, offset: number): never {
  const line = (position - PAGE_HEADER_BYTES) / LINE_POINTER_BYTES + 1;
  failRedo(`corrupted line pointer ${line}: offset ${offset}`);
}

/** PageTruncateLinePointerArray: gives back unused lines at the end of a heap page, but never the first line. */
export function truncateLinePointers(page: Page): void {
  checkPagePointers(page);
  const { view } = page;
  let last = lineCount(page);
  let dropped = 0;
  while (last > 1 && lineFlags(view.getUint32(linePointerOffset(last), true)) === LINE_UNUSED) {
    last--;
    dropped++;
  }
  let hasUnused = false;
  for (let line = last; line >= 1 && !hasUnused; line--) {
    hasUnused = lineFlags(view.getUint32(linePointerOffset(line), true)) === LINE_UNUSED;
  }
  view.setUint16(PAGE_LOWER, view.getUint16(PAGE_LOWER, true) - dropped * LINE_POINTER_BYTES, true);
  setFreeLinesHint(page, hasUnused);
}

function setFreeLinesHint(page: Page, hasFreeLines: boolean): void {
  const flags = page.view.getUint16(PAGE_FLAGS, true);
  page.view.setUint16(
    PAGE_FLAGS,
    hasFreeLines ? flags | PAGE_HAS_FREE_LINES : flags & ~PAGE_HAS_FREE_LINES,
    true,
  );
}

/** The line's pointer, after checking that its item lies between upper and special and is aligned. */
function getIndexItemPointer(page: Page, offsetNumber: number): number {
  const pointer = getLinePointer(page, offsetNumber);
  const offset = lineItemOffset(pointer);
  if (
    offset < page.view.getUint16(PAGE_UPPER, true) ||
    offset + lineItemLength(pointer) > page.view.getUint16(PAGE_SPECIAL, true) ||
    (offset & 7) !== 0
  ) {
    failRedo(`corrupted line pointer ${offsetNumber}: offset ${offset}, length ${lineItemLength(pointer)}`);
  }
  return pointer;
}

/** Moves the item space before `offset` up by `distance` (negative: down) and all line pointers that point into it. */
function shiftItems(page: Page, offset: number, distance: number): void {
  const { view, bytes } = page;
  const upper = view.getUint16(PAGE_UPPER, true);
  if (offset > upper) bytes.copyWithin(upper + distance, upper, offset);
  view.setUint16(PAGE_UPPER, upper + distance, true);
  const end = linePointerOffset(lineCount(page) + 1);
  for (let position = PAGE_HEADER_BYTES; position < end; position += LINE_POINTER_BYTES) {
    const pointer = view.getInt32(position, true);
    // The offset stands in the lowest bits.
    if (lineItemOffset(pointer) <= offset && lineItemLength(pointer) !== 0)
      view.setInt32(position, pointer + distance, true);
  }
}

/** PageIndexTupleDelete: removes an item and its line; later lines move down by one. */
export function deleteIndexItem(page: Page, offsetNumber: number): void {
  checkAlignedPagePointers(page);
  const pointer = getIndexItemPointer(page, offsetNumber);
  const position = linePointerOffset(offsetNumber);
  const lower = page.view.getUint16(PAGE_LOWER, true);
  page.bytes.copyWithin(position, position + LINE_POINTER_BYTES, lower);
  page.view.setUint16(PAGE_LOWER, lower - LINE_POINTER_BYTES, true);
  shiftItems(page, lineItemOffset(pointer), maxAlign(lineItemLength(pointer)));
}

/** PageIndexTupleDeleteNoCompact: removes an item, but keeps its line as unused unless it is the last one. */
export function deleteIndexItemKeepingLine(page: Page, offsetNumber: number): void {
  checkAlignedPagePointers(page);
  const pointer = getIndexItemPointer(page, offsetNumber);
  if (offsetNumber < lineCount(page)) {
    page.view.setUint32(linePointerOffset(offsetNumber), 0, true);
  } else {
    page.view.setUint16(PAGE_LOWER, page.view.getUint16(PAGE_LOWER, true) - LINE_POINTER_BYTES, true);
  }
  shiftItems(page, lineItemOffset(pointer), maxAlign(lineItemLength(pointer)));
}

/**
 * PageIndexMultiDelete: removes the lines whose numbers stand, ascending, as u16 at `numbersOffset`. The caller
 * has checked that `count` of them lie within `numbers`.
 */
export function deleteIndexItems(page: Page, numbers: DataView, numbersOffset: number, count: number): void {
  if (count <= 2) {
    for (let index = count - 1; index >= 0; index--) {
      deleteIndexItem(page, numbers.getUint16(numbersOffset + index * 2, true));
    }
    return;
  }
  checkAlignedPagePointers(page);
  const { view } = page;
  const lower = view.getUint16(PAGE_LOWER, true);
  const special = view.getUint16(PAGE_SPECIAL, true);
  const lines = lineCount(page);
  let deleted = 0;
  let kept = 0;
  let total = 0;
  for (let line = 1; line <= lines; line++) {
    const pointer = getIndexItemPointer(page, line);
    if (deleted < count && numbers.getUint16(numbersOffset + deleted * 2, true) === line) {
      deleted++;
      continue;
    }
    keptPointers[kept] = pointer;
    keptOffsets[kept] = lineItemOffset(pointer);
    keptLengths[kept] = maxAlign(lineItemLength(pointer));
    total += keptLengths[kept] as number;
    kept++;
    keptLines[kept - 1] = kept;
  }
  if (deleted !== count) failRedo('the lines to be deleted are not on the page or out of order');
  if (total > special - lower) failRedo(`corrupted item lengths: ${total} bytes in ${special - lower}`);
  for (let index = 0; index < kept; index++) {
    const offset = keptOffsets[index] as number;
    if (offset + (keptLengths[index] as number) > special)
      failRedo(`corrupted line pointer: offset ${offset}`);
  }
  for (let index = 0; index < kept; index++) {
    view.setUint32(linePointerOffset(index + 1), keptPointers[index] as number, true);
  }
  view.setUint16(PAGE_LOWER, PAGE_HEADER_BYTES + kept * LINE_POINTER_BYTES, true);
  if (kept === 0) view.setUint16(PAGE_UPPER, special, true);
  else compactItems(page, kept, special, false);
}

/**
 * PageIndexTupleOverwrite: replaces an item by one of `length` bytes at the same end of its old place. Returns the
 * offset where the caller has to put the new bytes.
 */
export function reserveOverwrite(page: Page, offsetNumber: number, length: number): number {
  checkAlignedPagePointers(page);
  const { view } = page;
  const pointer = getIndexItemPointer(page, offsetNumber);
  const oldLength = maxAlign(lineItemLength(pointer));
  const free = view.getUint16(PAGE_UPPER, true) - view.getUint16(PAGE_LOWER, true);
  const offset = lineItemOffset(pointer);
  if (maxAlign(length) > oldLength + free)
    failRedo(`no room to overwrite line ${offsetNumber} with ${length} bytes`);
  if (offset + oldLength > view.getUint16(PAGE_SPECIAL, true))
    failRedo(`corrupted line pointer ${offsetNumber}`);
  const decrease = oldLength - maxAlign(length);
  if (decrease !== 0) shiftItems(page, offset, decrease);
  const target = offset + decrease;
  view.setUint32(linePointerOffset(offsetNumber), makeLinePointer(target, lineFlags(pointer), length), true);
  return target;
}
