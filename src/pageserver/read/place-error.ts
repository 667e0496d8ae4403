import { CorruptionError } from '../../base/errors.ts';

/** The error that a read at `lsn` is to raise: what says only which file is damaged says also at which LSN it was read. */
export function withLsn(error: unknown, lsn: number): unknown {
  if (!(error instanceof CorruptionError) || error.place.lsn !== undefined) return error;
  return new CorruptionError(error.code, error.reason, { ...error.place, lsn }, error);
}
