import { AssertionError, VarveError } from '../../base/errors.ts';
import { Gate, type Pass } from '../../base/gate.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Files, UpdatableFile } from '../../io/files.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { BlockCache } from './block-cache.ts';
import { BlockPins } from './blocks.ts';
import { BufferedWriter, type BufferedWriterOptions } from './buffered-writer.ts';
import type { SharedOpenLayer } from './flush-open-layer.ts';
import { FoundValues } from './found-values.ts';
import { OPEN_LAYER_BLOCK_BYTES, OpenLayerBlocks } from './open-layer-blocks.ts';
import { OpenLayerBytes } from './open-layer-bytes.ts';
import { OpenLayerIndex, POSITION_UNIT } from './open-layer-index.ts';
import type { ReadContext } from './read-context.ts';
import { LAYER_RETIRED } from './retired-layer.ts';
import type { Stems } from './stems.ts';
import { isBase } from './value.ts';

const PADDING = new Uint8Array(POSITION_UNIT);
/** What `lsnEnd` is as long as values may come. */
const NO_END = Number.MAX_SAFE_INTEGER as Lsn;
const INDEX_LIMIT = 2 ** 32;

/** Takes a value of a scan. The bytes are only valid during the call. */
type TakeValue = (
  key: Key,
  lsn: number,
  flags: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
) => void;

export interface OpenLayerOptions extends Omit<BufferedWriterOptions, 'file'> {
  readonly files: Files;
  /** Where the file is made. What may be there is overwritten. */
  readonly path: string;
  readonly lsnStart: Lsn;
  /** Of the timeline. */
  readonly stems: Stems;
  readonly cache: BlockCache;
}

/**
 * The layer that ingest puts values into: a file of values in the order in which they came, and in memory an index
 * that says where each is. Frozen at an LSN it takes no more values, and is read until it has become a layer file
 * (flush-open-layer.ts). Nothing of it survives a crash, nor needs to: WAL is kept elsewhere until a layer file holds
 * it. So nothing is synced, and a start removes such files.
 */
export class OpenLayer {
  readonly path: string;
  readonly lsnStart: Lsn;
  readonly #stems: Stems;
  readonly #index: OpenLayerIndex;
  readonly #files: Files;
  readonly #file: UpdatableFile;
  readonly #writer: BufferedWriter;
  readonly #blocks: OpenLayerBlocks;
  readonly #bytes: OpenLayerBytes;
  readonly #gate: Gate;
  #lsnEnd: Lsn = NO_END;
  #isWritten = false;

