/** Which records of WAL a command is to show. */
import { CorruptionError } from '../base/errors.ts';
import { FORK_NAMES } from '../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { HEAP_BLOCKS_PER_MAP_PAGE } from '../postgres/page/visibility-map.ts';
import { RM_DBASE, RM_SMGR, RM_XACT } from '../postgres/rmgr/resource-manager.ts';
import { type TransactionBody, xactResourceManager } from '../postgres/rmgr/xact.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { FORK_VISIBILITY_MAP } from '../postgres/wal/record-header.ts';
import type { Effect } from '../redo/effects/effect.ts';
import { effectsOf } from '../redo/effects/effects-of.ts';
import { findVisibilityClears, VisibilityClears } from '../redo/visibility.ts';

/** A record is to fulfil all conditions that are there. */
export interface RecordFilter {
  readonly resourceManager?: number;
  /**
   * The record was written by this transaction or for it: its own or its subtransaction's, or the end, preparation or
   * assignment that names it.
   */
  readonly xid?: number;
  /** The record touches this relation: a page of it, or its files as a whole. */
  readonly relation?: RelationLocator;
  readonly fork?: number;
  readonly block?: number;
}

const clears = new VisibilityClears();

export function matchesFilter(record: DecodedRecord, filter: RecordFilter): boolean {
  if (filter.resourceManager !== undefined && record.resourceManager !== filter.resourceManager) return false;
  if (filter.xid !== undefined && !isOfTransaction(record, filter.xid)) return false;
  if (filter.relation === undefined && filter.fork === undefined && filter.block === undefined) return true;
  return namesPage(record, filter) || clearsVisibility(record, filter) || touchesFiles(record, filter);
}

function isOfTransaction(record: DecodedRecord, xid: number): boolean {
  if (record.xid === xid || record.topLevelXid === xid) return true;
  if (record.resourceManager !== RM_XACT) return false;
  const body = orNothing(() => xactResourceManager.decodeBody(record));
  return body !== undefined && namesTransaction(body, xid);
}

function namesTransaction(body: TransactionBody, xid: number): boolean {
  switch (body.kind) {
    case 'ASSIGNMENT':
      return body.topXid === xid || body.subtransactions.includes(xid);
    case 'PREPARE':
      return body.xid === xid || body.subtransactions.includes(xid);
    case 'INVALIDATION':
      return false;
    default:
      return body.preparedXid === xid || body.subtransactions.includes(xid);
  }
}

/** A block reference fulfils all conditions at once. */
function namesPage(record: DecodedRecord, { relation, fork, block }: RecordFilter): boolean {
  for (let id = 0; id < record.blockCount; id++) {
    if (
      record.hasBlock(id) &&
      (relation === undefined ||
        (record.blockRelation[id] === relation.relation &&
          record.blockDatabase[id] === relation.database &&
          record.blockTablespace[id] === relation.tablespace)) &&
      (fork === undefined || record.blockFork[id] === fork) &&
      (block === undefined || record.blockNumber[id] === block)
    ) {
      return true;
    }
  }
  return false;
}

/** Heap records also change pages of the visibility map that they do not name. */
function clearsVisibility(record: DecodedRecord, { relation, fork, block }: RecordFilter): boolean {
  if (fork !== FORK_VISIBILITY_MAP) return false;
  const count = orNothing(() => findVisibilityClears(record, clears)) ?? 0;
  if (count === 0) return false;
  if (relation !== undefined && !isSameRelation(clears, relation)) return false;
  if (block === undefined) return true;
  for (let index = 0; index < count; index++) {
    if (Math.floor((clears.heapBlocks[index] as number) / HEAP_BLOCKS_PER_MAP_PAGE) === block) return true;
  }
  return false;
}

const isSameRelation = (a: RelationLocator, b: RelationLocator): boolean =>
  a.tablespace === b.tablespace && a.database === b.database && a.relation === b.relation;

/** The relation's files come, go, are cut or copied with their database. That touches each of their pages. */
function touchesFiles(record: DecodedRecord, filter: RecordFilter): boolean {
  const { resourceManager } = record;
  if (filter.relation === undefined) return false;
  if (resourceManager !== RM_SMGR && resourceManager !== RM_XACT && resourceManager !== RM_DBASE)
    return false;
  const effects = orNothing(() => effectsOf(record)) ?? [];
  return effects.some((effect) => touchesRelation(effect, filter, filter.relation as RelationLocator));
}

function touchesRelation(effect: Effect, { fork, block }: RecordFilter, relation: RelationLocator): boolean {
  switch (effect.kind) {
    case 'relation-create':
      return isSameRelation(effect.relation, relation) && (fork === undefined || fork === effect.fork);
    case 'relation-truncate':
      // The maps are cut in proportion; which of their pages change is not worth a second rule here.
      return (
        isSameRelation(effect.relation, relation) &&
        ((fork ?? 0) !== 0 || (block ?? effect.blocks) >= effect.blocks)
      );
    case 'relation-drop':
      return isSameRelation(effect.relation, relation);
    case 'database-copy':
      return effect.database === relation.database && effect.tablespace === relation.tablespace;
    case 'database-drop':
      return effect.database === relation.database && effect.tablespaces.includes(relation.tablespace);
    default:
      return false;
  }
}

/** A body that cannot be decoded names nothing; `varve wal verify` is there to report it. */
function orNothing<Value>(decode: () => Value): Value | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}

export const forkName = (fork: number): string => FORK_NAMES[fork] ?? String(fork);
