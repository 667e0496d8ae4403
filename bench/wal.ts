import { getPostgresVersion } from '../src/postgres/versions/version.ts';
import { DecodedRecord } from '../src/postgres/wal/decoded-record.ts';
import { WalReader } from '../src/postgres/wal/wal-reader.ts';
import { WalWorkspace } from '../src/postgres/wal/workspace.ts';
import { type Allocation, measureAllocation, repeat, type Spread, threadMs } from './support/measure.ts';
import type { Recording } from './support/recording.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface WalOptions {
  readonly seconds: number;
  readonly repeats: number;
  readonly chunkBytes: number;
}

export interface WalResult {
  readonly workload: string;
  /** With `decode`, each record is also decoded; without, records are only found and their CRCs checked. */
  readonly decode: boolean;
  readonly bytes: number;
  readonly records: number;
  readonly ms: Spread;
  readonly allocation: Allocation;
  readonly rssMiB: number;
}

/** Reads all of `wal` once and returns the number of records. A new reader each time, as for a new connection. */
function readAll(
  wal: Uint8Array,
  recording: Recording,
  workspace: WalWorkspace,
  record: DecodedRecord | undefined,
  chunkBytes: number,
): number {
  const reader = new WalReader({
    version: getPostgresVersion(17),
    segmentBytes: recording.segmentBytes,
    startLsn: recording.startLsn,
    workspace,
  });
  let records = 0;
  for (let start = 0; start < wal.length; start += chunkBytes) {
    reader.feed(wal, start, Math.min(start + chunkBytes, wal.length));
    while (reader.next()) {
      if (record !== undefined) reader.decode(record);
      records++;
    }
  }
  if (reader.lastEndLsn > recording.endLsn || reader.end !== undefined) {
    throw new Error(`${recording.name}: reading ended at ${reader.lastEndLsn}, not at ${recording.endLsn}`);
  }
  return records;
}

/** Reading one recording with WalReader, without and with decoding. */
export function measureWal(recording: Recording, options: WalOptions): WalResult[] {
  const wal = recording.readWal();
  const workspace = new WalWorkspace();
  const record = new DecodedRecord(getPostgresVersion(17));
  return [false, true].map((decode) => {
    let records = 0;
    const pass = (): number => {
      const startMs = threadMs();
      records = readAll(wal, recording, workspace, decode ? record : undefined, options.chunkBytes);
      return threadMs() - startMs;
    };
    const ms = repeat({ seconds: options.seconds, repeatsMin: options.repeats, warmUps: 3 }, pass);
    const allocation = measureAllocation(pass);
    const rssMiB = process.memoryUsage().rss / 2 ** 20;
    return { workload: recording.name, decode, bytes: wal.length, records, ms, allocation, rssMiB };
  });
}

export function formatWal(results: readonly WalResult[]): string {
  const rows = results.map(({ workload, decode, bytes, records, ms, allocation, rssMiB }) => [
    `${workload} ${decode ? 'read + decode' : 'read'}`,
    formatNumber(bytes / 1e6),
    formatNumber(records / 1e6),
    formatNumber(bytes / records),
    formatNumber(bytes / 1e3 / ms.median),
    formatNumber(bytes / 1e3 / ms.p90),
    formatNumber(bytes / 1e3 / ms.p10),
    formatNumber(records / 1e3 / ms.median),
    formatNumber((ms.median * 1e6) / records),
    formatNumber(allocation.bytes / records),
    String(allocation.collections),
    formatNumber(rssMiB),
  ]);
  const header = ['workload', 'MB', 'M rec', 'B/rec', 'MB/s', 'p10', 'p90', 'M rec/s', 'ns/rec'];
  return formatTable([...header, 'heap B/rec', 'GCs', 'rss MiB'], rows);
}
