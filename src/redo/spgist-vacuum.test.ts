import { describe, expect, test } from 'vitest';
import { expectMainDataIsChecked, redoRefuses } from '../../test/support/hostile-records.ts';
import { itemsOf } from '../../test/support/index-pages.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import {
  deadCounts,
  deadTuple,
  describeLeafPage,
  leafTuple,
  spgistPage,
} from '../../test/support/spgist-tuples.ts';
import { SPGIST_LEAF } from '../postgres/page/spgist-page.ts';
import { RM_SPGIST } from '../postgres/rmgr/resource-manager.ts';
import {
  XLOG_SPGIST_VACUUM_LEAF,
  XLOG_SPGIST_VACUUM_REDIRECT,
  XLOG_SPGIST_VACUUM_ROOT,
} from '../postgres/rmgr/spgist-layout.ts';
import { redoSpgist } from './spgist.ts';

const state = (writer: ByteWriter) => writer.u32(900).u8(0).bytes([0xa5, 0xa5, 0xa5]);
const placeholder = 'placeholder 4294967295.0 xid 0';

describe('VACUUM_LEAF', () => {
  interface VacuumLeaf {
    readonly dead?: readonly number[];
    readonly placeholders?: readonly number[];
    readonly moves?: readonly (readonly [number, number])[];
    readonly chains?: readonly (readonly [number, number])[];
  }
  const vacuumLeaf = ({
    dead = [],
    placeholders = [],
    moves = [],
    chains = [],
  }: VacuumLeaf): RecordParts => ({
    resourceManager: RM_SPGIST,
    info: XLOG_SPGIST_VACUUM_LEAF,
    mainData: state(new ByteWriter().u16s(dead.length, placeholders.length, moves.length, chains.length))
      .u16s(...dead, ...placeholders)
      .u16s(...moves.map(([from]) => from), ...moves.map(([, to]) => to))
      .u16s(...chains.map(([at]) => at), ...chains.map(([, next]) => next))
      .finish(),
    blocks: [{ blockNumber: 4 }],
  });
  const page = () =>
    spgistPage(SPGIST_LEAF, [
      ...[leafTuple(65, 2), leafTuple(66, 3, 40), leafTuple(67, 4, 32), leafTuple(68)],
      ...[leafTuple(69), leafTuple(70, 7), leafTuple(71)],
    ]);

  test('does all four kinds of changes, one after the other', () => {
    const changed = page();
    const parts = vacuumLeaf({
      dead: [5],
      placeholders: [7, 3],
      moves: [[2, 1]],
      chains: [
        [1, 4],
        [6, 0],
      ],
    });
    expect(redoSpgist(changed, buildRecord(parts), 0)).toBe(true);
    expect(describeLeafPage(changed)).toEqual([
      'leaf 66 next 4',
      placeholder,
      placeholder,
      'leaf 68 next 0',
      'dead 4294967295.0 xid 0',
      'leaf 70 next 0',
      placeholder,
    ]);
    expect(itemsOf(changed)[0]).toEqual(leafTuple(66, 4, 40));
    expect(deadCounts(changed)).toEqual({ redirections: 0, placeholders: 3 });
  });

  test('refuses lines that are not there, and other lengths', () => {
    const wrong: VacuumLeaf[] = [
      { dead: [0] },
      { dead: [8] },
      { placeholders: [1, 8, 2] },
      { placeholders: [1, 2, 1] },
      { moves: [[2, 8]] },
      { moves: [[0, 2]] },
      {
        moves: [
          [2, 1],
          [2, 3],
        ],
      },
      { chains: [[8, 1]] },
    ];
    for (const fields of wrong) {
      const record = buildRecord(vacuumLeaf(fields));
      expect(redoRefuses(redoSpgist, page(), record, 0), JSON.stringify(fields)).toBe(true);
    }
    const parts = vacuumLeaf({ dead: [5], placeholders: [7, 3], moves: [[2, 1]], chains: [[1, 4]] });
    expectMainDataIsChecked(redoSpgist, page(), parts, 0);
    expect(redoRefuses(redoSpgist, page(), buildRecord({ ...parts, blocks: [{}, {}] }), 1)).toBe(true);
    for (const at of [0, 2, 4, 6]) {
      const mainData = (parts.mainData ?? new Uint8Array(0)).slice();
      mainData.fill(0xff, at, at + 2);
      expect(redoRefuses(redoSpgist, page(), buildRecord({ ...parts, mainData }), 0)).toBe(true);
    }
  });
});

