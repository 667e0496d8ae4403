import { parseTimelineId, type TimelineId } from '../../src/base/ids.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { type Spread, spreadOf, threadMs } from '../support/measure.ts';
import { NO_UPKEEP, PageserverBed, takeWal } from '../support/pageserver-bed.ts';
import type { Recording } from '../support/recording.ts';
import { addLayers } from './many-layers.ts';
import { allPages, READ } from './read-bed.ts';

export interface BranchResult {
  readonly name: string;
  readonly parentBytes: number;
  /** Branches of the same timeline that were there before. */
  readonly present: number;
  /** From the call until the branch is durable in the bucket, a directory. */
  readonly ms: Spread;
  readonly loopMs: number;
}

const AT_ONCE = 16;
const LAYER_BYTES: number = 128 * 1024 * 1024;
const LARGE_BYTES: number = 10 * 1024 ** 3;
const WAL_BYTES: number = 1024 * 1024;

/** Branches of a small timeline and, with as many layers as it would have, of one of 10 GiB. */
export async function measureBranches(
  recording: Recording,
  present: number,
  samples: number,
): Promise<BranchResult[]> {
  await using bed = await PageserverBed.open({ settings: NO_UPKEEP });
  const active = await bed.importRecording(recording);
  await takeWal(active, recording, recording.readWal().subarray(0, WAL_BYTES));
  const parent = active.timeline.timelineId;
  let made = 0;
  const create = (): Promise<ActiveTimeline> => bed.tenant.createBranch(branchId(++made), parent);
  const smallBytes = await active.reads.logicalSize(active.timeline.lastRecordLsn, READ);
  await create();
  const results = [await sample('alone', smallBytes, 1, samples, create)];
  const work = async (): Promise<void> => {
    while (made < present) await create();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  results.push(await sample('among many', smallBytes, made, samples, create));
  using _layers = addLayers(active, await allPages(active), LARGE_BYTES / LAYER_BYTES);
  results.push(await sample('of a large one', LARGE_BYTES, made, samples, create));
  return results;
}

async function sample(
  name: string,
  parentBytes: number,
  present: number,
  samples: number,
  create: () => Promise<ActiveTimeline>,
): Promise<BranchResult> {
  const times: number[] = [];
  const startLoopMs = threadMs();
  for (let index = 0; index < samples; index++) {
    const startMs = performance.now();
    await create();
    times.push(performance.now() - startMs);
  }
  return { name, parentBytes, present, ms: spreadOf(times), loopMs: (threadMs() - startLoopMs) / samples };
}

const branchId = (number: number): TimelineId => parseTimelineId(`b${number.toString(16).padStart(31, '0')}`);
