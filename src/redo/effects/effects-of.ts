import { UnknownRecordError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { type ClogBody, clogResourceManager } from '../../postgres/rmgr/clog.ts';
import {
  type CommitTimestampBody,
  commitTimestampResourceManager,
} from '../../postgres/rmgr/commit-timestamp.ts';
import { type DatabaseBody, databaseResourceManager } from '../../postgres/rmgr/database.ts';
import { logicalMessageResourceManager } from '../../postgres/rmgr/logical-message.ts';
import { multixactResourceManager } from '../../postgres/rmgr/multixact.ts';
import { relationMapResourceManager } from '../../postgres/rmgr/relation-map.ts';
import {
  DO_NOT_REPLICATE_ORIGIN,
  type ReplicationOriginBody,
  replicationOriginResourceManager,
} from '../../postgres/rmgr/replication-origin.ts';
import {
  RM_BRIN,
  RM_BTREE,
  RM_CLOG,
  RM_COMMIT_TIMESTAMP,
  RM_DBASE,
  RM_GENERIC,
  RM_GIN,
  RM_GIST,
  RM_HASH,
  RM_HEAP,
  RM_HEAP2,
  RM_LOGICAL_MESSAGE,
  RM_MULTIXACT,
  RM_RELMAP,
  RM_REPLICATION_ORIGIN,
  RM_SEQUENCE,
  RM_SMGR,
  RM_SPGIST,
  RM_STANDBY,
  RM_TBLSPC,
  RM_XACT,
  RM_XLOG,
} from '../../postgres/rmgr/resource-manager.ts';
import {
  SMGR_TRUNCATE_FSM,
  SMGR_TRUNCATE_HEAP,
  SMGR_TRUNCATE_VM,
  type SmgrBody,
  smgrResourceManager,
} from '../../postgres/rmgr/smgr.ts';
import { type StandbyBody, standbyResourceManager } from '../../postgres/rmgr/standby.ts';
import { type TablespaceBody, tablespaceResourceManager } from '../../postgres/rmgr/tablespace.ts';
import { xactResourceManager } from '../../postgres/rmgr/xact.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import type { Effect } from './effect.ts';
import { multixactEffects } from './multixact-effects.ts';
import { transactionEffects } from './transaction-effects.ts';
import { xlogEffects } from './xlog-effects.ts';

const NO_EFFECTS: readonly Effect[] = [];

/**
 * What the record does outside of relation pages, in the order in which it is to be applied; the one shared empty
 * array where it does nothing of the kind, which is the rule. Bits of the visibility map that heap records clear
 * are not among them: visibility.ts tells those.
 *
 * @throws UnknownRecordError for a kind of record that is not known, CorruptionError for one that cannot be decoded.
 */
export function effectsOf(record: DecodedRecord): readonly Effect[] {
  switch (record.resourceManager) {
    case RM_HEAP:
    case RM_HEAP2:
    case RM_BTREE:
    case RM_HASH:
    case RM_GIN:
    case RM_GIST:
    case RM_SEQUENCE:
    case RM_SPGIST:
    case RM_BRIN:
    case RM_GENERIC:
      return NO_EFFECTS;
    case RM_XACT:
      return transactionEffects(record, xactResourceManager.decodeBody(record));
    case RM_XLOG:
      return xlogEffects(record);
    case RM_SMGR:
      return [smgrEffect(smgrResourceManager.decodeBody(record))];
    case RM_CLOG:
      return [clogEffect(clogResourceManager.decodeBody(record))];
    case RM_DBASE:
      return [databaseEffect(databaseResourceManager.decodeBody(record))];
    case RM_TBLSPC:
      return [tablespaceEffect(tablespaceResourceManager.decodeBody(record))];
    case RM_MULTIXACT:
      return multixactEffects(multixactResourceManager.decodeBody(record));
    case RM_RELMAP: {
      const { tablespace, database, content } = relationMapResourceManager.decodeBody(record);
      return [{ kind: 'relation-map', tablespace, database, content }];
    }
    case RM_STANDBY:
      return [standbyEffect(standbyResourceManager.decodeBody(record))];
    case RM_COMMIT_TIMESTAMP:
      return [commitTimestampEffect(commitTimestampResourceManager.decodeBody(record))];
    case RM_REPLICATION_ORIGIN:
      return originEffects(record, replicationOriginResourceManager.decodeBody(record));
    case RM_LOGICAL_MESSAGE:
      return [{ ...logicalMessageResourceManager.decodeBody(record), kind: 'logical-message' }];
    default:
      throw new UnknownRecordError(record.resourceManager, record.info, record.startLsn);
  }
}

/** smgr_redo (storage.c). */
function smgrEffect(body: SmgrBody): Effect {
  const { relation } = body;
  if (body.kind === 'CREATE') return { kind: 'relation-create', relation, fork: body.fork };
  return {
    kind: 'relation-truncate',
    relation,
    blocks: body.blocks,
    heap: (body.flags & SMGR_TRUNCATE_HEAP) !== 0,
    visibilityMap: (body.flags & SMGR_TRUNCATE_VM) !== 0,
    freeSpaceMap: (body.flags & SMGR_TRUNCATE_FSM) !== 0,
  };
}

/** clog_redo. */
function clogEffect(body: ClogBody): Effect {
  if (body.kind === 'ZEROPAGE') return { kind: 'slru-zero-page', slru: 'clog', page: body.page };
  return { kind: 'slru-truncate', slru: 'clog', cutoffPage: body.page, checksWrapAround: true };
}

/** commit_ts_redo: it tells slru.c that the cutoff is the newest page, so that nothing looks wrapped around. */
function commitTimestampEffect(body: CommitTimestampBody): Effect {
  if (body.kind === 'ZEROPAGE') return { kind: 'slru-zero-page', slru: 'commit-timestamp', page: body.page };
  return { kind: 'slru-truncate', slru: 'commit-timestamp', cutoffPage: body.page, checksWrapAround: false };
}

/** dbase_redo (dbcommands.c). */
function databaseEffect(body: DatabaseBody): Effect {
  const { database } = body;
  switch (body.kind) {
    case 'CREATE_FILE_COPY': {
      const { tablespace, sourceDatabase, sourceTablespace } = body;
      return { kind: 'database-copy', sourceDatabase, sourceTablespace, database, tablespace };
    }
    case 'CREATE_WAL_LOG':
      return { kind: 'database-create', database, tablespace: body.tablespace };
    case 'DROP':
      return { kind: 'database-drop', database, tablespaces: body.tablespaces };
  }
}

/** tblspc_redo (tablespace.c). */
function tablespaceEffect(body: TablespaceBody): Effect {
  const { tablespace } = body;
  if (body.kind === 'CREATE') return { kind: 'tablespace-create', tablespace, path: body.path };
  return { kind: 'tablespace-drop', tablespace };
}

/** standby_redo (standby.c): only a hot standby does anything about them. */
function standbyEffect(body: StandbyBody): Effect {
  switch (body.kind) {
    case 'LOCK':
      return { kind: 'locks', locks: body.locks };
    case 'RUNNING_XACTS':
      return { ...body, kind: 'running-transactions' };
    case 'INVALIDATIONS': {
      const { database, tablespace, relationCacheFile, messages } = body;
      return {
        kind: 'invalidations',
        database,
        tablespace,
        relationCacheFile,
        messageCount: messages.length,
      };
    }
  }
}

/** replorigin_redo (origin.c). */
function originEffects(record: DecodedRecord, body: ReplicationOriginBody): readonly Effect[] {
  const { origin } = body;
  if (body.kind === 'DROP') return [{ kind: 'origin-drop', origin }];
  if (origin === DO_NOT_REPLICATE_ORIGIN) return NO_EFFECTS;
  const { remoteLsn, force } = body;
  return [{ kind: 'origin-advance', origin, remoteLsn, localLsn: record.endLsn as Lsn, force }];
}
