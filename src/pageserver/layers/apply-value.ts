import { CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { SLRUS, slruPageOf } from '../../postgres/files/slru.ts';
import type { Page } from '../../postgres/page/page.ts';
import { truncateVisibilityMapPage, visibilityMapBlock } from '../../postgres/page/visibility-map.ts';
import { RM_SMGR } from '../../postgres/rmgr/resource-manager.ts';
import { smgrResourceManager } from '../../postgres/rmgr/smgr.ts';
import { isPlainTransactionEnd } from '../../postgres/rmgr/xact.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES, FORK_VISIBILITY_MAP, RECORD_HEADER_BYTES } from '../../postgres/wal/record-header.ts';
import { effectsOf } from '../../redo/effects/effects-of.ts';
import {
  applyPlainTransactionEnd,
  applySlruPageEffect,
  slruOfEffect,
} from '../../redo/effects/slru-pages.ts';
import { redo } from '../../redo/redo.ts';
import type { RedoSettings } from '../../redo/redo-types.ts';
import { redoVisibilityClears } from '../../redo/visibility.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import { KIND_RELATION_BLOCK, SLRU_NAMES, slruPageOfKey } from '../keyspace/keys.ts';
import type { FoundValues } from './found-values.ts';
import {
  VALUE_HINTS_LOGGED,
  VALUE_IMAGE,
  VALUE_KIND_MASK,
  VALUE_POISON,
  VALUE_VISIBILITY_CLEARS,
} from './value.ts';
import { applyVisibilityClears } from './visibility-clears.ts';

const HINTS_LOGGED: RedoSettings = { hintBitsAreLogged: true };
const HINTS_NOT_LOGGED: RedoSettings = { hintBitsAreLogged: false };

const utf8 = new TextDecoder();
const appliers = new Map<PostgresVersion, ValueApplier>();

/** Makes pages out of the values that were found for a key. Not for use by two at once; it keeps nothing between. */
export class ValueApplier {
  readonly #record: DecodedRecord;

  constructor(version: PostgresVersion) {
    this.#record = new DecodedRecord(version);
  }

  /** The one for all pages of a version: making a page awaits nothing. */
  static of(version: PostgresVersion): ValueApplier {
    let applier = appliers.get(version);
    if (applier === undefined) {
      applier = new ValueApplier(version);
      appliers.set(version, applier);
    }
    return applier;
  }

  /**
   * Makes the page that `found` amounts to, from its base, which must be there, on to its newest value.
   *
   * @param key of a page
   * @param target what is in it before does not matter; undefined when this throws
   * @throws CorruptionError where the values do not make a page: damaged, poisoned, or without a base
   */
  reconstruct(key: Key, found: FoundValues, target: Page): void {
    if (!found.isComplete) throw noBase(key, found);
    let index = found.count - 1;
    if (((found.flags[index] as number) & VALUE_KIND_MASK) === VALUE_IMAGE) {
      this.#copyImage(key, found, index, target);
      index--;
    } else target.bytes.fill(0);
    this.applyFrom(key, found, index, target);
  }

  /** As `reconstruct`, where `target` is the page as of before the values from `index` on to the newest, which is 0. */
  applyFrom(key: Key, found: FoundValues, index: number, target: Page): void {
    for (let at = index; at >= 0; at--) this.#applyValue(key, found, at, target);
  }

  #copyImage(key: Key, found: FoundValues, index: number, target: Page): void {
    const length = found.lengths[index] as number;
    const lsn = found.lsns[index] as number;
    if (length !== BLOCK_BYTES) {
      throw new CorruptionError(
        'BAD_PAGE_IMAGE',
        `an image of ${length} bytes is no page`,
        placeOf(key, lsn),
      );
    }
    const offset = found.offsets[index] as number;
    target.bytes.set((found.bytes[index] as Uint8Array).subarray(offset, offset + BLOCK_BYTES));
  }

  #applyValue(key: Key, found: FoundValues, index: number, target: Page): void {
    const flags = found.flags[index] as number;
    const lsn = found.lsns[index] as number;
    const kind = flags & VALUE_KIND_MASK;
    if (kind === VALUE_POISON) throw poisoned(key, found, index);
    if (kind === VALUE_IMAGE) {
      throw new CorruptionError('BAD_VALUE', 'an image is no change of a page', placeOf(key, lsn));
    }
    const offset = found.offsets[index] as number;
    const length = found.lengths[index] as number;
    const view = found.views[index] as DataView;
    try {
      if (kind === VALUE_VISIBILITY_CLEARS) {
        applyVisibilityClears(key, view, offset, length, target);
        return;
      }
      if (length < RECORD_HEADER_BYTES || view.getUint32(offset, true) !== length) {
        throw new CorruptionError('BAD_VALUE', 'the stored record has another length than it says');
      }
      const record = this.#record;
      record.decode(found.bytes[index] as Uint8Array, view, offset, length, lsn, lsn);
      const settings = (flags & VALUE_HINTS_LOGGED) === 0 ? HINTS_NOT_LOGGED : HINTS_LOGGED;
      if (key.kind === KIND_RELATION_BLOCK) applyToRelation(key, record, target, settings);
      else applyToSlru(key, record, target);
    } catch (error) {
      if (error instanceof VarveError && error.kind === 'assertion') throw error;
      throw new CorruptionError(
        'PAGE_NOT_REPLAYED',
        `the record that ends at ${formatLsn(lsn)} cannot be replayed on the page: ${reasonOf(error)}`,
        placeOf(key, lsn),
        error,
      );
    }
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof VarveError ? error.reason : error instanceof Error ? error.message : String(error);

const placeOf = (key: Key, lsn: number): { page: string; lsn: number } => ({
  page: describePageKey(key),
  lsn,
});

/** For messages: `spc/db/rel fork N blk N`, or the SLRU and page; of any other key its hexadecimal form. */
export function describePageKey(key: Key): string {
  if (key.kind === KIND_RELATION_BLOCK) {
    return `${key.field2}/${key.field3}/${key.field4} fork ${key.field5} blk ${key.index}`;
  }
  const slru = SLRU_NAMES[key.field2];
  return slru === undefined || key.field3 !== 1 ? formatKey(key) : `${slru} page ${slruPageOfKey(key)}`;
}

function noBase(key: Key, found: FoundValues): CorruptionError {
  if (found.count === 0) {
    const page = describePageKey(key);
    return new CorruptionError('PAGE_WITHOUT_BASE', 'nothing is stored for the page', { page });
  }
  const lsn = found.lsns[found.count - 1] as number;
  return new CorruptionError('PAGE_WITHOUT_BASE', 'no base is stored for the page', placeOf(key, lsn));
}

function poisoned(key: Key, found: FoundValues, index: number): CorruptionError {
  const offset = found.offsets[index] as number;
  const bytes = (found.bytes[index] as Uint8Array).subarray(
    offset,
    offset + (found.lengths[index] as number),
  );
  return new CorruptionError(
    'PAGE_POISONED',
    `a record that changes the page could not be taken in: ${utf8.decode(bytes)}`,
    placeOf(key, found.lsns[index] as number),
  );
}

/**
 * What a record does to a block of a relation: through its reference to it, or to the visibility map without one. Of heap
 * records only layer files of version 1 have the latter.
 */
function applyToRelation(key: Key, record: DecodedRecord, page: Page, settings: RedoSettings): void {
  const blockId = findBlock(key, record);
  if (blockId >= 0) {
    redo(page, record, blockId, settings);
    return;
  }
  if (key.field5 !== FORK_VISIBILITY_MAP) throw new CorruptionError('BAD_VALUE', 'it does not name the page');
  if (record.resourceManager !== RM_SMGR) {
    redoVisibilityClears(page, record, key.index);
    return;
  }
  const body = smgrResourceManager.decodeBody(record);
  if (body.kind !== 'TRUNCATE') throw new CorruptionError('BAD_VALUE', 'it is no truncation');
  if (visibilityMapBlock(body.blocks) !== key.index) {
    throw new CorruptionError('BAD_VALUE', 'it does not cut the visibility map in this page');
  }
  truncateVisibilityMapPage(page, body.blocks);
}

/** The reference by which the record names the block, or -1. */
function findBlock(key: Key, record: DecodedRecord): number {
  for (let id = 0; id < record.blockCount; id++) {
    if (
      record.blockInUse[id] === 1 &&
      record.blockNumber[id] === key.index &&
      record.blockRelation[id] === key.field4 &&
      record.blockFork[id] === key.field5 &&
      record.blockDatabase[id] === key.field3 &&
      record.blockTablespace[id] === key.field2
    ) {
      return id;
    }
  }
  return -1;
}

function applyToSlru(key: Key, record: DecodedRecord, page: Page): void {
  const slru = SLRU_NAMES[key.field2];
  const number = slruPageOfKey(key);
  if (slru === 'clog' && isPlainTransactionEnd(record)) {
    if (slruPageOf(SLRUS.clog, record.xid) === number) applyPlainTransactionEnd(page, record);
    return;
  }
  for (const effect of effectsOf(record)) {
    switch (effect.kind) {
      case 'slru-zero-page':
      case 'transaction-status':
      case 'commit-timestamp':
      case 'multixact-offsets':
      case 'multixact-members':
        if (effect.page === number && slruOfEffect(effect) === slru) applySlruPageEffect(page, effect);
        break;
      default:
        break;
    }
  }
}
