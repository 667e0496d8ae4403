import { describe, expect, test } from 'vitest';
import { expectMainDataIsChecked, redoRefuses } from '../../test/support/hostile-records.ts';
import { itemOf, itemsOf } from '../../test/support/index-pages.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import { deadCounts, deadTuple, innerTuple, nodeLink, spgistPage } from '../../test/support/spgist-tuples.ts';
import { Page } from '../postgres/page/page.ts';
import { RM_SPGIST } from '../postgres/rmgr/resource-manager.ts';
import { XLOG_SPGIST_ADD_NODE, XLOG_SPGIST_SPLIT_TUPLE } from '../postgres/rmgr/spgist-layout.ts';
import { redoSpgist } from './spgist.ts';

const garbage = () => new Page(new Uint8Array(8192).fill(0x5a));
const old = innerTuple([16, 16], 8);
const larger = innerTuple([16, 16, 16], 8);
const parent = innerTuple([8, 8]);

describe('ADD_NODE', () => {
  interface AddNode {
    readonly offset: number;
    readonly offsetNew?: number;
    readonly newPage?: boolean;
    readonly parentBlock?: number;
    readonly offsetParent?: number;
    readonly node?: number;
    readonly isBuild?: boolean;
  }
  const addNode = (fields: AddNode, blockCount: number): RecordParts => ({
    resourceManager: RM_SPGIST,
    info: XLOG_SPGIST_ADD_NODE,
    mainData: new ByteWriter()
      .u16s(fields.offset, fields.offsetNew ?? 0)
      .u8(fields.newPage ? 1 : 0)
      .u8(fields.parentBlock ?? -1)
      .u16s(fields.offsetParent ?? 0, fields.node ?? 0, 0xa5a5)
      .u32(900)
      .u8(fields.isBuild ? 1 : 0)
      .bytes([0xa5, 0xa5, 0xa5])
      .bytes(larger)
      .finish(),
    blocks: [
      { blockNumber: 4 },
      { blockNumber: 0x3_0008, willInitialize: fields.newPage ?? false },
      { blockNumber: 6 },
    ].slice(0, blockCount),
  });
  const moved: AddNode = { offset: 2, offsetNew: 3, parentBlock: 2, offsetParent: 1, node: 1 };

  test('in place', () => {
    const page = spgistPage(0, [parent, old, parent]);
    expect(redoSpgist(page, buildRecord(addNode({ offset: 2 }, 1)), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([parent, larger, parent]);
  });

  test('on another page, leaving a redirection behind', () => {
    const record = buildRecord(addNode(moved, 3));
    const from = spgistPage(0, [parent, old, deadTuple(3)]);
    redoSpgist(from, record, 0);
    expect(itemsOf(from)).toEqual([parent, deadTuple(1, 0x3_0008, 3, 900), deadTuple(3)]);
    expect(deadCounts(from)).toEqual({ redirections: 1, placeholders: 1 });
    const to = spgistPage(0, [parent, old, deadTuple(3), old]);
    redoSpgist(to, record, 1);
    expect(itemsOf(to)).toEqual([parent, old, larger, old]);
    expect(deadCounts(to).placeholders).toBe(0);
    const above = spgistPage(0, [parent]);
    redoSpgist(above, record, 2);
    expect(nodeLink(itemOf(above, 1), 16)).toBe(`${0x3_0008}.3`);
    expect(nodeLink(itemOf(above, 1), 8)).toBe('4294967295.0');
  });

  test('on a new page', () => {
    const page = garbage();
    redoSpgist(page, buildRecord(addNode({ ...moved, offsetNew: 1, newPage: true }, 3)), 1);
    expect(page.bytes).toEqual(spgistPage(0, [larger]).bytes);
  });

  test('during a build leaves a placeholder behind', () => {
    const page = spgistPage(0, [parent, old]);
    redoSpgist(page, buildRecord(addNode({ ...moved, isBuild: true }, 3)), 0);
    expect(itemsOf(page)[1]).toEqual(deadTuple(3));
    expect(deadCounts(page)).toEqual({ redirections: 0, placeholders: 1 });
  });

  test.each([0, 1])('updates a parent that is on the page of block %i', (parentBlock) => {
    const record = buildRecord(addNode({ ...moved, parentBlock }, 2));
    const pages = [spgistPage(0, [parent, old]), spgistPage(0, [parent, old])];
    for (const blockId of [0, 1]) redoSpgist(pages[blockId], record, blockId);
    expect(pages.map((page) => nodeLink(itemOf(page, 1), 16))).toEqual(
      [0, 1].map((blockId) => (blockId === parentBlock ? `${0x3_0008}.3` : '4294967295.0')),
    );
  });

  test('refuses what does not fit together', () => {
    const page = () => spgistPage(0, [parent, old]);
    const refused = (fields: AddNode, blocks: number, blockId: number) =>
      redoRefuses(redoSpgist, page(), buildRecord(addNode(fields, blocks)), blockId);
    expect(refused({ offset: 3 }, 1, 0), 'no such tuple').toBe(true);
    expect(refused({ offset: 0 }, 1, 0), 'line 0').toBe(true);
    expect(refused({ offset: 2, parentBlock: 0 }, 1, 0), 'in place, but linked anew').toBe(true);
    expect(refused({ ...moved, parentBlock: 3 }, 3, 0), 'no such parent block').toBe(true);
    expect(refused({ ...moved, parentBlock: -2 }, 3, 0), 'no such parent block').toBe(true);
    expect(refused({ ...moved, parentBlock: 0 }, 3, 2), 'the parent is not on this page').toBe(true);
    expect(refused({ ...moved, offsetParent: 9 }, 3, 2), 'no such parent').toBe(true);
    expect(refused({ ...moved, node: 2 }, 3, 2), 'no such node').toBe(true);
    expect(refused({ ...moved, offsetNew: 2 }, 3, 1), 'not a placeholder').toBe(true);
    expect(refused({ ...moved, offsetNew: 4 }, 3, 1), 'beyond the end').toBe(true);
    expectMainDataIsChecked(redoSpgist, page(), addNode({ offset: 2 }, 1), 0);
    expectMainDataIsChecked(redoSpgist, page(), addNode(moved, 3), 1);
    expectMainDataIsChecked(redoSpgist, page(), addNode(moved, 3), 2);
  });
});

describe('SPLIT_TUPLE', () => {
  const prefix = innerTuple([8], 8);
  const postfix = innerTuple([16, 16], 16);
  const splitTuple = (offsets: readonly [number, number], same: boolean, newPage = false): RecordParts => ({
    resourceManager: RM_SPGIST,
    info: XLOG_SPGIST_SPLIT_TUPLE,
    mainData: new ByteWriter()
      .u16s(...offsets)
      .u8(newPage ? 1 : 0)
      .u8(same ? 1 : 0)
      .bytes(prefix)
      .bytes(postfix)
      .finish(),
    blocks: [{ blockNumber: 4 }, { blockNumber: 5, willInitialize: newPage }].slice(0, same ? 1 : 2),
  });

  test('on one page', () => {
    const page = spgistPage(0, [deadTuple(3), old, parent]);
    expect(redoSpgist(page, buildRecord(splitTuple([2, 1], true)), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([postfix, prefix, parent]);
    expect(deadCounts(page).placeholders).toBe(0);
  });

  test('on two pages', () => {
    const record = buildRecord(splitTuple([2, 2], false));
    const first = spgistPage(0, [deadTuple(3), old, parent]);
    redoSpgist(first, record, 0);
    expect(itemsOf(first)).toEqual([deadTuple(3), prefix, parent]);
    const second = spgistPage(0, [parent]);
    redoSpgist(second, record, 1);
    expect(itemsOf(second)).toEqual([parent, postfix]);
    const fresh = garbage();
    redoSpgist(fresh, buildRecord(splitTuple([2, 1], false, true)), 1);
    expect(fresh.bytes).toEqual(spgistPage(0, [postfix]).bytes);
  });

  test('refuses what does not fit together', () => {
    const page = spgistPage(0, [parent, old]);
    const refused = (parts: RecordParts, blockId: number) =>
      redoRefuses(redoSpgist, page, buildRecord(parts), blockId);
    expect(refused(splitTuple([3, 3], true), 0)).toBe(true);
    expect(refused(splitTuple([2, 1], true), 0), 'not a placeholder').toBe(true);
    expect(refused({ ...splitTuple([2, 3], true), blocks: [{}, {}] }, 1), 'both are on block 0').toBe(true);
    expect(refused({ ...splitTuple([2, 3], false), blocks: [{}, {}, {}] }, 2)).toBe(true);
    expectMainDataIsChecked(redoSpgist, page, splitTuple([2, 3], true), 0);
    expectMainDataIsChecked(redoSpgist, page, splitTuple([2, 3], false), 1);
  });
});
