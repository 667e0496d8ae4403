import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_DBASE } from './resource-manager.ts';

/** Record kinds (commands/dbcommands_xlog.h, 15 and later). */
export const XLOG_DBASE_CREATE_FILE_COPY = 0x00;
export const XLOG_DBASE_CREATE_WAL_LOG = 0x10;
export const XLOG_DBASE_DROP = 0x20;

export interface DatabaseCreateFileCopyBody {
  readonly kind: 'CREATE_FILE_COPY';
  readonly database: number;
  readonly tablespace: number;
  readonly sourceDatabase: number;
  readonly sourceTablespace: number;
}

export interface DatabaseCreateWalLogBody {
  readonly kind: 'CREATE_WAL_LOG';
  readonly database: number;
  readonly tablespace: number;
}

export interface DatabaseDropBody {
  readonly kind: 'DROP';
  readonly database: number;
  readonly tablespaces: readonly number[];
}

export type DatabaseBody = DatabaseCreateFileCopyBody | DatabaseCreateWalLogBody | DatabaseDropBody;

function decodeBody(record: DecodedRecord): DatabaseBody {
  const reader = BodyReader.mainData(record);
  let body: DatabaseBody;
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_DBASE_CREATE_FILE_COPY:
      body = {
        kind: 'CREATE_FILE_COPY',
        database: reader.u32(),
        tablespace: reader.u32(),
        sourceDatabase: reader.u32(),
        sourceTablespace: reader.u32(),
      };
      break;
    case XLOG_DBASE_CREATE_WAL_LOG:
      body = { kind: 'CREATE_WAL_LOG', database: reader.u32(), tablespace: reader.u32() };
      break;
    case XLOG_DBASE_DROP:
      body = {
        kind: 'DROP',
        database: reader.u32(),
        tablespaces: reader.countedItems(4, () => reader.u32()),
      };
      break;
    default:
      return refuseKind('Database', record);
  }
  reader.expectEnd();
  return body;
}

const KINDS = new Map([
  [XLOG_DBASE_CREATE_FILE_COPY, 'CREATE_FILE_COPY'],
  [XLOG_DBASE_CREATE_WAL_LOG, 'CREATE_WAL_LOG'],
  [XLOG_DBASE_DROP, 'DROP'],
]);

/** Databases' directories. */
export const databaseResourceManager: ResourceManager<DatabaseBody> = {
  id: RM_DBASE,
  name: 'Database',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody,
};
