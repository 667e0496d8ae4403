import {
  LINE_NORMAL,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_SPECIAL,
  PAGE_UPPER,
  Page,
} from '../src/postgres/page/page.ts';
import { BLOCK_BYTES } from '../src/postgres/wal/record-header.ts';

export interface PageDamage {
  /** The pointers of the header are out of order, or an item lies outside of the place for items. */
  readonly kind: 'pointers' | 'item';
  readonly reason: string;
}

/**
 * What is wrong with the outline of a page; undefined for a sound one. Redo may refuse a record, but must never make a
 * sound page an unsound one.
 */
export function findPageDamage(page: Page): PageDamage | undefined {
  const { view } = page;
  const lower = view.getUint16(PAGE_LOWER, true);
  const upper = view.getUint16(PAGE_UPPER, true);
  const special = view.getUint16(PAGE_SPECIAL, true);
  if (lower < PAGE_HEADER_BYTES || lower > upper || upper > special || special > BLOCK_BYTES) {
    return { kind: 'pointers', reason: `lower ${lower}, upper ${upper}, special ${special}` };
  }
  for (let line = 1; line <= lineCount(page); line++) {
    const pointer = view.getUint32(linePointerOffset(line), true);
    const offset = lineItemOffset(pointer);
    const end = offset + lineItemLength(pointer);
    // PostgreSQL's compaction leaves lines without storage alone.
    const hasStorage = lineFlags(pointer) === LINE_NORMAL && end > offset;
    if (hasStorage && (offset < upper || end > special)) {
      const reason = `the item of line ${line} is at ${offset} to ${end}, outside of ${upper} to ${special}`;
      return { kind: 'item', reason };
    }
  }
  return undefined;
}

/** Numbers that records name: how many lines the page has, and its bounds. */
export function pageNumbers(bytes: Uint8Array): number[] {
  const page = new Page(bytes);
  return [
    lineCount(page),
    ...[PAGE_LOWER, PAGE_UPPER, PAGE_SPECIAL].map((at) => page.view.getUint16(at, true)),
  ];
}

/** Fills what lies between the line pointers and the items of a sound page. */
export function fillHole({ bytes, view }: Page, fill: number): void {
  bytes.fill(fill, view.getUint16(PAGE_LOWER, true), view.getUint16(PAGE_UPPER, true));
}

/**
 * The first byte in which two pages differ that means something: up to the end of the line pointers, in an item, or in
 * the special space; -1 where there is none. Pages that are not sound are not compared.
 */
export function findContentDifference(left: Page, right: Page): number {
  if (findPageDamage(left) !== undefined) return -1;
  const { view } = left;
  const special = view.getUint16(PAGE_SPECIAL, true);
  const ranges = [
    [0, view.getUint16(PAGE_LOWER, true)],
    [special, BLOCK_BYTES],
  ];
  for (let line = 1; line <= lineCount(left); line++) {
    const pointer = view.getUint32(linePointerOffset(line), true);
    if (lineFlags(pointer) !== LINE_NORMAL) continue;
    ranges.push([lineItemOffset(pointer), lineItemOffset(pointer) + lineItemLength(pointer)]);
  }
  for (const [start, end] of ranges as [number, number][]) {
    for (let at = start; at < end; at++) if (left.bytes[at] !== right.bytes[at]) return at;
  }
  return -1;
}
