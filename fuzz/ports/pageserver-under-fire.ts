import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { VarveError } from '../../src/base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import { LATEST } from '../../src/contracts/page-messages.ts';
import type { Scope } from '../../src/contracts/token.ts';
import { TokenSigner } from '../../src/http/token-signer.ts';
import { InlineWorkers } from '../../src/io/inline-workers.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { openFilesEngine } from '../../src/io/node/files-engine.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import { NodeProfiler } from '../../src/io/node/profiler.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { openS3Objects } from '../../src/io/s3/open.ts';
import type { Connection, SocketAddress } from '../../src/io/sockets.ts';
import { createJsonLogger, type Logger, type LogLevel } from '../../src/observe/log.ts';
import { PageClient } from '../../src/page-client/page-client.ts';
import { jobs } from '../../src/pageserver/jobs.ts';
import { PageserverService } from '../../src/pageserver/service.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { encodeControlFile } from '../../src/postgres/files/control-file.ts';
import { initializePage, Page } from '../../src/postgres/page/page.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_FPI } from '../../src/postgres/rmgr/xlog.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { SAMPLE_CONTROL_FILE } from '../../test/pageserver/sample-cluster.ts';

const SEGMENT_BYTES = 1024 * 1024;
export const BLOCKS = 8;
export const RELATION = { tablespace: 1663, database: 5, relation: 16_384 };
/** Whoever is shot at, and whoever must not notice. */
export const VICTIM: TenantId = parseTenantId('a'.repeat(32));
export const WITNESS: TenantId = parseTenantId('b'.repeat(32));
export const TIMELINE: TimelineId = parseTimelineId('c'.repeat(32));
/** Stands on all pages of the witness, and must get to nobody but it. */
export const SECRET = 'only-the-witness-may-read-this';
const SECRET_OFFSET = 4000;

