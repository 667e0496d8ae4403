import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { ObjectStore } from '../../io/objects.ts';
import { WAL_PAGE_BYTES } from '../../postgres/wal/page-header.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import { checkWalPages } from './check-wal-pages.ts';
import { segmentKey } from './object-names.ts';

/** Got from the bucket at once: more than a reader wants at a time, which goes on right behind. */
const READ_AHEAD_BYTES: number = 1024 * 1024;

interface Piece {
  readonly lsn: number;
  readonly bytes: Uint8Array;
}

/**
 * Reads WAL from the disk, and from the bucket where it is there only. Who holds a `ResidentTimeline` counts as one
 * reader: for each there is one piece ahead in memory, as long as it reads from the bucket.
 */
export class BucketReader {
  readonly #objects: ObjectStore | undefined;
  readonly #life: AbortSignal;
  readonly #pieces = new WeakMap<ResidentTimeline, Piece>();

  /** @param life no more is got from the bucket when it has ended */
  constructor(objects: ObjectStore | undefined, life: AbortSignal) {
    this.#objects = objects;
    this.#life = life;
  }

  /**
   * As WalStorage.read: reads up to the end of a segment, or of a piece, and returns how many bytes there were.
   * @throws as that; and CorruptionError where the bucket has not what it should have
   */
  async read(
    timeline: ResidentTimeline,
    target: Uint8Array,
    start: number,
    length: number,
    lsn: Lsn,
  ): Promise<number> {
    const { wal } = timeline.acceptor;
    try {
      if (wal === undefined) throw evicted(lsn);
      const count = await wal.read(target, start, length, lsn);
      this.#pieces.delete(timeline);
      return count;
    } catch (error) {
      const objects = this.#objects;
      if (objects === undefined || !isElsewhere(error) || !isInBucket(timeline, lsn)) throw error;
      return this.#readPieces(objects, timeline, target, start, length, lsn);
    }
  }

  /** Fills the target from as many pieces as it takes, up to the end of the segment. */
  async #readPieces(
    objects: ObjectStore,
    timeline: ResidentTimeline,
    target: Uint8Array,
    start: number,
    length: number,
    lsn: Lsn,
  ): Promise<number> {
    const { segmentBytes } = timeline.acceptor.acceptor.persistent.server;
    const wanted = Math.min(length, segmentBytes - (lsn % segmentBytes));
    for (let done = 0; done < wanted; ) {
      const piece = await this.#pieceAt(objects, timeline, lsn + done);
      const offset = lsn + done - piece.lsn;
      const count = Math.min(wanted - done, piece.bytes.length - offset);
      target.set(piece.bytes.subarray(offset, offset + count), start + done);
      done += count;
    }
    return wanted;
  }

  async #pieceAt(objects: ObjectStore, timeline: ResidentTimeline, lsn: number): Promise<Piece> {
    const known = this.#pieces.get(timeline);
    if (known !== undefined && lsn >= known.lsn && lsn < known.lsn + known.bytes.length) return known;
    const { persistent } = timeline.acceptor.acceptor;
    const signal = AbortSignal.any([timeline.signal, this.#life]);
    const piece = await getPiece(objects, timeline, persistent, lsn - (lsn % WAL_PAGE_BYTES), signal);
    this.#pieces.set(timeline, piece);
    return piece;
  }
}

async function getPiece(
  objects: ObjectStore,
  timeline: ResidentTimeline,
  persistent: PersistentState,
  lsn: number,
  signal: AbortSignal,
): Promise<Piece> {
  const { segmentBytes } = persistent.server;
  const start = lsn % segmentBytes;
  const end = Math.min(start + READ_AHEAD_BYTES, segmentBytes);
  const key = segmentKey(timeline, segmentNumber(lsn, segmentBytes), segmentBytes);
  const bytes = await objects.get(key, { signal, start, end }).catch((error: unknown) => {
    throw translateMissing(error, key, lsn);
  });
  if (bytes.length !== end - start) {
    throw new CorruptionError(
      'WAL_OBJECT_SHORT',
      `of a whole segment only ${start + bytes.length} bytes are there`,
      {
        file: key,
        lsn,
      },
    );
  }
  checkWalPages(bytes, lsn, persistent, key);
  return { lsn, bytes };
}

/** An object that must be there is lost: that is damage, not an answer to who asked for WAL. */
export function translateMissing(error: unknown, key: string, lsn: number): unknown {
  if (!(error instanceof VarveError) || error.code !== 'OBJECT_NOT_FOUND') return error;
  return new CorruptionError(
    'WAL_OBJECT_MISSING',
    'WAL that was uploaded is not in the bucket',
    { file: key, lsn },
    error,
  );
}

function evicted(lsn: Lsn): VarveError {
  return new VarveError('unavailable', 'TIMELINE_EVICTED', 'the WAL of this timeline is in the bucket', {
    lsn,
  });
}

function isElsewhere(error: unknown): boolean {
  return error instanceof VarveError && (error.code === 'WAL_NOT_LOCAL' || error.code === 'TIMELINE_EVICTED');
}

/** Whether the bucket has the segment whole, and nothing in it but WAL of this timeline. */
function isInBucket({ acceptor }: ResidentTimeline, lsn: Lsn): boolean {
  const { backupLsn, persistent } = acceptor.acceptor;
  const { segmentBytes } = persistent.server;
  const segment = segmentNumber(lsn, segmentBytes);
  return (
    segment >= segmentNumber(persistent.timelineStartLsn, segmentBytes) &&
    segment < segmentNumber(backupLsn, segmentBytes)
  );
}