describe('VACUUM_ROOT', () => {
  const vacuumRoot = (deleted: readonly number[]): RecordParts => ({
    resourceManager: RM_SPGIST,
    info: XLOG_SPGIST_VACUUM_ROOT,
    mainData: state(new ByteWriter().u16s(deleted.length, 0xa5a5))
      .u16s(...deleted)
      .finish(),
    blocks: [{ blockNumber: 1 }],
  });
  const page = () =>
    spgistPage(
      SPGIST_LEAF,
      [65, 66, 67, 68].map((label) => leafTuple(label)),
    );

  test('deletes tuples with their lines', () => {
    const changed = page();
    expect(redoSpgist(changed, buildRecord(vacuumRoot([1, 2, 4])), 0)).toBe(true);
    expect(itemsOf(changed)).toEqual([leafTuple(67)]);
  });

  test('refuses lines that are not there, and other lengths', () => {
    for (const deleted of [[0], [5], [3, 2, 1], [1, 2, 9]]) {
      expect(redoRefuses(redoSpgist, page(), buildRecord(vacuumRoot(deleted)), 0), `${deleted}`).toBe(true);
    }
    expectMainDataIsChecked(redoSpgist, page(), vacuumRoot([1, 3]), 0);
    expect(redoRefuses(redoSpgist, page(), buildRecord({ ...vacuumRoot([1]), blocks: [{}, {}] }), 1)).toBe(
      true,
    );
  });
});

describe('VACUUM_REDIRECT', () => {
  const vacuumRedirect = (toPlaceholder: readonly number[], first: number): RecordParts => ({
    resourceManager: RM_SPGIST,
    info: XLOG_SPGIST_VACUUM_REDIRECT,
    mainData: new ByteWriter()
      .u16s(toPlaceholder.length, first)
      .u32(900)
      .u8(0)
      .u8(0xa5)
      .u16s(...toPlaceholder)
      .finish(),
    blocks: [{ blockNumber: 4 }],
  });
  const page = () =>
    spgistPage(SPGIST_LEAF, [
      ...[deadTuple(1, 9, 3, 800), leafTuple(66), deadTuple(3)],
      ...[deadTuple(1, 9, 4, 801), deadTuple(1, 9, 5, 990)],
    ]);

  test('makes placeholders of redirections, whose transaction stays', () => {
    const changed = page();
    expect(redoSpgist(changed, buildRecord(vacuumRedirect([4, 1], 0)), 0)).toBe(true);
    expect(describeLeafPage(changed)).toEqual([
      'placeholder 4294967295.0 xid 800',
      'leaf 66 next 0',
      placeholder,
      'placeholder 4294967295.0 xid 801',
      'redirect 9.5 xid 990',
    ]);
    expect(deadCounts(changed)).toEqual({ redirections: 1, placeholders: 3 });
  });

  test('drops the placeholders at the end of the page', () => {
    const changed = page();
    redoSpgist(changed, buildRecord(vacuumRedirect([5, 4], 3)), 0);
    expect(describeLeafPage(changed)).toEqual(['redirect 9.3 xid 800', 'leaf 66 next 0']);
    expect(deadCounts(changed)).toEqual({ redirections: 1, placeholders: 0 });
  });

  test('refuses what is no redirection, lines that are not there, and other lengths', () => {
    const wrong: readonly (readonly [readonly number[], number])[] = [
      [[2], 0],
      [[3], 0],
      [[0], 0],
      [[6], 0],
      [[1, 1], 0],
      [[5], 6],
    ];
    for (const [numbers, first] of wrong) {
      expect(
        redoRefuses(redoSpgist, page(), buildRecord(vacuumRedirect(numbers, first)), 0),
        `${numbers}`,
      ).toBe(true);
    }
    expectMainDataIsChecked(redoSpgist, page(), vacuumRedirect([5, 4], 3), 0);
    expect(
      redoRefuses(redoSpgist, page(), buildRecord({ ...vacuumRedirect([1], 0), blocks: [{}, {}] }), 1),
    ).toBe(true);
  });
});
