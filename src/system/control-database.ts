import { VarveError } from '../base/errors.ts';
import { readText, untilReady } from '../compute/postgres-process.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import { pause } from '../io/retry-delay.ts';
import type { ProgramIdentity, ServerProgram, Servers } from '../io/servers.ts';
import type { InitialClusters } from '../pageserver/initial/initial-clusters.ts';

/** Of the socket's name only: nobody listens at a port. */
const PORT = 5432;
const SUPERUSER = 'postgres';
const READY_TIMEOUT_MS = 60_000;
/** Processes of a server that was killed see that within moments. */
const LEFT_OVER_TIMEOUT_MS = 10_000;
const LEFT_OVER_PAUSE_MS = 50;
const LOG_BYTES_MAX = 4 * 1024 * 1024;
/** Holds the identity of the server that runs, for a later start. */
const SERVER_FILE = 'server.json';
/** A process finds its own working directory by this name, also where it may not pass through all that is above it. */
const OWN_WORKING_DIRECTORY = '/proc/self/cwd';

/** Little memory, and nothing to do while nobody asks for anything; what is committed is on the disk. */
const SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  listen_addresses: '',
  port: String(PORT),
  shared_buffers: '8MB',
  wal_buffers: '256kB',
  max_connections: '24',
  superuser_reserved_connections: '0',
  max_worker_processes: '0',
  max_parallel_workers: '0',
  max_parallel_workers_per_gather: '0',
  max_logical_replication_workers: '0',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_replication_slots: '0',
  min_wal_size: '32MB',
  max_wal_size: '64MB',
  checkpoint_timeout: '1h',
  bgwriter_delay: '10s',
  wal_writer_delay: '10s',
  autovacuum_max_workers: '1',
  autovacuum_naptime: '1h',
  huge_pages: 'off',
  jit: 'off',
  log_checkpoints: 'off',
  log_min_messages: 'warning',
};

const HOST_BASED_AUTHENTICATION = `local all ${SUPERUSER} trust\n`;

export interface ControlDatabaseOptions {
  /** Everything that it keeps is below it. It is there already. */
  readonly directory: string;
  /** For its socket: servers can get there. */
  readonly socketDirectory: string;
  readonly logPath: string;
  readonly postgresMajor: number;
}

export interface ControlDatabaseDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly servers: Servers;
  readonly clusters: InitialClusters;
  /** PostgreSQL's, of a major. */
  findPrograms(major: number): Promise<string>;
  copyTreeForServer(from: string, to: string): Promise<void>;
  isReachableByServers(directory: string): Promise<boolean>;
}

/**
 * A PostgreSQL of the control plane's own, which listens at a socket only. It ends with this process, however that comes,
 * and a start after that recovers it: nothing that was committed is lost.
 */
export class ControlDatabase {
  /** As libpq has it: the directory of the socket. */
  readonly location: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly database: string;
  };
  /** Resolves when the server has ended, with how. */
  readonly ended: Promise<string>;
  readonly #program: ServerProgram;

  private constructor(program: ServerProgram, socketDirectory: string) {
    this.#program = program;
    this.ended = program.ended;
    this.location = { host: socketDirectory, port: PORT, user: SUPERUSER, database: 'postgres' };
  }

  /**
   * Starts it, and makes it before where it is not there.
   * @throws VarveError ‘unavailable’ / POSTGRES_ENDED, POSTGRES_NOT_READY with what it has printed; what the disk fails of
   */
  static async start(
    options: ControlDatabaseOptions,
    doors: ControlDatabaseDoors,
    signal: AbortSignal,
  ): Promise<ControlDatabase> {
    await endLeftOver(options, doors);
    await makeCluster(options, doors, signal);
    await doors.servers.makeDirectory(options.socketDirectory);
    const untilMs = doors.clock.monotonicMs() + LEFT_OVER_TIMEOUT_MS;
    for (;;) {
      try {
        return new ControlDatabase(await startServer(options, doors, signal), options.socketDirectory);
      } catch (error) {
        const isBlocked = error instanceof Error && /pre-existing shared memory block/.test(error.message);
        if (!isBlocked || doors.clock.monotonicMs() >= untilMs) throw error;
      }
      await pause(doors.clock, LEFT_OVER_PAUSE_MS, signal);
    }
  }

  /** Ends it in order. */
  async close(): Promise<void> {
    this.#program.signal('SIGINT');
    await this.ended;
  }
}

