import { parseTimelineId } from '../../src/base/ids.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { Connection, Listener } from '../../src/io/sockets.ts';
import {
  type ConnectionEnding,
  ServerConnection,
  type ServerConnectionOptions,
} from '../../src/libpq/server/server-connection.ts';
import { silentLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import {
  type Identity,
  PAGE_SERVICE_BODY_BYTES_MAX,
  PageserverCommands,
  type PageserverCommandsOptions,
} from '../../src/pageserver/front-door/commands.ts';
import { PageServiceMetrics } from '../../src/pageserver/page-service/page-service-metrics.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { encodeControlFile } from '../../src/postgres/files/control-file.ts';
import { writePageChecksum } from '../../src/postgres/page/checksum.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import {
  CLUSTER_DIRECTORIES,
  MODEL_BLOCKS,
  MODEL_CONTROL,
  MODEL_DATABASE,
  MODEL_RELATIONS,
  modelPage,
  writeCluster,
} from '../engine/model-cluster.ts';
import { beginModel, drawRecord } from '../engine/model-records.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { MAIN, StorageWorld, type StorageWorldOptions } from '../support/storage-world.ts';
import { PageTestClient } from './page-test-client.ts';

const sockets = nodeSockets((error) => {
  throw error;
});

export interface PageServiceWorldOptions extends StorageWorldOptions {
  readonly commands?: Partial<PageserverCommandsOptions>;
  readonly connections?: Partial<ServerConnectionOptions<Identity>>;
  readonly hasDataChecksums?: boolean;
  /** Called with each connection of a client, on the server's side, before it is served. */
  readonly onConnection?: (connection: Connection) => void;
}

/** A page service on a port of its own, over a storage engine with one timeline that a model knows all of. */
export class PageServiceWorld implements AsyncDisposable {
  readonly storage: StorageWorld;
  readonly model: ModelTimeline = new ModelTimeline(MAIN);
  readonly metrics = new PageServiceMetrics(new Metrics(nodeClock));
  /** How connections ended, or what bug they ended with. */
  readonly endings: (ConnectionEnding | { readonly kind: 'bug'; readonly error: unknown })[] = [];
  /** How often a timeline was looked up. */
  lookups = 0;
  readonly #options: PageServiceWorldOptions;
  readonly #life = new AbortController();
  readonly #runs = new Set<Promise<void>>();
  #clients: PageTestClient[] = [];
  readonly #random = new SeededRandom(1);
  #handler: PageserverCommands | undefined;
  #listener: Listener | undefined;
  #intake: TimelineIntake | undefined;

  private constructor(storage: StorageWorld, options: PageServiceWorldOptions) {
    this.storage = storage;
    this.#options = options;
  }

