import type { SafekeeperAddress } from '../contracts/membership.ts';
import { HttpApp } from '../http/app.ts';
import { addProfileRoutes } from '../http/profile-routes.ts';
import type { Clock } from '../io/clock.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import type { Files } from '../io/files.ts';
import type { Http } from '../io/http.ts';
import type { ObjectLocation } from '../io/object-location.ts';
import type { ObjectStore } from '../io/objects.ts';
import { type ObjectStoreDoors, openObjectStore } from '../io/open-object-store.ts';
import type { Profiler } from '../io/profiler.ts';
import type { Random } from '../io/random.ts';
import type { Listener, ServerIdentity, SocketAddress, Sockets } from '../io/sockets.ts';
import { VirtualFiles } from '../io/virtual-files.ts';
import type { Workers } from '../io/workers.ts';
import type { Logger } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { loadIdentity, loadOutgoing, loadVerifier, type TlsPaths } from '../service/credentials.ts';
import { checkListen, type TcpAddress } from '../service/listen-policy.ts';
import type { AdministrationExtensions } from './administration/extensions.ts';
import { gcBlocking } from './administration/gc-blocking.ts';
import { administerStorage } from './administration/storage-administration.ts';
import { streamBackup } from './backup/stream-backup.ts';
import { PAGE_SERVICE_BODY_BYTES_MAX, PageserverCommands } from './front-door/commands.ts';
import { PageFrontDoor } from './front-door/front-door.ts';
import { addPageserverRoutes } from './http/routes.ts';
import { imports } from './import/imports.ts';
import type { InitialClusters } from './initial/initial-clusters.ts';
import type { PageserverJobs } from './jobs.ts';
import { PageServiceMetrics } from './page-service/page-service-metrics.ts';
import { ControlPlaneGenerations } from './remote/control-plane-generations.ts';
import { FileGenerationSource } from './remote/file-generation-source.ts';
import type { GenerationSource } from './remote/generation-source.ts';
import { streamStartSet } from './start-set/stream-start-set.ts';
import { PageStorage, type StorageOptions } from './storage.ts';
import { LogicalSizes } from './timeline/logical-sizes.ts';
import { showWalReceivers } from './wal-receiver-metrics.ts';
import { WalReceivers } from './wal-receivers.ts';

const BUCKET_DIRECTORY = 'bucket';
const DESCRIPTORS_MAX_DEFAULT = 4096;

export interface PageserverOptions
  extends Pick<StorageOptions, 'pageCacheBytes' | 'blockCacheBytes' | 'backgroundJobsMax' | 'settings'> {
  /** The number by which safekeepers and the control plane know this pageserver. */
  readonly nodeId: number;
  /** Everything local is below it: the real path, of a directory that is made if it is not there. */
  readonly directory: string;
  /** Of the program. */
  readonly version: string;
  readonly listenPg: TcpAddress;
  readonly listenHttp: TcpAddress;
  /** PEM file, or directory of such, with the public keys of tokens. Without it that door asks for none. */
  readonly pgTokenKeysPath?: string;
  readonly httpTokenKeysPath?: string;
  /** Let in everybody on a network, where there are no keys. */
  readonly allowsInsecureListen?: boolean;
  /** PEM files: all doors then speak TLS only. */
  readonly tls?: TlsPaths;
  /** Where layers live. Without it in the directory `bucket` below the other one. */
  readonly objectStore?: ObjectLocation;
  /** Those that keep the WAL of all timelines. */
  readonly safekeepers: readonly SafekeeperAddress[];
  /** File with this pageserver's own token, for safekeepers that ask for one. */
  readonly tokenPath?: string;
  /** PEM file of the authorities that the safekeepers' certificates are from. Without it those that the run time knows. */
  readonly safekeeperAuthoritiesPath?: string;
  /** Gives generations, such as `http://127.0.0.1:1234`. Without it they are kept in a local file: this pageserver works alone. */
  readonly controlPlaneUrl?: string;
  /** File with this pageserver's own token of the scope `generations_api`, where the control plane asks for one. */
  readonly controlPlaneTokenPath?: string;
  /** Descriptors of layer files that may be open at once; 4 096 by default. */
  readonly descriptorsMax?: number;
}

/** A way of reading and writing local files: src/io/node/files-engine.ts. */
export interface ServiceFiles {
  readonly files: Files;
  readonly descriptorsPerFile: number;
}

export interface PageserverDoors {
  /** For layer files. */
  readonly engine: ServiceFiles;
  /** For everything else. */
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets: Sockets;
  readonly http: Http;
  readonly openS3: ObjectStoreDoors['openS3'];
  readonly workers: Workers<PageserverJobs> & { close(): Promise<void> };
  readonly profiler: Profiler;
  readonly initialClusters: InitialClusters;
  readonly logger: Logger;
}

