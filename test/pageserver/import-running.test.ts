import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { streamBackup } from '../../src/pageserver/backup/stream-backup.ts';
import { importBaseBackup } from '../../src/pageserver/import/import-base-backup.ts';
import { importWal } from '../../src/pageserver/import/import-wal.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { compareDirectory } from '../oracle/compare-directory.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { runWorkload, type WorkloadResult } from '../oracle/workload.ts';
import { type CanonicalDump, canonicalDump, firstDifference } from '../support/canonical-dump.ts';
import { checkRelations } from '../support/check-relations.ts';
import { RestoredServer, unpackTar } from '../support/restored-server.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';
import { CONTEXT, FULL } from './backup-world.ts';
import { backUp, corpusWithoutTablespaces, type RunningBackup, tarOf } from './import-world.ts';

const IMPORTED = parseTimelineId('a'.repeat(32));
const SETTINGS = { historyBytes: 2 ** 50, openLayerBytes: 16e6, targetBytes: 8e6, compactionThreshold: 3 };
/** The backup has to be over before the workload is, also on a busy machine. */
const SECONDS = 8;
const BACKUP_AFTER_SECONDS = 1;
const TIMEOUT_MS = 300_000;
const signal = new AbortController().signal;

let server: StockPostgres;
let run: WorkloadResult;
let backup: RunningBackup;
let world: StorageWorld;
let native: ActiveTimeline;

beforeAll(async () => {
  server = await StockPostgres.create({ major: 17 });
  const sqlDirectory = await corpusWithoutTablespaces(join(server.rootDirectory, 'corpus'));
  let taken: RunningBackup | undefined;
  run = await runWorkload({
    server,
    seconds: SECONDS,
    seed: 17,
    sqlDirectory,
    walBytesMax: 150e6,
    restartIntervalSeconds: false,
    // As most servers have it: then a record may change a page without an image of it, and leave its LSN.
    settings: { wal_consistency_checking: '', wal_log_hints: false },
    onProgress: async ({ elapsedSeconds }) => {
      if (elapsedSeconds > BACKUP_AFTER_SECONDS)
        taken ??= await backUp(server, join(server.rootDirectory, 'backup'));
    },
  });
  if (taken === undefined) throw new Error('the run was over before it could be backed up');
  backup = taken;
  world = await StorageWorld.open({ settings: SETTINGS });
  const tenant = await world.storage.attach(world.tenantId);
  const directory = run.initialDirectory;
  native = await tenant.createTimeline(MAIN, { files: nodeFiles, directory, version: POSTGRES_17 });
  await feedWal(native, run.walDirectory);
  await native.timeline.flush();
  await native.timeline.remote.waitForUploads(signal);
}, TIMEOUT_MS);
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await server?.dispose();
});

/** What storage has of a timeline at an LSN, against the directory of the server that was stopped there. */
async function compareWithServer(active: ActiveTimeline): Promise<string[]> {
  const directory = join(server.rootDirectory, `stored-${active.timeline.timelineId}`);
  await mkdir(directory);
  await unpackTar(streamBackup(active, FULL, CONTEXT), directory);
  const theirs = ReplayedCluster.read(run.finalDirectory, POSTGRES_17);
  const ours = ReplayedCluster.read(directory, POSTGRES_17);
  const { differences, relationPages } = compareDirectory(ours, theirs, run.catalog, true);
  expect(relationPages).toBeGreaterThan(1000);
  return differences;
}

async function restore(active: ActiveTimeline, lsn: Lsn): Promise<RestoredServer> {
  const restored = await RestoredServer.create(async (directory) => {
    await unpackTar(streamBackup(active, { ...FULL, lsn }, CONTEXT), directory);
  });
  await restored.server.start();
  return restored;
}

/** Numbers are given out without WAL, and what was copied knows of some of them. */
async function dump({ server: of }: RestoredServer): Promise<CanonicalDump> {
  const sections = await canonicalDump(of, { withCatalogRows: true });
  return sections.filter(({ title }) => !title.endsWith(': sequences'));
}

test('PS-16: a backup of a busy server, imported, has the pages that a timeline of its own has', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { baseLsn, endLsn, directory } = backup;
  expect(endLsn - baseLsn).toBeGreaterThan(5e6);
  const query = { base_lsn: baseLsn, end_lsn: endLsn, pg_version: 17 };
  await importBaseBackup(nodeFiles, world.tenant, IMPORTED, query, tarOf(directory), signal);
  let imported = world.tenant.timeline(IMPORTED);
  expect(imported.timeline.lastRecordLsn).toBe(endLsn);
  expect(imported.timeline.remote.projectedRemoteConsistentLsn).toBe(endLsn);

  // In between, each page is of a time of its own: nobody may read there, also after a restart.
  for (const lsn of [baseLsn, endLsn - 8] as Lsn[]) {
    await expect(imported.reads.databaseSize(1663, 1, lsn, CONTEXT)).rejects.toMatchObject({
      code: 'LSN_BELOW_CUTOFF',
    });
  }
  await world.stop();
  await world.start();
  native = world.tenant.timeline(MAIN);
  imported = world.tenant.timeline(IMPORTED);
  expect(imported.timeline.gcCutoffLsn).toBe(endLsn);

  // What stock servers make of both at the end of the backup.
  {
    await using ours = await restore(imported, endLsn);
    await using theirs = await restore(native, endLsn);
    expect(firstDifference(await dump(ours), await dump(theirs))).toBeUndefined();
    const { heaps, problems } = await checkRelations(ours.server, 'corpus');
    expect(problems).toEqual([]);
    expect(heaps).toBeGreaterThan(50);
  }

  // The rest of the WAL, and then page for page.
  const end = native.timeline.lastRecordLsn;
  const rest = { start_lsn: endLsn, end_lsn: end };
  await importWal(nodeFiles, imported, rest, tarOf(run.walDirectory), signal);
  expect(imported.timeline.lastRecordLsn).toBe(end);
  expect(imported.timeline.remote.projectedRemoteConsistentLsn).toBe(end);
  expect(await compareWithServer(native)).toEqual([]);
  expect(await compareWithServer(imported)).toEqual([]);
});
