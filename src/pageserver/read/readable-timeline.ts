import type { Pass } from '../../base/gate.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { BlockPins } from '../layers/blocks.ts';
import type { LayerCursor } from '../layers/format/layer-cursor.ts';
import type { NewestCursor } from '../layers/format/newest-cursor.ts';
import type { FoundValues } from '../layers/found-values.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import type { LayerMap } from '../layers/layer-map/layer-map.ts';
import type { OpenLayer } from '../layers/open-layer.ts';
import type { PageCache } from '../layers/page-cache.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { Stems } from '../layers/stems.ts';

/** A layer that is a file, here or in the bucket only. */
export interface StoredLayer extends LayerDescription {
  /** As LayerFile.search. A layer that is not here is fetched when blocks of it are loaded. */
  search(
    key: Key,
    lsnStart: number,
    lsnEnd: number,
    pins: BlockPins,
    found: FoundValues,
    context: ReadContext,
  ): boolean;
  /** All values of a range of keys, in order. The caller disposes of it, and holds the layer meanwhile. */
  scan(keys: KeyRange, context: ReadContext): Promise<LayerCursor>;
  /** As `scan`, of each key the newest value below an LSN. */
  scanNewest(keys: KeyRange, lsnEnd: number, context: ReadContext): Promise<NewestCursor>;
  /** Keeps the layer's file from being removed, until the pass is left. */
  hold(): Pass;
}

/** The point of an ancestor's history where a timeline begins. */
export interface Ancestor {
  readonly timeline: ReadableTimeline;
  /** Records up to and including the one that ends here are shared. */
  readonly lsn: number;
}

/** What reading sees of a timeline. It changes between two looks, but only in ways that change no answer. */
export interface ReadableTimeline {
  readonly version: PostgresVersion;
  readonly stems: Stems;
  /** The open layer and the frozen ones that are not yet layer files, newest first. */
  readonly memoryLayers: readonly OpenLayer[];
  readonly layers: LayerMap<StoredLayer>;
  readonly pages: PageCache;
  /** Resolves after everything that is ready to run now: for loops that would hold all others up. */
  yieldToOthers(): Promise<void>;
  readonly ancestor: Ancestor | undefined;
}
