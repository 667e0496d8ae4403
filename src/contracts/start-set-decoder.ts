import { BigEndianReader } from '../base/big-endian.ts';
import { crc32c } from '../base/crc32c.ts';
import { CorruptionError } from '../base/errors.ts';
import { SLRU_PAGES_PER_SEGMENT } from '../postgres/files/slru.ts';
import { isSegmentSize } from '../postgres/wal/page-header.ts';
import { BLOCK_BYTES, FORK_INIT, FORK_MAIN } from '../postgres/wal/record-header.ts';
import {
  FLAG_DATA_CHECKSUMS,
  FORK_ENTRY_BYTES,
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
  START_SET_FILE_BYTES_MAX,
  START_SET_FORMS,
  START_SET_LAST_FILE,
  START_SET_MAGIC,
  START_SET_SLRUS,
  START_SET_VERSION,
  type StartSetFile,
  type StartSetFork,
  type StartSetHeader,
  type StartSetItem,
} from './start-set.ts';

const FORK_NUMBER_MAX = FORK_INIT;
const NO_FORK: StartSetFork = {
  relation: { tablespace: -1, database: -1, relation: -1 },
  fork: -1,
  contentFork: -1,
  blocks: 0,
};

/** What may come next. */
type Stage = 'header' | 'files' | 'forks' | 'ended';

/**
 * Reads a start set from its bytes, in chunks of any size.
 *
 *     for await (const chunk of stream) for (const item of decoder.push(chunk)) use(item);
 *     decoder.finish();
 *
 * What is not as the format says is refused, and so is what it does not know: nothing of an item is given away before
 * its CRC was right. At most one frame is kept.
 */
export class StartSetDecoder {
  /** Of a frame that has not come whole. */
  #rest: Uint8Array = new Uint8Array(FRAME_HEADER_BYTES);
  #restLength = 0;
  #stage: Stage = 'header';
  #hasFailed = false;
  #file: StartSetFile | undefined;
  /** Where the next piece of the file may begin. */
  #fileEnd = 0;
  #directories = 0;
  #files = 0;
  #segments = 0;
  #forks = 0;
  #lastFork = NO_FORK;
  #crc = 0;

