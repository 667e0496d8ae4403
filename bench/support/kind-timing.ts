import { Page } from '../../src/postgres/page/page.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { redo } from '../../src/redo/redo.ts';
import type { RedoSettings } from '../../src/redo/redo-types.ts';
import { spreadOf } from './measure.ts';
import type { PageTable } from './page-table.ts';
import type { ReplayPlan } from './replay-plan.ts';

/** Redo of one kind of record. */
export interface KindTiming {
  readonly kind: string;
  readonly blocks: number;
  /** Over all pages of the workload. */
  readonly nsPerBlock: number;
  /** The longest row of such records on one page, again and again, all in the processor's cache. */
  readonly hotNsPerBlock: number;
  readonly hotRow: number;
}

/** A page, and records of one kind that follow on each other there. */
interface HotRow {
  readonly before: Uint8Array;
  readonly steps: Int32Array;
}

const HOT_ROUND_MS = 20;

/**
 * Times redo by kind of record, all pages being as `table.reset` leaves them. Decoding, and for hot rows putting the
 * page back, is timed on its own and taken off.
 */
export function timeKinds(
  plan: ReplayPlan,
  table: PageTable,
  record: DecodedRecord,
  settings: RedoSettings,
  repeats: number,
): KindTiming[] {
  table.reset();
  const hotRows = replayOnce(plan, table, record, settings);
  const passes: Float64Array[] = [];
  for (let pass = 0; pass < repeats; pass++) {
    table.reset();
    passes.push(timeBatches(plan, table, record, settings));
  }
  const blocks = new Float64Array(plan.kinds.length);
  for (const { kind, start, end } of plan.batches) blocks[kind] = (blocks[kind] as number) + end - start;
  return plan.kinds
    .map((kind, index) => {
      const count = blocks[index] as number;
      const ms = spreadOf(passes.map((pass) => pass[index] as number)).median;
      const row = hotRows[index] as HotRow;
      return {
        kind,
        blocks: count,
        nsPerBlock: (ms * 1e6) / count,
        hotNsPerBlock: timeHotRow(row, plan, record, settings, repeats),
        hotRow: row.steps.length,
      };
    })
    .sort((left, right) => right.blocks * right.nsPerBlock - left.blocks * left.nsPerBlock);
}

/** Replays all, and keeps for each kind the page that had the longest row of it, as it was before that row. */
function replayOnce(
  plan: ReplayPlan,
  table: PageTable,
  record: DecodedRecord,
  settings: RedoSettings,
): HotRow[] {
  const rows: HotRow[] = [];
  for (const { kind, start, end } of plan.batches) {
    let place = start;
    while (place < end) {
      const pageIndex = plan.stepPage[plan.order[place] as number] as number;
      const page = table.pages[pageIndex] as Page;
      let rowEnd = place + 1;
      while (rowEnd < end && plan.stepPage[plan.order[rowEnd] as number] === pageIndex) rowEnd++;
      if (rowEnd - place > (rows[kind]?.steps.length ?? 0)) {
        rows[kind] = { before: page.bytes.slice(), steps: plan.order.slice(place, rowEnd) };
      }
      for (; place < rowEnd; place++)
        redo(page, record, plan.decode(plan.order[place] as number, record), settings);
    }
  }
  return rows;
}

function timeBatches(
  plan: ReplayPlan,
  table: PageTable,
  record: DecodedRecord,
  settings: RedoSettings,
): Float64Array {
  const totals = new Float64Array(plan.kinds.length);
  const { order, stepPage } = plan;
  const { pages } = table;
  for (const { kind, start, end } of plan.batches) {
    for (let place = start; place < end; place++) plan.decode(order[place] as number, record);
    const startMs = performance.now();
    for (let place = start; place < end; place++) plan.decode(order[place] as number, record);
    const decodedMs = performance.now();
    for (let place = start; place < end; place++) {
      const step = order[place] as number;
      const blockId = plan.decode(step, record);
      redo(pages[stepPage[step] as number] as Page, record, blockId, settings);
    }
    const doneMs = performance.now();
    totals[kind] = (totals[kind] as number) + doneMs - decodedMs - (decodedMs - startMs);
  }
  return totals;
}

/** Nanoseconds for one record of the row. */
function timeHotRow(
  { before, steps }: HotRow,
  plan: ReplayPlan,
  record: DecodedRecord,
  settings: RedoSettings,
  repeats: number,
): number {
  const page = new Page(new Uint8Array(BLOCK_BYTES));
  const round = (rounds: number, replay: boolean): number => {
    const startMs = performance.now();
    for (let count = 0; count < rounds; count++) {
      page.bytes.set(before);
      for (let index = 0; index < steps.length; index++) {
        const blockId = plan.decode(steps[index] as number, record);
        if (replay) redo(page, record, blockId, settings);
      }
    }
    return performance.now() - startMs;
  };
  let rounds = 1;
  while (round(rounds, true) < HOT_ROUND_MS) rounds *= 2;
  const whole: number[] = [];
  const withoutRedo: number[] = [];
  for (let sample = 0; sample < repeats; sample++) {
    whole.push(round(rounds, true));
    withoutRedo.push(round(rounds, false));
  }
  const redoMs = spreadOf(whole).median - spreadOf(withoutRedo).median;
  return (redoMs * 1e6) / (rounds * steps.length);
}
