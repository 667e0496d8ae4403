import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { drawLayers as parseDrawing } from '../../../test/support/layer-drawing.ts';
import { SAMPLE_HEAD, SAMPLE_NAME, sampleTimeline } from '../../../test/support/sample-timeline.ts';
import type { Lsn } from '../../base/lsn.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import { drawLayers } from './layer-picture.ts';

const NOTHING = { name: undefined, head: undefined };

interface Shape {
  readonly className: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly title: string;
}

/** The shapes of layers, by the tooltips that they have. */
function shapesOf(svg: string): Shape[] {
  const shapes: Shape[] = [];
  for (const [, tag, attributes, title] of svg.matchAll(/<(rect|line)([^>]*)><title>([^<]*)<\/title>/g)) {
    const values = Object.fromEntries(
      [...(attributes as string).matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    );
    const className = values['class'] as string;
    if (className === 'band') continue;
    const number = (name: string): number => Number(values[name]);
    shapes.push(
      tag === 'rect'
        ? {
            className,
            title: title as string,
            left: number('x'),
            right: number('x') + number('width'),
            top: number('y'),
            bottom: number('y') + number('height'),
          }
        : {
            className,
            title: title as string,
            left: number('x1'),
            right: number('x2'),
            top: number('y1'),
            bottom: number('y2'),
          },
    );
  }
  return shapes;
}

test('the picture in the documentation is what is drawn', async () => {
  const svg = drawLayers(sampleTimeline(), { name: SAMPLE_NAME, head: SAMPLE_HEAD });
  await expect(svg).toMatchFileSnapshot(fileURLToPath(new URL('../../../docs/layers.svg', import.meta.url)));
});

test('a layer is drawn once, says its name, and stands beside others as its keys and LSNs do', () => {
  const { layers } = parseDrawing(`
    40-50*  DDDDDD
    39      ..ii..
    20-40   AAABBB
    10-20   CCCCCC
  `);
  const svg = drawLayers(layers, NOTHING);
  const shapes = shapesOf(svg);
  expect(shapes).toHaveLength(layers.length);
  const of = (name: string): Shape => {
    const layer = layers.find((each) => each.name === name);
    if (layer === undefined) throw new Error(`no layer ${name}`);
    const found = shapes.filter(({ title }) => title.includes(formatLayerFileName(layer)));
    expect(found).toHaveLength(1);
    return found[0] as Shape;
  };
  const [a, b, c, d, i] = ['A', 'B', 'C', 'D', 'i'].map(of) as [Shape, Shape, Shape, Shape, Shape];
  expect(a.right).toBeLessThanOrEqual(b.left);
  expect(Math.abs(a.top - b.top)).toBeLessThan(0.1);
  expect(a.bottom).toBeLessThanOrEqual(c.top);
  expect(d.bottom).toBeLessThanOrEqual(a.top);
  expect([d.left < a.left, d.right > b.right]).toEqual([true, true]);
  expect([i.left > a.left, i.right < b.right, i.top > a.top, i.top < a.bottom]).toEqual(Array(4).fill(true));
  expect([a, c, d, i].map(({ className }) => className)).toEqual([
    'delta l1',
    'delta l1',
    'delta l0',
    'image',
  ]);
});

test('the order of the layers does not matter but for that of the shapes, and nothing is outside of the picture', () => {
  const layers = sampleTimeline();
  const svg = drawLayers(layers, NOTHING);
  const sorted = (text: string): string[] => text.split('\n').sort();
  expect(sorted(drawLayers(layers.toReversed(), NOTHING))).toEqual(sorted(svg));
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) as unknown as [string, string, string];
  for (const shape of shapesOf(svg)) {
    expect(shape.left).toBeGreaterThanOrEqual(0);
    expect(shape.right).toBeLessThanOrEqual(Number(width));
    expect(shape.top).toBeGreaterThanOrEqual(0);
    expect(shape.bottom).toBeLessThanOrEqual(Number(height));
  }
});

test('a timeline without layers, or with one, has a picture', () => {
  expect(drawLayers([], NOTHING)).toContain('There is no layer.');
  const [initial] = sampleTimeline();
  if (initial === undefined) throw new Error('there is no sample');
  const shapes = shapesOf(drawLayers([initial], NOTHING));
  expect(shapes).toHaveLength(1);
  expect(shapes[0]?.right).toBeGreaterThan((shapes[0]?.left as number) + 500);
  const low = shapesOf(drawLayers([{ ...initial, lsnStart: 0 as Lsn, lsnEnd: 1 as Lsn }], NOTHING));
  expect(low[0]?.top).toBeGreaterThan(0);
});
