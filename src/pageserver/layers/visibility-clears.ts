/**
 * What a heap record clears in a page of the visibility map that it does not name, without the record: a number of
 * entries, each of them a heap block (u32, big-endian) and the VISIBILITYMAP_* bits that are cleared (u8).
 */
import { CorruptionError } from '../../base/errors.ts';
import type { Page } from '../../postgres/page/page.ts';
import {
  clearVisibility,
  initializeNewMapPage,
  VISIBILITYMAP_ALL_FROZEN,
  VISIBILITYMAP_VALID_BITS,
  visibilityMapBlock,
} from '../../postgres/page/visibility-map.ts';
import { FORK_VISIBILITY_MAP } from '../../postgres/wal/record-header.ts';
import type { Key } from '../keyspace/key.ts';
import { KIND_RELATION_BLOCK } from '../keyspace/keys.ts';

/** Of one entry. */
export const CLEAR_BYTES: number = 4 + 1;
const CLEAR_BITS = 4;
/** Entries of a value: an update clears the bits of two heap blocks. */
export const CLEARS_MAX = 2;

export function writeClear(view: DataView, offset: number, heapBlock: number, bits: number): void {
  view.setUint32(offset, heapBlock);
  view.setUint8(offset + CLEAR_BITS, bits);
}

/**
 * visibilitymap_pin, which makes a new page an empty one, and visibilitymap_clear, as heap_xlog_vm_clear calls them for a
 * page that the record does not name: whatever the page's LSN is, and it stays what it is.
 * @throws CorruptionError where the value is not one of this page, which is undefined then
 */
export function applyVisibilityClears(
  key: Key,
  view: DataView,
  offset: number,
  length: number,
  page: Page,
): void {
  if (key.kind !== KIND_RELATION_BLOCK || key.field5 !== FORK_VISIBILITY_MAP) {
    throw new CorruptionError('BAD_VALUE', 'it clears visibility in a page that is no visibility map');
  }
  checkLength(length);
  initializeNewMapPage(page);
  for (let at = offset; at < offset + length; at += CLEAR_BYTES) {
    const heapBlock = view.getUint32(at);
    const bits = view.getUint8(at + CLEAR_BITS);
    checkClear(heapBlock, bits, key.index);
    clearVisibility(page, heapBlock, bits);
  }
}

/** For those who look into layers. @throws CorruptionError where it is no such value of the page `mapBlock` */
export function decodeVisibilityClears(
  bytes: Uint8Array,
  mapBlock: number,
): { readonly heapBlock: number; readonly bits: number }[] {
  checkLength(bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / CLEAR_BYTES }, (_, index) => {
    const heapBlock = view.getUint32(index * CLEAR_BYTES);
    const bits = view.getUint8(index * CLEAR_BYTES + CLEAR_BITS);
    checkClear(heapBlock, bits, mapBlock);
    return { heapBlock, bits };
  });
}

function checkLength(length: number): void {
  if (length === 0 || length % CLEAR_BYTES !== 0 || length > CLEARS_MAX * CLEAR_BYTES) {
    throw new CorruptionError('BAD_VALUE', `${length} bytes do not say which visibility is cleared`);
  }
}

/** visibilitymap_clear never leaves a block frozen that is not visible to all. */
function checkClear(heapBlock: number, bits: number, mapBlock: number): void {
  if (bits !== VISIBILITYMAP_ALL_FROZEN && bits !== VISIBILITYMAP_VALID_BITS) {
    throw new CorruptionError('BAD_VALUE', `visibility bits ${bits} are never cleared`);
  }
  if (visibilityMapBlock(heapBlock) !== mapBlock) {
    throw new CorruptionError(
      'BAD_VALUE',
      `heap block ${heapBlock} is not in page ${mapBlock} of the visibility map`,
    );
  }
}
