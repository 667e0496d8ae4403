import type { Lsn } from '../../base/lsn.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ScanLimits } from '../read/scan-batch.ts';
import { ScannedBatch } from '../read/scanned-batch.ts';
import type { TimelineReads } from '../timeline/timeline-reads.ts';

/** So much is in memory at a time. */
export const SCAN_LIMITS: ScanLimits = { entries: 131_072, valueBytes: 1024 * 1024 };

/** One value of a scan. */
export interface StoredValue {
  readonly key: Key;
  readonly bytes: Uint8Array;
}

/** All of a range at an LSN, a batch at a time. Each is valid until the next is asked for; in between nothing is held. */
export async function* scanAllBatches(
  reads: TimelineReads,
  range: KeyRange,
  lsn: Lsn,
  context: ReadContext,
): AsyncGenerator<ScannedBatch, void> {
  const batch = new ScannedBatch();
  for (let start: Key | undefined = range.start; start !== undefined; ) {
    start = await reads.scanBatch({ start, end: range.end }, lsn, SCAN_LIMITS, batch, context);
    if (batch.count > 0) yield batch;
  }
}

/** As scanAllBatches, value by value. The bytes are copied. */
export async function* scanAll(
  reads: TimelineReads,
  range: KeyRange,
  lsn: Lsn,
  context: ReadContext,
): AsyncGenerator<StoredValue, void> {
  for await (const batch of scanAllBatches(reads, range, lsn, context)) {
    for (let entry = 0; entry < batch.count; entry++) {
      yield { key: batch.key(entry), bytes: batch.value(entry).slice() };
    }
  }
}
