import { CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import type { SlruName } from '../../postgres/files/slru.ts';
import { Page } from '../../postgres/page/page.ts';
import { BLOCK_BYTES, FORK_MAIN } from '../../postgres/wal/record-header.ts';
import { type AuxiliaryFile, decodeAuxiliaryFiles } from '../keyspace/auxiliary-file.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import {
  CLUSTER_COMMIT_TIME,
  clusterKey,
  databaseRange,
  KIND_AUXILIARY_FILE,
  KIND_RELATION_SIZE,
  kindRange,
  relationBlockKey,
  relationSizeKey,
  slruBlockKey,
  slruSegmentKey,
} from '../keyspace/keys.ts';
import { decodeCommitTime, decodeSize } from '../keyspace/stored-values.ts';
import { lastLsnBeside, lastLsnOfState } from '../layers/beside-wal.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { RecordPosition } from '../layers/record-positions.ts';
import { findLsnByTimestamp, type TimestampFinding } from '../read/lsn-by-timestamp.ts';
import type { PageRequest } from '../read/page-reader.ts';
import type { ScanLimits } from '../read/scan-batch.ts';
import type { ScannedValue } from '../read/scan-keys.ts';
import type { ScannedBatch } from '../read/scanned-batch.ts';
import { TimelineReader } from '../read/timeline-reader.ts';
import { findRecordBefore } from './records-up-to.ts';
import type { Timeline } from './timeline.ts';

const SLRU_PAGES_MAX = 32;

/**
 * What others may ask of a timeline, at any LSN of its history. An LSN that is still to come is waited for; one that is
 * not promised any more is refused.
 *
 * Each method throws VarveError ‘unavailable’ / LSN_NOT_REACHED, ‘precondition’ / LSN_BELOW_CUTOFF, ‘cancelled’;
 * CorruptionError where what is stored is damaged; and what reading files and fetching them from the bucket fail of.
 */
export class TimelineReads {
  readonly #timeline: Timeline;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /**
   * Makes sure that the timeline can be read at `lsn`. With what it resolves to, reading at that LSN may go on for as
   * long as somebody sees to it that the LSN stays promised.
   */
  async at(lsn: Lsn, context: ReadContext): Promise<TimelineReader> {
    const timeline = this.#timeline;
    this.checkPromised(lsn);
    await waitForLsn(timeline, lsn, timeline.settings.lsnWaitMs, context.signal);
    // It may have been collected while we waited.
    this.checkPromised(lsn);
    return new TimelineReader(timeline, timeline.pageReader, context);
  }

  /** @param block must be below the relation's size: what is behind its end was never stored, or is not valid any more */
  async page(
    relation: RelationLocator,
    fork: number,
    block: number,
    lsn: Lsn,
    target: Page,
    context: ReadContext,
  ): Promise<void> {
    await this.pages([{ key: relationBlockKey(relation, fork, block), lsn, target }], context);
  }

  /** Pages at LSNs, planned and read together. */
  async pages(requests: readonly PageRequest[], context: ReadContext): Promise<void> {
    const timeline = this.#timeline;
    using _pass = timeline.enter();
    try {
      await this.#pages(requests, context);
    } catch (error) {
      const lsns = requests.map(({ lsn }) => lsn);
      throw this.#noteFailure(error, lsns);
    }
  }

