/** Small heap pages and the records of Heap and Heap2, for tests. */
import {
  HEAP_XMAX_INVALID,
  TUPLE_CID,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_HOFF,
  TUPLE_INFOMASK,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
  TUPLE_XMIN,
} from '../../src/postgres/page/heap-tuple.ts';
import {
  itemPointerBlock,
  itemPointerOffsetNumber,
  setItemPointer,
} from '../../src/postgres/page/item-pointer.ts';
import {
  initializePage,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  Page,
} from '../../src/postgres/page/page.ts';
import { reserveItem } from '../../src/redo/page-items.ts';
import { ByteWriter } from './record-builder.ts';

export const HEAP_BLOCK = 0x2_0007;
export const OLD_XMIN = 700;

export interface TupleFields {
  readonly xmin?: number;
  readonly xmax?: number;
  readonly cid?: number;
  readonly infomask?: number;
  readonly infomask2?: number;
  readonly hoff?: number;
  readonly data: readonly number[];
}

/** Everything of a tuple that tests look at. */
export interface TupleView {
  readonly xmin: number;
  readonly xmax: number;
  readonly cid: number;
  readonly ctid: readonly [number, number];
  readonly infomask: number;
  readonly infomask2: number;
  readonly hoff: number;
  /** What follows t_hoff. */
  readonly data: readonly number[];
}

/** A tuple with a header of 24 bytes, unless `hoff` says otherwise; its ctid is itself. */
export function putTuple(page: Page, offsetNumber: number, fields: TupleFields): void {
  const hoff = fields.hoff ?? TUPLE_HEADER_BYTES + 1;
  const tuple = reserveItem(page, offsetNumber, hoff + fields.data.length, true, true);
  const { view } = page;
  view.setUint32(tuple + TUPLE_XMIN, fields.xmin ?? OLD_XMIN, true);
  view.setUint32(tuple + TUPLE_XMAX, fields.xmax ?? 0, true);
  view.setUint32(tuple + TUPLE_CID, fields.cid ?? 0, true);
  setItemPointer(view, tuple + TUPLE_CTID, HEAP_BLOCK, offsetNumber);
  view.setUint16(tuple + TUPLE_INFOMASK2, fields.infomask2 ?? 2, true);
  view.setUint16(tuple + TUPLE_INFOMASK, fields.infomask ?? HEAP_XMAX_INVALID, true);
  view.setUint8(tuple + TUPLE_HOFF, hoff);
  page.bytes.set(fields.data, tuple + hoff);
}

/** A page with the given tuples in lines 1, 2, … */
export function heapPage(...tuples: readonly TupleFields[]): Page {
  const page = new Page();
  initializePage(page, 0);
  tuples.forEach((tuple, index) => {
    putTuple(page, index + 1, tuple);
  });
  return page;
}

export function getLine(page: Page, offsetNumber: number): number {
  return page.view.getUint32(linePointerOffset(offsetNumber), true);
}

/** [flags, offset or redirect target, length] of all lines. */
export function linesOf(page: Page): (readonly [number, number, number])[] {
  return Array.from({ length: lineCount(page) }, (_, index) => {
    const pointer = getLine(page, index + 1);
    return [lineFlags(pointer), lineItemOffset(pointer), lineItemLength(pointer)];
  });
}

export function tupleOf(page: Page, offsetNumber: number): TupleView {
  const pointer = getLine(page, offsetNumber);
  const tuple = lineItemOffset(pointer);
  const { view } = page;
  const hoff = view.getUint8(tuple + TUPLE_HOFF);
  const ctid = tuple + TUPLE_CTID;
  return {
    xmin: view.getUint32(tuple + TUPLE_XMIN, true),
    xmax: view.getUint32(tuple + TUPLE_XMAX, true),
    cid: view.getUint32(tuple + TUPLE_CID, true),
    ctid: [itemPointerBlock(view, ctid), itemPointerOffsetNumber(view, ctid)],
    infomask: view.getUint16(tuple + TUPLE_INFOMASK, true),
    infomask2: view.getUint16(tuple + TUPLE_INFOMASK2, true),
    hoff,
    data: [...page.bytes.subarray(tuple + hoff, tuple + lineItemLength(pointer))],
  };
}

/** An xl_heap_header and what follows it: one byte of padding up to t_hoff 24, then the data. */
export function walTuple(infomask2: number, infomask: number, data: readonly number[]): Uint8Array {
  return new ByteWriter().u16(infomask2).u16(infomask).u8(24).u8(0).bytes(data).finish();
}

/** `count` different bytes. */
export function sampleData(count: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, index) => (seed * 31 + index * 7) & 0xff);
}
