import { tarHeader } from '../../base/tar/tar-writer.ts';
import { writePageChecksum } from '../../postgres/page/checksum.ts';
import { isNewPage, Page } from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { relationBlockKey } from '../keyspace/keys.ts';
import type { PageRequest } from '../read/page-reader.ts';
import type { RelationFileSource } from './relation-files.ts';

/** Pages that are asked for together: neighbours, which are read with few reads of files. */
export const BATCH_PAGES = 64;
/** So that a batch of empty relations has an end too. */
const BATCH_HEADERS_MAX = 256;

/** A stretch of an archive: headers of files and their pages, as they follow one another. */
export class RelationBatch {
  /** What goes out, when the pages have been read into it. */
  readonly bytes: Uint8Array;
  /** Where each page is to go. */
  readonly requests: readonly PageRequest[];

  private constructor(bytes: Uint8Array, requests: readonly PageRequest[]) {
    this.bytes = bytes;
    this.requests = requests;
  }

  /** @param pieces headers, and blocks of relations at `lsn` */
  static layOut(pieces: readonly (Uint8Array | BlockPiece)[], lsn: number): RelationBatch {
    const lengthBytes = pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
    const bytes = new Uint8Array(lengthBytes);
    const requests: PageRequest[] = [];
    let at = 0;
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) bytes.set(piece, at);
      else {
        const target = new Page(bytes.subarray(at, at + BLOCK_BYTES));
        const { relation, contentFork } = piece.file;
        requests.push({ key: relationBlockKey(relation, contentFork, piece.block), lsn, target });
      }
      at += lengthOf(piece);
    }
    return new RelationBatch(bytes, requests);
  }

  /** PageSetChecksumCopy: what redo makes of a page has none. */
  writeChecksums(): void {
    for (const { key, target } of this.requests) {
      if (!isNewPage(target)) writePageChecksum(target, key.index);
    }
  }
}

interface BlockPiece {
  readonly file: RelationFileSource;
  readonly block: number;
}

const lengthOf = (piece: Uint8Array | BlockPiece): number =>
  piece instanceof Uint8Array ? piece.length : BLOCK_BYTES;

/** Lays out files one after another, in batches that do not stop at a file's end. */
export async function* relationBatches(
  files: AsyncIterable<RelationFileSource>,
  lsn: number,
  modifiedSeconds: number,
): AsyncGenerator<RelationBatch, void> {
  let pieces: (Uint8Array | BlockPiece)[] = [];
  let headers = 0;
  for await (const file of files) {
    pieces.push(tarHeader({ name: file.path, sizeBytes: file.blocks * BLOCK_BYTES, modifiedSeconds }));
    headers++;
    for (let index = 0; index < file.blocks; index++) {
      pieces.push({ file, block: file.firstBlock + index });
      if (pieces.length - headers < BATCH_PAGES) continue;
      yield RelationBatch.layOut(pieces, lsn);
      pieces = [];
      headers = 0;
    }
    if (headers < BATCH_HEADERS_MAX) continue;
    yield RelationBatch.layOut(pieces, lsn);
    pieces = [];
    headers = 0;
  }
  if (pieces.length > 0) yield RelationBatch.layOut(pieces, lsn);
}
