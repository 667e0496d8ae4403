import { HttpApp } from '../http/app.ts';
import type { Clock } from '../io/clock.ts';
import { delayedFiles } from '../io/delayed-files.ts';
import type { Files } from '../io/files.ts';
import { formatAddress } from '../io/format-address.ts';
import type { Http } from '../io/http.ts';
import type { ObjectLocation } from '../io/object-location.ts';
import type { ObjectStore } from '../io/objects.ts';
import { type ObjectStoreDoors, openObjectStore } from '../io/open-object-store.ts';
import type { Random } from '../io/random.ts';
import type { Listener, ServerIdentity, SocketAddress, Sockets } from '../io/sockets.ts';
import { unsyncedFiles } from '../io/unsynced-files.ts';
import type { Logger } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { loadIdentity, loadOutgoing, loadVerifier, type TlsPaths } from '../service/credentials.ts';
import { checkListen, type TcpAddress } from '../service/listen-policy.ts';
import { TimelineAdministration } from './administration/administration.ts';
import type { AdministrationExtensions } from './administration/extensions.ts';
import { addSafekeeperRoutes } from './http/routes.ts';
import { SafekeeperMetrics } from './metrics.ts';
import { peerNews, sourcesOver, timelineTransfer } from './peers/extensions.ts';
import type { PeerSettings } from './peers/peers-options.ts';
import { Safekeeper } from './safekeeper.ts';
import { readTimelines } from './timeline/timeline-reading.ts';
import type { UpkeepSettings } from './upkeep/settings.ts';

export interface SafekeeperOptions {
  /** The number by which configurations name this safekeeper. */
  readonly nodeId: number;
  /** Everything that it keeps is below it: the real path, of a directory that is made if it is not there. */
  readonly directory: string;
  /** Of the program. */
  readonly version: string;
  readonly listenPg: TcpAddress;
  readonly listenHttp: TcpAddress;
  /** A second libpq door, for tokens of one tenant only. */
  readonly listenPgTenantOnly?: TcpAddress;
  /** PEM file, or directory of such, with the public keys of tokens. Without it that door asks for none. */
  readonly pgTokenKeysPath?: string;
  readonly httpTokenKeysPath?: string;
  /** Let in everybody on a network, where there are no keys. */
  readonly allowsInsecureListen?: boolean;
  /** PEM files: all doors then speak TLS only. */
  readonly tls?: TlsPaths;
  readonly objectStore?: ObjectLocation;
  /** File with this safekeeper's own token, of the scope `safekeeperdata`: for others that ask for one. */
  readonly peerTokenPath?: string;
  /** PEM file of the authorities that the others' certificates are from. Without it those that the run time knows. */
  readonly peerAuthoritiesPath?: string;
  /** Take no WAL from other safekeepers. */
  readonly isPeerRecoveryOff?: boolean;
  /** What is not said is as UPKEEP_DEFAULTS has it. */
  readonly upkeep?: Partial<UpkeepSettings>;
  /** Call WAL durable that is not: for benchmarks. */
  readonly isSyncOff?: boolean;
  /** Makes each sync slower: for benchmarks and tests. */
  readonly syncDelayMs?: number;
}

export interface SafekeeperServiceDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets: Sockets;
  readonly http: Http;
  readonly openS3: ObjectStoreDoors['openS3'];
  readonly logger: Logger;
}

