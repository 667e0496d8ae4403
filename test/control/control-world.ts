import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import { CONTROL_API } from '../../src/contracts/control-api.ts';
import type { ControlNode } from '../../src/contracts/control-api-status.ts';
import { wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import { type ControlOptions, ControlService } from '../../src/control/service.ts';
import { electionsBy } from '../../src/control/storage/elect.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { type PageserverService, startPageserver } from '../../src/pageserver/main.ts';
import { type SafekeeperService, startSafekeeper } from '../../src/safekeeper/main.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { CrashDoor } from './crash-door.ts';
import { RecordingEndpoints } from './recording-endpoints.ts';

const FREE = { host: '127.0.0.1', port: 0 };
const SAFEKEEPERS = [1, 2, 3];

export const signal = (): AbortSignal => AbortSignal.timeout(30_000);

const http = nodeHttp((error) => {
  throw error;
});

export interface Answer<Json> {
  readonly status: number;
  readonly json: Json;
  readonly contentType: string | null;
}

/** One life of the control plane. */
interface Life {
  readonly door: CrashDoor;
  readonly service: ControlService;
  readonly endpoints: RecordingEndpoints;
}

/** A control plane over real storage in this process, and over a real database. Computes are written down only. */
export class ControlWorld implements AsyncDisposable {
  readonly logger = new CollectingLogger();
  readonly directory: string;
  readonly database: StockPostgres;
  readonly safekeepers: SafekeeperService[] = [];
  pageserver!: PageserverService;
  life!: Life;
  #port = 0;
  readonly #options: Partial<ControlOptions>;

  private constructor(directory: string, database: StockPostgres, options: Partial<ControlOptions>) {
    this.directory = directory;
    this.database = database;
    this.#options = options;
  }

  static async start(options: Partial<ControlOptions> = {}): Promise<ControlWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'varve-control-'));
    // Where we are root servers run as somebody else, in directories of their own below it.
    await chmod(directory, 0o711);
    const database = await StockPostgres.create({ major: 17, settings: { fsync: 'off' } });
    const world = new ControlWorld(directory, database, options);
    try {
      await database.start();
      await world.open();
      for (const nodeId of SAFEKEEPERS) await world.startSafekeeper(nodeId);
      await world.startPageserver();
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** On the ports that it had before. */
  async startSafekeeper(nodeId: number): Promise<void> {
    const before = this.safekeepers[nodeId - 1]?.addresses;
    const safekeeper = await startSafekeeper(
      {
        nodeId,
        version: 'test',
        directory: join(this.directory, `safekeeper-${nodeId}`),
        listenPg: before?.pg ?? FREE,
        listenHttp: before?.http ?? FREE,
        isSyncOff: true,
      },
      this.logger,
    );
    this.safekeepers[nodeId - 1] = safekeeper;
    await this.life.service.setNode(nodeOf('safekeeper', nodeId, safekeeper.addresses));
  }

  /** Another control plane on the same database. */
  async second(): Promise<void> {
    const { life } = this;
    await this.open({ listen: FREE });
    await this.life.service.close();
    this.life = life;
  }

  /** It asks the control plane for its generations. */
  async startPageserver(): Promise<void> {
    this.pageserver = await startPageserver(
      {
        nodeId: 1,
        version: 'test',
        directory: join(this.directory, 'pageserver'),
        listenPg: FREE,
        listenHttp: FREE,
        filesEngine: 'portable',
        safekeepers: this.safekeepers.map(({ addresses: { pg } }, index) => ({
          id: index + 1,
          host: pg.host,
          pgPort: pg.port,
        })),
        controlPlaneUrl: `http://127.0.0.1:${this.#port}`,
      },
      this.logger,
    );
    await this.life.service.setNode(nodeOf('pageserver', 1, this.pageserver.addresses));
  }

  /** A new life of the control plane, on the port of the one before. */
  async open(options: Partial<ControlOptions> = this.#options): Promise<void> {
    const door = new CrashDoor(this.database.clientConfig());
    const doors = { clock: nodeClock, random: nodeRandom, logger: this.logger };
    const sockets = nodeSockets((error) => {
      throw error;
    });
    let endpoints: RecordingEndpoints | undefined;
    const service = await ControlService.start(
      { version: 'test', listen: { host: '127.0.0.1', port: this.#port }, ...options },
      {
        ...doors,
        files: nodeFiles,
        http: door.http(http),
        database: door.database(),
        elect: (timeline, given) => door.pass(() => electionsBy({ ...doors, sockets }, {})(timeline, given)),
        makeEndpointManager: (events) => {
          endpoints = new RecordingEndpoints(events, door);
          return endpoints;
        },
      },
    );
    this.#port = service.address.port;
    this.life = { door, service, endpoints: endpoints as RecordingEndpoints };
  }

  /** What is left of a life that has ended goes, and the next one begins. */
  async restart(): Promise<void> {
    await this.life.service.close();
    await this.open();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async ask<Json = Record<string, never>>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<Json>> {
    const response = await fetch(`${this.url}${path.startsWith('/') ? path : `${CONTROL_API}/${path}`}`, {
      method,
      signal: signal(),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return {
      status: response.status,
      json: (await response.json().catch(() => undefined)) as Json,
      contentType: response.headers.get('content-type'),
    };
  }

  /** As `ask`, and decodes what is not an error. */
  async must<Schema extends z.ZodType>(
    schema: Schema,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<z.output<Schema>> {
    const { status, json } = await this.ask<unknown>(method, path, body, headers);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    return schema.parse(json);
  }

  /** Waits until no operation is left, or this life of the control plane has ended. */
  async settled(): Promise<void> {
    const untilMs = performance.now() + 30_000;
    while (!this.life.door.isDead) {
      const left = await this.rows(
        "SELECT kind, step, error FROM varve_control.operations WHERE state IN ('running', 'undoing')",
      );
      if (left.length === 0) return;
      if (performance.now() > untilMs) throw new Error(`it goes on: ${JSON.stringify(left)}`);
    }
  }

  get pageserverClient(): PageserverClient {
    const { port } = this.pageserver.addresses.http;
    return new PageserverClient({ http, clock: nodeClock, baseUrl: `http://127.0.0.1:${port}` });
  }

  safekeeperClient(id: number): SafekeeperClient {
    const { port } = (this.safekeepers[id - 1] as SafekeeperService).addresses.http;
    return new SafekeeperClient({ http, clock: nodeClock, baseUrl: `http://127.0.0.1:${port}` });
  }

  /** Timelines that the parts of storage have, as sorted text. */
  async stored(): Promise<{ pageserver: string[]; safekeepers: string[][] }> {
    const tenants = await this.pageserverClient.listTenants(signal());
    const pageserver: TimelineId[] = [];
    for (const { id } of tenants) {
      const timelines = await this.pageserverClient.listTimelines(wholeTenant(id.tenantId), signal());
      pageserver.push(...timelines.map(({ timeline_id }) => timeline_id));
    }
    const safekeepers = await Promise.all(
      SAFEKEEPERS.map(async (id) => {
        const keys = await this.safekeeperClient(id).listTimelines(signal());
        return keys.map(({ timeline_id }) => timeline_id as string).sort();
      }),
    );
    return { pageserver: pageserver.sort(), safekeepers };
  }

  rows<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.database.query<Row>(text, values);
  }

  async generationOf(tenantId: TenantId): Promise<number> {
    const rows = await this.rows<{ generation: string }>(
      'SELECT generation FROM varve_control.tenants WHERE tenant_id = $1',
      [tenantId],
    );
    return Number(rows[0]?.generation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pageserver?.close();
    await Promise.all(this.safekeepers.map((safekeeper) => safekeeper.close()));
    await this.life?.service.close();
    await this.database.dispose();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function nodeOf(
  kind: ControlNode['kind'],
  id: number,
  { pg, http: { port } }: PageserverService['addresses'],
): ControlNode {
  return {
    kind,
    id,
    pgHost: pg.host,
    pgPort: pg.port,
    httpUrl: `http://127.0.0.1:${port}`,
    isSchedulable: true,
  };
}
