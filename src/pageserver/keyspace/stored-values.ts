/**
 * The values of the small kinds of key (keys.ts), from and to what they mean. All numbers are little-endian. Under each
 * of these keys an empty value means that there is no such thing; that is for the caller to see first.
 */
import { CorruptionError } from '../../base/errors.ts';
import { type Lsn, readLsn, writeLsn } from '../../base/lsn.ts';

const TWO_POW_32 = 0x1_0000_0000;
const SIZE_BYTES = 4;
const ORIGIN_BYTES = 16;
const LOCK_BYTES = 8;
const COMMIT_TIME_BYTES = 8;

/** The value under a database's key. */
export const DATABASE_VALUE: Uint8Array = Uint8Array.of(1);
/** The value under the key of what does not exist any more. */
export const NO_VALUE: Uint8Array = new Uint8Array(0);

/** How far a replication origin has come: there, and in this cluster's own WAL. */
export interface OriginPositions {
  readonly remoteLsn: Lsn;
  readonly localLsn: Lsn;
}

/** An access exclusive lock; `relation` is the OID in the catalog. */
export interface RelationLock {
  readonly database: number;
  readonly relation: number;
}

function refuse(what: string, lengthBytes: number): never {
  throw new CorruptionError('BAD_VALUE', `${lengthBytes} bytes are no ${what}`);
}

function viewOf(bytes: Uint8Array, lengthBytes: number, what: string): DataView {
  if (bytes.length !== lengthBytes) refuse(what, bytes.length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Blocks of a fork, or pages of a segment of an SLRU. */
export function encodeSize(count: number): Uint8Array {
  const bytes = new Uint8Array(SIZE_BYTES);
  new DataView(bytes.buffer).setUint32(0, count, true);
  return bytes;
}

/** @throws CorruptionError, as all of these decoders do for what has not the right length */
export function decodeSize(bytes: Uint8Array): number {
  return viewOf(bytes, SIZE_BYTES, 'size').getUint32(0, true);
}

export function encodeOrigin(positions: OriginPositions): Uint8Array {
  const bytes = new Uint8Array(ORIGIN_BYTES);
  const view = new DataView(bytes.buffer);
  writeLsn(view, 0, positions.remoteLsn);
  writeLsn(view, 8, positions.localLsn);
  return bytes;
}

export function decodeOrigin(bytes: Uint8Array): OriginPositions {
  const view = viewOf(bytes, ORIGIN_BYTES, "positions of a replication origin's");
  return { remoteLsn: readLsn(view, 0), localLsn: readLsn(view, 8) };
}

export function encodeLocks(locks: readonly RelationLock[]): Uint8Array {
  const bytes = new Uint8Array(locks.length * LOCK_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, lock] of locks.entries()) {
    view.setUint32(index * LOCK_BYTES, lock.database, true);
    view.setUint32(index * LOCK_BYTES + 4, lock.relation, true);
  }
  return bytes;
}

export function decodeLocks(bytes: Uint8Array): RelationLock[] {
  if (bytes.length % LOCK_BYTES !== 0) refuse('list of locks', bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / LOCK_BYTES }, (_, index) => ({
    database: view.getUint32(index * LOCK_BYTES, true),
    relation: view.getUint32(index * LOCK_BYTES + 4, true),
  }));
}

/** The zero byte behind the path makes the value of an in-place tablespace, whose path is empty, one that exists. */
export function encodeTablespacePath(path: string): Uint8Array {
  return new TextEncoder().encode(`${path}\0`);
}

export function decodeTablespacePath(bytes: Uint8Array): string {
  if (bytes.at(-1) !== 0) refuse('path of a tablespace', bytes.length);
  return new TextDecoder().decode(bytes.subarray(0, -1));
}

/** @param time microseconds since 2000-01-01 UTC, a whole number that is exact */
export function encodeCommitTime(time: number): Uint8Array {
  const bytes = new Uint8Array(COMMIT_TIME_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, time - Math.floor(time / TWO_POW_32) * TWO_POW_32, true);
  view.setInt32(4, Math.floor(time / TWO_POW_32), true);
  return bytes;
}

export function decodeCommitTime(bytes: Uint8Array): number {
  const view = viewOf(bytes, COMMIT_TIME_BYTES, 'commit time');
  return view.getInt32(4, true) * TWO_POW_32 + view.getUint32(0, true);
}
