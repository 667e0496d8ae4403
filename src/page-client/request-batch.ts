import { REQUEST_BYTES_MAX } from '../contracts/page-messages.ts';
import type { CopyStream } from '../libpq/copy-stream.ts';
import { MESSAGE_HEADER_BYTES } from '../postgres/wire/framing.ts';

const COPY_DATA_TAG = 0x64;
const BATCH_BYTES: number = 16 * 1024;
const POOLED_MAX = 4;

interface Buffer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Gathers requests of one turn, each a CopyData, so that they leave in one write, out of memory that serves again. */
export class RequestBatch {
  readonly #copy: CopyStream;
  readonly #pool: Buffer[] = [];
  #buffer: Buffer | undefined;
  #length = 0;

  constructor(copy: CopyStream) {
    this.#copy = copy;
  }

  /** Bytes that were gathered and not handed on yet. */
  get length(): number {
    return this.#length;
  }

  /** Adds the request that lies there, of `length` bytes. */
  add(source: Uint8Array, offset: number, length: number): void {
    if (this.#length + MESSAGE_HEADER_BYTES + REQUEST_BYTES_MAX > BATCH_BYTES) this.flush();
    const { bytes, view } = (this.#buffer ??= this.#pool.pop() ?? makeBuffer());
    view.setUint8(this.#length, COPY_DATA_TAG);
    view.setInt32(this.#length + 1, length + 4);
    const target = this.#length + MESSAGE_HEADER_BYTES;
    for (let index = 0; index < length; index++) bytes[target + index] = source[offset + index] as number;
    this.#length = target + length;
  }

  /** Hands on what was gathered. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#buffer = undefined;
    const messages = buffer.bytes.subarray(0, this.#length);
    this.#length = 0;
    this.#copy.sendMessages(messages, () => {
      if (this.#pool.length < POOLED_MAX) this.#pool.push(buffer);
    });
  }
}

function makeBuffer(): Buffer {
  const bytes = new Uint8Array(BATCH_BYTES);
  return { bytes, view: new DataView(bytes.buffer) };
}
