/**
 * Small objects that a compute keeps beside WAL, by path. Under one key stand all whose paths have the same hash, as a
 * list. Keys are made as Neon makes them (its aux_file.rs); entries have an LSN more.
 */
import { BadRequestError, CorruptionError } from '../../base/errors.ts';
import { LSN_HIGH_LIMIT, type Lsn } from '../../base/lsn.ts';
import type { Key } from './key.ts';
import { KIND_AUXILIARY_FILE } from './keys.ts';
import { NO_VALUE } from './stored-values.ts';

const CURRENT_VERSION = 1;
/** Of the path in UTF-8. */
const PATH_BYTES_MAX = 1024;
/** They are small things; the whole value is written anew at each change. */
export const AUXILIARY_CONTENT_BYTES_MAX: number = 16 * 1024 * 1024;
const TWO_POW_32 = 0x1_0000_0000;

const FNV_OFFSET_BASIS = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58dn;
const FNV_PRIME = 0x0000_0000_0100_0000_0000_0000_0000_013bn;
const OTHER_CODE = 0xffff;
/** Directories of the server with a code of their own, so that each is a range of keys. The first that fits counts. */
const DIRECTORY_CODES: readonly (readonly [prefix: string, code: number])[] = [
  ['pg_logical/mappings/', 0x0101],
  ['pg_logical/snapshots/', 0x0102],
  ['pg_logical/', 0x01ff],
  ['pg_replslot/', 0x0201],
  ['pg_stat/', 0x0301],
];
const REPLORIGIN_CHECKPOINT = 'pg_logical/replorigin_checkpoint';
const REPLORIGIN_CHECKPOINT_CODE = 0x0103;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface AuxiliaryFile {
  readonly path: string;
  /** Where the content began to hold. */
  readonly lsn: Lsn;
  readonly content: Uint8Array;
}

/** A path gets this content, or, without content, is no more. */
export interface AuxiliaryFileChange {
  readonly path: string;
  readonly lsn: Lsn;
  readonly content: Uint8Array | undefined;
}

/** Whether it can be the path of an auxiliary file: not empty, not too long, Unicode without a zero byte. */
export function isAuxiliaryPath(path: string): boolean {
  const lengthBytes = encoder.encode(path).length;
  return lengthBytes > 0 && lengthBytes <= PATH_BYTES_MAX && !path.includes('\0') && path.isWellFormed();
}

/** The last 13 bytes of FNV-1a with 128 bits. */
function hashPath(text: string): DataView {
  let hash = FNV_OFFSET_BASIS;
  for (const byte of encoder.encode(text)) hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * FNV_PRIME);
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, hash >> 64n);
  view.setBigUint64(8, BigInt.asUintN(64, hash));
  return new DataView(view.buffer, 3);
}

export function auxiliaryFileKey(path: string): Key {
  let code = OTHER_CODE;
  let hashed = path;
  const directory = DIRECTORY_CODES.find(([prefix]) => path.startsWith(prefix));
  if (path === REPLORIGIN_CHECKPOINT) {
    code = REPLORIGIN_CHECKPOINT_CODE;
    hashed = '';
  } else if (directory !== undefined) {
    code = directory[1];
    hashed = path.slice(directory[0].length);
  }
  const hash = hashPath(hashed);
  return {
    kind: KIND_AUXILIARY_FILE,
    field2: code,
    field3: hash.getUint32(0),
    field4: hash.getUint32(4),
    field5: hash.getUint8(8),
    index: hash.getUint32(9),
  };
}

/**
 * Version 1, then for each: length of the path, path, LSN, length of the content, content. Lengths are u32, the LSN is
 * u64, network byte order. No files: no bytes at all.
 */
