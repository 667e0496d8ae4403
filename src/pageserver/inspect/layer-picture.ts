import { formatLsn } from '../../base/lsn.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import type { TimelineName } from '../remote/object-keys.ts';
import type { IndexHead } from '../remote/timeline-index.ts';
import { keyRangeText } from './key-text.ts';
import { levelOf } from './layer-rows.ts';
import { KeyAxis, LsnAxis } from './picture-axes.ts';
import { element, escapeXml, lineElement, textElement } from './svg.ts';

export interface PictureOptions {
  /** Whose layers they are, if that is known. */
  readonly name: TimelineName | undefined;
  /** Where the positions of the timeline are taken from, if there is an index. */
  readonly head: IndexHead | undefined;
}

const LEFT = 130;
const RIGHT = 40;
const TOP = 92;
const BOTTOM = 190;
const PLOT_WIDTH_MIN = 840;
const PLOT_WIDTH_MAX = 1700;
const BAND_HEIGHT = 16;
const LABEL_DISTANCE = 18;
/** What is thinner could not be seen. */
const DELTA_HEIGHT_MIN = 2.5;
const IMAGE_WIDTH_MIN = 3;
/** Of boxes below this, outlines would be all that is seen. */
const FLAT_HEIGHT = 6;
const GAP = 0.75;
/** Letters are about so wide. */
const LETTER_WIDTH = 6.2;

const STYLE = `
text { font: 11px "DejaVu Sans", Verdana, sans-serif; fill: #374151 }
.title { font-size: 15px; font-weight: bold; fill: #111827 }
.frame { fill: #fcfcfd; stroke: #9ca3af }
.grid { stroke: #e5e7eb }
.stem { stroke: #eceef2 }
.band { stroke: #ffffff }
.l0 { fill: #f59e0b; fill-opacity: .38; stroke: #b45309 }
.l1 { fill: #3b82f6; fill-opacity: .32; stroke: #1d4ed8 }
.delta { stroke-width: .75 }
.flat { stroke-width: .3 }
.image { stroke: #047857; stroke-width: 3 }
.position { stroke: #be123c; stroke-dasharray: 6 4 }
.position-name { fill: #be123c; stroke: #ffffff; stroke-width: 3; stroke-opacity: .85; paint-order: stroke }
.delta:hover { fill-opacity: .8 }
.image:hover { stroke-width: 6 }
`;

const CLASSES = [
  { className: 'l0', name: 'delta layers of level 0, as they were flushed' },
  { className: 'l1', name: 'delta layers of level 1, compacted' },
  { className: 'image', name: 'image layers' },
] as const;
type ClassName = (typeof CLASSES)[number]['className'];

const classOf = (layer: LayerDescription): ClassName => {
  const level = levelOf(layer);
  return level === undefined ? 'image' : level === 0 ? 'l0' : 'l1';
};

function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

const sum = (layers: readonly LayerDescription[]): number =>
  layers.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);

const clamp = (low: number, value: number, high: number): number => Math.max(low, Math.min(value, high));

/**
 * A picture of layers for people, as SVG: keys from left to right, LSNs from the bottom to the top. A delta layer is a
 * box, an image layer a line. The same layers give the same picture.
 */
export function drawLayers(layers: readonly LayerDescription[], options: PictureOptions): string {
  if (layers.length === 0)
    return document(LEFT + PLOT_WIDTH_MIN + RIGHT, 150, [...titleOf(layers, options), emptyNote()]);
  const keys = new KeyAxis(layers, LEFT, (columns) => clamp(PLOT_WIDTH_MIN, columns * 14, PLOT_WIDTH_MAX));
  const positions = positionsOf(options.head);
  const lsns = new Set(layers.flatMap(({ lsnStart, lsnEnd }) => [lsnStart, lsnEnd]));
  const height = clamp(360, lsns.size * 12, 1000);
  const lsnAxis = new LsnAxis([...lsns, ...positions.map(({ lsn }) => lsn)], TOP, height);
  return document(keys.end + RIGHT, lsnAxis.bottom + BOTTOM, [
    ...titleOf(layers, options),
    ...frame(keys, lsnAxis),
    ...axisOfLsns(keys, lsnAxis),
    ...axisOfKeys(keys, lsnAxis),
    ...layers.filter((layer) => classOf(layer) === 'l0').map((layer) => drawDelta(layer, keys, lsnAxis)),
    ...layers.filter((layer) => classOf(layer) === 'l1').map((layer) => drawDelta(layer, keys, lsnAxis)),
    ...layers.filter((layer) => layer.kind === 'image').map((layer) => drawImage(layer, keys, lsnAxis)),
    ...positions.flatMap(({ lsn, name, isAbove }) => drawPosition(lsn, name, isAbove, keys, lsnAxis)),
  ]);
}

