import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawLayers, drawnKey, showNames, showRange } from '../../../test/support/layer-drawing.ts';
import { LayerHistory, type ModelLayer, type ModelValue } from '../../../test/support/layer-history.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import type { Lsn } from '../../base/lsn.ts';
import { isInRange } from '../keyspace/key-range.ts';
import { keepVersions } from './keep-versions.ts';
import { type BottomPlan, pickBottom } from './pick-bottom.ts';
import { runToEnd } from './slices.ts';

/** Inputs, keys as first and last column, and up to which LSN. */
function pick(drawing: string, cutoff: number, retained: readonly number[] = [], deltaThreshold = 2): string {
  const promised = { cutoff: cutoff as Lsn, retainedLsns: retained as Lsn[] };
  const plan = runToEnd(pickBottom(drawLayers(drawing).map, { deltaThreshold }, promised));
  if (plan === undefined) return 'nothing';
  const kept = plan.retainedLsns.length === 0 ? '' : ` and at ${plan.retainedLsns.join(', ')}`;
  return `${showNames(plan.inputs)} ${showRange(plan.keys)} up to ${plan.cutoff}${kept}`;
}

test('all that is wholly below the cutoff', () => {
  expect(
    pick(
      `
      50-60   AAAA
      40-50   BBBB
      30-40   CCCC
      20-30   DDDD
      19      eeee
    `,
      52,
    ),
  ).toBe('BCDe 0-3 up to 49');
});

test('a layer that ends with the cutoff is below it', () => {
  const drawing = `
    30-40   AAAA
    20-30   BBBB
  `;
  expect(pick(drawing, 39)).toBe('AB 0-3 up to 39');
  expect(pick(drawing, 38)).toBe('nothing');
  expect(pick(drawing, 99)).toBe('AB 0-3 up to 99');
});

test('one delta layer is not worth it: that is what a rewriting leaves', () => {
  expect(
    pick(
      `
      30-40   AABB
      19      eeee
      9       ffff
    `,
      60,
    ),
  ).toBe('nothing');
  expect(pick('', 60)).toBe('nothing');
});

test('layers with keys in common go together, others do not', () => {
  expect(
    pick(
      `
      50-60   AA.....BBB
      40-50   CC.....DDD
      30-40   EEEE...FFF
      20-30   ...GG..HHH
      10-20   ....III...
    `,
      80,
    ),
  ).toBe('BDFH 7-9 up to 80');
});

test('of equals the first', () => {
  expect(
    pick(
      `
      50-60   AABB
      40-50   CCDD
    `,
      80,
    ),
  ).toBe('AC 0-1 up to 80');
});

test('what is not compacted yet bounds it from above', () => {
  expect(
    pick(
      `
      60-70*  AAAA
      50-60*  BBBB
      40-50   CCCC
      30-40   DDDD
    `,
      65,
    ),
  ).toBe('CD 0-3 up to 49');
  expect(
    pick(
      `
      40-50   CCCC
      30-40   DDDD
      20-30*  EEEE
    `,
      65,
    ),
  ).toBe('nothing');
});

test('a layer that reaches above the cutoff stays, and so does what overlaps it', () => {
  expect(
    pick(
      `
      50-60   ..AA
      40-50   ..AA
      40-50   BB..
      30-40   CCCC
      20-30   DDDD
    `,
      55,
    ),
  ).toBe('CD 0-3 up to 39');
});

test('an image layer above the lowered cutoff stays', () => {
  expect(
    pick(
      `
      45      bbbb
      40-50   AAAA
      30-40   CCCC
      20-30   DDDD
      25      eeee
    `,
      47,
    ),
  ).toBe('CDe 0-3 up to 39');
});

test('branch points and leases above the lowered cutoff are not the plan’s', () => {
  const drawing = `
    50-60   AAAA
    40-50   BBBB
    30-40   CCCC
  `;
  expect(pick(drawing, 55, [10, 35, 49, 52])).toBe('BC 0-3 up to 49 and at 10, 35');
});

test('the threshold counts delta layers over one key', () => {
  const drawing = `
    50-60   AA....
    40-50   .BBB..
    30-40   ...CCC
    20      dddddd
  `;
  expect(pick(drawing, 70, [], 3)).toBe('nothing');
  expect(pick(drawing, 70, [], 2)).toBe('ABCd 0-5 up to 70');
  expect(() => pick(drawing, 70, [], 1)).toThrow('again and again');
});

/** Rewrites as a plan says: one delta layer with what keepVersions leaves. */
function rewrite(history: LayerHistory, plan: BottomPlan<ModelLayer>): void {
  const valuesOf = (column: number): ModelValue[] => {
    const values = new Map<string, ModelValue>();
    for (const layer of plan.inputs) {
      if (!isInRange(layer.keys, drawnKey(column))) continue;
      const held = layer.values.get(column) ?? [];
      for (const value of held) values.set(`${value.lsn} ${layer.kind}`, value);
      // An image layer without a value says that the key did not exist.
      if (layer.kind === 'image' && held.length === 0) {
        values.set(`${layer.lsnStart} image`, { lsn: layer.lsnStart, isBase: true, text: '' });
      }
    }
    const versions = [...values.entries()]
      .sort(([left, a], [right, b]) => a.lsn - b.lsn || (left < right ? -1 : 1))
      .map(([, value]) => value);
    const { kept, imagesAt } = keepVersions(versions, plan);
    const images = imagesAt.map((lsn) => ({ lsn, isBase: true, text: history.read(column, lsn) }));
    return [...kept.map((index) => versions[index] as ModelValue), ...images].sort(
      (left, right) => left.lsn - right.lsn,
    );
  };
  const lowest = Math.min(...plan.inputs.map((layer) => layer.lsnStart));
  const made = history.makeLayer('delta', plan.keys, lowest, plan.cutoff + 1, valuesOf);
  history.map.replace(plan.inputs, [made]);
}

test('rewriting as planned, until there is nothing to do, changes no promised read', () => {
  let rewritten = 0;
  fc.assert(
    fc.property(fc.integer({ min: 0 }), (seed) => {
      const random = new SeededRandom(seed);
      const history = new LayerHistory(random);
      const cutoff = random.below(history.lsnEnd + 5);
      const retainedLsns = Array.from({ length: random.below(4) }, () => random.below(cutoff + 1))
        .filter((lsn, index, all) => lsn < cutoff && all.indexOf(lsn) === index)
        .sort((left, right) => left - right) as Lsn[];
      const promised = { cutoff: cutoff as Lsn, retainedLsns };
      for (let round = 0; ; round++) {
        expect(round).toBeLessThan(20);
        const plan = runToEnd(pickBottom(history.map, { deltaThreshold: 2 }, promised));
        if (plan === undefined) break;
        const { inputs, keys } = plan;
        for (const layer of history.map.overlapping(keys, 0 as Lsn, plan.cutoff + 1))
          expect(inputs).toContain(layer);
        for (const layer of inputs) expect(layer.lsnEnd).toBeLessThanOrEqual(plan.cutoff + 1);
        rewrite(history, plan);
        rewritten++;
      }
      for (let column = 0; column < history.columns; column++) {
        for (const lsn of retainedLsns) expect(history.read(column, lsn)).toBe(history.stateAt(column, lsn));
        for (let lsn = cutoff; lsn < history.lsnEnd + 5; lsn++) {
          expect(history.read(column, lsn)).toBe(history.stateAt(column, lsn));
        }
      }
    }),
    { numRuns: 300 },
  );
  expect(rewritten).toBeGreaterThan(100);
});
