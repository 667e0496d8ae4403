import type { Files, ReadableFile } from '../../../io/files.ts';
import { compareEncodedKeys, compareKeys, KEY_BYTES, readKey } from '../../keyspace/key.ts';
import type { Block } from '../blocks.ts';
import {
  continuesKey,
  endOfRow,
  endRowOfStem,
  indexOfRow,
  lsnOfRow,
  rowCountOf,
  startOfRow,
  stemAt,
} from './data-block.ts';
import {
  indexRowAt,
  indexRowCountOf,
  lsnOfIndexRow,
  positionOfIndexRow,
  rawLengthOfIndexRow,
  storedLengthOfIndexRow,
} from './index-block.ts';
import { checkLayerIs, type LayerHeader, type LayerIdentity } from './layer-header.ts';
import {
  BLOCK_DATA,
  BLOCK_LEAF,
  type BlockType,
  badLayer,
  copyKey,
  HEADER_BYTES,
  STEM_BYTES,
} from './layout.ts';
import { readBlocks, readLayerHeader, readLayerRoot } from './read-layer.ts';

/** Blocks of so many bytes together are in memory at once. */
const STEP_BYTES: number = 1024 * 1024;

/** What a layer file's header says. Reads nothing else. @throws CorruptionError; what reading fails of */
export async function describeLayer(files: Pick<Files, 'open'>, path: string): Promise<LayerHeader> {
  await using file = await files.open(path);
  return await readLayerHeader(file);
}

/**
 * Reads a layer file from its beginning to its end: every checksum, the order of all values, that the index leads to
 * all of them, and that the counts are right.
 *
 * @param layer what it should be
 * @throws CorruptionError; what reading fails of
 */
export async function verifyLayer(
  files: Pick<Files, 'open'>,
  path: string,
  layer?: LayerIdentity,
): Promise<LayerHeader> {
  await using file = await files.open(path);
  const { header, root } = await readLayerRoot(file);
  if (layer !== undefined) checkLayerIs(header, layer, path);
  const verification = new Verification(file, header);
  await verification.walk(root, BLOCK_LEAF, header.indexPosition);
  verification.end();
  return header;
}

class Verification {
  readonly #file: ReadableFile;
  readonly #header: LayerHeader;
  readonly #key: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  readonly #keyBefore: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  #lsnBefore = -1;
  #position = HEADER_BYTES;
  #leafEnd: number;
  readonly #counts = { valueCount: 0, keyCount: 0, valueBytes: 0, dataBlockCount: 0, leafCount: 0 };

  constructor(file: ReadableFile, header: LayerHeader) {
    this.#file = file;
    this.#header = header;
    this.#leafEnd = header.indexPosition;
  }

  /** Checks all blocks that an index block leads to; they follow one another without a gap. */
  async walk(index: Block, type: BlockType, start: number): Promise<number> {
    const count = indexRowCountOf(index.view);
    let position = start;
    for (let row = 0; row < count; ) {
      const wanted: { position: number; storedLength: number }[] = [];
      const rowStart = row;
      const stepStart = position;
      for (; row < count && position - stepStart < STEP_BYTES; row++) {
        const storedLength = storedLengthOfIndexRow(index.view, row);
        if (positionOfIndexRow(index.view, row) !== position)
          this.#fail(position, 'the index skips this place');
        wanted.push({ position, storedLength });
        position += storedLength;
      }
      const blocks = await readBlocks(this.#file, wanted, type);
      for (const [offset, block] of blocks.entries()) {
        const at = (wanted[offset] as { position: number }).position;
        this.#checkRow(index.view, rowStart + offset, block, type, at);
        if (type === BLOCK_DATA) this.#checkData(block.view, at);
        else await this.#checkLeaf(block, at);
      }
    }
    if (type === BLOCK_LEAF) this.#leafEnd = position;
    return position;
  }

  end(): void {
    const { indexPosition, rootPosition } = this.#header;
    if (this.#position !== indexPosition) this.#fail(this.#position, 'the index leads not to this data');
    if (this.#leafEnd !== rootPosition) this.#fail(this.#leafEnd, 'the root leads not to this leaf');
    for (const [name, count] of Object.entries(this.#counts)) {
      const said = this.#header[name as keyof LayerHeader];
      if (said !== count) this.#fail(0, `${name} is ${count}, and the header says ${String(said)}`);
    }
  }

  async #checkLeaf(leaf: Block, position: number): Promise<void> {
    this.#counts.leafCount++;
    if (indexRowCountOf(leaf.view) === 0) this.#fail(position, 'a leaf is empty');
    this.#position = await this.walk(leaf, BLOCK_DATA, this.#position);
  }

  /** The row's key, LSN and length are those of the block. */
  #checkRow(index: DataView, row: number, block: Block, type: BlockType, position: number): void {
    const { view } = block;
    let isRight = rawLengthOfIndexRow(index, row) === block.bytes.length;
    if (type === BLOCK_DATA) {
      this.#loadKey(view, 0, 0);
      isRight &&= compareEncodedKeys(index, indexRowAt(row), this.#key, 0) === 0;
      isRight &&= lsnOfIndexRow(index, row) === lsnOfRow(view, 0);
    } else if (indexRowCountOf(view) > 0) {
      isRight &&= compareEncodedKeys(index, indexRowAt(row), view, indexRowAt(0)) === 0;
      isRight &&= lsnOfIndexRow(index, row) === lsnOfIndexRow(view, 0);
    }
    if (!isRight) this.#fail(position, 'the block does not begin as the index says');
  }

  #checkData(view: DataView, position: number): void {
    const { lsnStart, lsnEnd, keys } = this.#header.description;
    const count = rowCountOf(view);
    this.#counts.dataBlockCount++;
    let stem = 0;
    for (let row = 0; row < count; row++) {
      if (row === endRowOfStem(view, stem)) stem++;
      this.#loadKey(view, stem, row);
      const lsn = lsnOfRow(view, row);
      const order = this.#lsnBefore < 0 ? 1 : compareEncodedKeys(this.#key, 0, this.#keyBefore, 0);
      if (order < 0 || (order === 0 && lsn <= this.#lsnBefore))
        this.#fail(position, 'values are out of order');
      if (row === 0 && continuesKey(view) !== (order === 0)) {
        this.#fail(position, 'it says wrongly whether the block before has its first key');
      }
      if (lsn < lsnStart || lsn >= lsnEnd) this.#fail(position, 'an LSN is outside of the layer');
      if (order > 0) this.#checkKey(keys, position);
      this.#counts.valueCount++;
      this.#counts.valueBytes += endOfRow(view, row) - startOfRow(view, row);
      this.#lsnBefore = lsn;
    }
  }

  /** The current key is another one than before. */
  #checkKey(keys: LayerHeader['description']['keys'], position: number): void {
    const key = readKey(this.#key, 0);
    const isIn = compareKeys(keys.start, key) <= 0 && compareKeys(key, keys.end) < 0;
    if (!isIn) this.#fail(position, 'a key is outside of the layer');
    this.#counts.keyCount++;
    copyKey(this.#keyBefore, 0, this.#key, 0);
  }

  #loadKey(view: DataView, stem: number, row: number): void {
    const at = stemAt(view, stem);
    for (let offset = 0; offset < STEM_BYTES; offset++) {
      this.#key.setUint8(offset, view.getUint8(at + offset));
    }
    this.#key.setUint32(STEM_BYTES, indexOfRow(view, row));
  }

  #fail(position: number, reason: string): never {
    throw badLayer(this.#file.path, position, reason);
  }
}
