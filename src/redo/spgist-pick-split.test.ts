import { expect, test } from 'vitest';
import { expectMainDataIsChecked, redoRefuses } from '../../test/support/hostile-records.ts';
import { itemOf, itemsOf } from '../../test/support/index-pages.ts';
import {
  ByteWriter,
  buildRecord,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import {
  deadCounts,
  deadTuple,
  describeLeafPage,
  innerTuple,
  leafTuple,
  nodeLink,
  spgistPage,
} from '../../test/support/spgist-tuples.ts';
import { Page } from '../postgres/page/page.ts';
import { SPGIST_LEAF, SPGIST_NULLS } from '../postgres/page/spgist-page.ts';
import { RM_SPGIST } from '../postgres/rmgr/resource-manager.ts';
import { XLOG_SPGIST_PICKSPLIT } from '../postgres/rmgr/spgist-layout.ts';
import { redoSpgist } from './spgist.ts';

interface PickSplit {
  readonly deleted?: readonly number[];
  readonly inserted?: readonly number[];
  readonly select?: readonly number[];
  readonly offsetInner?: number;
  readonly isRootSplit?: boolean;
  readonly initSource?: boolean;
  readonly initDestination?: boolean;
  readonly initInner?: boolean;
  readonly nulls?: boolean;
  readonly innerIsParent?: boolean;
  readonly isBuild?: boolean;
}

const inner = innerTuple([16, 16], 8);
const parent = innerTuple([8, 8]);
const flag = (value: boolean | undefined) => (value ? 1 : 0);

function pickSplit(fields: PickSplit): RecordParts {
  const inserted = fields.inserted ?? [];
  const writer = new ByteWriter()
    .u8(flag(fields.isRootSplit))
    .u8(0xa5)
    .u16s(fields.deleted?.length ?? 0, inserted.length)
    .u8(flag(fields.initSource))
    .u8(flag(fields.initDestination))
    .u16(fields.offsetInner ?? 1)
    .u8(flag(fields.initInner))
    .u8(flag(fields.nulls))
    .u8(flag(fields.innerIsParent))
    .u8(0xa5)
    .u16s(1, 1, 0xa5a5)
    .u32(4711)
    .u8(flag(fields.isBuild))
    .bytes([0xa5, 0xa5, 0xa5])
    .u16s(...(fields.deleted ?? []), ...inserted)
    .bytes(fields.select ?? inserted.map(() => 0))
    .bytes(inner);
  for (const index of inserted.keys()) writer.bytes(leafTuple(97 + index, 0, 24 + 8 * (index % 3)));
  const blocks: RecordBlock[] = [
    { id: 0, blockNumber: 4, willInitialize: fields.initSource ?? false },
    { id: 1, blockNumber: 5, willInitialize: fields.initDestination ?? false },
    { id: 2, blockNumber: 0x1_0006, willInitialize: fields.initInner ?? false },
    { id: 3, blockNumber: 7 },
  ];
  return { resourceManager: RM_SPGIST, info: XLOG_SPGIST_PICKSPLIT, mainData: writer.finish(), blocks };
}

/** The odd number of selector bytes puts the tuples behind them at odd places. */
const usual: PickSplit = { deleted: [3, 1, 2], inserted: [1, 2, 3, 4, 5], select: [0, 1, 0, 1, 1] };
const sourcePage = () =>
  spgistPage(SPGIST_LEAF, [leafTuple(65, 0), leafTuple(66, 1), leafTuple(67, 2), leafTuple(68)]);
const garbage = () => new Page(new Uint8Array(8192).fill(0x5a));
const run = (page: Page, fields: PickSplit, blockId: number): Page => {
  expect(redoSpgist(page, buildRecord(pickSplit(fields)), blockId)).toBe(true);
  return page;
};

test('the source keeps a redirection to the inner tuple, and its share of the tuples', () => {
  const page = run(sourcePage(), { ...usual, inserted: [1, 1, 2, 1, 1] }, 0);
  expect(describeLeafPage(page)).toEqual([
    'leaf 97 next 0',
    'leaf 99 next 0',
    `redirect ${0x1_0006}.1 xid 4711`,
    'leaf 68 next 0',
  ]);
  expect(deadCounts(page)).toEqual({ redirections: 1, placeholders: 0 });
});

test('the source keeps only placeholders while the index is built', () => {
  const page = run(sourcePage(), { deleted: [3, 1, 2], isBuild: true }, 0);
  expect(itemsOf(page).slice(0, 3)).toEqual([deadTuple(3), deadTuple(3), deadTuple(3)]);
  expect(deadCounts(page)).toEqual({ redirections: 0, placeholders: 3 });
});

test('the source can be made anew', () => {
  const page = run(garbage(), { ...usual, deleted: [], inserted: [1, 9, 2, 9, 9], initSource: true }, 0);
  expect(page.bytes).toEqual(spgistPage(SPGIST_LEAF, [leafTuple(97), leafTuple(99, 0, 40)]).bytes);
});

test('the destination gets its share of the tuples', () => {
  const page = run(
    spgistPage(SPGIST_LEAF, [leafTuple(80), deadTuple(3)]),
    { ...usual, inserted: [9, 2, 9, 3, 4] },
    1,
  );
  expect(describeLeafPage(page)).toEqual([
    'leaf 80 next 0',
    'leaf 98 next 0',
    'leaf 100 next 0',
    'leaf 101 next 0',
  ]);
  const fresh = run(
    garbage(),
    { ...usual, inserted: [9, 1, 9, 2, 3], initDestination: true, nulls: true },
    1,
  );
  const tuples = [leafTuple(98, 0, 32), leafTuple(100), leafTuple(101, 0, 32)];
  expect(fresh.bytes).toEqual(spgistPage(SPGIST_LEAF | SPGIST_NULLS, tuples).bytes);
});

test('the inner page gets the inner tuple', () => {
  const page = run(spgistPage(0, [parent, deadTuple(3)]), { ...usual, offsetInner: 2 }, 2);
  expect(itemsOf(page)).toEqual([parent, inner]);
  expect(run(garbage(), { ...usual, initInner: true }, 2).bytes).toEqual(spgistPage(0, [inner]).bytes);
  const nulls = { ...usual, initInner: true, nulls: true, isRootSplit: true };
  expect(run(garbage(), nulls, 2).bytes).toEqual(spgistPage(SPGIST_NULLS, [inner]).bytes);
});

test('the parent leads to the inner tuple, on the same page or another', () => {
  const same = run(spgistPage(0, [parent, parent]), { ...usual, offsetInner: 3, innerIsParent: true }, 2);
  expect(nodeLink(itemOf(same, 1), 16)).toBe(`${0x1_0006}.3`);
  expect(itemsOf(same).slice(1)).toEqual([parent, inner]);
  const other = run(spgistPage(0, [parent]), { ...usual, offsetInner: 3 }, 3);
  expect(nodeLink(itemOf(other, 1), 16)).toBe(`${0x1_0006}.3`);
  expect(nodeLink(itemOf(other, 1), 8)).toBe('4294967295.0');
});

test('refuses what does not fit together', () => {
  const refused = (page: Page, fields: PickSplit, blockId: number) =>
    redoRefuses(redoSpgist, page, buildRecord(pickSplit(fields)), blockId);
  expect(refused(sourcePage(), { ...usual, isRootSplit: true }, 0), 'the root is no source').toBe(true);
  for (const deleted of [[0, 1, 2], [5, 1, 2], [1, 1, 2], [0xffff]]) {
    expect(refused(sourcePage(), { ...usual, deleted }, 0), `${deleted}`).toBe(true);
  }
  expect(refused(sourcePage(), { ...usual, inserted: [4, 1, 1, 1, 1] }, 0), 'a live tuple').toBe(true);
  expect(refused(sourcePage(), { ...usual, inserted: [6, 1, 1, 1, 1] }, 0), 'beyond the end').toBe(true);
  expect(refused(spgistPage(0, [parent]), { ...usual, offsetInner: 3 }, 2), 'beyond the end').toBe(true);
  expect(refused(spgistPage(0, []), usual, 3), 'no parent').toBe(true);
  const parts = pickSplit(usual);
  const without = (id: number) => ({
    ...parts,
    blocks: (parts.blocks ?? []).filter((block) => block.id !== id),
  });
  expect(redoRefuses(redoSpgist, sourcePage(), buildRecord(without(2)), 0), 'no inner page').toBe(true);
  const fifth = { ...parts, blocks: [...(parts.blocks ?? []), { id: 4 }] };
  expect(redoRefuses(redoSpgist, sourcePage(), buildRecord(fifth), 4), 'no such block').toBe(true);
  const good: PickSplit = { ...usual, inserted: [1, 1, 2, 2, 3] };
  expectMainDataIsChecked(redoSpgist, sourcePage(), pickSplit(good), 0);
  expectMainDataIsChecked(redoSpgist, spgistPage(SPGIST_LEAF, []), pickSplit(good), 1);
  for (const at of [2, 4]) {
    const mainData = (pickSplit(good).mainData ?? new Uint8Array(0)).slice();
    mainData.fill(0xff, at, at + 2);
    for (const blockId of [0, 1, 2, 3]) {
      const record = buildRecord({ ...pickSplit(good), mainData });
      expect(redoRefuses(redoSpgist, sourcePage(), record, blockId), `count at ${at}`).toBe(true);
    }
  }
});
