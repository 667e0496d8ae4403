import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { INVALID_LSN, toLsn } from '../../src/base/lsn.ts';
import { NO_MEMBERSHIP } from '../../src/contracts/membership.ts';
import { delayedFiles } from '../../src/io/delayed-files.ts';
import type { Files } from '../../src/io/files.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { unsyncedFiles } from '../../src/io/unsynced-files.ts';
import { silentLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { WalWorkspace } from '../../src/postgres/wal/workspace.ts';
import { connectToServer, identifyServer } from '../../src/proposer/postgres-server.ts';
import { PostgresSource } from '../../src/proposer/postgres-source.ts';
import { Proposer } from '../../src/proposer/proposer.ts';
import { SafekeeperMetrics } from '../../src/safekeeper/metrics.ts';
import { Safekeeper } from '../../src/safekeeper/safekeeper.ts';
import type { Timeline } from '../../src/safekeeper/timeline/timeline.ts';
import type { CommandHandlers } from '../../test/support/command-process.ts';
import { threadMs } from '../support/measure.ts';
import { collectGarbage } from '../support/process-usage.ts';
import { countedFiles, type SyncCount } from './counted-files.ts';
import type {
  HostCommands,
  MakeTimelines,
  Push,
  PushResult,
  StartProposer,
  StartSafekeeper,
  SyncMode,
} from './host-messages.ts';
import { type PreparedWal, prepareWal, pushWal } from './push-client.ts';

/** So many timelines are made or used at the same time. */
const AT_ONCE = 16;

/** What runs in one process of the benchmark. All of it shares one event loop. */
export class Host {
  readonly #safekeepers = new Map<number, Safekeeper>();
  readonly #proposers: Proposer[] = [];
  #wal: PreparedWal | undefined;
  readonly #syncs: SyncCount = { syncs: 0, ms: 0 };
  readonly #doors = {
    sockets: nodeSockets((error) => {
      throw error;
    }),
    clock: nodeClock,
    random: nodeRandom,
    logger: silentLogger,
  };
  readonly handlers: CommandHandlers<HostCommands> = {
    startSafekeeper: (argument) => this.#startSafekeeper(argument),
    startProposer: (argument) => this.#startProposer(argument),
    push: (argument) => this.#push(argument),
    makeTimelines: (argument) => this.#makeTimelines(argument),
    useTimelines: (argument) => this.#eachTimeline(argument, useOnce),
    letGoTimelines: (argument) => this.#eachTimeline(argument, letGo),
    usage: async ({ collects }) => this.#usage(collects),
  };

  async stop(): Promise<void> {
    await Promise.all(this.#proposers.map((proposer) => proposer.close()));
    await Promise.all([...this.#safekeepers.values()].map((safekeeper) => safekeeper.close()));
    this.#proposers.length = 0;
    this.#safekeepers.clear();
  }

  async #startSafekeeper({
    nodeId,
    directory,
    sync,
  }: StartSafekeeper): Promise<{ port: number; ms: number }> {
    const startMs = performance.now();
    const files = countedFiles(filesFor(sync), this.#syncs);
    await files.makeDirectory(directory);
    const safekeeper = await Safekeeper.start(
      { nodeId, directory, listenPg: { host: '127.0.0.1', port: 0 } },
      {
        ...this.#doors,
        files,
        metrics: new SafekeeperMetrics(new Metrics(nodeClock), () => []),
        workspace: new WalWorkspace(),
      },
    );
    this.#safekeepers.set(nodeId, safekeeper);
    const { address } = safekeeper;
    return { port: 'port' in address ? address.port : 0, ms: performance.now() - startMs };
  }

  /** Its timeline begins where the server is now, which must be idle. */
  async #startProposer(argument: StartProposer): Promise<undefined> {
    const { applicationName, members, socketPath, user } = argument;
    const signal = new AbortController().signal;
    const server = { address: { path: socketPath }, user, password: undefined };
    const client = await connectToServer(server, 'bench', this.#doors, signal);
    const identity = await identifyServer(client);
    await client.close();
    const proposer = await Proposer.elect(
      {
        ...identity,
        tenantId: parseTenantId(argument.tenantId),
        timelineId: parseTimelineId(argument.timelineId),
        membership: { generation: 0, members, newMembers: undefined },
        initialLsn: identity.flushLsn,
        allowTimelineCreation: true,
      },
      this.#doors,
      signal,
    );
    proposer.attach(new PostgresSource({ ...server, applicationName, expectations: identity }, this.#doors));
    this.#proposers.push(proposer);
  }

  #push(push: Push): Promise<PushResult> {
    const { wal } = push;
    if ('bytes' in wal) return pushWal(push, prepareWal(wal), this.#doors);
    // Making it takes longer than pushing it.
    this.#wal ??= prepareWal(wal);
    return pushWal(push, this.#wal, this.#doors);
  }

  async #makeTimelines({ nodeId, count }: MakeTimelines): Promise<{ ms: number }> {
    const { timelines } = this.#safekeeper(nodeId);
    const startMs = performance.now();
    await inParallel(count, async (index) => {
      await timelines.create({
        tenantId: parseTenantId((index % 100).toString(16).padStart(32, '0')),
        timelineId: parseTimelineId(index.toString(16).padStart(32, '0')),
        membership: NO_MEMBERSHIP,
        server: { pgVersion: 170_000, systemIdentifier: 1n, segmentBytes: 16 * 1024 * 1024 },
        startLsn: toLsn(16 * 1024 * 1024),
        commitLsn: INVALID_LSN,
      });
    });
    return { ms: performance.now() - startMs };
  }

  async #eachTimeline(
    { nodeId, count }: MakeTimelines,
    action: (timeline: Timeline) => Promise<void>,
  ): Promise<{ ms: number }> {
    const timelines = [...this.#safekeeper(nodeId).timelines.all()].slice(0, count);
    const startMs = performance.now();
    await inParallel(timelines.length, (index) => action(timelines[index] as Timeline));
    return { ms: performance.now() - startMs };
  }

  #safekeeper(nodeId: number): Safekeeper {
    const safekeeper = this.#safekeepers.get(nodeId);
    if (safekeeper === undefined) throw new RangeError(`safekeeper ${nodeId} does not run here`);
    return safekeeper;
  }

  #usage(collects: boolean): HostCommands['usage']['answer'] {
    if (collects) collectGarbage();
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    const { syncs, ms } = this.#syncs;
    return {
      syncs,
      syncMs: ms,
      cpuMs: (user + system) / 1000,
      loopCpuMs: threadMs(),
      rssBytes: rss,
      heapBytes: heapUsed,
    };
  }
}

function filesFor(sync: SyncMode): Files {
  if (sync === 'real') return nodeFiles;
  return sync === 'off' ? unsyncedFiles(nodeFiles) : delayedFiles(nodeFiles, nodeClock, sync);
}

async function useOnce(timeline: Timeline): Promise<void> {
  using _resident = await timeline.stay('wal');
}

async function letGo(timeline: Timeline): Promise<void> {
  if (!(await timeline.letGo())) throw new Error('a timeline that should be idle is in use');
}

async function inParallel(count: number, action: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await action(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
