import { describe, expect, test } from 'vitest';
import { expectMainDataIsChecked, redoRefuses } from '../../test/support/hostile-records.ts';
import { itemOf } from '../../test/support/index-pages.ts';
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
import { PAGE_SPECIAL, Page } from '../postgres/page/page.ts';
import { SPGIST_FLAGS, SPGIST_LEAF, SPGIST_NULLS } from '../postgres/page/spgist-page.ts';
import { RM_SPGIST } from '../postgres/rmgr/resource-manager.ts';
import { XLOG_SPGIST_ADD_LEAF, XLOG_SPGIST_MOVE_LEAFS } from '../postgres/rmgr/spgist-layout.ts';
import { redoSpgist } from './spgist.ts';

const garbage = () => new Page(new Uint8Array(8192).fill(0x5a));
const flagsOf = (page: Page) => page.view.getUint16(SPGIST_FLAGS, true);

describe('ADD_LEAF', () => {
  interface AddLeaf {
    readonly leaf: number;
    readonly head?: number;
    readonly parent?: number;
    readonly node?: number;
    readonly newPage?: boolean;
    readonly nulls?: boolean;
  }
  const addLeaf = (fields: AddLeaf, tuple = leafTuple(99)): RecordParts => ({
    resourceManager: RM_SPGIST,
    info: XLOG_SPGIST_ADD_LEAF,
    mainData: new ByteWriter()
      .u8(fields.newPage ? 1 : 0)
      .u8(fields.nulls ? 1 : 0)
      .u16s(fields.leaf, fields.head ?? 0, fields.parent ?? 0, fields.node ?? 0)
      .bytes(tuple)
      .finish(),
    blocks: [{ blockNumber: 0x1_0007, willInitialize: fields.newPage ?? false }, { blockNumber: 3 }],
  });

  test('puts a tuple after the others', () => {
    const page = spgistPage(SPGIST_LEAF, [leafTuple(65)]);
    expect(redoSpgist(page, buildRecord(addLeaf({ leaf: 2 })), 0)).toBe(true);
    expect(describeLeafPage(page)).toEqual(['leaf 65 next 0', 'leaf 99 next 0']);
    expect(itemOf(page, 2)).toEqual(leafTuple(99));
  });

  test('takes the place of a placeholder, and becomes second in its chain', () => {
    const page = spgistPage(SPGIST_LEAF, [leafTuple(65, 4), deadTuple(3), deadTuple(3), leafTuple(66)]);
    const head = itemOf(page, 1);
    head[5] |= 0x80;
    page.bytes.set(head, 8192 - 8 - head.length);
    redoSpgist(page, buildRecord(addLeaf({ leaf: 3, head: 1 }, leafTuple(99, 4, 40))), 0);
    expect(describeLeafPage(page)).toEqual([
      'leaf 65 next 3',
      'placeholder 4294967295.0 xid 0',
      'leaf 99 next 4',
      'leaf 66 next 0',
    ]);
    expect(deadCounts(page)).toEqual({ redirections: 0, placeholders: 1 });
    expect(itemOf(page, 1)[5], 'the bit for a nulls bitmap stays').toBe(0x80);
  });

  test('replaces a dead tuple, which is not counted', () => {
    const page = spgistPage(SPGIST_LEAF, [leafTuple(65), deadTuple(2), leafTuple(66), deadTuple(3)]);
    redoSpgist(page, buildRecord(addLeaf({ leaf: 2, head: 2 })), 0);
    expect(describeLeafPage(page).slice(0, 3)).toEqual([
      'leaf 65 next 0',
      'leaf 99 next 0',
      'leaf 66 next 0',
    ]);
    expect(deadCounts(page)).toEqual({ redirections: 0, placeholders: 1 });
  });

  test.each([false, true])('begins a new page (nulls: %s)', (nulls) => {
    const page = garbage();
    redoSpgist(page, buildRecord(addLeaf({ leaf: 1, newPage: true, nulls })), 0);
    expect(page.bytes).toEqual(spgistPage(SPGIST_LEAF | (nulls ? SPGIST_NULLS : 0), [leafTuple(99)]).bytes);
  });

  test('lets the node of the parent point to it', () => {
    const page = spgistPage(0, [innerTuple([8]), innerTuple([16, 8, 16], 24)]);
    const record = buildRecord(addLeaf({ leaf: 9, parent: 2, node: 1 }));
    expect(redoSpgist(page, record, 1)).toBe(true);
    const inner = itemOf(page, 2);
    expect([32, 48, 56].map((offset) => nodeLink(inner, offset))).toEqual([
      '4294967295.0',
      `${0x1_0007}.9`,
      '4294967295.0',
    ]);
    expect(itemOf(page, 1)).toEqual(innerTuple([8]));
  });

  test('refuses lines, nodes and pages that do not fit', () => {
    const page = spgistPage(SPGIST_LEAF, [leafTuple(65), deadTuple(3), deadTuple(1, 7, 7, 7)]);
    const refused = (fields: AddLeaf, blockId = 0, on = page) =>
      redoRefuses(redoSpgist, on, buildRecord(addLeaf(fields)), blockId);
    expect(refused({ leaf: 0 }), 'line 0').toBe(true);
    expect(refused({ leaf: 0, head: 0 }), 'replace line 0').toBe(true);
    expect(refused({ leaf: 5 }), 'beyond the end').toBe(true);
    expect(refused({ leaf: 1 }), 'a live tuple').toBe(true);
    expect(refused({ leaf: 3 }), 'a redirection').toBe(true);
    expect(refused({ leaf: 4, head: 5 }), 'no such head').toBe(true);
    expect(refused({ leaf: 4 }, 2), 'no such block').toBe(true);
    const inner = spgistPage(0, [innerTuple([8])]);
    expect(refused({ leaf: 4, parent: 1, node: 0 }, 1, inner)).toBe(false);
    expect(refused({ leaf: 4, parent: 1, node: 1 }, 1, inner), 'no such node').toBe(true);
    expect(refused({ leaf: 4, parent: 2, node: 0 }, 1, inner), 'no such parent').toBe(true);
    expect(refused({ leaf: 4, parent: 0 }, 1, inner), 'no parent is updated').toBe(true);
    const parts = addLeaf({ leaf: 1, newPage: true });
    expect(redoRefuses(redoSpgist, page, buildRecord({ ...parts, blocks: [{}] }), 0), 'not announced').toBe(
      true,
    );
    const initialised = { ...addLeaf({ leaf: 4 }), blocks: [{ willInitialize: true }] };
    expect(redoRefuses(redoSpgist, page, buildRecord(initialised), 0), 'announced in vain').toBe(true);
    const foreign = spgistPage(SPGIST_LEAF, []);
    foreign.view.setUint16(PAGE_SPECIAL, 8176, true);
    expect(refused({ leaf: 1 }, 0, foreign), 'another kind of page').toBe(true);
    expectMainDataIsChecked(redoSpgist, page, addLeaf({ leaf: 4 }), 0);
  });

  test('refuses inner tuples whose nodes run beyond them', () => {
    const record = buildRecord(addLeaf({ leaf: 9, parent: 1, node: 2 }));
    const tooManyNodes = innerTuple([8, 8, 8]);
    tooManyNodes[0] = 200 << 3;
    const cases = [innerTuple([8, 8]), innerTuple([16, 0x1ff8, 16].map((size) => Math.min(size, 16)))];
    new DataView(cases[1].buffer).setUint16(8 + 16 + 6, 0x1ff8, true);
    const nodeless = innerTuple([8, 8, 8]);
    new DataView(nodeless.buffer).setUint16(8 + 8 + 6, 0, true);
    const longPrefix = innerTuple([8, 8, 8]);
    new DataView(longPrefix.buffer).setUint16(2, 0xfff8, true);
    for (const tuple of [...cases, nodeless, longPrefix]) {
      expect(redoRefuses(redoSpgist, spgistPage(0, [tuple]), record, 1)).toBe(true);
    }
    const far = buildRecord(addLeaf({ leaf: 9, parent: 1, node: 24 }));
    expect(redoRefuses(redoSpgist, spgistPage(0, [tooManyNodes]), far, 1)).toBe(true);
  });
});

