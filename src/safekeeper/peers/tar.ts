import { Buffer } from 'node:buffer';
import { AssertionError, CorruptionError } from '../../base/errors.ts';

// The ustar interchange format of POSIX (pax.html, "ustar Interchange Format"), as much of it as files with short names
// need: no directories, no links, no extensions.

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const MODE_OFFSET = 100;
const UID_OFFSET = 108;
const GID_OFFSET = 116;
const SIZE_OFFSET = 124;
const MTIME_OFFSET = 136;
const CHECKSUM_OFFSET = 148;
const CHECKSUM_BYTES = 8;
const TYPE_OFFSET = 156;
const LINK_OFFSET = 157;
const MAGIC_OFFSET = 257;
const PREFIX_OFFSET = 345;
const PREFIX_END = 500;
const TYPE_FILE = 0x30;
const SIZE_DIGITS = 11;
const SIZE_MAX = 8 ** SIZE_DIGITS - 1;

/** A file in an archive. */
export interface TarEntry {
  readonly name: string;
  readonly sizeBytes: number;
}

/** The header of a regular file, whose content, padded with `tarPadding`, is to follow. */
export function tarHeader({ name, sizeBytes }: TarEntry): Uint8Array {
  if (!/^[\x21-\x7e]{1,100}$/.test(name) || sizeBytes > SIZE_MAX) {
    throw new AssertionError(`"${name}" with ${sizeBytes} bytes does not go into a tar archive`);
  }
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write(name, 0, 'latin1');
  header.write('0000600', MODE_OFFSET, 'latin1');
  header.write('0000000', UID_OFFSET, 'latin1');
  header.write('0000000', GID_OFFSET, 'latin1');
  header.write(sizeBytes.toString(8).padStart(SIZE_DIGITS, '0'), SIZE_OFFSET, 'latin1');
  header.write('0'.repeat(SIZE_DIGITS), MTIME_OFFSET, 'latin1');
  header[TYPE_OFFSET] = TYPE_FILE;
  header.write('ustar\x0000', MAGIC_OFFSET, 'latin1');
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, CHECKSUM_OFFSET, 'latin1');
  return header;
}

/** The zeros between a file's content and the next header. */
export function tarPadding(sizeBytes: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Without this end, an archive has been cut off. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK_BYTES);
}

/** The sum of all bytes, those of the sum itself taken as spaces. */
function checksumOf(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const isChecksum = at >= CHECKSUM_OFFSET && at < CHECKSUM_OFFSET + CHECKSUM_BYTES;
    sum += isChecksum ? 0x20 : (header[at] as number);
  }
  return sum;
}

function readText(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString('latin1');
}

function readOctal(header: Uint8Array, start: number, length: number): number {
  const text = readText(header, start, length).trim();
  return /^[0-7]{1,11}$/.test(text) ? Number.parseInt(text, 8) : refuse(`"${text}" is no number`);
}

function refuse(reason: string): never {
  throw new CorruptionError('BAD_ARCHIVE', `the tar archive is damaged: ${reason}`);
}

function parseHeader(header: Uint8Array): TarEntry {
  if (readOctal(header, CHECKSUM_OFFSET, CHECKSUM_BYTES) !== checksumOf(header)) {
    refuse('the checksum of a header is wrong');
  }
  if (readText(header, MAGIC_OFFSET, 6) !== 'ustar') refuse('a header is of another format');
  const type = header[TYPE_OFFSET] as number;
  const isPlain = type === TYPE_FILE && header[LINK_OFFSET] === 0;
  const hasPrefix = readText(header, PREFIX_OFFSET, PREFIX_END - PREFIX_OFFSET) !== '';
  if (!isPlain || hasPrefix) refuse('it holds something else than files with short names');
  return {
    name: readText(header, 0, NAME_BYTES),
    sizeBytes: readOctal(header, SIZE_OFFSET, SIZE_DIGITS + 1),
  };
}

/** Reads an archive that comes as a stream, one file after another. */
export class TarReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #left = 0;
  #paddingBytes = 0;

  constructor(archive: AsyncIterable<Uint8Array>) {
    this.#chunks = archive[Symbol.asyncIterator]();
  }

  /**
   * Goes to the next file; undefined at the end of the archive. The content of the one before must have been read.
   * @throws CorruptionError / BAD_ARCHIVE where it is damaged or cut off
   */
  async next(): Promise<TarEntry | undefined> {
    if (this.#left > 0) throw new AssertionError('a file of a tar archive was not read');
    await this.#readBlock(this.#paddingBytes);
    const header = await this.#readBlock(BLOCK_BYTES);
    if (header.every((byte) => byte === 0)) {
      if (!(await this.#readBlock(BLOCK_BYTES)).every((byte) => byte === 0)) refuse('there is a hole in it');
      return undefined;
    }
    const entry = parseHeader(header);
    this.#left = entry.sizeBytes;
    this.#paddingBytes = tarPadding(entry.sizeBytes).length;
    return entry;
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

  /** Lets go of the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #readBlock(length: number): Promise<Uint8Array> {
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
