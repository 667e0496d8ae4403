import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { SLRUS, type Slru, slruPageOf } from '../../postgres/files/slru.ts';
import { DO_NOT_REPLICATE_ORIGIN, NO_ORIGIN } from '../../postgres/rmgr/replication-origin.ts';
import {
  type TransactionAbortBody,
  type TransactionBody,
  type TransactionCommitBody,
  type TransactionEnd,
  type TransactionPrepareBody,
  XACT_COMPLETION_UPDATE_RELCACHE_FILE,
  XACT_XINFO_HAS_ORIGIN,
} from '../../postgres/rmgr/xact.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import type { Effect, TransactionStatus } from './effect.ts';

const NO_EFFECTS: readonly Effect[] = [];

/** xact_redo (xact.c). */
export function transactionEffects(record: DecodedRecord, body: TransactionBody): readonly Effect[] {
  switch (body.kind) {
    case 'COMMIT':
    case 'COMMIT_PREPARED':
      return commitEffects(record, body);
    case 'ABORT':
    case 'ABORT_PREPARED':
      return abortEffects(record, body);
    case 'PREPARE':
      return prepareEffects(record, body);
    case 'ASSIGNMENT':
    case 'INVALIDATION':
      return NO_EFFECTS;
  }
}

/** The xid that has ended: of a prepared transaction the record carries it apart from its header. */
function endedXid(record: DecodedRecord, body: TransactionCommitBody | TransactionAbortBody): number {
  const isPrepared = body.kind === 'COMMIT_PREPARED' || body.kind === 'ABORT_PREPARED';
  const xid = isPrepared ? body.preparedXid : record.xid;
  if (xid === 0) fail(record, 'no transaction id in the end of a transaction');
  return xid;
}

/** xact_redo_commit. */
function commitEffects(record: DecodedRecord, body: TransactionCommitBody): readonly Effect[] {
  const effects: Effect[] = [];
  const xid = endedXid(record, body);
  const hasOrigin = (body.xinfo & XACT_XINFO_HAS_ORIGIN) !== 0;
  const time = hasOrigin ? body.originTime : body.time;
  const origin = record.originId;
  forEachPage(SLRUS['commit-timestamp'], xid, body.subtransactions, (page, xids) => {
    effects.push({ kind: 'commit-timestamp', page, xids, time, origin });
  });
  pushStatus(effects, xid, body.subtransactions, 'committed');
  if (body.invalidations.length > 0) {
    effects.push({
      kind: 'invalidations',
      database: body.database,
      tablespace: body.tablespace,
      relationCacheFile: (body.xinfo & XACT_COMPLETION_UPDATE_RELCACHE_FILE) !== 0,
      messageCount: body.invalidations.length,
    });
  }
  pushEnd(effects, record, body);
  if (body.kind === 'COMMIT_PREPARED') effects.push({ kind: 'prepared-remove', xid });
  return effects;
}

/** xact_redo_abort. */
function abortEffects(record: DecodedRecord, body: TransactionAbortBody): readonly Effect[] {
  const effects: Effect[] = [];
  const xid = endedXid(record, body);
  pushStatus(effects, xid, body.subtransactions, 'aborted');
  pushEnd(effects, record, body);
  if (body.kind === 'ABORT_PREPARED') effects.push({ kind: 'prepared-remove', xid });
  return effects;
}

/** PrepareRedoAdd (twophase.c). */
function prepareEffects(record: DecodedRecord, body: TransactionPrepareBody): readonly Effect[] {
  const { mainDataOffset, mainDataLength } = record;
  const content = record.bytes.slice(mainDataOffset, mainDataOffset + mainDataLength);
  const effects: Effect[] = [{ kind: 'prepared-put', xid: body.xid, content }];
  if (record.originId !== NO_ORIGIN) pushOrigin(effects, record, body.originLsn);
  return effects;
}

function pushStatus(
  effects: Effect[],
  xid: number,
  subtransactions: readonly number[],
  status: TransactionStatus,
): void {
  forEachPage(SLRUS.clog, xid, subtransactions, (page, xids) => {
    effects.push({ kind: 'transaction-status', page, xids, status });
  });
}

/** What commits and aborts have in common after the status. */
function pushEnd(effects: Effect[], record: DecodedRecord, body: TransactionEnd): void {
  if ((body.xinfo & XACT_XINFO_HAS_ORIGIN) !== 0) {
    if (record.originId === NO_ORIGIN) fail(record, 'an origin position without an origin');
    pushOrigin(effects, record, body.originLsn);
  }
  for (const relation of body.droppedRelations) effects.push({ kind: 'relation-drop', relation });
}

function pushOrigin(effects: Effect[], record: DecodedRecord, remoteLsn: Lsn): void {
  if (record.originId === DO_NOT_REPLICATE_ORIGIN) return;
  effects.push({
    kind: 'origin-advance',
    origin: record.originId,
    remoteLsn,
    localLsn: record.endLsn as Lsn,
    force: false,
  });
}

/** Splits a transaction and its subtransactions wherever the page changes in the order of the list. */
function forEachPage(
  slru: Slru,
  xid: number,
  subtransactions: readonly number[],
  visit: (page: number, xids: readonly number[]) => void,
): void {
  let page = slruPageOf(slru, xid);
  let xids = [xid];
  for (const subtransaction of subtransactions) {
    const subtransactionPage = slruPageOf(slru, subtransaction);
    if (subtransactionPage !== page) {
      visit(page, xids);
      page = subtransactionPage;
      xids = [];
    }
    xids.push(subtransaction);
  }
  visit(page, xids);
}

function fail(record: DecodedRecord, reason: string): never {
  throw new CorruptionError('BAD_WAL_RECORD', reason, {
    lsn: record.startLsn,
    resourceManager: 'Transaction',
    info: record.info,
  });
}
