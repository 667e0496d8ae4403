import type { RelationLocator } from '../files/relation-locator.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { FORK_INIT, RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_SMGR, refuseBody } from './resource-manager.ts';

/** Record kinds (catalog/storage_xlog.h). */
export const XLOG_SMGR_CREATE = 0x10;
export const XLOG_SMGR_TRUNCATE = 0x20;

/** Flags of xl_smgr_truncate. */
export const SMGR_TRUNCATE_HEAP = 0x0001;
export const SMGR_TRUNCATE_VM = 0x0002;
export const SMGR_TRUNCATE_FSM = 0x0004;
export const SMGR_TRUNCATE_ALL: number = SMGR_TRUNCATE_HEAP | SMGR_TRUNCATE_VM | SMGR_TRUNCATE_FSM;

export interface SmgrCreateBody {
  readonly kind: 'CREATE';
  readonly relation: RelationLocator;
  readonly fork: number;
}

export interface SmgrTruncateBody {
  readonly kind: 'TRUNCATE';
  readonly relation: RelationLocator;
  readonly blocks: number;
  readonly flags: number;
}

export type SmgrBody = SmgrCreateBody | SmgrTruncateBody;

/** RelFileLocator. */
export function readRelationLocator(reader: BodyReader): RelationLocator {
  return { tablespace: reader.u32(), database: reader.u32(), relation: reader.u32() };
}

function decodeBody(record: DecodedRecord): SmgrBody {
  const reader = BodyReader.mainData(record);
  let body: SmgrBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_SMGR_CREATE:
      body = { kind: 'CREATE', relation: readRelationLocator(reader), fork: reader.i32() };
      if (body.fork < 0 || body.fork > FORK_INIT)
        refuseBody('Storage', record, `there is no fork ${body.fork}`);
      break;
    case XLOG_SMGR_TRUNCATE: {
      const blocks = reader.u32();
      body = { kind: 'TRUNCATE', blocks, relation: readRelationLocator(reader), flags: reader.i32() };
      if ((body.flags & ~SMGR_TRUNCATE_ALL) !== 0)
        refuseBody('Storage', record, `unknown flags of a truncation: ${body.flags}`);
      break;
    }
    default:
      return refuseKind('Storage', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [XLOG_SMGR_CREATE, 'CREATE'],
  [XLOG_SMGR_TRUNCATE, 'TRUNCATE'],
]);

/** Storage: forks come into being and are cut. */
export const smgrResourceManager: ResourceManager<SmgrBody> = {
  id: RM_SMGR,
  name: 'Storage',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
