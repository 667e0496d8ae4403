import { formatTag, ProtocolError, SQLSTATE_CHARACTER_NOT_IN_REPERTOIRE } from './wire-error.ts';

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenientText = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Reads the fields of one message's body one after another, each bounded by that body. All numbers are in network byte
 * order. For cold messages: it is an object. Every method throws a ProtocolError where the body does not hold the field.
 */
export class MessageReader {
  readonly #tag: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #position: number;

  constructor(tag: number, bytes: Uint8Array, offset: number, length: number) {
    this.#tag = tag;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#position = offset;
    this.#end = offset + length;
    if (offset < 0 || length < 0 || this.#end > bytes.length) {
      throw new RangeError(`a body of ${length} bytes at ${offset} is not within ${bytes.length} bytes`);
    }
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Raises the error that this message is not what it must be. */
  refuse(reason: string): never {
    throw new ProtocolError('BAD_MESSAGE', `message ${formatTag(this.#tag)}: ${reason}`);
  }

  #take(length: number): number {
    const position = this.#position;
    if (length < 0 || length > this.#end - position) this.refuse(`it ends within a field of ${length} bytes`);
    this.#position = position + length;
    return position;
  }

  /** Refuses bytes that the fields read so far do not explain. */
  expectEnd(): void {
    if (this.remaining !== 0) this.refuse(`it has ${this.remaining} bytes that nothing explains`);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** A copy, also of a Buffer, whose own `slice` makes none. */
  byteString(length: number): Uint8Array {
    const position = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(position, position + length));
  }

  /** A copy of all that remains. */
  rest(): Uint8Array {
    return this.byteString(this.remaining);
  }

  /** A signed length and then as many bytes; null for the length -1. */
  nullableBytes(): Uint8Array | null {
    const length = this.i32();
    if (length < -1) this.refuse(`a value has the length ${length}`);
    return length === -1 ? null : this.byteString(length);
  }

  #zeroTerminated(): Uint8Array {
    const end = this.#bytes.indexOf(0, this.#position);
    if (end < 0 || end >= this.#end) this.refuse('a string has no end');
    const start = this.#take(end - this.#position + 1);
    return this.#bytes.subarray(start, end);
  }

  /** A string that a zero byte ends, which is consumed too. It must be UTF-8: two byte strings never become one text. */
  cString(): string {
    const bytes = this.#zeroTerminated();
    try {
      return strictText.decode(bytes);
    } catch {
      // A TypeError is the decoder's one way to say that the bytes are not UTF-8.
      throw new ProtocolError(
        'BAD_STRING',
        `message ${formatTag(this.#tag)}: a string is not UTF-8`,
        undefined,
        SQLSTATE_CHARACTER_NOT_IN_REPERTOIRE,
      );
    }
  }

  /** As cString, for texts that people read: a server may send them in another encoding, which is no reason to fail. */
  displayString(): string {
    return lenientText.decode(this.#zeroTerminated());
  }

  /**
   * An unsigned 16-bit count and then as many items, which `readItem` reads. The count is checked against what remains,
   * with `itemBytesMin` for each, before anything is made.
   */
  items<Item>(itemBytesMin: number, readItem: () => Item): Item[] {
    const count = this.u16();
    if (count * itemBytesMin > this.remaining)
      this.refuse(`it announces ${count} items, more than it can hold`);
    return Array.from({ length: count }, readItem);
  }
}
