import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AssertionError, VarveError } from '../../base/errors.ts';
import { BlockCache, CachedBlocks } from './block-cache.ts';
import { type Block, type BlockFile, BlockPins } from './blocks.ts';
import type { ReadContext } from './read-context.ts';

const never = new AbortController().signal;
const context: ReadContext = { task: 'page-request', signal: never };
const BYTES = 1000;
/** With what the cache counts beside the bytes. */
const SLOT_BYTES = BYTES + 400;

const makeBlock = (number: number): Block => {
  const bytes = new Uint8Array(BYTES).fill(number);
  return { bytes, view: new DataView(bytes.buffer) };
};

/** A file whose reads are told one by one, and end when the test says so. */
class TestFile implements BlockFile {
  readonly cached: CachedBlocks;
  readonly reads: number[][] = [];
  gate: Promise<unknown> = Promise.resolve();

  constructor(cache: BlockCache) {
    this.cached = new CachedBlocks(cache, 'delta');
  }

  peek(block: number, given: ReadContext): Block | undefined {
    return this.cached.peek(block, given);
  }

  load(blocks: readonly number[], given: ReadContext): Promise<Block[]> {
    return this.cached.load(blocks, given, async (missing) => {
      this.reads.push([...missing]);
      await this.gate;
      return missing.map(makeBlock);
    });
  }
}

const numbersOf = (blocks: readonly Block[]): number[] => blocks.map(({ bytes }) => bytes[0] as number);

