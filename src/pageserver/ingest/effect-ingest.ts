import { AssertionError } from '../../base/errors.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import { SLRUS, slruPageOf } from '../../postgres/files/slru.ts';
import { fullXidAt } from '../../postgres/files/two-phase-file.ts';
import { RM_LOGICAL_MESSAGE, RM_XACT } from '../../postgres/rmgr/resource-manager.ts';
import {
  isPlainTransactionEnd,
  XLOG_XACT_COMMIT,
  XLOG_XACT_COMMIT_PREPARED,
  XLOG_XACT_OPMASK,
} from '../../postgres/rmgr/xact.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { advanceCounters } from '../../redo/effects/counters.ts';
import type {
  DatabaseCopyEffect,
  DatabaseCreateEffect,
  DatabaseDropEffect,
  Effect,
  LogicalMessageEffect,
  OriginAdvanceEffect,
  RelationMapEffect,
  TablespaceCreateEffect,
  TablespaceDropEffect,
} from '../../redo/effects/effect.ts';
import { effectsOf } from '../../redo/effects/effects-of.ts';
import { advanceNextXidPast } from '../../redo/effects/next-ids.ts';
import {
  AUXILIARY_CONTENT_BYTES_MAX,
  auxiliaryFileKey,
  changeAuxiliaryFiles,
  isAuxiliaryPath,
} from '../keyspace/auxiliary-file.ts';
import { databaseKey, originKey, relationMapKey, tablespaceKey } from '../keyspace/keys.ts';
import {
  DATABASE_VALUE,
  encodeOrigin,
  encodeTablespacePath,
  NO_VALUE,
  type OriginPositions,
} from '../keyspace/stored-values.ts';
import { checkStoredLength, refuseRecord } from './check-record.ts';
import type { HeadState } from './head-state.ts';
import type { IngestSink } from './ingest-sink.ts';
import { KeySink } from './key-sink.ts';
import type { DatabaseOperation, Missing } from './missing.ts';
import { RelationIngest } from './relation-ingest.ts';
import { SlruIngest } from './slru-ingest.ts';

/** A logical message of this prefix, and a path behind it, brings the content of an auxiliary file. */
const AUXILIARY_FILE_PREFIX = 'varve-file:';

const NO_ORIGIN_POSITIONS: OriginPositions = { remoteLsn: toLsn(0), localLsn: toLsn(0) };
const TWO_POW_32 = 0x1_0000_0000;

/** What records do outside of relation pages. */
export class EffectIngest {
  readonly #state: HeadState;
  readonly #relations: RelationIngest;
  readonly #slrus: SlruIngest;
  /** Under the key of the record under work, once they have been provided; empty if there are none. */
  #auxiliaryFiles: Uint8Array | undefined;

  constructor(state: HeadState) {
    this.#state = state;
    this.#relations = new RelationIngest(state.sizes);
    this.#slrus = new SlruIngest(state);
  }

  provideAuxiliaryFiles(value: Uint8Array | undefined): void {
    this.#auxiliaryFiles = (value ?? NO_VALUE).slice();
  }

  /** @throws CorruptionError, UnknownRecordError, having put nothing */
  ingest(record: DecodedRecord, sink: IngestSink): Missing | undefined {
    if (isPlainTransactionEnd(record) && !this.#state.counters.settings.trackCommitTimestamp) {
      this.#endTransaction(record, sink);
      return undefined;
    }
    const effects = effectsOf(record);
    for (let id = 0; id < record.blockCount; id++) {
      if (record.blockInUse[id] === 1) refuseRecord(record, 'records of this kind name no blocks');
    }
    // Messages are not stored as records.
    if (effects.length > 0 && record.resourceManager !== RM_LOGICAL_MESSAGE) checkStoredLength(record);
    for (const effect of effects) {
      const missing = this.#findMissing(record, effect);
      if (missing !== undefined) return missing;
    }
    this.finish(record, effects, sink);
    return undefined;
  }

