/**
 * What layers are called. The names are Neon's, which its tools and people can read: the range of keys, then for an
 * image layer its LSN, for a delta layer its range of LSNs, ends exclusive.
 */
import { BadRequestError } from '../../base/errors.ts';
import { LSN_HIGH_LIMIT, type Lsn, toLsn } from '../../base/lsn.ts';
import { compareKeys, parseKey } from '../keyspace/key.ts';
import { ALL_KEYS, equalRanges, formatKeyRange } from '../keyspace/key-range.ts';
import type { LayerDescription } from './layer-description.ts';

/** What a layer's name tells of it. */
export type NamedLayer = Omit<LayerDescription, 'sizeBytes' | 'generation'>;
/** What its file's name tells. */
export type NamedLayerFile = Omit<LayerDescription, 'sizeBytes'>;

const LAYER_NAME = /^([0-9A-F]{36})-([0-9A-F]{36})__([0-9A-F]{16})(?:-([0-9A-F]{16}))?$/;
/** Behind the name of the layer in that of its file: the version of this way to name files, and the generation. */
const FILE_SUFFIX = /-v1-([0-9a-f]{8})$/;

const formatLsn = (lsn: number): string => lsn.toString(16).toUpperCase().padStart(16, '0');

/** The same for one layer whoever wrote it. */
export function formatLayerName(layer: NamedLayer): string {
  const start = formatLsn(layer.lsnStart);
  const lsns = layer.kind === 'image' ? start : `${start}-${formatLsn(layer.lsnEnd)}`;
  return `${formatKeyRange(layer.keys)}__${lsns}`;
}

/** Of the file in its timeline's directory. */
export function formatLayerFileName(layer: NamedLayerFile): string {
  return `${formatLayerName(layer)}-v1-${layer.generation.toString(16).padStart(8, '0')}`;
}

/** undefined: it is not below 2^53. */
function findLsn(text: string): Lsn | undefined {
  const isExact = Number.parseInt(text.slice(0, 8), 16) < LSN_HIGH_LIMIT;
  return isExact ? toLsn(Number.parseInt(text, 16)) : undefined;
}

/** undefined: `formatLayerName` never gives this. */
function findLayer(name: string): NamedLayer | undefined {
  const match = LAYER_NAME.exec(name);
  if (match === null) return undefined;
  const [, keyStart, keyEnd, startText, endText] = match as unknown as [
    string,
    string,
    string,
    string,
    string?,
  ];
  const keys = { start: parseKey(keyStart), end: parseKey(keyEnd) };
  const lsnStart = findLsn(startText);
  if (lsnStart === undefined || compareKeys(keys.start, keys.end) >= 0) return undefined;
  if (endText === undefined) {
    const isExact = Number.isSafeInteger(lsnStart + 1);
    return isExact ? { kind: 'image', keys, lsnStart, lsnEnd: toLsn(lsnStart + 1) } : undefined;
  }
  const lsnEnd = findLsn(endText);
  if (lsnEnd === undefined || lsnStart >= lsnEnd) return undefined;
  return { kind: 'delta', keys, lsnStart, lsnEnd };
}

/** @throws BadRequestError for what `formatLayerName` never gives */
export function parseLayerName(name: string): NamedLayer {
  const layer = findLayer(name);
  if (layer === undefined) {
    throw new BadRequestError('BAD_LAYER_NAME', `"${name}" is not the name of a layer`);
  }
  return layer;
}

/** undefined: the file is no layer's, or one of another format. */
export function findLayerFile(fileName: string): NamedLayerFile | undefined {
  const suffix = FILE_SUFFIX.exec(fileName);
  const layer = suffix === null ? undefined : findLayer(fileName.slice(0, suffix.index));
  if (suffix === null || layer === undefined) return undefined;
  return { ...layer, generation: Number.parseInt(suffix[1] as string, 16) };
}

/** Whether it is as it was flushed: values of all keys, not yet compacted. */
export const isLevel0 = (layer: Pick<LayerDescription, 'kind' | 'keys'>): boolean =>
  layer.kind === 'delta' && equalRanges(layer.keys, ALL_KEYS);
