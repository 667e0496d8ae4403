import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TimelineId } from '../../src/base/ids.ts';
import { Compute } from '../../src/compute/compute.ts';
import { findShim } from '../../src/compute/lazy/find-shim.ts';
import type { ComputeDoors, ComputeOptions } from '../../src/compute/options.ts';
import { untilReady } from '../../src/compute/postgres-process.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { prepareBinaries } from '../../src/io/node/postgres-binaries.ts';
import { nodeProcesses } from '../../src/io/node/processes.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeServers } from '../../src/io/node/servers.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { findAccount } from '../../src/io/node/unprivileged-account.ts';
import type { SocketAddress } from '../../src/io/sockets.ts';
import { connect } from '../../src/libpq/client/connect.ts';
import { createJsonLogger } from '../../src/observe/log.ts';
import { FIRST_QUERY, FIRST_VALUE } from './clusters.ts';
import { type Storage, stopCompute } from './storage.ts';

const SHIM_DIRECTORY = fileURLToPath(new URL('../../shim', import.meta.url));
const CONNECT_TIMEOUT_MS = 30_000;
const READY_TIMEOUT_MS = 60_000;

/** One start, from the request to the answer of the first query, in milliseconds. */
export interface TimedStart {
  readonly totalMs: number;
  /** In the order in which they come. */
  readonly steps: Readonly<Record<string, number>>;
}

/** Where a server is whose directory is whole. */
export interface PlainDirectories {
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly outputPath: string;
}

/** What a process has that starts one compute after another. */
export interface WarmAgent {
  readonly doors: ComputeDoors;
  readonly binDirectory: string;
  readonly shim: string;
}

export async function makeWarmAgent(pgBin: string | undefined): Promise<WarmAgent> {
  const binDirectory = await prepareBinaries(findAccount(), pgBin);
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'varve', 'shim');
  const places = { sources: SHIM_DIRECTORY, cache, platform: `${process.platform}-${process.arch}` };
  const shim = await findShim(
    places,
    { files: nodeFiles, processes: nodeProcesses },
    new AbortController().signal,
  );
  if (shim === undefined) throw new Error('there is no shim for this machine, and nothing to build it with');
  return { doors: makeDoors(), binDirectory, shim };
}

export function makeDoors(): ComputeDoors {
  const destination = { write: (line: string): void => void process.stderr.write(line) };
  return {
    files: nodeFiles,
    sockets: nodeSockets((error) => {
      throw error;
    }),
    clock: nodeClock,
    random: nodeRandom,
    servers: nodeServers,
    logger: createJsonLogger({ level: 'error', clock: nodeClock, destination }),
  };
}

/** By an agent that runs already, in a directory that is not there. */
export async function timeWarmStart(
  { doors, binDirectory, shim }: WarmAgent,
  where: Omit<ComputeOptions, 'binDirectory' | 'shim' | 'listen'>,
): Promise<TimedStart> {
  const listen = { host: '127.0.0.1', port: await findFreePort() };
  const options = { ...where, binDirectory, shim, listen };
  const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
  const beganAtMs = performance.now();
  const compute = await Compute.start(options, doors, signal);
  const startedMs = performance.now() - beganAtMs;
  try {
    const { connectMs, queryMs } = await firstQuery(listen, doors);
    const totalMs = performance.now() - beganAtMs;
    const steps = Object.fromEntries(compute.steps.map(({ step, ms }) => [step, ms]));
    return { totalMs, steps: { ...steps, started: startedMs, connect: connectMs, query: queryMs } };
  } finally {
    await compute.stop(new AbortController().signal);
  }
}

/** By `varve compute`, a process of its own. */
export async function timeProcessStart(
  doors: ComputeDoors,
  storage: Storage,
  timelineId: TimelineId,
  directory: string,
): Promise<TimedStart> {
  const beganAtMs = performance.now();
  const compute = storage.startCompute(timelineId, directory, {});
  try {
    const { port, steps } = await compute.line<{ port: number; steps: Record<string, number> }>();
    const startedMs = performance.now() - beganAtMs;
    const { connectMs, queryMs } = await firstQuery({ host: '127.0.0.1', port }, doors);
    const totalMs = performance.now() - beganAtMs;
    return { totalMs, steps: { ...steps, started: startedMs, connect: connectMs, query: queryMs } };
  } finally {
    await stopCompute(compute);
  }
}

/** The same program on a directory that is whole, with nothing between them. */
export async function timePlainStart(
  { doors, binDirectory }: WarmAgent,
  { dataDirectory, socketDirectory, outputPath }: PlainDirectories,
): Promise<TimedStart> {
  const settings = { fsync: 'off', full_page_writes: 'off', listen_addresses: '' };
  const parameters = Object.entries({ ...settings, unix_socket_directories: socketDirectory });
  const beganAtMs = performance.now();
  const program = await nodeServers.start(
    `${binDirectory}/postgres`,
    ['-D', dataDirectory, ...parameters.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { directory: dataDirectory, outputPath, environment: { LC_ALL: 'C' } },
  );
  try {
    const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
    await untilReady({ program, dataDirectory, outputPath }, doors, READY_TIMEOUT_MS, signal);
    const serverMs = performance.now() - beganAtMs;
    const { connectMs, queryMs } = await firstQuery({ path: `${socketDirectory}/.s.PGSQL.5432` }, doors);
    const totalMs = performance.now() - beganAtMs;
    return { totalMs, steps: { server: serverMs, connect: connectMs, query: queryMs } };
  } finally {
    program.signal('SIGINT');
    await program.ended;
  }
}

async function firstQuery(
  address: SocketAddress,
  { sockets, clock, random }: ComputeDoors,
): Promise<{ connectMs: number; queryMs: number }> {
  const beganAtMs = performance.now();
  const options = { user: 'postgres', database: 'postgres', connectTimeoutMs: CONNECT_TIMEOUT_MS };
  const { signal } = new AbortController();
  const client = await connect(sockets, address, { ...options, clock, random, signal });
  const connectMs = performance.now() - beganAtMs;
  const { rows } = await client.query(FIRST_QUERY);
  const queryMs = performance.now() - beganAtMs - connectMs;
  if (rows[0]?.[0] !== FIRST_VALUE)
    throw new Error(`the first query was answered with ${JSON.stringify(rows)}`);
  await client.close();
  return { connectMs, queryMs };
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const address = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no TCP port was given');
  return address.port;
}
