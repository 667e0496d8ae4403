import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { formatRelationPath, RELATION_SEGMENT_BLOCKS } from '../../src/postgres/files/relation-file-name.ts';
import { Page } from '../../src/postgres/page/page.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';

const POOL_PAGES = 1024;
/** Tablespace, database, relation, fork, block. */
const KEY_WORDS = 5;

/**
 * The pages that a piece of WAL names, in memory, found by a hash of the block's place as PostgreSQL finds its
 * buffers. A page is first as it was in the data directory `snapshot`, or zeros if it was not there.
 */
export class PageTable {
  readonly pages: Page[] = [];
  readonly #base: Uint8Array[] = [];
  readonly #snapshot: string;
  #keys: Uint32Array = new Uint32Array(4096 * KEY_WORDS);
  /** Index of the page plus one; 0 where the slot is free. */
  #slots: Int32Array = new Int32Array(8192);
  #pool = new Uint8Array(0);
  #basePool = new Uint8Array(0);
  readonly #files = new Map<string, number>();

  constructor(snapshot: string) {
    this.#snapshot = snapshot;
  }

  /** Index in `pages` of the block that a record names, or -1. */
  find(record: DecodedRecord, blockId: number): number {
    const tablespace = record.blockTablespace[blockId] as number;
    const database = record.blockDatabase[blockId] as number;
    const relation = record.blockRelation[blockId] as number;
    const fork = record.blockFork[blockId] as number;
    const block = record.blockNumber[blockId] as number;
    const keys = this.#keys;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash(relation, fork, block) & mask;
    for (;;) {
      const index = (slots[slot] as number) - 1;
      if (index < 0) return -1;
      const key = index * KEY_WORDS;
      if (
        keys[key + 4] === block &&
        keys[key + 2] === relation &&
        keys[key + 3] === fork &&
        keys[key + 1] === database &&
        keys[key] === tablespace
      ) {
        return index;
      }
      slot = (slot + 1) & mask;
    }
  }

  /** Like `find`, but reads a page from the snapshot that is not here yet. */
  load(record: DecodedRecord, blockId: number): number {
    const known = this.find(record, blockId);
    if (known >= 0) return known;
    const index = this.pages.length;
    if (index % POOL_PAGES === 0) {
      this.#pool = new Uint8Array(POOL_PAGES * BLOCK_BYTES);
      this.#basePool = new Uint8Array(POOL_PAGES * BLOCK_BYTES);
    }
    const offset = (index % POOL_PAGES) * BLOCK_BYTES;
    this.pages.push(new Page(this.#pool.subarray(offset, offset + BLOCK_BYTES)));
    this.#base.push(this.#basePool.subarray(offset, offset + BLOCK_BYTES));
    this.#insert(record, blockId, index);
    this.#readBase(record, blockId, this.#base[index] as Uint8Array);
    (this.pages[index] as Page).bytes.set(this.#base[index] as Uint8Array);
    return index;
  }

  /** Puts all pages back to what they were in the snapshot. */
  reset(): void {
    for (const [index, base] of this.#base.entries()) (this.pages[index] as Page).bytes.set(base);
  }

  /** Closes the files of the snapshot. */
  close(): void {
    for (const descriptor of this.#files.values()) {
      if (descriptor >= 0) closeSync(descriptor);
    }
    this.#files.clear();
  }

  #insert(record: DecodedRecord, blockId: number, index: number): void {
    if ((index + 1) * KEY_WORDS > this.#keys.length) {
      const larger = new Uint32Array(this.#keys.length * 2);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    this.#keys.set(
      [
        record.blockTablespace[blockId] as number,
        record.blockDatabase[blockId] as number,
        record.blockRelation[blockId] as number,
        record.blockFork[blockId] as number,
        record.blockNumber[blockId] as number,
      ],
      index * KEY_WORDS,
    );
    if ((index + 1) * 2 > this.#slots.length) {
      this.#slots = new Int32Array(this.#slots.length * 2);
      for (let other = 0; other < index; other++) this.#occupy(other);
    }
    this.#occupy(index);
  }

  #occupy(index: number): void {
    const key = index * KEY_WORDS;
    const mask = this.#slots.length - 1;
    let slot =
      hash(this.#keys[key + 2] as number, this.#keys[key + 3] as number, this.#keys[key + 4] as number) &
      mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = index + 1;
  }

  #readBase(record: DecodedRecord, blockId: number, target: Uint8Array): void {
    const block = record.blockNumber[blockId] as number;
    const path = formatRelationPath(record.version, {
      relation: {
        tablespace: record.blockTablespace[blockId] as number,
        database: record.blockDatabase[blockId] as number,
        relation: record.blockRelation[blockId] as number,
      },
      fork: record.blockFork[blockId] as number,
      segment: Math.floor(block / RELATION_SEGMENT_BLOCKS),
      temporaryBackend: undefined,
    });
    let descriptor = this.#files.get(path);
    if (descriptor === undefined) {
      const file = join(this.#snapshot, path);
      descriptor = existsSync(file) ? openSync(file, 'r') : -1;
      this.#files.set(path, descriptor);
    }
    if (descriptor >= 0)
      readSync(descriptor, target, 0, BLOCK_BYTES, (block % RELATION_SEGMENT_BLOCKS) * BLOCK_BYTES);
  }
}

function hash(relation: number, fork: number, block: number): number {
  let value = Math.imul(block, 0x9e3779b1) ^ Math.imul(relation + fork * 0x10001, 0x85ebca6b);
  value ^= value >>> 15;
  return Math.imul(value, 0x2c1b3c6d) >>> 7;
}
