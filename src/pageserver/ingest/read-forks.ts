import { CorruptionError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import { RELATION_SEGMENT_BLOCKS } from '../../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { Page } from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';

/** Read at a time. */
const PART_BLOCKS = 32;
/** A cluster has about a thousand files, most of a few blocks: waiting for one after another takes longer than the rest. */
const PARTS_AHEAD = 8;

export interface ImportedFork {
  readonly relation: RelationLocator;
  readonly fork: number;
  readonly blocks: number;
  /** Of each gibibyte. */
  readonly paths: readonly string[];
}

/** Blocks of a fork that follow each other in one file. */
interface ForkPart {
  readonly fork: ImportedFork;
  readonly path: string;
  /** The first, counted from the fork's beginning, and from the file's. */
  readonly block: number;
  readonly blockInFile: number;
  readonly count: number;
}

/** A part as it was read: the first `count` of the pages. */
export interface ReadPart extends ForkPart {
  readonly pages: readonly Page[];
}

/**
 * All blocks of forks, in order. A part's pages are good until the next is asked for.
 * @throws CorruptionError where a file is shorter than it was; what the files door fails of
 */
export async function* readForks(files: Files, forks: readonly ImportedFork[]): AsyncGenerator<ReadPart> {
  const rooms: PartRoom[] = [];
  const underWay: Promise<ReadPart>[] = [];
  let parts = 0;
  try {
    for (const part of partsOf(forks)) {
      if (underWay.length === PARTS_AHEAD) yield await (underWay.shift() as Promise<ReadPart>);
      // As many parts later, whoever got the part before in this room has asked for the next one.
      const room = (rooms[parts++ % PARTS_AHEAD] ??= new PartRoom());
      const read = readPart(files, part, room);
      // It is awaited in its turn; if it fails before, that is not to be taken for a failure that nobody sees.
      read.catch(() => undefined);
      underWay.push(read);
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<ReadPart>);
  } finally {
    await Promise.allSettled(underWay);
  }
}

/** Memory for one part. */
class PartRoom {
  readonly bytes: Uint8Array = new Uint8Array(PART_BLOCKS * BLOCK_BYTES);
  readonly pages: readonly Page[] = Array.from(
    { length: PART_BLOCKS },
    (_, index) => new Page(this.bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)),
  );
}

function* partsOf(forks: readonly ImportedFork[]): Generator<ForkPart> {
  for (const fork of forks) {
    for (const [segment, path] of fork.paths.entries()) {
      const start = segment * RELATION_SEGMENT_BLOCKS;
      const end = Math.min(fork.blocks, start + RELATION_SEGMENT_BLOCKS);
      for (let block = start; block < end; block += PART_BLOCKS) {
        const count = Math.min(PART_BLOCKS, end - block);
        yield { fork, path, block, blockInFile: block - start, count };
      }
    }
  }
}

async function readPart(files: Files, part: ForkPart, { bytes, pages }: PartRoom): Promise<ReadPart> {
  const { path, blockInFile, count } = part;
  await using file = await files.open(path);
  const read = await file.read(bytes, 0, count * BLOCK_BYTES, blockInFile * BLOCK_BYTES);
  if (read < count * BLOCK_BYTES) {
    throw new CorruptionError('FILE_TOO_SHORT', 'the file was cut', { file: path });
  }
  return { ...part, pages };
}
