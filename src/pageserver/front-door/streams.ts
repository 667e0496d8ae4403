import type { Lsn } from '../../base/lsn.ts';
import type { StartSetForm } from '../../contracts/start-set.ts';

/** What a client asks to be copied of a timeline. Without an LSN: as of its last record. */
export interface BackupOptions {
  /** `full`: with the relations' data. */
  readonly kind: 'base' | 'full';
  readonly lsn: Lsn | undefined;
  /** Start of the record that ends at `lsn`, where a client knows better. */
  readonly previousRecordLsn: Lsn | undefined;
  /** For a standby. */
  readonly isReplica: boolean;
  readonly compression: 'none' | 'gzip' | 'zstd';
}

export interface StartSetOptions {
  readonly lsn: Lsn | undefined;
  readonly form: StartSetForm;
}
