import { CorruptionError } from '../../base/errors.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import {
  SHORT_HEADER_BYTES,
  WAL_HEADER_MAGIC,
  WAL_HEADER_PAGE_ADDRESS,
  WAL_PAGE_BYTES,
} from '../../postgres/wal/page-header.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';

/** Of what WAL is. */
export type WalKind = Pick<PersistentState, 'server' | 'timelineStartLsn'>;

const TWO_POW_32 = 0x1_0000_0000;

/**
 * Checks that each page that begins in `bytes`, which is WAL from `lsn` on, is the page of that position: a cheap look
 * at what comes from a disk or a bucket. Whoever reads records checks their CRCs.
 *
 * @param place where the bytes are from, for the error
 * @throws CorruptionError WRONG_WAL_PAGE
 */
export function checkWalPages(bytes: Uint8Array, lsn: number, kind: WalKind, place: string): void {
  const { server, timelineStartLsn } = kind;
  const magic = server.pgVersion === 0 ? undefined : versionMagic(server.pgVersion);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const first = (WAL_PAGE_BYTES - (lsn % WAL_PAGE_BYTES)) % WAL_PAGE_BYTES;
  for (let offset = first; offset + SHORT_HEADER_BYTES <= bytes.length; offset += WAL_PAGE_BYTES) {
    const pageLsn = lsn + offset;
    // What stands before the beginning of all WAL is made up.
    if (pageLsn < timelineStartLsn) continue;
    const address =
      view.getUint32(offset + WAL_HEADER_PAGE_ADDRESS, true) +
      view.getUint32(offset + WAL_HEADER_PAGE_ADDRESS + 4, true) * TWO_POW_32;
    const isRight =
      address === pageLsn &&
      (magic === undefined || view.getUint16(offset + WAL_HEADER_MAGIC, true) === magic);
    if (isRight) continue;
    throw new CorruptionError('WRONG_WAL_PAGE', 'this is not the WAL page that must be here', {
      file: place,
      lsn: pageLsn,
    });
  }
}

function versionMagic(pgVersion: number): number {
  return getPostgresVersion(Math.floor(pgVersion / 10_000)).walPageMagic;
}
