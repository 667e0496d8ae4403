import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ginDataOf,
  ginDataPage,
  ginFlagsOf,
  type HeapTid,
  postingList,
  tidsBytes,
} from '../../test/support/gin-pages.ts';
import { expectBlockDataIsChecked, expectDamageIsRefused } from '../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord, joinBytes, type RecordParts } from '../../test/support/record-builder.ts';
import { GIN_COMPRESSED, GIN_DATA, GIN_LEAF, GIN_MAXOFF } from '../postgres/page/gin-page.ts';
import { PAGE_LOWER, Page } from '../postgres/page/page.ts';
import { XLOG_GIN_VACUUM_DATA_LEAF_PAGE } from '../postgres/rmgr/gin-layout.ts';
import { RM_GIN } from '../postgres/rmgr/resource-manager.ts';
import { redoGin } from './gin.ts';
import { RedoFailure } from './redo-failure.ts';

const LEAF_FLAGS = GIN_DATA | GIN_LEAF | GIN_COMPRESSED;

const remove = (segment: number): Uint8Array => Uint8Array.of(segment, 1);
const insert = (segment: number, list: Uint8Array): Uint8Array => joinBytes(Uint8Array.of(segment, 2), list);
const replace = (segment: number, list: Uint8Array): Uint8Array => joinBytes(Uint8Array.of(segment, 3), list);
const add = (segment: number, tids: readonly HeapTid[]): Uint8Array =>
  new ByteWriter().u8(segment).u8(4).u16(tids.length).bytes(tidsBytes(tids)).finish();
const actions = (...list: readonly Uint8Array[]): RecordParts => ({
  resourceManager: RM_GIN,
  info: XLOG_GIN_VACUUM_DATA_LEAF_PAGE,
  blocks: [{ data: joinBytes(new ByteWriter().u16(list.length).finish(), ...list) }],
});
const replay = (page: Page, parts: RecordParts): boolean => redoGin(page, buildRecord(parts), 0);

const low = postingList([
  [1, 1],
  [1, 2],
  [1, 4],
]);
const middle = postingList([
  [2, 1],
  [2, 7],
]);
const high = postingList([
  [90, 1],
  [900, 9],
]);
const other = postingList([
  [50, 3],
  [51, 3],
]);
const leaf = (...lists: readonly Uint8Array[]): Page => ginDataPage(LEAF_FLAGS, joinBytes(...lists));

describe('actions on segments', () => {
  test.each([
    ['delete the first', actions(remove(0)), [middle, high]],
    ['delete the last', actions(remove(2)), [low, middle]],
    ['delete all', actions(remove(0), remove(1), remove(2)), []],
    ['insert before the first', actions(insert(0, other)), [other, low, middle, high]],
    ['insert in the middle', actions(insert(2, other)), [low, middle, other, high]],
    ['insert two at the end', actions(insert(3, other), insert(3, low)), [low, middle, high, other, low]],
    ['replace one by a longer one', actions(replace(1, low)), [low, low, high]],
    ['replace the last, and append', actions(replace(2, low), insert(3, other)), [low, middle, low, other]],
    ['replace, skip, delete', actions(replace(0, other), remove(2)), [other, middle]],
    ['insert, skip, insert', actions(insert(0, high), insert(2, other)), [high, low, middle, other, high]],
    ['delete, then replace the next', actions(remove(0), replace(1, other)), [other, high]],
  ] as const)('%s', (_, parts, expected) => {
    const page = leaf(low, middle, high);
    expect(replay(page, parts)).toBe(true);
    expect(ginDataOf(page)).toEqual(joinBytes(...expected));
    expect(ginFlagsOf(page)).toBe(LEAF_FLAGS);
  });

  test('items are merged into a segment, before, between and after its own', () => {
    const page = leaf(low, middle, high);
    const parts = actions(
      add(0, [
        [0, 9],
        [1, 3],
      ]),
      add(2, [[4_000_000_000, 1]]),
    );
    expect(replay(page, parts)).toBe(true);
    const merged = postingList([
      [0, 9],
      [1, 1],
      [1, 2],
      [1, 3],
      [1, 4],
    ]);
    const appended = postingList([
      [90, 1],
      [900, 9],
      [4_000_000_000, 1],
    ]);
    expect(ginDataOf(page)).toEqual(joinBytes(merged, middle, appended));
  });

  test('an empty page gets its first segment', () => {
    const page = leaf();
    expect(replay(page, actions(insert(0, low)))).toBe(true);
    expect(ginDataOf(page)).toEqual(low);
  });

  test('segments may come to fill the page, but no more', () => {
    const big = postingList(Array.from({ length: 1000 }, (_, index): HeapTid => [7, index + 1]));
    const rest = 8152 - 8 * big.length - 8;
    const small = postingList(Array.from({ length: rest + 1 }, (_, index): HeapTid => [8, index + 1]));
    const lists = [...Array.from({ length: 7 }, () => big), small];
    expect(joinBytes(...lists).length).toBe(8152 - big.length);
    const page = leaf(...lists);
    expect(replay(page, actions(insert(3, big)))).toBe(true);
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(8184);
    expect(ginDataOf(page)).toEqual(joinBytes(...lists.slice(0, 3), big, ...lists.slice(3)));
    for (const action of [insert(9, postingList([[9, 1]])), add(8, [[9, 1]]), replace(8, big)]) {
      const full = new Page(page.bytes.slice());
      const special = full.bytes.slice(8184);
      expect(() => replay(full, actions(action))).toThrow(RedoFailure);
      expect(full.bytes.slice(8184)).toEqual(special);
    }
  });
});

