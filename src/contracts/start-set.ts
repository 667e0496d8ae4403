/**
 * What a pageserver sends to whoever starts a server, and what both ends know of it: docs/formats/start-set.md. All numbers
 * are in network byte order.
 */
import type { Lsn } from '../base/lsn.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import type { SlruName } from '../postgres/files/slru.ts';

export const START_SET_VERSION = 1;
/** "VSST". */
export const START_SET_MAGIC = 0x5653_5354;

/** Kind of frame u8, length of the payload u32; behind the payload the CRC-32C of all before, u32. */
export const FRAME_HEADER_BYTES: number = 1 + 4;
export const FRAME_CRC_BYTES = 4;
export const FRAME_PAYLOAD_BYTES_MAX: number = 64 * 1024;

export const FRAME_HEADER = 0x48;
export const FRAME_DIRECTORIES = 0x44;
export const FRAME_FILE = 0x46;
export const FRAME_SLRU_SEGMENT = 0x53;
export const FRAME_PIECE = 0x50;
export const FRAME_READY = 0x47;
export const FRAME_FORKS = 0x52;
export const FRAME_END = 0x45;

/** Relation u32, fork u8, fork that the content is of u8, blocks u32; behind tablespace u32 and database u32. */
export const FORKS_HEADER_BYTES: number = 4 + 4;
export const FORK_ENTRY_BYTES: number = 4 + 1 + 1 + 4;

export const FLAG_DATA_CHECKSUMS = 1;
/** The last file before the server may be started. */
export const START_SET_LAST_FILE = 'global/pg_control';
/** Of any file. */
export const START_SET_FILE_BYTES_MAX: number = 1024 * 1024 * 1024;
/** MAXPGPATH. */
export const START_SET_PATH_BYTES_MAX = 1024;

/**
 * What the server is to become: a primary; one that reads an LSN of the past and can write nothing; or a standby that
 * follows the WAL from here on. The last two need standby.signal; all of them begin without replaying anything real.
 */
export type StartSetForm = 'primary' | 'read-only' | 'standby';
/** In the order of their numbers. */
export const START_SET_FORMS: readonly StartSetForm[] = ['primary', 'read-only', 'standby'];

/** In the order of their numbers, which are those of keys and of page requests. */
export const START_SET_SLRUS: readonly SlruName[] = [
  'clog',
  'multixact-members',
  'multixact-offsets',
  'commit-timestamp',
];

export interface StartSetHeader {
  readonly form: StartSetForm;
  readonly postgresMajor: number;
  readonly catalogVersion: number;
  readonly systemIdentifier: bigint;
  readonly walSegmentBytes: number;
  readonly hasDataChecksums: boolean;
  /** End of the last record that is in the set; pages are to be read at this LSN or later. */
  readonly recordEndLsn: Lsn;
  /** Where that record begins. */
  readonly previousRecordLsn: Lsn;
  /** Where the server's own first record will begin, or the first that it follows. */
  readonly nextRecordLsn: Lsn;
  /** A logical slot among the files needs WAL from here on, which is not in the set; undefined without slots. */
  readonly walNeededFrom: Lsn | undefined;
}

export interface StartSetFork {
  readonly relation: RelationLocator;
  readonly fork: number;
  /** Of which fork the pages are to be read: for the main fork of an unlogged relation the init fork. */
  readonly contentFork: number;
  readonly blocks: number;
}

export interface StartSetFile {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface StartSetSlruSegment extends StartSetFile {
  readonly slru: SlruName;
  readonly segment: number;
}

/** One thing of a start set. Bytes are valid until more is pushed. */
export type StartSetItem =
  | { readonly kind: 'header'; readonly header: StartSetHeader }
  | { readonly kind: 'directories'; readonly paths: readonly string[] }
  /** A file, zero where no piece follows. */
  | { readonly kind: 'file'; readonly file: StartSetFile }
  /** As a file, but what no piece follows for is not zero: it is to be read when it is first looked at. */
  | { readonly kind: 'slru-segment'; readonly file: StartSetSlruSegment }
  /** Bytes of the file or segment that came last. */
  | { readonly kind: 'piece'; readonly offset: number; readonly bytes: Uint8Array }
  /** Nothing but forks follows: the server may be started. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'forks'; readonly forks: readonly StartSetFork[] }
  | { readonly kind: 'end' };

/** Whether a path is relative and stays below its directory, made of the characters that PostgreSQL's names have. */
export function isStartSetPath(path: string): boolean {
  if (path.length === 0 || path.length > START_SET_PATH_BYTES_MAX) return false;
  return path.split('/').every((name) => /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name));
}
