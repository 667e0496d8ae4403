/** Reading parts of a layer file, checked. */
import type { ReadableFile } from '../../../io/files.ts';
import type { Block } from '../blocks.ts';
import { decodeStoredBlock, decodeStoredLength } from './block-frame.ts';
import { checkDataBlock } from './data-block.ts';
import { checkIndexBlock, indexRowCountOf } from './index-block.ts';
import { decodeLayerHeader, type LayerHeader } from './layer-header.ts';
import { BLOCK_DATA, BLOCK_ROOT, type BlockType, badLayer, FRAME_BYTES, HEADER_BYTES } from './layout.ts';

/** The end of the file is read along with the header: mostly the root is in it. */
const TAIL_BYTES = 16 * 1024;
/** Blocks that are no farther apart are read together. */
const GAP_BYTES_MAX = 16 * 1024;
const JOINED_BYTES_MAX = 1024 * 1024;

/** A block to be read. */
export interface WantedBlock {
  readonly position: number;
  /** With its frame, if it is known; otherwise the frame is read first. */
  readonly storedLength: number | undefined;
}

async function readPart(file: ReadableFile, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await readInto(bytes, file, position, length);
  return bytes;
}

async function readInto(
  bytes: Uint8Array,
  file: ReadableFile,
  position: number,
  length: number,
): Promise<void> {
  const count = await file.read(bytes, 0, length, position);
  if (count < length) {
    throw badLayer(file.path, position + count, `it ends here, and should go to ${position + length}`);
  }
}

/** Reads of blocks, which are unpacked into memory of their own, borrow memory of this size. */
const ROOM_BYTES = 64 * 1024;
const ROOMS_KEPT = 64;
const rooms: Uint8Array[] = [];

const takeRoom = (length: number): Uint8Array =>
  length > ROOM_BYTES ? new Uint8Array(length) : (rooms.pop() ?? new Uint8Array(ROOM_BYTES));

function giveRoom(room: Uint8Array): void {
  if (room.length === ROOM_BYTES && rooms.length < ROOMS_KEPT) rooms.push(room);
}

/** @throws CorruptionError; what reading fails of */
export async function readLayerHeader(file: ReadableFile): Promise<LayerHeader> {
  const bytes = await readPart(file, 0, Math.min(HEADER_BYTES, file.sizeBytes));
  return decodeLayerHeader(bytes, file.sizeBytes, file.path);
}

/** What has to be known of a layer before anything in it can be found. */
export interface LayerRoot {
  readonly header: LayerHeader;
  readonly root: Block;
}

/** @throws CorruptionError; what reading fails of */
export async function readLayerRoot(file: ReadableFile): Promise<LayerRoot> {
  const tailStart = Math.max(0, file.sizeBytes - TAIL_BYTES);
  const [header, tail] = await Promise.all([
    readLayerHeader(file),
    readPart(file, tailStart, file.sizeBytes - tailStart),
  ]);
  const { rootPosition, leafCount } = header;
  const isInTail = rootPosition >= tailStart;
  const start = isInTail ? tailStart : rootPosition;
  const bytes = isInTail ? tail : await readPart(file, start, file.sizeBytes - start);
  const root = decodeBlock(
    bytes,
    rootPosition - start,
    rootPosition,
    file.sizeBytes - rootPosition,
    file,
    BLOCK_ROOT,
  );
  if (indexRowCountOf(root.view) !== leafCount) {
    throw badLayer(file.path, rootPosition, `the root has not the ${leafCount} leaves of the header`);
  }
  return { header, root };
}

/**
 * The block of a type at `start` of `bytes`, in memory of its own.
 * @param storedLength what is known of it; fewer bytes may be there
 * @throws CorruptionError
 */
export function decodeBlock(
  bytes: Uint8Array,
  start: number,
  position: number,
  storedLength: number,
  file: ReadableFile,
  type: BlockType,
): Block {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = decodeStoredLength(view, start, position, position + storedLength, file.path);
  if (found !== storedLength) {
    throw badLayer(file.path, position, `a block has ${found} bytes, and the index says ${storedLength}`);
  }
  return toBlock(decodeStoredBlock(bytes, start, storedLength, position, file.path), type, position, file);
}

