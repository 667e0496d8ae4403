/**
 * A timeline in memory: all that WalIngest says is kept as it says it, and is read in the plainest way there is. What the
 * real layers give must be the same.
 */
import type { StoredFork } from '../../src/pageserver/ingest/database-ingest.ts';
import { HEAD_STATE_RANGES, HeadState } from '../../src/pageserver/ingest/head-state.ts';
import type { IngestSink } from '../../src/pageserver/ingest/ingest-sink.ts';
import type { DatabasePlace, Missing } from '../../src/pageserver/ingest/missing.ts';
import { WalIngest } from '../../src/pageserver/ingest/wal-ingest.ts';
import { formatKey, type Key } from '../../src/pageserver/keyspace/key.ts';
import { isInRange, type KeyRange } from '../../src/pageserver/keyspace/key-range.ts';
import {
  databaseRange,
  KIND_RELATION_BLOCK,
  KIND_RELATION_SIZE,
  relationMapKey,
  relationSizeKey,
} from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import { ValueApplier } from '../../src/pageserver/layers/apply-value.ts';
import { FoundValues } from '../../src/pageserver/layers/found-values.ts';
import { Stems } from '../../src/pageserver/layers/stems.ts';
import { VALUE_IMAGE, VALUE_NEEDS_NO_BASE, VALUE_POISON } from '../../src/pageserver/layers/value.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';

export interface MemoryValue {
  readonly lsn: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

const ZERO_PAGE = new Uint8Array(BLOCK_BYTES);

export class MemoryTimeline implements IngestSink {
  readonly stems = new Stems();
  /** By stem and index, oldest first. */
  readonly #values: Map<number, MemoryValue[]>[] = [];
  readonly #applier = new ValueApplier(POSTGRES_17);
  readonly #found = new FoundValues();
  /** What was missing so far, by kind. */
  readonly missing = new Map<string, number>();
  state: HeadState;
  ingest: WalIngest;
  #record: DecodedRecord | undefined;
  #recordBytes: Uint8Array | undefined;
  /** Of the last record. */
  lsn = 0;

  constructor() {
    this.state = new HeadState(POSTGRES_17, this.stems);
    this.ingest = new WalIngest(this.state);
  }

  /** Forgets all but the stored values, and reads what it needs from them, as after a restart. */
  restart(): void {
    this.state = new HeadState(POSTGRES_17, this.stems);
    for (const range of HEAD_STATE_RANGES) {
      for (const { key, value } of this.scan(range)) this.state.restore(key, value);
    }
    this.ingest = new WalIngest(this.state);
  }

  putRecord(stem: number, index: number, flags: number): void {
    const { bytes, offset, totalLength } = this.#record as DecodedRecord;
    this.#recordBytes ??= bytes.slice(offset, offset + totalLength);
    this.#push(stem, index, { lsn: this.lsn, flags, bytes: this.#recordBytes });
  }

  putVisibilityClears(stem: number, index: number, flags: number, bytes: Uint8Array, length: number): void {
    this.#push(stem, index, { lsn: this.lsn, flags, bytes: bytes.slice(0, length) });
  }

  putImage(stem: number, index: number, bytes: Uint8Array): void {
    this.#push(stem, index, { lsn: this.lsn, flags: VALUE_IMAGE, bytes: bytes.slice() });
  }

  putZeroPage(stem: number, index: number): void {
    this.#push(stem, index, { lsn: this.lsn, flags: VALUE_IMAGE, bytes: ZERO_PAGE });
  }

