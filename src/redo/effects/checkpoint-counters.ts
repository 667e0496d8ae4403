/** What PARAMETER_CHANGE tells: settings that pg_control keeps. */
export interface ParameterSettings {
  readonly walLevel: number;
  readonly walLogHints: boolean;
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  readonly trackCommitTimestamp: boolean;
}

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
