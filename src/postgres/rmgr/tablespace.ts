import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_TBLSPC } from './resource-manager.ts';

/** Record kinds (commands/tablespace.h). */
export const XLOG_TBLSPC_CREATE = 0x00;
export const XLOG_TBLSPC_DROP = 0x10;

export interface TablespaceCreateBody {
  readonly kind: 'CREATE';
  readonly tablespace: number;
  /** Empty for an in-place tablespace. */
  readonly path: string;
}

export interface TablespaceDropBody {
  readonly kind: 'DROP';
  readonly tablespace: number;
}

export type TablespaceBody = TablespaceCreateBody | TablespaceDropBody;

function decodeBody(record: DecodedRecord): TablespaceBody {
  const reader = BodyReader.mainData(record);
  let body: TablespaceBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_TBLSPC_CREATE:
      body = { kind: 'CREATE', tablespace: reader.u32(), path: reader.cString() };
      break;
    case XLOG_TBLSPC_DROP:
      body = { kind: 'DROP', tablespace: reader.u32() };
      break;
    default:
      return refuseKind('Tablespace', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [XLOG_TBLSPC_CREATE, 'CREATE'],
  [XLOG_TBLSPC_DROP, 'DROP'],
]);

/** Tablespaces' directories. */
export const tablespaceResourceManager: ResourceManager<TablespaceBody> = {
  id: RM_TBLSPC,
  name: 'Tablespace',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
