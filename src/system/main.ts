import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { realpath, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { VarveError } from '../base/errors.ts';
import type { ControlNode } from '../contracts/control-api-status.ts';
import type { EndpointManager } from '../contracts/endpoint-manager.ts';
import { ControlClient } from '../http/control-client.ts';
import { nodeClock } from '../io/node/clock.ts';
import { collectGarbage } from '../io/node/collect-garbage.ts';
import { copyTreeForServer } from '../io/node/copy-tree.ts';
import { nodeFiles } from '../io/node/files.ts';
import { nodeHttp } from '../io/node/http.ts';
import { LogFiles } from '../io/node/log-file.ts';
import { findPortOwner } from '../io/node/port-owner.ts';
import { packagedBinDirectory, prepareServer } from '../io/node/postgres-binaries.ts';
import { isRunning, readProcess, signalProcess } from '../io/node/process-table.ts';
import { nodeProcesses } from '../io/node/processes.ts';
import { nodeRandom } from '../io/node/random.ts';
import {
  isReachableByServers,
  makeOwnDirectory,
  makePrivateDirectory,
  makeServersDirectory,
} from '../io/node/server-places.ts';
import { nodeServers } from '../io/node/servers.ts';
import { startServiceProcess } from '../io/node/service-process.ts';
import { startServiceThread } from '../io/node/service-thread.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { StopSignals } from '../io/node/stop-signals.ts';
import { findAccount } from '../io/node/unprivileged-account.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import type { ServiceContext } from '../io/services.ts';
import type { Logger } from '../observe/log.ts';
import { API_TOKEN } from './api-token.ts';
import { layoutOf } from './layout.ts';
import { type LogLine, LogTail, listLogs } from './log-tail.ts';
import { logToFile } from './log-to-file.ts';
import { type RunningSystem, readRunning, removeRunning, writeRunning } from './running-file.ts';
import type { FinishedStep } from './start-steps.ts';
import { PAGESERVER_ID } from './storage-services.ts';
import type { ControlSetup, RunningControl, System, SystemDoors, SystemOptions } from './system.ts';

export type { FinishedStep, LogLine, RunningSystem, System, SystemOptions };
export { LogTail, listLogs };

const VARVE = fileURLToPath(new URL('../../bin/varve', import.meta.url));
/** The shim's sources and what was built of them, in the repository and in the package. */
const SHIM_DIRECTORY = fileURLToPath(new URL('../../shim', import.meta.url));
/** Of each log, twice at most. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
const TICK_MS = 100;
const DETACHED_POLL_MS = 20;
const STOP_POLL_MS = 10;
const STOP_TIMEOUT_MS = 60_000;
const EXIT_INTERRUPTED = 130;
const EXIT_MS = 20;
/** Whoever starts it wants to connect first. */
const TIDY_MS = 2000;
const LOOPBACK = '127.0.0.1';
const SAFEKEEPERS_PER_TIMELINE = 3;
/** Of a compute's start. */
const STORAGE_WAIT_MS = 60_000;
/** The first timeline of a new system waits for a new cluster. */
const API_TIMEOUT_MS = 120_000;
const ERROR_CHARACTERS_MAX = 4000;

/** Whoever shows a person what goes on. */
export interface SystemReports {
  onBegin(step: string): void;
  onEnd(finished: FinishedStep): void;
  /** Now and then, while something is waited for. */
  onTick(): void;
  onReady(system: System): Promise<void>;
  onStopping(): void;
}

/**
 * Runs a whole system as this process, until SIGTERM or SIGINT, and then until all has ended in order. A second signal ends
 * the process at once, and all that it has started with it.
 * @throws as System.start; what a part that has ended by itself has ended of
 */
export async function runSystem(given: SystemOptions, reports: SystemReports): Promise<void> {
  using stop = new StopSignals();
  stop.second.signal.addEventListener('abort', () => process.exit(EXIT_INTERRUPTED));
  await makeOwnDirectory(given.directory);
  const options = { ...given, directory: await realpath(given.directory) };
  const { directory } = options;
  using logs = new LogFiles(layoutOf(directory).logs, LOG_BYTES_MAX);
  const context = {
    clock: nodeClock,
    writeLog: (name: string, line: string): void => logs.write(name, line),
  };
  const logger = logToFile(context, 'system', given.logLevel);
  const { System } = await import('./system.ts');
  const doors = await makeDoors(options, context, logger, stop.first.signal);
  const ticks = setInterval(() => reports.onTick(), TICK_MS);
  let system: System;
  try {
    system = await System.start(options, doors, reports, stop.first.signal);
  } finally {
    clearInterval(ticks);
  }
  const self = { pid: process.pid, startTime: readProcess(process.pid)?.startTime ?? '' };
  try {
    const ready = readyOf(system);
    await writeRunning(nodeFiles, directory, { ...self, ready });
    await reports.onReady(system);
    setTimeout(collectGarbage, TIDY_MS).unref();
    const failure = await Promise.race([stop.firstGiven, system.failed]);
    reports.onStopping();
    if (failure !== undefined) throw failure;
  } finally {
    await system.close();
    await removeRunning(nodeFiles, directory);
    // Connections of clients that may be used again would hold it for seconds. What is to be said has been said by then.
    setTimeout(() => process.exit(), EXIT_MS);
  }
}

/** What is said of a system that can be used. */
export function readyOf({ url, api, steps, totalMs, failure }: System): NonNullable<RunningSystem['ready']> {
  return {
    url: url ?? null,
    api,
    steps: [...steps],
    totalMs,
    ...(failure === undefined ? {} : { failure: { code: failure.code, message: failure.message } }),
  };
}

async function makeDoors(
  options: SystemOptions,
  context: ServiceContext,
  logger: Logger,
  signal: AbortSignal,
): Promise<SystemDoors> {
  const { InitdbClusters } = await import('../pageserver/initial/initdb-clusters.ts');
  // What fails of it fails again, where it is waited for.
  void Promise.allSettled(programs());
  const layout = layoutOf(options.directory);
  const findPrograms = programsFinder(options.binDirectory);
  const shim = findShimOfMachine(signal);
  shim.catch(() => undefined);
  const logs = { directory: layout.logs, bytesMax: LOG_BYTES_MAX };
  return {
    files: nodeFiles,
    clock: nodeClock,
    random: nodeRandom,
    sockets: nodeSockets((error) => logger.warn('a connection could not be accepted', { error })),
    servers: nodeServers,
    logger,
    findPrograms,
    copyTreeForServer,
    isReachableByServers,
    makeOwnDirectory,
    makePrivateDirectory,
    makeServersDirectory,
    clusters: new InitdbClusters({ processes: nodeProcesses, files: nodeFiles, findPrograms }),
    describePortOwner,
    services: {
      inThread: (name, module, setup, starting) =>
        startServiceThread({ name, module, options: setup, logs, signal: starting }),
      inProcess: (name, parameters, starting) => {
        const logPath = `${layout.logs}/${name}.log`;
        return startServiceProcess({ name, program: VARVE, parameters, logPath, signal: starting });
      },
    },
    startControl: (setup) => startControlPlane(setup, { logs: context, findPrograms, shim }),
    hasProjects: async (url) => (await import('../control/main.ts')).hasProjects({ url }, logger),
  };
}

/** Loaded while storage starts: this thread has nothing else to do then. */
const programs = (): [
  Promise<typeof import('../control/main.ts')>,
  Promise<typeof import('../endpoints/endpoint-manager.ts')>,
] => [import('../control/main.ts'), import('../endpoints/endpoint-manager.ts')];

interface ControlNeeds {
  readonly logs: ServiceContext;
  findPrograms(major: number): Promise<string>;
  readonly shim: Promise<string | undefined>;
}

async function startControlPlane(
  { system, options, keys, database, computesDirectory }: ControlSetup,
  { logs, findPrograms, shim: findingShim }: ControlNeeds,
): Promise<RunningControl> {
  const [{ startControl }, { LocalEndpointManager }, shim] = await Promise.all([...programs(), findingShim]);
  const computeLogger = logToFile(logs, 'computes', options.logLevel);
  if (shim === undefined) computeLogger.warn('All pages are brought before a server starts');
  const doors = {
    files: nodeFiles,
    clock: nodeClock,
    random: nodeRandom,
    servers: nodeServers,
    sockets: nodeSockets((error) => computeLogger.warn('a connection could not be accepted', { error })),
    logger: computeLogger,
    describePortOwner,
  };
  const places = {
    directory: computesDirectory,
    programs: { findPrograms, shim },
    storageWaitMs: STORAGE_WAIT_MS,
  };
  let manager: EndpointManager | undefined;
  const service = await startControl(
    {
      version: options.version,
      database,
      listen: { host: LOOPBACK, port: system.apiPort },
      tokenKeysPath: keys.publicKeyPath,
      nodes: [
        toNode('pageserver', { id: PAGESERVER_ID, ...system.pageserver }),
        ...system.safekeepers.map((each) => toNode('safekeeper', each)),
      ],
      storage: {
        pageserverToken: () => keys.issue({ scope: 'pageserverapi' }),
        safekeeperToken: () => keys.issue({ scope: 'safekeeperdata' }),
      },
      issueToken: (claims) => keys.issue(claims),
      settings: {
        safekeepersPerTimeline: Math.min(system.safekeepers.length, SAFEKEEPERS_PER_TIMELINE),
        suspendAfterSeconds: options.suspendAfterSeconds,
        endpointHost: options.listen.host,
      },
    },
    logToFile(logs, 'control', options.logLevel),
    (events) => {
      manager = new LocalEndpointManager(places, doors, events);
      return manager;
    },
  );
  const api = `http://${LOOPBACK}:${service.address.port}`;
  return {
    api,
    client: makeClient(api, async () => keys.apiToken),
    failed: service.lost,
    closeComputes: async () => {
      // A start that waits for storage must not make the end wait for that.
      await service.leaveOperations();
      await manager?.close();
    },
    close: () => service.close(),
  };
}

const toNode = (
  kind: ControlNode['kind'],
  { id, pgPort, httpPort }: { readonly id: number; readonly pgPort: number; readonly httpPort: number },
): ControlNode => ({
  kind,
  id,
  pgHost: LOOPBACK,
  pgPort,
  httpUrl: `http://${LOOPBACK}:${httpPort}`,
  isSchedulable: true,
});

const makeClient = (baseUrl: string, token: () => Promise<string>): ControlClient =>
  new ControlClient({
    clock: nodeClock,
    http: nodeHttp((error) => {
      // Nobody is served here.
      throw error;
    }),
    baseUrl,
    token,
    timeoutMs: API_TIMEOUT_MS,
  });

/** undefined where there is none for this machine, and nothing to build it with. */
export async function findShimOfMachine(signal: AbortSignal): Promise<string | undefined> {
  const { findShim } = await import('../compute/lazy/find-shim.ts');
  const home = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const places = {
    sources: SHIM_DIRECTORY,
    cache: join(home, 'varve', 'shim'),
    platform: `${process.platform}-${process.arch}`,
  };
  return await findShim(places, { files: nodeFiles, processes: nodeProcesses }, signal);
}

/** PostgreSQL's programs, looked for once. */
function programsFinder(given: string | undefined): (major: number) => Promise<string> {
  let found: ReturnType<typeof prepareServer> | undefined;
  return async (wanted) => {
    found ??= prepareServer(findAccount(), given);
    const { binDirectory, major } = await found;
    if (major === wanted) return binDirectory;
    const reason = `the programs in ${given ?? packagedBinDirectory()} are of PostgreSQL ${major}, not ${wanted}`;
    throw new VarveError('precondition', 'WRONG_POSTGRES_MAJOR', reason);
  };
}

function describePortOwner(port: number): string | undefined {
  const owner = findPortOwner(port);
  return owner === undefined ? undefined : `${owner.command} (process ${owner.pid})`;
}

/** What runs on a directory now; undefined: nothing does. */
export async function findRunning(directory: string): Promise<RunningSystem | undefined> {
  const running = await readRunning(nodeFiles, directory);
  return running !== undefined && isRunning(running) ? running : undefined;
}

/**
 * The API of what runs on a directory.
 * @throws VarveError ‘precondition’ / NOT_RUNNING, which says what to do
 */
export async function openControlClient(
  directory: string,
): Promise<{ running: RunningSystem; client: ControlClient }> {
  const running = await findRunning(directory);
  if (running === undefined || running.ready === null) throw notRunning(directory);
  const path = `${layoutOf(directory).keys}/${API_TOKEN}`;
  const client = makeClient(running.ready.api, async () =>
    new TextDecoder().decode(await readWholeFile(nodeFiles, path)).trim(),
  );
  return { running, client };
}

const notRunning = (directory: string): VarveError =>
  new VarveError(
    'precondition',
    'NOT_RUNNING',
    `varve does not run on ${directory}: start it with ‘varve start’`,
  );

/**
 * Hands over what comes to logs from now on, until SIGINT or SIGTERM.
 */
export async function followLogs(tail: LogTail, onLine: (line: LogLine) => Promise<void>): Promise<void> {
  using stop = new StopSignals();
  stop.second.signal.addEventListener('abort', () => process.exit(EXIT_INTERRUPTED));
  await tail.follow(nodeClock, stop.first.signal, onLine);
}

/**
 * Starts a system that goes on when this process ends.
 * @param parameters of `varve`, after which it starts as this process would
 * @param environment what it is to have beside that of this process: secrets, which are no parameters
 * @throws VarveError ‘unavailable’ / START_FAILED with what it has printed
 */
export async function startDetached(
  directory: string,
  parameters: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<NonNullable<RunningSystem['ready']>> {
  await makeOwnDirectory(directory);
  const { logs } = layoutOf(directory);
  await makePrivateDirectory(logs);
  const path = `${logs}/start.log`;
  await rm(path, { force: true });
  const log = openSync(path, 'a', 0o600);
  const child = spawn(process.execPath, [VARVE, ...parameters], {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...environment },
  });
  closeSync(log);
  let end: string | undefined;
  child.once('error', (error) => {
    end = error.message;
  });
  child.once('exit', (code, signalName) => {
    end = signalName ?? `exit status ${code}`;
  });
  for (;;) {
    const running = await findRunning(directory);
    if (running !== undefined && running.pid === child.pid && running.ready !== null) {
      child.unref();
      return running.ready;
    }
    if (end !== undefined) {
      const output = new TextDecoder().decode(await readWholeFile(nodeFiles, path));
      const reason = `it did not start (${end}): ${output.slice(-ERROR_CHARACTERS_MAX).trim()}`;
      throw new VarveError('unavailable', 'START_FAILED', reason);
    }
    await delay(DETACHED_POLL_MS);
  }
}

/**
 * Ends what runs on a directory, in order, or at once.
 * @returns whether anything ran
 * @throws VarveError ‘unavailable’ / STOP_TIMEOUT
 */
export async function stopSystem(directory: string, isAtOnce: boolean): Promise<boolean> {
  const running = await findRunning(directory);
  if (running === undefined) return false;
  signalProcess(running.pid, 'SIGTERM');
  if (isAtOnce) signalProcess(running.pid, 'SIGINT');
  const untilMs = nodeClock.monotonicMs() + STOP_TIMEOUT_MS;
  while (isRunning(running)) {
    if (nodeClock.monotonicMs() > untilMs) {
      const reason = `process ${running.pid} has not ended within ${STOP_TIMEOUT_MS} ms: ‘varve stop --now’ does not wait for it`;
      throw new VarveError('unavailable', 'STOP_TIMEOUT', reason);
    }
    await delay(STOP_POLL_MS);
  }
  return true;
}
