import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { ObjectBody } from '../../io/objects.ts';
import type { WalStorage } from '../wal/wal-storage.ts';
import { checkWalPages, type WalKind } from './check-wal-pages.ts';

const PIECE_BYTES: number = 256 * 1024;

/** WAL from the disk as the body of an object. It must all be there, and is looked at as it goes. */
export function walBody(wal: WalStorage, startLsn: Lsn, endLsn: Lsn, kind: WalKind): ObjectBody {
  return { sizeBytes: endLsn - startLsn, pieces: () => pieces(wal, startLsn, endLsn, kind) };
}

async function* pieces(
  wal: WalStorage,
  startLsn: Lsn,
  endLsn: Lsn,
  kind: WalKind,
): AsyncGenerator<Uint8Array> {
  for (let lsn = startLsn; lsn < endLsn; ) {
    // The receiver of a piece may keep it.
    const piece = new Uint8Array(Math.min(PIECE_BYTES, endLsn - lsn));
    const length = await wal.read(piece, 0, piece.length, lsn);
    if (length === 0) {
      throw new VarveError('unavailable', 'WAL_CUT', 'WAL was cut while it was uploaded', { lsn });
    }
    const bytes = piece.subarray(0, length);
    checkWalPages(bytes, lsn, kind, 'the local WAL');
    yield bytes;
    lsn = (lsn + length) as Lsn;
  }
}
