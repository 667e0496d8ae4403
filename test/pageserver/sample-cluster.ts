import { toLsn } from '../../src/base/lsn.ts';
import {
  CLUSTER_STATE_BYTES,
  type ClusterState,
  writeClusterState,
} from '../../src/pageserver/keyspace/cluster-state.ts';
import { CLUSTER_CONTROL_FILE, CLUSTER_COUNTERS, clusterKey } from '../../src/pageserver/keyspace/keys.ts';
import { type ControlFile, encodeControlFile } from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { SAMPLE_CHECKPOINT } from '../support/sample-records.ts';
import { MemoryTimeline } from './memory-timeline.ts';

export const SAMPLE_CLUSTER_STATE: ClusterState = {
  nextXid: 2 * 2 ** 32 + 4096,
  oldestRunningXid: 2 * 2 ** 32 + 1000,
  nextOid: 24576,
  nextMulti: 77,
  nextMultiOffset: 154,
  oldestXid: 731,
  oldestXidDb: 1,
  oldestMulti: 1,
  oldestMultiDb: 5,
  oldestCommitTsXid: 0,
  newestCommitTsXid: 0,
  fullPageWrites: true,
  settings: {
    walLevel: 1,
    walLogHints: false,
    maxConnections: 100,
    maxWorkerProcesses: 8,
    maxWalSenders: 10,
    maxPreparedTransactions: 2,
    maxLocksPerTransaction: 64,
    trackCommitTimestamp: false,
  },
  lastOffsetsPage: -1,
  preparedOffsetsPage: -1,
};

export const SAMPLE_CONTROL_FILE: ControlFile = {
  ...SAMPLE_CLUSTER_STATE.settings,
  systemIdentifier: 7_000_000_000_000_000_001n,
  state: 'shut down',
  time: 1_760_000_000n,
  checkPoint: toLsn(0x100_0028),
  checkPointCopy: { ...SAMPLE_CHECKPOINT, redo: toLsn(0x100_0028) },
  unloggedLsn: toLsn(1000),
  minRecoveryPoint: toLsn(0),
  minRecoveryPointTimelineId: 0,
  backupStartPoint: toLsn(0),
  backupEndPoint: toLsn(0),
  backupEndRequired: false,
  maxAlign: 8,
  relationSegmentBlocks: 131_072,
  walSegmentBytes: 16 * 1024 * 1024,
  nameDataLength: 64,
  indexMaxKeys: 32,
  toastMaxChunkBytes: 1996,
  largeObjectBlockBytes: 2048,
  float8ByValue: true,
  dataChecksumVersion: 0,
  defaultCharSignedness: undefined,
  mockAuthenticationNonce: new Uint8Array(32).fill(7),
};

/** A timeline as it is right before its first record. */
export function startTimeline(
  state: Partial<ClusterState> = {},
  control: Partial<ControlFile> = {},
): MemoryTimeline {
  const timeline = new MemoryTimeline();
  const controlBytes = encodeControlFile(POSTGRES_17, { ...SAMPLE_CONTROL_FILE, ...control });
  timeline.put(clusterKey(CLUSTER_CONTROL_FILE), controlBytes);
  const value = new Uint8Array(CLUSTER_STATE_BYTES);
  const full = { ...SAMPLE_CLUSTER_STATE, ...state };
  writeClusterState(new DataView(value.buffer), full, full.nextXid);
  timeline.put(clusterKey(CLUSTER_COUNTERS), value);
  timeline.restart();
  return timeline;
}
