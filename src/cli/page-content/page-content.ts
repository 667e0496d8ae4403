/** The pieces that the description of every kind of page consists of. Values are for JSON and for text alike. */
import { itemPointerBlock, itemPointerOffsetNumber } from '../../postgres/page/item-pointer.ts';
import {
  LINE_NORMAL,
  LINE_REDIRECT,
  LINE_UNUSED,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  PAGE_HEADER_BYTES,
  type Page,
} from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';

export type FieldValues = Readonly<Record<string, unknown>>;

export interface PageItem {
  /** Number of the line pointer, from 1. */
  readonly line: number;
  readonly state: 'unused' | 'normal' | 'redirect' | 'dead';
  /** Where on the page, and how long. A redirection leads to line `offset`. */
  readonly offset: number;
  readonly length: number;
  readonly fields?: FieldValues;
  /** Why the item could not be looked into. */
  readonly problem?: string;
}

/** What is on a page beside its header. */
export interface PageContent {
  /** The special space, which tells the kind of page and its neighbours. */
  readonly special?: FieldValues;
  /** What stands in the place of items. */
  readonly contents?: FieldValues;
  readonly items?: readonly PageItem[];
  /** Why the rest could not be looked into. */
  readonly problem?: string;
}

/** One item's bytes in a buffer of their own, so that no offset in it can lead outside. */
export interface ItemBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const STATES: readonly PageItem['state'][] = ['unused', 'normal', 'redirect', 'dead'];

/** Describes all lines of a page. What does not fit the page is a problem of that item alone. */
export function describeItems(
  page: Page,
  describe: (item: ItemBytes, line: number) => FieldValues,
): PageItem[] {
  const items: PageItem[] = [];
  // Lines that share bytes would let a damaged page hold far more than its size.
  let room = BLOCK_BYTES;
  for (let line = 1; line <= lineCount(page); line++) {
    const item = describeItem(page, line, room, describe);
    if (item.fields !== undefined) room -= item.length;
    items.push(item);
  }
  return items;
}

function describeItem(
  page: Page,
  line: number,
  room: number,
  describe: (item: ItemBytes, line: number) => FieldValues,
): PageItem {
  const pointer = page.view.getUint32(linePointerOffset(line), true);
  const flags = lineFlags(pointer);
  const offset = lineItemOffset(pointer);
  const length = lineItemLength(pointer);
  const item = { line, state: STATES[flags] as PageItem['state'], offset, length };
  // Dead lines of indexes keep their items, those of heaps have none.
  if (flags === LINE_UNUSED || flags === LINE_REDIRECT || (flags !== LINE_NORMAL && length === 0))
    return item;
  if (offset < PAGE_HEADER_BYTES || offset + length > BLOCK_BYTES) {
    return { ...item, problem: 'the item does not lie on the page' };
  }
  if (length > room) return { ...item, problem: 'the items before it already fill the page' };
  const bytes = page.bytes.slice(offset, offset + length);
  const fields = orProblem(() => describe({ bytes, view: new DataView(bytes.buffer) }, line));
  return typeof fields === 'string' ? { ...item, problem: fields } : { ...item, fields };
}

/** What `describe` gives, or in words that it left the bytes that there are. */
export function orProblem<Value>(describe: () => Value): Value | string {
  try {
    return describe();
  } catch (error) {
    if (error instanceof RangeError) return 'the bytes end within a field';
    throw error;
  }
}

/** The names of the bits that are set, and what is left as a number. */
export function flagNames(flags: number, names: Readonly<Record<string, number>>): string[] {
  const found: string[] = [];
  let rest = flags;
  for (const [name, bit] of Object.entries(names)) {
    if ((flags & bit) !== bit) continue;
    found.push(name);
    rest &= ~bit;
  }
  if (rest !== 0) found.push(`0x${rest.toString(16)}`);
  return found;
}

/** `(block,line)`, as PostgreSQL prints a tid. */
export function tidText(view: DataView, offset: number): string {
  return `(${itemPointerBlock(view, offset)},${itemPointerOffsetNumber(view, offset)})`;
}
