/** Items on index pages: putting them there, and what is there. */
import {
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  type Page,
} from '../../src/postgres/page/page.ts';
import { addIndexItem } from '../../src/redo/page-items.ts';
import { ByteWriter } from './record-builder.ts';

/** Adds an item after the last line. */
export function appendItem(page: Page, item: Uint8Array): void {
  addIndexItem(
    page,
    lineCount(page) + 1,
    item,
    new DataView(item.buffer, item.byteOffset, item.length),
    0,
    item.length,
  );
}

/** A copy of the item of a line. */
export function itemOf(page: Page, line: number): Uint8Array {
  const pointer = page.view.getUint32(linePointerOffset(line), true);
  return page.bytes.slice(lineItemOffset(pointer), lineItemOffset(pointer) + lineItemLength(pointer));
}

/** Copies of all items, in the order of their lines. */
export function itemsOf(page: Page): Uint8Array[] {
  return Array.from({ length: lineCount(page) }, (_, index) => itemOf(page, index + 1));
}

/** Where the items lie, in the order of their lines. */
export function itemOffsetsOf(page: Page): number[] {
  return Array.from({ length: lineCount(page) }, (_, index) =>
    lineItemOffset(page.view.getUint32(linePointerOffset(index + 1), true)),
  );
}

export function lineFlagsOf(page: Page, line: number): number {
  return lineFlags(page.view.getUint32(linePointerOffset(line), true));
}

/** An index tuple of `size` bytes that points to (block, offset number) and is filled with `fill`. */
export function indexTuple(block: number, offsetNumber: number, size = 16, fill = 0): Uint8Array {
  const writer = new ByteWriter().itemPointer(block, offsetNumber).u16(size);
  while (writer.length < size) writer.u8(fill);
  return writer.finish();
}
