import { VarveError } from '../base/errors.ts';
import { formatObjectLocation, type ObjectLocation } from '../io/object-location.ts';
import type { RunningService } from '../io/services.ts';
import { resolveModule } from '../io/workers.ts';
import type { LogLevel } from '../observe/log.ts';
import type { PageserverOptions } from '../pageserver/main.ts';
import type { SafekeeperOptions } from '../safekeeper/main.ts';
import type { SystemKeys } from './keys.ts';
import type { SystemLayout } from './layout.ts';
import type { PageserverSetup, SafekeepersSetup, ServiceAddresses } from './service-options.ts';
import type { SystemDescription } from './system-file.ts';

/** Options of services that are told everything, and take nothing from the environment or a file. */
const RUN_BY_US = ['--no-config', '--json'];
const LOOPBACK = '127.0.0.1';
export const PAGESERVER_ID = 1;
/** Of a machine that is not a server's alone. */
const PAGE_CACHE_BYTES = 32 * 1024 * 1024;
const BLOCK_CACHE_BYTES = 64 * 1024 * 1024;

const SAFEKEEPERS_THREAD = resolveModule('./safekeepers-thread.ts', import.meta.url).href;
const PAGESERVER_THREAD = resolveModule('./pageserver-thread.ts', import.meta.url).href;

/** How services are run beside this thread: the door, for the two ways that there are. */
export interface ServiceRunner {
  /** @param module URL of a module that exports `startService` */
  inThread<Answer>(
    name: string,
    module: string,
    options: unknown,
    signal: AbortSignal,
  ): Promise<RunningService<Answer>>;
  /** @param parameters of `varve` */
  inProcess<Answer>(
    name: string,
    parameters: readonly string[],
    signal: AbortSignal,
  ): Promise<RunningService<Answer>>;
}

export interface StorageOptions {
  readonly layout: SystemLayout;
  readonly system: SystemDescription;
  readonly keys: SystemKeys;
  /** undefined: in the system's directory. */
  readonly objectStore: ObjectLocation | undefined;
  /** Each service a process of its own, in the place of threads of this one. */
  readonly hasProcesses: boolean;
  /** PostgreSQL's programs; undefined: those of the package. */
  readonly binDirectory: string | undefined;
  readonly version: string;
  readonly logLevel: LogLevel;
  /** Ends the start. */
  readonly signal: AbortSignal;
}

export interface StorageServices {
  readonly safekeepers: readonly ServiceAddresses[];
  readonly pageserver: ServiceAddresses;
  /** Resolves when one of them has ended that nobody had told to: with why. */
  readonly failed: Promise<Error>;
  tidy(): void;
  /** The pageserver first, which follows safekeepers. */
  close(): Promise<void>;
}

/**
 * Starts the safekeepers and the pageserver of a system, at the same time.
 * @throws what the start of one fails of: the others are ended then
 */
export async function startStorage(options: StorageOptions, runner: ServiceRunner): Promise<StorageServices> {
  const failing = new AbortController();
  const either = { ...options, signal: AbortSignal.any([options.signal, failing.signal]) };
  let failure: { readonly error: unknown } | undefined;
  // Those that still start may wait for the one that has ended.
  const giveUp = (error: unknown): void => {
    failure ??= { error };
    failing.abort();
  };
  const starting = options.hasProcesses ? startProcesses(either, runner) : startThreads(either, runner);
  for (const each of starting) {
    each.then(({ service }) => service.ended.then((error) => error !== undefined && giveUp(error)), giveUp);
  }
  const outcomes = await Promise.allSettled(starting);
  const running = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  if (failure !== undefined) {
    await Promise.all(running.map(({ service }) => service.kill()));
    throw failure.error;
  }
  const safekeepers = running.flatMap(({ safekeepers }) => safekeepers);
  const pageserver = running.flatMap(({ pageservers }) => pageservers)[0] as ServiceAddresses;
  const services = running.map(({ service }) => service);
  return {
    safekeepers,
    pageserver,
    failed: new Promise((resolve) => {
      for (const { ended } of services) {
        void ended.then((error) => {
          if (error !== undefined) resolve(error);
        });
      }
    }),
    tidy() {
      for (const service of services) service.tidy();
    },
    async close() {
      await running.find(({ pageservers }) => pageservers.length > 0)?.service.close();
      await Promise.all(services.map((service) => service.close()));
    },
  };
}

interface Started {
  readonly service: RunningService<unknown>;
  readonly safekeepers: readonly ServiceAddresses[];
  readonly pageservers: readonly ServiceAddresses[];
}

function startThreads(options: StorageOptions, runner: ServiceRunner): Promise<Started>[] {
  const { logLevel, signal } = options;
  const safekeepers: SafekeepersSetup = { safekeepers: safekeeperOptions(options), logLevel };
  const pageserver: PageserverSetup = { pageserver: pageserverOptions(options), logLevel };
  return [
    asSafekeepers(
      runner.inThread<ServiceAddresses[]>('safekeepers', SAFEKEEPERS_THREAD, safekeepers, signal),
    ),
    asPageserver(runner.inThread<ServiceAddresses>('pageserver', PAGESERVER_THREAD, pageserver, signal)),
  ];
}