  async #pages(requests: readonly PageRequest[], context: ReadContext): Promise<void> {
    const timeline = this.#timeline;
    let lowest = Number.MAX_SAFE_INTEGER;
    let highest = 0;
    for (const { lsn } of requests) {
      if (lsn < lowest) lowest = lsn;
      if (lsn > highest) highest = lsn;
    }
    this.#checkAllPromised(requests, lowest);
    if (!hasReached(timeline, highest)) {
      await waitForLsn(timeline, highest, timeline.settings.lsnWaitMs, context.signal);
    }
    await timeline.pageReader.readPages(requests, context);
    this.#checkAllPromised(requests, lowest);
  }

  /** Blocks of a fork; undefined where there is no such fork. */
  async relationSize(
    relation: RelationLocator,
    fork: number,
    lsn: Lsn,
    context: ReadContext,
  ): Promise<number | undefined> {
    const value = await this.value(relationSizeKey(relation, fork), lsn, context);
    return value === undefined ? undefined : decodeSize(value);
  }

  async relationExists(
    relation: RelationLocator,
    fork: number,
    lsn: Lsn,
    context: ReadContext,
  ): Promise<boolean> {
    return (await this.relationSize(relation, fork, lsn, context)) !== undefined;
  }

  /** Bytes of the main forks of a database's relations in one tablespace. */
  async databaseSize(tablespace: number, database: number, lsn: Lsn, context: ReadContext): Promise<number> {
    const sizes = await this.scan(databaseRange(KIND_RELATION_SIZE, tablespace, database), lsn, context);
    return sumOfMainForks(sizes);
  }

  /** Bytes of the main forks of all relations. */
  async logicalSize(lsn: Lsn, context: ReadContext): Promise<number> {
    return sumOfMainForks(await this.scan(kindRange(KIND_RELATION_SIZE), lsn, context));
  }

  /** All pages of a segment of an SLRU, one behind the other; undefined where there is no such segment. */
  async slruSegment(
    slru: SlruName,
    segment: number,
    lsn: Lsn,
    context: ReadContext,
  ): Promise<Uint8Array | undefined> {
    return await this.#count(lsn, () => this.#slruSegment(slru, segment, lsn, context));
  }

  async #slruSegment(
    slru: SlruName,
    segment: number,
    lsn: Lsn,
    context: ReadContext,
  ): Promise<Uint8Array | undefined> {
    const reader = await this.at(lsn, context);
    const value = await reader.readValue(slruSegmentKey(slru, segment), lsn);
    if (value === undefined) return undefined;
    const count = Math.min(decodeSize(value), SLRU_PAGES_MAX);
    const bytes = new Uint8Array(count * BLOCK_BYTES);
    await reader.readPages(
      Array.from({ length: count }, (_, index) => ({
        key: slruBlockKey(slru, segment * SLRU_PAGES_MAX + index),
        lsn,
        target: new Page(bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)),
      })),
    );
    this.checkPromised(lsn);
    return bytes;
  }

  /** What is stored under a key that is no page's; undefined where it does not exist. */
  async value(key: Key, lsn: Lsn, context: ReadContext): Promise<Uint8Array | undefined> {
    return await this.#count(lsn, async () => (await this.at(lsn, context)).readValue(key, lsn));
  }

  /** As scanKeys. */
  async scan(range: KeyRange, lsn: Lsn, context: ReadContext): Promise<ScannedValue[]> {
    return await this.#count(lsn, async () => (await this.at(lsn, context)).scan(range, lsn));
  }

  /**
   * As scanBatch: the first keys of a range, and where the rest begins. Between two calls nothing is held. What a compute
   * has kept beside WAL is as of the record that ends at or last before `lsn`.
   */
  async scanBatch(
    range: KeyRange,
    lsn: Lsn,
    limits: ScanLimits,
    batch: ScannedBatch,
    context: ReadContext,
  ): Promise<Key | undefined> {
    return await this.#count(lsn, async () => {
      const reader = await this.at(lsn, context);
      // Records end at multiples of 8, and what is kept beside them has the LSNs up to the next one.
      return reader.scanBatch(range, lastLsnOfState(lsn), limits, batch);
    });
  }

  /**
   * What a compute has kept beside WAL, as of the record that ends at `lsn`: by path, each with the LSN that it was put at.
   * It is up to who asks what of it still holds at `lsn`.
   */
  async auxiliaryFiles(lsn: Lsn, context: ReadContext): Promise<AuxiliaryFile[]> {
    return await this.#count(lsn, async () => {
      const reader = await this.at(lsn, context);
      const values = await reader.scan(kindRange(KIND_AUXILIARY_FILE), lastLsnBeside(lsn));
      return values
        .flatMap(({ bytes }) => decodeAuxiliaryFiles(bytes))
        .sort((left, right) => (left.path < right.path ? -1 : 1));
    });
  }

  /** @param timeMicros microseconds since 2000-01-01 UTC. See findLsnByTimestamp */
  async lsnByTimestamp(timeMicros: bigint, context: ReadContext): Promise<TimestampFinding> {
    const last = this.#timeline.lastRecordLsn;
    return await this.#count(last, async () => {
      const reader = await this.at(last, context);
      return findLsnByTimestamp(timeMicros, this.#lowestLsn, last, (lsn) => commitTimeAt(reader, lsn));
    });
  }

  /** When the last commit at or below an LSN was: microseconds since 2000; undefined where there is none. */
  async timestampOfLsn(lsn: Lsn, context: ReadContext): Promise<bigint | undefined> {
    return await this.#count(lsn, async () => commitTimeAt(await this.at(lsn, context), lsn));
  }

  /** The last record that ends at or below an LSN; undefined where the history has none. */
  async recordBefore(lsn: Lsn, context: ReadContext): Promise<RecordPosition | undefined> {
    return await this.#count(lsn, async () => {
      await this.at(lsn, context);
      return findRecordBefore(this.#timeline, lsn, (of) => new TimelineReader(of, of.pageReader, context));
    });
  }

  /** Reads, in the timeline's gate, and counts it where it fails. */
  async #count<Result>(lsn: Lsn, read: () => Promise<Result>): Promise<Result> {
    using _pass = this.#timeline.enter();
    try {
      const result = await read();
      // It may have been collected while it was read.
      this.checkPromised(lsn);
      return result;
    } catch (error) {
      throw this.#noteFailure(error, [lsn]);
    }
  }

  /** What has been collected while it was read may look damaged, and is not: who asks for it is told so. */
  #noteFailure(error: unknown, lsns: readonly number[]): unknown {
    let reason = error;
    if (error instanceof CorruptionError) {
      try {
        for (const lsn of lsns) this.checkPromised(lsn);
      } catch (refusal) {
        reason = refusal;
      }
    }
    this.#timeline.doors.metrics.noteReadError(reason);
    return reason;
  }

  get #lowestLsn(): number {
    const { gcCutoffLsn, initialLsn, ancestor } = this.#timeline;
    return ancestor === undefined ? Math.max(gcCutoffLsn, initialLsn) : Math.max(gcCutoffLsn, ancestor.lsn);
  }

  #checkAllPromised(requests: readonly PageRequest[], lowest: number): void {
    if (lowest >= this.#timeline.gcCutoffLsn && lowest >= this.#timeline.initialLsn) return;
    for (const { lsn } of requests) this.checkPromised(lsn);
  }

  /**
   * Before a read, and after it: what was removed meanwhile could have made it wrong.
   * @throws VarveError ‘precondition’ / LSN_BELOW_CUTOFF
   */
  checkPromised(lsn: number): void {
    const { gcCutoffLsn, initialLsn, timelineId } = this.#timeline;
    if (lsn >= gcCutoffLsn && lsn >= initialLsn) return;
    if (this.#timeline.isRetained(lsn as Lsn)) return;
    throw new VarveError(
      'precondition',
      'LSN_BELOW_CUTOFF',
      `timeline ${timelineId} can be read from ${formatLsn(Math.max(gcCutoffLsn, initialLsn))} on`,
      { lsn },
    );
  }
}

