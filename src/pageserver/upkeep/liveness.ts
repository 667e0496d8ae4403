import { AssertionError } from '../../base/errors.ts';
import {
  compareEncodedKeys,
  compareKeys,
  equalKeys,
  KEY_BYTES,
  type Key,
  readKey,
  writeKey,
} from '../keyspace/key.ts';
import { KIND_RECORD_POSITIONS, KIND_RELATION_BLOCK, KIND_SLRU_BLOCK } from '../keyspace/keys.ts';
import { stretchOfKey } from '../layers/record-positions.ts';

const INDEX_BYTES = 4;
const STEM_BYTES: number = KEY_BYTES - INDEX_BYTES;

/**
 * Which pages existed at an LSN, or at some of several: all below the number of blocks of a relation's fork, or of pages of an SLRU's segment,
 * that was not dropped. Plain data, for jobs. Values of other pages linger in older layers and must not be carried on.
 */
export interface Liveness {
  /** For each the key of its first block or page, ascending, 18 bytes each. */
  readonly firstKeys: Uint8Array;
  readonly blockCounts: Uint32Array;
  /** Positions of records in stretches of WAL before this one are not wanted any more (record-positions.ts). */
  readonly firstStretch: number;
}

/** A fork of a relation or a segment of an SLRU, by the key of its first block or page, and how many there are. */
export interface LivePages {
  readonly firstKey: Key;
  readonly blocks: number;
}

/** Of what is there several times, as of several LSNs, the longest; in the order of keys. */
export function joinPages(pages: readonly LivePages[]): LivePages[] {
  const sorted = pages.toSorted((left, right) => compareKeys(left.firstKey, right.firstKey));
  const joined: LivePages[] = [];
  for (const page of sorted) {
    const last = joined.at(-1);
    if (last === undefined || !equalKeys(last.firstKey, page.firstKey)) joined.push(page);
    else if (page.blocks > last.blocks) joined[joined.length - 1] = page;
  }
  return joined;
}

/** @param things in the order of their keys */
export function makeLiveness(things: readonly LivePages[], firstStretch = 0): Liveness {
  const firstKeys = new Uint8Array(things.length * KEY_BYTES);
  const view = new DataView(firstKeys.buffer);
  const blockCounts = new Uint32Array(things.length);
  for (const [index, { firstKey, blocks }] of things.entries()) {
    writeKey(view, index * KEY_BYTES, firstKey);
    blockCounts[index] = blocks;
    if (index > 0 && compareEncodedKeys(view, (index - 1) * KEY_BYTES, view, index * KEY_BYTES) >= 0) {
      throw new AssertionError('what is alive must be given in the order of keys');
    }
  }
  return { firstKeys, blockCounts, firstStretch };
}

/** Tells of keys whether they are alive. To be asked with ascending keys. */
export class LivenessSweep {
  readonly #firstKeys: DataView;
  readonly #blockCounts: Uint32Array;
  readonly #firstStretch: number;
  #at = 0;

  constructor({ firstKeys, blockCounts, firstStretch }: Liveness) {
    this.#firstKeys = new DataView(firstKeys.buffer, firstKeys.byteOffset, firstKeys.byteLength);
    this.#blockCounts = blockCounts;
    this.#firstStretch = firstStretch;
  }

  /** Of most that are no pages it is true: their values themselves say whether they exist. */
  isAlive(key: DataView, keyOffset: number): boolean {
    const kind = key.getUint8(keyOffset);
    if (kind === KIND_RECORD_POSITIONS) return stretchOfKey(readKey(key, keyOffset)) >= this.#firstStretch;
    if (kind !== KIND_RELATION_BLOCK && kind !== KIND_SLRU_BLOCK) return true;
    const count = this.#blockCounts.length;
    let order = 1;
    while (this.#at < count) {
      order = compareStems(this.#firstKeys, this.#at * KEY_BYTES, key, keyOffset);
      if (order >= 0) break;
      this.#at++;
    }
    if (order !== 0) return false;
    return key.getUint32(keyOffset + STEM_BYTES) < (this.#blockCounts[this.#at] as number);
  }
}

function compareStems(left: DataView, leftOffset: number, right: DataView, rightOffset: number): number {
  return (
    left.getUint32(leftOffset) - right.getUint32(rightOffset) ||
    left.getUint32(leftOffset + 4) - right.getUint32(rightOffset + 4) ||
    left.getUint32(leftOffset + 8) - right.getUint32(rightOffset + 8) ||
    left.getUint16(leftOffset + 12) - right.getUint16(rightOffset + 12)
  );
}
