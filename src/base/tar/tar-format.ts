/**
 * The header block of the ustar interchange format of POSIX (pax.html, "ustar Interchange Format"), with what GNU tar and
 * pax have added to it for what it has no room for.
 */

export const TAR_BLOCK_BYTES = 512;

export const NAME = 0;
export const NAME_BYTES = 100;
export const MODE = 100;
export const UID = 108;
export const GID = 116;
export const ID_BYTES = 8;
export const SIZE = 124;
export const SIZE_BYTES = 12;
export const MTIME = 136;
export const CHECKSUM = 148;
export const CHECKSUM_BYTES = 8;
export const TYPE = 156;
export const LINK_NAME = 157;
export const MAGIC = 257;
/** POSIX has `ustar`, a zero byte and `00` here; old GNU tar `ustar`, two blanks and a zero byte. */
export const MAGIC_TEXT = 'ustar\x0000';
/** Of POSIX only: where GNU tar's own format is, the field means other things. */
export const PREFIX = 345;
export const PREFIX_BYTES = 155;

export const TYPE_OLD_FILE = 0;
export const TYPE_FILE: number = '0'.charCodeAt(0);
export const TYPE_SYMLINK: number = '2'.charCodeAt(0);
export const TYPE_DIRECTORY: number = '5'.charCodeAt(0);
/** GNU tar: the content is the name of the entry that follows, and a zero byte. */
export const TYPE_GNU_LONG_NAME: number = 'L'.charCodeAt(0);
/** GNU tar: as TYPE_GNU_LONG_NAME, of where a link goes. */
export const TYPE_GNU_LONG_LINK: number = 'K'.charCodeAt(0);
/** pax: the content has fields of the entry that follows. */
export const TYPE_PAX: number = 'x'.charCodeAt(0);
/** pax: the content has fields of all entries that follow. */
export const TYPE_PAX_GLOBAL: number = 'g'.charCodeAt(0);
/** The name that GNU tar gives to entries of the two types. */
export const GNU_LONG_NAME = '././@LongLink';

/** Numbers are octal digits, of which there may be so many beside the zero byte at the end. */
export const SIZE_DIGITS = 11;
export const SIZE_MAX: number = 8 ** SIZE_DIGITS - 1;

export type TarEntryType = 'file' | 'directory' | 'symlink';

/** The sum of all bytes of a header, those of the sum itself taken as spaces. */
export function tarChecksum(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) {
    const isChecksum = at >= CHECKSUM && at < CHECKSUM + CHECKSUM_BYTES;
    sum += isChecksum ? 0x20 : (header[at] as number);
  }
  return sum;
}

/** How many zeros there are between a file's content and the next header. */
export const tarPaddingBytes = (sizeBytes: number): number =>
  (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;

/** Whether an entry may have the name: relative, not empty in any part, and leading nowhere but down. */
export function isTarName(name: string): boolean {
  if (name.includes('\0') || !name.isWellFormed()) return false;
  return name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
