import { Buffer } from 'node:buffer';
import { AssertionError } from '../errors.ts';
import {
  CHECKSUM,
  GID,
  GNU_LONG_NAME,
  ID_BYTES,
  isTarName,
  MAGIC,
  MAGIC_TEXT,
  MODE,
  MTIME,
  NAME_BYTES,
  PREFIX,
  PREFIX_BYTES,
  SIZE,
  SIZE_DIGITS,
  SIZE_MAX,
  TAR_BLOCK_BYTES,
  TYPE,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_GNU_LONG_NAME,
  tarChecksum,
  tarPaddingBytes,
  UID,
} from './tar-format.ts';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** What an entry of an archive that is written may say. */
export interface TarHeaderFields {
  /** Relative, with `/` between its parts; a directory's without one at its end. */
  readonly name: string;
  /** Of a file's content. */
  readonly sizeBytes: number;
  /** A file, if nothing is said. */
  readonly type?: 'file' | 'directory';
  /** For the owner alone, if nothing is said. */
  readonly mode?: number;
  /** Seconds since 1970; that moment itself if nothing is said. */
  readonly modifiedSeconds?: number;
}

/**
 * The header of an entry, whose content, padded with `tarPadding`, is to follow. One block; of a long name that does not
 * go into its two fields there are more, as GNU tar makes them and all others read them.
 */
export function tarHeader(fields: TarHeaderFields): Uint8Array {
  const { sizeBytes, type = 'file', modifiedSeconds = 0 } = fields;
  const name = Buffer.from(type === 'directory' ? `${fields.name}/` : fields.name);
  const isDirectory = type === 'directory';
  const isWhole = Number.isInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= SIZE_MAX;
  if (!isTarName(fields.name) || !isWhole || (isDirectory && sizeBytes > 0)) {
    throw new AssertionError(`"${fields.name}" with ${sizeBytes} bytes does not go into a tar archive`);
  }
  const place = placeName(name);
  const mode = fields.mode ?? (isDirectory ? DIRECTORY_MODE : FILE_MODE);
  const common = { sizeBytes, mode, modifiedSeconds, typeCode: isDirectory ? TYPE_DIRECTORY : TYPE_FILE };
  if (place !== undefined) return headerBlock({ ...common, ...place });
  const prefix = Buffer.alloc(0);
  const longName = Buffer.concat([name, Buffer.alloc(1)]);
  return Buffer.concat([
    headerBlock({
      name: Buffer.from(GNU_LONG_NAME),
      prefix,
      sizeBytes: longName.length,
      mode: 0,
      modifiedSeconds: 0,
      typeCode: TYPE_GNU_LONG_NAME,
    }),
    longName,
    tarPadding(longName.length),
    headerBlock({ ...common, name: name.subarray(0, NAME_BYTES), prefix }),
  ]);
}

interface HeaderBlock {
  readonly name: Uint8Array;
  readonly prefix: Uint8Array;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifiedSeconds: number;
  readonly typeCode: number;
}

function headerBlock(block: HeaderBlock): Uint8Array {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  const octal = (value: number, offset: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), offset, 'latin1');
  };
  header.set(block.name);
  octal(block.mode, MODE, ID_BYTES - 1);
  octal(0, UID, ID_BYTES - 1);
  octal(0, GID, ID_BYTES - 1);
  octal(block.sizeBytes, SIZE, SIZE_DIGITS);
  octal(Math.min(Math.max(Math.floor(block.modifiedSeconds), 0), SIZE_MAX), MTIME, SIZE_DIGITS);
  header[TYPE] = block.typeCode;
  header.write(MAGIC_TEXT, MAGIC, 'latin1');
  header.set(block.prefix, PREFIX);
  header.write(`${tarChecksum(header).toString(8).padStart(6, '0')}\0 `, CHECKSUM, 'latin1');
  return header;
}

/** Divides a name at a slash over the two fields that there are for it; undefined where it does not go in. */
function placeName(name: Buffer): { name: Uint8Array; prefix: Uint8Array } | undefined {
  if (name.length <= NAME_BYTES) return { name, prefix: Buffer.alloc(0) };
  const slash = name.indexOf('/', name.length - NAME_BYTES - 1);
  if (slash <= 0 || slash > PREFIX_BYTES || slash === name.length - 1) return undefined;
  return { name: name.subarray(slash + 1), prefix: name.subarray(0, slash) };
}

/** The zeros between a file's content and the next header. */
export function tarPadding(sizeBytes: number): Uint8Array {
  return new Uint8Array(tarPaddingBytes(sizeBytes));
}

/** Without this end, an archive has been cut off. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * TAR_BLOCK_BYTES);
}
