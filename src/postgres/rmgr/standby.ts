import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import {
  INVALIDATION_MESSAGE_BYTES,
  type InvalidationMessage,
  readInvalidationMessage,
} from './invalidation-message.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_STANDBY } from './resource-manager.ts';

/** Record kinds (storage/standbydefs.h). */
export const XLOG_STANDBY_LOCK = 0x00;
export const XLOG_RUNNING_XACTS = 0x10;
export const XLOG_INVALIDATIONS = 0x20;

/** xl_running_xacts. */
export const RUNNING_XACTS_NEXT_XID = 12;
/** MinSizeOfXactRunningXacts: counts 4 + 4, overflow 1, padding 3, three xids. */
export const RUNNING_XACTS_BYTES: number = 4 + 4 + 1 + 3 + 4 + 4 + 4;

/** xl_standby_lock: xid, database, relation. */
const STANDBY_LOCK_BYTES = 12;

export interface StandbyLockBody {
  readonly kind: 'LOCK';
  /** Access exclusive locks; `relation` is the OID in the catalog. */
  readonly locks: readonly { readonly xid: number; readonly database: number; readonly relation: number }[];
}

export interface RunningTransactionsBody {
  readonly kind: 'RUNNING_XACTS';
  /** Some subtransactions are not listed. */
  readonly subtransactionOverflow: boolean;
  readonly nextXid: number;
  readonly oldestRunningXid: number;
  readonly latestCompletedXid: number;
  readonly xids: readonly number[];
  readonly subtransactionXids: readonly number[];
}

export interface StandbyInvalidationsBody {
  readonly kind: 'INVALIDATIONS';
  readonly database: number;
  readonly tablespace: number;
  readonly relationCacheFile: boolean;
  readonly messages: readonly InvalidationMessage[];
}

export type StandbyBody = StandbyLockBody | RunningTransactionsBody | StandbyInvalidationsBody;

function readRunningTransactions(reader: BodyReader): RunningTransactionsBody {
  const count = reader.i32();
  const subtransactionCount = reader.i32();
  const subtransactionOverflow = reader.bool();
  reader.skip(3);
  return {
    kind: 'RUNNING_XACTS',
    subtransactionOverflow,
    nextXid: reader.u32(),
    oldestRunningXid: reader.u32(),
    latestCompletedXid: reader.u32(),
    xids: reader.u32Array(count),
    subtransactionXids: reader.u32Array(subtransactionCount),
  };
}

function readInvalidations(reader: BodyReader): StandbyInvalidationsBody {
  const database = reader.u32();
  const tablespace = reader.u32();
  const relationCacheFile = reader.bool();
  reader.skip(3);
  const messages = reader.countedItems(INVALIDATION_MESSAGE_BYTES, () => readInvalidationMessage(reader));
  return { kind: 'INVALIDATIONS', database, tablespace, relationCacheFile, messages };
}

function decodeBody(record: DecodedRecord): StandbyBody {
  const reader = BodyReader.mainData(record);
  let body: StandbyBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_STANDBY_LOCK:
      body = {
        kind: 'LOCK',
        locks: reader.countedItems(STANDBY_LOCK_BYTES, () => ({
          xid: reader.u32(),
          database: reader.u32(),
          relation: reader.u32(),
        })),
      };
      break;
    case XLOG_RUNNING_XACTS:
      body = readRunningTransactions(reader);
      break;
    case XLOG_INVALIDATIONS:
      body = readInvalidations(reader);
      break;
    default:
      return refuseKind('Standby', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [XLOG_STANDBY_LOCK, 'LOCK'],
  [XLOG_RUNNING_XACTS, 'RUNNING_XACTS'],
  [XLOG_INVALIDATIONS, 'INVALIDATIONS'],
]);

/** What a hot standby has to know of the transactions that run. */
export const standbyResourceManager: ResourceManager<StandbyBody> = {
  id: RM_STANDBY,
  name: 'Standby',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
