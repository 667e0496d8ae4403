import { VarveError } from '../base/errors.ts';
import type { ControlClient } from '../http/control-client.ts';
import type { Clock } from '../io/clock.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import type { Files } from '../io/files.ts';
import { formatObjectLocation, type ObjectLocation } from '../io/object-location.ts';
import type { Random } from '../io/random.ts';
import type { Sockets } from '../io/sockets.ts';
import type { Logger, LogLevel } from '../observe/log.ts';
import { ControlDatabase, type ControlDatabaseDoors } from './control-database.ts';
import { openKeys, type SystemKeys } from './keys.ts';
import { COMPUTES_PATH_BYTES_MAX, layoutOf, type SystemLayout } from './layout.ts';
import { connectionString, type StartedMain, startMainProject } from './main-project.ts';
import { checkPort, findFreePorts } from './ports.ts';
import { readRunning } from './running-file.ts';
import { type FinishedStep, StartSteps, type StartWatcher } from './start-steps.ts';
import { checkObjectStore, type ServiceRunner, startStorage } from './storage-services.ts';
import { readSystem, type SystemDescription, systemVersion, writeSystem } from './system-file.ts';

const SAFEKEEPER_PORTS = 2;

export interface SystemOptions {
  /** The real path, of a directory that is there. */
  readonly directory: string;
  readonly postgresMajor: number;
  /** Where clients of the first project come. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly isPortGiven: boolean;
  readonly apiPort: number;
  readonly isApiPortGiven: boolean;
  readonly safekeepers: number;
  /** undefined: in the system's directory. */
  readonly objectStore: ObjectLocation | undefined;
  /** Each service a process of its own, in the place of threads of this one. */
  readonly hasProcesses: boolean;
  /** PostgreSQL's programs; undefined: those of the package. */
  readonly binDirectory: string | undefined;
  /** Where the control plane's state is; undefined: in a database of the system's own. */
  readonly database: GivenDatabase | undefined;
  readonly suspendAfterSeconds: number;
  readonly version: string;
  readonly logLevel: LogLevel;
}

export interface GivenDatabase {
  readonly url: string;
  /** Whether it was said to Varve, and not to whatever program there is: a system with a database of its own keeps that then. */
  readonly isMeant: boolean;
}

/** What the control plane is started with. */
export interface ControlSetup {
  readonly system: SystemDescription;
  readonly options: SystemOptions;
  readonly keys: SystemKeys;
  readonly database: ControlDatabase['location'] | { readonly url: string };
  readonly computesDirectory: string;
}

export interface RunningControl {
  readonly client: ControlClient;
  /** Where its API is, as a URL. */
  readonly api: string;
  readonly failed: Promise<Error>;
  /** In order. */
  closeComputes(): Promise<void>;
  close(): Promise<void>;
}

export interface SystemDoors extends ControlDatabaseDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets: Sockets;
  readonly logger: Logger;
  readonly services: ServiceRunner;
  startControl(setup: ControlSetup, signal: AbortSignal): Promise<RunningControl>;
  /** Whether there are projects in a database. */
  hasProjects(url: string): Promise<boolean>;
  describePortOwner(port: number): string | undefined;
  makeOwnDirectory(path: string): Promise<void>;
  makePrivateDirectory(path: string): Promise<void>;
  makeServersDirectory(wanted: string, pathBytesMax: number): Promise<string>;
}

/** A whole Varve: storage, a control plane with its database, and the computes. */
export class System {
  /** How to connect to the first project; undefined where it was deleted, or its compute does not run. */
  readonly url: string | undefined;
  /** Why that does not run. */
  readonly failure: VarveError | undefined;
  readonly api: string;
  readonly steps: readonly FinishedStep[];
  readonly totalMs: number;
  /** Resolves when a part has ended that nobody had told to: the rest is to be closed then. */
  readonly failed: Promise<Error>;
  readonly #parts: AsyncDisposableStack;
  #closing: Promise<void> | undefined;

  private constructor(
    parts: AsyncDisposableStack,
    failed: Promise<Error>,
    steps: StartSteps,
    api: string,
    { endpoint, failure }: StartedMain,
  ) {
    this.#parts = parts;
    this.failed = failed;
    this.steps = steps.finished;
    this.totalMs = steps.totalMs;
    this.api = api;
    this.url = endpoint === undefined || failure !== undefined ? undefined : connectionString(endpoint);
    this.failure = failure;
  }