interface Parts {
  readonly storage: PageStorage;
  readonly receivers: WalReceivers;
  readonly frontDoor: PageFrontDoor;
  readonly http: Listener;
  /** All that is let go of when these have ended. */
  readonly resources: AsyncDisposableStack;
}

/** A pageserver with all that belongs to it: its storage, its doors for libpq and for HTTP, its WAL receivers, its bucket. */
export class PageserverService implements AsyncDisposable {
  readonly directory: string;
  readonly storage: PageStorage;
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;

  private constructor(directory: string, parts: Parts) {
    this.directory = directory;
    this.storage = parts.storage;
    this.#parts = parts;
  }

  /**
   * Starts everything, or nothing. Whoever connects is served when it resolves; tenants that were attached are still being
   * loaded then (`storage.loaded`).
   * @throws VarveError: what the options ask for cannot be had, such as a directory that another process has
   */
  static async start(options: PageserverOptions, doors: PageserverDoors): Promise<PageserverService> {
    checkOptions(options, doors.logger);
    const { directory, nodeId } = options;
    const { files, clock, sockets, logger } = doors;
    await using starting = new AsyncDisposableStack();
    const identity = await loadIdentity(options.tls, files);
    const metrics = new Metrics(clock);
    starting.use(await lockDirectory(sockets, files, directory, { service: 'pageserver', nodeId }));
    const objects = await openObjects(options, doors);
    starting.defer(() => objects.close());
    const sizes = new LogicalSizes();
    const receivers = new WalReceivers({
      doors,
      logger,
      access: await sourceAccess(options, files),
      members: options.safekeepers,
      sizes,
    });
    showWalReceivers(metrics, receivers);
    starting.defer(() => receivers.close());
    starting.defer(() => doors.workers.close());
    const storage = await openStorage(options, doors, { metrics, objects, receivers });
    starting.use(storage);
    const frontDoor = await openFrontDoor(options, doors, { storage, metrics, identity });
    starting.defer(() => frontDoor.close());
    const http = await serveHttp(options, doors, { storage, receivers, sizes, metrics, identity });
    starting.use(http);
    return new PageserverService(directory, {
      storage,
      receivers,
      frontDoor,
      http,
      resources: starting.move(),
    });
  }

