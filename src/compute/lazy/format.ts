/**
 * What the agent and the shim inside the server share: docs/formats/lazy-directory.md, and shim/format.h for the other side.
 * All numbers are little-endian.
 */
import { RELATION_SEGMENT_BLOCKS } from '../../postgres/files/relation-file-name.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';

export const FORMAT_VERSION = 3;

export const SHARED_FILE = 'shared';
export const LIST_FILE = 'files';
export const SOCKET_FILE = 'socket';
export const SHIM_FILE = 'varve_shim.so';

/** "VLZH" and "VLZF". */
const SHARED_MAGIC = 0x485a_4c56;
const LIST_MAGIC = 0x465a_4c56;

const HEADER_BYTES = 4096;
/** One for each number that a process can have: PID_MAX_LIMIT (threads.h of Linux). */
const OWNERS_MAX: number = 4 * 1024 * 1024;
const OWNER_BYTES = 8;
export const FILES_MAX: number = 16 * 1024 * 1024;
const FILE_STATE_BYTES = 32;
const STATES_OFFSET: number = HEADER_BYTES + OWNERS_MAX * OWNER_BYTES;
const PRESENCE_OFFSET: number = STATES_OFFSET + FILES_MAX * FILE_STATE_BYTES;
const PRESENCE_PAGE_BYTES = 4096;
const BLOCK_WORD_BYTES = 4;
/** Blocks whose words fit a page of the shared file. */
export const PRESENCE_PAGE_BLOCKS: number = PRESENCE_PAGE_BYTES / BLOCK_WORD_BYTES;
/** Of all files together. */
export const PRESENCE_PAGES_MAX: number = (64 * 1024 * 1024 * 1024) / PRESENCE_PAGE_BYTES;

/** Words of a relation's segment, of which the table of grown files has so many. */
const GROWN_MAX: number = 128 * 1024;
const GROWN_OFFSET: number = PRESENCE_OFFSET + PRESENCE_PAGES_MAX * PRESENCE_PAGE_BYTES;
const GROWN_ENTRY_BYTES = 64;
const GROWN_WORDS_OFFSET: number = GROWN_OFFSET + HEADER_BYTES + GROWN_MAX * GROWN_ENTRY_BYTES;
/** Size of the shared file where blocks may be given back. Nearly all of it is a hole. */
export const SHARED_BYTES_WITH_GROWN: number =
  GROWN_WORDS_OFFSET + GROWN_MAX * RELATION_SEGMENT_BLOCKS * BLOCK_WORD_BYTES;

/** How WAL is written: as ever, not at all, or slowly. */
export const WAL_FREE = 0;
export const WAL_HELD = 1;
export const WAL_SLOWED = 2;

/** Each is written alone, as one byte. */
export const HAS_CHECKSUMS_OFFSET = 20;
export const IS_COMPLETE_OFFSET = 64;
export const HOLDS_WAL_OFFSET = 128;

/** What PostgreSQL gives its files (file_perm.h, PG_FILE_MODE_OWNER). */
const FILE_MODE = 0o600;

export const LIST_HEADER_BYTES = 32;
export const LIST_ENTRY_WORDS = 8;
export const LIST_ENTRY_BYTES: number = LIST_ENTRY_WORDS * 4;
/** `content` of an entry is the fork whose pages it has, and above how many blocks come at once. */
export const CONTENT_FORK_MASK = 0xff;
export const CONTENT_AROUND_SHIFT = 8;
/** `part` of a key is the fork in the highest byte, and the segment in the rest. */
export const FORK_FACTOR: number = 1 << 24;

export const REQUEST_BYTES = 32;
export const REPLY_BYTES = 16;
export const REQUEST_HELLO = 1;
export const REQUEST_FIND = 2;
export const REQUEST_LIST = 3;
export const REQUEST_READ = 4;
export const REQUEST_PREFETCH = 5;
export const REQUEST_READ_AGAIN = 6;
export const REQUEST_PREFETCH_AGAIN = 7;
export const REQUEST_GIVE = 8;
export const REPLY_OK = 0;
export const REPLY_NONE = 1;
export const REPLY_FAILED = 2;
/** Of one request. */
export const RUN_BLOCKS_MAX = 64;

/** Of a request to give back. */
export const GIVE_SHORT = 1;
export const GIVE_BEHIND = 2;
export const GIVE_NO_HOLES = 4;
export const PERMISSION_BYTES = 32;

/** Where a server looks for it, and where it is while the directory is of no use without the shim. */
export const CONTROL_FILE = 'global/pg_control';
export const GUARDED_CONTROL_FILE = 'global/pg_control.lazy';

/** State of a file that is there, and whose blocks are not: one byte of a word, for whom nobody looks at it yet. */
export const FILE_LAZY = 1;
export const stateOffset = (number: number): number => STATES_OFFSET + number * FILE_STATE_BYTES;

/** Size of the shared file when the words of so many pages are in it. */
export const sharedBytes = (presencePages: number): number =>
  PRESENCE_OFFSET + presencePages * PRESENCE_PAGE_BYTES;

/** @param givesBack whether blocks may be given back */
export function encodeSharedHeader(givesBack: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  view.setUint32(0, SHARED_MAGIC, true);
  view.setUint32(4, FORMAT_VERSION, true);
  view.setUint32(8, BLOCK_BYTES, true);
  view.setUint32(12, FILE_MODE, true);
  view.setUint32(16, givesBack ? 1 : 0, true);
  return new Uint8Array(view.buffer);
}

export function encodeListHeader(count: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(LIST_HEADER_BYTES));
  view.setUint32(0, LIST_MAGIC, true);
  view.setUint32(4, FORMAT_VERSION, true);
  view.setUint32(8, count, true);
  return new Uint8Array(view.buffer);
}

/** A reply with room for its payload. */
export function makeReply(kind: number, status: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(REPLY_BYTES + payloadBytes);
  writeReplyHeader(bytes, kind, status, payloadBytes);
  return bytes;
}

export function writeReplyHeader(
  reply: Uint8Array,
  kind: number,
  status: number,
  payloadBytes: number,
): void {
  const view = new DataView(reply.buffer, reply.byteOffset);
  view.setUint32(0, kind, true);
  view.setUint32(4, status, true);
  view.setUint32(8, payloadBytes, true);
  view.setUint32(12, 0, true);
}
