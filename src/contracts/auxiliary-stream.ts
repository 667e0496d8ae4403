/**
 * Objects that a compute keeps in storage beside WAL, as a pageserver and a compute send them to one another:
 * docs/formats/auxiliary-stream.md. All numbers are in network byte order.
 */
import { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import { crc32cBulk } from '../base/crc32c-bulk.ts';
import { CorruptionError } from '../base/errors.ts';

export const AUXILIARY_STREAM_VERSION = 1;
/** "VSAX". */
export const AUXILIARY_STREAM_MAGIC = 0x5653_4158;

/** Kind of frame u8, length of the payload u32; behind the payload the CRC-32C of all before, u32. */
const FRAME_HEADER_BYTES: number = 1 + 4;
const FRAME_CRC_BYTES = 4;
const FRAME_HEADER = 0x48;
const FRAME_CONTENT = 0x43;
const FRAME_REMOVED = 0x52;
const FRAME_END = 0x45;

/** Of one object: what storage takes. */
export const AUXILIARY_CONTENT_BYTES_MAX: number = 16 * 1024 * 1024;
const PATH_BYTES_MAX = 1024;
const PAYLOAD_BYTES_MAX: number = PATH_BYTES_MAX + 1 + AUXILIARY_CONTENT_BYTES_MAX;
/** Of one stream. */
export const AUXILIARY_OBJECTS_MAX = 200_000;
export const AUXILIARY_STREAM_BYTES_MAX: number = 256 * 1024 * 1024;
const BUFFER_BYTES_AT_FIRST: number = 16 * 1024;

/** What an object is from now on; without content it is no more. */
export interface AuxiliaryObject {
  readonly path: string;
  readonly content: Uint8Array | undefined;
}

/** Makes the frames of one stream: its header, its objects, its end. What a stream cannot have is left out. */
export class AuxiliaryStreamEncoder {
  #objects = 0;
  #lengthBytes = 0;

  header(): Uint8Array {
    const payload = new BigEndianWriter().u32(AUXILIARY_STREAM_MAGIC).u16(AUXILIARY_STREAM_VERSION);
    return this.#frame(FRAME_HEADER, payload.take());
  }

  /** undefined where it is too large, or there are too many already. */
  object({ path, content }: AuxiliaryObject): Uint8Array | undefined {
    const lengthBytes = content?.length ?? 0;
    const isTooMuch =
      this.#objects >= AUXILIARY_OBJECTS_MAX || this.#lengthBytes + lengthBytes > AUXILIARY_STREAM_BYTES_MAX;
    if (isTooMuch || lengthBytes > AUXILIARY_CONTENT_BYTES_MAX) return undefined;
    this.#objects++;
    this.#lengthBytes += lengthBytes;
    const payload = new BigEndianWriter(path.length * 3 + 1 + lengthBytes).cString(path);
    if (content === undefined) return this.#frame(FRAME_REMOVED, payload.take());
    return this.#frame(FRAME_CONTENT, payload.put(content).take());
  }

  end(): Uint8Array {
    return this.#frame(FRAME_END, new BigEndianWriter().u32(this.#objects).take());
  }

  #frame(kind: number, payload: Uint8Array): Uint8Array {
    const frame = new BigEndianWriter(FRAME_HEADER_BYTES + payload.length + FRAME_CRC_BYTES)
      .u8(kind)
      .u32(payload.length)
      .put(payload);
    const length = FRAME_HEADER_BYTES + payload.length;
    return frame.u32(crc32cBulk(frame.take(), 0, length)).take();
  }
}

/**
 * Reads a stream from its bytes, in chunks of any size.
 *
 *     for await (const chunk of stream) for (const object of decoder.push(chunk)) use(object);
 *     decoder.finish();
 *
 * What is not as the format says is refused, and so is what it does not know: nothing of an object is given away before its
 * CRC was right. At most one frame is kept, in memory that grows with what has come of it.
 */
export class AuxiliaryStreamDecoder {
  #rest: Uint8Array = new Uint8Array(BUFFER_BYTES_AT_FIRST);
  #restLength = 0;
  #stage: 'header' | 'objects' | 'ended' = 'header';
  #hasFailed = false;
  #objects = 0;
  #lengthBytes = 0;

