import { describe, expect, test } from 'vitest';
import { SAMPLE_CLUSTER_STATE } from '../../../test/pageserver/sample-cluster.ts';
import { CorruptionError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import { auxiliaryFileKey, encodeAuxiliaryFiles } from './auxiliary-file.ts';
import { CLUSTER_STATE_BYTES, decodeClusterState, roundUpXid, writeClusterState } from './cluster-state.ts';
import { formatKey, type Key } from './key.ts';
import * as keys from './keys.ts';
import * as values from './stored-values.ts';

const RELATION = { tablespace: 1663, database: 5, relation: 16384 };
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function clusterState(): Uint8Array {
  const bytes = new Uint8Array(CLUSTER_STATE_BYTES);
  writeClusterState(new DataView(bytes.buffer), SAMPLE_CLUSTER_STATE, SAMPLE_CLUSTER_STATE.nextXid);
  return bytes;
}

const file = { path: 'pg_stat/pgstat.stat', lsn: toLsn(0x1_0000_0028), content: Uint8Array.of(1, 2, 3) };

/** One of each; pages, maps, two-phase files and the control file are PostgreSQL's own formats. */
const SAMPLES: readonly (readonly [name: string, key: Key, value: Uint8Array | undefined])[] = [
  ['relation block', keys.relationBlockKey(RELATION, 2, 70_000), undefined],
  ['clog page', keys.slruBlockKey('clog', 33), undefined],
  ['multixact members page', keys.slruBlockKey('multixact-members', 33), undefined],
  ['multixact offsets page', keys.slruBlockKey('multixact-offsets', 33), undefined],
  ['commit timestamp page', keys.slruBlockKey('commit-timestamp', 33), undefined],
  ['relation size', keys.relationSizeKey(RELATION, 0), values.encodeSize(70_001)],
  ['auxiliary file', auxiliaryFileKey(file.path), encodeAuxiliaryFiles([file])],
  [
    'replication origin',
    keys.originKey(3),
    values.encodeOrigin({ remoteLsn: toLsn(0x5_0000_0010), localLsn: toLsn(0x1_0000_0028) }),
  ],
  ['database', keys.databaseKey(1663, 5), values.DATABASE_VALUE],
  ['relation map', keys.relationMapKey(1663, 5), undefined],
  ['SLRU segment', keys.slruSegmentKey('clog', 1), values.encodeSize(2)],
  ['prepared transaction', keys.twoPhaseKey(2 * 2 ** 32 + 900), undefined],
  ['tablespace', keys.tablespaceKey(16500), values.encodeTablespacePath('/space')],
  ['tablespace in place', keys.tablespaceKey(16501), values.encodeTablespacePath('')],
  ['locks', keys.locksKey(900), values.encodeLocks([{ database: 5, relation: 16384 }])],
  ['control file', keys.clusterKey(keys.CLUSTER_CONTROL_FILE), undefined],
  ['counters', keys.clusterKey(keys.CLUSTER_COUNTERS), clusterState()],
  ['commit time', keys.clusterKey(keys.CLUSTER_COMMIT_TIME), values.encodeCommitTime(800_000_000_000_001)],
];

describe('stored values', () => {
  test('are what has been written down', async () => {
    const lines = SAMPLES.map(([name, key, value]) => {
      return `${name}: ${formatKey(key)} ${value === undefined ? '-' : hex(value)}\n`;
    });
    const golden = new URL('../../../test/golden/pageserver-values-1.txt', import.meta.url);
    await expect(lines.join('')).toMatchFileSnapshot(golden.pathname);
  });

  test('come back', () => {
    expect(values.decodeSize(values.encodeSize(0xffff_ffff))).toBe(0xffff_ffff);
    const positions = { remoteLsn: toLsn(2 ** 53 - 1), localLsn: toLsn(1) };
    expect(values.decodeOrigin(values.encodeOrigin(positions))).toEqual(positions);
    const locks = [
      { database: 5, relation: 2 ** 32 - 1 },
      { database: 0, relation: 1262 },
    ];
    expect(values.decodeLocks(values.encodeLocks(locks))).toEqual(locks);
    expect(values.decodeTablespacePath(values.encodeTablespacePath('/ä'))).toBe('/ä');
    expect(values.decodeTablespacePath(values.encodeTablespacePath(''))).toBe('');
    for (const time of [0, -1, 800_000_000_000_001, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
      expect(values.decodeCommitTime(values.encodeCommitTime(time))).toBe(time);
    }
    expect(decodeClusterState(clusterState())).toEqual(SAMPLE_CLUSTER_STATE);
  });

  test('of another length are refused', () => {
    for (const length of [1, 3, 5, 9, 17, 89]) {
      const bytes = new Uint8Array(length).fill(1);
      expect(() => values.decodeSize(bytes)).toThrow(CorruptionError);
      expect(() => values.decodeOrigin(bytes)).toThrow(CorruptionError);
      expect(() => values.decodeLocks(bytes)).toThrow(CorruptionError);
      expect(() => values.decodeTablespacePath(bytes)).toThrow(CorruptionError);
      expect(() => values.decodeCommitTime(bytes)).toThrow(CorruptionError);
      expect(() => decodeClusterState(bytes)).toThrow(CorruptionError);
    }
  });
});

describe('the cluster state', () => {
  test('of another version or with an unknown flag is refused', () => {
    const newer = clusterState();
    newer[0] = 2;
    expect(() => decodeClusterState(newer)).toThrow(/version is 2/);
    const flagged = clusterState();
    flagged[3] = 0x80;
    expect(() => decodeClusterState(flagged)).toThrow(/unknown flags/);
  });

  test('keeps settings apart', () => {
    const bytes = new Uint8Array(CLUSTER_STATE_BYTES);
    const state = {
      ...SAMPLE_CLUSTER_STATE,
      fullPageWrites: false,
      settings: { ...SAMPLE_CLUSTER_STATE.settings, walLogHints: true, trackCommitTimestamp: true },
      lastOffsetsPage: 5,
      preparedOffsetsPage: 6,
    };
    writeClusterState(new DataView(bytes.buffer), state, state.nextXid);
    expect(decodeClusterState(bytes)).toEqual(state);
  });

  test('transaction ids are rounded up', () => {
    expect([1024, 1025, 2048, 2 ** 32 - 1].map(roundUpXid)).toEqual([1024, 2048, 2048, 2 ** 32]);
  });
});
