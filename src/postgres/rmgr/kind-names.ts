import { UnknownRecordError } from '../../base/errors.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';

/** Names of record kinds by the high four bits of the info byte. */
export type KindNames = ReadonlyMap<number, string>;

export function findKindName(kinds: KindNames, info: number): string | undefined {
  return kinds.get(info & ~RECORD_INFO_MASK);
}

/** For a decoder's default case. */
export function refuseKind(name: string, record: DecodedRecord): never {
  throw new UnknownRecordError(name, record.info, record.startLsn);
}