describe('a leaf from before 9.4', () => {
  const tids: HeapTid[] = [
    [1, 1],
    [1, 2],
    [3, 7],
  ];

  test('its items become a segment first', () => {
    const page = ginDataPage(GIN_DATA | GIN_LEAF, tidsBytes(tids), 3);
    page.view.setUint16(PAGE_LOWER, 24, true);
    expect(replay(page, actions(insert(1, high)))).toBe(true);
    expect(ginDataOf(page)).toEqual(joinBytes(postingList(tids), high));
    expect(ginFlagsOf(page)).toBe(LEAF_FLAGS);
    expect(page.view.getUint16(GIN_MAXOFF, true)).toBe(0);
  });

  test('may be empty', () => {
    const page = ginDataPage(GIN_DATA | GIN_LEAF, new Uint8Array(0), 0);
    page.view.setUint16(PAGE_LOWER, 24, true);
    expect(replay(page, actions(insert(0, high)))).toBe(true);
    expect(ginDataOf(page)).toEqual(high);
  });

  test('cannot have more items than fit', () => {
    const page = ginDataPage(GIN_DATA | GIN_LEAF, tidsBytes(tids), 1359);
    expect(() => replay(page, actions(insert(0, high)))).toThrow(/1359 plain items/);
  });
});

describe('damage is refused', () => {
  test.each([
    ['no action', actions()],
    ['an unknown action', actions(Uint8Array.of(0, 5))],
    ['the action that says unmodified', actions(Uint8Array.of(0, 0))],
    ['a segment beyond the last', actions(remove(3))],
    ['an insertion beyond the end', actions(insert(4, other))],
    ['a replacement at the end', actions(replace(3, other))],
    ['items for no segment', actions(add(3, [[1, 1]]))],
    ['actions out of order', actions(remove(1), remove(0))],
    [
      'added items that descend',
      actions(
        add(0, [
          [9, 9],
          [1, 3],
        ]),
      ),
    ],
  ] as const)('%s', (_, parts) => {
    expect(() => replay(leaf(low, middle, high), parts)).toThrow(RedoFailure);
  });

  test('data cut off or too long', () => {
    const all = actions(replace(0, other), add(1, [[2, 3]]), remove(2), insert(3, low));
    expectBlockDataIsChecked(redoGin, leaf(low, middle, high), all, 0);
  });

  test('a pd_lower that is not after a segment', () => {
    for (const lower of [24, 31, 33, 8185, 0xffff]) {
      const page = leaf(low, middle, high);
      page.view.setUint16(PAGE_LOWER, lower, true);
      expect(() => replay(page, actions(remove(2)))).toThrow(RedoFailure);
    }
  });

  test('a page of another kind', () => {
    for (const flags of [GIN_LEAF, GIN_DATA, 0]) {
      expect(() => replay(ginDataPage(flags, low), actions(remove(0)))).toThrow(/flags/);
    }
  });

  test('any bytes', () => {
    const page = leaf(low, middle, high);
    const plain = ginDataPage(
      GIN_DATA | GIN_LEAF,
      tidsBytes([
        [1, 1],
        [9, 2],
      ]),
      2,
    );
    expectDamageIsRefused(redoGin, [
      { page, parts: actions(replace(0, other), add(1, [[2, 3]]), remove(2), insert(3, low)) },
      {
        page,
        parts: actions(
          add(0, [
            [1, 3],
            [1, 9],
          ]),
          add(2, [[100, 3]]),
        ),
      },
      { page: plain, parts: actions(insert(0, low)) },
    ]);
  });
});

test('any sequence of actions gives what the same changes of a list of lists give', () => {
  const tids = fc
    .uniqueArray(fc.tuple(fc.nat(0xffff_ffff), fc.integer({ min: 1, max: 291 })), {
      minLength: 1,
      maxLength: 8,
      selector: String,
    })
    .map((list): HeapTid[] => list.sort((a, b) => a[0] - b[0] || a[1] - b[1]));
  const step = fc.record({ type: fc.integer({ min: 0, max: 4 }), tids });
  fc.assert(
    fc.property(fc.array(tids, { maxLength: 6 }), fc.array(step, { maxLength: 12 }), (segments, steps) => {
      const expected: Uint8Array[] = [];
      const records: Uint8Array[] = [];
      let segment = 0;
      for (const { type, tids: changed } of steps) {
        const old = segments[segment];
        if (type === 2 || old === undefined) {
          records.push(insert(segment, postingList(changed)));
          expected.push(postingList(changed));
          continue;
        }
        if (type === 1) records.push(remove(segment));
        if (type === 0) expected.push(postingList(old));
        if (type === 3) {
          records.push(replace(segment, postingList(changed)));
          expected.push(postingList(changed));
        }
        if (type === 4) {
          records.push(add(segment, changed));
          const all = new Map([...old, ...changed].map((tid) => [String(tid), tid]));
          expected.push(postingList([...all.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1])));
        }
        segment++;
      }
      expected.push(...segments.slice(segment).map(postingList));
      const page = leaf(...segments.map(postingList));
      if (records.length === 0) return;
      expect(replay(page, actions(...records))).toBe(true);
      expect(ginDataOf(page)).toEqual(joinBytes(...expected));
    }),
  );
});
