import { AssertionError } from '../../base/errors.ts';
import type { BlockPins } from './blocks.ts';
import type { BufferedWriter } from './buffered-writer.ts';
import type { FoundValues } from './found-values.ts';
import { OPEN_LAYER_BLOCK_BYTES, type OpenLayerBlocks } from './open-layer-blocks.ts';
import type { ReadContext } from './read-context.ts';

/** All that was appended to an open layer: the blocks of its file, and behind them what the writer has in memory. */
export class OpenLayerBytes {
  readonly #writer: BufferedWriter;
  readonly #blocks: OpenLayerBlocks;

  constructor(writer: BufferedWriter, blocks: OpenLayerBlocks) {
    this.#writer = writer;
    this.#blocks = blocks;
  }

  /**
   * Adds the value at a position to what was found. One that lies in a block stays there; what is in memory is copied,
   * since the writer uses its buffers again, and so is what lies in several places.
   *
   * Returns false, and adds nothing, where blocks are lacking: they are noted in `pins`.
   */
  push(
    position: number,
    length: number,
    lsn: number,
    flags: number,
    pins: BlockPins,
    found: FoundValues,
    context: ReadContext,
  ): boolean {
    const number = Math.floor(position / OPEN_LAYER_BLOCK_BYTES);
    const offset = position - number * OPEN_LAYER_BLOCK_BYTES;
    const { fileBytes } = this.#writer;
    const fitsInBlock = offset + length <= OPEN_LAYER_BLOCK_BYTES;
    if (fitsInBlock && position + length <= fileBytes && length > 0) {
      const block = pins.find(this.#blocks, number, context);
      if (block === undefined) return false;
      found.push(block.bytes, block.view, offset, length, lsn, flags);
      return true;
    }
    return this.#pushCopied(position, length, lsn, flags, pins, found, context);
  }

  #pushCopied(
    position: number,
    length: number,
    lsn: number,
    flags: number,
    pins: BlockPins,
    found: FoundValues,
    context: ReadContext,
  ): boolean {
    const inFileBytes = Math.max(0, Math.min(length, this.#writer.fileBytes - position));
    if (inFileBytes > 0 && !this.#haveBlocks(position, inFileBytes, pins, context)) return false;
    const room = found.pushRoom(length, lsn, flags);
    this.#copyFromBlocks(position, inFileBytes, found.room, room, pins, context);
    const restBytes = length - inFileBytes;
    if (restBytes === 0) return true;
    const at = position + inFileBytes;
    const count = this.#writer.readMemory(found.room, room + inFileBytes, restBytes, at);
    if (count < restBytes) {
      throw new AssertionError('a value is looked for that was not appended', { offset: position, lsn });
    }
    return true;
  }

  /** Whether all blocks of a range are at hand. Those that are not are all noted. */
  #haveBlocks(position: number, length: number, pins: BlockPins, context: ReadContext): boolean {
    let isLacking = false;
    const first = Math.floor(position / OPEN_LAYER_BLOCK_BYTES);
    for (let number = first; number * OPEN_LAYER_BLOCK_BYTES < position + length; number++) {
      if (pins.find(this.#blocks, number, context) === undefined) isLacking = true;
    }
    return !isLacking;
  }

  /** Of blocks that are all at hand. */
  #copyFromBlocks(
    position: number,
    length: number,
    target: Uint8Array,
    start: number,
    pins: BlockPins,
    context: ReadContext,
  ): void {
    let done = 0;
    while (done < length) {
      const number = Math.floor((position + done) / OPEN_LAYER_BLOCK_BYTES);
      const block = pins.find(this.#blocks, number, context);
      const from = position + done - number * OPEN_LAYER_BLOCK_BYTES;
      if (block === undefined || from >= block.bytes.length) {
        throw new AssertionError('a block of an open layer is not what it was', { offset: number });
      }
      const piece = block.bytes.subarray(from, from + length - done);
      target.set(piece, start + done);
      done += piece.length;
    }
  }
}
