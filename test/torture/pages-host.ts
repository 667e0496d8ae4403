// A process of the torture of pages: a storage engine with small layers, and the page service in front of it.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectGarbage } from '../../bench/support/process-usage.ts';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { toLsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { NodeWorkers } from '../../src/io/node/workers.ts';
import { PAGESERVER_JOBS } from '../../src/pageserver/jobs.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { CLUSTER_DIRECTORIES, writeCluster } from '../engine/model-cluster.ts';
import { serveCommands } from '../support/command-process.ts';
import { timed } from '../support/processor-time.ts';
import { type ServedPages, servePages } from '../support/serve-pages.ts';
import { StorageWorld } from '../support/storage-world.ts';
import type { PagesHostCommands, TimelinePlace } from './pages-host-messages.ts';

const KIBIBYTE = 1024;
/** Layers are frozen, compacted and made anew all the time. */
const SETTINGS = {
  openLayerBytes: 64 * KIBIBYTE,
  targetBytes: 128 * KIBIBYTE,
  compactionThreshold: 3,
  imageThreshold: 2,
};
const CACHE_BYTES: number = 4 * 1024 * KIBIBYTE;

let world: StorageWorld | undefined;
let served: ServedPages | undefined;
let clusterDirectory: string | undefined;
const intakes = new Map<string, TimelineIntake>();

function running(): StorageWorld {
  if (world === undefined) throw new Error('nothing is open');
  return world;
}

const tenantOf = ({ tenantId }: { readonly tenantId: string }): Tenant =>
  running().storage.tenant(parseTenantId(tenantId));

async function open(): Promise<{ port: number }> {
  clusterDirectory = await mkdtemp(join(tmpdir(), 'varve-torture-'));
  for (const name of CLUSTER_DIRECTORIES) await mkdir(join(clusterDirectory, name), { recursive: true });
  await writeCluster(nodeFiles, clusterDirectory);
  world = await StorageWorld.open({
    workers: new NodeWorkers({ jobsModule: PAGESERVER_JOBS, filesEngine: 'portable' }),
    settings: SETTINGS,
    blockCacheBytes: CACHE_BYTES,
    pageCacheBytes: CACHE_BYTES,
  });
  served = await servePages(world.storage);
  return { port: served.port };
}

async function intakeOf(place: TimelinePlace): Promise<TimelineIntake> {
  const known = intakes.get(place.timelineId);
  if (known !== undefined) return known;
  const { timeline } = tenantOf(place).timeline(parseTimelineId(place.timelineId));
  const intake = await TimelineIntake.start(timeline);
  intakes.set(place.timelineId, intake);
  return intake;
}

async function stop(): Promise<void> {
  await served?.door.close();
  await world?.[Symbol.asyncDispose]();
  if (clusterDirectory !== undefined) await rm(clusterDirectory, { recursive: true, force: true });
}

serveCommands<PagesHostCommands>(
  {
    open,
    create: async (place) => {
      const timelineId = parseTimelineId(place.timelineId);
      const directory = clusterDirectory as string;
      await tenantOf(place).createTimeline(timelineId, { files: nodeFiles, directory, version: POSTGRES_17 });
      return undefined;
    },
    branch: async ({ parentId, lsn, ...place }) => {
      const [id, parent] = [parseTimelineId(place.timelineId), parseTimelineId(parentId)];
      await tenantOf(place).createBranch(id, parent, toLsn(lsn));
      return undefined;
    },
    feed: async ({ wal, ...place }) => {
      const intake = await intakeOf(place);
      await intake.take(wal);
      return intake.position;
    },
    position: async (place) => (await intakeOf(place)).position,
    remove: async (place) => {
      intakes.delete(place.timelineId);
      return await timed(() => tenantOf(place).deleteTimeline(parseTimelineId(place.timelineId)));
    },
    detach: async (place) => {
      for (const { timeline } of tenantOf(place).timelines) intakes.delete(timeline.timelineId);
      return await timed(() => running().storage.detach(parseTenantId(place.tenantId)));
    },
    detachAncestor: async (place) => {
      const tenant = tenantOf(place);
      for (const { timeline } of tenant.timelines) intakes.delete(timeline.timelineId);
      const behavior = 'multi_level_and_no_reparent';
      await running().storage.detachAncestor(tenant, parseTimelineId(place.timelineId), behavior);
      return undefined;
    },
    attach: async ({ tenantId }) => {
      await running().storage.attach(parseTenantId(tenantId));
      return undefined;
    },
    usage: async () => {
      collectGarbage();
      const { rss, heapUsed, external } = process.memoryUsage();
      return {
        rssBytes: rss,
        heldBytes: heapUsed + external,
        connections: served?.door.connectionCount ?? 0,
      };
    },
  },
  stop,
);
