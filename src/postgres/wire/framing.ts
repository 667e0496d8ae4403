import { copyBytes } from '../../base/bytes.ts';
import { AssertionError, BadRequestError } from '../../base/errors.ts';
import { BodyPool } from './body-pool.ts';
import { formatTag, ProtocolError } from './wire-error.ts';

/** Tag and length word of a regular message. */
export const MESSAGE_HEADER_BYTES = 5;
/** Shortest and longest startup packet, with its length word. */
export const STARTUP_BYTES_MIN = 8;
export const STARTUP_BYTES_MAX = 10_000;
/** `tag` of a startup packet, which has none. */
export const STARTUP_TAG = 0;
/** `tag` for a connection that begins with a TLS record (ContentType handshake), with no packet before it. */
export const DIRECT_TLS_TAG = 0x16;

const LENGTH_BYTES = 4;
/** What is kept of a cut message begins with this much. A long one grows as bytes arrive, never on an announcement. */
const KEPT_BYTES_MIN = 4096;
/** A larger buffer is let go of after the message that needed it; up to this much is also taken at once for a cut one. */
const KEPT_BYTES_IDLE_MAX = 256 * 1024;
/** For messages whose length has a natural bound (PQ_SMALL_MESSAGE_LIMIT of libpq.h). */
export const SMALL_BODY_BYTES_MAX = 10_000;

/** Longest body, in bytes, of the message with each of the 256 tags; -1 where there is no such message. */
export type BodyLimits = Int32Array;

/**
 * @param small tags of messages that are never long
 * @param large tags of messages whose body may have `largeBytesMax`, each tag a character
 */
export function makeBodyLimits(small: string, large: string, largeBytesMax: number): BodyLimits {
  if (!Number.isInteger(largeBytesMax) || largeBytesMax < 0 || largeBytesMax > 0x3fff_ffff) {
    throw new BadRequestError(
      'BAD_LIMIT',
      `${largeBytesMax} is no limit for messages: 0 to 2^30-1 bytes are`,
    );
  }
  const limits = new Int32Array(256).fill(-1);
  for (const tag of small) limits[tag.charCodeAt(0)] = Math.min(SMALL_BODY_BYTES_MAX, largeBytesMax);
  for (const tag of large) limits[tag.charCodeAt(0)] = largeBytesMax;
  return limits;
}

/** A shorter body that lies in a chunk is copied when it is taken: it should not keep the chunk. */
const TAKEN_BYTES_MIN = 8 * 1024;

/** Of all connections of this thread. */
const pool = new BodyPool();

const EMPTY = new Uint8Array(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer);

function checkLimits(limits: BodyLimits): BodyLimits {
  if (limits.length !== 256) throw new AssertionError('limits are for 256 tags');
  return limits;
}

type Form = 'startup' | 'regular' | 'handed-over';

export interface FrameCutterOptions {
  readonly limits: BodyLimits;
  /** What comes first: a server begins with startup packets, a client with regular messages. */
  readonly form: 'startup' | 'regular';
}

/**
 * Cuts what a socket gives, in chunks of any size, into whole messages.
 *
 *     cutter.feed(receiveBuffer, 0, length);
 *     while (cutter.next()) handle(cutter.tag, cutter.view, cutter.bodyOffset, cutter.bodyLength);
 *
 * A message that lies whole in a chunk is shown where it lies; one that is cut is put together in a buffer of the
 * cutter. Either is valid until the next call of `next`, and once that has returned false the chunk's memory is free
 * for the next chunk. A fixed receive buffer costs no allocation; another buffer each time costs one view.
 *
 * `next` throws a ProtocolError for an unknown tag or a length outside of the limits, before it waits for the body,
 * and again at each further call.
 */
export class FrameCutter {
  /** The current message: its tag (STARTUP_TAG and DIRECT_TLS_TAG in the startup form), and where its body lies. */
  tag = 0;
  bytes: Uint8Array = EMPTY;
  view: DataView = EMPTY_VIEW;
  bodyOffset = 0;
  bodyLength = 0;

