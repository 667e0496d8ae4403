import type { Lsn } from '../../base/lsn.ts';
import { isInRange, type KeyRange } from '../keyspace/key-range.ts';
import { KIND_RECORD_POSITIONS, KIND_REPLICATION_ORIGIN, kindRange } from '../keyspace/keys.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { ScannedBatch } from '../read/scanned-batch.ts';
import type { TimelineReads } from '../timeline/timeline-reads.ts';
import { AUXILIARY_MAPPINGS, AUXILIARY_STATISTICS } from './auxiliary-directories.ts';
import { SCAN_LIMITS, type StoredValue, scanAll } from './scan-all.ts';

/** What a start asks for, in two rows of neighbouring keys. */
const ROWS: readonly KeyRange[] = [
  { start: AUXILIARY_MAPPINGS.start, end: AUXILIARY_STATISTICS.end },
  { start: kindRange(KIND_REPLICATION_ORIGIN).start, end: kindRange(KIND_RECORD_POSITIONS).start },
];

/**
 * The small values of a cluster at an LSN. Each row of keys is read once and kept, if it is short: else it is read, a part
 * at a time, whenever it is asked for.
 */
export class SmallValues {
  readonly #reads: TimelineReads;
  readonly #lsn: Lsn;
  readonly #kept: { readonly row: KeyRange; readonly values: readonly StoredValue[] }[] = [];

  private constructor(reads: TimelineReads, lsn: Lsn) {
    this.#reads = reads;
    this.#lsn = lsn;
  }

  /** @throws as TimelineReads.scanBatch */
  static async read(reads: TimelineReads, lsn: Lsn, context: ReadContext): Promise<SmallValues> {
    const small = new SmallValues(reads, lsn);
    const batch = new ScannedBatch();
    for (const row of ROWS) {
      if ((await reads.scanBatch(row, lsn, SCAN_LIMITS, batch, context)) !== undefined) continue;
      const values: StoredValue[] = [];
      for (let entry = 0; entry < batch.count; entry++) {
        values.push({ key: batch.key(entry), bytes: batch.value(entry).slice() });
      }
      small.#kept.push({ row, values });
    }
    return small;
  }

  /** All of a range, in order. @throws as TimelineReads.scanBatch */
  async *scan(range: KeyRange, context: ReadContext): AsyncGenerator<StoredValue, void> {
    const kept = this.#kept.find(({ row }) => isInRange(row, range.start));
    if (kept === undefined) {
      yield* scanAll(this.#reads, range, this.#lsn, context);
      return;
    }
    for (const value of kept.values) if (isInRange(range, value.key)) yield value;
  }
}