/** Checks that a raw block is a sound one of this type. @throws CorruptionError */
export function toBlock(
  raw: Uint8Array,
  type: BlockType,
  position: number,
  file: Pick<ReadableFile, 'path' | 'sizeBytes'>,
): Block {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  if (type === BLOCK_DATA) checkDataBlock(raw, view, position, file.path);
  else checkIndexBlock(raw, view, type, file.sizeBytes, position, file.path);
  return { bytes: raw, view };
}

export interface KnownBlock extends WantedBlock {
  readonly storedLength: number;
}

const isKnown = (wanted: WantedBlock): wanted is KnownBlock => wanted.storedLength !== undefined;

async function findLength(file: ReadableFile, wanted: WantedBlock): Promise<KnownBlock> {
  const { position, storedLength } = wanted;
  if (storedLength !== undefined) return { position, storedLength };
  const frame = await readPart(file, position, FRAME_BYTES);
  const view = new DataView(frame.buffer);
  return { position, storedLength: decodeStoredLength(view, 0, position, file.sizeBytes, file.path) };
}

/** Puts those together that are to be read at once. */
function join<Wanted extends KnownBlock>(blocks: readonly Wanted[]): Wanted[][] {
  const groups: Wanted[][] = [];
  let start = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const block of blocks) {
    const blockEnd = block.position + block.storedLength;
    const fits = block.position - end <= GAP_BYTES_MAX && blockEnd - start <= JOINED_BYTES_MAX;
    if (fits) (groups.at(-1) as Wanted[]).push(block);
    else {
      groups.push([block]);
      start = block.position;
    }
    end = blockEnd;
  }
  return groups;
}

/**
 * Reads blocks of one type, each into memory of its own.
 * @param wanted ascending
 * @throws CorruptionError; what reading fails of
 */
export async function readBlocks(
  file: ReadableFile,
  wanted: readonly WantedBlock[],
  type: BlockType,
): Promise<Block[]> {
  const known = wanted.every(isKnown)
    ? wanted
    : await Promise.all(wanted.map((block) => findLength(file, block)));
  const groups = join(known);
  // Mostly there is one, and it costs the less the fewer promises are made for it.
  if (groups.length === 1) return readGroup(file, groups[0] as KnownBlock[], type);
  return (await Promise.all(groups.map((group) => readGroup(file, group, type)))).flat();
}

async function readGroup(
  file: ReadableFile,
  group: readonly KnownBlock[],
  type: BlockType,
): Promise<Block[]> {
  const [first, last] = [group[0] as KnownBlock, group.at(-1) as KnownBlock];
  const start = first.position;
  const length = last.position + last.storedLength - start;
  const room = takeRoom(length);
  try {
    await readInto(room, file, start, length);
    return group.map(({ position, storedLength }) =>
      decodeBlock(room, position - start, position, storedLength, file, type),
    );
  } finally {
    giveRoom(room);
  }
}

/** A block as it is stored: at `start` of `bytes`, which others may be in as well. */
export interface StoredBlock<Wanted extends KnownBlock> {
  readonly wanted: Wanted;
  readonly bytes: Uint8Array;
  readonly start: number;
}

/**
 * As readBlocks, for who unpacks them (`decodeBlock`) one after another.
 * @param wanted ascending
 * @throws CorruptionError; what reading fails of
 */
export async function readStoredBlocks<Wanted extends KnownBlock>(
  file: ReadableFile,
  wanted: readonly Wanted[],
): Promise<StoredBlock<Wanted>[]> {
  const groups = join(wanted).map(async (group) => {
    const [first, last] = [group[0] as Wanted, group.at(-1) as Wanted];
    const bytes = await readPart(file, first.position, last.position + last.storedLength - first.position);
    return group.map((block) => ({ wanted: block, bytes, start: block.position - first.position }));
  });
  return (await Promise.all(groups)).flat();
}
