import type { Lsn } from '../../base/lsn.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_REPLICATION_ORIGIN } from './resource-manager.ts';

/** Record kinds (replication/origin.h). */
export const XLOG_REPLORIGIN_SET = 0x00;
export const XLOG_REPLORIGIN_DROP = 0x10;

/** InvalidRepOriginId. */
export const NO_ORIGIN = 0;
/** DoNotReplicateId: stands for "from elsewhere" without being tracked. */
export const DO_NOT_REPLICATE_ORIGIN = 0xffff;

export interface ReplicationOriginSetBody {
  readonly kind: 'SET';
  readonly origin: number;
  readonly remoteLsn: Lsn;
  /** The position may go back. */
  readonly force: boolean;
}

export interface ReplicationOriginDropBody {
  readonly kind: 'DROP';
  readonly origin: number;
}

export type ReplicationOriginBody = ReplicationOriginSetBody | ReplicationOriginDropBody;

function decodeBody(record: DecodedRecord): ReplicationOriginBody {
  const reader = BodyReader.mainData(record);
  let body: ReplicationOriginBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_REPLORIGIN_SET:
      body = { kind: 'SET', remoteLsn: reader.lsn(), origin: reader.u16(), force: reader.bool() };
      reader.skip(5);
      break;
    case XLOG_REPLORIGIN_DROP:
      body = { kind: 'DROP', origin: reader.u16() };
      break;
    default:
      return refuseKind('ReplicationOrigin', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [XLOG_REPLORIGIN_SET, 'SET'],
  [XLOG_REPLORIGIN_DROP, 'DROP'],
]);

/** How far logical replication from elsewhere has come. */
export const replicationOriginResourceManager: ResourceManager<ReplicationOriginBody> = {
  id: RM_REPLICATION_ORIGIN,
  name: 'ReplicationOrigin',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
