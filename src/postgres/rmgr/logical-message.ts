import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_LOGICAL_MESSAGE, refuseBody } from './resource-manager.ts';

/** The one record kind (replication/message.h). */
export const XLOG_LOGICAL_MESSAGE = 0x00;

export interface LogicalMessageBody {
  readonly kind: 'MESSAGE';
  /** Where it was sent from. */
  readonly database: number;
  readonly transactional: boolean;
  readonly prefix: string;
  readonly message: Uint8Array;
}

/** The lengths are 64 bits wide; those that do not fit the record are refused before anything is made of them. */
function decodeBody(record: DecodedRecord): LogicalMessageBody {
  if ((record.info & ~RECORD_INFO_MASK) !== XLOG_LOGICAL_MESSAGE) return refuseKind('LogicalMessage', record);
  const reader = BodyReader.mainData(record);
  const database = reader.u32();
  const transactional = reader.bool();
  reader.skip(3);
  const prefixLength = reader.u64();
  const messageLength = reader.u64();
  const start = reader.consumed;
  const prefixFits = prefixLength > 0n && prefixLength + messageLength === BigInt(reader.remaining);
  const prefix = prefixFits ? reader.cString() : '';
  if (!prefixFits || BigInt(reader.consumed - start) !== prefixLength) {
    refuseBody('LogicalMessage', record, 'the logical message contradicts itself on its lengths');
  }
  return { kind: 'MESSAGE', database, transactional, prefix, message: reader.bytes(Number(messageLength)) };
}

const KINDS = new Map([[XLOG_LOGICAL_MESSAGE, 'MESSAGE']]);

/** Messages that only logical decoding looks at. */
export const logicalMessageResourceManager: ResourceManager<LogicalMessageBody> = {
  id: RM_LOGICAL_MESSAGE,
  name: 'LogicalMessage',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
