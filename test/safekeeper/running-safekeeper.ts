import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { MembershipConfiguration } from '../../src/contracts/membership.ts';
import type { TimelineCreateRequest, TimelineKey } from '../../src/contracts/safekeeper-api.ts';
import { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { TokenSigner } from '../../src/http/token-signer.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import type { ServerTrust } from '../../src/io/sockets.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import {
  type SafekeeperOptions,
  type SafekeeperService,
  startSafekeeper,
} from '../../src/safekeeper/main.ts';
import { type MadeWal, makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../support/safekeeper-wal.ts';
import { WalPusher } from '../support/wal-pusher.ts';

export const TENANT = parseTenantId('11'.repeat(16));
export const OTHER_TENANT = parseTenantId('22'.repeat(16));
export const TIMELINE = parseTimelineId('33'.repeat(16));
export const OTHER_TIMELINE = parseTimelineId('44'.repeat(16));
export const KEY: TimelineKey = { tenant_id: TENANT, timeline_id: TIMELINE };
/** Near the end of a segment, so that WAL soon goes on in a second one. */
export const START_LSN: Lsn = toLsn(TEST_SEGMENT_BYTES * 2 - 8192 * 4);

export const signal = (): AbortSignal => AbortSignal.timeout(15_000);

export const membershipOf = (generation: number, ...ids: number[]): MembershipConfiguration => ({
  generation,
  members: ids.map((id) => ({ id, host: '127.0.0.1', pgPort: 1 })),
  newMembers: undefined,
});

export const newTimeline = (changes: Partial<TimelineCreateRequest> = {}): TimelineCreateRequest => ({
  ...KEY,
  mconf: membershipOf(0),
  pg_version: 170_011,
  system_id: TEST_SYSTEM,
  wal_seg_size: TEST_SEGMENT_BYTES,
  start_lsn: START_LSN,
  ...changes,
});

/** Some hundred records in two segments. Fewer records are the beginning of the same WAL. */
export const makeTestWal = (records = 150): MadeWal =>
  makeWal({
    startLsn: START_LSN,
    recordBytes: Array.from({ length: records }, (_, index) => 100 + index * 7),
  });

/** A safekeeper on a temporary directory, in this process, with real sockets. */
export class TestSafekeeper implements AsyncDisposable {
  readonly directory: string;
  readonly logger = new CollectingLogger();
  readonly #options: Partial<SafekeeperOptions>;
  service!: SafekeeperService;

  private constructor(directory: string, options: Partial<SafekeeperOptions>) {
    this.directory = directory;
    this.#options = options;
  }

  static async start(options: Partial<SafekeeperOptions> = {}): Promise<TestSafekeeper> {
    const directory = await mkdtemp(join(tmpdir(), 'varve-safekeeper-'));
    try {
      return await TestSafekeeper.startAt(directory, options);
    } catch (error) {
      await rm(directory, { recursive: true });
      throw error;
    }
  }

  /** On a directory that is somebody else's to remove. */
  static async startAt(directory: string, options: Partial<SafekeeperOptions>): Promise<TestSafekeeper> {
    const safekeeper = new TestSafekeeper(directory, options);
    await safekeeper.open();
    return safekeeper;
  }

  async open(): Promise<void> {
    const address = { host: '127.0.0.1', port: 0 };
    const { directory } = this;
    this.service = await startSafekeeper(
      { nodeId: 1, version: 'test', directory, listenPg: address, listenHttp: address, ...this.#options },
      this.logger,
    );
  }

  async restart(): Promise<void> {
    await this.service.close();
    await this.open();
  }

  get url(): string {
    return `http://127.0.0.1:${this.service.addresses.http.port}`;
  }

  client(token?: string): SafekeeperClient {
    return new SafekeeperClient({
      http: nodeHttp((error) => {
        throw error;
      }),
      clock: nodeClock,
      baseUrl: this.url,
      ...(token === undefined ? {} : { token: async () => token }),
    });
  }

  secureClient(trust: ServerTrust): SafekeeperClient {
    const http = nodeHttp((error) => {
      throw error;
    });
    return new SafekeeperClient({
      http,
      clock: nodeClock,
      baseUrl: this.url.replace('http', 'https'),
      trust,
    });
  }

  /** Asks for what the client has no method for. */
  async ask(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      signal: signal(),
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    return { status: response.status, json: await response.json() };
  }

  pusher(token?: string, timelineId = TIMELINE): Promise<WalPusher> {
    return WalPusher.start({
      address: this.service.addresses.pg,
      tenantId: TENANT,
      timelineId,
      ...(token === undefined ? {} : { token }),
    });
  }

  /** Creates the timeline, and has WAL of term 1 written to it. Its proposer has gone again. */
  async fill(wal = makeTestWal()): Promise<Lsn> {
    await this.client().createTimeline(newTimeline(), signal());
    const pusher = await this.pusher();
    await pusher.elect(1, START_LSN);
    const end = await pusher.push(wal);
    await pusher.close();
    return end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.close();
    await rm(this.directory, { recursive: true });
  }
}

/** A pair of keys: the public one as PEM, and who signs with the other one. */
export async function makeTokenKeys(): Promise<{ publicKeyPem: string; signer: TokenSigner }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  return {
    publicKeyPem: await exportSPKI(publicKey),
    signer: await TokenSigner.fromPem(await exportPKCS8(privateKey)),
  };
}
