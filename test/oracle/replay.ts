import { isNewPage, Page } from '../../src/postgres/page/page.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { restoreBlockImage } from '../../src/postgres/wal/block-image.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import {
  BLOCK_BYTES,
  FORK_FREE_SPACE_MAP,
  RECORD_CHECK_CONSISTENCY,
} from '../../src/postgres/wal/record-header.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import type { CheckpointCounters } from '../../src/redo/effects/checkpoint-counters.ts';
import { effectsOf } from '../../src/redo/effects/effects-of.ts';
import { findMask } from '../../src/redo/mask/masks.ts';
import { REDO_APPLIED, REDO_SKIPPED, redo } from '../../src/redo/redo.ts';
import { captureRecord, type RedoCase } from '../../src/redo/redo-case.ts';
import type { RedoSettings } from '../../src/redo/redo-types.ts';
import { EffectApplier } from './apply-effects.ts';
import { type KindStatistics, RecordStatistics } from './record-statistics.ts';
import type { ReplayedCluster } from './replayed-cluster.ts';
import type { SampleCollector } from './sample-collector.ts';
import { readWalFiles } from './wal-files.ts';

/** A page on which replay gave something else than PostgreSQL did, or failed. */
export interface Mismatch {
  readonly kind: string;
  readonly message: string;
  readonly redoCase: RedoCase;
}

export interface ReplayOptions {
  readonly cluster: ReplayedCluster;
  readonly walDirectory: string;
  /** Replay ends with the record that starts here: the checkpoint at which the server stopped. */
  readonly lastRecordLsn: number;
  readonly onMismatch: (mismatch: Mismatch) => void;
  /** Keeps examples of the records and of the pages that they changed. */
  readonly samples?: SampleCollector;
  readonly onProgress?: (lsn: number) => void;
}

export interface ReplayResult {
  readonly statistics: RecordStatistics;
  /** What the counters were right before the last record. */
  readonly countersBeforeLast: CheckpointCounters;
  readonly effects: EffectApplier;
  readonly records: number;
}

const PROGRESS_RECORDS = 50_000;