  /** With the ports that were taken. */
  get addresses(): { readonly pg: TcpAddress; readonly http: TcpAddress } {
    return { pg: toTcp(this.#parts.frontDoor.address), http: toTcp(this.#parts.http.address) };
  }

  /** Ends connections and requests, and lets go of everything. What is in no layer comes from WAL again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { storage, receivers, frontDoor, http, resources } = this.#parts;
    // At the same time: requests under way end because their timelines close.
    const endings = await Promise.allSettled([
      frontDoor.close(),
      receivers.close(),
      storage.close(),
      http.close(),
    ]);
    await resources.disposeAsync();
    for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
  }
}

async function openObjects(options: PageserverOptions, doors: PageserverDoors): Promise<ObjectStore> {
  if (options.objectStore !== undefined) return await openObjectStore(options.objectStore, doors);
  const path = `${options.directory}/${BUCKET_DIRECTORY}`;
  await doors.files.makeDirectory(path);
  await doors.files.syncDirectory(options.directory);
  return await openObjectStore({ kind: 'directory', path }, doors);
}

async function sourceAccess(
  options: PageserverOptions,
  files: Files,
): Promise<ConstructorParameters<typeof WalReceivers>[0]['access']> {
  const { token, tls } = await loadOutgoing(
    {
      tokenPath: options.tokenPath,
      authoritiesPath: options.safekeeperAuthoritiesPath,
      hasTls: options.tls !== undefined,
    },
    files,
  );
  return {
    applicationName: `pageserver-${options.nodeId}`,
    ...(token === undefined ? {} : { password: token }),
    ...(tls === undefined ? {} : { tls }),
  };
}

async function openStorage(
  options: PageserverOptions,
  doors: PageserverDoors,
  {
    metrics,
    objects,
    receivers,
  }: { readonly metrics: Metrics; readonly objects: ObjectStore; readonly receivers: WalReceivers },
): Promise<PageStorage> {
  const { directory, pageCacheBytes, blockCacheBytes, backgroundJobsMax, settings } = options;
  const { engine } = doors;
  const files = new VirtualFiles(engine.files, {
    maxDescriptors: options.descriptorsMax ?? DESCRIPTORS_MAX_DEFAULT,
    descriptorsPerFile: engine.descriptorsPerFile,
  });
  return await PageStorage.open(
    {
      directory,
      ...(pageCacheBytes === undefined ? {} : { pageCacheBytes }),
      ...(blockCacheBytes === undefined ? {} : { blockCacheBytes }),
      ...(backgroundJobsMax === undefined ? {} : { backgroundJobsMax }),
      ...(settings === undefined ? {} : { settings }),
    },
    {
      ...doors,
      files,
      metrics,
      objects,
      generations: await openGenerations(options, doors, metrics),
      onServed: (active) => {
        if (options.safekeepers.length > 0) receivers.receive(active);
      },
    },
  );
}

async function openGenerations(
  options: PageserverOptions,
  doors: PageserverDoors,
  metrics: Metrics,
): Promise<GenerationSource> {
  const { controlPlaneUrl: baseUrl, controlPlaneTokenPath: tokenPath, nodeId } = options;
  if (baseUrl === undefined) return await FileGenerationSource.open(doors.files, options.directory);
  const hasTls = baseUrl.startsWith('https:');
  const authoritiesPath = hasTls ? options.safekeeperAuthoritiesPath : undefined;
  const { token, tls } = await loadOutgoing({ tokenPath, authoritiesPath, hasTls }, doors.files);
  const serverName = new URL(baseUrl).hostname.replace(/^\[(.*)\]$/, '$1');
  return new ControlPlaneGenerations(nodeId, {
    ...doors,
    metrics,
    baseUrl,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { trust: { ...tls, serverName } }),
  });
}

interface Served {
  readonly storage: PageStorage;
  readonly metrics: Metrics;
  readonly identity: ServerIdentity | undefined;
}

async function openFrontDoor(
  options: PageserverOptions,
  doors: PageserverDoors,
  { storage, metrics, identity }: Served,
): Promise<PageFrontDoor> {
  const { clock, logger, sockets } = doors;
  const handler = new PageserverCommands({
    access: storage,
    streamBackup,
    streamStartSet,
    clock,
    logger,
    metrics: new PageServiceMetrics(metrics),
  });
  const frontDoor = await PageFrontDoor.open({
    address: options.listenPg,
    bodyBytesMax: PAGE_SERVICE_BODY_BYTES_MAX,
    verifier: await loadVerifier(options.pgTokenKeysPath, doors),
    identity,
    handler,
    sockets,
    clock,
    logger,
  });
  metrics.gaugeFrom(
    'pageserver_live_connections',
    'Clients of the page service',
    () => frontDoor.connectionCount,
  );
  return frontDoor;
}

async function serveHttp(
  options: PageserverOptions,
  doors: PageserverDoors,
  served: Served & { readonly receivers: WalReceivers; readonly sizes: LogicalSizes },
): Promise<Listener> {
  const { storage, receivers, sizes, metrics, identity } = served;
  const app = new HttpApp({
    ...doors,
    title: 'Varve pageserver',
    version: options.version,
    gate: 'pageserver',
    verifier: await loadVerifier(options.httpTokenKeysPath, doors),
    metrics,
  });
  const { nodeId, directory } = options;
  const extensions: AdministrationExtensions = {
    receivers,
    gcBlocking,
    ...imports(storage.doors.files),
    detachAncestor: async (tenant, timelineId, behavior) => ({
      reparented_timelines: [...(await storage.detachAncestor(tenant, timelineId, behavior))],
    }),
  };
  addPageserverRoutes(app, administerStorage({ nodeId, directory, storage, extensions, sizes }));
  addProfileRoutes(app, doors.profiler);
  return await doors.http.serve({
    ...options.listenHttp,
    ...(identity === undefined ? {} : { identity }),
    handler: app.handler,
  });
}

function checkOptions(options: PageserverOptions, logger: Logger): void {
  const { listenPg, listenHttp, pgTokenKeysPath, httpTokenKeysPath } = options;
  if (options.allowsInsecureListen !== true) {
    checkListen(listenPg, pgTokenKeysPath !== undefined, '--pg-auth-public-key-path');
    checkListen(listenHttp, httpTokenKeysPath !== undefined, '--http-auth-public-key-path');
  }
  if (pgTokenKeysPath === undefined || httpTokenKeysPath === undefined) {
    logger.warn('without token keys everybody who can connect may do everything', {
      pgAsksForTokens: pgTokenKeysPath !== undefined,
      httpAsksForTokens: httpTokenKeysPath !== undefined,
    });
  }
  if (options.safekeepers.length === 0) {
    logger.warn('no safekeepers are named: no WAL is taken in, and what is there is served');
  }
}

function toTcp(address: SocketAddress): TcpAddress {
  if ('path' in address) throw new TypeError(`${address.path} is no TCP address`);
  return address;
}
