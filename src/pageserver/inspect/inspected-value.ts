import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { VISIBILITYMAP_ALL_FROZEN, VISIBILITYMAP_ALL_VISIBLE } from '../../postgres/page/visibility-map.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import {
  CLUSTER_COMMIT_TIME,
  isPageKey,
  KIND_CLUSTER,
  KIND_LOCKS,
  KIND_RECORD_POSITIONS,
  KIND_RELATION_BLOCK,
  KIND_RELATION_SIZE,
  KIND_REPLICATION_ORIGIN,
  KIND_SLRU_SEGMENT,
  KIND_TABLESPACE,
} from '../keyspace/keys.ts';
import {
  decodeCommitTime,
  decodeLocks,
  decodeOrigin,
  decodeSize,
  decodeTablespacePath,
} from '../keyspace/stored-values.ts';
import { decodeRecordPositions, stretchOfKey } from '../layers/record-positions.ts';
import {
  VALUE_HINTS_LOGGED,
  VALUE_IMAGE,
  VALUE_KIND_MASK,
  VALUE_NEEDS_NO_BASE,
  VALUE_POISON,
  VALUE_VISIBILITY_CLEARS,
} from '../layers/value.ts';
import { decodeVisibilityClears } from '../layers/visibility-clears.ts';
import { keyText } from './key-text.ts';

/** A value of a layer, as those see it who look into one. */
export interface InspectedValue {
  /** 36 hexadecimal digits. */
  readonly key: string;
  readonly keyText: string;
  readonly lsn: Lsn;
  readonly kind: 'image' | 'record' | 'poison' | 'clears';
  /** Names of what is said beside the kind. */
  readonly flags: readonly string[];
  /** Not to be changed. */
  readonly bytes: Uint8Array;
  /** What the bytes of an image are of. Where it is a page's block, `fork` and `block` say which. */
  readonly content: 'relation-page' | 'slru-page' | 'small';
  readonly fork: number;
  readonly block: number;
  /** What a small image says, as far as that is short; what is cleared; the text of a poison. */
  readonly meaning?: Readonly<Record<string, unknown>>;
}

/** Where a value lies, such as a cursor over a layer. */
interface PlacedValue {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly length: number;
  readonly lsn: number;
  readonly flags: number;
}

export function inspectValue(
  key: Key,
  { bytes: memory, offset, length, lsn, flags }: PlacedValue,
): InspectedValue {
  const bytes = memory.subarray(offset, offset + length);
  const kind = kindOf(flags);
  const meaning = meaningOf(key, kind, bytes);
  return {
    key: formatKey(key),
    keyText: keyText(key),
    lsn: lsn as Lsn,
    kind,
    flags: [
      ...((flags & VALUE_NEEDS_NO_BASE) === 0 ? [] : ['needs-no-base']),
      ...((flags & VALUE_HINTS_LOGGED) === 0 ? [] : ['hints-logged']),
    ],
    bytes,
    content: !isPageKey(key) ? 'small' : key.kind === KIND_RELATION_BLOCK ? 'relation-page' : 'slru-page',
    fork: key.field5,
    block: key.index,
    ...(meaning === undefined ? {} : { meaning }),
  };
}

function kindOf(flags: number): InspectedValue['kind'] {
  const kind = flags & VALUE_KIND_MASK;
  if (kind === VALUE_IMAGE) return 'image';
  if (kind === VALUE_VISIBILITY_CLEARS) return 'clears';
  return kind === VALUE_POISON ? 'poison' : 'record';
}

function meaningOf(
  key: Key,
  kind: InspectedValue['kind'],
  bytes: Uint8Array,
): Readonly<Record<string, unknown>> | undefined {
  if (kind === 'poison') return { reason: new TextDecoder().decode(bytes) };
  if (kind === 'record' || (kind === 'image' && isPageKey(key))) return undefined;
  if (kind === 'image' && bytes.length === 0) return { exists: false };
  try {
    if (kind === 'clears') return describeClears(key, bytes);
    return decodeSmall(key, bytes);
  } catch (error) {
    if (error instanceof CorruptionError) return { problem: error.reason };
    throw error;
  }
}

function describeClears(key: Key, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const clears = decodeVisibilityClears(bytes, key.index).map(({ heapBlock, bits }) => ({
    heapBlock,
    bits: [
      ...((bits & VISIBILITYMAP_ALL_VISIBLE) === 0 ? [] : ['ALL_VISIBLE']),
      ...((bits & VISIBILITYMAP_ALL_FROZEN) === 0 ? [] : ['ALL_FROZEN']),
    ],
  }));
  return { clears };
}

function decodeSmall(key: Key, bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  switch (key.kind) {
    case KIND_RELATION_SIZE:
      return { blocks: decodeSize(bytes) };
    case KIND_SLRU_SEGMENT:
      return { pages: decodeSize(bytes) };
    case KIND_REPLICATION_ORIGIN:
      return { ...decodeOrigin(bytes) };
    case KIND_LOCKS:
      return { locks: decodeLocks(bytes) };
    case KIND_TABLESPACE:
      return { path: decodeTablespacePath(bytes) };
    case KIND_RECORD_POSITIONS:
      return { records: decodeRecordPositions(stretchOfKey(key), bytes).length };
    case KIND_CLUSTER:
      return key.index === CLUSTER_COMMIT_TIME ? { time: BigInt(decodeCommitTime(bytes)) } : undefined;
    default:
      return undefined;
  }
}