/** A safekeeper with all that belongs to it: its doors for libpq and for HTTP, its bucket, its metrics. */
export class SafekeeperService implements AsyncDisposable {
  readonly safekeeper: Safekeeper;
  readonly metrics: SafekeeperMetrics;
  readonly #http: Listener;
  readonly #objects: ObjectStore | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    safekeeper: Safekeeper,
    metrics: SafekeeperMetrics,
    http: Listener,
    objects: ObjectStore | undefined,
  ) {
    this.safekeeper = safekeeper;
    this.metrics = metrics;
    this.#http = http;
    this.#objects = objects;
  }

  /**
   * Starts everything, or nothing. Whoever connects is served when it resolves.
   * @throws VarveError: what the options ask for cannot be had, such as a directory that another process has
   */
  static async start(options: SafekeeperOptions, given: SafekeeperServiceDoors): Promise<SafekeeperService> {
    checkOptions(options, given.logger);
    const doors = { ...given, files: filesFor(options, given) };
    await using starting = new AsyncDisposableStack();
    const identity = await loadIdentity(options.tls, doors.files);
    const pgVerifier = await loadVerifier(options.pgTokenKeysPath, doors);
    const objects =
      options.objectStore === undefined ? undefined : await openObjectStore(options.objectStore, doors);
    if (objects !== undefined) starting.defer(() => objects.close());
    const registry = new Metrics(doors.clock);
    let running: Safekeeper | undefined;
    const metrics = new SafekeeperMetrics(registry, () =>
      readTimelines(
        running?.timelines.all() ?? [],
        (timeline) => running?.upkeep.isUploading(timeline) ?? false,
      ),
    );
    const { nodeId, directory, listenPg, listenPgTenantOnly } = options;
    const safekeeper = await Safekeeper.start(
      {
        ...options.upkeep,
        nodeId,
        directory,
        listenPg,
        peers: await peerSettings(options, doors.files),
        ...(listenPgTenantOnly === undefined ? {} : { listenPgTenantOnly }),
        ...(identity === undefined ? {} : { identity }),
      },
      {
        ...doors,
        metrics,
        ...(pgVerifier === undefined ? {} : { verifier: pgVerifier }),
        ...(objects === undefined ? {} : { objects }),
      },
    );
    running = safekeeper;
    starting.use(safekeeper);
    const listener = await serveHttp(options, doors, { safekeeper, registry, identity });
    starting.move();
    return new SafekeeperService(safekeeper, metrics, listener, objects);
  }

  /** With the ports that were taken. */
  get addresses(): {
    readonly pg: TcpAddress;
    readonly http: TcpAddress;
    readonly pgTenantOnly?: TcpAddress;
  } {
    const { address, tenantOnlyAddress } = this.safekeeper;
    return {
      pg: toTcp(address),
      http: toTcp(this.#http.address),
      ...(tenantOnlyAddress === undefined ? {} : { pgTenantOnly: toTcp(tenantOnlyAddress) }),
    };
  }

  /** Ends connections and requests, saves all timelines, and lets go of everything. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    // At the same time: requests under way end because their timelines close.
    const endings = await Promise.allSettled([this.#http.close(), this.safekeeper.close()]);
    this.#objects?.close();
    for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
  }
}

interface Served {
  readonly safekeeper: Safekeeper;
  readonly registry: Metrics;
  readonly identity: ServerIdentity | undefined;
}

async function serveHttp(
  options: SafekeeperOptions,
  doors: SafekeeperServiceDoors,
  { safekeeper, registry, identity }: Served,
): Promise<Listener> {
  const { nodeId, directory, listenHttp, version } = options;
  let address: SocketAddress = listenHttp;
  const administration = new TimelineAdministration({
    ...doors,
    timelines: safekeeper.timelines,
    readWal: (...range) => safekeeper.readWal(...range),
    enter: () => safekeeper.enter(),
    life: safekeeper.signal,
    holdRemoval: (timeline) => safekeeper.upkeep.holdRemoval(timeline),
    extensions: extensionsOf(safekeeper, doors),
    facts: () => ({
      nodeId,
      directory,
      listenPg: formatAddress(safekeeper.address),
      listenHttp: formatAddress(address),
      isSyncOff: options.isSyncOff === true,
    }),
  });
  const app = new HttpApp({
    ...doors,
    title: 'Varve safekeeper',
    version,
    gate: 'safekeeper',
    verifier: await loadVerifier(options.httpTokenKeysPath, doors),
    metrics: registry,
  });
  addSafekeeperRoutes(app, administration);
  const listener = await doors.http.serve({
    ...listenHttp,
    ...(identity === undefined ? {} : { identity }),
    handler: app.handler,
  });
  address = listener.address;
  return listener;
}

function extensionsOf(
  { walBackup, timelines, peers, upkeep, configuration }: Safekeeper,
  { files, http, clock }: SafekeeperServiceDoors,
): AdministrationExtensions {
  const transfer = timelineTransfer({
    nodeId: configuration.nodeId,
    timelines,
    files,
    sourceAt: sourcesOver(http, clock, configuration.peers ?? {}),
    holdRemoval: (timeline) => upkeep.holdRemoval(timeline),
  });
  return {
    transfer,
    peers: peerNews(peers),
    ...(walBackup === undefined ? {} : { backup: walBackup }),
  };
}

function checkOptions(options: SafekeeperOptions, logger: Logger): void {
  const { listenPg, listenPgTenantOnly, listenHttp, pgTokenKeysPath, httpTokenKeysPath } = options;
  if (options.allowsInsecureListen !== true) {
    const hasPgKeys = pgTokenKeysPath !== undefined;
    checkListen(listenPg, hasPgKeys, '--pg-auth-public-key-path');
    if (listenPgTenantOnly !== undefined)
      checkListen(listenPgTenantOnly, hasPgKeys, '--pg-auth-public-key-path');
    checkListen(listenHttp, httpTokenKeysPath !== undefined, '--http-auth-public-key-path');
  }
  if (pgTokenKeysPath === undefined || httpTokenKeysPath === undefined) {
    logger.warn('without token keys everybody who can connect may do everything', {
      pgAsksForTokens: pgTokenKeysPath !== undefined,
      httpAsksForTokens: httpTokenKeysPath !== undefined,
    });
  }
  if (options.isSyncOff === true) {
    logger.warn(
      'NOTHING IS SYNCED: a crash of this machine loses WAL that was acknowledged; benchmarks only',
    );
  }
  if (options.syncDelayMs !== undefined) {
    logger.warn('each sync is delayed: for benchmarks and tests only', { delayMs: options.syncDelayMs });
  }
}

function filesFor({ isSyncOff, syncDelayMs }: SafekeeperOptions, doors: SafekeeperServiceDoors): Files {
  const files = isSyncOff === true ? unsyncedFiles(doors.files) : doors.files;
  return syncDelayMs === undefined ? files : delayedFiles(files, doors.clock, syncDelayMs);
}

async function peerSettings(options: SafekeeperOptions, files: Files): Promise<PeerSettings> {
  const { peerTokenPath, peerAuthoritiesPath, tls, isPeerRecoveryOff } = options;
  const paths = {
    tokenPath: peerTokenPath,
    authoritiesPath: peerAuthoritiesPath,
    hasTls: tls !== undefined,
  };
  return {
    ...(await loadOutgoing(paths, files)),
    ...(isPeerRecoveryOff === true ? { isRecoveryOff: true } : {}),
  };
}

function toTcp(address: SocketAddress): TcpAddress {
  if ('path' in address) throw new TypeError(`${address.path} is no TCP address`);
  return address;
}