/** Replays all WAL of a stopped server on a cluster, comparing each page whose right content is in the WAL. */
export class Replay {
  readonly #options: ReplayOptions;
  readonly #record: DecodedRecord;
  readonly #statistics = new RecordStatistics();
  readonly #effects: EffectApplier;
  readonly #before = new Page();
  readonly #image = new Page();
  readonly #masked = new Page();

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#record = new DecodedRecord(options.cluster.version);
    this.#effects = new EffectApplier(options.cluster);
  }

  run(): ReplayResult {
    const { cluster, walDirectory, lastRecordLsn } = this.#options;
    const { control } = cluster;
    const segmentBytes = control.walSegmentBytes;
    const timelineId = control.checkPointCopy.thisTimelineId;
    const reader = new WalReader({
      version: cluster.version,
      segmentBytes,
      startLsn: control.checkPoint,
      systemIdentifier: control.systemIdentifier,
      timelineId,
      file: walDirectory,
    });
    let records = 0;
    let lastSeen = -1;
    let countersBeforeLast: CheckpointCounters | undefined;
    readWalFiles(reader, { directory: walDirectory, timelineId, segmentBytes }, () => {
      reader.decode(this.#record);
      lastSeen = reader.startLsn;
      if (lastSeen === lastRecordLsn) countersBeforeLast = { ...this.#effects.counters };
      this.#replayRecord();
      records++;
      if (records % PROGRESS_RECORDS === 0) this.#options.onProgress?.(lastSeen);
      return lastSeen < lastRecordLsn;
    });
    if (countersBeforeLast === undefined) {
      throw new Error(
        `the WAL ends at ${reader.lastEndLsn}, before the server's last checkpoint at ${lastRecordLsn}`,
      );
    }
    return { statistics: this.#statistics, countersBeforeLast, effects: this.#effects, records };
  }

  #replayRecord(): void {
    const record = this.#record;
    const row = this.#statistics.of(record);
    row.records++;
    const { samples } = this.#options;
    samples?.record(
      record,
      `${row.resourceManager} ${row.kind}`,
      this.#effects.redoSettings.hintBitsAreLogged,
    );
    this.#effects.advance(record);
    for (const effect of effectsOf(record)) this.#effects.apply(effect);
    this.#effects.clearVisibility(record);
    for (let blockId = 0; blockId < record.blockCount; blockId++) {
      if (record.hasBlock(blockId)) this.#replayBlock(blockId, row);
    }
  }

  #replayBlock(blockId: number, row: KindStatistics): void {
    const record = this.#record;
    const fork = this.#options.cluster.makeFork(
      {
        tablespace: record.blockTablespace[blockId] as number,
        database: record.blockDatabase[blockId] as number,
        relation: record.blockRelation[blockId] as number,
      },
      record.blockFork[blockId] as number,
    );
    const page = fork.makePage(record.blockNumber[blockId] as number);
    this.#before.bytes.set(page.bytes);
    const settings: RedoSettings = this.#effects.redoSettings;
    try {
      const result = redo(page, record, blockId, settings);
      // Each record is replayed once, in order: a page that is ahead of one has been given too high an LSN.
      if (result === REDO_SKIPPED)
        this.#report(blockId, row, "the page's LSN is already at the record's end or above");
      if (result === REDO_APPLIED) this.#compare(page, blockId, row);
      if (result === REDO_APPLIED && record.resourceManager === RM_XLOG) {
        this.#options.cluster.hintLsns.set(page, record.endLsn);
      }
      if (result !== REDO_SKIPPED) this.#options.samples?.page(blockId, this.#before, page);
    } catch (error) {
      page.bytes.set(this.#before.bytes);
      this.#report(blockId, row, error instanceof Error ? error.message : String(error));
    }
  }

  /** xlogrecovery.c, verifyBackupPageConsistency, where there is something to compare with. */
  #compare(page: Page, blockId: number, row: KindStatistics): void {
    const record = this.#record;
    if ((record.info & RECORD_CHECK_CONSISTENCY) === 0 || record.blockHasImage[blockId] === 0) return;
    if (record.blockFork[blockId] === FORK_FREE_SPACE_MAP) return;
    const mask = findMask(record.resourceManager);
    if (mask === undefined) return;
    restoreBlockImage(record, blockId, this.#image);
    this.#masked.bytes.set(page.bytes);
    const block = record.blockNumber[blockId] as number;
    mask(this.#image, block);
    mask(this.#masked, block);
    row.pages++;
    const difference = firstDifference(this.#image, this.#masked);
    if (difference < 0) return;
    const found = `${this.#masked.bytes[difference]} instead of ${this.#image.bytes[difference]}`;
    this.#report(blockId, row, `the page differs from PostgreSQL's at offset ${difference}: ${found}`);
    // Go on from the right page, so that one mistake is one mismatch.
    restoreBlockImage(record, blockId, page);
  }

  #report(blockId: number, row: KindStatistics, message: string): void {
    const record = this.#record;
    row.mismatches++;
    const expected = new Page();
    const hasImage = record.blockHasImage[blockId] === 1;
    if (hasImage) restoreBlockImage(record, blockId, expected);
    this.#options.onMismatch({
      kind: `${row.resourceManager} ${row.kind}`,
      message,
      redoCase: {
        postgresVersion: record.version,
        tablespace: record.blockTablespace[blockId] as number,
        database: record.blockDatabase[blockId] as number,
        relation: record.blockRelation[blockId] as number,
        fork: record.blockFork[blockId] as number,
        block: record.blockNumber[blockId] as number,
        hintBitsAreLogged: this.#effects.redoSettings.hintBitsAreLogged,
        before: this.#before.bytes.slice(),
        records: [captureRecord(record)],
        ...(hasImage && !isNewPage(expected) ? { expected: expected.bytes } : {}),
        note: message,
      },
    });
  }
}

/** Offset of the first byte in which two pages differ, or -1. */
export function firstDifference(left: Page, right: Page): number {
  if (Buffer.compare(left.bytes, right.bytes) === 0) return -1;
  for (let offset = 0; offset < BLOCK_BYTES; offset++) {
    if (left.bytes[offset] !== right.bytes[offset]) return offset;
  }
  return -1;
}
