import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { KEY_MAX, KEY_MIN, type Key } from '../../src/pageserver/keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../../src/pageserver/keyspace/key-range.ts';
import {
  CLUSTER_COUNTERS,
  clusterKey,
  relationBlockKey,
  slruBlockKey,
} from '../../src/pageserver/keyspace/keys.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import type { IndexHead } from '../../src/pageserver/remote/timeline-index.ts';

const MEBIBYTE = 1024 * 1024;

export const SAMPLE_NAME = {
  tenantId: parseTenantId('1f359dd625e519a1a4e8d7509690f6fc'),
  timelineId: parseTimelineId('de200bd42b49cc1814412c7e592dd6e9'),
};

export const SAMPLE_HEAD: IndexHead = {
  ...SAMPLE_NAME,
  postgresMajor: 17,
  systemIdentifier: 7_000_000_000_000_000_001n,
  walSegmentBytes: 16 * MEBIBYTE,
  hasDataChecksums: false,
  ancestor: undefined,
  initialLsn: (21 * MEBIBYTE) as Lsn,
  diskConsistentLsn: (240 * MEBIBYTE) as Lsn,
  previousRecordLsn: (240 * MEBIBYTE - 64) as Lsn,
  gcCutoffLsn: (112 * MEBIBYTE) as Lsn,
  leasedLsns: [],
  deletedAtMs: undefined,
  archivedAtMs: undefined,
  isGcBlocked: false,
  detachedFrom: undefined,
};

const blockOf = (relation: number, block: number): Key =>
  relationBlockKey({ tablespace: 1663, database: 5, relation }, 0, block);

const layer = (
  kind: 'delta' | 'image',
  keys: KeyRange,
  startMebibytes: number,
  endMebibytes: number,
  sizeMebibytes: number,
): LayerDescription => {
  const start = startMebibytes * MEBIBYTE;
  return {
    kind,
    keys,
    lsnStart: (kind === 'image' ? start : start + 1) as Lsn,
    lsnEnd: (kind === 'image' ? start + 1 : endMebibytes * MEBIBYTE + 1) as Lsn,
    generation: startMebibytes < 128 ? 1 : 2,
    sizeBytes: sizeMebibytes * MEBIBYTE,
  };
};

/** Delta layers side by side, of all keys. */
function row(boundaries: readonly Key[], start: number, end: number): LayerDescription[] {
  return boundaries.slice(1).map((boundary, index) => {
    const keys = { start: boundaries[index] as Key, end: boundary };
    return layer('delta', keys, start, end, 4 + index);
  });
}

/** A small timeline as it is after some hours: imported, written to, compacted twice, with images and fresh layers. */
export function sampleTimeline(): LayerDescription[] {
  const [a, b, c, d] = [blockOf(16384, 0), blockOf(16384, 9000), blockOf(16391, 0), blockOf(16391, 5200)];
  const rest = slruBlockKey('clog', 0);
  const counters = clusterKey(CLUSTER_COUNTERS);
  return [
    layer('image', ALL_KEYS, 21, 21, 7),
    ...row([KEY_MIN, a, b, c, rest, KEY_MAX], 21, 80),
    layer('image', { start: a, end: b }, 80, 80, 70),
    layer('image', { start: b, end: c }, 80, 80, 31),
    ...row([KEY_MIN, a, c, d, rest, counters, KEY_MAX], 80, 176),
    layer('image', { start: c, end: rest }, 176, 176, 55),
    layer('image', { start: a, end: c }, 150, 150, 102),
    ...[176, 192, 208, 224].map((start) => layer('delta', ALL_KEYS, start, start + 16, 9)),
  ];
}
