/** Telling the end of WAL from damage. */
import type { Files } from '../io/files.ts';
import {
  SHORT_HEADER_BYTES,
  WAL_HEADER_MAGIC,
  WAL_HEADER_PAGE_ADDRESS,
  WAL_PAGE_BYTES,
} from '../postgres/wal/page-header.ts';
import type { WalSegments } from './wal-segments.ts';

const TWO_POW_32 = 0x1_0000_0000;
const CHUNK_BYTES = 1024 * 1024;

/** The address that a WAL page gives itself, or undefined where it has no header of this version. */
function pageAddress(bytes: Uint8Array, offset: number, magic: number): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, SHORT_HEADER_BYTES);
  if (view.getUint16(WAL_HEADER_MAGIC, true) !== magic) return undefined;
  const high = view.getUint32(WAL_HEADER_PAGE_ADDRESS + 4, true);
  return high * TWO_POW_32 + view.getUint32(WAL_HEADER_PAGE_ADDRESS, true);
}

/**
 * Whether the page at `pageLsn` is of a segment that has been recycled (xlog.c, InstallXLogFileSegment): the file of
 * old WAL has got the name of a segment to come, and what it held stands there until it is overwritten. Such a page
 * was at the same place of an earlier segment.
 */
export function isRecycledPage(header: Uint8Array, pageLsn: number, segments: WalSegments): boolean {
  const { version, segmentBytes } = segments;
  const address = pageAddress(header, 0, version.walPageMagic);
  if (address === undefined) return false;
  return address < pageLsn && address % segmentBytes === pageLsn % segmentBytes;
}

/**
 * Looks for WAL behind what seems to be its end: a page at or after `readTo` in the same file, or the first one of a
 * later file, that says of itself that it is where it is. PostgreSQL writes WAL from front to back, so it leaves no such page.
 *
 * Returns its LSN, or undefined.
 */
export async function findLaterPage(
  files: Files,
  { segments, segmentBytes, version }: WalSegments,
  readTo: number,
): Promise<number | undefined> {
  const firstPage = Math.ceil(readTo / WAL_PAGE_BYTES) * WAL_PAGE_BYTES;
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (const segment of segments) {
    const { startLsn } = segment;
    if (startLsn + segmentBytes <= firstPage) continue;
    await using file = await files.open(segment.path);
    let offset = Math.max(0, firstPage - startLsn);
    // Of files that begin after the end the first page tells enough.
    const isOwnFile = firstPage > startLsn;
    do {
      const length = await file.read(chunk, 0, isOwnFile ? CHUNK_BYTES : SHORT_HEADER_BYTES, offset);
      for (let at = 0; at + SHORT_HEADER_BYTES <= length; at += WAL_PAGE_BYTES) {
        const position = startLsn + offset + at;
        if (pageAddress(chunk, at, version.walPageMagic) === position) return position;
      }
      if (length < CHUNK_BYTES) break;
      offset += CHUNK_BYTES;
    } while (isOwnFile);
  }
  return undefined;
}
