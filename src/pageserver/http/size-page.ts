import { formatLsn } from '../../base/lsn.ts';
import type { TenantSyntheticSize } from '../../contracts/pageserver-api.ts';
import { element, escapeXml, lineElement, textElement } from '../inspect/svg.ts';

const WIDTH = 960;
const LEFT = 290;
const RIGHT = 30;
const TOP = 70;
const ROW_HEIGHT = 46;
const DOT_RADIUS = 6;

const STYLE = `
text { font: 12px "DejaVu Sans", Verdana, sans-serif; fill: #374151 }
.title { font-size: 15px; font-weight: bold; fill: #111827 }
line { stroke: #9ca3af; stroke-width: 2 }
.wal { stroke: #2563eb; stroke-width: 4 }
.dot { stroke: #ffffff }
`;

const FILL_BY_METHOD = { snapshot: '#047857', wal: '#2563eb', none: '#d1d5db' } as const;

type Point = TenantSyntheticSize['segment_sizes'][number];

/**
 * What a tenant's history costs, for people: a line for each timeline, from left to right by LSN. Green points are kept as a
 * snapshot, blue ones are made from WAL, grey ones are not kept.
 */
export function sizePage(size: TenantSyntheticSize): string {
  const points = size.segment_sizes;
  const timelines = [...new Set(points.map((point) => point.timeline_id))];
  const height = TOP + timelines.length * ROW_HEIGHT + 20;
  const title = `Tenant ${size.id.tenantId}: ${size.size} bytes`;
  const placeOf = placesOf(points, timelines);
  const svg = element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` },
    [
      element('style', {}, STYLE),
      textElement(title, 20, 28, { class: 'title' }),
      textElement('green: a snapshot · blue: made from WAL · grey: not kept', 20, 48),
      ...timelines.map((id, row) => textElement(id, 20, rowHeight(row) + 4)),
      ...points.map((point) => connection(point, points, placeOf)),
      ...points.map((point) => dot(point, placeOf(point))),
    ].join(''),
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title></head><body>${svg}</body></html>`;
}

interface Place {
  readonly x: number;
  readonly y: number;
}

const rowHeight = (row: number): number => TOP + row * ROW_HEIGHT + ROW_HEIGHT / 2;

function placesOf(points: readonly Point[], timelines: readonly string[]): (point: Point) => Place {
  let lowest = Number.MAX_SAFE_INTEGER;
  let highest = 0;
  for (const { lsn } of points) {
    lowest = Math.min(lowest, lsn);
    highest = Math.max(highest, lsn);
  }
  const scale = (WIDTH - LEFT - RIGHT) / Math.max(1, highest - lowest);
  const rows = new Map(timelines.map((id, row) => [id, row]));
  return (point) => ({
    x: LEFT + (point.lsn - lowest) * scale,
    y: rowHeight(rows.get(point.timeline_id) ?? 0),
  });
}

function connection(point: Point, points: readonly Point[], placeOf: (point: Point) => Place): string {
  const parent = point.parent === null ? undefined : points[point.parent];
  if (parent === undefined) return '';
  const from = placeOf(parent);
  const to = placeOf(point);
  return lineElement(from.x, from.y, to.x, to.y, { class: point.method === 'wal' ? 'wal' : 'line' });
}

function dot(point: Point, { x, y }: Place): string {
  const bytes = point.logical_size === null ? 'not readable' : `${point.logical_size} bytes`;
  const hint = element('title', {}, escapeXml(`${formatLsn(point.lsn)}: ${bytes}, ${point.method}`));
  const attributes = { cx: x, cy: y, r: DOT_RADIUS, class: 'dot', fill: FILL_BY_METHOD[point.method] };
  return element('circle', attributes, hint);
}