  #limits: BodyLimits;
  #form: Form;
  #headerBytes: number;
  #chunk: Uint8Array = EMPTY;
  #chunkView: DataView = EMPTY_VIEW;
  #position = 0;
  #end = 0;
  #kept: Uint8Array = EMPTY;
  #keptView: DataView = EMPTY_VIEW;
  #keptLength = 0;
  /** The kept bytes are the message that `next` has shown last. */
  #isKeptShown = false;
  #isChunkTaken = false;
  #failure: ProtocolError | undefined;

  constructor(options: FrameCutterOptions) {
    this.#limits = checkLimits(options.limits);
    this.#form = options.form;
    this.#headerBytes = options.form === 'startup' ? LENGTH_BYTES : MESSAGE_HEADER_BYTES;
  }

  /** Bytes that have been fed and not been shown. */
  get restLength(): number {
    return this.#end - this.#position + (this.#isKeptShown ? 0 : this.#keptLength);
  }

  /** Where in the chunk the bytes begin that follow the message that `next` has shown last. */
  get restOffset(): number {
    return this.#position;
  }

  /** A body was taken that lies in the chunk that was fed last. */
  get isChunkTaken(): boolean {
    return this.#isChunkTaken;
  }

  /** Offers the next bytes. They must stay as they are until `next` has returned false. */
  feed(chunk: Uint8Array, start = 0, end: number = chunk.length): void {
    if (this.#position < this.#end)
      throw new AssertionError('a frame cutter was fed before it had cut all it had');
    if (chunk !== this.#chunk) {
      this.#chunk = chunk;
      this.#chunkView = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
    this.#position = start;
    this.#end = end;
    this.#isChunkTaken = false;
  }

  /** Goes to the next message. False: there is no further whole one in what was fed. */
  next(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isKeptShown) this.#forgetKept();
    if (this.#keptLength > 0) return this.#continueKept();
    const position = this.#position;
    const available = this.#end - position;
    if (available <= 0) return false;
    if (this.#form !== 'regular') {
      if (this.#form === 'handed-over')
        throw new AssertionError('the bytes of this connection are TLS records');
      if (this.#chunk[position] === DIRECT_TLS_TAG) return this.#handOver();
    }
    if (available < this.#headerBytes) return this.#continueKept();
    const total = this.#readTotal(this.#chunkView, position);
    if (available < total) {
      // Now that its length is known, it is kept where it fits whole.
      this.#keep(total);
      return false;
    }
    this.#position = position + total;
    this.#show(this.#chunk, this.#chunkView, position, total);
    return true;
  }

  /**
   * The body of the current message, for good: nobody writes into it any more. A long one costs no copy: a message that
   * was cut takes the cutter's buffer along, and one that lies in a chunk is a view of that, which therefore has to be
   * the caller's own. To be called once at most for a message; `bytes`, `bodyOffset` and `bodyLength` stay valid.
   * Whoever has no more use for it may say so: see giveBackBody.
   */
  takeBody(): Uint8Array {
    const end = this.bodyOffset + this.bodyLength;
    const body = this.bytes.subarray(this.bodyOffset, end);
    if (body.length < TAKEN_BYTES_MIN) return new Uint8Array(body);
    if (this.#isKeptShown) {
      this.#isKeptShown = false;
      this.#keptLength = 0;
      this.#kept = EMPTY;
      this.#keptView = EMPTY_VIEW;
    } else {
      this.#isChunkTaken = true;
    }
    return body;
  }

  /** A body that was taken, or a part of it, is not looked at any more: its memory may serve for another one. */
  giveBackBody(part: Uint8Array): void {
    pool.giveBack(part);
  }

  /** The startup packet has been read: what follows has tags. */
  endStartup(): void {
    if (this.#form !== 'startup') throw new AssertionError('this connection is not starting up');
    this.#form = 'regular';
    this.#headerBytes = MESSAGE_HEADER_BYTES;
  }

  /** From the next message on: what somebody may send who has proved who it is, for instance. */
  setLimits(limits: BodyLimits): void {
    this.#limits = checkLimits(limits);
  }

  /**
   * To be called before an SSLRequest or GSSENCRequest is granted: bytes that came along with it were not encrypted,
   * and may be somebody else's (backend_startup.c, ProcessStartupPacket).
   */
  refuseRest(): void {
    if (this.restLength === 0) return;
    throw new ProtocolError(
      'UNENCRYPTED_DATA',
      `${this.restLength} unencrypted bytes came with the request for encryption`,
    );
  }

  #show(bytes: Uint8Array, view: DataView, offset: number, total: number): void {
    this.tag = this.#form === 'regular' ? view.getUint8(offset) : STARTUP_TAG;
    this.bytes = bytes;
    this.view = view;
    this.bodyOffset = offset + this.#headerBytes;
    this.bodyLength = total - this.#headerBytes;
  }

  /** Shows the beginning of a TLS handshake, and takes nothing: from `restOffset` on all bytes are TLS's. */
  #handOver(): boolean {
    this.#form = 'handed-over';
    this.tag = DIRECT_TLS_TAG;
    this.bytes = this.#chunk;
    this.view = this.#chunkView;
    this.bodyOffset = this.#position;
    this.bodyLength = 0;
    return true;
  }

  /** Bytes of the message whose header lies at `offset`, header and all. */
  #readTotal(view: DataView, offset: number): number {
    if (this.#form !== 'regular') {
      const length = view.getInt32(offset);
      if (length < STARTUP_BYTES_MIN || length > STARTUP_BYTES_MAX) {
        return this.#fail(
          'BAD_STARTUP_LENGTH',
          `a startup packet of ${length} bytes: ${STARTUP_BYTES_MIN} to ${STARTUP_BYTES_MAX} are allowed`,
        );
      }
      return length;
    }
    const tag = view.getUint8(offset);
    const limit = this.#limits[tag] as number;
    const length = view.getInt32(offset + 1);
    if (length < LENGTH_BYTES || length - LENGTH_BYTES > limit) this.#refuse(tag, length, limit);
    return 1 + length;
  }

  #refuse(tag: number, length: number, limit: number): never {
    if (limit < 0) this.#fail('UNKNOWN_MESSAGE', `no message has the tag ${formatTag(tag)}`);
    return this.#fail(
      'BAD_MESSAGE_LENGTH',
      `a message ${formatTag(tag)} of length ${length}: ${LENGTH_BYTES} to ${LENGTH_BYTES + limit} are allowed`,
    );
  }

