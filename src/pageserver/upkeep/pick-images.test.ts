import { expect, test } from 'vitest';
import { drawLayers, showRange } from '../../../test/support/layer-drawing.ts';
import type { Lsn } from '../../base/lsn.ts';
import { type ImageSettings, pickImages } from './pick-images.ts';
import { runToEnd } from './slices.ts';

const settings: ImageSettings = { imageThreshold: 3, targetBytes: 1000 };

/** The ranges as first and last column, and the LSN. */
function pick(drawing: string, lsn: number, changed: Partial<ImageSettings> = {}): string[] {
  const tasks = runToEnd(pickImages(drawLayers(drawing).map, { ...settings, ...changed }, lsn as Lsn));
  return tasks.map((task) => `${showRange(task.keys)} at ${task.lsn}`);
}

test('where enough delta layers lie above one another', () => {
  const drawing = `
    40-50   AAAA......
    30-40   BBBBBB....
    20-30   ..CCCCCC..
    10-20   ....DDDDDD
  `;
  expect(pick(drawing, 60)).toEqual(['2-5 at 60']);
  expect(pick(drawing, 60, { imageThreshold: 4 })).toEqual([]);
  expect(pick(drawing, 60, { imageThreshold: 2 })).toEqual(['0-7 at 60']);
});

test('only those above the newest image, and below the LSN', () => {
  const drawing = `
    40-50   AAAAAA
    30-40   BBBBBB
    25      ..cc..
    20-30   DDDDDD
    10-20   EEEEEE
  `;
  expect(pick(drawing, 60)).toEqual(['0-5 at 60']);
  expect(pick(drawing, 29)).toEqual([]);
});

test('an image as of the LSN is enough, also where layers reach above it', () => {
  const drawing = `
    20-55   AAAA..
    50      bb....
    40      ....cc
    10-20   DDDDDD
  `;
  expect(pick(drawing, 50, { imageThreshold: 1 })).toEqual(['2-3 at 50']);
});

test('an image just above leaves less than enough', () => {
  expect(
    pick(
      `
      40-50   AAAAAA
      39      ..bb..
      30-40   CCCCCC
      20-30   DDDDDD
      10-20   EEEEEE
    `,
      60,
    ),
  ).toEqual(['0-1 at 60', '4-5 at 60']);
});

test('level 0 does not count', () => {
  expect(
    pick(
      `
      60-70*  AAAAAA
      50-60*  BBBBBB
      40-50*  CCCCCC
      30-40   DDEEFF
      20-30   GGGG..
      9       hhhhhh
    `,
      70,
    ),
  ).toEqual([]);
});

test('a range is widened to the image layer that it replaces', () => {
  expect(
    pick(
      `
      40-50   ...AA.....
      30-40   ..BBB.....
      20-30   CCCC......
      9       .ddddddd..
    `,
      60,
    ),
  ).toEqual(['1-7 at 60']);
});

test('… but not to where a newer one has taken its place: a key that no image can be made of is tried alone', () => {
  expect(
    pick(
      `
      50      eeee.fffff
      40-50   AAAAAAAAAA
      30-40   BBBBBBBBBB
      20-30   CCCCCCCCCC
      9       dddddddddd
    `,
      60,
    ),
  ).toEqual(['4-4 at 60']);
});

test('neighbours are joined up to the wanted size, by the size of the images that they replace', () => {
  const drawing = `
    40-50   AAAAAAAAAA
    30-40   BBBBBBBBBB
    20-30   CCCCCCCCCC
    9       dddeeeffgg
  `;
  expect(pick(drawing, 60)).toEqual(['0-9 at 60']);
  expect(pick(drawing, 60, { targetBytes: 6 })).toEqual(['0-5 at 60', '6-9 at 60']);
  expect(pick(drawing, 60, { targetBytes: 5 })).toEqual(['0-2 at 60', '3-7 at 60', '8-9 at 60']);
  expect(pick(drawing, 60, { targetBytes: 1 })).toEqual(['0-2 at 60', '3-5 at 60', '6-7 at 60', '8-9 at 60']);
});

test('where there was no image, by the size of the delta layers, each counted once', () => {
  const drawing = `
    40-50   AABBCCDDEE
    30-40   AABBCCDDEE
    20-30   FFFFFFFFFF
    10-20   GGGGGGGGGG
    0-10    HHHHHHHHHH
  `;
  // F, G and H have 100 each and come with the first columns; A to E have 40 each.
  expect(pick(drawing, 60, { targetBytes: 500 })).toEqual(['0-9 at 60']);
  expect(pick(drawing, 60, { targetBytes: 420 })).toEqual(['0-5 at 60', '6-9 at 60']);
  expect(pick(drawing, 60, { targetBytes: 100 })).toEqual(['0-1 at 60', '2-5 at 60', '6-9 at 60']);
});

test('ranges that are apart are tasks of their own', () => {
  expect(
    pick(
      `
      40-50   AA....BB
      30-40   CC....DD
      20-30   EE....FF
    `,
      50,
    ),
  ).toEqual(['0-1 at 50', '6-7 at 50']);
});

test('images that overlap one another: no key is in two tasks', () => {
  expect(
    pick(
      `
      60-70   AAAAAAAA
      50-60   BBBBBBBB
      40-50   CCCCCCCC
      30      ..ddd...
      20      eeeeeeff
    `,
      70,
      { targetBytes: 1 },
    ),
  ).toEqual(['0-1 at 70', '2-4 at 70', '5-5 at 70', '6-7 at 70']);
});

test('… also where the one begins within the other', () => {
  const drawing = `
    60-70   AAAAAAAA
    50-60   BBBBBBBB
    40-50   CCCCCCCC
    30      ddddd...
    20      ...eeeee
  `;
  expect(pick(drawing, 70, { targetBytes: 1 })).toEqual(['0-4 at 70', '5-7 at 70']);
  expect(pick(drawing, 70)).toEqual(['0-7 at 70']);
});

test('a delta layer that the image would be in the middle of counts too', () => {
  expect(
    pick(
      `
      40-50   AAAA
      30-40   BBBB
      20-30   CCCC
    `,
      45,
    ),
  ).toEqual(['0-3 at 45']);
});

test('nothing to do in an empty map, nor where an image is the newest of all', () => {
  expect(pick('', 10)).toEqual([]);
  expect(
    pick(
      `
      49      dddd
      40-50   AAAA
      30-40   BBBB
      20-30   CCCC
    `,
      60,
    ),
  ).toEqual([]);
});
