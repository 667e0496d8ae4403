import { Buffer } from 'node:buffer';
import { AssertionError, CorruptionError } from '../errors.ts';
import {
  CHECKSUM,
  CHECKSUM_BYTES,
  ID_BYTES,
  isTarName,
  LINK_NAME,
  MAGIC,
  MAGIC_TEXT,
  MODE,
  NAME,
  NAME_BYTES,
  PREFIX,
  PREFIX_BYTES,
  SIZE,
  SIZE_BYTES,
  TAR_BLOCK_BYTES,
  type TarEntryType,
  TYPE,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_GNU_LONG_LINK,
  TYPE_GNU_LONG_NAME,
  TYPE_OLD_FILE,
  TYPE_PAX,
  TYPE_PAX_GLOBAL,
  TYPE_SYMLINK,
  tarChecksum,
  tarPaddingBytes,
} from './tar-format.ts';

/** No name is as long, and nothing that is said of an entry. */
const EXTENSION_BYTES_MAX: number = 64 * 1024;
/** Extensions that may come before one entry. */
const EXTENSIONS_MAX = 8;

/** An entry of an archive that is read. */
export interface TarEntry {
  readonly type: TarEntryType;
  /** Relative, without a slash at its end, and leading nowhere but down. */
  readonly name: string;
  /** Of a file's content. */
  readonly sizeBytes: number;
  readonly mode: number;
  /** Where a symbolic link goes: not checked. Empty of all others. */
  readonly linkName: string;
}

/** What extensions say of the entry behind them. */
interface Extensions {
  name?: string;
  linkName?: string;
  sizeBytes?: number;
}

function refuse(reason: string): never {
  throw new CorruptionError('BAD_ARCHIVE', `the tar archive is damaged: ${reason}`);
}

function readText(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return decodeText(end < 0 ? field : field.subarray(0, end));
}

/** What is no UTF-8 is no name of anything of ours. */
function decodeText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  return text.includes('\ufffd') ? refuse('a name is no UTF-8') : text;
}

/** Octal digits, or, as GNU tar has it for large numbers, a bit and then the number itself. */
function readNumber(header: Uint8Array, start: number, length: number): number {
  if (((header[start] as number) & 0x80) !== 0) return readBinaryNumber(header, start, length);
  const text = readText(header, start, length).trim();
  return /^[0-7]{1,12}$/.test(text) ? Number.parseInt(text, 8) : refuse(`"${text}" is no number`);
}

function readBinaryNumber(header: Uint8Array, start: number, length: number): number {
  let value = (header[start] as number) & 0x7f;
  for (let at = start + 1; at < start + length; at++) value = value * 256 + (header[at] as number);
  return Number.isSafeInteger(value) ? value : refuse('a number is too large');
}

/** pax.html, "pax Extended Header": records of a length, a key and a value each. */
function readPaxFields(content: Uint8Array, extensions: Extensions): void {
  for (let at = 0; at < content.length; ) {
    const blank = content.indexOf(0x20, at);
    const lengthText = blank < 0 ? '' : decodeText(content.subarray(at, blank));
    const length = /^[1-9][0-9]{0,5}$/.test(lengthText) ? Number(lengthText) : 0;
    const end = at + length;
    if (end <= blank + 1 || end > content.length || content[end - 1] !== 0x0a) {
      refuse('an extended header cannot be read');
    }
    const field = content.subarray(blank + 1, end - 1);
    const equals = field.indexOf(0x3d);
    if (equals <= 0) refuse('a field of an extended header has no name');
    takePaxField(decodeText(field.subarray(0, equals)), field.subarray(equals + 1), extensions);
    at = end;
  }
}

function takePaxField(key: string, value: Uint8Array, extensions: Extensions): void {
  if (key === 'path') extensions.name = decodeText(value);
  else if (key === 'linkpath') extensions.linkName = decodeText(value);
  else if (key === 'size') {
    const text = decodeText(value);
    const size = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
    extensions.sizeBytes = Number.isSafeInteger(size) ? size : refuse(`"${text}" is no size`);
  } else if (key.startsWith('GNU.sparse.')) {
    refuse('a file has holes that are not in the archive');
  }
}

function entryTypeOf(code: number): TarEntryType {
  if (code === TYPE_FILE || code === TYPE_OLD_FILE) return 'file';
  if (code === TYPE_DIRECTORY) return 'directory';
  if (code === TYPE_SYMLINK) return 'symlink';
  return refuse('it holds something else than files, directories and symbolic links');
}

function checkHeader(header: Uint8Array): void {
  if (readNumber(header, CHECKSUM, CHECKSUM_BYTES) !== tarChecksum(header)) {
    refuse('the checksum of a header is wrong');
  }
  const magic = Buffer.from(header.subarray(MAGIC, MAGIC + 8)).toString('latin1');
  if (magic !== MAGIC_TEXT && magic !== 'ustar  \0') refuse('a header is of another format');
}

function parseEntry(header: Uint8Array, extensions: Extensions): TarEntry {
  const code = header[TYPE] as number;
  const plainName = readText(header, NAME, NAME_BYTES);
  const isPosix = header[MAGIC + 5] === 0;
  const prefix = isPosix && extensions.name === undefined ? readText(header, PREFIX, PREFIX_BYTES) : '';
  const name = extensions.name ?? (prefix === '' ? plainName : `${prefix}/${plainName}`);
  const sizeBytes = extensions.sizeBytes ?? readNumber(header, SIZE, SIZE_BYTES);
  // Before there was a type for them, a slash made a directory of an entry.
  const type = code === TYPE_OLD_FILE && name.endsWith('/') ? 'directory' : entryTypeOf(code);
  if (type !== 'file' && sizeBytes !== 0) refuse(`"${name}" is no file, and has content`);
  return {
    type,
    name: checkName(name, type),
    sizeBytes,
    mode: readNumber(header, MODE, ID_BYTES) & 0o7777,
    linkName: type === 'symlink' ? (extensions.linkName ?? readText(header, LINK_NAME, NAME_BYTES)) : '',
  };
}

