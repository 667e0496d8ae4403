import { describe, expect, test } from 'vitest';
import { startTimeline } from '../../../test/pageserver/sample-cluster.ts';
import {
  createFork,
  describeValues,
  fullPages,
  nextRecord,
  putByLast,
  samplePage,
  take,
  truncateRelation,
} from '../../../test/pageserver/take-records.ts';
import { ByteWriter, type RecordParts, TEST_RELATION } from '../../../test/support/record-builder.ts';
import { SAMPLE_RECORDS } from '../../../test/support/sample-records.ts';
import { initializePage, Page } from '../../postgres/page/page.ts';
import { HEAP_BLOCKS_PER_MAP_PAGE, VISIBILITYMAP_VALID_BITS } from '../../postgres/page/visibility-map.ts';
import { RM_BTREE, RM_HEAP } from '../../postgres/rmgr/resource-manager.ts';
import type { Key } from '../keyspace/key.ts';
import { relationBlockKey, relationSizeKey } from '../keyspace/keys.ts';
import { encodeSize } from '../keyspace/stored-values.ts';

const MAIN = 0;
const FREE_SPACE_MAP = 1;
const VISIBILITY_MAP = 2;
const INIT = 3;
const BLOCK_PREFIX = '000000067F0000000500004000';
const SIZE_PREFIX = '610000067F0000000500004000';

const block = (fork: number, number: number): Key => relationBlockKey(TEST_RELATION, fork, number);

/** A record that leaves its page as it is, but for the LSN. */
const touchBlock = (blockNumber: number): RecordParts => ({
  resourceManager: RM_BTREE,
  info: 0x10,
  blocks: [{ blockNumber }],
});

/** heap_xlog_delete with the flag that says that visibility was cleared. */
const deleteVisible = (blockNumber: number): RecordParts => ({
  resourceManager: RM_HEAP,
  info: 0x10,
  mainData: new ByteWriter().u32(1000).u16(1).u8(0).u8(1).finish(),
  blocks: [{ blockNumber }],
});

/** heap_xlog_update from one block to another, both no longer visible. */
const updateVisible = (from: number, to: number): RecordParts => ({
  resourceManager: RM_HEAP,
  info: 0x20,
  mainData: new ByteWriter().u32(1000).u16(1).u8(0).u8(3).u32(0).u16(1).finish(),
  blocks: [{ blockNumber: to }, { blockNumber: from }],
});

describe('blocks that a record names', () => {
  test('get the record', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    const { totalLength } = take(timeline, touchBlock(7));
    expect(putByLast(timeline)).toEqual([`${BLOCK_PREFIX}0000000007 record ${totalLength}`]);
    expect(timeline.missing).toEqual(new Map([['relation-sizes', 1]]));
    take(timeline, touchBlock(6));
    expect(timeline.missing).toEqual(new Map([['relation-sizes', 1]]));
  });

  test('need no base where the record brings an image or makes them anew', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    const image = samplePage(1);
    const blocks = [
      { blockNumber: 1, image },
      { blockNumber: 2, image, applyImage: false },
      { blockNumber: 3, willInitialize: true },
    ];
    take(timeline, { resourceManager: RM_BTREE, info: 0x10, blocks });
    const described = [1, 2, 3].map((number) =>
      describeValues(timeline, block(MAIN, number))[0]?.slice(0, 14),
    );
    expect(described).toEqual(['record no-base', expect.stringMatching(/^record \d+$/), 'record no-base']);
  });

  test('of free space maps are not stored, of init forks they are', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, FREE_SPACE_MAP, 0));
    expect(putByLast(timeline)).toEqual([]);
    take(timeline, fullPages(TEST_RELATION, INIT, 0));
    expect(putByLast(timeline)).toHaveLength(2);
    expect(timeline.size(TEST_RELATION, INIT)).toBe(1);
  });

  test('say whether hints were logged', () => {
    for (const [checksums, hints, wanted] of [
      [0, false, ''],
      [1, false, ' hints'],
      [0, true, ' hints'],
    ] as const) {
      const settings = { ...startTimeline().state.counters.settings, walLogHints: hints };
      const timeline = startTimeline({ settings }, { dataChecksumVersion: checksums });
      timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
      const { totalLength } = take(timeline, touchBlock(0));
      expect(describeValues(timeline, block(MAIN, 0))).toEqual([`record${wanted} ${totalLength}`]);
    }
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    take(timeline, SAMPLE_RECORDS['XLOG PARAMETER_CHANGE'] as RecordParts);
    take(timeline, touchBlock(0));
    expect(describeValues(timeline, block(MAIN, 0))[0]).toMatch(/hints/);
  });

  test('are refused when one is named twice', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    const blocks = [{ blockNumber: 1 }, { blockNumber: 1 }];
    expect(timeline.take(nextRecord(timeline, { resourceManager: RM_BTREE, info: 0x10, blocks }))).toBe(true);
    expect(describeValues(timeline, block(MAIN, 1))[0]).toMatch(/^poison/);
  });
});