  /** What `finish` would do for a record that is the end of one transaction, and nothing else: the most frequent. */
  #endTransaction(record: DecodedRecord, sink: IngestSink): void {
    const state = this.#state;
    const { xid } = record;
    advanceNextXidPast(state.counters, xid);
    state.slrus.putRecord('clog', slruPageOf(SLRUS.clog, xid), sink);
    const keys = new KeySink(state.stems, sink);
    state.transactions.releaseLock(xid, keys);
    if (isCommit(record)) state.putCommitTime(readTime(record), keys);
    if (state.isXidPastStored) state.putCounters(keys);
  }

  /** All but what `ingest` looks for first. */
  finish(record: DecodedRecord, effects: readonly Effect[], sink: IngestSink): void {
    const state = this.#state;
    advanceCounters(state.counters, record);
    const keys = new KeySink(state.stems, sink);
    for (const effect of effects) this.#apply(record, effect, sink, keys);
    state.slrus.flush(sink);
    if (isCommit(record)) state.putCommitTime(readTime(record), keys);
    state.putCounters(keys);
    this.#auxiliaryFiles = undefined;
  }

  #findMissing(record: DecodedRecord, effect: Effect): Missing | undefined {
    switch (effect.kind) {
      case 'relation-create':
      case 'relation-truncate':
        return this.#relations.findUnknown(effect);
      case 'database-copy':
        return databaseCopy(record, effect);
      case 'database-drop':
        return databaseDrop(effect);
      case 'logical-message': {
        const path = auxiliaryPath(effect);
        if (path === undefined || this.#auxiliaryFiles !== undefined) return undefined;
        return { kind: 'auxiliary-files', key: auxiliaryFileKey(path) };
      }
      default:
        return undefined;
    }
  }

  #apply(record: DecodedRecord, effect: Effect, sink: IngestSink, keys: KeySink): void {
    const { counters, transactions } = this.#state;
    switch (effect.kind) {
      case 'relation-create':
      case 'relation-truncate':
      case 'relation-drop':
        this.#relations.apply(effect, sink);
        break;
      case 'slru-zero-page':
      case 'slru-truncate':
      case 'slru-delete-segments':
      case 'commit-timestamp':
      case 'multixact-offsets':
      case 'multixact-members':
      case 'parameter-change':
        this.#slrus.apply(effect, sink);
        break;
      case 'transaction-status':
        this.#slrus.apply(effect, sink);
        transactions.releaseLocks(effect.xids, keys);
        break;
      case 'database-create':
      case 'relation-map':
      case 'tablespace-create':
      case 'tablespace-drop':
        putCatalogEntry(effect, keys);
        break;
      case 'prepared-put':
        transactions.prepare(record, effect.xid, effect.content, counters.nextXid, keys);
        break;
      case 'prepared-remove':
        transactions.removePrepared(effect.xid, counters.nextXid, keys);
        break;
      case 'checkpoint':
        // Nothing runs at a shutdown: all that has not ended never will, but for what is prepared.
        if (effect.shutdown) this.#setOldestRunning(counters.nextXid, keys);
        break;
      case 'running-transactions': {
        const oldest = fullXidAt(counters.nextXid, effect.oldestRunningXid);
        this.#setOldestRunning(Math.max(this.#state.oldestRunningXid, oldest), keys);
        break;
      }
      case 'locks':
        transactions.lock(effect.locks, keys);
        break;
      case 'origin-advance':
        this.#advanceOrigin(effect, keys);
        break;
      case 'origin-drop':
        if (this.#state.origins.delete(effect.origin)) keys.put(originKey(effect.origin), NO_VALUE);
        break;
      case 'logical-message':
        this.#putAuxiliaryFile(effect, record.endLsn as Lsn, keys);
        break;
      case 'database-copy':
      case 'database-drop':
        // database-ingest.ts has put what belongs to them.
        break;
      case 'invalidations':
      case 'full-page-writes':
      case 'end-of-recovery':
      case 'overwrite-contrecord':
      case 'backup-end':
      case 'restore-point':
      case 'next-oid':
        // At most counters, which have been advanced.
        break;
      default:
        throw new AssertionError(`no such effect: ${(effect satisfies never as Effect).kind}`);
    }
  }

  /** replorigin_advance. */
  #advanceOrigin(effect: OriginAdvanceEffect, keys: KeySink): void {
    const { origins } = this.#state;
    const known = origins.get(effect.origin) ?? NO_ORIGIN_POSITIONS;
    const remoteLsn = effect.force || effect.remoteLsn > known.remoteLsn ? effect.remoteLsn : known.remoteLsn;
    const localLsn = effect.localLsn > known.localLsn ? effect.localLsn : known.localLsn;
    const positions = { remoteLsn, localLsn };
    origins.set(effect.origin, positions);
    keys.put(originKey(effect.origin), encodeOrigin(positions));
  }

  #setOldestRunning(fullXid: number, keys: KeySink): void {
    this.#state.oldestRunningXid = fullXid;
    this.#state.transactions.releaseOldLocks(fullXid % TWO_POW_32, keys);
  }

  #putAuxiliaryFile(effect: LogicalMessageEffect, lsn: Lsn, keys: KeySink): void {
    const path = auxiliaryPath(effect);
    if (path === undefined) return;
    const old = this.#auxiliaryFiles ?? NO_VALUE;
    const content = effect.message.length === 0 ? undefined : effect.message;
    const changed = changeAuxiliaryFiles(old, { path, lsn, content });
    if (changed !== old) keys.put(auxiliaryFileKey(path), changed);
  }
}

