import type { Slru } from '../files/slru.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { type BodyReader, refuseBody } from './resource-manager.ts';

/** An SLRU's page number: int64 in 17 and later, int before. Refuses one that no 32-bit entry number has. */
export function readSlruPageNumber(record: DecodedRecord, reader: BodyReader, slru: Slru): number {
  const page = record.version.slruPageNumberBytes === 8 ? Number(reader.i64()) : reader.i32();
  if (page < 0 || page > slru.lastPage) {
    refuseBody(
      record.resourceManager,
      record,
      `${slru.name} has no page ${page}, its last is ${slru.lastPage}`,
    );
  }
  return page;
}
