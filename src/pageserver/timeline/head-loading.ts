import { CorruptionError } from '../../base/errors.ts';
import { Page } from '../../postgres/page/page.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import type { StoredFork } from '../ingest/database-ingest.ts';
import { HEAD_STATE_RANGES, HeadState } from '../ingest/head-state.ts';
import type { IngestSink } from '../ingest/ingest-sink.ts';
import type { DatabaseCopy, DatabaseDrop, DatabasePlace, MissingRelationSizes } from '../ingest/missing.ts';
import { WalIngest } from '../ingest/wal-ingest.ts';
import {
  databaseRange,
  KIND_RELATION_SIZE,
  relationBlockKey,
  relationMapKey,
  relationSizeKey,
} from '../keyspace/keys.ts';
import { decodeSize } from '../keyspace/stored-values.ts';
import { RecordPositions, stretchOf } from '../layers/record-positions.ts';
import type { Stems } from '../layers/stems.ts';
import type { TimelineReader } from '../read/timeline-reader.ts';
import { encodeRecords, recordsUpTo } from './records-up-to.ts';
import type { Timeline } from './timeline.ts';

/** All pages of a copied database go into one open layer, whose file has positions up to 32 GiB. */
const COPIED_BLOCKS_MAX = 3_000_000;
/** Pages of a database that are read at once while it is copied. */
const PAGES_AT_ONCE = 64;

/** What ingest has to know of a timeline as of `lsn`, to go on behind it. */
export async function loadIngest(
  version: PostgresVersion,
  stems: Stems,
  reader: TimelineReader,
  lsn: number,
): Promise<WalIngest> {
  const state = new HeadState(version, stems);
  for (const range of HEAD_STATE_RANGES) {
    for (const { key, bytes } of await reader.scan(range, lsn)) state.restore(key, bytes);
  }
  return new WalIngest(state);
}

/** The records up to the last one of a timeline, at `lsn`, of the stretch that it may be in. */
export async function loadRecordPositions(timeline: Timeline, lsn: number): Promise<RecordPositions> {
  const positions = new RecordPositions();
  const stretch = stretchOf(lsn);
  // A branch goes on with its ancestor's list, lest it lack records if it ever loses that ancestor.
  const records = await recordsUpTo(timeline, stretch, lsn, (of) => of.readerForIngest());
  if (records.length > 0) positions.resume(stretch, encodeRecords(stretch, records));
  return positions;
}

export async function provideRelationSizes(
  ingest: WalIngest,
  missing: MissingRelationSizes,
  reader: TimelineReader,
  lsn: number,
): Promise<void> {
  for (const { stem, relation, fork } of missing.relations) {
    const value = await reader.readValue(relationSizeKey(relation, fork), lsn);
    ingest.provideRelationSize(stem, value === undefined ? undefined : decodeSize(value));
  }
}

/** Carries a DatabaseDrop out, but for its end. Reads at `lsn`, right before the record. */
export async function dropDatabase(
  ingest: WalIngest,
  drop: DatabaseDrop,
  reader: TimelineReader,
  lsn: number,
  sink: IngestSink,
): Promise<void> {
  for (const place of drop.places) ingest.dropForks(drop, place, await forksOf(place, reader, lsn), sink);
}

/**
 * Carries a DatabaseCopy out, but for its end. Reads at `lsn`, right before the record.
 * @param makeRoom is called now and then, when what was put may be brought away
 */
export async function copyDatabase(
  ingest: WalIngest,
  copy: DatabaseCopy,
  reader: TimelineReader,
  lsn: number,
  sink: IngestSink,
  makeRoom: () => Promise<void>,
): Promise<void> {
  const sourceForks = await forksOf(copy.source, reader, lsn);
  const blocks = sourceForks.reduce((sum, fork) => sum + fork.blocks, 0);
  if (blocks > COPIED_BLOCKS_MAX) {
    throw new CorruptionError(
      'DATABASE_TOO_LARGE',
      `a copy of ${blocks} blocks by files cannot be taken in at once: create the database with STRATEGY wal_log`,
      { lsn },
    );
  }
  const targetForks = await forksOf(copy.target, reader, lsn);
  const map = await reader.readValue(relationMapKey(copy.source.tablespace, copy.source.database), lsn);
  ingest.copyForks(copy, sourceForks, targetForks, map, sink);
  const pages = Array.from({ length: PAGES_AT_ONCE }, () => new Page());
  for (const fork of sourceForks) {
    const relation = { ...copy.source, relation: fork.relation };
    for (let first = 0; first < fork.blocks; first += PAGES_AT_ONCE) {
      const targets = pages.slice(0, Math.min(PAGES_AT_ONCE, fork.blocks - first));
      await reader.readPages(
        targets.map((target, index) => ({
          key: relationBlockKey(relation, fork.fork, first + index),
          lsn,
          target,
        })),
      );
      for (const [index, page] of targets.entries()) {
        ingest.copyPage(copy, fork, first + index, page.bytes, sink);
      }
      await makeRoom();
    }
  }
}

async function forksOf(place: DatabasePlace, reader: TimelineReader, lsn: number): Promise<StoredFork[]> {
  const sizes = await reader.scan(databaseRange(KIND_RELATION_SIZE, place.tablespace, place.database), lsn);
  return sizes.map(({ key, bytes }) => ({
    relation: key.field4,
    fork: key.field5,
    blocks: decodeSize(bytes),
  }));
}