  /**
   * Starts everything, or nothing.
   * @throws VarveError ‘conflict’ / SYSTEM_RUNNING, PORT_IN_USE; what a part's start fails of
   */
  static async start(
    options: SystemOptions,
    doors: SystemDoors,
    watcher: StartWatcher,
    signal: AbortSignal,
  ): Promise<System> {
    const { files } = doors;
    const steps = new StartSteps(doors.clock, watcher);
    const layout = layoutOf(options.directory);
    await using starting = new AsyncDisposableStack();
    starting.use(await lock(options.directory, doors));
    const known = await readSystem(files, options.directory);
    if (known === undefined || options.isPortGiven) {
      await checkPort(doors.sockets, options.listen, (port) => doors.describePortOwner(port));
    }
    // What cannot work leaves nothing behind.
    await doors.findPrograms(known?.postgresMajor ?? options.postgresMajor);
    const system = await describeSystem(known, options, doors);
    await makeDirectories(layout, doors);
    const keys = await openKeys(files, layout.keys);
    const computesDirectory = await doors.makeServersDirectory(layout.computes, COMPUTES_PATH_BYTES_MAX);
    // What is not in the directory of the system is not left to anybody.
    if (computesDirectory !== layout.computes) starting.defer(() => files.removeDirectory(computesDirectory));
    const failed = Promise.withResolvers<Error>();
    // At the same time: the pageserver asks the control plane for its generations, which is at a port that is known.
    const setup = { options, layout, system, keys, computesDirectory };
    const [{ database, control }, storage] = await allOrNone(signal, [
      (either) => startControl(setup, doors, steps, either),
      (either) =>
        steps.run('storage', () =>
          startStorage({ ...options, layout, system, keys, signal: either }, doors.services),
        ),
    ]);
    // Closed the other way round: who uses it before what is used.
    let isClosing = false;
    starting.defer(async () => database?.close());
    starting.defer(() => control.close());
    // The pageserver has its last deletions confirmed.
    starting.defer(() => storage.close());
    starting.defer(() => control.closeComputes());
    starting.defer(() => {
      isClosing = true;
    });
    void database?.ended.then((how) => {
      const reason = `the control plane's database has ended: ${how}`;
      if (!isClosing) failed.resolve(new VarveError('unavailable', 'DATABASE_ENDED', reason));
    });
    void storage.failed.then(failed.resolve);
    void control.failed.then(failed.resolve);
    const broken = new AbortController();
    void failed.promise.then(() => broken.abort());
    const main = await startMainProject(
      control.client,
      {
        clock: doors.clock,
        postgresMajor: system.postgresMajor,
        port: options.listen.port,
        isPortGiven: options.isPortGiven,
        isNew: known === undefined || !known.isComplete,
      },
      steps,
      AbortSignal.any([signal, broken.signal]),
    ).catch(async (error: unknown) => {
      throw broken.signal.aborted ? await failed.promise : error;
    });
    if (broken.signal.aborted) throw await failed.promise;
    if (!system.isComplete) await writeSystem(files, options.directory, { ...system, isComplete: true });
    storage.tidy();
    return new System(starting.move(), failed.promise, steps, control.api, main);
  }

  /** Ends everything in order: what was acknowledged is on safekeepers, what was changed is on the disk. */
  close(): Promise<void> {
    this.#closing ??= this.#parts.disposeAsync();
    return this.#closing;
  }
}

async function lock(directory: string, { sockets, files }: SystemDoors): Promise<AsyncDisposable> {
  try {
    return await lockDirectory(sockets, files, directory, { service: 'system', nodeId: 1 });
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'DIRECTORY_IN_USE') throw error;
    const running = await readRunning(files, directory);
    const who =
      running === undefined
        ? ''
        : ` (process ${running.pid}${running.ready?.url ? `, ${running.ready.url}` : ''})`;
    const reason = `varve runs on ${directory} already${who}: stop it with ‘varve stop’, or choose another directory with --dir`;
    throw new VarveError('conflict', 'SYSTEM_RUNNING', reason, {}, error);
  }
}

/** What it is, with ports that are free now: a new system is written down before anything of it is made. */
async function describeSystem(
  known: SystemDescription | undefined,
  options: SystemOptions,
  { files, sockets, logger, hasProjects }: SystemDoors,
): Promise<SystemDescription> {
  if (known !== undefined) checkObjectStore(known, options.objectStore);
  const hasGivenDatabase = checkDatabase(known, options.database);
  if (known === undefined && options.database !== undefined) {
    await checkNewDatabase(options.database, hasProjects);
  }
  const ids =
    known?.safekeepers.map(({ id }) => id) ??
    Array.from({ length: options.safekeepers }, (_, index) => index + 1);
  const wanted = [
    options.isApiPortGiven ? options.apiPort : (known?.apiPort ?? options.apiPort),
    known?.pageserver.pgPort ?? 0,
    known?.pageserver.httpPort ?? 0,
    ...(known?.safekeepers ?? ids.map(() => ({ pgPort: 0, httpPort: 0 }))).flatMap((each) => [
      each.pgPort,
      each.httpPort,
    ]),
  ];
  const ports = await findFreePorts(sockets, wanted);
  const [apiPort, pgPort, httpPort, ...rest] = ports as [number, number, number, ...number[]];
  const system: SystemDescription = {
    version: systemVersion(hasGivenDatabase),
    isComplete: known?.isComplete ?? false,
    postgresMajor: known?.postgresMajor ?? options.postgresMajor,
    safekeepers: ids.map((id, index) => ({
      id,
      pgPort: rest[index * SAFEKEEPER_PORTS] as number,
      httpPort: rest[index * SAFEKEEPER_PORTS + 1] as number,
    })),
    pageserver: { pgPort, httpPort },
    apiPort,
    objectStore: options.objectStore === undefined ? null : formatObjectLocation(options.objectStore),
    hasGivenDatabase,
  };
  const isChanged = JSON.stringify(system) !== JSON.stringify(known);
  if (known !== undefined && isChanged) logger.warn('Services get other ports than before', { ports });
  if (isChanged) await writeSystem(files, options.directory, system);
  return system;
}

