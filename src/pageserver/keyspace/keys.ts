/**
 * What is stored under which key. Pages have Neon's keys; directories, which Neon keeps as one value each that is
 * written anew at every change, are one key an entry here, so that creating a relation costs the same however many
 * there are, and a list of all relations is one scan of neighbouring keys.
 *
 * Under every key but those of pages an empty image says that the thing does not exist (any more). A key that has no
 * value at all does not exist either.
 */
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { SLRU_PAGES_PER_SEGMENT, type SlruName } from '../../postgres/files/slru.ts';
import type { Key } from './key.ts';
import type { KeyRange } from './key-range.ts';

/** A block of a relation: tablespace, database, relation, fork, block. Value: the page. */
export const KIND_RELATION_BLOCK = 0x00;
/** A page of an SLRU: which SLRU, 1, 0, segment, page within the segment. Value: the page. */
export const KIND_SLRU_BLOCK = 0x01;
/** A fork of a relation: tablespace, database, relation, fork, 0. Value: u32 LE number of blocks. */
export const KIND_RELATION_SIZE = 0x61;
/** Objects beside WAL, by a hash of their path. Value: see auxiliary files. */
export const KIND_AUXILIARY_FILE = 0x62;
/** A replication origin: 0, 0, 0, 0, origin. Value: remote LSN u64 LE, local LSN u64 LE. */
export const KIND_REPLICATION_ORIGIN = 0x63;
/** A database's directory in a tablespace: tablespace, database, 0, 0, 0. Value: one byte, 1. */
export const KIND_DATABASE = 0x64;
/** A relation map: tablespace, database, 0, 0, 0. Value: content of pg_filenode.map. */
export const KIND_RELATION_MAP = 0x65;
/** A segment of an SLRU: which SLRU, 0, segment, 0, 0. Value: u32 LE number of pages. */
export const KIND_SLRU_SEGMENT = 0x66;
/** A prepared transaction: 0, epoch, 0, 0, xid. Value: the state file without its CRC. */
export const KIND_TWO_PHASE = 0x67;
/** A tablespace beside the two of every cluster: 0, 0, 0, 0, OID. Value: its path, UTF-8, and a zero byte. */
export const KIND_TABLESPACE = 0x68;
/** Access exclusive locks of a running transaction: 0, 0, 0, 0, xid. Value: u32 LE pairs of database and relation. */
export const KIND_LOCKS = 0x69;
/** What there is one of: 0, 0, 0, 0, which. */
export const KIND_CLUSTER = 0x6a;

/**
 * Where records begin and end in a stretch of WAL: 0, high half of the number of the stretch, 0, 0, low half. Value: see
 * layers/record-positions.ts.
 */
export const KIND_RECORD_POSITIONS = 0x6b;

/** Index within KIND_CLUSTER: pg_control as the initial cluster had it, 8192 bytes. */
export const CLUSTER_CONTROL_FILE = 0;
/** Index within KIND_CLUSTER: the counters that a checkpoint would hold, see cluster-state.ts. */
export const CLUSTER_COUNTERS = 1;
/** Index within KIND_CLUSTER: the time of the latest commit, i64 LE microseconds since 2000-01-01 UTC. */
export const CLUSTER_COMMIT_TIME = 2;

/** By number in keys; clog, members and offsets as Neon numbers them. */
export const SLRU_NAMES: readonly SlruName[] = [
  'clog',
  'multixact-members',
  'multixact-offsets',
  'commit-timestamp',
];

export const slruNumber = (slru: SlruName): number => SLRU_NAMES.indexOf(slru);

export function relationBlockKey(relation: RelationLocator, fork: number, block: number): Key {
  return {
    kind: KIND_RELATION_BLOCK,
    field2: relation.tablespace,
    field3: relation.database,
    field4: relation.relation,
    field5: fork,
    index: block,
  };
}

export function relationSizeKey(relation: RelationLocator, fork: number): Key {
  return { ...relationBlockKey(relation, fork, 0), kind: KIND_RELATION_SIZE };
}

/** @param page counted from the SLRU's beginning, not its segment's */
export function slruBlockKey(slru: SlruName, page: number): Key {
  return {
    kind: KIND_SLRU_BLOCK,
    field2: slruNumber(slru),
    field3: 1,
    field4: Math.floor(page / SLRU_PAGES_PER_SEGMENT),
    field5: 0,
    index: page % SLRU_PAGES_PER_SEGMENT,
  };
}

/** The page, counted from the SLRU's beginning, of the key of one. */
export const slruPageOfKey = (key: Key): number => key.field4 * SLRU_PAGES_PER_SEGMENT + key.index;

export function slruSegmentKey(slru: SlruName, segment: number): Key {
  return {
    kind: KIND_SLRU_SEGMENT,
    field2: slruNumber(slru),
    field3: 0,
    field4: segment,
    field5: 0,
    index: 0,
  };
}

export function databaseKey(tablespace: number, database: number): Key {
  return { kind: KIND_DATABASE, field2: tablespace, field3: database, field4: 0, field5: 0, index: 0 };
}

export function relationMapKey(tablespace: number, database: number): Key {
  return { kind: KIND_RELATION_MAP, field2: tablespace, field3: database, field4: 0, field5: 0, index: 0 };
}

/** @param fullXid epoch * 2^32 + xid */
export function twoPhaseKey(fullXid: number): Key {
  const epoch = Math.floor(fullXid / 0x1_0000_0000);
  return { kind: KIND_TWO_PHASE, field2: 0, field3: epoch, field4: 0, field5: 0, index: fullXid >>> 0 };
}

const single = (kind: number, index: number): Key => ({
  kind,
  field2: 0,
  field3: 0,
  field4: 0,
  field5: 0,
  index,
});

export const originKey = (origin: number): Key => single(KIND_REPLICATION_ORIGIN, origin);
export const tablespaceKey = (tablespace: number): Key => single(KIND_TABLESPACE, tablespace);
export const locksKey = (xid: number): Key => single(KIND_LOCKS, xid);
export const clusterKey = (which: number): Key => single(KIND_CLUSTER, which);

/** All keys of a kind. */
export function kindRange(kind: number): KeyRange {
  return { start: single(kind, 0), end: single(kind + 1, 0) };
}

/** All keys of one kind that begin with this tablespace and database. */
export function databaseRange(kind: number, tablespace: number, database: number): KeyRange {
  const start = { kind, field2: tablespace, field3: database, field4: 0, field5: 0, index: 0 };
  const end =
    database === 0xffff_ffff
      ? { ...start, field2: tablespace + 1, field3: 0 }
      : { ...start, field3: database + 1 };
  return { start, end };
}

/** Whether values under the key are pages of 8192 bytes, to be brought forward by WAL records. */
export const isPageKey = (key: Key): boolean =>
  key.kind === KIND_RELATION_BLOCK || key.kind === KIND_SLRU_BLOCK;