/** `./` at the beginning is how many programs name what is in the present directory. */
function checkName(text: string, type: TarEntryType): string {
  let name = text.startsWith('./') ? text.slice(2) : text;
  if (type === 'directory' && name.endsWith('/')) name = name.slice(0, -1);
  if (type === 'directory' && (name === '' || name === '.')) return '.';
  return isTarName(name) ? name : refuse(`${JSON.stringify(text)} is no name within it`);
}

/**
 * Reads an archive that comes as a stream, one entry after another: ustar, and what GNU tar and pax make of it. Nothing
 * that is in it is believed: what has no place, or does not fit, is refused.
 */
export class TarReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #left = 0;
  #paddingBytes = 0;

  constructor(archive: AsyncIterable<Uint8Array>) {
    this.#chunks = archive[Symbol.asyncIterator]();
  }

  /**
   * Goes to the next entry; undefined at the end of the archive. The content of the one before must have been read.
   * @throws CorruptionError / BAD_ARCHIVE where it is damaged, cut off, or has what is no file, directory or symbolic link
   */
  async next(): Promise<TarEntry | undefined> {
    if (this.#left > 0) throw new AssertionError('a file of a tar archive was not read');
    const extensions: Extensions = {};
    for (let count = 0; ; count++) {
      await this.#readBytes(this.#paddingBytes);
      this.#paddingBytes = 0;
      const header = await this.#readBytes(TAR_BLOCK_BYTES);
      if (header.every((byte) => byte === 0)) {
        if (count > 0) refuse('it ends before an entry that it has announced');
        await this.#readEnd();
        return undefined;
      }
      checkHeader(header);
      if (await this.#readExtension(header, extensions)) {
        if (count === EXTENSIONS_MAX) refuse('too much is said of an entry');
        continue;
      }
      const entry = parseEntry(header, extensions);
      this.#left = entry.sizeBytes;
      this.#paddingBytes = tarPaddingBytes(entry.sizeBytes);
      return entry;
    }
  }

  /** The next bytes of the present file's content; undefined at its end. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#left === 0) return undefined;
    await this.#fill();
    const piece = this.#chunk.subarray(0, Math.min(this.#left, this.#chunk.length));
    this.#chunk = this.#chunk.subarray(piece.length);
    this.#left -= piece.length;
    return piece;
  }

  /**
   * All that is left of the present file's content.
   * @throws CorruptionError / BAD_ARCHIVE where that is more than `bytesMax`, or the archive is cut off
   */
  async readAll(bytesMax: number): Promise<Uint8Array> {
    if (this.#left > bytesMax) refuse(`a file of its kind never has ${this.#left} bytes`);
    const bytes = new Uint8Array(this.#left);
    for (let at = 0; at < bytes.length; ) {
      const piece = (await this.read()) as Uint8Array;
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Passes over what is left of the present file's content. */
  async skip(): Promise<void> {
    while ((await this.read()) !== undefined);
  }

  /** Lets go of the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** False where the header is an entry's own. */
  async #readExtension(header: Uint8Array, extensions: Extensions): Promise<boolean> {
    const code = header[TYPE] as number;
    const isLongName = code === TYPE_GNU_LONG_NAME || code === TYPE_GNU_LONG_LINK;
    if (!isLongName && code !== TYPE_PAX && code !== TYPE_PAX_GLOBAL) return false;
    const sizeBytes = readNumber(header, SIZE, SIZE_BYTES);
    if (sizeBytes > EXTENSION_BYTES_MAX) refuse(`${sizeBytes} bytes are said of an entry`);
    const content = await this.#readBytes(sizeBytes);
    await this.#readBytes(tarPaddingBytes(sizeBytes));
    if (code === TYPE_GNU_LONG_NAME) extensions.name = readText(content, 0, content.length);
    else if (code === TYPE_GNU_LONG_LINK) extensions.linkName = readText(content, 0, content.length);
    else if (code === TYPE_PAX) readPaxFields(content, extensions);
    else this.#checkGlobalFields(content);
    return true;
  }

  /** A comment, or a time; nothing that names or measures each entry can be true of more than one. */
  #checkGlobalFields(content: Uint8Array): void {
    const fields: Extensions = {};
    readPaxFields(content, fields);
    if (Object.keys(fields).length > 0) refuse('one name or size is given to all entries');
  }

  async #readEnd(): Promise<void> {
    const second = await this.#readBytes(TAR_BLOCK_BYTES);
    if (!second.every((byte) => byte === 0)) refuse('there is a hole in it');
  }

  async #readBytes(length: number): Promise<Uint8Array> {
    const block = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      await this.#fill();
      const piece = this.#chunk.subarray(0, length - at);
      block.set(piece, at);
      at += piece.length;
      this.#chunk = this.#chunk.subarray(piece.length);
    }
    return block;
  }

  async #fill(): Promise<void> {
    while (this.#chunk.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) refuse('it is cut off');
      this.#chunk = next.value;
    }
  }
}
