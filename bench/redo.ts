import type { Page } from '../src/postgres/page/page.ts';
import { getPostgresVersion } from '../src/postgres/versions/version.ts';
import { DecodedRecord } from '../src/postgres/wal/decoded-record.ts';
import { WalReader } from '../src/postgres/wal/wal-reader.ts';
import { WalWorkspace } from '../src/postgres/wal/workspace.ts';
import { redo } from '../src/redo/redo.ts';
import type { RedoSettings } from '../src/redo/redo-types.ts';
import { type KindTiming, timeKinds } from './support/kind-timing.ts';
import { type Allocation, measureAllocation, type Spread, spreadOf, threadMs } from './support/measure.ts';
import { PageTable } from './support/page-table.ts';
import type { Recording } from './support/recording.ts';
import { ReplayPlan } from './support/replay-plan.ts';
import { measureStockRecovery, type StockRecovery } from './support/stock-recovery.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface RedoOptions {
  readonly repeats: number;
  readonly chunkBytes: number;
  readonly pgBin: string | undefined;
}

export interface RedoResult {
  readonly workload: string;
  readonly bytes: number;
  readonly records: number;
  /** Block references, each of which is replayed on its page. */
  readonly blocks: number;
  readonly pages: number;
  /** Reading, decoding, looking pages up and redo. */
  readonly wholeMs: Spread;
  /** The same without redo. */
  readonly withoutRedoMs: Spread;
  readonly stock: StockRecovery;
  readonly allocation: Allocation;
  readonly rssMiB: number;
  readonly kinds: readonly KindTiming[];
}

const SETTINGS: RedoSettings = { hintBitsAreLogged: false };
const STOCK_REPEATS = 5;

/** The way from WAL in memory to pages. */
class Replay {
  readonly #wal: Uint8Array;
  readonly #recording: Recording;
  readonly #table: PageTable;
  readonly #workspace = new WalWorkspace();
  readonly #record = new DecodedRecord(getPostgresVersion(17));
  readonly #chunkBytes: number;

  constructor(wal: Uint8Array, recording: Recording, table: PageTable, chunkBytes: number) {
    this.#wal = wal;
    this.#recording = recording;
    this.#table = table;
    this.#chunkBytes = chunkBytes;
  }

  /** Returns the time of one pass over all of the WAL, in milliseconds. */
  run(withRedo: boolean): number {
    if (withRedo) this.#table.reset();
    const startMs = threadMs();
    const { segmentBytes, startLsn } = this.#recording;
    const { version } = this.#record;
    const reader = new WalReader({ version, segmentBytes, startLsn, workspace: this.#workspace });
    const wal = this.#wal;
    for (let start = 0; start < wal.length; start += this.#chunkBytes) {
      reader.feed(wal, start, Math.min(start + this.#chunkBytes, wal.length));
      this.#replayChunk(reader, withRedo);
    }
    return threadMs() - startMs;
  }

  #replayChunk(reader: WalReader, withRedo: boolean): void {
    const record = this.#record;
    const table = this.#table;
    const { pages } = table;
    while (reader.next()) {
      reader.decode(record);
      for (let blockId = 0; blockId < record.blockCount; blockId++) {
        if (!record.hasBlock(blockId)) continue;
        const page = pages[table.find(record, blockId)] as Page;
        if (withRedo) redo(page, record, blockId, SETTINGS);
      }
    }
  }
}

/** Replays one recording, and has stock PostgreSQL replay it too. */
export async function measureRedo(recording: Recording, options: RedoOptions): Promise<RedoResult> {
  const wal = recording.readWal();
  const table = new PageTable(recording.snapshotDirectory);
  const plan = new ReplayPlan(wal, recording, table);
  table.close();
  const replay = new Replay(wal, recording, table, options.chunkBytes);
  const whole: number[] = [];
  const withoutRedo: number[] = [];
  for (let pass = -2; pass < options.repeats; pass++) {
    // In turns, so that other work on the machine hits both.
    const wholeMs = replay.run(true);
    const withoutRedoMs = replay.run(false);
    if (pass < 0) continue;
    whole.push(wholeMs);
    withoutRedo.push(withoutRedoMs);
  }
  table.reset();
  const allocation = measureAllocation(() => replay.run(true));
  const kinds = timeKinds(plan, table, new DecodedRecord(getPostgresVersion(17)), SETTINGS, options.repeats);
  return {
    workload: recording.name,
    bytes: wal.length,
    records: plan.records,
    blocks: plan.stepPage.length,
    pages: table.pages.length,
    wholeMs: spreadOf(whole),
    withoutRedoMs: spreadOf(withoutRedo),
    stock: await measureStockRecovery(recording, STOCK_REPEATS, options.pgBin),
    allocation,
    rssMiB: process.memoryUsage().rss / 2 ** 20,
    kinds,
  };
}

export function formatRedo(results: readonly RedoResult[]): string {
  const rows = results.map((result) => {
    const { workload, bytes, records, blocks, pages, wholeMs, withoutRedoMs, stock, allocation } = result;
    const redoMs = wholeMs.median - withoutRedoMs.median;
    return [
      workload,
      formatNumber(bytes / 1e6),
      formatNumber(records / 1e6),
      formatNumber(blocks / 1e6),
      String(pages),
      formatNumber(wholeMs.median),
      `${formatNumber(wholeMs.p10)}–${formatNumber(wholeMs.p90)}`,
      formatNumber(withoutRedoMs.median),
      formatNumber(bytes / 1e3 / wholeMs.median),
      formatNumber(records / 1e3 / wholeMs.median),
      formatNumber((redoMs * 1e6) / blocks),
      `${formatNumber(stock.userMs.median)} / ${formatNumber(stock.elapsedMs.median)}`,
      `${formatNumber(wholeMs.median / stock.userMs.median)} / ${formatNumber(wholeMs.median / stock.elapsedMs.median)}`,
      formatNumber(allocation.bytes / records),
    ];
  });
  const header = [
    'workload',
    'MB',
    'M rec',
    'M blocks',
    'pages',
    'ms',
    'p10–p90',
    'no redo ms',
    'MB/s',
    'M rec/s',
  ];
  const titles = [...header, 'redo ns/block', 'stock ms user / elapsed', 'ratio', 'heap B/rec'];
  return [formatTable(titles, rows), ...results.map(formatKinds)].join('\n\n');
}

function formatKinds({ workload, kinds }: RedoResult): string {
  const total = kinds.reduce((sum, { blocks, nsPerBlock }) => sum + blocks * nsPerBlock, 0);
  const rows = kinds.map(({ kind, blocks, nsPerBlock, hotNsPerBlock, hotRow }) => [
    kind,
    String(blocks),
    `${formatNumber((100 * blocks * nsPerBlock) / total)} %`,
    formatNumber(nsPerBlock),
    formatNumber(hotNsPerBlock),
    String(hotRow),
    formatNumber(1e3 / hotNsPerBlock),
  ]);
  return formatTable([workload, 'blocks', 'of redo', 'ns/block', 'hot ns/block', 'hot row', 'hot M/s'], rows);
}
