import { CorruptionError } from '../../base/errors.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { KIND_RELATION_BLOCK, KIND_RELATION_SIZE } from '../keyspace/keys.ts';
import { NO_VALUE } from '../keyspace/stored-values.ts';
import type { Stems } from '../layers/stems.ts';
import type { IngestSink } from './ingest-sink.ts';
import type { MissingRelationSizes } from './missing.ts';

/** Nobody has looked it up yet. */
export const SIZE_UNKNOWN = -2;
/** There is no such fork. */
export const SIZE_ABSENT = -1;
/** InvalidBlockNumber: a fork has less than 2^32 - 1 blocks. */
const INVALID_BLOCK = 0xffff_ffff;
const SIZES_AT_FIRST = 1024;

/** How many blocks each fork has at the timeline's last record, as far as it is known, by the stem of its blocks. */
export class RelationSizes {
  readonly #stems: Stems;
  readonly #encoded = new Uint8Array(4);
  readonly #encodedView = new DataView(this.#encoded.buffer);
  /** By stem: blocks, SIZE_ABSENT or SIZE_UNKNOWN. Another array when it has grown: `stemOf` makes it long enough. */
  blocks: Float64Array = new Float64Array(SIZES_AT_FIRST).fill(SIZE_UNKNOWN);

  constructor(stems: Stems) {
    this.#stems = stems;
  }

  /** The stem of a fork's blocks, an index into `blocks`. */
  stemOf(tablespace: number, database: number, relation: number, fork: number): number {
    const stem = this.#stems.intern(KIND_RELATION_BLOCK, tablespace, database, relation, fork);
    if (stem >= this.blocks.length) this.#grow(stem);
    return stem;
  }

  stemOfFork(relation: RelationLocator, fork: number): number {
    return this.stemOf(relation.tablespace, relation.database, relation.relation, fork);
  }

  /** The stem of the key that holds the fork's size; its index is 0. */
  sizeStemOf(stem: number): number {
    const stems = this.#stems;
    const { field2, field3, field4, field5 } = stems.keyOf(stem, 0);
    return stems.intern(KIND_RELATION_SIZE, field2, field3, field4, field5);
  }

  /** Makes a fork this long. */
  put(stem: number, blocks: number, sink: IngestSink): void {
    this.blocks[stem] = blocks;
    this.#encodedView.setUint32(0, blocks, true);
    sink.putImage(this.sizeStemOf(stem), 0, this.#encoded);
  }

  /** Makes a fork cease to be. Nothing is written where it is known not to be; where nothing is known that is as good. */
  putAbsent(stem: number, sink: IngestSink): void {
    if (this.blocks[stem] === SIZE_ABSENT) return;
    this.blocks[stem] = SIZE_ABSENT;
    sink.putImage(this.sizeStemOf(stem), 0, NO_VALUE);
  }

  /** Which of these stems nobody has looked up, each once; undefined if none. */
  findUnknown(stems: ArrayLike<number>, count: number): MissingRelationSizes | undefined {
    const unknown = new Set<number>();
    for (let index = 0; index < count; index++) {
      const stem = stems[index] as number;
      if (this.blocks[stem] === SIZE_UNKNOWN) unknown.add(stem);
    }
    if (unknown.size === 0) return undefined;
    const relations = [...unknown].map((stem) => {
      const { field2, field3, field4, field5 } = this.#stems.keyOf(stem, 0);
      return { stem, relation: { tablespace: field2, database: field3, relation: field4 }, fork: field5 };
    });
    return { kind: 'relation-sizes', relations };
  }

  #grow(stem: number): void {
    let length = this.blocks.length * 2;
    while (length <= stem) length *= 2;
    const blocks = new Float64Array(length).fill(SIZE_UNKNOWN);
    blocks.set(this.blocks);
    this.blocks = blocks;
  }
}

/** Refuses InvalidBlockNumber, which is no block. */
export function checkBlockNumber(block: number, lsn: number): void {
  if (block >= INVALID_BLOCK)
    throw new CorruptionError('BAD_WAL_RECORD', `no fork has a block ${block}`, { lsn });
}
