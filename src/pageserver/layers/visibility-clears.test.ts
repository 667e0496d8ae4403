import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { startTimeline } from '../../../test/pageserver/sample-cluster.ts';
import { take } from '../../../test/pageserver/take-records.ts';
import { ByteWriter, type RecordParts, TEST_RELATION } from '../../../test/support/record-builder.ts';
import { getPageLsn, initializePage, Page, setPageLsn } from '../../postgres/page/page.ts';
import { HEAP_BLOCKS_PER_MAP_PAGE } from '../../postgres/page/visibility-map.ts';
import { RM_HEAP } from '../../postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../postgres/versions/version.ts';
import { redoVisibilityClears } from '../../redo/visibility.ts';
import type { Key } from '../keyspace/key.ts';
import { relationBlockKey, relationSizeKey } from '../keyspace/keys.ts';
import { encodeSize } from '../keyspace/stored-values.ts';
import { ValueApplier } from './apply-value.ts';
import { FoundValues } from './found-values.ts';
import { VALUE_IMAGE, VALUE_NEEDS_NO_BASE, VALUE_VISIBILITY_CLEARS } from './value.ts';
import { applyVisibilityClears, decodeVisibilityClears, writeClear } from './visibility-clears.ts';

const MAIN = 0;
const VISIBILITY_MAP = 2;
const LSN = 0x1234_5678;
const mapKey = (block: number): Key => relationBlockKey(TEST_RELATION, VISIBILITY_MAP, block);

/** Of the map, with all that is set that can be. */
function fullMap(): Uint8Array {
  const map = new Page();
  initializePage(map, 0);
  map.bytes.fill(0xff, 24);
  setPageLsn(map, 0, LSN);
  return map.bytes;
}

const heapBlocks = fc.oneof(
  fc.nat(40),
  fc.nat(3 * HEAP_BLOCKS_PER_MAP_PAGE - 1),
  fc.constantFrom(HEAP_BLOCKS_PER_MAP_PAGE - 1, HEAP_BLOCKS_PER_MAP_PAGE),
);

/** heap_xlog_delete, heap_xlog_lock and heap_xlog_update, with every flag that is about visibility. */
const records: fc.Arbitrary<RecordParts> = fc.oneof(
  heapBlocks.map((blockNumber) => ({
    resourceManager: RM_HEAP,
    info: 0x10,
    mainData: new ByteWriter().u32(1000).u16(1).u8(0).u8(1).finish(),
    blocks: [{ blockNumber }],
  })),
  heapBlocks.map((blockNumber) => ({
    resourceManager: RM_HEAP,
    info: 0x60,
    mainData: new ByteWriter().u32(1000).u16(1).u8(0).u8(1).finish(),
    blocks: [{ blockNumber }],
  })),
  fc.tuple(heapBlocks, heapBlocks, fc.integer({ min: 1, max: 3 })).map(([from, to, cleared]) => ({
    resourceManager: RM_HEAP,
    info: 0x20,
    mainData: new ByteWriter().u32(1000).u16(1).u8(0).u8(cleared).u32(0).u16(1).finish(),
    blocks: from === to ? [{ blockNumber: to }] : [{ blockNumber: to }, { blockNumber: from }],
  })),
);

