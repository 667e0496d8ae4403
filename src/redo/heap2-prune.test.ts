import { describe, expect, test } from 'vitest';
import {
  getLine,
  HEAP_BLOCK,
  heapPage,
  linesOf,
  sampleData,
  tupleOf,
} from '../../test/support/heap-pages.ts';
import {
  expectBlockDataIsChecked,
  expectDamageIsRefused,
  expectMainDataIsChecked,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import {
  LINE_DEAD,
  LINE_NORMAL,
  LINE_REDIRECT,
  LINE_UNUSED,
  linePointerOffset,
  makeLinePointer,
  PAGE_FLAGS,
  PAGE_HAS_FREE_LINES,
  PAGE_LOWER,
  PAGE_UPPER,
  type Page,
} from '../postgres/page/page.ts';
import { XLOG_HEAP2_PRUNE_VACUUM_SCAN } from '../postgres/rmgr/heap2.ts';
import {
  XLH_FREEZE_XVAC,
  XLH_INVALID_XVAC,
  XLHP_CLEANUP_LOCK,
  XLHP_HAS_CONFLICT_HORIZON,
  XLHP_HAS_DEAD_ITEMS,
  XLHP_HAS_FREEZE_PLANS,
  XLHP_HAS_NOW_UNUSED_ITEMS,
  XLHP_HAS_REDIRECTIONS,
} from '../postgres/rmgr/heap2-prune.ts';
import { RM_HEAP2 } from '../postgres/rmgr/resource-manager.ts';
import { redoHeap2 } from './heap2.ts';

interface Plan {
  readonly xmax: number;
  readonly infomask2: number;
  readonly infomask: number;
  readonly flags: number;
  readonly lines: readonly number[];
}

interface Changes {
  readonly plans?: readonly Plan[];
  readonly redirected?: readonly (readonly [number, number])[];
  readonly dead?: readonly number[];
  readonly unused?: readonly number[];
}

const CLEANUP = XLHP_CLEANUP_LOCK;

function prune(flags: number, changes: Changes): RecordParts {
  const { plans, redirected, dead, unused } = changes;
  const data = new ByteWriter();
  if (plans !== undefined) {
    flags |= XLHP_HAS_FREEZE_PLANS;
    data.u16s(plans.length, 0);
    for (const plan of plans) {
      data.u32(plan.xmax).u16s(plan.infomask2, plan.infomask).u8(plan.flags).u8(0).u16(plan.lines.length);
    }
  }
  if (redirected !== undefined) {
    flags |= XLHP_HAS_REDIRECTIONS;
    data.u16s(redirected.length, ...redirected.flat());
  }
  if (dead !== undefined) {
    flags |= XLHP_HAS_DEAD_ITEMS;
    data.u16s(dead.length, ...dead);
  }
  if (unused !== undefined) {
    flags |= XLHP_HAS_NOW_UNUSED_ITEMS;
    data.u16s(unused.length, ...unused);
  }
  for (const plan of plans ?? []) data.u16s(...plan.lines);
  const mainData = new ByteWriter().u8(0xa5).u8(flags);
  if ((flags & XLHP_HAS_CONFLICT_HORIZON) !== 0) mainData.u32(777);
  return {
    resourceManager: RM_HEAP2,
    info: XLOG_HEAP2_PRUNE_VACUUM_SCAN,
    mainData: mainData.finish(),
    blocks: [{ blockNumber: HEAP_BLOCK, data: data.finish() }],
  };
}

const replay = (page: Page, parts: RecordParts) =>
  redoHeap2(page, buildRecord(parts), 0, { hintBitsAreLogged: true });

/** Five tuples of 8, 16, 24, 32 and 40 bytes of data. */
const samplePage = () =>
  heapPage(...[8, 16, 24, 32, 40].map((length) => ({ data: sampleData(length, length) })));

describe('pruning', () => {
  test('redirects, marks as dead and as unused, and closes the gaps', () => {
    const page = samplePage();
    const changes = { redirected: [[1, 3]] as const, dead: [2], unused: [5] };
    expect(replay(page, prune(CLEANUP | XLHP_HAS_CONFLICT_HORIZON, changes))).toBe(true);
    expect(linesOf(page)).toEqual([
      [LINE_REDIRECT, 3, 0],
      [LINE_DEAD, 0, 0],
      [LINE_NORMAL, 8192 - 48, 48],
      [LINE_NORMAL, 8192 - 48 - 56, 56],
    ]);
    expect(tupleOf(page, 3).data).toEqual(sampleData(24, 24));
    expect(tupleOf(page, 4).data).toEqual(sampleData(32, 32));
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(24 + 16);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(8192 - 48 - 56);
    expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(0);
  });

  test('an unused line in between is worth a hint', () => {
    const page = samplePage();
    replay(page, prune(CLEANUP, { unused: [2, 3] }));
    expect(linesOf(page).map(([flags]) => flags)).toEqual([
      LINE_NORMAL,
      LINE_UNUSED,
      LINE_UNUSED,
      LINE_NORMAL,
      LINE_NORMAL,
    ]);
    expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(PAGE_HAS_FREE_LINES);
    expect([1, 4, 5].map((line) => tupleOf(page, line).data)).toEqual(
      [8, 32, 40].map((length) => sampleData(length, length)),
    );
  });

  test('a page without any tuple left is empty', () => {
    const page = samplePage();
    replay(page, prune(CLEANUP, { unused: [1, 2, 3, 4, 5] }));
    expect([page.view.getUint16(PAGE_LOWER, true), page.view.getUint16(PAGE_UPPER, true)]).toEqual([
      24, 8192,
    ]);
    expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(0);
  });
});

test('without a cleanup lock nothing moves: dead lines become unused, and the last ones are given back', () => {
  const page = samplePage();
  for (const line of [2, 4, 5])
    page.view.setUint32(linePointerOffset(line), makeLinePointer(0, LINE_DEAD, 0), true);
  const upper = page.view.getUint16(PAGE_UPPER, true);
  const third = getLine(page, 3);
  replay(page, prune(0, { unused: [2, 4, 5] }));
  expect(linesOf(page).map(([flags]) => flags)).toEqual([LINE_NORMAL, LINE_UNUSED, LINE_NORMAL]);
  expect(getLine(page, 3)).toBe(third);
  expect(page.view.getUint16(PAGE_UPPER, true)).toBe(upper);
  expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(PAGE_HAS_FREE_LINES);
});

test('the first line is never given back', () => {
  const page = samplePage();
  const lines = [1, 2, 3, 4, 5];
  for (const line of lines)
    page.view.setUint32(linePointerOffset(line), makeLinePointer(0, LINE_DEAD, 0), true);
  replay(page, prune(0, { unused: lines }));
  expect(linesOf(page)).toEqual([[LINE_UNUSED, 0, 0]]);
  expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(PAGE_HAS_FREE_LINES);
});

describe('freezing', () => {
  const plan = (flags: number, lines: readonly number[]): Plan => ({
    xmax: 0,
    infomask2: 3,
    infomask: 0x0b02,
    flags,
    lines,
  });

  test('writes the masks of each plan into its tuples', () => {
    const page = heapPage(...[1, 2, 3, 4].map((value) => ({ data: [value], xmax: 50, cid: 9 })));
    const plans = [plan(0, [1, 4]), { ...plan(XLH_FREEZE_XVAC, [2]), xmax: 60 }, plan(XLH_INVALID_XVAC, [3])];
    expect(replay(page, prune(0, { plans }))).toBe(true);
    const frozen = { infomask: 0x0b02, infomask2: 3, xmin: 700 };
    expect([1, 2, 3, 4].map((line) => tupleOf(page, line))).toMatchObject([
      { ...frozen, xmax: 0, cid: 9 },
      { ...frozen, xmax: 60, cid: 2 },
      { ...frozen, xmax: 0, cid: 0 },
      { ...frozen, xmax: 0, cid: 9 },
    ]);
  });

  test('comes after pruning', () => {
    const page = samplePage();
    replay(page, prune(CLEANUP, { plans: [plan(0, [4])], dead: [1, 2, 3] }));
    expect(tupleOf(page, 4)).toMatchObject({ infomask: 0x0b02, data: sampleData(32, 32) });
    expect(tupleOf(page, 5).infomask).not.toBe(0x0b02);
  });

  test('refuses unknown flags, and lines without a tuple', () => {
    const refuses = (changes: Changes) =>
      redoRefuses(redoHeap2, samplePage(), buildRecord(prune(CLEANUP, changes)), 0);
    expect(refuses({ plans: [plan(0, [1])] })).toBe(false);
    expect(refuses({ plans: [plan(1, [1])] })).toBe(true);
    expect(refuses({ plans: [plan(8, [1])] })).toBe(true);
    for (const line of [0, 6, 0xffff]) expect(refuses({ plans: [plan(0, [line])] }), `${line}`).toBe(true);
    expect(refuses({ plans: [plan(0, [2])], dead: [2] })).toBe(true);
  });
});

describe('hostile records', () => {
  const plan = { xmax: 0, infomask2: 3, infomask: 0x0b02, flags: 0, lines: [3, 4] };
  const all = prune(CLEANUP | XLHP_HAS_CONFLICT_HORIZON, {
    plans: [plan],
    redirected: [[1, 3]],
    dead: [2],
    unused: [5],
  });

  test('main data and block data are checked', () => {
    expectMainDataIsChecked(redoHeap2, samplePage(), all, 0);
    expectBlockDataIsChecked(redoHeap2, samplePage(), all, 0);
    expect(
      redoRefuses(redoHeap2, samplePage(), buildRecord(prune(1, { unused: [5] })), 0),
      'unknown flag',
    ).toBe(true);
  });

  test('lines that are not there', () => {
    for (const changes of [
      { redirected: [[0, 3]] },
      { redirected: [[1, 6]] },
      { redirected: [[1, 0]] },
      { redirected: [[1, 0x8003]] },
      { dead: [0] },
      { dead: [6] },
      { unused: [0] },
      { unused: [1, 0xffff] },
    ] as Changes[]) {
      const record = buildRecord(prune(CLEANUP, changes));
      expect(redoRefuses(redoHeap2, samplePage(), record, 0), JSON.stringify(changes)).toBe(true);
    }
  });

  test('counts that are too large', () => {
    for (const flag of [
      XLHP_HAS_FREEZE_PLANS,
      XLHP_HAS_REDIRECTIONS,
      XLHP_HAS_DEAD_ITEMS,
      XLHP_HAS_NOW_UNUSED_ITEMS,
    ]) {
      const blocks = [
        { blockNumber: HEAP_BLOCK, data: new ByteWriter().u16s(0xffff, 0, 1, 1, 1, 1).finish() },
      ];
      const mainData = new ByteWriter().u8(0).u8(flag).finish();
      expect(
        redoRefuses(redoHeap2, samplePage(), buildRecord({ ...all, mainData, blocks }), 0),
        `${flag}`,
      ).toBe(true);
    }
  });

  test('whatever is damaged, replay ends with a refusal at worst', () => {
    const second = prune(0, { unused: [2, 5] });
    const samples = [all, second].map((parts) => ({ page: samplePage(), parts }));
    expectDamageIsRefused(redoHeap2, samples);
  });
});
