import { xidPrecedes } from '../../postgres/files/slru.ts';
import { fullXidAt } from '../../postgres/files/two-phase-file.ts';
import { RM_XACT } from '../../postgres/rmgr/resource-manager.ts';
import { XLOG_XACT_PREPARE, xactResourceManager } from '../../postgres/rmgr/xact.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { encodeRecord } from '../../postgres/wal/record-writer.ts';
import type { LocksEffect } from '../../redo/effects/effect.ts';
import { locksKey, twoPhaseKey } from '../keyspace/keys.ts';
import { encodeLocks, NO_VALUE, type RelationLock } from '../keyspace/stored-values.ts';
import type { KeySink } from './key-sink.ts';

interface PreparedTransaction {
  readonly fullXid: number;
  readonly subtransactions: readonly number[];
}

/** What has to be remembered of transactions that have not ended: which are prepared, and who holds which lock. */
export class Transactions {
  readonly #prepared = new Map<number, PreparedTransaction>();
  readonly #locks = new Map<number, readonly RelationLock[]>();

  /** A prepared transaction that is stored. @throws CorruptionError where its content is damaged */
  restorePrepared(version: PostgresVersion, fullXid: number, content: Uint8Array): void {
    this.#prepared.set(fullXid >>> 0, { fullXid, subtransactions: readSubtransactions(version, content) });
  }

  restoreLocks(xid: number, locks: readonly RelationLock[]): void {
    this.#locks.set(xid, locks);
  }

  /** PrepareRedoAdd. `nextXid` is the full id that counts after the record, `record` the PREPARE. */
  prepare(record: DecodedRecord, xid: number, content: Uint8Array, nextXid: number, sink: KeySink): void {
    const body = xactResourceManager.decodeBody(record);
    const fullXid = Math.max(xid, fullXidAt(nextXid, xid));
    this.#prepared.set(xid, {
      fullXid,
      subtransactions: body.kind === 'PREPARE' ? body.subtransactions : [],
    });
    sink.put(twoPhaseKey(fullXid), content);
  }

  /** PrepareRedoRemove. */
  removePrepared(xid: number, nextXid: number, sink: KeySink): void {
    const fullXid = this.#prepared.get(xid)?.fullXid ?? Math.max(xid, fullXidAt(nextXid, xid));
    this.#prepared.delete(xid);
    sink.put(twoPhaseKey(fullXid), NO_VALUE);
  }

  /** StandbyAcquireAccessExclusiveLock. */
  lock(locks: LocksEffect['locks'], sink: KeySink): void {
    const changed = new Set<number>();
    for (const { xid, database, relation } of locks) {
      const held = this.#locks.get(xid) ?? [];
      if (held.some((lock) => lock.relation === relation && lock.database === database)) continue;
      this.#locks.set(xid, [...held, { database, relation }]);
      changed.add(xid);
    }
    for (const xid of changed) sink.put(locksKey(xid), encodeLocks(this.#locks.get(xid) ?? []));
  }

  /** StandbyReleaseLockTree: these have ended. */
  releaseLocks(xids: readonly number[], sink: KeySink): void {
    if (this.#locks.size === 0) return;
    for (const xid of xids) this.#release(xid, sink);
  }

  /** As releaseLocks, of one. */
  releaseLock(xid: number, sink: KeySink): void {
    if (this.#locks.size > 0) this.#release(xid, sink);
  }

  /** StandbyReleaseOldLocks: transactions before `oldestRunningXid` have ended, but for prepared ones. */
  releaseOldLocks(oldestRunningXid: number, sink: KeySink): void {
    if (this.#locks.size === 0) return;
    const kept = new Set<number>();
    for (const [xid, { subtransactions }] of this.#prepared) {
      kept.add(xid);
      for (const subtransaction of subtransactions) kept.add(subtransaction);
    }
    for (const xid of [...this.#locks.keys()]) {
      if (xidPrecedes(xid, oldestRunningXid) && !kept.has(xid)) this.#release(xid, sink);
    }
  }

  #release(xid: number, sink: KeySink): void {
    if (this.#locks.delete(xid)) sink.put(locksKey(xid), NO_VALUE);
  }
}

/** The stored state is what a PREPARE record has as its main data, so it is read as one. */
export function readSubtransactions(version: PostgresVersion, content: Uint8Array): readonly number[] {
  const bytes = encodeRecord({ resourceManager: RM_XACT, info: XLOG_XACT_PREPARE, mainData: content }, 0);
  const record = new DecodedRecord(version);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  record.decode(bytes, view, 0, bytes.length, 0, 0);
  const body = xactResourceManager.decodeBody(record);
  return body.kind === 'PREPARE' ? body.subtransactions : [];
}