  private constructor(options: OpenLayerOptions, file: UpdatableFile) {
    this.path = options.path;
    this.lsnStart = options.lsnStart;
    this.#stems = options.stems;
    this.#index = new OpenLayerIndex(options.lsnStart);
    this.#files = options.files;
    this.#file = file;
    this.#writer = new BufferedWriter({ ...options, file });
    this.#blocks = new OpenLayerBlocks(
      file,
      options.cache,
      () => this.#writer.fileBytes,
      () => this.hold(),
    );
    this.#bytes = new OpenLayerBytes(this.#writer, this.#blocks);
    this.#gate = new Gate(`the open layer ${options.path}`);
  }

  /** @throws what the files door fails of. Then the caller still has the pass of the options. */
  static async create(options: OpenLayerOptions): Promise<OpenLayer> {
    if (options.capBytes % OPEN_LAYER_BLOCK_BYTES !== 0) {
      throw new AssertionError(`${options.capBytes} bytes are no whole number of blocks of an open layer`);
    }
    const file = await options.files.openForUpdate(options.path);
    try {
      if (file.sizeBytes > 0) await file.resize(0);
      return new OpenLayer(options, file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Exclusive. Above all LSNs until the layer is frozen. */
  get lsnEnd(): Lsn {
    return this.#lsnEnd;
  }

  get isFrozen(): boolean {
    return this.#lsnEnd !== NO_END;
  }

  /** How long the file is in the end. */
  get fileBytes(): number {
    return this.#writer.lengthBytes;
  }

  /** How many values there are. */
  get values(): number {
    return this.#index.count;
  }

  get indexBytes(): number {
    return this.#index.bytes;
  }

  /** Whether values up to `lsn` may be put after `lengthBytes` more have been appended. If not, freeze the layer. */
  fits(lsn: number, lengthBytes: number): boolean {
    return this.#index.fits(lsn, this.#writer.lengthBytes + POSITION_UNIT + lengthBytes);
  }

  /**
   * Appends bytes that values will be made of, and gives the position of the first one, a multiple of POSITION_UNIT.
   * Waits while the disk is behind. One caller at a time.
   * @throws VarveError ‘cancelled’, when the timeline ends: the layer takes nothing any more
   */
  async append(bytes: Uint8Array, start: number, end: number): Promise<number> {
    this.#assertOpen();
    const padding = this.#paddingBytes();
    if (padding > 0 && this.#writer.tryWrite(PADDING, 0, padding) === -1) {
      await this.#writer.write(PADDING, 0, padding);
    }
    const position = this.#writer.tryWrite(bytes, start, end);
    return position === -1 ? this.#writer.write(bytes, start, end) : position;
  }

  /** As `append`, if there is room without waiting. -1: there is none. */
  tryAppend(bytes: Uint8Array, start: number, end: number): number {
    this.#assertOpen();
    const padding = this.#paddingBytes();
    if (padding > 0 && this.#writer.tryWrite(PADDING, 0, padding) === -1) return -1;
    return this.#writer.tryWrite(bytes, start, end);
  }

  /**
   * Says that `[position, position + length)` of the file is a value. From now on it is found: its bytes must have been
   * appended before anybody looks for it at its LSN, and before the layer is frozen.
   * @param lsn not below that of the newest value under the same key
   */
  put(stem: number, index: number, lsn: number, position: number, length: number, flags: number): void {
    this.#assertOpen();
    this.#index.put(stem, index, lsn, position, length, flags);
  }

  /**
   * Adds to `found` the values of a key whose LSN is in [lsnStart, lsnEnd), from the newest on, until one is a base.
   * What the found values lie in is good as long as they are found (until `found.clear`).
   *
   * Returns false where a block is not in memory: it is noted in `pins`, and `found` is as it was before.
   */
  search(
    stem: number,
    index: number,
    lsnStart: number,
    lsnEnd: number,
    pins: BlockPins,
    found: FoundValues,
    context: ReadContext,
  ): boolean {
    const entries = this.#index;
    const countBefore = found.count;
    let isLacking = false;
    for (let entry = entries.newest(stem, index); entry !== -1; entry = entries.older(entry)) {
      const lsn = entries.lsnOf(entry);
      if (lsn >= lsnEnd) continue;
      if (lsn < lsnStart) break;
      const position = entries.positionOf(entry);
      const length = entries.lengthOf(entry);
      const flags = entries.flagsOf(entry);
      // After the first block that is lacking, the others that will be needed are noted as well.
      if (!this.#bytes.push(position, length, lsn, flags, pins, found, context)) isLacking = true;
      if (isBase(flags)) break;
    }
    if (isLacking) found.takeBackTo(countBefore);
    return !isLacking;
  }

  /**
   * Gives the newest value below `lsnEnd` of every key in the ranges, in no order.
   * @throws as BlockFile.load; as `hold`
   */
  async scan(
    ranges: readonly KeyRange[],
    lsnEnd: number,
    context: ReadContext,
    take: TakeValue,
  ): Promise<void> {
    using _pass = this.hold();
    const stems = this.#stems;
    const kindMin = Math.min(...ranges.map(({ start }) => start.kind));
    const kindMax = Math.max(...ranges.map(({ end }) => end.kind));
    const found = new FoundValues();
    let pins = new BlockPins();
    for (let stem = 0; stem < stems.size; stem++) {
      const kind = stems.kindOf(stem);
      if (kind < kindMin || kind > kindMax || !this.#index.hasStem(stem)) continue;
      for (const range of ranges) {
        const to = lowestIndex(stems, stem, range.end);
        let index = this.#firstIndex(stem, lowestIndex(stems, stem, range.start), to);
        for (; index !== -1; index = this.#firstIndex(stem, index + 1, to)) {
          found.clear();
          if (!this.search(stem, index, this.lsnStart, lsnEnd, pins, found, context)) {
            do await pins.load(context);
            while (!this.search(stem, index, this.lsnStart, lsnEnd, pins, found, context));
            // What was loaded for one value is not kept for all.
            pins = new BlockPins();
          }
          if (found.count === 0) continue;
          const lsn = found.lsns[0] as number;
          const key = stems.keyOf(stem, index);
          const flags = found.flags[0] as number;
          const bytes = found.bytes[0] as Uint8Array;
          take(key, lsn, flags, bytes, found.offsets[0] as number, found.lengths[0] as number);
        }
      }
    }
  }

  /** The first index of a stem that has values, from `from` on and below `to`; -1 if there is none. */
  #firstIndex(stem: number, from: number, to: number): number {
    if (from >= to) return -1;
    const index = this.#index.nextIndex(stem, from);
    return index < to ? index : -1;
  }

  /** No value comes any more. All have an LSN below `lsnEnd`. */
  freeze(lsnEnd: Lsn): void {
    this.#assertOpen();
    this.#lsnEnd = lsnEnd;
  }

  /** Brings a frozen layer into its file as a whole. May be called again. @throws VarveError ‘cancelled’ */
  async finishWriting(): Promise<void> {
    if (this.#isWritten) return;
    if (!this.isFrozen)
      throw new AssertionError('a layer is finished that is not frozen', { file: this.path });
    await this.#writer.finish();
    this.#isWritten = true;
  }

  /** For whoever writes the layer file, maybe in another thread (flush-open-layer.ts). */
  share(): SharedOpenLayer {
    if (!this.#isWritten)
      throw new AssertionError('a layer is shared that is not in its file', { file: this.path });
    return { path: this.path, index: this.#index.share(), stemWords: this.#stems.copyWords() };
  }

  /**
   * Keeps the file from being closed, until the pass is left: for who reads and waits in between.
   * @throws VarveError ‘unavailable’ / LAYER_RETIRED once it is closing: a layer file has taken its place
   */
  hold(): Pass {
    if (this.#gate.isClosed) {
      throw new VarveError('unavailable', LAYER_RETIRED, 'the layer has been replaced', {
        file: this.path,
      });
    }
    return this.#gate.enter();
  }

  /** Waits for those who hold the layer. Its writing is finished, or was cancelled. May be called again. */
  async close(): Promise<void> {
    await this.#gate.close();
    this.#blocks.drop();
    await this.#file.close();
  }

  /** Closes the layer and removes its file. */
  async remove(): Promise<void> {
    await this.close();
    await this.#files.remove(this.path);
  }

  #paddingBytes(): number {
    const over = this.#writer.lengthBytes % POSITION_UNIT;
    return over === 0 ? 0 : POSITION_UNIT - over;
  }

  #assertOpen(): void {
    if (this.isFrozen) throw new AssertionError('a frozen layer is changed', { file: this.path });
  }
}

/** The lowest index that a stem's key may have to be at or above a key; INDEX_LIMIT if none is. */
function lowestIndex(stems: Stems, stem: number, key: Key): number {
  const order =
    stems.kindOf(stem) - key.kind ||
    stems.field2Of(stem) - key.field2 ||
    stems.field3Of(stem) - key.field3 ||
    stems.field4Of(stem) - key.field4 ||
    stems.field5Of(stem) - key.field5;
  if (order === 0) return key.index;
  return order < 0 ? INDEX_LIMIT : 0;
}