test('the map becomes what the records themselves make of it, byte for byte, and its LSN stays', () => {
  fc.assert(
    fc.property(fc.array(records, { minLength: 1, maxLength: 20 }), fc.nat(4), (taken, mapBlocks) => {
      const timeline = startTimeline();
      timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(4 * HEAP_BLOCKS_PER_MAP_PAGE));
      timeline.put(relationSizeKey(TEST_RELATION, VISIBILITY_MAP), encodeSize(mapBlocks));
      const expected = Array.from(
        { length: 4 },
        (_, block) => new Page(block < mapBlocks ? fullMap() : new Uint8Array(8192)),
      );
      for (let block = 0; block < mapBlocks; block++) timeline.put(mapKey(block), fullMap());
      for (const parts of taken) {
        const record = take(timeline, parts);
        for (const [block, page] of expected.entries()) redoVisibilityClears(page, record, block);
      }
      const blocks = timeline.size(TEST_RELATION, VISIBILITY_MAP) ?? 0;
      for (const [block, page] of expected.slice(0, blocks).entries()) {
        const read = timeline.readPage(mapKey(block));
        expect(Buffer.compare(read.bytes, page.bytes)).toBe(0);
        expect(getPageLsn(read)).toBe(block < mapBlocks ? LSN : 0);
      }
    }),
    { numRuns: 200 },
  );
});

test('a page that was never written becomes an empty map', () => {
  const bytes = Uint8Array.of(0, 0, 0, 5, 3);
  const page = new Page();
  applyVisibilityClears(mapKey(0), new DataView(bytes.buffer), 0, 5, page);
  const empty = new Page();
  initializePage(empty, 0);
  expect(Buffer.compare(page.bytes, empty.bytes)).toBe(0);
});

describe('what is no such value of the page is refused by name', () => {
  const entry = (heapBlock: number, bits: number): number[] => {
    const bytes = new Uint8Array(5);
    writeClear(new DataView(bytes.buffer), 0, heapBlock, bits);
    return [...bytes];
  };
  const good = entry(HEAP_BLOCKS_PER_MAP_PAGE, 3);
  test.each<[string, Key, number[], RegExp]>([
    ['another fork', relationBlockKey(TEST_RELATION, MAIN, 1), good, /no visibility map/],
    ['another kind of page', { ...mapKey(1), kind: 1 }, good, /no visibility map/],
    ['no byte', mapKey(1), [], /0 bytes do not say/],
    ['half an entry', mapKey(1), good.slice(0, 4), /4 bytes do not say/],
    ['three entries', mapKey(1), [...good, ...good, ...good], /15 bytes do not say/],
    ['no bits', mapKey(1), entry(HEAP_BLOCKS_PER_MAP_PAGE, 0), /bits 0 are never cleared/],
    ['a block that stays frozen', mapKey(1), entry(HEAP_BLOCKS_PER_MAP_PAGE, 1), /bits 1 are never/],
    ['bits that there are not', mapKey(1), entry(HEAP_BLOCKS_PER_MAP_PAGE, 7), /bits 7 are never/],
    ['a block of the page before', mapKey(1), entry(HEAP_BLOCKS_PER_MAP_PAGE - 1, 3), /not in page 1/],
    ['a block of the page behind', mapKey(1), [...good, ...entry(0xffff_ffff, 3)], /not in page 1/],
  ])('%s', (_, key, values, message) => {
    const bytes = Uint8Array.from(values);
    const found = new FoundValues();
    const flags = VALUE_VISIBILITY_CLEARS | VALUE_NEEDS_NO_BASE;
    found.push(bytes, new DataView(bytes.buffer), 0, bytes.length, LSN, flags);
    const applier = new ValueApplier(POSTGRES_17);
    expect(() => applier.reconstruct(key, found, new Page())).toThrow(
      expect.objectContaining({
        code: 'PAGE_NOT_REPLAYED',
        message: expect.stringMatching(message),
        place: expect.objectContaining({ lsn: LSN }),
      }),
    );
    if (key.kind === 0 && key.field5 === VISIBILITY_MAP)
      expect(() => decodeVisibilityClears(bytes, key.index)).toThrow(message);
  });

  test('an image that changes a page', () => {
    const found = new FoundValues();
    const image = fullMap();
    found.push(image, new DataView(image.buffer), 0, image.length, LSN, VALUE_IMAGE);
    const applier = new ValueApplier(POSTGRES_17);
    expect(() => applier.applyFrom(mapKey(0), found, 0, new Page())).toThrow(/image is no change/);
  });
});
