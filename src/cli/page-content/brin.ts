import * as layout from '../../postgres/page/brin-page.ts';
import { ITEM_POINTER_BYTES, itemPointerOffsetNumber } from '../../postgres/page/item-pointer.ts';
import type { Page } from '../../postgres/page/page.ts';
import { describeItems, type FieldValues, flagNames, type PageContent, tidText } from './page-content.ts';

const TYPES: Readonly<Record<number, string>> = {
  [layout.BRIN_PAGETYPE_META]: 'meta',
  [layout.BRIN_PAGETYPE_REVMAP]: 'revmap',
  [layout.BRIN_PAGETYPE_REGULAR]: 'regular',
};
/** bt_info (brin_tuple.h). */
const DATA_OFFSET_MASK = 0x1f;
const TUPLE_FLAGS = { EMPTY_RANGE: 0x20, PLACEHOLDER: 0x40, NULLS: 0x80 };

export function describeBrinPage(page: Page): PageContent {
  const { view } = page;
  const type = view.getUint16(layout.BRIN_PAGE_TYPE, true);
  const special = {
    type: TYPES[type],
    flags: flagNames(view.getUint16(layout.BRIN_PAGE_FLAGS, true), {
      EVACUATE_PAGE: layout.BRIN_EVACUATE_PAGE,
    }),
  };
  if (type === layout.BRIN_PAGETYPE_META) return { special, contents: describeMeta(view) };
  if (type === layout.BRIN_PAGETYPE_REVMAP) return { special, contents: describeRevmap(view) };
  return {
    special,
    items: describeItems(page, ({ bytes, view: item }) => {
      const info = item.getUint8(layout.BRIN_TUPLE_INFO);
      return {
        heapBlock: item.getUint32(layout.BRIN_TUPLE_BLOCK, true),
        flags: flagNames(info & ~DATA_OFFSET_MASK, TUPLE_FLAGS),
        data: bytes.subarray(info & DATA_OFFSET_MASK),
      };
    }),
  };
}

function describeMeta(view: DataView): FieldValues {
  return {
    magic: view.getUint32(layout.BRIN_META_MAGIC_OFFSET, true),
    version: view.getUint32(layout.BRIN_META_VERSION, true),
    pagesPerRange: view.getUint32(layout.BRIN_META_PAGES_PER_RANGE, true),
    lastRevmapPage: view.getUint32(layout.BRIN_META_LAST_REVMAP_PAGE, true),
  };
}

/** The ranges that have a tuple, by their number on this page. */
function describeRevmap(view: DataView): FieldValues {
  const tidsByRange: Record<string, string> = {};
  for (let range = 0; range < layout.REVMAP_PAGE_MAXITEMS; range++) {
    const offset = layout.BRIN_REVMAP_TIDS + range * ITEM_POINTER_BYTES;
    if (itemPointerOffsetNumber(view, offset) !== 0) tidsByRange[String(range)] = tidText(view, offset);
  }
  return { tidsByRange };
}
