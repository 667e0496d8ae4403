import type { Page } from '../../postgres/page/page.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { PageReader, PageRequest } from './page-reader.ts';
import { withLsn } from './place-error.ts';
import type { ReadableTimeline } from './readable-timeline.ts';
import { type ScanLimits, scanBatch } from './scan-batch.ts';
import { type ScannedValue, scanKeys } from './scan-keys.ts';
import type { ScannedBatch } from './scanned-batch.ts';

/** All ways to read a timeline, on behalf of one task. It does not ask whether an LSN may be asked for. */
export class TimelineReader {
  readonly #timeline: ReadableTimeline;
  readonly #pages: PageReader;
  readonly #context: ReadContext;

  constructor(timeline: ReadableTimeline, pages: PageReader, context: ReadContext) {
    this.#timeline = timeline;
    this.#pages = pages;
    this.#context = context;
  }

  /** As PageReader.readPage. */
  readPage(key: Key, lsn: number, target: Page): Promise<void> {
    return this.#pages.readPage(key, lsn, target, this.#context);
  }

  /** As PageReader.readPages. */
  readPages(requests: readonly PageRequest[]): Promise<void> {
    return this.#pages.readPages(requests, this.#context);
  }

  /** As PageReader.readValue. */
  readValue(key: Key, lsn: number): Promise<Uint8Array | undefined> {
    return this.#pages.readValue(key, lsn, this.#context);
  }

  /** As scanKeys. */
  async scan(range: KeyRange, lsn: number): Promise<ScannedValue[]> {
    try {
      return await scanKeys(this.#timeline, range, lsn, this.#context);
    } catch (error) {
      throw withLsn(error, lsn);
    }
  }

  /** As scanBatch. */
  async scanBatch(
    range: KeyRange,
    lsn: number,
    limits: ScanLimits,
    batch: ScannedBatch,
  ): Promise<Key | undefined> {
    try {
      return await scanBatch(this.#timeline, range, lsn, limits, batch, this.#context);
    } catch (error) {
      throw withLsn(error, lsn);
    }
  }
}
