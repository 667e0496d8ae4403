import { expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { SLRU_NAMES, slruBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { computeTenantSize } from '../../src/pageserver/tenant-size.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { FORK_FREE_SPACE_MAP } from '../../src/postgres/wal/record-header.ts';
import { Replay } from '../oracle/replay.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { runWorkload } from '../oracle/workload.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';

const BRANCH = parseTimelineId('3'.repeat(32));
/** So small that all kinds of upkeep have to run. */
const SETTINGS = {
  openLayerBytes: 2 * 1024 * 1024,
  targetBytes: 1024 * 1024,
  compactionThreshold: 3,
  imageThreshold: 2,
  historyBytes: 1024 * 1024,
  historyMs: 0,
};
const context: ReadContext = { task: 'administration', signal: new AbortController().signal };

/** Pages of a timeline that are not what replay in memory has made of them. */
async function findDifferences(
  { reads }: ActiveTimeline,
  cluster: ReplayedCluster,
  lsn: Lsn,
): Promise<string[]> {
  const differences: string[] = [];
  const page = new Page();
  for (const [name, fork] of cluster.forks) {
    if (fork.fork === FORK_FREE_SPACE_MAP) continue;
    const blocks = await reads.relationSize(fork.relation, fork.fork, lsn, context);
    if (blocks !== fork.blocks) differences.push(`${name} has ${blocks} blocks instead of ${fork.blocks}`);
    for (let block = 0; block < Math.min(blocks ?? 0, fork.blocks); block++) {
      await reads.page(fork.relation, fork.fork, block, lsn, page, context);
      const expected = fork.pages[block]?.bytes ?? new Uint8Array(page.bytes.length);
      if (Buffer.compare(page.bytes, expected) !== 0) differences.push(`${name} block ${block}`);
    }
  }
  for (const slru of SLRU_NAMES) {
    for (const [number, expected] of cluster.slrus[slru]) {
      await reads.pages([{ key: slruBlockKey(slru, number), lsn, target: page }], context);
      if (Buffer.compare(page.bytes, expected.bytes) !== 0) differences.push(`${slru} page ${number}`);
    }
  }
  return differences;
}

test('what a stock server wrote comes back page by page, before and after upkeep, a restart and on a branch', {
  timeout: 120_000,
}, async () => {
  await using server = await StockPostgres.create({ major: 17 });
  const workload = await runWorkload({ server, seconds: 2, seed: 12, onProgress: () => undefined });
  const { initialDirectory, finalDirectory, walDirectory } = workload;
  const end = ReplayedCluster.read(finalDirectory, POSTGRES_17).control.checkPoint;
  const cluster = ReplayedCluster.read(initialDirectory, POSTGRES_17);
  new Replay({ cluster, walDirectory, lastRecordLsn: end, onMismatch: () => undefined }).run();

  await using world = await StorageWorld.open({ settings: SETTINGS });
  const tenant = await world.storage.attach(world.tenantId);
  const main = await tenant.createTimeline(MAIN, {
    files: nodeFiles,
    directory: initialDirectory,
    version: POSTGRES_17,
  });
  await feedWal(main, walDirectory);
  const { lastRecordLsn } = main.timeline;
  expect(lastRecordLsn).toBeGreaterThan(end);
  expect(main.timeline.poisonedRecords).toBe(0);
  expect(await findDifferences(main, cluster, lastRecordLsn)).toEqual([]);

  await tenant.createBranch(BRANCH, MAIN);
  await main.timeline.flush();
  await main.upkeep.settled();
  expect(main.timeline.gcCutoffLsn).toBeGreaterThan(main.timeline.initialLsn);
  expect(await findDifferences(main, cluster, lastRecordLsn)).toEqual([]);
  await main.timeline.remote.waitForUploads(context.signal);
  // A branch at the head costs nothing, and history what it took in WAL.
  const size = await computeTenantSize(tenant.timelines, context);
  const { gcCutoffLsn } = main.timeline;
  const headBytes = await main.reads.logicalSize(lastRecordLsn, context);
  const cutoffBytes = await main.reads.logicalSize(gcCutoffLsn, context);
  expect(size.bytes).toBeGreaterThanOrEqual(Math.min(headBytes, cutoffBytes));
  expect(size.bytes).toBeLessThanOrEqual(cutoffBytes + lastRecordLsn - gcCutoffLsn);
  expect(size.points.at(-1)).toMatchObject({ timelineId: BRANCH, payment: 'wal' });

  await world.stop();
  await world.start();
  const again = world.tenant.timeline(MAIN);
  expect(again.timeline.lastRecordLsn).toBe(lastRecordLsn);
  expect(await findDifferences(again, cluster, lastRecordLsn)).toEqual([]);
  expect(await findDifferences(world.tenant.timeline(BRANCH), cluster, lastRecordLsn)).toEqual([]);
});