function putCatalogEntry(
  effect: DatabaseCreateEffect | RelationMapEffect | TablespaceCreateEffect | TablespaceDropEffect,
  keys: KeySink,
): void {
  switch (effect.kind) {
    case 'database-create':
      keys.put(databaseKey(effect.tablespace, effect.database), DATABASE_VALUE);
      break;
    case 'relation-map':
      keys.put(relationMapKey(effect.tablespace, effect.database), effect.content);
      break;
    case 'tablespace-create':
      keys.put(tablespaceKey(effect.tablespace), encodeTablespacePath(effect.path));
      break;
    case 'tablespace-drop':
      keys.put(tablespaceKey(effect.tablespace), NO_VALUE);
      break;
  }
}

function databaseCopy(record: DecodedRecord, effect: DatabaseCopyEffect): DatabaseOperation {
  const source = { tablespace: effect.sourceTablespace, database: effect.sourceDatabase };
  const target = { tablespace: effect.tablespace, database: effect.database };
  if (source.tablespace === target.tablespace && source.database === target.database) {
    refuseRecord(record, 'a database is to become a copy of itself');
  }
  return { kind: 'database-copy', source, target };
}

function databaseDrop(effect: DatabaseDropEffect): DatabaseOperation {
  const { database } = effect;
  const places = [...new Set(effect.tablespaces)].map((tablespace) => ({ tablespace, database }));
  return { kind: 'database-drop', places };
}

/** Undefined for messages that are none of ours. Every user can send any: what can be no file must stop nobody. */
function auxiliaryPath(effect: LogicalMessageEffect): string | undefined {
  if (!effect.prefix.startsWith(AUXILIARY_FILE_PREFIX)) return undefined;
  const path = effect.prefix.slice(AUXILIARY_FILE_PREFIX.length);
  return isAuxiliaryPath(path) && effect.message.length <= AUXILIARY_CONTENT_BYTES_MAX ? path : undefined;
}

function isCommit(record: DecodedRecord): boolean {
  if (record.resourceManager !== RM_XACT) return false;
  const kind = record.info & XLOG_XACT_OPMASK;
  return kind === XLOG_XACT_COMMIT || kind === XLOG_XACT_COMMIT_PREPARED;
}

/** xact_time, the first field of a commit: microseconds since 2000-01-01 UTC. Its effects have been decoded already. */
function readTime(record: DecodedRecord): number {
  const { view, mainDataOffset: start } = record;
  return view.getInt32(start + 4, true) * TWO_POW_32 + view.getUint32(start, true);
}
