// A storage engine in a process of its own, for the page oracle. It is killed at any instant.
import { VarveError } from '../../src/base/errors.ts';
import type { TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { DirectoryObjects } from '../../src/io/directory-objects.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { NodeWorkers } from '../../src/io/node/workers.ts';
import { createJsonLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { PAGESERVER_JOBS } from '../../src/pageserver/jobs.ts';
import { kindRange } from '../../src/pageserver/keyspace/keys.ts';
import { isLevel0 } from '../../src/pageserver/layers/layer-map/layer-map.ts';
import { FileGenerationSource } from '../../src/pageserver/remote/file-generation-source.ts';
import { PageStorage } from '../../src/pageserver/storage.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { HostFeeds } from './host-feeds.ts';
import {
  type HostAnswers,
  type HostCall,
  type HostReady,
  type HostReply,
  type HostRequest,
  type HostSettings,
  ORACLE_TENANT,
  type TimelineStatus,
} from './host-protocol.ts';
import { readPages, showLayers, tidy } from './host-reads.ts';

const settings = JSON.parse(process.argv[2] ?? '') as HostSettings;

async function openStorage(): Promise<Tenant> {
  const directory = `${settings.directory}/local`;
  const bucket = `${settings.directory}/bucket`;
  for (const path of [directory, bucket]) await nodeFiles.makeDirectory(path);
  const logger = createJsonLogger({
    level: 'warn',
    clock: nodeClock,
    destination: { write: (line) => process.stderr.write(line) },
  });
  const doors = { files: nodeFiles, clock: nodeClock, random: nodeRandom };
  const storage = await PageStorage.open(
    {
      directory,
      settings: { leaseMs: 0, ...settings.settings },
      blockCacheBytes: settings.blockCacheBytes,
      pageCacheBytes: settings.pageCacheBytes,
    },
    {
      ...doors,
      logger,
      metrics: new Metrics(nodeClock),
      workers: new NodeWorkers({ jobsModule: PAGESERVER_JOBS, filesEngine: 'portable', threadsMax: 1 }),
      objects: await DirectoryObjects.open(doors, bucket),
      generations: await FileGenerationSource.open(nodeFiles, directory),
    },
  );
  await storage.loaded;
  return storage.tenants[0] ?? (await storage.attach(ORACLE_TENANT));
}

function statusOf({ timeline }: ActiveTimeline): TimelineStatus {
  const counts: [number, number, number] = [0, 0, 0];
  for (const layer of timeline.layers) {
    if (layer.kind === 'image') counts[2]++;
    else counts[isLevel0(layer) ? 0 : 1]++;
  }
  const { ancestor, ancestorTimeline } = timeline;
  return {
    timelineId: timeline.timelineId,
    ancestor:
      ancestor === undefined || ancestorTimeline === undefined
        ? undefined
        : { timelineId: ancestorTimeline.timelineId, lsn: ancestor.lsn },
    lastRecordLsn: timeline.lastRecordLsn,
    diskConsistentLsn: timeline.diskConsistentLsn,
    remoteConsistentLsn: timeline.positions.remoteConsistentLsn,
    gcCutoffLsn: timeline.gcCutoffLsn,
    poisonedRecords: timeline.poisonedRecords,
    layers: counts,
  };
}

/** Answers requests, many at a time. */
class Host {
  readonly #tenant: Tenant;
  readonly #feeds = new HostFeeds();
  readonly #signal = new AbortController().signal;

  constructor(tenant: Tenant) {
    this.#tenant = tenant;
  }

  answer(request: HostRequest): Promise<HostAnswers[HostRequest['do']]> | HostAnswers[HostRequest['do']] {
    const tenant = this.#tenant;
    const context = { task: 'page-request', signal: this.#signal } as const;
    switch (request.do) {
      case 'create':
        return this.#create(request.timelineId, request.directory);
      case 'branch':
        return this.#branch(request);
      case 'delete':
        return this.#delete(request.timelineId);
      case 'feed':
        return this.#feeds.feed(tenant.timeline(request.timelineId), request);
      case 'status':
        return tenant.timelines.map(statusOf);
      case 'scan': {
        const { reads } = tenant.timeline(request.timelineId);
        return reads.scan(kindRange(request.kind), request.lsn as Lsn, context);
      }
      case 'pages':
        return readPages(tenant.timeline(request.timelineId), request, context);
      case 'slru': {
        const { reads } = tenant.timeline(request.timelineId);
        return reads.slruSegment(request.slru, request.segment, request.lsn as Lsn, context);
      }
      case 'layers':
        return showLayers(tenant.timeline(request.timelineId).timeline, request.key, request.lsn);
      case 'tidy':
        return tidy(tenant.timeline(request.timelineId), request.task);
    }
  }

  async #create(timelineId: TimelineId, directory: string): Promise<undefined> {
    if (this.#find(timelineId) !== undefined) return;
    await this.#tenant.createTimeline(timelineId, { files: nodeFiles, directory, version: POSTGRES_17 });
  }

  async #branch({ timelineId, parentId, lsn }: HostRequest & { do: 'branch' }): Promise<number> {
    const there = this.#find(timelineId);
    const { timeline } = there ?? (await this.#tenant.createBranch(timelineId, parentId, lsn as Lsn));
    return timeline.initialLsn;
  }

  async #delete(timelineId: TimelineId): Promise<undefined> {
    if (this.#find(timelineId) !== undefined) await this.#tenant.deleteTimeline(timelineId);
  }

  #find(timelineId: TimelineId): ActiveTimeline | undefined {
    return this.#tenant.timelines.find(({ timeline }) => timeline.timelineId === timelineId);
  }
}

async function reply(host: Host, { id, request }: HostCall): Promise<HostReply> {
  try {
    return { id, answer: await host.answer(request) };
  } catch (error) {
    const code = error instanceof VarveError ? error.code : 'UNEXPECTED';
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { id, failure: { code, message } };
  }
}

const send = (message: HostReply | HostReady): void => {
  process.send?.(message);
};
// Whoever started this process is gone.
process.on('disconnect', () => process.exit(0));
const host = new Host(await openStorage());
process.on('message', (call: HostCall) => void reply(host, call).then(send));
send({ ready: true });
