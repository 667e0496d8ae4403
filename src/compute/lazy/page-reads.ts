import { AssertionError, BadRequestError } from '../../base/errors.ts';
import { RELATION_SEGMENT_BLOCKS } from '../../postgres/files/relation-file-name.ts';
import { BLOCK_BYTES, FORK_MAIN } from '../../postgres/wal/record-header.ts';
import type { BlockHistory, PageSource } from '../page-source.ts';
import type { FileContent, FileKey, FileList } from './file-list.ts';
import { FILES_MAX, FORK_FACTOR, RUN_BLOCKS_MAX } from './format.ts';

/** Where blocks are read in order, so many requests of the shim are read ahead: storage works while the server does. */
const AHEAD_RUNS = 3;
/** Of a whole run, for the next ones: new memory has to be cleared, and collected again. */
const SPARE_BUFFERS_MAX = 16;
/** What is kept that was read ahead and nobody has asked for yet. */
const AHEAD_BLOCKS_MAX = 4096;
/** A request that the shim has made so long goes on where the last one ended: what follows is wanted soon. */
const SEQUENTIAL_BLOCKS = 16;

type RelationContent = Extract<FileContent, { kind: 'relation' }> & { readonly history: BlockHistory };

/** Blocks that were read before anybody asked for them. */
interface AheadRun {
  readonly firstKey: number;
  readonly blocks: number;
  readonly bytes: Uint8Array;
  /** Never rejects. */
  readonly isRead: Promise<boolean>;
  /** Blocks that nobody has asked for yet. */
  unused: number;
}

/**
 * Blocks that the server has not got: of files in the list, or given back. A block is asked for by whoever owns it, and what
 * was read ahead is right whenever that is: nobody has changed a block that nobody has. Where blocks are given back, what was
 * read ahead is dropped before: they may have been changed since.
 */
export class PageReads {
  readonly #pages: PageSource;
  readonly #list: FileList;
  readonly #signal: AbortSignal;
  /** By block: see keyOf. */
  readonly #ahead = new Map<number, AheadRun>();
  /** Oldest first. */
  readonly #runs = new Set<AheadRun>();
  #aheadBlocks = 0;
  readonly #spare: Uint8Array[] = [];
  /** Segments of SLRUs that were read ahead, by their numbers. */
  readonly #segments = new Map<number, Promise<Uint8Array>>();
  /** Of files of which blocks were given back: numbers that no file of the list has, by key. */
  readonly #again = new Map<string, number>();

  /** @param signal ends what nobody waits for */
  constructor(pages: PageSource, list: FileList, signal: AbortSignal) {
    this.#pages = pages;
    this.#list = list;
    this.#signal = signal;
  }

  /**
   * Reads blocks of a file into `target`.
   * @throws BadRequestError for blocks that the file does not have; what reading pages fails of
   */
  async read(
    number: number,
    block: number,
    count: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const content = this.#contentOf(number, block, count);
    if (content === undefined)
      throw new BadRequestError('BAD_REQUEST', `no file ${number} has ${count} blocks from ${block} on`);
    if (content.kind === 'slru') return await this.#readSegment(content, number, block, target, signal);
    const known = { ...content, history: 'untouched' } as const;
    const isRead = this.#readRelation(known, number, block, target, signal);
    if (count >= SEQUENTIAL_BLOCKS && count > content.aroundBlocks)
      this.#prefetchRuns(number, block + count, count);
    await isRead;
  }

  /**
   * Reads blocks that were given back, of a file by its key, and some behind them ahead.
   * @throws as read
   */
  async readAgain(
    key: FileKey,
    block: number,
    count: number,
    aheadCount: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const content = contentOfKey(key, block, count);
    const number = this.#numberOf(key);
    const isRead = this.#readRelation(content, number, block, target, signal);
    for (let ahead = 0; ahead < aheadCount; ahead += RUN_BLOCKS_MAX)
      this.#prefetch(content, number, block + count + ahead, Math.min(RUN_BLOCKS_MAX, aheadCount - ahead));
    await isRead;
  }

  /** Nothing that was read ahead is given to anybody any more, also where it is on its way. */
  dropAhead(): void {
    for (const run of this.#runs) this.#forget(run);
  }

  async #readRelation(
    content: RelationContent,
    number: number,
    block: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const count = target.length / BLOCK_BYTES;
    const parts: Promise<void>[] = [];
    for (let index = 0; index < count; ) {
      const run = this.#ahead.get(keyOf(number, block + index));
      const end = this.#endOfPart(number, block, index, count, run);
      const part = target.subarray(index * BLOCK_BYTES, end * BLOCK_BYTES);
      parts.push(this.#readPart(content, number, block + index, part, run, signal));
      index = end;
    }
    await Promise.all(parts);
  }

  /** Reads a segment of an SLRU that will be asked for. */
  prefetchSegment(number: number): void {
    const content = this.#list.contentOf(number);
    if (content?.kind !== 'slru' || this.#segments.has(number)) return;
    const reading = this.#pages.readSlruSegment(content.slru, content.segment, this.#signal);
    // Whoever wants it reads it then, and sees why.
    reading.catch(() => this.#segments.delete(number));
    this.#segments.set(number, reading);
  }

  /** At first one run, and as many as keep everybody busy where whole ones are asked for. */
  #prefetchRuns(number: number, block: number, count: number): void {
    const runs = count === RUN_BLOCKS_MAX ? AHEAD_RUNS : 1;
    for (let run = 0; run < runs; run++) this.prefetch(number, block + run * RUN_BLOCKS_MAX, RUN_BLOCKS_MAX);
  }

  /** Reads blocks that may be asked for. Does nothing where that is too much. */
  prefetch(number: number, block: number, count: number): void {
    const known = this.#list.contentOf(number);
    if (known?.kind !== 'relation') return;
    this.#prefetch({ ...known, history: 'untouched' }, number, block, count);
  }

  /** As prefetch, of blocks that were given back. */
  prefetchAgain(key: FileKey, block: number, count: number): void {
    this.#prefetch(contentOfKey(key, block, count), this.#numberOf(key), block, count);
  }

  #prefetch(known: RelationContent, number: number, block: number, count: number): void {
    let first = block;
    const end = Math.min(block + count, known.blocks);
    while (first < end) {
      let after = first;
      while (after < end && !this.#ahead.has(keyOf(number, after))) after++;
      if (after > first) this.#readAhead(known, number, first, after - first);
      first = after + 1;
    }
  }

  #numberOf(key: FileKey): number {
    const text = key.join(' ');
    let number = this.#again.get(text);
    if (number === undefined) {
      number = FILES_MAX + this.#again.size;
      this.#again.set(text, number);
    }
    return number;
  }

  #contentOf(number: number, block: number, count: number): FileContent | undefined {
    const content = this.#list.contentOf(number);
    if (content === undefined || count < 1 || count > RUN_BLOCKS_MAX || block + count > content.blocks)
      return undefined;
    return content;
  }