function document(width: number, height: number, parts: readonly string[]): string {
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width,
    height,
    viewBox: `0 0 ${Math.round(width)} ${Math.round(height)}`,
  };
  const background = element('rect', { width: '100%', height: '100%', fill: '#ffffff' });
  const content = [`<style>${escapeXml(STYLE)}</style>`, background, ...parts].join('\n');
  return `${element('svg', attributes, `\n${content}\n`)}\n`;
}

function titleOf(layers: readonly LayerDescription[], { name, head }: PictureOptions): string[] {
  const whose =
    name === undefined ? 'Layers' : `Layers of timeline ${name.timelineId}, tenant ${name.tenantId}`;
  const ancestor =
    head?.ancestor === undefined
      ? ''
      : `, a branch of ${head.ancestor.timelineId} at ${formatLsn(head.ancestor.lsn)}`;
  const count = `${layers.length} layer${layers.length === 1 ? '' : 's'}, ${sizeText(sum(layers))}${ancestor}`;
  const parts = [textElement(whose, 24, 28, { class: 'title' }), textElement(count, 24, 48)];
  let x = 24;
  for (const { className, name: text } of CLASSES) {
    const some = layers.filter((layer) => classOf(layer) === className);
    parts.push(swatch(className, x));
    const label = `${text}: ${some.length === 0 ? 'none' : `${some.length}, ${sizeText(sum(some))}`}`;
    parts.push(textElement(label, x + 30, 72));
    x += 56 + label.length * LETTER_WIDTH;
  }
  return parts;
}

function swatch(className: ClassName, x: number): string {
  if (className === 'image') return lineElement(x, 68, x + 24, 68, { class: 'image' });
  return element('rect', { x, y: 62, width: 24, height: 12, class: `delta ${className}` });
}

const emptyNote = (): string => textElement('There is no layer.', 24, 110);

function frame(keys: KeyAxis, lsns: LsnAxis): string[] {
  const { start, end } = keys;
  const { top, bottom } = lsns;
  return [element('rect', { x: start, y: top, width: end - start, height: bottom - top, class: 'frame' })];
}

function axisOfLsns(keys: KeyAxis, lsns: LsnAxis): string[] {
  return [
    textElement('LSN', keys.start - 10, lsns.top - 6, { 'text-anchor': 'end' }),
    ...lsns
      .ticks()
      .flatMap(({ position, label }) => [
        lineElement(keys.start, position, keys.end, position, { class: 'grid' }),
        textElement(label, keys.start - 10, position + 4, { 'text-anchor': 'end' }),
      ]),
  ];
}

function axisOfKeys(keys: KeyAxis, lsns: LsnAxis): string[] {
  const { bottom } = lsns;
  const stems = thinned(keys.stems(), 4).map((x) => lineElement(x, lsns.top, x, bottom, { class: 'stem' }));
  const bands = keys.kinds().flatMap(({ start, end, label }, index) => {
    const fill = index % 2 === 0 ? '#e5e7eb' : '#d1d5db';
    const where = { x: start, y: bottom + 4, width: end - start, height: BAND_HEIGHT, class: 'band', fill };
    const box = element('rect', where, element('title', {}, escapeXml(label)));
    const fits = label.length * LETTER_WIDTH < end - start - 6;
    if (!fits) return [box];
    return [box, textElement(label, (start + end) / 2, bottom + 16, { 'text-anchor': 'middle' })];
  });
  const labelTop = bottom + BAND_HEIGHT + 8;
  const labels = keys.ticks(LABEL_DISTANCE).flatMap(({ position, label }) => [
    lineElement(position, labelTop - 4, position, labelTop + 2, { stroke: '#9ca3af' }),
    textElement(label, position + 4, labelTop + 10, {
      'text-anchor': 'end',
      transform: `rotate(-48 ${Math.round(position + 4)} ${Math.round(labelTop + 10)})`,
    }),
  ]);
  return [...stems, ...bands, ...labels];
}

