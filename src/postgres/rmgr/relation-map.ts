import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_RELMAP, refuseBody } from './resource-manager.ts';

/** The one record kind (utils/relmapper.h). */
export const XLOG_RELMAP_UPDATE = 0x00;

export interface RelationMapBody {
  readonly kind: 'UPDATE';
  /** 0 for the shared map. */
  readonly database: number;
  readonly tablespace: number;
  /** The whole pg_filenode.map (relation-map-file.ts decodes it). */
  readonly content: Uint8Array;
}

/** Like relmap_redo, refuses a map that has not exactly the file's length. */
function decodeBody(record: DecodedRecord): RelationMapBody {
  if ((record.info & ~RECORD_INFO_MASK) !== XLOG_RELMAP_UPDATE) return refuseKind('RelMap', record);
  const reader = BodyReader.mainData(record);
  const database = reader.u32();
  const tablespace = reader.u32();
  const length = reader.i32();
  if (length !== record.version.relationMapBytes) {
    refuseBody('RelMap', record, `a relation map of ${length} bytes`);
  }
  const body: RelationMapBody = { kind: 'UPDATE', database, tablespace, content: reader.bytes(length) };
  reader.expectEnd();
  return body;
}

const KINDS = new Map([[XLOG_RELMAP_UPDATE, 'UPDATE']]);

/** Which files the catalogs stand in that pg_class cannot name itself. */
export const relationMapResourceManager: ResourceManager<RelationMapBody> = {
  id: RM_RELMAP,
  name: 'RelMap',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