/** A line of the log, with all that it says. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** A whole pageserver in this process that asks for tokens at both its ports, with two tenants. */
export class PageserverUnderFire implements AsyncDisposable {
  /** What it has said since `takeLog`. */
  readonly #lines: string[];
  readonly #directory: string;
  readonly #tokens: ReadonlyMap<string, string>;
  readonly service: PageserverService;
  readonly #life = new AbortController();
  readonly #sockets = nodeSockets((error) => {
    throw error;
  });
  #witness: PageClient | undefined;

  private constructor(
    directory: string,
    tokens: ReadonlyMap<string, string>,
    service: PageserverService,
    lines: string[],
  ) {
    this.#directory = directory;
    this.#tokens = tokens;
    this.service = service;
    this.#lines = lines;
  }

  static async open(): Promise<PageserverUnderFire> {
    const directory = await mkdtemp(join(tmpdir(), 'varve-under-fire-'));
    const lines: string[] = [];
    try {
      const { tokens, keyPath } = await makeTokens(directory);
      const service = await startService(
        `${directory}/pageserver`,
        keyPath,
        createJsonLogger({
          level: 'debug',
          clock: nodeClock,
          destination: { write: (line) => void lines.push(line) },
        }),
      );
      const world = new PageserverUnderFire(directory, tokens, service, lines);
      await makeCluster(`${directory}/cluster`);
      await world.restore(VICTIM);
      await world.restore(WITNESS);
      world.#witness = await world.#connectWitness();
      return world;
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get pageAddress(): SocketAddress {
    return this.service.addresses.pg;
  }

  get httpAddress(): SocketAddress {
    return this.service.addresses.http;
  }

  connect(address: SocketAddress): Promise<Connection> {
    return this.#sockets.connect(address, this.#life.signal);
  }

  /** A token of a scope, of this tenant where it has one. */
  token(scope: Scope, tenantId?: TenantId): string {
    return this.#tokens.get(`${scope} ${tenantId ?? ''}`) as string;
  }

  /** All that are good for something somewhere. */
  get tokens(): readonly string[] {
    return [...this.#tokens.values()];
  }

  /** What has been said since the last call. */
  takeLog(): readonly LogLine[] {
    return this.#lines.splice(0).map((line) => JSON.parse(line) as LogLine);
  }

  /** Brings a tenant back to where it was: attached, with its own timeline in use, that has all its pages. */
  async restore(tenantId: TenantId): Promise<void> {
    const { storage } = this.service;
    if (storage.statusOf(tenantId) === undefined) await storage.attach(tenantId);
    const tenant = await storage.activeTenant(tenantId, this.#life.signal);
    if (Object.keys(tenant.config).length > 0) await tenant.setConfig({});
    const cluster = { files: nodeFiles, directory: `${this.#directory}/cluster`, version: POSTGRES_17 };
    const active = tenant.timelines.find(({ timeline }) => timeline.timelineId === TIMELINE);
    const { timeline } = active ?? (await tenant.createTimeline(TIMELINE, cluster));
    if (timeline.archivedAtMs !== undefined) await tenant.unarchiveTimeline(TIMELINE);
    const wal = makeWal(tenantId === WITNESS ? SECRET : 'of the victim');
    const missing = wal.subarray(timeline.lastRecordLsn - SAMPLE_CONTROL_FILE.checkPoint);
    if (missing.length > 0) await (await TimelineIntake.start(timeline)).take(missing);
  }

  /** The witness reads all its pages. @throws Error where one is not what it must be */
  async checkWitness(): Promise<void> {
    const lsns = { requestLsn: LATEST, notModifiedSince: SAMPLE_CONTROL_FILE.checkPoint };
    const client = this.#witness as PageClient;
    const pages = await Promise.all(
      Array.from({ length: BLOCKS }, (_, block) => client.page(lsns, RELATION, 0, block)),
    );
    for (const [block, page] of pages.entries()) {
      const text = Buffer.from(page.subarray(SECRET_OFFSET)).toString('latin1', 0, SECRET.length + 2);
      if (text !== `${SECRET} ${block}`) throw new Error(`the witness gets another page ${block}: ${text}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#witness?.close();
    this.#life.abort();
    await this.service.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #connectWitness(): Promise<PageClient> {
    return await PageClient.connect(
      { sockets: this.#sockets, clock: nodeClock, random: nodeRandom },
      {
        address: this.pageAddress,
        token: this.token('tenant', WITNESS),
        connectTimeoutMs: 10_000,
        signal: this.#life.signal,
        tenantId: WITNESS,
        timelineId: TIMELINE,
      },
    );
  }
}

async function makeTokens(
  directory: string,
): Promise<{ tokens: ReadonlyMap<string, string>; keyPath: string }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const signer = await TokenSigner.fromPem(await exportPKCS8(privateKey));
  const keyPath = `${directory}/key.pem`;
  await writeFile(keyPath, await exportSPKI(publicKey));
  const tokens = new Map<string, string>();
  for (const scope of ['pageserverapi', 'safekeeperdata', 'generations_api'] as const) {
    tokens.set(`${scope} `, await signer.sign({ scope }));
  }
  for (const tenantId of [VICTIM, WITNESS]) {
    tokens.set(`tenant ${tenantId}`, await signer.sign({ scope: 'tenant', tenantId }));
  }
  return { tokens, keyPath };
}

async function startService(directory: string, keyPath: string, logger: Logger): Promise<PageserverService> {
  await mkdir(directory);
  return await PageserverService.start(
    {
      directory,
      nodeId: 1,
      version: '0.0.0',
      listenPg: { host: '127.0.0.1', port: 0 },
      listenHttp: { host: '127.0.0.1', port: 0 },
      pgTokenKeysPath: keyPath,
      httpTokenKeysPath: keyPath,
      safekeepers: [],
      settings: { leaseMs: 0, lsnWaitMs: 20 },
    },
    {
      engine: openFilesEngine('portable'),
      files: nodeFiles,
      clock: nodeClock,
      random: nodeRandom,
      sockets: nodeSockets((error) => logger.error('a connection could not be accepted', { error })),
      http: nodeHttp((error) => logger.error('HTTP: something failed that no request is told of', { error })),
      openS3: openS3Objects,
      workers: new InlineWorkers(jobs, { files: nodeFiles, clock: nodeClock }),
      profiler: new NodeProfiler(),
      initialClusters: {
        withCluster: async () => {
          throw new VarveError('precondition', 'NO_INITDB', 'no clusters are made here');
        },
      },
      logger,
    },
  );
}

/** A stopped cluster with next to nothing in it. */
async function makeCluster(directory: string): Promise<void> {
  const slrus = ['pg_xact', 'pg_multixact/offsets', 'pg_multixact/members'];
  for (const name of ['global', 'base/5', ...slrus]) await mkdir(`${directory}/${name}`, { recursive: true });
  const control = { ...SAMPLE_CONTROL_FILE, walSegmentBytes: SEGMENT_BYTES };
  await writeFile(`${directory}/global/pg_control`, encodeControlFile(POSTGRES_17, control));
  for (const name of slrus) await writeFile(`${directory}/${name}/0000`, new Uint8Array(8192));
}

/** Images of pages that say whose they are. */
function makeWal(mark: string): Uint8Array {
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: SAMPLE_CONTROL_FILE.systemIdentifier,
    timelineId: 1,
    segmentBytes: SEGMENT_BYTES,
    startLsn: SAMPLE_CONTROL_FILE.checkPoint,
    previousLsn: 0,
  });
  for (let block = 0; block < BLOCKS; block++) {
    const page = new Page();
    initializePage(page, 8);
    page.bytes.set(Buffer.from(`${mark} ${block}`), SECRET_OFFSET);
    const image = {
      bytes: page.bytes,
      holeOffset: 0,
      holeLength: 0,
      imageInfo: POSTGRES_17.imageApply,
      compressed: false,
    };
    writer.append({
      resourceManager: RM_XLOG,
      info: XLOG_FPI,
      blocks: [{ blockId: 0, ...RELATION, blockNumber: block, image }],
    });
  }
  return writer.take().subarray(SAMPLE_CONTROL_FILE.checkPoint - writer.baseLsn);
}
