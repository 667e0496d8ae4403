import { CorruptionError } from '../../base/errors.ts';
import type { ReadableFile } from '../../io/files.ts';
import type { JobContext } from '../../io/workers.ts';
import type { EntryBatch } from './entry-batch.ts';
import { POSITION_UNIT } from './open-layer-index.ts';

/** Up to this size a file is read at once, front to back; a larger one for each batch anew, as far as it needs it. */
const WHOLE_BYTES_MAX: number = 512 * 1024 * 1024;
const READ_BYTES: number = 4 * 1024 * 1024;
/** What lies between two values is read with them if it is not more. */
const GAP_BYTES: number = 64 * 1024;
/** A position in units and the number of an entry in a batch fit together in a number: 32 + 20 bits. */
const ENTRY_LIMIT: number = 2 ** 20;

/** Reads the values of a frozen layer from its file, many at a time. */
export class OpenLayerReader implements AsyncDisposable {
  readonly #file: ReadableFile;
  readonly #context: JobContext;
  readonly #wholeBytesMax: number;
  #whole: Uint8Array | undefined;

  private constructor(file: ReadableFile, context: JobContext, wholeBytesMax: number) {
    this.#file = file;
    this.#context = context;
    this.#wholeBytesMax = wholeBytesMax;
  }

  /** @param wholeBytesMax is for tests to choose */
  static async open(
    path: string,
    context: JobContext,
    wholeBytesMax: number = WHOLE_BYTES_MAX,
  ): Promise<OpenLayerReader> {
    return new OpenLayerReader(await context.files.open(path), context, wholeBytesMax);
  }

  /**
   * Gives bytes in which each value of the batch begins at its `offsets`, good until the next call.
   * @throws CorruptionError if the file is shorter than the index says
   */
  async read(batch: EntryBatch): Promise<Uint8Array> {
    this.#assertInFile(batch);
    if (this.#file.sizeBytes > this.#wholeBytesMax) return await this.#gather(batch);
    this.#whole ??= await this.#readWhole();
    for (let entry = 0; entry < batch.count; entry++) batch.offsets[entry] = batch.positions[entry] as number;
    return this.#whole;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #readWhole(): Promise<Uint8Array> {
    const bytes = new Uint8Array(this.#file.sizeBytes);
    for (let at = 0; at < bytes.length; at += READ_BYTES) {
      await this.#readPiece(bytes, at, Math.min(READ_BYTES, bytes.length - at), at);
    }
    return bytes;
  }

  /** In the order of the file, so that neighbours are read together. */
  async #gather(batch: EntryBatch): Promise<Uint8Array> {
    const order = new Float64Array(batch.count);
    for (let entry = 0; entry < batch.count; entry++) {
      order[entry] = ((batch.positions[entry] as number) / POSITION_UNIT) * ENTRY_LIMIT + entry;
    }
    order.sort();
    const gathered = new Uint8Array(batch.valueBytes);
    let offset = 0;
    for (let first = 0; first < order.length; ) {
      let next = first + 1;
      const { positions, lengths } = batch;
      const start = positions[entryOf(order, first)] as number;
      let end = start + (lengths[entryOf(order, first)] as number);
      for (; next < order.length; next++) {
        const entry = entryOf(order, next);
        const position = positions[entry] as number;
        const entryEnd = position + (lengths[entry] as number);
        if (position > end + GAP_BYTES || Math.max(end, entryEnd) - start > READ_BYTES) break;
        end = Math.max(end, entryEnd);
      }
      const piece = new Uint8Array(end - start);
      await this.#readPiece(piece, 0, piece.length, start);
      for (; first < next; first++) {
        const entry = entryOf(order, first);
        const from = (positions[entry] as number) - start;
        gathered.set(piece.subarray(from, from + (lengths[entry] as number)), offset);
        batch.offsets[entry] = offset;
        offset += lengths[entry] as number;
      }
    }
    return gathered;
  }

  async #readPiece(target: Uint8Array, start: number, length: number, position: number): Promise<void> {
    const count = await this.#file.read(target, start, length, position);
    if (count < length) this.#failShort(position + count);
    await this.#context.step();
  }

  #assertInFile(batch: EntryBatch): void {
    for (let entry = 0; entry < batch.count; entry++) {
      const end = (batch.positions[entry] as number) + (batch.lengths[entry] as number);
      if (end > this.#file.sizeBytes) this.#failShort(end);
    }
  }

  #failShort(offset: number): never {
    const reason = 'the file of an open layer is shorter than its index';
    throw new CorruptionError('FILE_TOO_SHORT', reason, { file: this.#file.path, offset });
  }
}

const entryOf = (order: Float64Array, at: number): number => (order[at] as number) % ENTRY_LIMIT;
