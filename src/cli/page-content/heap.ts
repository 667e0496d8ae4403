import {
  HEAP_COMBOCID,
  HEAP_HASEXTERNAL,
  HEAP_HASNULL,
  HEAP_HASOID_OLD,
  HEAP_HASVARWIDTH,
  HEAP_HOT_UPDATED,
  HEAP_KEYS_UPDATED,
  HEAP_MOVED,
  HEAP_MOVED_IN,
  HEAP_MOVED_OFF,
  HEAP_NATTS_MASK,
  HEAP_ONLY_TUPLE,
  HEAP_UPDATED,
  HEAP_XMAX_COMMITTED,
  HEAP_XMAX_EXCL_LOCK,
  HEAP_XMAX_INVALID,
  HEAP_XMAX_IS_MULTI,
  HEAP_XMAX_KEYSHR_LOCK,
  HEAP_XMAX_LOCK_ONLY,
  HEAP_XMIN_COMMITTED,
  HEAP_XMIN_FROZEN,
  HEAP_XMIN_INVALID,
  TUPLE_CID,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_HOFF,
  TUPLE_INFOMASK,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
  TUPLE_XMIN,
} from '../../postgres/page/heap-tuple.ts';
import { PAGE_SPECIAL, type Page } from '../../postgres/page/page.ts';
import {
  describeItems,
  type FieldValues,
  flagNames,
  type ItemBytes,
  type PageContent,
  tidText,
} from './page-content.ts';

const INFOMASK = {
  HASNULL: HEAP_HASNULL,
  HASVARWIDTH: HEAP_HASVARWIDTH,
  HASEXTERNAL: HEAP_HASEXTERNAL,
  HASOID_OLD: HEAP_HASOID_OLD,
  XMAX_KEYSHR_LOCK: HEAP_XMAX_KEYSHR_LOCK,
  COMBOCID: HEAP_COMBOCID,
  XMAX_EXCL_LOCK: HEAP_XMAX_EXCL_LOCK,
  XMAX_LOCK_ONLY: HEAP_XMAX_LOCK_ONLY,
  XMAX_COMMITTED: HEAP_XMAX_COMMITTED,
  XMAX_INVALID: HEAP_XMAX_INVALID,
  XMAX_IS_MULTI: HEAP_XMAX_IS_MULTI,
  UPDATED: HEAP_UPDATED,
  MOVED_OFF: HEAP_MOVED_OFF,
  MOVED_IN: HEAP_MOVED_IN,
};
/** The two bits together mean a third thing. */
const XMIN = { XMIN_COMMITTED: HEAP_XMIN_COMMITTED, XMIN_INVALID: HEAP_XMIN_INVALID };
const INFOMASK2 = {
  KEYS_UPDATED: HEAP_KEYS_UPDATED,
  HOT_UPDATED: HEAP_HOT_UPDATED,
  ONLY_TUPLE: HEAP_ONLY_TUPLE,
};

/** The header of a heap tuple, and its data. */
export function describeHeapTuple({ bytes, view }: ItemBytes): FieldValues {
  const infomask = view.getUint16(TUPLE_INFOMASK, true);
  const infomask2 = view.getUint16(TUPLE_INFOMASK2, true);
  const hoff = view.getUint8(TUPLE_HOFF);
  if (hoff < TUPLE_HEADER_BYTES || hoff > bytes.length)
    throw new RangeError('the header is longer than the tuple');
  const xmin = infomask & HEAP_XMIN_FROZEN;
  const hasBitmap = (infomask & HEAP_HASNULL) !== 0;
  return {
    xmin: view.getUint32(TUPLE_XMIN, true),
    xmax: view.getUint32(TUPLE_XMAX, true),
    [(infomask & HEAP_MOVED) === 0 ? 'cid' : 'xvac']: view.getUint32(TUPLE_CID, true),
    ctid: tidText(view, TUPLE_CTID),
    attributes: infomask2 & HEAP_NATTS_MASK,
    infomask: [
      ...(xmin === HEAP_XMIN_FROZEN ? ['XMIN_FROZEN'] : flagNames(xmin, XMIN)),
      ...flagNames(infomask & ~HEAP_XMIN_FROZEN, INFOMASK),
      ...flagNames(infomask2 & ~HEAP_NATTS_MASK, INFOMASK2),
    ],
    hoff,
    nullBitmap: hasBitmap ? bytes.subarray(TUPLE_HEADER_BYTES, hoff) : undefined,
    data: bytes.subarray(hoff),
  };
}

export function describeHeapPage(page: Page): PageContent {
  return { items: describeItems(page, describeHeapTuple) };
}

/** sequence.c: the one tuple is a row of pg_sequence's data columns. */
export function describeSequencePage(page: Page): PageContent {
  const special = page.view.getUint16(PAGE_SPECIAL, true);
  return {
    special: { magic: page.view.getUint32(special, true) },
    items: describeItems(page, (item) => {
      const { data: _, ...header } = describeHeapTuple(item);
      const data = item.view.getUint8(TUPLE_HOFF);
      return {
        ...header,
        lastValue: item.view.getBigInt64(data, true),
        logCount: item.view.getBigInt64(data + 8, true),
        isCalled: item.view.getUint8(data + 16) !== 0,
      };
    }),
  };
}
