import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { Limiter } from '../../io/limiter.ts';
import { formatKey } from '../keyspace/key.ts';
import type { LayerHeader } from '../layers/format/layer-header.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerFileName, isLevel0 } from '../layers/layer-name.ts';
import { keyRangeText } from './key-text.ts';
import { type ContainedLayer, headerOf } from './timeline-contents.ts';

const HEADERS_AT_ONCE = 16;

/** A layer for a table. */
export interface LayerRow {
  /** Of its file in the timeline's directory. */
  readonly name: string;
  readonly kind: 'delta' | 'image';
  /** 0: as it was flushed; 1: compacted. Image layers have none. */
  readonly level: 0 | 1 | undefined;
  readonly keys: { readonly text: string; readonly start: string; readonly end: string };
  readonly lsnStart: Lsn;
  /** Exclusive. */
  readonly lsnEnd: Lsn;
  readonly generation: number;
  readonly sizeBytes: number;
  /** Whether its file is in the directory that was given. */
  readonly isLocal: boolean;
  /** What its header says; undefined where that was not read. */
  readonly counts: LayerCounts | undefined;
  /** Why the header could not be read. */
  readonly problem: VarveError | undefined;
}

export interface LayerCounts {
  readonly values: number;
  readonly keys: number;
  /** Of all values, as they are without compression. */
  readonly valueBytes: number;
}

export const levelOf = (layer: Pick<LayerDescription, 'kind' | 'keys'>): 0 | 1 | undefined =>
  layer.kind === 'image' ? undefined : isLevel0(layer) ? 0 : 1;

export const countsOf = (header: LayerHeader): LayerCounts => ({
  values: header.valueCount,
  keys: header.keyCount,
  valueBytes: header.valueBytes,
});

/**
 * Describes layers by their names and, of those whose header is wanted, by that. One that cannot be read is no reason
 * to say nothing of the others.
 */
export async function describeLayers(
  layers: readonly ContainedLayer[],
  isHeaderWanted: (layer: ContainedLayer) => boolean,
  signal: AbortSignal,
): Promise<LayerRow[]> {
  const limiter = new Limiter(HEADERS_AT_ONCE);
  return await Promise.all(
    layers.map(async (layer) => {
      if (!isHeaderWanted(layer)) return toRow(layer, undefined, undefined);
      try {
        const header = await limiter.run(signal, () => headerOf(layer));
        return toRow(layer, countsOf(header), undefined);
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        return toRow(layer, undefined, error);
      }
    }),
  );
}

function toRow(
  { description, isLocal }: ContainedLayer,
  counts: LayerCounts | undefined,
  problem: VarveError | undefined,
): LayerRow {
  const { kind, keys, lsnStart, lsnEnd, generation, sizeBytes } = description;
  return {
    name: formatLayerFileName(description),
    kind,
    level: levelOf(description),
    keys: { text: keyRangeText(keys), start: formatKey(keys.start), end: formatKey(keys.end) },
    lsnStart,
    lsnEnd,
    generation,
    sizeBytes,
    isLocal,
    counts,
    problem,
  };
}