  /**
   * Gives what has come whole with this chunk. All of it is to be taken before more is pushed; a content is valid until the
   * next is asked for.
   * @throws CorruptionError (`BAD_AUXILIARY_STREAM`, `BAD_MESSAGE`), and from then on at every call
   */
  *push(chunk: Uint8Array): Generator<AuxiliaryObject, void> {
    if (this.#hasFailed) fail('it was damaged before');
    this.#hasFailed = true;
    let position = 0;
    while (position < chunk.length) {
      const wanted = this.#wanted();
      const length = Math.min(wanted - this.#restLength, chunk.length - position);
      this.#keep(chunk.subarray(position, position + length));
      position += length;
      if (this.#restLength < wanted || this.#wanted() > wanted) continue;
      const object = this.#takeFrame();
      this.#restLength = 0;
      if (object !== undefined) yield object;
    }
    this.#hasFailed = false;
  }

  /** @throws CorruptionError where the end has not come */
  finish(): void {
    if (this.#hasFailed || this.#stage !== 'ended' || this.#restLength > 0) fail('it has no end');
  }

  /** Bytes of the frame, as far as its length is known. */
  #wanted(): number {
    if (this.#restLength < FRAME_HEADER_BYTES) return FRAME_HEADER_BYTES;
    const length = new DataView(this.#rest.buffer).getUint32(1);
    if (length > PAYLOAD_BYTES_MAX) fail(`a frame of ${length} bytes`);
    return FRAME_HEADER_BYTES + length + FRAME_CRC_BYTES;
  }

  #keep(bytes: Uint8Array): void {
    const length = this.#restLength + bytes.length;
    if (length > this.#rest.length) {
      const larger = new Uint8Array(Math.max(length, this.#rest.length * 2));
      larger.set(this.#rest.subarray(0, this.#restLength));
      this.#rest = larger;
    }
    this.#rest.set(bytes, this.#restLength);
    this.#restLength = length;
  }

  #takeFrame(): AuxiliaryObject | undefined {
    const end = this.#restLength - FRAME_CRC_BYTES;
    const crc = new DataView(this.#rest.buffer).getUint32(end);
    if (crc !== crc32cBulk(this.#rest, 0, end)) fail('the CRC of a frame is wrong');
    const kind = this.#rest[0] as number;
    const reader = new BigEndianReader(this.#rest, 'auxiliary stream', FRAME_HEADER_BYTES, end);
    switch (kind) {
      case FRAME_HEADER:
        this.#expect('header');
        if (reader.u32() !== AUXILIARY_STREAM_MAGIC) fail('it does not begin as one');
        this.#readVersion(reader.u16());
        reader.expectEnd();
        this.#stage = 'objects';
        return undefined;
      case FRAME_CONTENT:
      case FRAME_REMOVED:
        this.#expect('objects');
        return this.#readObject(kind, reader);
      case FRAME_END:
        this.#expect('objects');
        if (reader.u32() !== this.#objects) fail('objects are missing');
        reader.expectEnd();
        this.#stage = 'ended';
        return undefined;
      default:
        return fail(`a frame of the unknown kind ${kind}`);
    }
  }

  #readVersion(version: number): void {
    if (version !== AUXILIARY_STREAM_VERSION)
      fail(`its version is ${version}, not ${AUXILIARY_STREAM_VERSION}`);
  }

  #readObject(kind: number, reader: BigEndianReader): AuxiliaryObject {
    const path = reader.cString();
    if (++this.#objects > AUXILIARY_OBJECTS_MAX) fail(`more than ${AUXILIARY_OBJECTS_MAX} objects`);
    if (kind === FRAME_REMOVED) {
      reader.expectEnd();
      return { path, content: undefined };
    }
    const content = reader.bytes(reader.remaining);
    this.#lengthBytes += content.length;
    if (this.#lengthBytes > AUXILIARY_STREAM_BYTES_MAX) fail(`more than ${AUXILIARY_STREAM_BYTES_MAX} bytes`);
    return { path, content };
  }

  #expect(stage: 'header' | 'objects'): void {
    if (this.#stage !== stage) fail('its parts are in a wrong order');
  }
}

function fail(reason: string): never {
  throw new CorruptionError('BAD_AUXILIARY_STREAM', `objects beside WAL cannot be read: ${reason}`);
}
