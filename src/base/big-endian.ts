import { AssertionError, CorruptionError } from './errors.ts';
import { LSN_HIGH_LIMIT, type Lsn } from './lsn.ts';

const TWO_POW_32 = 0x1_0000_0000;
const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads the fields of one message in network byte order, one after another, each bounded by the message's own end.
 * @throws CorruptionError (`BAD_MESSAGE`) naming the message where a field does not fit or is out of range.
 */
export class BigEndianReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  readonly #name: string;
  #position: number;

  /** `name` is the message's, for errors. */
  constructor(bytes: Uint8Array, name: string, start = 0, end: number = bytes.length) {
    if (start < 0 || end > bytes.length || start > end)
      throw new AssertionError('a message lies outside of its buffer');
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#position = start;
    this.#end = end;
    this.#name = name;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  fail(reason: string): never {
    throw new CorruptionError('BAD_MESSAGE', `malformed ${this.#name}: ${reason}`, {
      offset: this.#position,
    });
  }

  #take(length: number): number {
    const position = this.#position;
    if (length > this.#end - position) this.fail(`it ends within a field of ${length} bytes`);
    this.#position = position + length;
    return position;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  /** An unsigned 64-bit number, refused from 2^53 on. */
  u64(): number {
    const position = this.#take(8);
    const high = this.#view.getUint32(position);
    if (high >= LSN_HIGH_LIMIT) this.fail('a number is at or above 2^53');
    return high * TWO_POW_32 + this.#view.getUint32(position + 4);
  }

  lsn(): Lsn {
    return this.u64() as Lsn;
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8));
  }

  bigU64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  bool(): boolean {
    const byte = this.u8();
    if (byte > 1) this.fail(`${byte} is neither true nor false`);
    return byte === 1;
  }

  /** UTF-8 up to a zero byte, which is taken too. Anything else is refused: two byte strings never become one text. */
  cString(): string {
    let end = this.#position;
    while (end < this.#end && this.#bytes[end] !== 0) end++;
    if (end === this.#end) this.fail('a string has no end');
    const start = this.#take(end + 1 - this.#position);
    try {
      return strictText.decode(this.#bytes.subarray(start, end));
    } catch {
      // A TypeError is the decoder's one way to say so.
      return this.fail('a string is not UTF-8');
    }
  }

  /** The next `length` bytes, not copied. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Refuses bytes that no field has explained. */
  expectEnd(): void {
    if (this.remaining !== 0) this.fail(`${this.remaining} bytes too many`);
  }
}

/** Writes the fields of a message in network byte order into a buffer that grows. */
export class BigEndianWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(bytesExpected = 128) {
    this.#bytes = new Uint8Array(bytesExpected);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #reserve(length: number): number {
    const position = this.#length;
    const wanted = position + length;
    if (wanted > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = wanted;
    return position;
  }

  u8(value: number): this {
    const position = this.#reserve(1);
    this.#view.setUint8(position, value);
    return this;
  }

  u16(value: number): this {
    const position = this.#reserve(2);
    this.#view.setUint16(position, value);
    return this;
  }

  u32(value: number): this {
    const position = this.#reserve(4);
    this.#view.setUint32(position, value);
    return this;
  }

  i32(value: number): this {
    return this.u32(value >>> 0);
  }

  /** A whole number below 2^53. */
  u64(value: number): this {
    const position = this.#reserve(8);
    this.#view.setUint32(position, Math.floor(value / TWO_POW_32));
    this.#view.setUint32(position + 4, value % TWO_POW_32);
    return this;
  }

  i64(value: bigint): this {
    const position = this.#reserve(8);
    this.#view.setBigInt64(position, value);
    return this;
  }

  bigU64(value: bigint): this {
    const position = this.#reserve(8);
    this.#view.setBigUint64(position, value);
    return this;
  }

  /** UTF-8 and a zero byte. The text itself must have none. */
  cString(text: string): this {
    if (text.includes('\0')) throw new AssertionError('a zero byte within a string that one ends');
    this.put(new TextEncoder().encode(text));
    return this.u8(0);
  }

  put(bytes: Uint8Array): this {
    const position = this.#reserve(bytes.length);
    this.#bytes.set(bytes, position);
    return this;
  }

  /** What has been written, not copied. */
  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}