describe('MOVE_LEAFS', () => {
  interface MoveLeafs {
    readonly deleted: readonly number[];
    readonly inserted: readonly number[];
    readonly replaceDead?: boolean;
    readonly newPage?: boolean;
    readonly nulls?: boolean;
    readonly isBuild?: boolean;
  }
  const blocks: RecordBlock[] = [{ blockNumber: 5 }, { blockNumber: 0x2_0006 }, { blockNumber: 7 }];
  const moveLeafs = (fields: MoveLeafs): RecordParts => {
    const writer = new ByteWriter()
      .u16(fields.deleted.length)
      .u8(fields.newPage ? 1 : 0)
      .u8(fields.replaceDead ? 1 : 0)
      .u8(fields.nulls ? 1 : 0)
      .u8(0xa5)
      .u16s(1, 0, 0xa5a5)
      .u32(777)
      .u8(fields.isBuild ? 1 : 0)
      .bytes([0xa5, 0xa5, 0xa5])
      .u16s(...fields.deleted, ...fields.inserted);
    for (const index of fields.inserted.keys()) writer.bytes(leafTuple(97 + index, index, 24 + index * 8));
    return {
      resourceManager: RM_SPGIST,
      info: XLOG_SPGIST_MOVE_LEAFS,
      mainData: writer.finish(),
      blocks: blocks.map((block, index) =>
        index === 1 ? { ...block, willInitialize: fields.newPage ?? false } : block,
      ),
    };
  };
  const source = () =>
    spgistPage(SPGIST_LEAF, [leafTuple(65, 3), leafTuple(66), leafTuple(67, 4), leafTuple(68, 0, 40)]);

  test('leaves a redirection for the first tuple of the chain and placeholders for the others', () => {
    const page = source();
    const record = buildRecord(moveLeafs({ deleted: [3, 4, 1], inserted: [2, 3, 4, 8] }));
    expect(redoSpgist(page, record, 0)).toBe(true);
    expect(describeLeafPage(page)).toEqual([
      'placeholder 4294967295.0 xid 0',
      'leaf 66 next 0',
      `redirect ${0x2_0006}.8 xid 777`,
      'placeholder 4294967295.0 xid 0',
    ]);
    expect(deadCounts(page)).toEqual({ redirections: 1, placeholders: 2 });
  });

  test('leaves only placeholders while the index is built', () => {
    const page = source();
    redoSpgist(page, buildRecord(moveLeafs({ deleted: [1], inserted: [1, 2], isBuild: true })), 0);
    expect(describeLeafPage(page)[0]).toBe('placeholder 4294967295.0 xid 0');
    expect(deadCounts(page)).toEqual({ redirections: 0, placeholders: 1 });
  });

  test('puts the tuples on the destination page', () => {
    const page = spgistPage(SPGIST_LEAF, [deadTuple(3), leafTuple(70)]);
    redoSpgist(page, buildRecord(moveLeafs({ deleted: [3, 4], inserted: [3, 1, 4] })), 1);
    expect(describeLeafPage(page)).toEqual([
      'leaf 98 next 1',
      'leaf 70 next 0',
      'leaf 97 next 0',
      'leaf 99 next 2',
    ]);
    expect(deadCounts(page).placeholders).toBe(0);
    const fresh = garbage();
    redoSpgist(
      fresh,
      buildRecord(moveLeafs({ deleted: [2], inserted: [1], replaceDead: true, newPage: true })),
      1,
    );
    expect(describeLeafPage(fresh)).toEqual(['leaf 97 next 0']);
    expect(flagsOf(fresh)).toBe(SPGIST_LEAF);
    const nulls = moveLeafs({ deleted: [2], inserted: [1, 2], nulls: true, newPage: true });
    redoSpgist(fresh, buildRecord(nulls), 1);
    expect(describeLeafPage(fresh)).toEqual(['leaf 97 next 0', 'leaf 98 next 1']);
    expect(flagsOf(fresh)).toBe(SPGIST_LEAF | SPGIST_NULLS);
  });

  test('lets the parent point to the tuple that was inserted last', () => {
    const page = spgistPage(0, [innerTuple([8, 8])]);
    redoSpgist(page, buildRecord(moveLeafs({ deleted: [3, 4], inserted: [3, 1, 4] })), 2);
    expect(nodeLink(itemOf(page, 1), 8)).toBe(`${0x2_0006}.4`);
  });

  test('refuses lines that are not there, and other lengths', () => {
    const parts = moveLeafs({ deleted: [3, 4], inserted: [1, 2, 3] });
    for (const deleted of [
      [0, 1],
      [5, 1],
      [0xffff, 1],
      [1, 1],
    ]) {
      const record = buildRecord(moveLeafs({ deleted, inserted: [1, 2, 3] }));
      expect(redoRefuses(redoSpgist, source(), record, 0), `${deleted}`).toBe(true);
    }
    const record = buildRecord(moveLeafs({ deleted: [3, 4], inserted: [1, 2, 4] }));
    expect(redoRefuses(redoSpgist, spgistPage(SPGIST_LEAF, []), record, 1)).toBe(true);
    expect(redoRefuses(redoSpgist, source(), buildRecord({ ...parts, blocks: [{}] }), 0)).toBe(true);
    expect(redoRefuses(redoSpgist, source(), buildRecord({ ...parts, blocks: [{}, {}, {}, {}] }), 3)).toBe(
      true,
    );
    expectMainDataIsChecked(redoSpgist, spgistPage(SPGIST_LEAF, []), parts, 1);
    const huge = (parts.mainData ?? new Uint8Array(0)).slice();
    huge.fill(0xff, 0, 2);
    for (const blockId of [0, 1, 2]) {
      expect(redoRefuses(redoSpgist, source(), buildRecord({ ...parts, mainData: huge }), blockId)).toBe(
        true,
      );
    }
  });
});