describe('reading', () => {
  test('PC-01: with two slots and 64 readers at once all finish, and no block is lost before its first use', async () => {
    const cache = new BlockCache(2 * SLOT_BYTES);
    const file = new TestFile(cache);
    // Each needs four blocks, one after the other, with twice the blocks that there is room for.
    const read = async (reader: number): Promise<void> => {
      const pins = new BlockPins();
      let rounds = 0;
      for (let isDone = false; !isDone; rounds++) {
        isDone = true;
        for (let step = 0; step < 4 && isDone; step++) {
          const number = (reader + step * 3) % 16;
          const block = pins.find(file, number, context);
          if (block === undefined) isDone = false;
          else expect(block.bytes[0]).toBe(number);
        }
        if (!isDone) await pins.load(context);
      }
      // Each round gets one block further, whatever others do.
      expect(rounds).toBeLessThanOrEqual(5);
    };
    await Promise.all(Array.from({ length: 64 }, (_, reader) => read(reader)));
    // 64 readers are 16 different ones, four times: the same ones share every read.
    expect(file.reads.length).toBeLessThanOrEqual(16 * 4);
    expect(cache.blockCount).toBe(2);
    expect(cache.usedBytes).toBe(2 * SLOT_BYTES);
  });

  test('PC-01: 64 readers of one block share one read, in a cache without room for any', async () => {
    const file = new TestFile(new BlockCache(10));
    const all = await Promise.all(Array.from({ length: 64 }, () => file.load([5], context)));
    expect(all.map(numbersOf)).toEqual(all.map(() => [5]));
    expect(file.reads).toEqual([[5]]);
  });

  test('what is there, what another reads and what is missing come together in the order asked for', async () => {
    const file = new TestFile(new BlockCache(10 * SLOT_BYTES));
    await file.load([4, 9], context);
    const gate = Promise.withResolvers();
    file.gate = gate.promise;
    const other = file.load([2, 6], context);
    const mine = file.load([1, 2, 4, 6, 8, 9], context);
    gate.resolve(undefined);
    expect(numbersOf(await mine)).toEqual([1, 2, 4, 6, 8, 9]);
    expect(numbersOf(await other)).toEqual([2, 6]);
    expect(file.reads).toEqual([
      [4, 9],
      [2, 6],
      [1, 8],
    ]);
  });

  test('a failed read fails for all who share it, and the next one reads anew', async () => {
    const file = new TestFile(new BlockCache(10 * SLOT_BYTES));
    file.gate = Promise.reject(new VarveError('unavailable', 'FILE_IO', 'the disk fails'));
    const both = await Promise.allSettled([file.load([1], context), file.load([1, 2], context)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    file.gate = Promise.resolve();
    expect(numbersOf(await file.load([1, 2], context))).toEqual([1, 2]);
  });

  test('when the one who reads gives up, those who share the read do it themselves', async () => {
    const file = new TestFile(new BlockCache(10 * SLOT_BYTES));
    const gate = Promise.withResolvers();
    file.gate = gate.promise;
    const first = file.load([1], context);
    const others = [file.load([1], context), file.load([1], context)];
    const cancelled = new AbortController();
    cancelled.abort();
    const gone = file.load([1], { task: 'compaction', signal: cancelled.signal });
    const settled = Promise.allSettled([first, gone]);
    file.gate = Promise.resolve();
    gate.reject(new VarveError('cancelled', 'CANCELLED', 'this was cancelled'));
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect((await Promise.all(others)).map(numbersOf)).toEqual([[1], [1]]);
    expect(file.reads).toEqual([[1], [1]]);
  });

  test('a read that brings another number of blocks is a mistake', async () => {
    const cached = new CachedBlocks(new BlockCache(10_000), 'index');
    await expect(cached.load([1, 2], context, async () => [makeBlock(1)])).rejects.toThrow(AssertionError);
    expect(cached.peek(1, context)).toBeUndefined();
  });

  test('a block that was invalidated or dropped while it was read is not kept', async () => {
    const cache = new BlockCache(10 * SLOT_BYTES);
    const file = new TestFile(cache);
    for (const letGo of [() => file.cached.invalidate(1), () => file.cached.drop()]) {
      const gate = Promise.withResolvers();
      file.gate = gate.promise;
      const before = file.load([1], context);
      letGo();
      file.gate = Promise.resolve();
      const after = file.load([1], context);
      gate.resolve(undefined);
      expect(numbersOf([...(await before), ...(await after)])).toEqual([1, 1]);
      const kept = file.peek(1, context);
      expect(kept).toBe((await after)[0]);
      expect(kept).not.toBe((await before)[0]);
      letGo();
      expect(file.peek(1, context)).toBeUndefined();
      expect(cache.usedBytes).toBe(0);
    }
  });
});

describe('what stays', () => {
  test('a block that is used again survives a scan of many others', async () => {
    const cache = new BlockCache(4 * SLOT_BYTES);
    const file = new TestFile(cache);
    await file.load([0], context);
    for (let number = 1; number <= 50; number++) {
      expect(file.peek(0, context)).toBeDefined();
      await file.load([number], context);
    }
    expect(cache.evictions.value).toBe(47);
    expect(cache.blockCount).toBe(4);
  });

  test('a block larger than the cache is given, not kept, and nothing goes for it', async () => {
    const cache = new BlockCache(2 * SLOT_BYTES);
    const file = new TestFile(cache);
    await file.load([1], context);
    const bytes = new Uint8Array(2 * SLOT_BYTES);
    const large = { bytes, view: new DataView(bytes.buffer) };
    expect(await file.cached.load([2], context, async () => [large])).toEqual([large]);
    expect(file.peek(2, context)).toBeUndefined();
    expect(file.peek(1, context)).toBeDefined();
  });

  test('files never see the blocks of others, and the bytes are bounded, whatever happens', async () => {
    const operation = fc.record({
      what: fc.constantFrom('load', 'load', 'load', 'peek', 'invalidate', 'drop'),
      file: fc.integer({ min: 0, max: 2 }),
      numbers: fc.uniqueArray(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 8 }),
        fc.array(operation, { maxLength: 60 }),
        async (slots, operations) => {
          const cache = new BlockCache(slots * SLOT_BYTES);
          const files = [0, 1, 2].map(() => new CachedBlocks(cache, 'image'));
          const fetch = (file: number) => (missing: readonly number[]) =>
            Promise.resolve(missing.map((number) => makeBlock(file * 50 + number)));
          for (const { what, file, numbers } of operations) {
            const cached = files[file] as CachedBlocks;
            const expected = numbers.map((number) => file * 50 + number);
            if (what === 'load') {
              expect(numbersOf(await cached.load(numbers, context, fetch(file)))).toEqual(expected);
            } else if (what === 'peek') {
              const block = cached.peek(numbers[0] as number, context);
              expect(block?.bytes[0] ?? expected[0]).toBe(expected[0]);
            } else if (what === 'drop') cached.drop();
            else cached.invalidate(numbers[0] as number);
            expect(cache.usedBytes).toBe(cache.blockCount * SLOT_BYTES);
            expect(cache.usedBytes).toBeLessThanOrEqual(cache.capacityBytes);
          }
          for (const cached of files) cached.drop();
          expect([cache.usedBytes, cache.blockCount]).toEqual([0, 0]);
        },
      ),
    );
  });
});

test('hits and misses are counted by content and by who asked', async () => {
  const cache = new BlockCache(10 * SLOT_BYTES);
  const file = new TestFile(cache);
  const backup: ReadContext = { task: 'base-backup', signal: never };
  expect(file.peek(1, context)).toBeUndefined();
  await file.load([1, 2], context);
  file.peek(1, context);
  await file.load([2, 3], backup);
  const { hits, misses } = cache.counts;
  expect(misses.of('delta', 'page-request').value).toBe(2);
  expect(hits.of('delta', 'page-request').value).toBe(1);
  expect(misses.of('delta', 'base-backup').value).toBe(1);
  expect(hits.of('delta', 'base-backup').value).toBe(1);
  expect(hits.of('open-layer', 'page-request').value).toBe(0);
});