const dataPath = ({ directory }: ControlDatabaseOptions): string => `${directory}/data`;

/** Whoever was killed has left its lock file, which names a process that may be another one by now. The directory is ours. */
async function endLeftOver(
  options: ControlDatabaseOptions,
  { files, servers }: ControlDatabaseDoors,
): Promise<void> {
  const text = await readText(files, `${options.directory}/${SERVER_FILE}`);
  const identity = parseIdentity(text);
  if (identity !== undefined) await servers.killLeftOver(identity);
  await removeIfThere(files, `${dataPath(options)}/postmaster.pid`);
  await files.removeDirectory(options.socketDirectory);
}

/** A cluster appears as a whole, and durable. */
async function makeCluster(
  options: ControlDatabaseOptions,
  { files, clusters, copyTreeForServer }: ControlDatabaseDoors,
  signal: AbortSignal,
): Promise<void> {
  if (await isThere(files, dataPath(options))) return;
  const temporary = `${dataPath(options)}.new`;
  await files.removeDirectory(temporary);
  await clusters.withCluster(options.postgresMajor, signal, async ({ directory }) => {
    await copyTreeForServer(directory, temporary);
  });
  await files.rename(temporary, dataPath(options));
  await files.syncDirectory(options.directory);
}

async function startServer(
  options: ControlDatabaseOptions,
  doors: ControlDatabaseDoors,
  signal: AbortSignal,
): Promise<ServerProgram> {
  const { files, servers, findPrograms, isReachableByServers } = doors;
  const data = dataPath(options);
  await writeText(files, `${data}/pg_hba.conf`, HOST_BASED_AUTHENTICATION);
  await writeText(files, `${data}/postgresql.conf`, '');
  const settings = { ...SETTINGS, unix_socket_directories: options.socketDirectory };
  // Where servers cannot get to it on their own, it is handed to them as the directory that they begin in.
  const seen = (await isReachableByServers(options.directory)) ? data : OWN_WORKING_DIRECTORY;
  const program = await servers.start(
    `${await findPrograms(options.postgresMajor)}/postgres`,
    ['-D', seen, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    {
      directory: data,
      outputPath: options.logPath,
      outputBytesMax: LOG_BYTES_MAX,
      environment: { LC_ALL: 'C', TZ: 'UTC' },
    },
  );
  try {
    await writeText(files, `${options.directory}/${SERVER_FILE}`, JSON.stringify(program.identity));
    await untilReady(
      { program, dataDirectory: data, outputPath: options.logPath },
      doors,
      READY_TIMEOUT_MS,
      signal,
    );
    return program;
  } catch (error) {
    await program.kill();
    throw error;
  }
}

/** Of no worth to a later start, or written anew at each. */
async function writeText(files: Files, path: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  await using file = await files.openForUpdate(path);
  await file.resize(0);
  await file.write(bytes, 0, bytes.length, 0);
}

function parseIdentity(text: string): ProgramIdentity | undefined {
  try {
    const { pid, startTime } = JSON.parse(text) as Partial<ProgramIdentity>;
    if (Number.isSafeInteger(pid) && typeof startTime === 'string') return { pid: pid as number, startTime };
  } catch (error) {
    // Half of it was written when the machine went down, or there is none.
    if (!(error instanceof SyntaxError)) throw error;
  }
  return undefined;
}

async function isThere(files: Files, path: string): Promise<boolean> {
  try {
    await files.stat(path);
    return true;
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return false;
    throw error;
  }
}

async function removeIfThere(files: Files, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'FILE_NOT_FOUND') throw error;
  }
}