  /**
   * Gives what has come whole with this chunk. All of it is to be taken before more is pushed.
   * @throws CorruptionError (`BAD_START_SET`, `BAD_MESSAGE`), and from then on at every call
   */
  *push(chunk: Uint8Array): Generator<StartSetItem, void> {
    if (this.#hasFailed) fail('it was damaged before');
    this.#hasFailed = true;
    let position = 0;
    while (position < chunk.length) {
      const wanted = this.#wanted();
      const length = Math.min(wanted - this.#restLength, chunk.length - position);
      this.#keep(chunk.subarray(position, position + length), wanted);
      position += length;
      if (this.#restLength < wanted || this.#wanted() > wanted) continue;
      const item = this.#takeFrame();
      this.#restLength = 0;
      yield item;
    }
    this.#hasFailed = false;
  }

  /** @throws CorruptionError where the end has not come */
  finish(): void {
    if (this.#hasFailed || this.#stage !== 'ended') fail('it has no end');
  }

  /** Bytes of the frame, as far as its length is known. */
  #wanted(): number {
    if (this.#restLength < FRAME_HEADER_BYTES) return FRAME_HEADER_BYTES;
    const length = new DataView(this.#rest.buffer).getUint32(1);
    if (length > FRAME_PAYLOAD_BYTES_MAX) fail(`a frame of ${length} bytes`);
    return FRAME_HEADER_BYTES + length + FRAME_CRC_BYTES;
  }

  #keep(bytes: Uint8Array, wanted: number): void {
    if (wanted > this.#rest.length) {
      const larger = new Uint8Array(wanted);
      larger.set(this.#rest.subarray(0, this.#restLength));
      this.#rest = larger;
    }
    this.#rest.set(bytes, this.#restLength);
    this.#restLength += bytes.length;
  }

  #takeFrame(): StartSetItem {
    const end = this.#restLength - FRAME_CRC_BYTES;
    const crc = new DataView(this.#rest.buffer).getUint32(end);
    if (crc !== crc32c(this.#rest, 0, end)) fail('the CRC of a frame is wrong');
    const kind = this.#rest[0] as number;
    const reader = new BigEndianReader(this.#rest, 'start set', FRAME_HEADER_BYTES, end);
    const item = this.#read(kind, reader);
    reader.expectEnd();
    this.#crc = crc32c(this.#rest, end, end + FRAME_CRC_BYTES, this.#crc);
    return item;
  }

  #read(kind: number, reader: BigEndianReader): StartSetItem {
    switch (kind) {
      case FRAME_HEADER:
        this.#expect('header');
        this.#stage = 'files';
        return { kind: 'header', header: readHeader(reader) };
      case FRAME_DIRECTORIES:
        this.#expect('files');
        return this.#readDirectories(reader);
      case FRAME_FILE:
        this.#expect('files');
        return this.#readFile(reader);
      case FRAME_SLRU_SEGMENT:
        this.#expect('files');
        return this.#readSegment(reader);
      case FRAME_PIECE:
        this.#expect('files');
        return this.#readPiece(reader);
      case FRAME_READY:
        this.#expect('files');
        return this.#readReady(reader);
      case FRAME_FORKS:
        this.#expect('forks');
        return this.#readForks(reader);
      case FRAME_END:
        this.#expect('forks');
        if (reader.u64() !== this.#forks) fail('forks are missing');
        if (reader.u32() !== this.#crc) fail('frames are missing, or in another order');
        this.#stage = 'ended';
        return { kind: 'end' };
      default:
        return fail(`a frame of the unknown kind ${kind}`);
    }
  }

  #expect(stage: Stage): void {
    if (this.#stage !== stage) fail('its parts are in a wrong order');
  }

  #readDirectories(reader: BigEndianReader): StartSetItem {
    if (this.#files > 0 || this.#segments > 0) fail('a directory comes behind files');
    const paths: string[] = [];
    while (reader.remaining > 0) paths.push(readPath(reader));
    this.#directories += paths.length;
    return { kind: 'directories', paths };
  }

  #readFile(reader: BigEndianReader): StartSetItem {
    const sizeBytes = readSize(reader);
    const file = { path: readPath(reader), sizeBytes };
    this.#files++;
    this.#begin(file);
    return { kind: 'file', file };
  }

  #readSegment(reader: BigEndianReader): StartSetItem {
    const sizeBytes = readSize(reader);
    if (sizeBytes % BLOCK_BYTES !== 0 || sizeBytes > SLRU_PAGES_PER_SEGMENT * BLOCK_BYTES) {
      fail(`a segment of ${sizeBytes} bytes`);
    }
    const slru = START_SET_SLRUS[reader.u8()] ?? fail('an unknown SLRU');
    const segment = reader.u32();
    const file = { path: readPath(reader), sizeBytes, slru, segment };
    this.#segments++;
    this.#begin(file);
    return { kind: 'slru-segment', file };
  }

  #begin(file: StartSetFile): void {
    if (this.#file?.path === START_SET_LAST_FILE) fail('a file comes behind the last one');
    this.#file = file;
    this.#fileEnd = 0;
  }

  #readPiece(reader: BigEndianReader): StartSetItem {
    const file = this.#file ?? fail('content of no file');
    const offset = reader.u64();
    const bytes = reader.bytes(reader.remaining);
    if (offset < this.#fileEnd || bytes.length === 0 || offset + bytes.length > file.sizeBytes) {
      fail(`content of ${file.path} where there is no place for it`);
    }
    this.#fileEnd = offset + bytes.length;
    return { kind: 'piece', offset, bytes };
  }

  #readReady(reader: BigEndianReader): StartSetItem {
    if (this.#file?.path !== START_SET_LAST_FILE) fail(`the last file is not ${START_SET_LAST_FILE}`);
    const isWhole =
      reader.u32() === this.#directories && reader.u32() === this.#files && reader.u32() === this.#segments;
    if (!isWhole) fail('directories or files are missing');
    this.#stage = 'forks';
    return { kind: 'ready' };
  }

  #readForks(reader: BigEndianReader): StartSetItem {
    const tablespace = reader.u32();
    const database = reader.u32();
    if (reader.remaining === 0 || reader.remaining % FORK_ENTRY_BYTES !== 0)
      fail('a list of forks is cut off');
    const forks: StartSetFork[] = [];
    while (reader.remaining > 0) {
      const relation = { tablespace, database, relation: reader.u32() };
      const next = { relation, fork: reader.u8(), contentFork: reader.u8(), blocks: reader.u32() };
      const isOwn =
        next.contentFork === next.fork || (next.fork === FORK_MAIN && next.contentFork === FORK_INIT);
      if (next.fork > FORK_NUMBER_MAX || !isOwn)
        fail(`a fork ${next.fork} with the content of ${next.contentFork}`);
      if (compareForks(this.#lastFork, next) >= 0) fail('forks are not in order');
      this.#lastFork = next;
      forks.push(next);
    }
    this.#forks += forks.length;
    return { kind: 'forks', forks };
  }
}

function readHeader(reader: BigEndianReader): StartSetHeader {
  if (reader.u32() !== START_SET_MAGIC) fail('it does not begin as one');
  const version = reader.u16();
  if (version !== START_SET_VERSION) fail(`its version is ${version}, not ${START_SET_VERSION}`);
  const form = START_SET_FORMS[reader.u8()] ?? fail('an unknown form');
  const flags = reader.u8();
  if ((flags & ~FLAG_DATA_CHECKSUMS) !== 0) fail(`unknown flags ${flags}`);
  const header = {
    form,
    hasDataChecksums: (flags & FLAG_DATA_CHECKSUMS) !== 0,
    postgresMajor: reader.u16(),
    catalogVersion: reader.u32(),
    systemIdentifier: reader.bigU64(),
    walSegmentBytes: reader.u32(),
    recordEndLsn: reader.lsn(),
    previousRecordLsn: reader.lsn(),
    nextRecordLsn: reader.lsn(),
  };
  const walNeededFrom = reader.lsn();
  if (!isSegmentSize(header.walSegmentBytes)) fail(`WAL segments of ${header.walSegmentBytes} bytes`);
  const { previousRecordLsn, recordEndLsn, nextRecordLsn } = header;
  if (previousRecordLsn >= recordEndLsn || recordEndLsn > nextRecordLsn)
    fail('its LSNs contradict each other');
  return { ...header, walNeededFrom: walNeededFrom === 0 ? undefined : walNeededFrom };
}

function readPath(reader: BigEndianReader): string {
  const path = reader.cString();
  if (!isStartSetPath(path)) fail('a path that may lead anywhere');
  return path;
}

function readSize(reader: BigEndianReader): number {
  const sizeBytes = reader.u64();
  if (sizeBytes > START_SET_FILE_BYTES_MAX) fail(`a file of ${sizeBytes} bytes`);
  return sizeBytes;
}

function compareForks(left: StartSetFork, right: StartSetFork): number {
  return (
    left.relation.tablespace - right.relation.tablespace ||
    left.relation.database - right.relation.database ||
    left.relation.relation - right.relation.relation ||
    left.fork - right.fork
  );
}

function fail(reason: string): never {
  throw new CorruptionError('BAD_START_SET', `a start set cannot be read: ${reason}`);
}
