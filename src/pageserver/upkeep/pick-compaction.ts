import type { Lsn } from '../../base/lsn.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import type { LayerMap } from '../layers/layer-map/layer-map.ts';

export interface CompactionSettings {
  /** So many layers of level 0 bring a compaction about. */
  readonly level0Threshold: number;
  /** No more layers of level 0 than this many bytes of them are taken at once, but for the first. */
  readonly inputBytesMax: number;
  /** Wanted size of the layers that are made. */
  readonly targetBytes: number;
}

export interface CompactionPlan<L> {
  /** Delta layers, oldest first. Where two hold the same LSN of a key, they hold the same value. */
  readonly inputs: readonly L[];
  /** The outputs are delta layers of [lsnStart, lsnEnd), which have no key in common; they replace all inputs. */
  readonly lsnStart: Lsn;
  readonly lsnEnd: Lsn;
  readonly targetBytes: number;
}

/**
 * Which layers of level 0, all of them over all keys, are to be merged and cut by key, so that a read has one layer to
 * visit where it had many. The oldest ones, so that what is made lies above all of the same kind that was made before.
 *
 * A delta layer that holds an LSN of theirs (one that an interrupted compaction left behind) is merged with them:
 * nothing that stays may overlap what is made.
 */
export function pickCompaction<L extends LayerDescription>(
  map: LayerMap<L>,
  settings: CompactionSettings,
): CompactionPlan<L> | undefined {
  const { level0 } = map;
  const first = level0[0];
  if (first === undefined || level0.length < settings.level0Threshold) return undefined;
  let { lsnStart, lsnEnd } = first;
  let sizeBytes = first.sizeBytes;
  for (const layer of level0.slice(1)) {
    sizeBytes += layer.sizeBytes;
    if (sizeBytes > settings.inputBytesMax) break;
    lsnEnd = Math.max(lsnEnd, layer.lsnEnd) as Lsn;
  }
  for (;;) {
    const inputs = map.overlapping(ALL_KEYS, lsnStart, lsnEnd).filter((layer) => layer.kind === 'delta');
    const lowest = inputs.reduce((lsn, layer) => Math.min(lsn, layer.lsnStart), lsnStart as number);
    const highest = inputs.reduce((lsn, layer) => Math.max(lsn, layer.lsnEnd), lsnEnd as number);
    if (lowest === lsnStart && highest === lsnEnd) {
      inputs.sort((left, right) => left.lsnStart - right.lsnStart || left.lsnEnd - right.lsnEnd);
      return { inputs, lsnStart, lsnEnd, targetBytes: settings.targetBytes };
    }
    lsnStart = lowest as Lsn;
    lsnEnd = highest as Lsn;
  }
}