  static async open(options: PageServiceWorldOptions = {}): Promise<PageServiceWorld> {
    const storage = await StorageWorld.open(options);
    const world = new PageServiceWorld(storage, options);
    const cluster = `${storage.directory}/cluster`;
    for (const directory of ['', '/base', ...CLUSTER_DIRECTORIES.map((name) => `/${name}`)]) {
      await nodeFiles.makeDirectory(cluster + directory);
    }
    await writeCluster(nodeFiles, cluster);
    if (options.hasDataChecksums === true) await addChecksums(cluster);
    const tenant = await storage.storage.attach(storage.tenantId);
    await tenant.createTimeline(MAIN, { files: nodeFiles, directory: cluster, version: POSTGRES_17 });
    beginModel(world.model);
    world.#handler = new PageserverCommands({
      access: {
        timeline: (tenantId, timelineId, signal) => {
          world.lookups++;
          return storage.storage.timeline(tenantId, timelineId, signal);
        },
      },
      streamBackup: () => {
        throw new Error('no backup is to be made');
      },
      streamStartSet: () => {
        throw new Error('no start set is to be made');
      },
      clock: nodeClock,
      logger: silentLogger,
      metrics: world.metrics,
      ...options.commands,
    });
    world.#listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      options.onConnection?.(connection);
      const run = world.#serve(connection).finally(() => world.#runs.delete(run));
      world.#runs.add(run);
    });
    // The checkpoint that the cluster was shut down with.
    await world.write(0);
    return world;
  }

  get main(): ActiveTimeline {
    return this.storage.tenant.timeline(MAIN);
  }

  get port(): number {
    return ((this.#listener as Listener).address as { readonly port: number }).port;
  }

  /** Clients that are being served. */
  get connectionCount(): number {
    return this.#runs.size;
  }

  /** Makes WAL, and takes it in. */
  async write(records: number): Promise<void> {
    for (let count = 0; count < records; count++) drawRecord(this.#random, this.model, count);
    this.#intake ??= await TimelineIntake.start(this.main.timeline);
    await this.#intake.take(this.model.walFrom(this.#intake.position).slice());
  }

  /** A branch of the main timeline at its end. */
  async branch(number: number): Promise<ActiveTimeline> {
    const id = parseTimelineId((0xb000 + number).toString(16).padStart(32, '0'));
    return await this.storage.tenant.createBranch(id, MAIN);
  }

  /** A client of the port, which does not speak yet. */
  async connectRaw(): Promise<PageTestClient> {
    const { address } = this.#listener as Listener;
    const client = new PageTestClient(await sockets.connect(address, this.#life.signal));
    this.#clients.push(client);
    return client;
  }

  /** A client that has been let in. */
  async connect(): Promise<PageTestClient> {
    const client = await this.connectRaw();
    await client.startUp();
    return client;
  }

  /** A client with a stream of pages of a timeline. */
  async stream({ timeline }: ActiveTimeline = this.main, version: 2 | 3 = 3): Promise<PageTestClient> {
    const client = await this.connect();
    await client.openStream(timeline.timelineId, version);
    return client;
  }

  /** Lets go of clients that have been closed. */
  forgetClients(): void {
    this.#clients = [];
    this.#intake = undefined;
  }

  /** Resolves when nobody is served any more. */
  async quiet(): Promise<void> {
    while (this.#runs.size > 0) await Promise.allSettled(this.#runs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#listener?.close();
    for (const client of this.#clients) client.close();
    await this.quiet();
    await this.storage[Symbol.asyncDispose]();
    const bug = this.endings.find(({ kind }) => kind === 'bug');
    if (bug !== undefined) throw new Error('a connection ended with a bug', { cause: bug });
  }

  async #serve(connection: Connection): Promise<void> {
    const server = new ServerConnection<Identity>(connection, this.#handler as PageserverCommands, {
      clock: nodeClock,
      authentication: { mode: 'trust', identity: undefined },
      bodyBytesMax: PAGE_SERVICE_BODY_BYTES_MAX,
      ...this.#options.connections,
    });
    try {
      this.endings.push(await server.run(this.#life.signal));
    } catch (error) {
      this.endings.push({ kind: 'bug', error });
    }
  }
}

/** The cluster of the model with data checksums, which its pages then need to have. */
async function addChecksums(cluster: string): Promise<void> {
  const replace = async (path: string, bytes: Uint8Array): Promise<void> => {
    await nodeFiles.remove(path);
    await nodeFiles.create(path, bytes);
  };
  const control = encodeControlFile(POSTGRES_17, { ...MODEL_CONTROL, dataChecksumVersion: 1 });
  await replace(`${cluster}/global/pg_control`, control);
  const blocks = new Uint8Array(MODEL_BLOCKS * BLOCK_BYTES);
  for (let block = 0; block < MODEL_BLOCKS; block++) {
    const page = new Page(modelPage(block));
    writePageChecksum(page, block);
    blocks.set(page.bytes, block * BLOCK_BYTES);
  }
  await replace(`${cluster}/base/${MODEL_DATABASE}/${MODEL_RELATIONS[0]}`, blocks);
}