describe('a fork', () => {
  test('comes into being with the first block that is written', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, MAIN, 0));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(1);
  });

  test('is extended by zeros up to a block behind its end', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, MAIN, 0));
    take(timeline, fullPages(TEST_RELATION, MAIN, 3));
    expect(putByLast(timeline)).toEqual([
      `${BLOCK_PREFIX}0000000001 image 8192`,
      `${BLOCK_PREFIX}0000000002 image 8192`,
      expect.stringContaining(`${BLOCK_PREFIX}0000000003 record no-base`),
      `${SIZE_PREFIX}0000000000 image 4`,
    ]);
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(4);
    take(timeline, fullPages(TEST_RELATION, MAIN, 1));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(4);
  });

  test('grows by several blocks of one record in any order, with one size', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, MAIN, 4, 2, 0));
    expect(putByLast(timeline).map((line) => line.slice(26))).toEqual([
      expect.stringMatching(/^0000000000 record no-base/),
      '0000000001 image 8192',
      expect.stringMatching(/^0000000002 record no-base/),
      '0000000003 image 8192',
      expect.stringMatching(/^0000000004 record no-base/),
      '0000000000 image 4',
    ]);
    for (const number of [0, 2, 4]) {
      expect(timeline.readPage(block(MAIN, number)).bytes[200]).toBe(number + 1);
    }
  });

  test('gets a long gap in slices, without what the record brings itself', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, MAIN, 100_000, 50_000, 0));
    expect(timeline.missing).toEqual(
      new Map([
        ['relation-sizes', 1],
        ['zero-pages', 1],
      ]),
    );
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(100_001);
    expect(putByLast(timeline)).toHaveLength(100_002);
    expect(timeline.readPage(block(MAIN, 50_000)).bytes[200]).toBe(50_001 & 0xff);
    expect(describeValues(timeline, block(MAIN, 99_999))).toEqual(['image 8192']);
  });

  test('that would become absurdly long makes the record poison, and stays as it is', () => {
    for (const absurd of [0xffff_ffff, 0xffff_fffe]) {
      const timeline = startTimeline();
      const record = nextRecord(timeline, fullPages(TEST_RELATION, MAIN, absurd));
      expect(timeline.take(record)).toBe(true);
      expect(describeValues(timeline, block(MAIN, absurd))[0]).toMatch(/^poison/);
      expect(timeline.size(TEST_RELATION, MAIN)).toBeUndefined();
    }
  });

  test('that was cut, or dropped and made again, shows nothing of before', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, MAIN, 0, 1, 2, 3));
    take(timeline, truncateRelation(TEST_RELATION, 1));
    take(timeline, fullPages(TEST_RELATION, MAIN, 3));
    expect(timeline.readPage(block(MAIN, 1)).bytes.every((byte) => byte === 0)).toBe(true);
    expect(timeline.readPage(block(MAIN, 0)).bytes[200]).toBe(1);
    take(timeline, SAMPLE_RECORDS['Transaction COMMIT'] as RecordParts);
    take(timeline, createFork({ ...TEST_RELATION, relation: 16390 }, MAIN));
    expect(timeline.size({ ...TEST_RELATION, relation: 16390 }, MAIN)).toBe(0);
    // A record without an image, on a block that is not there any more, finds a page of zeros, as in a server.
    take(timeline, truncateRelation(TEST_RELATION, 0));
    take(timeline, touchBlock(0));
    expect(describeValues(timeline, block(MAIN, 0)).at(-1)).toMatch(/^record no-base/);
    expect(() => timeline.readPage(block(MAIN, 0))).toThrow(/never been written/);
  });
});

