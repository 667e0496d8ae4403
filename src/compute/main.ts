import { mkdir, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AssertionError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { packagedBinDirectory, prepareBinaries } from '../io/node/postgres-binaries.ts';
import { nodeProcesses } from '../io/node/processes.ts';
import { nodeRandom } from '../io/node/random.ts';
import { nodeServers } from '../io/node/servers.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { StopSignals } from '../io/node/stop-signals.ts';
import { findAccount } from '../io/node/unprivileged-account.ts';
import { createJsonLogger, type JsonLogOptions } from '../observe/log.ts';
import type { Compute } from './compute.ts';
import { runComputeAgent } from './compute-agent.ts';
import type { FillProgress } from './fill-pages.ts';
import { findShim } from './lazy/find-shim.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';

export type { Compute, ComputeOptions };

/** The shim's sources and what was built of them, in the repository and in the package. */
const SHIM_DIRECTORY = fileURLToPath(new URL('../../shim', import.meta.url));

export interface ComputeArguments extends Omit<ComputeOptions, 'binDirectory' | 'shim'> {
  /** Bring all pages before the server starts, also where they could be brought as they are first read. */
  readonly isFilledFirst?: boolean;
  /** Where PostgreSQL's programs are. Without it those of npm. */
  readonly binDirectory?: string;
}

export interface ComputeReports {
  onReady(compute: Compute, listen: ComputeOptions['listen']): Promise<void>;
  onRestart(reason: Error, delayMs: number): void;
  readonly onFill: FillProgress;
}

/**
 * Runs a compute as this process, until SIGTERM or SIGINT, and then until all that was acknowledged is on safekeepers. A
 * second signal ends it at once.
 * @returns the last commit LSN
 * @throws as runComputeAgent
 */
export async function runComputeUntilStopped(
  given: ComputeArguments,
  logLevel: JsonLogOptions['level'],
  reports: ComputeReports,
): Promise<Lsn> {
  using stop = new StopSignals();
  const binDirectory = await prepareBinaries(findAccount(), given.binDirectory ?? packagedBinDirectory());
  await mkdir(given.directory, { recursive: true });
  const directory = await realpath(given.directory);
  const doors = makeDoors(logLevel);
  await using _lock = await lockDirectory(doors.sockets, doors.files, directory, {
    service: 'compute',
    nodeId: 1,
  });
  const listen = await withPort(given.listen, doors);
  const shim = given.isFilledFirst === true ? undefined : await shimOf(stop.first.signal);
  if (shim === undefined) doors.logger.warn('All pages are brought before the server starts');
  const options: ComputeOptions = {
    ...given,
    listen,
    binDirectory,
    ...(shim === undefined ? {} : { shim }),
    directory,
  };
  return await runComputeAgent(
    options,
    doors,
    { stop: stop.first.signal, kill: stop.second.signal },
    {
      onReady: (compute) => reports.onReady(compute, listen),
      onRestart: reports.onRestart,
      onFill: reports.onFill,
    },
  );
}

/** undefined where there is none for this machine, and nothing to build it with. */
function shimOf(signal: AbortSignal): Promise<string | undefined> {
  const home = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const places = {
    sources: SHIM_DIRECTORY,
    cache: join(home, 'varve', 'shim'),
    platform: `${process.platform}-${process.arch}`,
  };
  return findShim(places, { files: nodeFiles, processes: nodeProcesses }, signal);
}

/** A free port in the place of 0, which PostgreSQL does not know. */
async function withPort(
  listen: ComputeOptions['listen'],
  { sockets }: ComputeDoors,
): Promise<ComputeOptions['listen']> {
  if (listen.port !== 0) return listen;
  await using listener = await sockets.listen(listen, (connection) => connection.close());
  if (!('port' in listener.address)) throw new AssertionError('a TCP listener has no port');
  return { ...listen, port: listener.address.port };
}

function makeDoors(level: JsonLogOptions['level']): ComputeDoors {
  const destination = { write: (line: string): void => void process.stderr.write(line) };
  return {
    files: nodeFiles,
    sockets: nodeSockets((error) => {
      // Nobody is listened to here but for a moment.
      throw error;
    }),
    clock: nodeClock,
    random: nodeRandom,
    servers: nodeServers,
    logger: createJsonLogger({ level, clock: nodeClock, destination }),
  };
}
