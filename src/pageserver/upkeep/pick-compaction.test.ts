import { expect, test } from 'vitest';
import { type DrawnLayer, drawLayers } from '../../../test/support/layer-drawing.ts';
import { type CompactionPlan, type CompactionSettings, pickCompaction } from './pick-compaction.ts';

const settings: CompactionSettings = { level0Threshold: 3, inputBytesMax: 10_000, targetBytes: 100 };

function show(plan: CompactionPlan<DrawnLayer> | undefined): string {
  if (plan === undefined) return 'nothing';
  const names = plan.inputs.map((layer) => layer.name).join('');
  return `${names} ${plan.lsnStart}-${plan.lsnEnd}`;
}

const pick = (drawing: string, changed: Partial<CompactionSettings> = {}): string =>
  show(pickCompaction(drawLayers(drawing).map, { ...settings, ...changed }));

test('too few layers of level 0: nothing to do', () => {
  expect(
    pick(`
      50-60*  AAAA
      40-50*  BBBB
      30-40   CCDD
      20-30   EEFF
    `),
  ).toBe('nothing');
  expect(pick('')).toBe('nothing');
});

test('all layers of level 0, oldest first; those that were compacted before stay', () => {
  expect(
    pick(`
      50-60*  AAAA
      40-50*  BBBB
      30-40*  CCCC
      20-30   EEFF
      25      gggg
    `),
  ).toBe('CBA 30-60');
});

test('no more bytes than are wanted at once: the oldest ones', () => {
  const drawing = `
    60-70*  AAAA
    50-60*  BBBB
    40-50*  CCCC
    30-40*  DDDD
    20-30   EEFF
  `;
  expect(pick(drawing, { inputBytesMax: 80 })).toBe('DC 30-50');
  expect(pick(drawing, { inputBytesMax: 119 })).toBe('DC 30-50');
  expect(pick(drawing, { inputBytesMax: 120 })).toBe('DCB 30-60');
});

test('one layer larger than that is cut alone', () => {
  expect(
    pick(
      `
      60-70*  AAAA
      50-60*  BBBB
      30-50*  CCCC
    `,
      { inputBytesMax: 50 },
    ),
  ).toBe('C 30-50');
});

test('LSNs that no layer has are no hindrance', () => {
  expect(
    pick(`
      60-70*  AAAA
      40-50*  BBBB
      10-20*  CCCC
    `),
  ).toBe('CBA 10-70');
});

test('what an interrupted compaction has left is merged with what it was made of', () => {
  expect(
    pick(`
      50-60*  AAAA
      40-50*  BBBB
      30-40*  CCCC
      40-50   ..DD
      30-40   ..DD
      20-30   EEFF
    `),
  ).toBe('CDBA 30-60');
});

test('… and if that reaches farther than the bytes that are wanted, all that it overlaps', () => {
  expect(
    pick(
      `
      60-70*  AAAA
      50-60*  BBBB
      40-50*  CCCC
      30-40*  DDDD
      40-60   ..EE
      30-40   ..EE
      20-30   FF..
    `,
      { inputBytesMax: 40 },
    ),
  ).toBe('DECB 30-60');
});

test('a compacted layer that reaches into level 0 from below is taken as well', () => {
  expect(
    pick(`
      50-60*  AAAA
      40-50*  BBBB
      30-40*  CCCC
      25-35   D...
      20-25   .EE.
      15-25   F...
    `),
  ).toBe('DCBA 25-60');
});

test('images in between do not matter', () => {
  expect(
    pick(`
      50-60*  AAAA
      45      bbbb
      40-50*  CCCC
      30-40*  DDDD
      39      eeee
    `),
  ).toBe('DCA 30-60');
});

test('the plan says how large its outputs are to be', () => {
  const { map } = drawLayers('10-20* AA');
  expect(pickCompaction(map, { ...settings, level0Threshold: 1 })?.targetBytes).toBe(100);
});
