/** The pageserver's HTTP API over a storage engine in a temporary directory, without a network. */
import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { VarveError } from '../../src/base/errors.ts';
import { HttpApp } from '../../src/http/app.ts';
import { addProfileRoutes } from '../../src/http/profile-routes.ts';
import { parseVerificationKeys } from '../../src/http/token-keys.ts';
import { TokenSigner } from '../../src/http/token-signer.ts';
import { TokenVerifier } from '../../src/http/token-verifier.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { NodeProfiler } from '../../src/io/node/profiler.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import { type Logger, silentLogger } from '../../src/observe/log.ts';
import type { AdministrationExtensions } from '../../src/pageserver/administration/extensions.ts';
import { administerStorage } from '../../src/pageserver/administration/storage-administration.ts';
import { addPageserverRoutes } from '../../src/pageserver/http/routes.ts';
import type { Timeline } from '../../src/pageserver/timeline/timeline.ts';
import { UnreliableObjects } from '../support/unreliable-objects.ts';
import { BadInputWorld } from './bad-input-world.ts';

/** How long requests wait for a tenant that is being attached. */
const ACTIVE_WAIT_MS = 20;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed where it is JSON. */
  readonly body: unknown;
}

export interface HttpWorldOptions {
  readonly verifier?: TokenVerifier;
  readonly extensions?: AdministrationExtensions;
  readonly logger?: Logger;
}

export class HttpWorld implements AsyncDisposable {
  readonly made: BadInputWorld;
  readonly objects: UnreliableObjects;
  app: HttpApp;
  readonly #options: HttpWorldOptions;

  private constructor(made: BadInputWorld, objects: UnreliableObjects, options: HttpWorldOptions) {
    this.made = made;
    this.objects = objects;
    this.#options = options;
    this.app = makeApp(made, options);
  }

  static async open(options: HttpWorldOptions = {}): Promise<HttpWorld> {
    let objects: UnreliableObjects | undefined;
    const made = await BadInputWorld.open({
      isAwaited: false,
      wrapObjects: (bucket: ObjectStore) => {
        objects = new UnreliableObjects(bucket);
        return objects;
      },
    });
    await made.victim.fill();
    return new HttpWorld(made, objects as UnreliableObjects, options);
  }

  /** Does not wait until tenants are loaded. */
  async restart(between: () => void): Promise<void> {
    await this.made.restart(async () => between());
    this.app = makeApp(this.made, this.#options);
  }

  async ask(method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
    const headers = new Headers();
    const isRaw = body instanceof Uint8Array || body instanceof ReadableStream;
    if (body !== undefined && !isRaw) headers.set('content-type', 'application/json');
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    return await this.send(
      new Request(`http://test${path}`, {
        method,
        headers,
        duplex: 'half',
        ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
      }),
    );
  }

  async send(request: Request): Promise<Answer> {
    const response = await this.app.handler(request, 'test');
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
    return {
      status: response.status,
      headers: response.headers,
      body: isJson ? (JSON.parse(text) as unknown) : text,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.made[Symbol.asyncDispose]();
  }
}

function makeApp({ world }: BadInputWorld, options: HttpWorldOptions): HttpApp {
  const app = new HttpApp({
    title: 'Varve pageserver',
    version: '0.0.0',
    gate: 'pageserver',
    verifier: options.verifier,
    logger: options.logger ?? silentLogger,
    metrics: world.metrics,
    clock: nodeClock,
    random: nodeRandom,
  });
  const administration = administerStorage({
    nodeId: 7,
    directory: world.directory,
    storage: world.storage,
    activeWaitMs: ACTIVE_WAIT_MS,
    extensions: options.extensions ?? {},
  });
  addPageserverRoutes(app, administration);
  addProfileRoutes(app, new NodeProfiler());
  return app;
}

/** What the other parts of a pageserver bring, as far as routes need it: they count what they are asked. */
export class CountedExtensions implements AdministrationExtensions {
  uploadedBytes = 0;
  readonly blocked = new Set<Timeline>();

  readonly detachAncestor = async () => ({ reparented_timelines: [] });
  readonly importBaseBackup = async (
    _tenant: unknown,
    _timelineId: unknown,
    _query: unknown,
    tar: AsyncIterable<Uint8Array>,
  ): Promise<void> => await this.#take(tar);
  readonly importWal = async (
    _active: unknown,
    _query: unknown,
    tar: AsyncIterable<Uint8Array>,
  ): Promise<void> => await this.#take(tar);
  readonly gcBlocking = {
    block: async ({ timeline }: { timeline: Timeline }) => void this.blocked.add(timeline),
    unblock: async ({ timeline }: { timeline: Timeline }) => void this.blocked.delete(timeline),
    isBlocked: (timeline: Timeline) => this.blocked.has(timeline),
  };

  async #take(tar: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of tar) {
      this.uploadedBytes += chunk.length;
      if (chunk.includes(0xee)) throw new VarveError('bad-request', 'BAD_TAR', 'this is no tar');
    }
  }
}

export async function makeTokens(): Promise<{ signer: TokenSigner; verifier: TokenVerifier }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const signer = await TokenSigner.fromPem(await exportPKCS8(privateKey));
  const verifier = new TokenVerifier(await parseVerificationKeys(await exportSPKI(publicKey)), nodeClock);
  return { signer, verifier };
}
