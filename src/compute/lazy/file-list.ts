import { AssertionError, BadRequestError } from '../../base/errors.ts';
import { START_SET_SLRUS, type StartSetFork, type StartSetSlruSegment } from '../../contracts/start-set.ts';
import { RELATION_SEGMENT_BLOCKS } from '../../postgres/files/relation-file-name.ts';
import { SLRU_PAGES_PER_SEGMENT, type SlruName } from '../../postgres/files/slru.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP, FORK_MAIN } from '../../postgres/wal/record-header.ts';
import { READ_FIRST, READ_FIRST_AROUND_BLOCKS } from './first-reads.ts';
import {
  CONTENT_AROUND_SHIFT,
  CONTENT_FORK_MASK,
  encodeListHeader,
  FILES_MAX,
  FORK_FACTOR,
  LIST_ENTRY_BYTES,
  LIST_ENTRY_WORDS,
  PRESENCE_PAGE_BLOCKS,
  PRESENCE_PAGES_MAX,
} from './format.ts';

/** Rows that are written at once. */
const CHUNK_ROWS = 8192;
const KEY_WORDS = 4;
/** Words of a row. */
const BLOCKS = 4;
const PRESENCE_PAGE = 5;
const NUMBER = 6;
const CONTENT = 7;

/** What of a file is asked for when its blocks are. */
export type FileContent =
  | {
      readonly kind: 'relation';
      readonly relation: StartSetFork['relation'];
      readonly contentFork: number;
      /** The file's first block within the fork. */
      readonly firstBlock: number;
      readonly blocks: number;
      /** So many come where one is read; 0 is one. */
      readonly aroundBlocks: number;
    }
  | { readonly kind: 'slru'; readonly slru: SlruName; readonly segment: number; readonly blocks: number };

/** A file's key: tablespace, database, relation, fork and segment. Of an SLRU: 0, which one, the segment, 0. */
export type FileKey = readonly [number, number, number, number];

/**
 * The files that are in storage, each with a number in the order in which they became known: a row of words as the shim
 * reads it.
 */
export class FileList {
  #rows = new Uint32Array(1024 * LIST_ENTRY_WORDS);
  #count = 0;
  #presencePages = 0;
  /** Numbers of relations' files, which come in the order of their keys. */
  #relations = new Uint32Array(1024);
  #relationCount = 0;
  readonly #slrus: number[] = [];

  get count(): number {
    return this.#count;
  }

  /** Pages of the shared file that hold words of these files. */
  get presencePages(): number {
    return this.#presencePages;
  }

