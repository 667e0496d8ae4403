import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { VarveError } from '../../src/base/errors.ts';
import { findShim } from '../../src/compute/lazy/find-shim.ts';
import type { EndpointEvents, EndpointSpec, RunningEndpoint } from '../../src/contracts/endpoint-manager.ts';
import { LocalEndpointManager } from '../../src/endpoints/endpoint-manager.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { findPortOwner } from '../../src/io/node/port-owner.ts';
import { prepareServer } from '../../src/io/node/postgres-binaries.ts';
import { nodeProcesses } from '../../src/io/node/processes.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeServers } from '../../src/io/node/servers.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { findAccount } from '../../src/io/node/unprivileged-account.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';

const SHIM_DIRECTORY = fileURLToPath(new URL('../../shim', import.meta.url));
export const ENDPOINT = 'ep-test';
export const never: AbortSignal = new AbortController().signal;

/** Endpoints of this process, on a storage of real processes. It plays the control plane's part. */
export class EndpointWorld implements AsyncDisposable {
  readonly storage: VarveWorld;
  readonly manager: LocalEndpointManager;
  readonly logger = new CollectingLogger();
  /** What the control plane was told, in order. */
  readonly news: string[] = [];
  /** What a wake is answered with. */
  onWake: () => Promise<EndpointSpec> = async () => this.spec();
  #told: (() => void)[] = [];

  private constructor(storage: VarveWorld, shim: string | undefined) {
    this.storage = storage;
    const events: EndpointEvents = {
      onWake: async (id) => {
        this.#tell(`wake ${id}`);
        return await this.onWake();
      },
      onActive: async (id) => this.#tell(`active ${id}`),
      onSuspended: async (id) => this.#tell(`suspended ${id}`),
      onFailed: async (id, error) =>
        this.#tell(`failed ${id} ${error instanceof VarveError ? error.code : error.message}`),
    };
    this.manager = new LocalEndpointManager(
      {
        directory: join(storage.directory, 'computes'),
        programs: {
          findPrograms: async () => (await prepareServer(findAccount())).binDirectory,
          shim,
        },
        storageWaitMs: 20_000,
      },
      {
        files: nodeFiles,
        clock: nodeClock,
        random: nodeRandom,
        servers: nodeServers,
        logger: this.logger,
        sockets: nodeSockets((error) => {
          throw error;
        }),
        describePortOwner: (port) => {
          const owner = findPortOwner(port);
          return owner === undefined ? undefined : `${owner.command} (process ${owner.pid})`;
        },
      },
      events,
    );
  }

  static async start(): Promise<EndpointWorld> {
    const storage = await VarveWorld.start();
    try {
      await storage.createTimeline();
      const places = {
        sources: SHIM_DIRECTORY,
        cache: join(storage.directory, 'shim'),
        platform: `${process.platform}-${process.arch}`,
      };
      return new EndpointWorld(
        storage,
        await findShim(places, { files: nodeFiles, processes: nodeProcesses }, never),
      );
    } catch (error) {
      await storage[Symbol.asyncDispose]();
      throw error;
    }
  }

  spec(given: Partial<EndpointSpec> = {}): EndpointSpec {
    const { storage } = this;
    return {
      endpointId: ENDPOINT,
      listen: { host: '127.0.0.1', port: 0, mayMove: false },
      tenantId: storage.tenantId,
      timelineId: storage.main,
      mode: { kind: 'primary' },
      membership: { generation: 1, members: storage.members, newMembers: undefined },
      pageserver: { host: '127.0.0.1', port: storage.pageserverPort },
      pgMajor: 17,
      walSegmentBytes: 16 * 1024 * 1024,
      settings: {},
      roles: [],
      suspendAfterSeconds: 0,
      ...given,
    };
  }

  start(given: Partial<EndpointSpec> = {}): Promise<RunningEndpoint> {
    return this.manager.start(this.spec(given), never);
  }

  /** Waits until the control plane was told of something. */
  async told(news: string): Promise<void> {
    while (!this.news.includes(news)) await new Promise<void>((resolve) => this.#told.push(resolve));
  }

  #tell(news: string): void {
    this.news.push(news);
    for (const resolve of this.#told.splice(0)) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager.close();
    await this.storage[Symbol.asyncDispose]();
  }
}

/** A client that is connected. Losing its connection is no news. */
export async function connect(port: number, given: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', ...given });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export async function queryOnce(port: number, sql: string): Promise<unknown[]> {
  const client = await connect(port);
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}
