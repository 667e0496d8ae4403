import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expectDamageIsRefused } from '../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import { initializePage, PAGE_LOWER, PAGE_UPPER, Page } from '../postgres/page/page.ts';
import { RM_GENERIC } from '../postgres/rmgr/resource-manager.ts';
import { redoGeneric } from './generic.ts';
import { RedoFailure } from './redo-failure.ts';

type Fragment = readonly [offset: number, bytes: readonly number[]];

function delta(...fragments: readonly Fragment[]): RecordParts {
  const data = new ByteWriter();
  for (const [offset, bytes] of fragments) data.u16s(offset, bytes.length).bytes(bytes);
  return { resourceManager: RM_GENERIC, info: 0, blocks: [{ data: data.finish() }] };
}

const replay = (page: Page, parts: RecordParts, blockId = 0): boolean =>
  redoGeneric(page, buildRecord(parts), blockId);

/** A page whose bytes are all different from zero beyond the header, also where nothing counts. */
function filledPage(lower: number, upper: number): Page {
  const page = new Page();
  initializePage(page, 8);
  page.bytes.fill(0x77, 24);
  page.view.setUint16(PAGE_LOWER, lower, true);
  page.view.setUint16(PAGE_UPPER, upper, true);
  return page;
}

test('fragments go to their places and the rest stays', () => {
  const page = filledPage(100, 8000);
  const expected = filledPage(100, 8000);
  expected.bytes.set([1, 2, 3], 30);
  expected.bytes.set([9], 8191);
  expected.bytes.fill(0, 100, 8000);
  expect(replay(page, delta([30, [1, 2, 3]], [8191, [9]], [50, []]))).toBe(true);
  expect(page).toEqual(expected);
});

test('what lies between the new pd_lower and the new pd_upper becomes zero', () => {
  const page = filledPage(100, 8000);
  // pd_lower 104 with content up to there, pd_upper 7990 with content from there on.
  const parts = delta([12, [104, 0, 0x36, 0x1f]], [100, [1, 1, 1, 1]], [7990, new Array(10).fill(2)]);
  expect(replay(page, parts)).toBe(true);
  expect(page.view.getUint16(PAGE_UPPER, true)).toBe(7990);
  expect([...page.bytes.slice(98, 106)]).toEqual([0x77, 0x77, 1, 1, 1, 1, 0, 0]);
  expect([...page.bytes.slice(7988, 8002)]).toEqual([0, 0, ...new Array(10).fill(2), 0x77, 0x77]);
  expect(page.bytes.slice(104, 7990).every((byte) => byte === 0)).toBe(true);
});

test('a delta without fragments, or that puts bytes into the hole, still leaves zeros there', () => {
  const expected = filledPage(100, 8000);
  expected.bytes.fill(0, 100, 8000);
  const none = filledPage(100, 8000);
  expect(replay(none, { ...delta(), blocks: [{}] })).toBe(true);
  expect(none).toEqual(expected);
  const inHole = filledPage(100, 8000);
  expect(replay(inHole, delta([2000, [5, 5, 5]]))).toBe(true);
  expect(inHole).toEqual(expected);
});

test('a page without a hole keeps all of it', () => {
  const page = filledPage(8184, 8184);
  const before = page.bytes.slice();
  expect(replay(page, { ...delta(), blocks: [{}] })).toBe(true);
  expect(page.bytes).toEqual(before);
});

test('every block has its delta', () => {
  const parts = {
    ...delta(),
    blocks: [{ data: Uint8Array.of(30, 0, 1, 0, 5) }, { data: Uint8Array.of(30, 0, 1, 0, 6) }],
  };
  for (const [blockId, value] of [5, 6].entries()) {
    const page = filledPage(100, 8000);
    expect(replay(page, parts, blockId)).toBe(true);
    expect(page.bytes[30]).toBe(value);
  }
});

test('damage is refused', () => {
  const page = (): Page => filledPage(100, 8000);
  // An empty delta is a good one.
  const data = delta([30, [1, 2, 3]]).blocks?.[0]?.data ?? new Uint8Array(0);
  for (let length = 1; length < data.length; length++) {
    const cut = { ...delta(), blocks: [{ data: data.slice(0, length) }] };
    expect(() => replay(page(), cut), `${length} bytes`).toThrow(RedoFailure);
  }
  expect(() => replay(page(), { ...delta(), blocks: [{ data: Uint8Array.from([...data, 0]) }] })).toThrow(
    /cut off/,
  );
  expect(() => replay(page(), delta([8190, [1, 2, 3]]))).toThrow(/leaves the page/);
  expect(() => replay(page(), delta([0xffff, [1]]))).toThrow(/leaves the page/);
  expect(() => replay(page(), delta([12, [100, 0, 99, 0]]))).toThrow(/page pointers/);
  expect(() => replay(page(), delta([12, [100, 0, 1, 0x20]]))).toThrow(/page pointers/);
  const initializing = { ...delta([30, [1]]), blocks: [{ willInitialize: true }] };
  expect(() => replay(page(), initializing)).toThrow(/initialises/);
  expect(() => replay(page(), { ...delta([30, [1]]), mainData: Uint8Array.of(1) })).toThrow(RedoFailure);
  const fifth = { ...delta(), blocks: [{ id: 4 }] };
  expect(() => replay(page(), fifth, 4)).toThrow(/no such block/);
  expect(() => replay(page(), { ...delta([30, [1]]), info: 0x10 })).toThrow(UnknownRecordError);
  expectDamageIsRefused(redoGeneric, [
    { page: page(), parts: delta([30, [1, 2, 3]], [8100, [4, 5]]) },
    { page: page(), parts: delta([12, [104, 0, 0x36, 0x1f]], [100, [1, 1, 1, 1]]) },
  ]);
});

/** What GenericXLogFinish leaves of a page that it was given. */
function withZeroedHole(page: Page): Page {
  const copy = new Page(page.bytes.slice());
  copy.bytes.fill(0, page.view.getUint16(PAGE_LOWER, true), page.view.getUint16(PAGE_UPPER, true));
  return copy;
}

test('a delta of the regions outside of the hole turns any page into any other', () => {
  const content = fc.record({
    lower: fc.integer({ min: 24, max: 4000 }),
    upper: fc.integer({ min: 4000, max: 8192 }),
    changes: fc.array(fc.tuple(fc.integer({ min: 24, max: 8191 }), fc.nat(255)), { maxLength: 40 }),
  });
  const makePage = ({
    lower,
    upper,
    changes,
  }: {
    lower: number;
    upper: number;
    changes: [number, number][];
  }): Page => {
    const page = filledPage(lower, upper);
    for (const [offset, value] of changes) page.bytes[offset] = value;
    return page;
  };
  fc.assert(
    fc.property(content, content, (from, to) => {
      const page = makePage(from);
      const target = makePage(to);
      const regions: Fragment[] = [
        [0, [...target.bytes.slice(0, to.lower)]],
        [to.upper, [...target.bytes.slice(to.upper)]],
      ];
      expect(replay(page, delta(...regions))).toBe(true);
      expect(page).toEqual(withZeroedHole(target));
    }),
    { numRuns: 50 },
  );
});
