import { CorruptionError } from '../../base/errors.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { VALUE_BYTES_MAX } from '../layers/value.ts';

/** The record is not what a server writes, or cannot be stored. */
export function refuseRecord(record: DecodedRecord, reason: string): never {
  throw new CorruptionError('BAD_WAL_RECORD', `the record cannot be taken in: ${reason}`, {
    lsn: record.startLsn,
    resourceManager: record.resourceManager,
    info: record.info,
  });
}

/** Refuses a record that is too long to be a value. No server writes one with blocks or transactions that is. */
export function checkStoredLength(record: DecodedRecord): void {
  if (record.totalLength > VALUE_BYTES_MAX) {
    refuseRecord(record, `its ${record.totalLength} bytes are more than a value has`);
  }
}