/** Whether nothing has to be waited for: see waitForLsn. */
export function hasReached(timeline: Timeline, lsn: number): boolean {
  let wanted = lsn;
  for (let at: Timeline | undefined = timeline; at !== undefined; at = at.ancestorTimeline) {
    if (at.lastRecordLsn < wanted) return false;
    wanted = Math.min(wanted, at.ancestor?.lsn ?? wanted);
  }
  return true;
}

/** Waits until a timeline has all that a read at `lsn` may need: of its ancestors, too, which may have been restarted. */
export async function waitForLsn(
  timeline: Timeline,
  lsn: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  let wanted = lsn;
  for (let at: Timeline | undefined = timeline; at !== undefined; at = at.ancestorTimeline) {
    // An ancestor goes on when the timeline ends.
    const either =
      at === timeline || at.lastRecordLsn >= wanted ? signal : AbortSignal.any([signal, timeline.signal]);
    if (at.lastRecordLsn < wanted) await at.lsns.wait(wanted, timeoutMs, either);
    wanted = Math.min(wanted, at.ancestor?.lsn ?? wanted);
  }
}

async function commitTimeAt(reader: TimelineReader, lsn: number): Promise<bigint | undefined> {
  const value = await reader.readValue(clusterKey(CLUSTER_COMMIT_TIME), lsn);
  return value === undefined ? undefined : BigInt(decodeCommitTime(value));
}

function sumOfMainForks(sizes: readonly ScannedValue[]): number {
  let bytes = 0;
  for (const { key, bytes: value } of sizes) {
    if (key.field5 === FORK_MAIN) bytes += decodeSize(value) * BLOCK_BYTES;
  }
  return bytes;
}
