import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawLayers, showNames } from '../../../test/support/layer-drawing.ts';
import { LayerHistory } from '../../../test/support/layer-history.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { PromisedReads } from './gc-cutoff.ts';
import { pickGarbage } from './pick-garbage.ts';
import { runToEnd } from './slices.ts';

const promise = (cutoff: number, retained: readonly number[] = []): PromisedReads => ({
  cutoff: cutoff as Lsn,
  retainedLsns: retained as Lsn[],
});

const pick = (drawing: string, cutoff: number, retained?: readonly number[]): string =>
  showNames(runToEnd(pickGarbage(drawLayers(drawing).map, promise(cutoff, retained))));

test('what is below an image at or below the cutoff goes', () => {
  const drawing = `
    40-50   AAAA
    35      bbbb
    30-40   CCCC
    20-30   DDDD
    19      eeee
    10-20   FFFF
  `;
  expect(pick(drawing, 45)).toBe('DFe');
  expect(pick(drawing, 35)).toBe('DFe');
  // A read at 34 still needs what is below.
  expect(pick(drawing, 34)).toBe('F');
  expect(pick(drawing, 19)).toBe('F');
  expect(pick(drawing, 18)).toBe('');
});

test('a delta layer that an image is in the middle of is read above the image', () => {
  expect(
    pick(
      `
      25      bbbb
      20-30   AAAA
      10-20   CCCC
    `,
      100,
    ),
  ).toBe('C');
});

test('an image at the last LSN of a delta layer replaces that', () => {
  expect(
    pick(
      `
      29      bbbb
      20-30   AAAA
    `,
      29,
    ),
  ).toBe('A');
});

test('images have to cover all keys of a layer, but it need not be one image, nor at one LSN', () => {
  expect(
    pick(
      `
      40      bb....
      35      ...ccc
      20-30   AAAAAA
      10-20   DDEEEE
    `,
      50,
    ),
  ).toBe('D');
  expect(
    pick(
      `
      40      bb....
      37      ..ddd.
      35      ...ccc
      20-30   AAAAAA
    `,
      50,
    ),
  ).toBe('A');
});

test('a layer of level 0 is over all keys: images of some do not replace it', () => {
  expect(
    pick(
      `
      40      bbbb
      20-30*  AAAA
    `,
      50,
    ),
  ).toBe('');
});

test('the image that a branch point reads stays, and what lies between it and the branch point', () => {
  const drawing = `
    60      aaaa
    50-60   BBBB
    40-50   CCCC
    35      dddd
    30-40   EEEE
    20-30   FFFF
    15      gggg
    10-20   HHHH
  `;
  expect(pick(drawing, 70)).toBe('BCEFHdg');
  expect(pick(drawing, 70, [45])).toBe('BFHg');
  expect(pick(drawing, 70, [35])).toBe('BCEFHg'.replace('E', ''));
  expect(pick(drawing, 70, [25])).toBe('BCEd');
  expect(pick(drawing, 70, [25, 45])).toBe('B');
  expect(pick(drawing, 70, [5])).toBe('BCEFHdg');
});

test('an image above a branch point is not needed for it', () => {
  expect(
    pick(
      `
      60      aaaa
      50      bbbb
      40      cccc
      30      dddd
    `,
      60,
      [35],
    ),
  ).toBe('bc');
});

test('the newest image stays whatever the cutoff, and so does what has no image above it', () => {
  expect(
    pick(
      `
      20-30   AAAA
      15      bbbb
    `,
      1000,
    ),
  ).toBe('');
  expect(pick('20-30 AAAA', 1000)).toBe('');
  expect(pick('', 1000)).toBe('');
});

test('above the cutoff nothing goes that a read can visit: at 29 there is no image yet', () => {
  const drawing = `
    50      aaaa
    40-50   BBBB
    30      cccc
    20-30   DDDD
    15-20   EEEE
    20      ffff
    20-21   GGGG
  `;
  expect(pick(drawing, 10)).toBe('G');
});

test('whatever layers there are, all promised reads find the same before and after', () => {
  let removed = 0;
  fc.assert(
    fc.property(fc.integer({ min: 0 }), (seed) => {
      const random = new SeededRandom(seed);
      const history = new LayerHistory(random);
      const cutoff = random.below(history.lsnEnd + 5);
      const retained = Array.from({ length: random.below(4) }, () => random.below(cutoff + 1))
        .filter((lsn, index, all) => lsn < cutoff && all.indexOf(lsn) === index)
        .sort((left, right) => left - right);
      const promised = [...retained];
      for (let lsn = cutoff; lsn < history.lsnEnd + 10; lsn++) promised.push(lsn);
      for (let column = 0; column < history.columns; column++) {
        for (const lsn of promised) expect(history.read(column, lsn)).toBe(history.stateAt(column, lsn));
      }
      const garbage = runToEnd(pickGarbage(history.map, promise(cutoff, retained)));
      removed += garbage.length;
      for (const layer of garbage) history.map.remove(layer);
      for (let column = 0; column < history.columns; column++) {
        for (const lsn of promised) expect(history.read(column, lsn)).toBe(history.stateAt(column, lsn));
      }
      // What has become superfluous by that was so before: nothing is left over for a second time.
      expect(runToEnd(pickGarbage(history.map, promise(cutoff, retained)))).toEqual([]);
    }),
    { numRuns: 300 },
  );
  expect(removed).toBeGreaterThan(300);
});

test('a layer stays only if some promised read could visit it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0 }), (seed) => {
      const random = new SeededRandom(seed);
      const { map, columns, lsnEnd } = new LayerHistory(random);
      const cutoff = random.below(lsnEnd);
      const garbage = new Set(runToEnd(pickGarbage(map, promise(cutoff))));
      for (const layer of map) {
        // By the plain rule, column by column, of the keys that are drawn.
        if (layer.keys.start.kind !== layer.keys.end.kind) continue;
        let isNeeded = false;
        for (let column = layer.keys.start.index; column < layer.keys.end.index; column++) {
          for (let lsn = Math.max(cutoff, layer.lsnStart); lsn < lsnEnd + 30; lsn++) {
            const end = layer.kind === 'delta' ? layer.lsnEnd - 1 : layer.lsnStart + 1;
            const isHidden = [...map].some(
              (image) =>
                image.kind === 'image' &&
                image.keys.start.index <= column &&
                column < image.keys.end.index &&
                image.lsnStart <= lsn &&
                image.lsnStart >= end,
            );
            if (!isHidden) isNeeded = true;
          }
        }
        expect(garbage.has(layer)).toBe(!isNeeded);
      }
      expect(columns).toBeGreaterThan(0);
    }),
    { numRuns: 60 },
  );
});
