import type { Lsn } from '../../base/lsn.ts';
import type { BackupCompression } from './compress-stream.ts';

export interface BackupOptions {
  /** `base`: all but the relations, whose pages the server gets otherwise. `full`: all that a stock server starts from. */
  readonly kind: 'base' | 'full';
  /** undefined: the last record. */
  readonly lsn: Lsn | undefined;
  /** Where whoever asks believes the last record at `lsn` to begin; refused if that is not so. undefined: no matter. */
  readonly previousRecordLsn: Lsn | undefined;
  /** Of a server that only follows: without replication slots. */
  readonly isReplica: boolean;
  readonly compression: BackupCompression;
}
