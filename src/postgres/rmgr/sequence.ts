/** Records of the resource manager Sequence (commands/sequence.h, rmgrdesc/seqdesc.c). */
import { TUPLE_HEADER_BYTES, TUPLE_HOFF } from '../page/heap-tuple.ts';
import { findKindName, type KindNames, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_SEQUENCE, refuseBody } from './resource-manager.ts';

export const XLOG_SEQ_LOG = 0x00;
/** xl_seq_rec: the relation. The sequence's whole tuple follows. */
export const SEQUENCE_RECORD_TUPLE: number = 4 + 4 + 4;
/** SEQ_MAGIC and sizeof(sequence_magic), in the page's special space (sequence.c). */
export const SEQUENCE_MAGIC = 0x1717;
export const SEQUENCE_MAGIC_BYTES = 4;
/** FormData_pg_sequence_data: last_value 8, log_cnt 8, is_called 1. */
const SEQUENCE_DATA_BYTES = 8 + 8 + 1;

export interface SequenceBody {
  readonly kind: 'LOG';
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
  readonly lastValue: bigint;
  readonly logCount: bigint;
  readonly isCalled: boolean;
  /** The whole tuple, header and all. */
  readonly tuple: Uint8Array;
}

const KINDS = new Map([[XLOG_SEQ_LOG, 'LOG']]) satisfies KindNames;

export const sequenceResourceManager: ResourceManager<SequenceBody> = {
  id: RM_SEQUENCE,
  name: 'Sequence',
  kinds: [...KINDS.values()],
  kindName: (info) => findKindName(KINDS, info),
  decodeBody(record) {
    if (findKindName(KINDS, record.info) !== 'LOG') return refuseKind('Sequence', record);
    const main = BodyReader.mainData(record);
    const relation = { tablespace: main.u32(), database: main.u32(), relation: main.u32() };
    const tuple = main.bytes(main.remaining);
    const hoff = tuple[TUPLE_HOFF] ?? 0;
    if (hoff < TUPLE_HEADER_BYTES || tuple.length < hoff + SEQUENCE_DATA_BYTES) {
      refuseBody('Sequence', record, `${tuple.length} bytes are no tuple of a sequence`);
    }
    const view = new DataView(tuple.buffer, hoff);
    return {
      kind: 'LOG',
      ...relation,
      lastValue: view.getBigInt64(0, true),
      logCount: view.getBigInt64(8, true),
      isCalled: view.getUint8(16) !== 0,
      tuple,
    };
  },
};