function startProcesses(options: StorageOptions, runner: ServiceRunner): Promise<Started>[] {
  const run = (name: string, parameters: readonly string[]): Promise<RunningService<ServiceAddresses>> =>
    runner.inProcess(name, [...parameters, ...RUN_BY_US, '--log-level', options.logLevel], options.signal);
  const pageserver = pageserverOptions(options);
  return [
    ...safekeeperOptions(options).map((each) =>
      asSafekeepers(
        run(`safekeeper-${each.nodeId}`, [
          'safekeeper',
          ...commonFlags(each),
          ...flag('--auth-token-path', each.peerTokenPath),
        ]).then((service) => ({ ...service, answer: [service.answer] })),
      ),
    ),
    asPageserver(
      run('pageserver', [
        ...['pageserver', ...commonFlags(pageserver), ...flag('--auth-token-path', pageserver.tokenPath)],
        ...flag('--control-plane-url', pageserver.controlPlaneUrl),
        ...flag('--pg-bin', pageserver.postgresBinDirectory),
        ...flag('--control-plane-token-path', pageserver.controlPlaneTokenPath),
        ...['--page-cache-size', `${PAGE_CACHE_BYTES / 1024}kB`],
        ...['--block-cache-size', `${BLOCK_CACHE_BYTES / 1024}kB`],
        ...[
          '--safekeepers',
          pageserver.safekeepers.map(({ id, host, pgPort }) => `${id}=${host}:${pgPort}`).join(','),
        ],
      ]),
    ),
  ];
}

const asSafekeepers = async (starting: Promise<RunningService<ServiceAddresses[]>>): Promise<Started> => {
  const service = await starting;
  return { service, safekeepers: service.answer, pageservers: [] };
};

const asPageserver = async (starting: Promise<RunningService<ServiceAddresses>>): Promise<Started> => {
  const service = await starting;
  return { service, safekeepers: [], pageservers: [service.answer] };
};

const flag = (name: string, value: string | undefined): string[] =>
  value === undefined ? [] : [name, value];

function commonFlags(options: SafekeeperOptions | PageserverOptions): string[] {
  const { nodeId, directory, listenPg, listenHttp, objectStore } = options;
  return [
    ...['--id', String(nodeId), '--dir', directory],
    ...[
      '--listen-pg',
      `${listenPg.host}:${listenPg.port}`,
      '--listen-http',
      `${listenHttp.host}:${listenHttp.port}`,
    ],
    ...flag('--pg-auth-public-key-path', options.pgTokenKeysPath),
    ...flag('--http-auth-public-key-path', options.httpTokenKeysPath),
    ...flag('--s3', objectStore === undefined ? undefined : formatObjectLocation(objectStore)),
  ];
}

function safekeeperOptions({
  layout,
  system,
  keys,
  version,
  ...options
}: StorageOptions): SafekeeperOptions[] {
  return system.safekeepers.map(({ id, pgPort, httpPort }) => ({
    nodeId: id,
    directory: layout.safekeeper(id),
    version,
    listenPg: { host: LOOPBACK, port: pgPort },
    listenHttp: { host: LOOPBACK, port: httpPort },
    pgTokenKeysPath: keys.publicKeyPath,
    httpTokenKeysPath: keys.publicKeyPath,
    peerTokenPath: keys.storageTokenPath,
    objectStore: partOf(options.objectStore ?? { kind: 'directory', path: layout.bucket }, 'wal'),
  }));
}

function pageserverOptions({ layout, system, keys, version, ...options }: StorageOptions): PageserverOptions {
  const { pgPort, httpPort } = system.pageserver;
  return {
    nodeId: PAGESERVER_ID,
    directory: layout.pageserver,
    version,
    listenPg: { host: LOOPBACK, port: pgPort },
    listenHttp: { host: LOOPBACK, port: httpPort },
    pgTokenKeysPath: keys.publicKeyPath,
    httpTokenKeysPath: keys.publicKeyPath,
    tokenPath: keys.storageTokenPath,
    controlPlaneUrl: `http://${LOOPBACK}:${system.apiPort}`,
    controlPlaneTokenPath: keys.upcallTokenPath,
    objectStore: partOf(options.objectStore ?? { kind: 'directory', path: layout.bucket }, 'pages'),
    safekeepers: system.safekeepers.map((each) => ({ id: each.id, host: LOOPBACK, pgPort: each.pgPort })),
    filesEngine: 'portable',
    ...(options.binDirectory === undefined ? {} : { postgresBinDirectory: options.binDirectory }),
    pageCacheBytes: PAGE_CACHE_BYTES,
    blockCacheBytes: BLOCK_CACHE_BYTES,
  };
}

/** A part of an object store for objects of one kind. */
function partOf(location: ObjectLocation, name: string): ObjectLocation {
  if (location.kind === 'directory') return { ...location, path: `${location.path}/${name}` };
  return { ...location, prefix: location.prefix === '' ? name : `${location.prefix}/${name}` };
}

/** @throws VarveError ‘precondition’ / OTHER_OBJECT_STORE: what is in one store is not in another */
export function checkObjectStore(
  { objectStore }: SystemDescription,
  given: ObjectLocation | undefined,
): void {
  const text = given === undefined ? null : formatObjectLocation(given);
  if (text === objectStore) return;
  const reason = `this system keeps its objects in ${objectStore ?? 'its own directory'}, not in ${text ?? 'that'}`;
  throw new VarveError('precondition', 'OTHER_OBJECT_STORE', reason);
}