export function encodeAuxiliaryFiles(files: readonly AuxiliaryFile[]): Uint8Array {
  if (files.length === 0) return NO_VALUE;
  const paths = files.map(({ path }) => encoder.encode(path));
  let length = 1;
  for (const [index, { content }] of files.entries()) {
    length += 4 + (paths[index] as Uint8Array).length + 8 + 4 + content.length;
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes[0] = CURRENT_VERSION;
  let position = 1;
  for (const [index, { lsn, content }] of files.entries()) {
    const path = paths[index] as Uint8Array;
    view.setUint32(position, path.length);
    bytes.set(path, position + 4);
    position += 4 + path.length;
    view.setUint32(position, Math.floor(lsn / TWO_POW_32));
    view.setUint32(position + 4, lsn % TWO_POW_32);
    view.setUint32(position + 8, content.length);
    bytes.set(content, position + 12);
    position += 12 + content.length;
  }
  return bytes;
}

/** The contents are not copied. @throws CorruptionError for an unknown version, and where lengths do not fit */
export function decodeAuxiliaryFiles(bytes: Uint8Array): AuxiliaryFile[] {
  if (bytes.length === 0) return [];
  if (bytes[0] !== CURRENT_VERSION) refuse(`the version ${bytes[0]} is unknown`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const files: AuxiliaryFile[] = [];
  let position = 1;
  const take = (length: number): number => {
    const start = position;
    if (length > bytes.length - start) refuse(`it ends within a field of ${length} bytes`);
    position = start + length;
    return start;
  };
  while (position < bytes.length) {
    const pathBytes = view.getUint32(take(4));
    const pathStart = take(pathBytes);
    const lsn = take(8);
    const high = view.getUint32(lsn);
    if (high >= LSN_HIGH_LIMIT) refuse('an LSN is at or above 2^53');
    const contentBytes = view.getUint32(take(4));
    const contentStart = take(contentBytes);
    files.push({
      path: decodePath(bytes.subarray(pathStart, pathStart + pathBytes)),
      lsn: (high * TWO_POW_32 + view.getUint32(lsn + 4)) as Lsn,
      content: bytes.subarray(contentStart, contentStart + contentBytes),
    });
  }
  return files;
}

function decodePath(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new CorruptionError('BAD_AUXILIARY_FILES', 'the path of an auxiliary file is no UTF-8', {}, error);
  }
}

function refuse(reason: string): never {
  throw new CorruptionError('BAD_AUXILIARY_FILES', `a list of auxiliary files cannot be read: ${reason}`);
}

/**
 * The value that comes after `old` (undefined or empty where there was none) under `auxiliaryFileKey(change.path)`. A
 * change that is older than what is there changes nothing: then `old` itself is given back.
 * @throws BadRequestError for a path that can be none, or a content that is too long; as decodeAuxiliaryFiles
 */
export function changeAuxiliaryFiles(old: Uint8Array | undefined, change: AuxiliaryFileChange): Uint8Array {
  const { path, lsn, content } = change;
  if (!isAuxiliaryPath(path)) {
    throw new BadRequestError(
      'BAD_AUXILIARY_PATH',
      `the path of an auxiliary file has 1 to ${PATH_BYTES_MAX} bytes of UTF-8, none of them zero`,
    );
  }
  if (content !== undefined && content.length > AUXILIARY_CONTENT_BYTES_MAX) {
    throw new BadRequestError(
      'AUXILIARY_FILE_TOO_LONG',
      `an auxiliary file has at most ${AUXILIARY_CONTENT_BYTES_MAX} bytes, this one ${content.length}`,
    );
  }
  const before = old ?? NO_VALUE;
  const files = decodeAuxiliaryFiles(before);
  const index = files.findIndex((file) => file.path === path);
  if (index < 0 && content === undefined) return before;
  if (index >= 0 && (files[index] as AuxiliaryFile).lsn > lsn) return before;
  if (content === undefined) files.splice(index, 1);
  else if (index < 0) files.push({ path, lsn, content });
  else files[index] = { path, lsn, content };
  return encodeAuxiliaryFiles(files);
}