  /** @throws AssertionError for forks that do not come in order */
  addForks(forks: readonly StartSetFork[]): void {
    for (const { relation, fork, contentFork, blocks } of forks) {
      if (fork === FORK_FREE_SPACE_MAP) throw new AssertionError('a free space map is in a list of files');
      for (let segment = 0; segment === 0 || segment * RELATION_SEGMENT_BLOCKS < blocks; segment++) {
        const key = [
          relation.tablespace,
          relation.database,
          relation.relation,
          fork * FORK_FACTOR + segment,
        ] as const;
        if (this.#relationCount > 0 && this.#compare(this.#lastRelation, key) >= 0)
          throw new AssertionError('files of relations do not come in order');
        const rest = blocks - segment * RELATION_SEGMENT_BLOCKS;
        const isReadFirst = fork === FORK_MAIN && READ_FIRST.has(relation.relation);
        const around = isReadFirst ? READ_FIRST_AROUND_BLOCKS << CONTENT_AROUND_SHIFT : 0;
        const number = this.#add(key, Math.min(rest, RELATION_SEGMENT_BLOCKS), contentFork | around);
        if (this.#relationCount === this.#relations.length)
          this.#relations = enlarged(this.#relations, this.#relations.length * 2);
        this.#relations[this.#relationCount++] = number;
      }
    }
  }

  /** Gives its number. @throws BadRequestError BAD_SLRU_SEGMENT */
  addSlruSegment({ slru, segment, sizeBytes }: StartSetSlruSegment): number {
    const key = [0, START_SET_SLRUS.indexOf(slru), segment, 0] as const;
    const blocks = sizeBytes / BLOCK_BYTES;
    if (!Number.isInteger(blocks) || blocks > SLRU_PAGES_PER_SEGMENT)
      throw new BadRequestError('BAD_SLRU_SEGMENT', `a segment of ${sizeBytes} bytes is no number of pages`);
    if (this.find(key) !== undefined) throw new AssertionError('a segment of an SLRU comes twice');
    const number = this.#add(key, blocks, 0);
    this.#slrus.push(number);
    return number;
  }

  /** The number of a file; undefined for one that is not known, or not yet. */
  find(key: FileKey): number | undefined {
    if (key[0] === 0) return this.#slrus.find((number) => this.#compare(number, key) === 0);
    let low = 0;
    let high = this.#relationCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(this.#relations[middle] as number, key) < 0) low = middle + 1;
      else high = middle;
    }
    if (low === this.#relationCount) return undefined;
    const number = this.#relations[low] as number;
    return this.#compare(number, key) === 0 ? number : undefined;
  }

  /** Whether no file of this key can come any more: segments come before the server is started, the others in order. */
  isPast(key: FileKey): boolean {
    return key[0] === 0 || (this.#relationCount > 0 && this.#compare(this.#lastRelation, key) > 0);
  }

  /** Numbers of the first segments of main forks of these relations, in whatever database. */
  *mainForksOf(
    relations: ReadonlySet<number>,
  ): Generator<{ readonly number: number; readonly database: number }> {
    for (let index = 0; index < this.#relationCount; index++) {
      const number = this.#relations[index] as number;
      const [, database, relation, part] = this.#rows.subarray(
        number * LIST_ENTRY_WORDS,
      ) as unknown as FileKey;
      if (part === 0 && relations.has(relation)) yield { number, database };
    }
  }

  /** undefined where there is no such file. */
  contentOf(number: number): FileContent | undefined {
    if (number >= this.#count) return undefined;
    const row = this.#rows.subarray(number * LIST_ENTRY_WORDS, (number + 1) * LIST_ENTRY_WORDS);
    const [tablespace, database, relation, part] = row as unknown as [number, number, number, number];
    const blocks = row[BLOCKS] as number;
    if (tablespace === 0)
      return { kind: 'slru', slru: START_SET_SLRUS[database] as SlruName, segment: relation, blocks };
    return {
      kind: 'relation',
      relation: { tablespace, database, relation },
      contentFork: (row[CONTENT] as number) & CONTENT_FORK_MASK,
      firstBlock: (part % FORK_FACTOR) * RELATION_SEGMENT_BLOCKS,
      blocks,
      aroundBlocks: (row[CONTENT] as number) >>> CONTENT_AROUND_SHIFT,
    };
  }

  /** The row of a file, as it stands in the list. */
  encodeEntry(number: number): Uint8Array {
    return new Uint8Array(this.#rows.buffer, number * LIST_ENTRY_BYTES, LIST_ENTRY_BYTES);
  }

  /** The whole list, ordered by key. */
  *encode(): Generator<Uint8Array, void> {
    yield encodeListHeader(this.#count);
    const slrus = this.#slrus.toSorted((left, right) => this.#compare(left, this.#keyOf(right)));
    for (const number of slrus) yield this.encodeEntry(number);
    for (let start = 0; start < this.#relationCount; start += CHUNK_ROWS) {
      const rows = Math.min(CHUNK_ROWS, this.#relationCount - start);
      const chunk = new Uint32Array(rows * LIST_ENTRY_WORDS);
      for (let index = 0; index < rows; index++) {
        const from = (this.#relations[start + index] as number) * LIST_ENTRY_WORDS;
        const to = index * LIST_ENTRY_WORDS;
        for (let word = 0; word < LIST_ENTRY_WORDS; word++)
          chunk[to + word] = this.#rows[from + word] as number;
      }
      yield new Uint8Array(chunk.buffer);
    }
  }

  get #lastRelation(): number {
    return this.#relations[this.#relationCount - 1] as number;
  }

  #keyOf(number: number): FileKey {
    const at = number * LIST_ENTRY_WORDS;
    return [...this.#rows.subarray(at, at + KEY_WORDS)] as unknown as FileKey;
  }

  #compare(number: number, key: FileKey): number {
    const at = number * LIST_ENTRY_WORDS;
    for (let word = 0; word < KEY_WORDS; word++) {
      const difference = (this.#rows[at + word] as number) - (key[word] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #add(key: FileKey, blocks: number, content: number): number {
    const number = this.#count;
    const pages = Math.ceil(blocks / PRESENCE_PAGE_BLOCKS);
    if (number >= FILES_MAX || this.#presencePages + pages > PRESENCE_PAGES_MAX)
      throw new BadRequestError(
        'TOO_MANY_FILES',
        `a cluster of more than ${number} files cannot be read on demand`,
      );
    const at = number * LIST_ENTRY_WORDS;
    if (at === this.#rows.length) this.#rows = enlarged(this.#rows, at * 2);
    this.#rows.set(key, at);
    this.#rows[at + BLOCKS] = blocks;
    this.#rows[at + PRESENCE_PAGE] = this.#presencePages;
    this.#rows[at + NUMBER] = number;
    this.#rows[at + CONTENT] = content;
    this.#presencePages += pages;
    this.#count++;
    return number;
  }
}

function enlarged(array: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(length);
  larger.set(array);
  return larger;
}
