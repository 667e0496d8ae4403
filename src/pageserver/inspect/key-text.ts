/** Keys in words, for people. */
import { formatLsn } from '../../base/lsn.ts';
import { FORK_NAMES } from '../../postgres/files/relation-file-name.ts';
import { FORK_MAIN } from '../../postgres/wal/record-header.ts';
import { compareKeys, formatKey, KEY_MAX, KEY_MIN, type Key } from '../keyspace/key.ts';
import { ALL_KEYS, equalRanges, type KeyRange } from '../keyspace/key-range.ts';
import {
  CLUSTER_COMMIT_TIME,
  CLUSTER_CONTROL_FILE,
  CLUSTER_COUNTERS,
  KIND_AUXILIARY_FILE,
  KIND_CLUSTER,
  KIND_DATABASE,
  KIND_LOCKS,
  KIND_RECORD_POSITIONS,
  KIND_RELATION_BLOCK,
  KIND_RELATION_MAP,
  KIND_RELATION_SIZE,
  KIND_REPLICATION_ORIGIN,
  KIND_SLRU_BLOCK,
  KIND_SLRU_SEGMENT,
  KIND_TABLESPACE,
  KIND_TWO_PHASE,
  SLRU_NAMES,
  slruPageOfKey,
} from '../keyspace/keys.ts';
import { STRETCH_BYTES, stretchOfKey } from '../layers/record-positions.ts';

const KIND_NAMES: Readonly<Record<number, string>> = {
  [KIND_RELATION_BLOCK]: 'relation blocks',
  [KIND_SLRU_BLOCK]: 'SLRU pages',
  [KIND_RELATION_SIZE]: 'relation sizes',
  [KIND_AUXILIARY_FILE]: 'auxiliary files',
  [KIND_REPLICATION_ORIGIN]: 'replication origins',
  [KIND_DATABASE]: 'databases',
  [KIND_RELATION_MAP]: 'relation maps',
  [KIND_SLRU_SEGMENT]: 'SLRU segments',
  [KIND_TWO_PHASE]: 'prepared transactions',
  [KIND_TABLESPACE]: 'tablespaces',
  [KIND_LOCKS]: 'locks',
  [KIND_CLUSTER]: 'cluster',
  [KIND_RECORD_POSITIONS]: 'record positions',
};

const CLUSTER_VALUES: Readonly<Record<number, string>> = {
  [CLUSTER_CONTROL_FILE]: 'control file',
  [CLUSTER_COUNTERS]: 'counters of the cluster',
  [CLUSTER_COMMIT_TIME]: 'time of the latest commit',
};

/** What the keys of a kind are, in the plural. */
export const kindText = (kind: number): string =>
  KIND_NAMES[kind] ?? `kind 0x${kind.toString(16).padStart(2, '0')}`;

/** `spc/db/rel`, and the fork unless it is the main one. */
export function forkText({ field2, field3, field4, field5 }: Key): string {
  const fork = field5 === FORK_MAIN ? '' : ` ${FORK_NAMES[field5] ?? `fork ${field5}`}`;
  return `${field2}/${field3}/${field4}${fork}`;
}

const slruText = (key: Key): string => SLRU_NAMES[key.field2] ?? `SLRU ${key.field2}`;

const TEXTS: Readonly<Record<number, (key: Key) => string>> = {
  [KIND_RELATION_BLOCK]: (key) => `${forkText(key)} block ${key.index}`,
  [KIND_SLRU_BLOCK]: (key) => `${slruText(key)} page ${slruPageOfKey(key)}`,
  [KIND_RELATION_SIZE]: (key) => `size of ${forkText(key)}`,
  [KIND_AUXILIARY_FILE]: (key) => `auxiliary files ${formatKey(key).slice(2)}`,
  [KIND_REPLICATION_ORIGIN]: (key) => `replication origin ${key.index}`,
  [KIND_DATABASE]: (key) => `database ${key.field2}/${key.field3}`,
  [KIND_RELATION_MAP]: (key) => `relation map ${key.field2}/${key.field3}`,
  [KIND_SLRU_SEGMENT]: (key) => `size of ${slruText(key)} segment ${key.field4}`,
  [KIND_TWO_PHASE]: (key) => `prepared transaction ${key.field3}:${key.index}`,
  [KIND_TABLESPACE]: (key) => `tablespace ${key.index}`,
  [KIND_LOCKS]: (key) => `locks of transaction ${key.index}`,
  [KIND_CLUSTER]: (key) => CLUSTER_VALUES[key.index] ?? `cluster value ${key.index}`,
  [KIND_RECORD_POSITIONS]: (key) => `record positions from ${formatLsn(stretchOfKey(key) * STRETCH_BYTES)}`,
};

const isStartOfKind = (key: Key): boolean => compareKeys(key, { ...KEY_MIN, kind: key.kind }) === 0;

/** What is stored under a key: such as `1663/5/16384 vm block 3`. */
export function keyText(key: Key): string {
  return TEXTS[key.kind]?.(key) ?? formatKey(key);
}

/** As `keyText`, of a key that is perhaps only a boundary between others. */
export function boundaryText(key: Key): string {
  if (compareKeys(key, KEY_MAX) === 0) return 'the end';
  const isPlace = key.kind !== KIND_CLUSTER && isStartOfKind(key);
  return isPlace ? `the first of ${kindText(key.kind)}` : keyText(key);
}

/** All of it but the index is the same. */
export const isSameStem = (left: Key, right: Key): boolean =>
  compareKeys({ ...left, index: 0 }, { ...right, index: 0 }) === 0;

/** A range of keys: `1663/5/16384 blocks 0–99`, or from where to (exclusive) where. */
export function keyRangeText(range: KeyRange): string {
  const { start, end } = range;
  if (equalRanges(range, ALL_KEYS)) return 'all keys';
  if (isSameStem(start, end) && end.index === start.index + 1) return keyText(start);
  if (start.kind === KIND_RELATION_BLOCK && isSameStem(start, end)) {
    return `${forkText(start)} blocks ${start.index}–${end.index - 1}`;
  }
  return `${boundaryText(start)} to before ${boundaryText(end)}`;
}
