import { AssertionError } from '../../base/errors.ts';
import { FORK_FREE_SPACE_MAP } from '../../postgres/wal/record-header.ts';
import { databaseKey, relationMapKey } from '../keyspace/keys.ts';
import { DATABASE_VALUE, NO_VALUE } from '../keyspace/stored-values.ts';
import type { HeadState } from './head-state.ts';
import type { IngestSink } from './ingest-sink.ts';
import { KeySink } from './key-sink.ts';
import type { DatabaseCopy, DatabaseDrop, DatabasePlace } from './missing.ts';

/** A fork of a relation of some database that is stored. */
export interface StoredFork {
  readonly relation: number;
  readonly fork: number;
  readonly blocks: number;
}

/** Databases that are copied or dropped as a whole, with what the driver has found in storage. */
export class DatabaseIngest {
  readonly #state: HeadState;

  constructor(state: HeadState) {
    this.#state = state;
  }

  /**
   * All but the pages: the target gets the forks of the source, and no others, the source's relation map, and exists.
   * @param map undefined where the source has none
   */
  copyForks(
    { target }: DatabaseCopy,
    sourceForks: readonly StoredFork[],
    targetForks: readonly StoredFork[],
    map: Uint8Array | undefined,
    sink: IngestSink,
  ): void {
    const { sizes, stems } = this.#state;
    const copied = new Set<number>();
    for (const stored of sourceForks) {
      if (stored.fork === FORK_FREE_SPACE_MAP) continue;
      const stem = this.#stemOf(target, stored);
      copied.add(stem);
      sizes.put(stem, stored.blocks, sink);
    }
    this.#drop(target, targetForks, copied, sink);
    const keys = new KeySink(stems, sink);
    keys.put(relationMapKey(target.tablespace, target.database), map ?? NO_VALUE);
    keys.put(databaseKey(target.tablespace, target.database), DATABASE_VALUE);
  }

  /** One page of the source, of a fork that was given to `copyForks`, as it was before the record. */
  copyPage(
    { target }: DatabaseCopy,
    stored: StoredFork,
    block: number,
    page: Uint8Array,
    sink: IngestSink,
  ): void {
    if (block >= stored.blocks) throw new AssertionError('a page behind the end of its fork was copied');
    sink.putImage(this.#stemOf(target, stored), block, page);
  }

  /** One of the places of a drop: `forks` are all that it has. */
  dropForks(drop: DatabaseDrop, place: DatabasePlace, forks: readonly StoredFork[], sink: IngestSink): void {
    if (!drop.places.includes(place)) throw new AssertionError('a database was dropped where it is not');
    this.#drop(place, forks, new Set(), sink);
    const keys = new KeySink(this.#state.stems, sink);
    keys.put(relationMapKey(place.tablespace, place.database), NO_VALUE);
    keys.put(databaseKey(place.tablespace, place.database), NO_VALUE);
  }

  #drop(
    place: DatabasePlace,
    forks: readonly StoredFork[],
    kept: ReadonlySet<number>,
    sink: IngestSink,
  ): void {
    for (const stored of forks) {
      const stem = this.#stemOf(place, stored);
      if (!kept.has(stem)) this.#state.sizes.putAbsent(stem, sink);
    }
  }

  #stemOf(place: DatabasePlace, { relation, fork }: StoredFork): number {
    return this.#state.sizes.stemOf(place.tablespace, place.database, relation, fork);
  }
}
