import type { ParameterSettings } from '../../postgres/files/control-file.ts';

/**
 * What a checkpoint made at the current position would say: the cluster's counters, as far as WAL tells them.
 * `advanceCounters` changes them in place.
 */
export interface CheckpointCounters {
  /** Full transaction id: epoch * 2^32 + xid. */
  nextXid: number;
  nextOid: number;
  nextMulti: number;
  nextMultiOffset: number;
  oldestXid: number;
  oldestXidDb: number;
  oldestMulti: number;
  oldestMultiDb: number;
  /** Both 0 while commit timestamps are off. */
  oldestCommitTsXid: number;
  newestCommitTsXid: number;
  fullPageWrites: boolean;
  settings: ParameterSettings;
}
