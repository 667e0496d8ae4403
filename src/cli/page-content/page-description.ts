/** A page as a whole: what kind it is of, its header, and what is on it. */
import { BRIN_PAGE_TYPE, BRIN_PAGETYPE_META, BRIN_PAGETYPE_REGULAR } from '../../postgres/page/brin-page.ts';
import { GIST_PAGE_ID } from '../../postgres/page/gist-page.ts';
import { HASH_PAGE_ID } from '../../postgres/page/hash-page.ts';
import {
  getPageLsn,
  isNewPage,
  lineCount,
  PAGE_ALL_VISIBLE,
  PAGE_CHECKSUM,
  PAGE_FLAGS,
  PAGE_FULL,
  PAGE_HAS_FREE_LINES,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_SIZE_VERSION,
  PAGE_SPECIAL,
  PAGE_UPPER,
  type Page,
} from '../../postgres/page/page.ts';
import { SPGIST_PAGE_ID } from '../../postgres/page/spgist-page.ts';
import { SEQUENCE_MAGIC } from '../../postgres/rmgr/sequence.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP, FORK_VISIBILITY_MAP } from '../../postgres/wal/record-header.ts';
import { describeBrinPage } from './brin.ts';
import { describeBtreePage } from './btree.ts';
import { describeGinPage } from './gin.ts';
import { describeGistPage } from './gist.ts';
import { describeHashPage } from './hash.ts';
import { describeHeapPage, describeSequencePage } from './heap.ts';
import { describeFreeSpaceMap, describeVisibilityMap } from './maps.ts';
import { describeItems, type FieldValues, flagNames, type PageContent } from './page-content.ts';
import { describeSpgistPage } from './spgist.ts';

/** BLOOM_PAGE_ID (contrib/bloom/bloom.h). */
const BLOOM_PAGE_ID = 0xff83;
/** Special spaces: of btree, hash and GiST on the one hand, of SP-GiST, GIN, BRIN, bloom and sequences on the other. */
const LONG_SPECIAL_BYTES = 16;
const SHORT_SPECIAL_BYTES = 8;
const PAGE_ID_OFFSET = BLOCK_BYTES - 2;
const SIZE_MASK = 0xff00;

const DESCRIBE = {
  new: (): PageContent => ({}),
  heap: describeHeapPage,
  sequence: describeSequencePage,
  btree: describeBtreePage,
  hash: describeHashPage,
  gist: describeGistPage,
  spgist: describeSpgistPage,
  gin: describeGinPage,
  brin: describeBrinPage,
  bloom: (): PageContent => ({ problem: 'pages of bloom indexes are not looked into' }),
  'visibility map': describeVisibilityMap,
  'free space map': describeFreeSpaceMap,
  unknown: (page: Page): PageContent => ({
    items: describeItems(page, ({ bytes }) => ({ data: bytes })),
    problem: 'the special space is of no known kind of page',
  }),
} satisfies Readonly<Record<string, (page: Page, block: number) => PageContent>>;

export type PageKind = keyof typeof DESCRIBE;

export interface PageDescription {
  readonly kind: PageKind;
  readonly header: FieldValues;
  readonly content: PageContent;
}

/**
 * Never fails: what cannot be looked into is a `problem`. `fork` tells the maps, whose pages do not say what they are.
 */
export function describePage(page: Page, fork: number, block: number): PageDescription {
  const kind = recognizeKind(page, fork, block);
  return { kind, header: describeHeader(page), content: DESCRIBE[kind](page, block) };
}

/** By the special space and the number at the page's end, as pg_filedump does. */
export function recognizeKind(page: Page, fork: number, block: number): PageKind {
  const { view } = page;
  if (isNewPage(page)) return 'new';
  if (fork === FORK_VISIBILITY_MAP) return 'visibility map';
  if (fork === FORK_FREE_SPACE_MAP) return 'free space map';
  const special = view.getUint16(PAGE_SPECIAL, true);
  const pageId = view.getUint16(PAGE_ID_OFFSET, true);
  switch (BLOCK_BYTES - special) {
    case 0:
      return 'heap';
    case LONG_SPECIAL_BYTES:
      if (pageId === HASH_PAGE_ID) return 'hash';
      return pageId === GIST_PAGE_ID ? 'gist' : 'btree';
    case SHORT_SPECIAL_BYTES: {
      if (pageId === SPGIST_PAGE_ID) return 'spgist';
      if (pageId === BLOOM_PAGE_ID) return 'bloom';
      const brinType = view.getUint16(BRIN_PAGE_TYPE, true);
      if (brinType >= BRIN_PAGETYPE_META && brinType <= BRIN_PAGETYPE_REGULAR) return 'brin';
      // An inner page of GIN with this right link looks alike, but is never block 0.
      const isSequence =
        view.getUint32(special, true) === SEQUENCE_MAGIC && block === 0 && lineCount(page) === 1;
      return isSequence ? 'sequence' : 'gin';
    }
    default:
      return 'unknown';
  }
}

function describeHeader(page: Page): FieldValues {
  const { view } = page;
  const flags = view.getUint16(PAGE_FLAGS, true);
  const sizeVersion = view.getUint16(PAGE_SIZE_VERSION, true);
  const lower = view.getUint16(PAGE_LOWER, true);
  const upper = view.getUint16(PAGE_UPPER, true);
  const special = view.getUint16(PAGE_SPECIAL, true);
  const isInOrder =
    PAGE_HEADER_BYTES <= lower && lower <= upper && upper <= special && special <= BLOCK_BYTES;
  return {
    lsn: getPageLsn(page),
    checksum: view.getUint16(PAGE_CHECKSUM, true),
    flags: flagNames(flags, {
      HAS_FREE_LINES: PAGE_HAS_FREE_LINES,
      PAGE_FULL,
      ALL_VISIBLE: PAGE_ALL_VISIBLE,
    }),
    lower,
    upper,
    special,
    pageSize: sizeVersion & SIZE_MASK,
    layoutVersion: sizeVersion & ~SIZE_MASK,
    pruneXid: view.getUint32(PAGE_PRUNE_XID, true),
    problem: isInOrder || isNewPage(page) ? undefined : 'lower, upper and special are out of order',
  };
}