  /** How far the same run has the blocks, or none has. */
  #endOfPart(number: number, block: number, start: number, count: number, run: AheadRun | undefined): number {
    let end = start + 1;
    while (end < count && this.#ahead.get(keyOf(number, block + end)) === run) end++;
    return end;
  }

  async #readPart(
    content: RelationContent,
    number: number,
    block: number,
    target: Uint8Array,
    run: AheadRun | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    if (run === undefined) return await this.#readNow(content, block, target, signal);
    const isRead = await run.isRead;
    const start = (keyOf(number, block) - run.firstKey) * BLOCK_BYTES;
    if (isRead) target.set(run.bytes.subarray(start, start + target.length));
    this.#use(run, keyOf(number, block), target.length / BLOCK_BYTES);
    if (!isRead) await this.#readNow(content, block, target, signal);
  }

  async #readNow(
    { relation, contentFork, firstBlock, history }: RelationContent,
    block: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const count = target.length / BLOCK_BYTES;
    await this.#pages.readPages(relation, contentFork, firstBlock + block, count, target, signal, history);
  }

  async #readSegment(
    content: FileContent,
    number: number,
    block: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    if (content.kind !== 'slru') throw new AssertionError('blocks of a relation are read as a segment');
    // What reading ahead failed of may be over: it is read now, and whoever asks sees what that fails of.
    const ahead = await this.#segments.get(number)?.catch(() => undefined);
    this.#segments.delete(number);
    const segment = ahead ?? (await this.#pages.readSlruSegment(content.slru, content.segment, signal));
    // Pages behind its end are zero.
    target.set(segment.subarray(block * BLOCK_BYTES, block * BLOCK_BYTES + target.length));
  }

  #readAhead(content: RelationContent, number: number, block: number, count: number): void {
    const spare = count === RUN_BLOCKS_MAX ? this.#spare.pop() : undefined;
    const bytes = spare ?? new Uint8Array(count * BLOCK_BYTES);
    // Whoever wants a block of a run that failed reads it then, and sees why.
    const isRead = this.#readNow(content, block, bytes, this.#signal).then(
      () => true,
      () => false,
    );
    const firstKey = keyOf(number, block);
    const run: AheadRun = { firstKey, blocks: count, bytes, isRead, unused: count };
    for (let index = 0; index < count; index++) this.#ahead.set(run.firstKey + index, run);
    this.#runs.add(run);
    this.#aheadBlocks += count;
    for (const oldest of this.#runs) {
      if (this.#aheadBlocks <= AHEAD_BLOCKS_MAX) break;
      this.#forget(oldest);
    }
  }

  /** Nobody asks for them again. */
  #use(run: AheadRun, firstKey: number, count: number): void {
    for (let index = 0; index < count; index++) {
      if (this.#ahead.get(firstKey + index) !== run) continue;
      this.#ahead.delete(firstKey + index);
      run.unused--;
    }
    if (run.unused > 0 || !this.#runs.delete(run)) return;
    this.#aheadBlocks -= run.blocks;
    // Whoever else waits for the same blocks copies them in this turn, before anything can be read into the memory.
    if (run.blocks === RUN_BLOCKS_MAX && this.#spare.length < SPARE_BUFFERS_MAX) this.#spare.push(run.bytes);
  }

  #forget(run: AheadRun): void {
    this.#runs.delete(run);
    this.#aheadBlocks -= run.blocks;
    for (let index = 0; index < run.blocks; index++) {
      if (this.#ahead.get(run.firstKey + index) === run) this.#ahead.delete(run.firstKey + index);
    }
  }
}

/** Of a segment of a relation's main fork: those of others are never given back. @throws BadRequestError */
function contentOfKey(key: FileKey, block: number, count: number): RelationContent {
  const [tablespace, database, relation, segment] = key;
  const isBad = tablespace === 0 || segment >= FORK_FACTOR || block + count > RELATION_SEGMENT_BLOCKS;
  if (isBad || count < 1)
    throw new BadRequestError('BAD_REQUEST', `no file ${key.join('/')} has ${count} blocks from ${block} on`);
  return {
    kind: 'relation',
    relation: { tablespace, database, relation },
    contentFork: FORK_MAIN,
    firstBlock: segment * RELATION_SEGMENT_BLOCKS,
    blocks: RELATION_SEGMENT_BLOCKS,
    aroundBlocks: 0,
    history: 'given-back',
  };
}

const keyOf = (number: number, block: number): number => number * RELATION_SEGMENT_BLOCKS + block;
