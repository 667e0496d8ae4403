import { AssertionError, BadRequestError } from '../../base/errors.ts';

const INITIAL_BYTES = 256;
/** PostgreSQL's own limit of a message (MaxAllocSize). */
const MESSAGE_BYTES_MAX = 0x3fff_ffff;
const utf8 = new TextEncoder();

/**
 * Builds messages one after another in a buffer that grows, for cold messages: `begin`, the fields, `end`, and at last
 * `take`. All numbers are in network byte order.
 */
export class MessageWriter {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  /** Where the length word of the message in progress lies; negative between two messages. */
  #lengthOffset = -1;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Begins a message. Startup packets have no tag. */
  begin(tag?: number): this {
    if (this.#lengthOffset >= 0) throw new AssertionError('a message has not been ended');
    if (tag !== undefined) this.u8(tag);
    this.#lengthOffset = this.#reserve(4);
    return this;
  }

  /** Ends the message: fills its length in. */
  end(): this {
    if (this.#lengthOffset < 0) throw new AssertionError('no message has been begun');
    this.#view.setInt32(this.#lengthOffset, this.#length - this.#lengthOffset);
    this.#lengthOffset = -1;
    return this;
  }

  /** A copy of all messages since the last call, which are then forgotten. */
  take(): Uint8Array {
    if (this.#lengthOffset >= 0) throw new AssertionError('a message has not been ended');
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }

  #reserve(length: number): number {
    const offset = this.#length;
    const needed = offset + length;
    if (needed > this.#bytes.length) {
      if (needed > MESSAGE_BYTES_MAX)
        throw new BadRequestError('MESSAGE_TOO_LONG', `${needed} bytes are too many`);
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, offset));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = needed;
    return offset;
  }

  #check(value: number, min: number, max: number): number {
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new BadRequestError('BAD_FIELD', `${value} does not fit a field of ${min} to ${max}`);
  }

  u8(value: number): this {
    const checked = this.#check(value, 0, 0xff);
    const offset = this.#reserve(1);
    this.#view.setUint8(offset, checked);
    return this;
  }

  u16(value: number): this {
    const checked = this.#check(value, 0, 0xffff);
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, checked);
    return this;
  }

  i16(value: number): this {
    const checked = this.#check(value, -0x8000, 0x7fff);
    const offset = this.#reserve(2);
    this.#view.setInt16(offset, checked);
    return this;
  }

  i32(value: number): this {
    const checked = this.#check(value, -0x8000_0000, 0x7fff_ffff);
    const offset = this.#reserve(4);
    this.#view.setInt32(offset, checked);
    return this;
  }

  u32(value: number): this {
    const checked = this.#check(value, 0, 0xffff_ffff);
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, checked);
    return this;
  }

  byteString(bytes: Uint8Array): this {
    const offset = this.#reserve(bytes.length);
    this.#bytes.set(bytes, offset);
    return this;
  }

  /** A length and the bytes; the length -1 for null. */
  nullableBytes(bytes: Uint8Array | null): this {
    return bytes === null ? this.i32(-1) : this.i32(bytes.length).byteString(bytes);
  }

  /** The text in UTF-8 and a zero byte. A text with a zero of its own would end early, and is refused. */
  cString(text: string): this {
    if (text.includes('\0'))
      throw new BadRequestError('ZERO_IN_STRING', 'a string of a message has a zero byte');
    return this.byteString(utf8.encode(text)).u8(0);
  }

  /** An unsigned 16-bit count and the items, each of which `writeItem` writes. */
  items<Item>(items: readonly Item[], writeItem: (item: Item) => unknown): this {
    this.u16(items.length);
    for (const item of items) writeItem(item);
    return this;
  }
}
