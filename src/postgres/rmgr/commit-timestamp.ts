import { SLRUS } from '../files/slru.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_COMMIT_TIMESTAMP } from './resource-manager.ts';
import { readSlruPageNumber } from './slru-page-number.ts';

/** Record kinds (access/commit_ts.h). */
export const COMMIT_TS_ZEROPAGE = 0x00;
export const COMMIT_TS_TRUNCATE = 0x10;

export interface CommitTimestampZeroPageBody {
  readonly kind: 'ZEROPAGE';
  readonly page: number;
}

export interface CommitTimestampTruncateBody {
  readonly kind: 'TRUNCATE';
  readonly page: number;
  readonly oldestXid: number;
}

export type CommitTimestampBody = CommitTimestampZeroPageBody | CommitTimestampTruncateBody;

function decodeBody(record: DecodedRecord): CommitTimestampBody {
  const reader = BodyReader.mainData(record);
  const slru = SLRUS['commit-timestamp'];
  let body: CommitTimestampBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case COMMIT_TS_ZEROPAGE:
      body = { kind: 'ZEROPAGE', page: readSlruPageNumber(record, reader, slru) };
      break;
    case COMMIT_TS_TRUNCATE:
      // SizeOfCommitTsTruncate leaves out the structure's padding.
      body = { kind: 'TRUNCATE', page: readSlruPageNumber(record, reader, slru), oldestXid: reader.u32() };
      break;
    default:
      return refuseKind('CommitTs', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [COMMIT_TS_ZEROPAGE, 'ZEROPAGE'],
  [COMMIT_TS_TRUNCATE, 'TRUNCATE'],
]);

/** The pages of the commit timestamps. The timestamps themselves come from the Transaction records. */
export const commitTimestampResourceManager: ResourceManager<CommitTimestampBody> = {
  id: RM_COMMIT_TIMESTAMP,
  name: 'CommitTs',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
