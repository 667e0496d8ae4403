import { realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { AssertionError, BadRequestError, VarveError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { packagedBinDirectory, prepareServer } from '../io/node/postgres-binaries.ts';
import { nodeProcesses } from '../io/node/processes.ts';
import { nodeRandom } from '../io/node/random.ts';
import { nodeServers } from '../io/node/servers.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { StopSignals } from '../io/node/stop-signals.ts';
import { findAccount } from '../io/node/unprivileged-account.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import { createJsonLogger, type JsonLogOptions } from '../observe/log.ts';
import type { Compute } from './compute.ts';
import { runComputeAgent } from './compute-agent.ts';
import { type ComputeSpec, parseComputeSpec, type TlsSpec } from './compute-spec.ts';
import type { FillProgress } from './fill-pages.ts';
import { findShim } from './lazy/find-shim.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { isPem, readTlsIdentity } from './tls-identity.ts';

export type { Compute, ComputeOptions };

/** The shim's sources and what was built of them, in the repository and in the package. */
const SHIM_DIRECTORY = fileURLToPath(new URL('../../shim', import.meta.url));

export interface ComputeArguments extends Omit<ComputeOptions, 'binDirectory' | 'shim'> {
  /** Bring all pages before the server starts, also where they could be brought as they are first read. */
  readonly isFilledFirst?: boolean;
  /** Where PostgreSQL's programs are. Without it those of npm. */
  readonly binDirectory?: string;
  /** File of a spec (compute-spec.ts). What is given otherwise goes before it. */
  readonly specPath?: string;
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
  const spec = given.specPath === undefined ? undefined : await readSpec(given.specPath);
  const binDirectory = await findPrograms(given);
  await nodeFiles.makeDirectory(given.directory);
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
    ...spec,
    ...given,
    settings: { ...spec?.settings, ...given.settings },
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

/** @throws VarveError WRONG_POSTGRES_MAJOR before anything has been done for a server that could not start */
async function findPrograms(given: ComputeArguments): Promise<string> {
  const wanted = given.binDirectory ?? packagedBinDirectory();
  const { binDirectory, major } = await prepareServer(findAccount(), wanted);
  if (major === given.postgresMajor) return binDirectory;
  const reason = `the programs in ${wanted} are of PostgreSQL ${major}, not ${given.postgresMajor}`;
  throw new VarveError('precondition', 'WRONG_POSTGRES_MAJOR', reason);
}

async function readSpec(path: string): Promise<ComputeSpec> {
  const text = new TextDecoder().decode(await readWholeFile(nodeFiles, path));
  const spec = parseComputeSpec(text);
  if (spec.tls === undefined) return spec;
  const near = (given: string): string => (isPem(given) ? given : resolve(dirname(path), given));
  const tls = { certificate: near(spec.tls.certificate), key: near(spec.tls.key) };
  await checkTls(tls);
  return { ...spec, tls };
}

/** A key that is not the certificate's, or that needs a password, is found before anything has been done. */
async function checkTls(tls: TlsSpec): Promise<void> {
  const { certificate, privateKey } = await readTlsIdentity(tls, nodeFiles);
  try {
    createSecureContext({ cert: certificate, key: privateKey });
  } catch (error) {
    throw new BadRequestError('BAD_SPEC', `tls of the spec: ${(error as Error).message}`, {}, error);
  }
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
