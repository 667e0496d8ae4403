import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Lsn } from '../../src/base/lsn.ts';
import type {
  StartSetFork,
  StartSetHeader,
  StartSetItem,
  StartSetSlruSegment,
} from '../../src/contracts/start-set.ts';
import { StartSetDecoder } from '../../src/contracts/start-set-decoder.ts';
import { relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { streamStartSet } from '../../src/pageserver/start-set/stream-start-set.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { formatRelationPath, RELATION_SEGMENT_BLOCKS } from '../../src/postgres/files/relation-file-name.ts';
import { writePageChecksum } from '../../src/postgres/page/checksum.ts';
import { isNewPage, Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';

const PAGES_AT_ONCE = 64;
const context: ReadContext = { task: 'base-backup', signal: new AbortController().signal };

type Form = StartSetHeader['form'];

/** Where a start set comes from, and then the pages that are not in it. */
export interface StartSetSource {
  stream(lsn: Lsn | undefined, form: Form): AsyncIterable<Uint8Array>;
  /** undefined where there is no such segment at that LSN. */
  slruSegment(
    segment: Pick<StartSetSlruSegment, 'slru' | 'segment'>,
    lsn: Lsn,
  ): Promise<Uint8Array | undefined>;
  /** One after another, from `block` on, as many as `pages` has. */
  readPages(
    fork: Pick<StartSetFork, 'relation' | 'contentFork'>,
    block: number,
    pages: readonly Page[],
    lsn: Lsn,
  ): Promise<void>;
}

/** From an engine in this process. */
export const sourceOf = (active: ActiveTimeline): StartSetSource => ({
  stream: (lsn, form) => streamStartSet(active, { lsn, form }, context),
  slruSegment: ({ slru, segment }, lsn) => active.reads.slruSegment(slru, segment, lsn, context),
  readPages: ({ relation, contentFork }, block, pages, lsn) =>
    active.reads.pages(
      pages.map((target, index) => {
        return { key: relationBlockKey(relation, contentFork, block + index), lsn, target };
      }),
      context,
    ),
});

/** All bytes of a start set. */
export async function readStartSet(
  active: ActiveTimeline,
  lsn: Lsn | undefined,
  form: Form,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamStartSet(active, { lsn, form }, context)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Lays a start set out as a data directory, with every page filled in from the same source: what an agent would leave to the
 * first read. `directory` must not exist.
 */
export async function layOutStartSet(
  source: StartSetSource,
  lsn: Lsn | undefined,
  form: Form,
  directory: string,
): Promise<StartSetHeader> {
  const layout = new Layout(source, directory);
  const decoder = new StartSetDecoder();
  await mkdir(directory, { mode: 0o700 });
  try {
    for await (const chunk of source.stream(lsn, form)) {
      for (const item of decoder.push(chunk)) await layout.take(item);
    }
    decoder.finish();
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  return layout.header;
}

class Layout {
  readonly #source: StartSetSource;
  readonly #directory: string;
  readonly #segments: StartSetSlruSegment[] = [];
  #header: StartSetHeader | undefined;
  #file: FileHandle | undefined;

  constructor(source: StartSetSource, directory: string) {
    this.#source = source;
    this.#directory = directory;
  }

  get header(): StartSetHeader {
    if (this.#header === undefined) throw new Error('the start set has no header');
    return this.#header;
  }

  async take(item: StartSetItem): Promise<void> {
    switch (item.kind) {
      case 'header':
        this.#header = item.header;
        break;
      case 'directories':
        for (const path of item.paths) await mkdir(join(this.#directory, path), { recursive: true });
        break;
      case 'slru-segment':
        this.#segments.push(item.file);
        await this.#begin(item.file.path, item.file.sizeBytes);
        break;
      case 'file':
        await this.#begin(item.file.path, item.file.sizeBytes);
        break;
      case 'piece':
        await this.#file?.write(item.bytes, 0, item.bytes.length, item.offset);
        break;
      case 'ready':
        await this.#close();
        for (const segment of this.#segments) await this.#fillSegment(segment);
        break;
      case 'forks':
        for (const fork of item.forks) await this.#fillFork(fork);
        break;
      case 'end':
        break;
    }
  }

  async #begin(path: string, sizeBytes: number): Promise<void> {
    await this.#close();
    this.#file = await this.#create(path);
    await this.#file.truncate(sizeBytes);
  }

  async #close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #create(path: string): Promise<FileHandle> {
    const whole = join(this.#directory, path);
    await mkdir(dirname(whole), { recursive: true });
    return open(whole, 'wx', 0o600);
  }

  async #fillSegment(segment: StartSetSlruSegment): Promise<void> {
    const content = await this.#source.slruSegment(segment, this.header.recordEndLsn);
    await using file = await open(join(this.#directory, segment.path), 'r+');
    if (content !== undefined) await file.write(content, 0, content.length, 0);
  }

  async #fillFork({ relation, fork, contentFork, blocks }: StartSetFork): Promise<void> {
    const { recordEndLsn, hasDataChecksums } = this.header;
    for (let segment = 0; segment === 0 || segment * RELATION_SEGMENT_BLOCKS < blocks; segment++) {
      const first = segment * RELATION_SEGMENT_BLOCKS;
      const path = formatRelationPath(POSTGRES_17, { relation, fork, segment, temporaryBackend: undefined });
      await using file = await this.#create(path);
      const end = Math.min(blocks, first + RELATION_SEGMENT_BLOCKS);
      for (let block = first; block < end; block += PAGES_AT_ONCE) {
        const count = Math.min(PAGES_AT_ONCE, end - block);
        const bytes = new Uint8Array(count * BLOCK_BYTES);
        const pages = Array.from(
          { length: count },
          (_, index) => new Page(bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)),
        );
        await this.#source.readPages({ relation, contentFork }, block, pages, recordEndLsn);
        for (const [index, page] of pages.entries()) {
          if (hasDataChecksums && !isNewPage(page)) writePageChecksum(page, block + index);
        }
        await file.write(bytes, 0, bytes.length, (block - first) * BLOCK_BYTES);
      }
    }
  }
}