/** So many of the places, in order, that they are this far apart. */
function thinned(places: readonly number[], distance: number): number[] {
  const kept: number[] = [];
  for (const place of places) if (place - (kept.at(-1) ?? -distance) >= distance) kept.push(place);
  return kept;
}

function tooltip(layer: LayerDescription): string {
  const { kind, keys, lsnStart, lsnEnd, generation, sizeBytes } = layer;
  const level = levelOf(layer);
  const lsns =
    kind === 'image' ? `at ${formatLsn(lsnStart)}` : `${formatLsn(lsnStart)} to ${formatLsn(lsnEnd)}`;
  const lines = [
    `${kind} layer${level === undefined ? '' : ` of level ${level}`}, ${lsns}`,
    keyRangeText(keys),
    `${sizeText(sizeBytes)}, generation ${generation}`,
    formatLayerFileName(layer),
  ];
  return element('title', {}, escapeXml(lines.join('\n')));
}

function drawDelta(layer: LayerDescription, keys: KeyAxis, lsns: LsnAxis): string {
  const start = keys.positionOf(layer.keys.start);
  const end = keys.positionOf(layer.keys.end);
  const gap = end - start > 6 * GAP ? GAP : 0;
  const bottom = lsns.positionOf(layer.lsnStart);
  const height = Math.max(DELTA_HEIGHT_MIN, bottom - lsns.positionOf(layer.lsnEnd) - gap);
  const where = { x: start + gap, y: bottom - height, width: end - start - 2 * gap, height };
  const flat = height < FLAT_HEIGHT ? ' flat' : '';
  return element('rect', { ...where, class: `delta ${classOf(layer)}${flat}` }, tooltip(layer));
}

function drawImage(layer: LayerDescription, keys: KeyAxis, lsns: LsnAxis): string {
  const start = keys.positionOf(layer.keys.start);
  const end = keys.positionOf(layer.keys.end);
  const gap = end - start > 2 * GAP + IMAGE_WIDTH_MIN ? GAP : 0;
  const y = lsns.positionOf(layer.lsnStart);
  const x2 = Math.max(end - gap, start + gap + IMAGE_WIDTH_MIN);
  const where = { x1: start + gap, y1: y, x2, y2: y };
  return element('line', { ...where, class: 'image' }, tooltip(layer));
}

interface NamedPosition {
  readonly name: string;
  readonly lsn: number;
  /** Whether the name stands above its line. */
  readonly isAbove: boolean;
}

function positionsOf(head: IndexHead | undefined): NamedPosition[] {
  if (head === undefined) return [];
  const { diskConsistentLsn, gcCutoffLsn, ancestor } = head;
  return [
    { name: 'all WAL up to here is in layers', lsn: diskConsistentLsn, isAbove: true },
    { name: 'garbage is collected below', lsn: gcCutoffLsn, isAbove: false },
    ...(ancestor === undefined ? [] : [{ name: 'branch point', lsn: ancestor.lsn, isAbove: true }]),
  ];
}

function drawPosition(lsn: number, name: string, isAbove: boolean, keys: KeyAxis, lsns: LsnAxis): string[] {
  const y = lsns.positionOf(lsn);
  const label = `${name}: ${formatLsn(lsn)}`;
  const attributes = { 'text-anchor': 'end', class: 'position-name' };
  return [
    lineElement(keys.start, y, keys.end, y, { class: 'position' }),
    textElement(label, keys.end - 6, isAbove ? y - 5 : y + 14, attributes),
  ];
}
