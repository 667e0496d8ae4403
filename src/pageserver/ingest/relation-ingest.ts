import { visibilityMapBlock, visibilityMapBlocks } from '../../postgres/page/visibility-map.ts';
import {
  FORK_FREE_SPACE_MAP,
  FORK_INIT,
  FORK_MAIN,
  FORK_VISIBILITY_MAP,
} from '../../postgres/wal/record-header.ts';
import type {
  RelationCreateEffect,
  RelationDropEffect,
  RelationTruncateEffect,
} from '../../redo/effects/effect.ts';
import { VALUE_RECORD } from '../layers/value.ts';
import type { IngestSink } from './ingest-sink.ts';
import type { MissingRelationSizes } from './missing.ts';
import { type RelationSizes, SIZE_ABSENT } from './relation-sizes.ts';

/** The forks that are stored. */
const STORED_FORKS = [FORK_MAIN, FORK_VISIBILITY_MAP, FORK_INIT];

/** Forks that come into being, are cut and go by other records than those of their blocks. */
export class RelationIngest {
  readonly #sizes: RelationSizes;

  constructor(sizes: RelationSizes) {
    this.#sizes = sizes;
  }

  /** Which sizes the effect depends on and nobody has looked up. A drop depends on none. */
  findUnknown(effect: RelationCreateEffect | RelationTruncateEffect): MissingRelationSizes | undefined {
    const sizes = this.#sizes;
    if (effect.kind === 'relation-create') {
      if (effect.fork === FORK_FREE_SPACE_MAP) return undefined;
      return sizes.findUnknown([sizes.stemOfFork(effect.relation, effect.fork)], 1);
    }
    const stems = [FORK_MAIN, FORK_VISIBILITY_MAP].map((fork) => sizes.stemOfFork(effect.relation, fork));
    return sizes.findUnknown(stems, effect.visibilityMap ? 2 : 1);
  }

  apply(effect: RelationCreateEffect | RelationTruncateEffect | RelationDropEffect, sink: IngestSink): void {
    switch (effect.kind) {
      case 'relation-create':
        this.#create(effect, sink);
        break;
      case 'relation-truncate':
        this.#truncate(effect, sink);
        break;
      case 'relation-drop':
        for (const fork of STORED_FORKS) {
          this.#sizes.putAbsent(this.#sizes.stemOfFork(effect.relation, fork), sink);
        }
        break;
    }
  }

  #create({ relation, fork }: RelationCreateEffect, sink: IngestSink): void {
    if (fork === FORK_FREE_SPACE_MAP) return;
    const stem = this.#sizes.stemOfFork(relation, fork);
    if (this.#sizes.blocks[stem] === SIZE_ABSENT) this.#sizes.put(stem, 0, sink);
  }

  /** smgr_redo, SMGR_TRUNCATE; visibilitymap_prepare_truncate. Nothing of the map where it is not that long. */
  #truncate(effect: RelationTruncateEffect, sink: IngestSink): void {
    const sizes = this.#sizes;
    const { relation, blocks } = effect;
    const main = sizes.stemOfFork(relation, FORK_MAIN);
    const mainBlocks = sizes.blocks[main] as number;
    if (mainBlocks === SIZE_ABSENT) sizes.put(main, 0, sink);
    else if (effect.heap && mainBlocks > blocks) sizes.put(main, blocks, sink);
    if (!effect.visibilityMap) return;
    const map = sizes.stemOfFork(relation, FORK_VISIBILITY_MAP);
    const mapBlocks = sizes.blocks[map] as number;
    const mapBlock = visibilityMapBlock(blocks);
    const keptBlocks = visibilityMapBlocks(blocks);
    if (keptBlocks > mapBlock && mapBlocks > mapBlock) sink.putRecord(map, mapBlock, VALUE_RECORD);
    if (mapBlocks > keptBlocks) sizes.put(map, keptBlocks, sink);
  }
}