  putPoison(stem: number, index: number, text: Uint8Array): void {
    this.#push(stem, index, {
      lsn: this.lsn,
      flags: VALUE_POISON | VALUE_NEEDS_NO_BASE,
      bytes: text.slice(),
    });
  }

  /** A value that no record brings. */
  put(key: Key, value: Uint8Array): void {
    this.putImage(this.#stemOf(key), key.index, value);
  }

  #stemOf({ kind, field2, field3, field4, field5 }: Key): number {
    return this.stems.intern(kind, field2, field3, field4, field5);
  }

  #push(stem: number, index: number, value: MemoryValue): void {
    let ofStem = this.#values[stem];
    if (ofStem === undefined) {
      ofStem = new Map();
      this.#values[stem] = ofStem;
    }
    const values = ofStem.get(index);
    if (values === undefined) {
      ofStem.set(index, [value]);
      return;
    }
    if ((values.at(-1) as MemoryValue).lsn >= value.lsn) {
      throw new Error(`${formatKey(this.stems.keyOf(stem, index))} gets two values at ${value.lsn}`);
    }
    values.push(value);
  }

  /** Does what a driver does with one record. Returns whether it was poisoned. */
  take(record: DecodedRecord): boolean {
    this.#record = record;
    this.#recordBytes = undefined;
    this.lsn = record.endLsn;
    let failure: unknown;
    try {
      while (!this.#provide(record, this.ingest.ingest(record, this)));
      return false;
    } catch (error) {
      failure = error;
    }
    while (!this.#provide(record, this.ingest.poison(record, failure, this)));
    return true;
  }

  /** Returns whether the record has been taken in. */
  #provide(record: DecodedRecord, missing: Missing | undefined): boolean {
    if (missing === undefined) return true;
    this.missing.set(missing.kind, (this.missing.get(missing.kind) ?? 0) + 1);
    const before = this.lsn - 1;
    switch (missing.kind) {
      case 'relation-sizes':
        for (const { stem, relation, fork } of missing.relations) {
          const value = this.read(relationSizeKey(relation, fork), before);
          this.ingest.provideRelationSize(stem, value === undefined ? undefined : decodeSize(value));
        }
        return false;
      case 'auxiliary-files':
        this.ingest.provideAuxiliaryFiles(this.read(missing.key, before));
        return false;
      case 'zero-pages':
        while (!this.ingest.fillZeroPages(missing.pages, this));
        return false;
      case 'database-drop':
        for (const place of missing.places) this.ingest.dropForks(missing, place, this.forks(place), this);
        break;
      case 'database-copy': {
        const { source, target } = missing;
        const forks = this.forks(source);
        const map = this.read(relationMapKey(source.tablespace, source.database), before);
        this.ingest.copyForks(missing, forks, this.forks(target), map, this);
        for (const fork of forks) {
          for (let block = 0; block < fork.blocks; block++) {
            const page = this.readPage(blockKey(source, fork, block), before);
            this.ingest.copyPage(missing, fork, block, page.bytes, this);
          }
        }
        break;
      }
    }
    this.ingest.finishDatabaseOperation(record, this);
    return true;
  }

  /** All forks of a database that exist. */
  forks(place: DatabasePlace): StoredFork[] {
    const range = databaseRange(KIND_RELATION_SIZE, place.tablespace, place.database);
    return this.scan(range).map(({ key, value }) => {
      return { relation: key.field4, fork: key.field5, blocks: decodeSize(value) };
    });
  }

  /** What exists under the keys of a range now. */
  scan(range: KeyRange): { key: Key; value: Uint8Array }[] {
    const found: { key: Key; value: Uint8Array }[] = [];
    for (const [stem, ofStem] of this.#values.entries()) {
      if (ofStem === undefined || !isInRange(range, this.stems.keyOf(stem, 0xffff_ffff))) continue;
      for (const [index, values] of ofStem) {
        const value = (values.at(-1) as MemoryValue).bytes;
        if (value.length > 0) found.push({ key: this.stems.keyOf(stem, index), value });
      }
    }
    return found;
  }

  /** All values of a key, oldest first. */
  values(key: Key): readonly MemoryValue[] {
    return this.#values[this.#stemOf(key)]?.get(key.index) ?? [];
  }

  /** Everything that has been put, in the order of stems. */
  *all(): Generator<{ key: Key; value: MemoryValue }> {
    for (const [stem, ofStem] of this.#values.entries()) {
      for (const [index, values] of ofStem ?? []) {
        for (const value of values) yield { key: this.stems.keyOf(stem, index), value };
      }
    }
  }

  /** The newest value at or below an LSN; undefined where nothing exists. Not for pages. */
  read(key: Key, lsn: number = this.lsn): Uint8Array | undefined {
    const value = this.values(key).findLast((candidate) => candidate.lsn <= lsn);
    return value === undefined || value.bytes.length === 0 ? undefined : value.bytes;
  }

  readPage(key: Key, lsn: number = this.lsn): Page {
    const found = this.#found;
    found.clear();
    for (const { lsn: valueLsn, flags, bytes } of this.values(key).toReversed()) {
      if (valueLsn > lsn || found.isComplete) continue;
      found.push(
        bytes,
        new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
        0,
        bytes.length,
        valueLsn,
        flags,
      );
    }
    const page = new Page();
    this.#applier.reconstruct(key, found, page);
    return page;
  }

  /** Blocks of a fork, undefined where there is none. */
  size(
    relation: { tablespace: number; database: number; relation: number },
    fork: number,
  ): number | undefined {
    const value = this.read(relationSizeKey(relation, fork));
    return value === undefined ? undefined : decodeSize(value);
  }
}

function blockKey(place: DatabasePlace, { relation, fork }: StoredFork, block: number): Key {
  return {
    kind: KIND_RELATION_BLOCK,
    field2: place.tablespace,
    field3: place.database,
    field4: relation,
    field5: fork,
    index: block,
  };
}
