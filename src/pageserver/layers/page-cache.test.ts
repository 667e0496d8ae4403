import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { PageCache } from './page-cache.ts';
import { PageSlots } from './page-slots.ts';
import type { ReadContext } from './read-context.ts';

const context: ReadContext = { task: 'page-request', signal: new AbortController().signal };
const MIB = 1024 * 1024;
const page = (content: number): Uint8Array => {
  const bytes = new Uint8Array(BLOCK_BYTES).fill(content);
  new DataView(bytes.buffer).setUint32(0, content);
  return bytes;
};

/** The page as a number, with where it is known from and to. */
function look(cache: PageCache, stem: number, index: number, lsn: number): number[] | undefined {
  const slot = cache.find(stem, index, lsn, context);
  if (slot === -1) return undefined;
  const target = new Uint8Array(BLOCK_BYTES);
  cache.copyTo(slot, target);
  const content = new DataView(target.buffer).getUint32(0);
  expect(target[BLOCK_BYTES - 1]).toBe(content % 256);
  return [content, cache.lsnFrom(slot), cache.lsnTo(slot)];
}

test('the newest version that is not above the LSN is found, and takes the place of the one before', () => {
  const cache = new PageCache(new PageSlots(MIB));
  expect(look(cache, 1, 2, 1000)).toBeUndefined();
  cache.put(1, 2, 100, 150, page(1));
  expect(look(cache, 1, 2, 99)).toBeUndefined();
  expect(look(cache, 1, 2, 100)).toEqual([1, 100, 150]);
  expect(look(cache, 1, 2, 900)).toEqual([1, 100, 150]);
  cache.extend(cache.find(1, 2, 200, context), 200);
  cache.extend(cache.find(1, 2, 200, context), 120);
  expect(look(cache, 1, 2, 200)).toEqual([1, 100, 200]);
  cache.put(1, 2, 300, 300, page(3));
  expect(look(cache, 1, 2, 299)).toBeUndefined();
  // Somebody reads behind.
  cache.put(1, 2, 100, 250, page(1));
  expect(look(cache, 1, 2, 299)).toEqual([1, 100, 250]);
  expect(look(cache, 1, 2, 300)).toEqual([3, 300, 300]);
  cache.put(1, 2, 310, 400, page(4));
  cache.put(1, 2, 200, 260, page(2));
  expect(look(cache, 1, 2, 299)).toEqual([2, 200, 260]);
  expect(look(cache, 1, 2, 305)).toEqual([2, 200, 260]);
  expect(look(cache, 1, 2, 310)).toEqual([4, 310, 400]);
  cache.put(1, 2, 50, 60, page(9));
  expect([look(cache, 1, 2, 299), look(cache, 1, 2, 310)]).toEqual([
    [9, 50, 60],
    [4, 310, 400],
  ]);
  expect(() => cache.put(1, 2, 500, 499, page(1))).toThrow('are put as a page');
  expect(() => cache.put(1, 2, 500, 500, new Uint8Array(10))).toThrow('are put as a page');
});

/** What was put and may be there, by cache, stem, index and LSN: a page at an LSN is always the same. */
class PagesPut {
  readonly contents = new Map<string, number>();
  #last = 0;

  put(name: string): number {
    const content = this.contents.get(name) ?? ++this.#last;
    this.contents.set(name, content);
    return content;
  }

  drop(prefix: string): void {
    for (const name of this.contents.keys()) if (name.startsWith(prefix)) this.contents.delete(name);
  }
}

test('whatever is put, dropped and evicted: what is found was put for that page of that timeline', () => {
  const operation = fc.record({
    what: fc.constantFrom('put', 'put', 'put', 'find', 'find', 'drop', 'dropStem'),
    cache: fc.integer({ min: 0, max: 1 }),
    stem: fc.integer({ min: 0, max: 2 }),
    index: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(0xffff_ffff)),
    lsn: fc.integer({ min: 1, max: 6 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.array(operation, { maxLength: 150 }),
      (pages, operations) => {
        const slots = new PageSlots(pages * (BLOCK_BYTES + 64));
        const caches = [new PageCache(slots), new PageCache(slots)];
        const model = new PagesPut();
        for (const { what, cache, stem, index, lsn } of operations) {
          const at = caches[cache] as PageCache;
          const name = `${cache}/${stem}/${index}/`;
          if (what === 'put') {
            const content = model.put(name + lsn);
            at.put(stem, index, lsn, lsn, page(content));
            expect(look(at, stem, index, lsn)).toEqual([content, lsn, lsn]);
          } else if (what === 'find') {
            const [content, from] = look(at, stem, index, lsn) ?? [undefined, lsn];
            expect(from).toBeLessThanOrEqual(lsn);
            if (content !== undefined) expect(content).toBe(model.contents.get(name + from));
          } else {
            at.drop(what === 'drop' ? undefined : new Set([stem]));
            model.drop(what === 'drop' ? `${cache}/` : `${cache}/${stem}/`);
          }
          expect(slots.count).toBeLessThanOrEqual(slots.capacity);
        }
        for (const cache of caches) cache.drop();
        expect(slots.count).toBe(0);
      },
    ),
  );
});

test('memory is bounded, and pages in use stay', () => {
  const slots = new PageSlots(4 * MIB);
  const cache = new PageCache(slots);
  for (let index = 0; index < 5000; index++) {
    cache.put(0, index, 10, 10, page(index));
    expect(look(cache, 0, 0, 10)).toEqual([0, 10, 10]);
  }
  expect(slots.count).toBe(slots.capacity);
  expect(slots.usedBytes).toBeLessThanOrEqual(4 * MIB);
  expect(slots.evictions.value).toBe(5000 - slots.capacity);
  expect(look(cache, 0, 4999, 10)).toEqual([4999, 10, 10]);
  cache.drop();
  expect(slots.usedBytes).toBe(0);
  cache.put(0, 1, 10, 10, page(1));
  expect(look(cache, 0, 1, 10)).toEqual([1, 10, 10]);
});

test('hits and misses are counted by who asked', () => {
  const slots = new PageSlots(MIB);
  const cache = new PageCache(slots);
  cache.put(0, 1, 10, 10, page(1));
  look(cache, 0, 1, 10);
  look(cache, 0, 1, 9);
  cache.find(0, 2, 10, { ...context, task: 'compaction' });
  expect(slots.counts.hits.of('page', 'page-request').value).toBe(1);
  expect(slots.counts.misses.of('page', 'page-request').value).toBe(1);
  expect(slots.counts.misses.of('page', 'compaction').value).toBe(1);
});
