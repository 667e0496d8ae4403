import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import { findLayerFile, formatLayerFileName } from '../layers/layer-name.ts';
import { type IndexLayer, toLayerDescription } from './timeline-index.ts';

/** A file in a timeline's directory. */
export interface LocalFile {
  readonly name: string;
  readonly sizeBytes: number;
}

/** What is to be done with a timeline's local files at a start. */
export interface LocalPlan {
  /** Layers of the index whose file is here. */
  readonly present: readonly IndexLayer[];
  /** Layers of the index that have to be fetched when they are needed. */
  readonly remoteOnly: readonly IndexLayer[];
  /** Files to remove: layers that the index does not name, or not of this generation or size, and unfinished ones. */
  readonly remove: readonly string[];
  /** Files whose names say nothing here: whoever put them there has to say what becomes of them. */
  readonly unknown: readonly string[];
}

/** What a local file of this layer is called. */
export const localNameOf = (layer: IndexLayer): string => formatLayerFileName(toLayerDescription(layer));

/**
 * Compares a timeline's local files with its index, which is the truth: local progress that it does not name never
 * happened, and is made again from WAL. A file that has the name and the size of one that it names is taken to be it:
 * names are given to whole files only, and carry the generation of who wrote them.
 */
export function reconcileLocal(
  files: readonly LocalFile[],
  layers: ReadonlyMap<string, IndexLayer>,
): LocalPlan {
  const wanted = new Map<string, IndexLayer>();
  for (const layer of layers.values()) wanted.set(localNameOf(layer), layer);
  const present: IndexLayer[] = [];
  const remove: string[] = [];
  const unknown: string[] = [];
  for (const { name, sizeBytes } of files) {
    const layer = wanted.get(name);
    if (layer?.sizeBytes === sizeBytes) {
      present.push(layer);
      wanted.delete(name);
    } else if (name.endsWith(TEMPORARY_SUFFIX) || findLayerFile(name) !== undefined) remove.push(name);
    else unknown.push(name);
  }
  return { present, remoteOnly: [...wanted.values()], remove, unknown };
}