  #fail(code: string, reason: string): never {
    this.#failure = new ProtocolError(code, reason);
    throw this.#failure;
  }

  /** Adds to the kept message what the chunk has of it. */
  #continueKept(): boolean {
    if (!this.#keep(this.#headerBytes)) return false;
    const total = this.#readTotal(this.#keptView, 0);
    if (!this.#keep(total)) return false;
    this.#isKeptShown = true;
    this.#show(this.#kept, this.#keptView, 0, total);
    return true;
  }

  /** Copies from the chunk until at least `wanted` bytes are kept, or the chunk is used up. Whether they are. */
  #keep(wanted: number): boolean {
    if (this.#keptLength >= wanted) return true;
    const length = Math.min(wanted - this.#keptLength, this.#end - this.#position);
    const keptLength = this.#keptLength + length;
    if (keptLength > this.#kept.length) this.#grow(keptLength, wanted);
    copyBytes(
      this.#kept,
      this.#keptView,
      this.#keptLength,
      this.#chunk,
      this.#chunkView,
      this.#position,
      length,
    );
    this.#keptLength = keptLength;
    this.#position += length;
    return keptLength === wanted;
  }

  #grow(needed: number, wanted: number): void {
    // A WAL message over two chunks is then copied once, and an announcement still costs little.
    const eager = wanted <= KEPT_BYTES_IDLE_MAX ? wanted : Math.min(wanted, this.#kept.length * 2);
    const length = Math.max(needed, KEPT_BYTES_MIN, eager);
    const larger = pool.take(length) ?? new Uint8Array(length);
    larger.set(this.#kept.subarray(0, this.#keptLength));
    this.#kept = larger;
    this.#keptView = new DataView(larger.buffer);
  }

  #forgetKept(): void {
    this.#isKeptShown = false;
    this.#keptLength = 0;
    if (this.#kept.length <= KEPT_BYTES_IDLE_MAX) return;
    this.#kept = EMPTY;
    this.#keptView = EMPTY_VIEW;
  }
}
