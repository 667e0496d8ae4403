import { SLRUS } from '../files/slru.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_CLOG } from './resource-manager.ts';
import { readSlruPageNumber } from './slru-page-number.ts';

/** Record kinds (access/clog.h). */
export const CLOG_ZEROPAGE = 0x00;
export const CLOG_TRUNCATE = 0x10;

export interface ClogZeroPageBody {
  readonly kind: 'ZEROPAGE';
  readonly page: number;
}

export interface ClogTruncateBody {
  readonly kind: 'TRUNCATE';
  readonly page: number;
  readonly oldestXid: number;
  readonly oldestXidDatabase: number;
}

export type ClogBody = ClogZeroPageBody | ClogTruncateBody;

function decodeBody(record: DecodedRecord): ClogBody {
  const reader = BodyReader.mainData(record);
  let body: ClogBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case CLOG_ZEROPAGE:
      body = { kind: 'ZEROPAGE', page: readSlruPageNumber(record, reader, SLRUS.clog) };
      break;
    case CLOG_TRUNCATE:
      body = {
        kind: 'TRUNCATE',
        page: readSlruPageNumber(record, reader, SLRUS.clog),
        oldestXid: reader.u32(),
        oldestXidDatabase: reader.u32(),
      };
      break;
    default:
      return refuseKind('CLOG', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [CLOG_ZEROPAGE, 'ZEROPAGE'],
  [CLOG_TRUNCATE, 'TRUNCATE'],
]);

/** The commit log's pages. What it says of a transaction comes from the Transaction records. */
export const clogResourceManager: ResourceManager<ClogBody> = {
  id: RM_CLOG,
  name: 'CLOG',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