describe('bits of the visibility map', () => {
  test('that heap records clear are a value of the map, which is made if need be', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    take(timeline, deleteVisible(5));
    expect(describeValues(timeline, block(VISIBILITY_MAP, 0))).toEqual(['clears no-base 5']);
    expect(timeline.size(TEST_RELATION, VISIBILITY_MAP)).toBe(1);
    take(timeline, deleteVisible(6));
    take(timeline, { ...deleteVisible(7), blocks: [{ blockNumber: 7, image: samplePage(1) }] });
    expect(describeValues(timeline, block(VISIBILITY_MAP, 0)).slice(1)).toEqual(['clears 5', 'clears 5']);
    const [first, second] = timeline.values(block(VISIBILITY_MAP, 0));
    expect([first?.bytes, second?.bytes]).toEqual([
      Uint8Array.of(0, 0, 0, 5, 3),
      Uint8Array.of(0, 0, 0, 6, 3),
    ]);
  });

  test('of a page that the record names are cleared by the record', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    timeline.put(relationSizeKey(TEST_RELATION, VISIBILITY_MAP), encodeSize(1));
    const blocks = [{ blockNumber: 5 }, { fork: VISIBILITY_MAP, blockNumber: 0 }];
    const { totalLength } = take(timeline, { ...deleteVisible(5), blocks });
    expect(describeValues(timeline, block(VISIBILITY_MAP, 0))).toEqual([`record ${totalLength}`]);
  });

  test('are cleared when the page is read', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(8));
    timeline.put(relationSizeKey(TEST_RELATION, VISIBILITY_MAP), encodeSize(1));
    const map = new Page();
    initializePage(map, 0);
    map.bytes.fill(0xff, 24);
    timeline.put(block(VISIBILITY_MAP, 0), map.bytes);
    take(timeline, deleteVisible(5));
    const cleared = timeline.readPage(block(VISIBILITY_MAP, 0));
    expect([...cleared.bytes.subarray(24, 27)]).toEqual([
      0xff,
      0xff & ~(VISIBILITYMAP_VALID_BITS << 2),
      0xff,
    ]);
  });

  test('of two heap blocks on one page are one value, on two pages two', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(HEAP_BLOCKS_PER_MAP_PAGE + 10));
    take(timeline, updateVisible(1, 2));
    take(timeline, updateVisible(1, HEAP_BLOCKS_PER_MAP_PAGE));
    expect(describeValues(timeline, block(VISIBILITY_MAP, 0))).toEqual(['clears no-base 10', 'clears 5']);
    expect(describeValues(timeline, block(VISIBILITY_MAP, 1))).toEqual(['clears no-base 5']);
    expect(timeline.size(TEST_RELATION, VISIBILITY_MAP)).toBe(2);
  });
});

describe('poison', () => {
  const damaged: RecordParts = { ...deleteVisible(3), mainData: new Uint8Array(2) };

  test('stands under each block, and under the pages of the visibility map that may be wrong', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(2));
    timeline.put(relationSizeKey(TEST_RELATION, VISIBILITY_MAP), encodeSize(1));
    expect(timeline.take(nextRecord(timeline, damaged))).toBe(true);
    expect(putByLast(timeline)).toEqual([
      `${BLOCK_PREFIX}0000000002 image 8192`,
      expect.stringContaining('poison'),
      expect.stringContaining('poison'),
      expect.stringContaining('image 4'),
    ]);
    expect(() => timeline.readPage(block(MAIN, 3))).toThrow(/main data ends before/);
    expect(() => timeline.readPage(block(VISIBILITY_MAP, 0))).toThrow(/could not be taken in/);
    // Pages beside it, and later whole images of the page itself, can be read.
    take(timeline, fullPages(TEST_RELATION, MAIN, 3));
    expect(timeline.readPage(block(MAIN, 3)).bytes[200]).toBe(4);
  });

  test('is not put where there is no map', () => {
    const timeline = startTimeline();
    timeline.put(relationSizeKey(TEST_RELATION, MAIN), encodeSize(9));
    expect(timeline.take(nextRecord(timeline, damaged))).toBe(true);
    expect(putByLast(timeline)).toHaveLength(1);
    expect(timeline.size(TEST_RELATION, VISIBILITY_MAP)).toBeUndefined();
  });

  test('ends the timeline where the record names no page', () => {
    const timeline = startTimeline();
    const parts = { resourceManager: 99, info: 0 };
    expect(() => timeline.take(nextRecord(timeline, parts))).toThrow(/no replay is known/);
    expect(timeline.take(nextRecord(timeline, { ...parts, blocks: [{ blockNumber: 0 }] }))).toBe(true);
  });

  test('counts the transaction id of the record', () => {
    const timeline = startTimeline();
    timeline.take(
      nextRecord(timeline, { resourceManager: 99, info: 0, xid: 9000, blocks: [{ blockNumber: 0 }] }),
    );
    expect(timeline.state.counters.nextXid).toBe(2 * 2 ** 32 + 9001);
  });
});
