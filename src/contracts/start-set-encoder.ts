import { BigEndianWriter } from '../base/big-endian.ts';
import { crc32c } from '../base/crc32c.ts';
import { crc32cBulk } from '../base/crc32c-bulk.ts';
import { AssertionError } from '../base/errors.ts';
import {
  FLAG_DATA_CHECKSUMS,
  FORK_ENTRY_BYTES,
  FORKS_HEADER_BYTES,
  FRAME_CRC_BYTES,
  FRAME_DIRECTORIES,
  FRAME_END,
  FRAME_FILE,
  FRAME_FORKS,
  FRAME_HEADER,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
  FRAME_PIECE,
  FRAME_READY,
  FRAME_SLRU_SEGMENT,
  isStartSetPath,
  START_SET_FORMS,
  START_SET_MAGIC,
  START_SET_SLRUS,
  START_SET_VERSION,
  type StartSetFile,
  type StartSetFork,
  type StartSetHeader,
  type StartSetSlruSegment,
} from './start-set.ts';

/** Of a file's content in one frame. */
const PIECE_BYTES_MAX: number = 32 * 1024;
const DIRECTORIES_A_FRAME_MAX = 50;
const FORKS_A_FRAME_MAX: number = Math.floor(
  (FRAME_PAYLOAD_BYTES_MAX - FORKS_HEADER_BYTES) / FORK_ENTRY_BYTES,
);
const BUFFER_BYTES: number = 64 * 1024;
const ONE_FRAME_BYTES: number = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX + FRAME_CRC_BYTES;

/**
 * Makes the bytes of a start set. What is encoded gathers here until it is taken; a caller takes it when there is much.
 * The order of things is the caller's: header, directories, files and segments, ready, forks, end.
 */
export class StartSetEncoder {
  #bytes: Uint8Array = new Uint8Array(BUFFER_BYTES + ONE_FRAME_BYTES);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;
  #directories = 0;
  #files = 0;
  #segments = 0;
  #forks = 0;
  /** Over the CRCs of all frames. */
  #crc = 0;

  /** Whether there is so much that it should be taken. */
  get isFull(): boolean {
    return this.#length >= BUFFER_BYTES;
  }

  /** What has been encoded since the last time. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(BUFFER_BYTES + ONE_FRAME_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    this.#length = 0;
    return taken;
  }

  header(header: StartSetHeader): void {
    const payload = new BigEndianWriter()
      .u32(START_SET_MAGIC)
      .u16(START_SET_VERSION)
      .u8(START_SET_FORMS.indexOf(header.form))
      .u8(header.hasDataChecksums ? FLAG_DATA_CHECKSUMS : 0)
      .u16(header.postgresMajor)
      .u32(header.catalogVersion)
      .bigU64(header.systemIdentifier)
      .u32(header.walSegmentBytes)
      .u64(header.recordEndLsn)
      .u64(header.previousRecordLsn)
      .u64(header.nextRecordLsn)
      .u64(header.walNeededFrom ?? 0);
    this.#frame(FRAME_HEADER, payload.take());
  }

  directories(paths: readonly string[]): void {
    for (let start = 0; start < paths.length; start += DIRECTORIES_A_FRAME_MAX) {
      const payload = new BigEndianWriter();
      for (const path of paths.slice(start, start + DIRECTORIES_A_FRAME_MAX)) payload.cString(checked(path));
      this.#frame(FRAME_DIRECTORIES, payload.take());
    }
    this.#directories += paths.length;
  }

  file({ path, sizeBytes }: StartSetFile): void {
    this.#files++;
    this.#frame(FRAME_FILE, new BigEndianWriter().u64(sizeBytes).cString(checked(path)).take());
  }

  slruSegment({ path, sizeBytes, slru, segment }: StartSetSlruSegment): void {
    this.#segments++;
    const payload = new BigEndianWriter()
      .u64(sizeBytes)
      .u8(START_SET_SLRUS.indexOf(slru))
      .u32(segment)
      .cString(checked(path));
    this.#frame(FRAME_SLRU_SEGMENT, payload.take());
  }

  /** A part of a file's content, as many frames as it takes: gives the bytes, since it may be long. */
  *piece(offset: number, bytes: Uint8Array): Generator<Uint8Array, void> {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES_MAX) {
      const part = bytes.subarray(start, start + PIECE_BYTES_MAX);
      this.#frame(
        FRAME_PIECE,
        new BigEndianWriter(part.length + 8)
          .u64(offset + start)
          .put(part)
          .take(),
      );
      if (this.isFull) yield this.take();
    }
  }

  ready(): void {
    const payload = new BigEndianWriter().u32(this.#directories).u32(this.#files).u32(this.#segments);
    this.#frame(FRAME_READY, payload.take());
  }

  /** In order of tablespace, database, relation and fork. */
  *forks(forks: readonly StartSetFork[]): Generator<Uint8Array, void> {
    for (let start = 0; start < forks.length; ) {
      const { tablespace, database } = (forks[start] as StartSetFork).relation;
      const payload = this.#begin(FRAME_FORKS);
      const view = this.#view;
      view.setUint32(payload, tablespace);
      view.setUint32(payload + 4, database);
      let at = payload + FORKS_HEADER_BYTES;
      const limit = Math.min(forks.length, start + FORKS_A_FRAME_MAX);
      for (; start < limit; start++) {
        const { relation, fork, contentFork, blocks } = forks[start] as StartSetFork;
        if (relation.database !== database || relation.tablespace !== tablespace) break;
        view.setUint32(at, relation.relation);
        view.setUint8(at + 4, fork);
        view.setUint8(at + 5, contentFork);
        view.setUint32(at + 6, blocks);
        at += FORK_ENTRY_BYTES;
        this.#forks++;
      }
      this.#finish(payload, at);
      if (this.isFull) yield this.take();
    }
  }

  end(): void {
    this.#frame(FRAME_END, new BigEndianWriter().u64(this.#forks).u32(this.#crc).take());
  }

  #frame(kind: number, payload: Uint8Array): void {
    if (payload.length > FRAME_PAYLOAD_BYTES_MAX) throw new AssertionError('a frame is too long');
    const start = this.#begin(kind);
    this.#bytes.set(payload, start);
    this.#finish(start, start + payload.length);
  }

  /** Gives where the payload is to be written. */
  #begin(kind: number): number {
    const wanted = this.#length + ONE_FRAME_BYTES;
    if (wanted > this.#bytes.length) {
      const larger = new Uint8Array(wanted * 2);
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#view.setUint8(this.#length, kind);
    return this.#length + FRAME_HEADER_BYTES;
  }

  #finish(payload: number, end: number): void {
    const start = payload - FRAME_HEADER_BYTES;
    this.#view.setUint32(start + 1, end - payload);
    this.#view.setUint32(end, crc32cBulk(this.#bytes, start, end));
    this.#crc = crc32c(this.#bytes, end, end + FRAME_CRC_BYTES, this.#crc);
    this.#length = end + FRAME_CRC_BYTES;
  }
}

function checked(path: string): string {
  if (!isStartSetPath(path)) throw new AssertionError(`no path of a start set: ${path}`);
  return path;
}
