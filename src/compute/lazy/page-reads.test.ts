import { describe, expect, test } from 'vitest';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { BlockHistory, PageSource } from '../page-source.ts';
import { FileList } from './file-list.ts';
import { PageReads } from './page-reads.ts';

const { signal } = new AbortController();

/** Each block is full of its own number; answers come when the test lets them. */
class SlowPages implements PageSource {
  readonly asked: string[] = [];
  readonly #waiting: (() => void)[] = [];
  failures = 0;

  async readPages(
    _relation: unknown,
    fork: number,
    block: number,
    count: number,
    target: Uint8Array,
    _signal: AbortSignal,
    history?: BlockHistory,
  ): Promise<void> {
    this.asked.push(`${fork}:${block}+${count}${history === 'given-back' ? ' again' : ''}`);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.failures-- > 0) throw new Error('storage is away');
    for (let index = 0; index < count; index++)
      target.fill((block + index) % 251, index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
  }

  async readSlruSegment(): Promise<Uint8Array> {
    return new Uint8Array(2 * BLOCK_BYTES).fill(7);
  }

  answer(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function open(): { pages: SlowPages; reads: PageReads } {
  const list = new FileList();
  list.addForks([
    {
      relation: { tablespace: 1663, database: 5, relation: 9 },
      fork: 0,
      contentFork: 3,
      blocks: 131_072 + 50,
    },
  ]);
  list.addSlruSegment({ path: '', slru: 'clog', segment: 0, sizeBytes: 4 * BLOCK_BYTES });
  const pages = new SlowPages();
  return { pages, reads: new PageReads(pages, list, signal) };
}

const firstBytes = (bytes: Uint8Array): number[] =>
  Array.from({ length: bytes.length / BLOCK_BYTES }, (_, index) => bytes[index * BLOCK_BYTES] as number);

async function read(reads: PageReads, pages: SlowPages, number: number, block: number, count: number) {
  const target = new Uint8Array(count * BLOCK_BYTES);
  const done = reads.read(number, block, count, target, signal);
  pages.answer();
  await done;
  return firstBytes(target);
}

describe('reads of pages', () => {
  test('are of the fork and block that a file stands for', async () => {
    const { pages, reads } = open();
    expect(await read(reads, pages, 0, 3, 2)).toEqual([3, 4]);
    expect(await read(reads, pages, 1, 3, 1)).toEqual([(131_072 + 3) % 251]);
    expect(pages.asked).toEqual(['3:3+2', '3:131075+1']);
    expect(await read(reads, pages, 2, 1, 3)).toEqual([7, 0, 0]);
  });

  test('take what was read ahead, also while it is on its way, and each once', async () => {
    const { pages, reads } = open();
    reads.prefetch(0, 10, 4);
    reads.prefetch(0, 12, 4);
    expect(pages.asked).toEqual(['3:10+4', '3:14+2']);
    expect(await read(reads, pages, 0, 9, 8)).toEqual([9, 10, 11, 12, 13, 14, 15, 16]);
    expect(pages.asked).toEqual(['3:10+4', '3:14+2', '3:9+1', '3:16+1']);
    expect(await read(reads, pages, 0, 10, 1)).toEqual([10]);
    expect(pages.asked).toHaveLength(5);
  });

  test('that are long go on by themselves, up to the end of the file', async () => {
    const { pages, reads } = open();
    expect(await read(reads, pages, 1, 0, 16)).toHaveLength(16);
    expect(pages.asked).toEqual(['3:131072+16', '3:131088+34']);
    expect(await read(reads, pages, 1, 16, 34)).toHaveLength(34);
    expect(pages.asked).toHaveLength(2);
  });

  test('read again what failed to be read ahead, and say why', async () => {
    const { pages, reads } = open();
    pages.failures = 2;
    reads.prefetch(0, 10, 4);
    pages.answer();
    const target = new Uint8Array(BLOCK_BYTES);
    const failing = reads.read(0, 10, 1, target, signal);
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    pages.answer();
    await expect(failing).rejects.toThrow('storage is away');
    expect(await read(reads, pages, 0, 10, 1)).toEqual([10]);
  });

  test('in order are read runs ahead, into memory that is used again when all of it was taken', async () => {
    const { pages, reads } = open();
    const numbers = (first: number): number[] =>
      Array.from({ length: 64 }, (_, index) => (first + index) % 251);
    expect(await read(reads, pages, 0, 0, 64)).toEqual(numbers(0));
    expect(pages.asked).toEqual(['3:0+64', '3:64+64', '3:128+64', '3:192+64']);
    for (let first = 64; first < 64 * 12; first += 64) {
      // Of somebody who has died, and of whoever has taken its blocks over.
      const targets = [new Uint8Array(64 * BLOCK_BYTES), new Uint8Array(64 * BLOCK_BYTES)];
      const both = targets.map((target) => reads.read(0, first, 64, target, signal));
      const alone = new Uint8Array(64 * BLOCK_BYTES);
      pages.answer();
      await both[0];
      // Takes the memory of a run that is over, if there is some, while the other is not done.
      const next = reads.read(0, first + 64 * 4, 64, alone, signal);
      pages.answer();
      await Promise.all([both[1], next]);
      for (const target of targets) expect(firstBytes(target)).toEqual(numbers(first));
      expect(firstBytes(alone)).toEqual(numbers(first + 64 * 4));
      expect(targets.every((target) => target.at(-1) === (first + 63) % 251)).toBe(true);
    }
  });

  test('keep no more than so much of what nobody asks for', async () => {
    const { pages, reads } = open();
    for (let block = 0; block < 64 * 70; block += 64) reads.prefetch(0, block, 64);
    expect(await read(reads, pages, 0, 0, 1)).toEqual([0]);
    expect(pages.asked.at(-1)).toBe('3:0+1');
    expect(await read(reads, pages, 0, 64 * 69, 1)).toHaveLength(1);
    expect(pages.asked.at(-1)).toBe('3:0+1');
  });

  test.each([
    [5, 0, 1],
    [0, 131_072, 1],
    [1, 49, 2],
    [0, 0, 65],
    [0, 0, 0],
  ])('refuse what is not there: file %i, block %i, %i blocks', async (number, block, count) => {
    const { reads } = open();
    await expect(reads.read(number, block, count, new Uint8Array(0), signal)).rejects.toThrow(/no file/);
    reads.prefetch(number, block, count);
  });
});

describe('reads of what was given back', () => {
  const KEY = [1663, 5, 9, 1] as const;

  async function readAgain(reads: PageReads, pages: SlowPages, block: number, count: number, ahead: number) {
    const target = new Uint8Array(count * BLOCK_BYTES);
    const done = reads.readAgain(KEY, block, count, ahead, target, signal);
    pages.answer();
    await done;
    return firstBytes(target);
  }

  test('are by key, of the main fork, with as many ahead as are wanted', async () => {
    const { pages, reads } = open();
    expect(await readAgain(reads, pages, 7, 2, 0)).toEqual([131_079 % 251, 131_080 % 251]);
    await readAgain(reads, pages, 100, 16, 70);
    await readAgain(reads, pages, 116, 64, 0);
    expect(pages.asked).toEqual([
      '0:131079+2 again',
      '0:131172+16 again',
      '0:131188+64 again',
      '0:131252+6 again',
    ]);
    const bad = reads.readAgain(KEY, 131_070, 3, 0, new Uint8Array(3 * BLOCK_BYTES), signal);
    await expect(bad).rejects.toThrow(/has 3 blocks/);
  });

  test('get nothing that was read ahead before it was given back, also if it is on its way', async () => {
    const { pages, reads } = open();
    reads.prefetchAgain(KEY, 0, 8);
    reads.prefetch(0, 0, 8);
    reads.dropAhead();
    await readAgain(reads, pages, 2, 2, 0);
    await read(reads, pages, 0, 2, 2);
    expect(pages.asked).toEqual(['0:131072+8 again', '3:0+8', '0:131074+2 again', '3:2+2']);
  });

  test('and those of untouched blocks do not get each other’s', async () => {
    const { pages, reads } = open();
    reads.prefetch(1, 0, 8);
    await readAgain(reads, pages, 0, 1, 0);
    expect(pages.asked).toEqual(['3:131072+8', '0:131072+1 again']);
  });
});
