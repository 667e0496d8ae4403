import { parseTimelineId } from '../../src/base/ids.ts';
import { initdbClusters } from '../../test/support/initdb.ts';
import { spreadOf, threadMs } from '../support/measure.ts';
import { NO_UPKEEP, PageserverBed } from '../support/pageserver-bed.ts';
import type { BranchResult } from './branches.ts';
import { READ } from './read-bed.ts';

/** The first ones run `initdb`, and code that is not compiled yet. */
const WARM_UPS = 5;

/** New clusters, each a timeline that descends from no other, one after another. */
export async function measureCreations(samples: number): Promise<BranchResult> {
  await using bed = await PageserverBed.open({
    engine: 'direct',
    settings: NO_UPKEEP,
    initialClusters: initdbClusters(),
  });
  const times: number[] = [];
  let startLoopMs = 0;
  let parentBytes = 0;
  for (let index = 0; index < WARM_UPS + samples; index++) {
    if (index === WARM_UPS) startLoopMs = threadMs();
    const startMs = performance.now();
    const id = parseTimelineId((index + 1).toString(16).padStart(32, '0'));
    const { timeline, reads } = await bed.tenant.createFromInitdb(id, { major: 17 });
    if (index >= WARM_UPS) times.push(performance.now() - startMs);
    else parentBytes = await reads.logicalSize(timeline.lastRecordLsn, READ);
  }
  const loopMs = (threadMs() - startLoopMs) / samples;
  return { name: 'new cluster', parentBytes, present: WARM_UPS, ms: spreadOf(times), loopMs };
}