/**
 * Whether the control plane's state is in a database that is given.
 * @throws VarveError ‘precondition’ / OTHER_DATABASE: what is in one database is not in another
 */
function checkDatabase(known: SystemDescription | undefined, given: GivenDatabase | undefined): boolean {
  if (known === undefined) return given !== undefined;
  const isMissing = known.hasGivenDatabase && given === undefined;
  if (!isMissing && (known.hasGivenDatabase || given?.isMeant !== true)) return known.hasGivenDatabase;
  const reason = isMissing
    ? 'the control plane’s state of this system is in a database of yours: give --database-url'
    : 'the control plane’s state of this system is in a database of its own, and not in the one that is given';
  throw new VarveError('precondition', 'OTHER_DATABASE', reason);
}

/** @throws VarveError ‘conflict’ / DATABASE_IN_USE; ‘unavailable’ / CONTROL_DATABASE_UNAVAILABLE, which says whose word it was */
async function checkNewDatabase(
  { url, isMeant }: GivenDatabase,
  hasProjects: SystemDoors['hasProjects'],
): Promise<void> {
  const name = `the database for the control plane, which ${isMeant ? '--database-url' : 'DATABASE_URL'} names,`;
  const own = isMeant ? '' : ' (without DATABASE_URL in the environment it gets one of its own)';
  let isInUse: boolean;
  try {
    isInUse = await hasProjects(url);
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    throw new VarveError(error.kind, error.code, `${name} cannot be used: ${error.reason}${own}`, {}, error);
  }
  if (!isInUse) return;
  const reason = `${name} has the projects of another system: give each system one of its own${own}`;
  throw new VarveError('conflict', 'DATABASE_IN_USE', reason);
}

async function makeDirectories(
  layout: SystemLayout,
  { makeOwnDirectory, makePrivateDirectory }: SystemDoors,
): Promise<void> {
  await makePrivateDirectory(layout.keys);
  await makePrivateDirectory(layout.logs);
  // The database's account gets through it.
  await makeOwnDirectory(layout.control);
}

interface ControlPlace extends Omit<ControlSetup, 'database'> {
  readonly layout: SystemLayout;
}

/** The control plane, and before it the database that its state is in. */
async function startControl(
  { layout, ...setup }: ControlPlace,
  doors: SystemDoors,
  steps: StartSteps,
  signal: AbortSignal,
): Promise<Closable & { readonly database: ControlDatabase | undefined; readonly control: RunningControl }> {
  const place = {
    directory: layout.control,
    socketDirectory: `${setup.computesDirectory}/control`,
    logPath: `${layout.logs}/database.log`,
    postgresMajor: setup.system.postgresMajor,
  };
  const { url } = (setup.system.hasGivenDatabase ? setup.options.database : undefined) ?? {};
  const database =
    url === undefined
      ? await steps.run('database', () => ControlDatabase.start(place, doors, signal))
      : undefined;
  const location = database?.location ?? { url: url as string };
  try {
    const control = await steps.run('control plane', () =>
      doors.startControl({ ...setup, database: location }, signal),
    );
    const close = async (): Promise<void> => {
      await control.closeComputes();
      await control.close();
      await database?.close();
    };
    return { database, control, close };
  } catch (error) {
    await database?.close();
    throw error;
  }
}

type Start<Part> = (signal: AbortSignal) => Promise<Part>;

/** Both, or what one fails of first: the other one, which may wait for that one, is ended then. */
async function allOrNone<One extends Closable, Other extends Closable>(
  signal: AbortSignal,
  [startOne, startOther]: readonly [Start<One>, Start<Other>],
): Promise<[One, Other]> {
  const failing = new AbortController();
  const either = AbortSignal.any([signal, failing.signal]);
  let failure: unknown;
  const giveUp = (error: unknown): never => {
    failure ??= error;
    failing.abort();
    throw error;
  };
  const [one, other] = await Promise.allSettled([
    startOne(either).catch(giveUp),
    startOther(either).catch(giveUp),
  ]);
  if (one.status === 'fulfilled' && other.status === 'fulfilled') return [one.value, other.value];
  for (const each of [one, other]) if (each.status === 'fulfilled') await each.value.close();
  throw failure;
}

interface Closable {
  close(): Promise<void>;
}
