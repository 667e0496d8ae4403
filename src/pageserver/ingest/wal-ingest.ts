import { AssertionError, VarveError } from '../../base/errors.ts';
import {
  RM_BRIN,
  RM_BTREE,
  RM_GENERIC,
  RM_GIN,
  RM_GIST,
  RM_HASH,
  RM_HEAP,
  RM_HEAP2,
  RM_SEQUENCE,
  RM_SPGIST,
  RM_XLOG,
} from '../../postgres/rmgr/resource-manager.ts';
import { XLOG_FPI, XLOG_FPI_FOR_HINT } from '../../postgres/rmgr/xlog.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../../postgres/wal/record-header.ts';
import { effectsOf } from '../../redo/effects/effects-of.ts';
import { advanceNextXidPast } from '../../redo/effects/next-ids.ts';
import { BlockIngest } from './block-ingest.ts';
import { checkStoredLength } from './check-record.ts';
import { DatabaseIngest, type StoredFork } from './database-ingest.ts';
import { EffectIngest } from './effect-ingest.ts';
import type { HeadState } from './head-state.ts';
import type { IngestSink } from './ingest-sink.ts';
import { KeySink } from './key-sink.ts';
import type { DatabaseCopy, DatabaseDrop, DatabasePlace, Missing } from './missing.ts';
import { SIZE_ABSENT, SIZE_UNKNOWN } from './relation-sizes.ts';
import type { ZeroPages } from './zero-pages.ts';

/** 1 for resource managers whose records change nothing but pages of relations. */
const changesPages = new Uint8Array(256);
for (const manager of [
  RM_HEAP2,
  RM_HEAP,
  RM_BTREE,
  RM_HASH,
  RM_GIN,
  RM_GIST,
  RM_SEQUENCE,
  RM_SPGIST,
  RM_BRIN,
  RM_GENERIC,
]) {
  changesPages[manager] = 1;
}

const utf8 = new TextEncoder();

/**
 * Says which values a WAL record brings, under which keys. Pure: what it does not know it asks for (`Missing`) before it
 * has done anything, and the record is ingested again when it has been told. The records of a timeline go through it
 * one after another.
 */
export class WalIngest {
  readonly #state: HeadState;
  readonly #blocks: BlockIngest;
  readonly #effects: EffectIngest;
  readonly #databases: DatabaseIngest;

  /** `state` as of before the first record that will be ingested. */
  constructor(state: HeadState) {
    this.#state = state;
    this.#blocks = new BlockIngest(state.sizes);
    this.#effects = new EffectIngest(state);
    this.#databases = new DatabaseIngest(state);
  }

  /**
   * Puts all that the record brings into `sink`. When something is missing nothing has been put.
   * @throws CorruptionError, UnknownRecordError where the record cannot be taken in: nothing has been put, see `poison`
   */
  ingest(record: DecodedRecord, sink: IngestSink): Missing | undefined {
    if (!isPageRecord(record)) return this.#effects.ingest(record, sink);
    checkStoredLength(record);
    const missing = this.#blocks.ingest(record, sink, this.#state.hintFlags);
    if (missing === undefined) this.#advanceXid(record, sink);
    return missing;
  }

  /**
   * In place of a record that `ingest` threw at: whoever reads a page that the record would have changed gets an error,
   * and all others read on. Missing as in `ingest`: then poison it again.
   * @throws `error` itself, where the record names no page: the timeline cannot go on past it
   */
  poison(record: DecodedRecord, error: unknown, sink: IngestSink): Missing | undefined {
    const isDamage =
      error instanceof RangeError || (error instanceof VarveError && error.kind === 'corruption');
    if (!isDamage) throw error;
    const done = this.#blocks.poison(record, utf8.encode(error.message), sink);
    if (typeof done !== 'number') return done;
    if (done === 0) throw error;
    this.#advanceXid(record, sink);
    return undefined;
  }

  /** Answers MissingRelationSizes. @param blocks undefined: there is no such fork */
  provideRelationSize(stem: number, blocks: number | undefined): void {
    const { sizes } = this.#state;
    if (sizes.blocks[stem] !== SIZE_UNKNOWN) throw new AssertionError('the size of a fork was known already');
    sizes.blocks[stem] = blocks ?? SIZE_ABSENT;
  }

  /** Answers MissingAuxiliaryFiles. */
  provideAuxiliaryFiles(value: Uint8Array | undefined): void {
    this.#effects.provideAuxiliaryFiles(value);
  }

  /** Works on MissingZeroPages, about a millisecond. Returns whether it is done. */
  fillZeroPages(pages: ZeroPages, sink: IngestSink): boolean {
    return this.#blocks.fillZeroPages(pages, sink);
  }

  /** See DatabaseIngest. */
  copyForks(
    copy: DatabaseCopy,
    sourceForks: readonly StoredFork[],
    targetForks: readonly StoredFork[],
    map: Uint8Array | undefined,
    sink: IngestSink,
  ): void {
    this.#databases.copyForks(copy, sourceForks, targetForks, map, sink);
  }

  /** See DatabaseIngest. */
  copyPage(copy: DatabaseCopy, fork: StoredFork, block: number, page: Uint8Array, sink: IngestSink): void {
    this.#databases.copyPage(copy, fork, block, page, sink);
  }

  /** See DatabaseIngest. */
  dropForks(drop: DatabaseDrop, place: DatabasePlace, forks: readonly StoredFork[], sink: IngestSink): void {
    this.#databases.dropForks(drop, place, forks, sink);
  }

  /** Ends the work on the record that asked for a DatabaseOperation. */
  finishDatabaseOperation(record: DecodedRecord, sink: IngestSink): void {
    this.#effects.finish(record, effectsOf(record), sink);
  }

  #advanceXid(record: DecodedRecord, sink: IngestSink): void {
    if (record.xid === 0) return;
    const state = this.#state;
    advanceNextXidPast(state.counters, record.xid);
    if (state.isXidPastStored) state.putCounters(new KeySink(state.stems, sink));
  }
}

function isPageRecord(record: DecodedRecord): boolean {
  if (changesPages[record.resourceManager] === 1) return true;
  if (record.resourceManager !== RM_XLOG) return false;
  const kind = record.info & ~RECORD_INFO_MASK;
  return kind === XLOG_FPI || kind === XLOG_FPI_FOR_HINT;
}
