import { SLRUS } from '../files/slru.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_MULTIXACT, refuseBody } from './resource-manager.ts';
import { readSlruPageNumber } from './slru-page-number.ts';

/** Record kinds (access/multixact.h). */
export const XLOG_MULTIXACT_ZERO_OFF_PAGE = 0x00;
export const XLOG_MULTIXACT_ZERO_MEM_PAGE = 0x10;
export const XLOG_MULTIXACT_CREATE_ID = 0x20;
export const XLOG_MULTIXACT_TRUNCATE_ID = 0x30;

/** xl_multixact_create, up to its members. */
export const MULTIXACT_CREATE_MID = 0;
export const MULTIXACT_CREATE_MOFF = 4;
export const MULTIXACT_CREATE_NMEMBERS = 8;
export const MULTIXACT_CREATE_MEMBERS = 12;
/** MultiXactMember: xid 4 + status 4. */
export const MULTIXACT_MEMBER_BYTES: number = 4 + 4;

/** MultiXactStatusUpdate, the highest MultiXactStatus. */
export const MULTIXACT_STATUS_MAX = 5;

export interface MultixactZeroPageBody {
  readonly kind: 'ZERO_OFF_PAGE' | 'ZERO_MEM_PAGE';
  readonly page: number;
}

export interface MultixactCreateBody {
  readonly kind: 'CREATE_ID';
  readonly multixact: number;
  /** Where its members begin. */
  readonly offset: number;
  /** Transactions and their MultiXactStatus. */
  readonly members: readonly { readonly xid: number; readonly status: number }[];
}

export interface MultixactTruncateBody {
  readonly kind: 'TRUNCATE_ID';
  readonly oldestMultixactDatabase: number;
  /** Multixact ids [start, end) go. */
  readonly startMultixact: number;
  readonly endMultixact: number;
  /** Members [start, end) go. */
  readonly startMember: number;
  readonly endMember: number;
}

export type MultixactBody = MultixactZeroPageBody | MultixactCreateBody | MultixactTruncateBody;

function readMember(record: DecodedRecord, reader: BodyReader): { xid: number; status: number } {
  const xid = reader.u32();
  const status = reader.u32();
  if (status > MULTIXACT_STATUS_MAX) {
    refuseBody('MultiXact', record, `${status} is no status of a multixact's member`);
  }
  return { xid, status };
}

function decodeBody(record: DecodedRecord): MultixactBody {
  const reader = BodyReader.mainData(record);
  let body: MultixactBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_MULTIXACT_ZERO_OFF_PAGE:
      body = { kind: 'ZERO_OFF_PAGE', page: readSlruPageNumber(record, reader, SLRUS['multixact-offsets']) };
      break;
    case XLOG_MULTIXACT_ZERO_MEM_PAGE:
      body = { kind: 'ZERO_MEM_PAGE', page: readSlruPageNumber(record, reader, SLRUS['multixact-members']) };
      break;
    case XLOG_MULTIXACT_CREATE_ID:
      body = {
        kind: 'CREATE_ID',
        multixact: reader.u32(),
        offset: reader.u32(),
        members: reader.countedItems(MULTIXACT_MEMBER_BYTES, () => readMember(record, reader)),
      };
      break;
    case XLOG_MULTIXACT_TRUNCATE_ID:
      body = {
        kind: 'TRUNCATE_ID',
        oldestMultixactDatabase: reader.u32(),
        startMultixact: reader.u32(),
        endMultixact: reader.u32(),
        startMember: reader.u32(),
        endMember: reader.u32(),
      };
      break;
    default:
      return refuseKind('MultiXact', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [XLOG_MULTIXACT_ZERO_OFF_PAGE, 'ZERO_OFF_PAGE'],
  [XLOG_MULTIXACT_ZERO_MEM_PAGE, 'ZERO_MEM_PAGE'],
  [XLOG_MULTIXACT_CREATE_ID, 'CREATE_ID'],
  [XLOG_MULTIXACT_TRUNCATE_ID, 'TRUNCATE_ID'],
]);

/** Sets of transactions that lock one row. */
export const multixactResourceManager: ResourceManager<MultixactBody> = {
  id: RM_MULTIXACT,
  name: 'MultiXact',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
