import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorKind, VarveError } from '../base/errors.ts';
import { nodeFiles } from '../io/node/files.ts';
import { isReachableByServers, makeOwnDirectory, makePrivateDirectory } from '../io/node/server-places.ts';
import { startServiceProcess } from '../io/node/service-process.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import type { RunningService } from '../io/services.ts';
import { openControlClient } from '../system/main.ts';
import type { VarveBranch, VarvePast } from './branch.ts';
import type { BranchOptions, VarveProject } from './project.ts';
import { Varve, type VarvePlace } from './varve.ts';

export type { BranchOptions, Varve, VarveBranch, VarvePast, VarveProject };

const PROGRAM = fileURLToPath(new URL('../../bin/varve', import.meta.url));
/** Leaves room for the name of a server's socket below it: a longer one would be put elsewhere, and stay there. */
const TEMPORARY_PATH_BYTES_MAX = 48;
/** A server that was killed may write for a moment still. */
const REMOVE_TRIES = 20;
const REMOVE_PAUSE_MS = 50;

export interface VarveOptions {
  /** Everything is below it, also for a later start. A temporary one, which goes when the system is stopped, where it is left out. */
  readonly directory?: string | undefined;
  /** Where clients of the project main connect to, on 127.0.0.1; 0, or left out: a free one, or that of an earlier start. */
  readonly port?: number | undefined;
  /** Of the API, on 127.0.0.1; 0, or left out: a free one. */
  readonly apiPort?: number | undefined;
  /** Of a new system: each keeps the WAL. 3 where it is left out. */
  readonly safekeepers?: number | undefined;
  /** Major version of PostgreSQL of a new system; 17 where it is left out. */
  readonly postgresMajor?: number | undefined;
  /** `s3://bucket/prefix?endpoint=…&region=…` or `file:///directory`; in the directory where it is left out. */
  readonly objectStore?: string | undefined;
  /** Computes that idle for so long are ended, and started by whoever connects; 0: never. 300 where it is left out. */
  readonly suspendAfterSeconds?: number | undefined;
  /** Of the logs in the directory: `info` where it is left out. */
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | undefined;
  /** Ends the start. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts a whole Varve: storage, control plane, and PostgreSQL on the project main. It is a process of its own, which ends
 * with this one, however that ends.
 * @throws VarveError of the code SYSTEM_RUNNING, PORT_IN_USE, …: what `varve start` ends with
 */
export async function startVarve(options: VarveOptions = {}): Promise<Varve> {
  const directory = await makeDirectory(options.directory);
  const remove = async (): Promise<void> => {
    if (options.directory === undefined) await removeTree(directory);
  };
  try {
    const service = await startProcess(directory, options);
    const close = async (): Promise<void> => {
      await service.close();
      await remove();
    };
    try {
      return await connect(directory, close);
    } catch (error) {
      await service.close();
      throw error;
    }
  } catch (error) {
    await remove();
    throw error;
  }
}

/**
 * A Varve that runs on a directory already: `varve start`, or what another process has started by startVarve.
 * @throws VarveError of the code NOT_RUNNING
 */
export function connectVarve({ directory }: { readonly directory: string }): Promise<Varve> {
  return connect(resolve(directory), async () => undefined);
}

async function connect(directory: string, close: () => Promise<void>): Promise<Varve> {
  const { running, client } = await openControlClient(directory);
  const { url, api, failure } = running.ready as NonNullable<typeof running.ready>;
  const place: VarvePlace = { directory, url, api, failure };
  const letGo = new AbortController();
  return new Varve({ client, signal: letGo.signal }, place, () => {
    letGo.abort();
    return close();
  });
}

async function makeDirectory(given: string | undefined): Promise<string> {
  if (given === undefined) return await makeTemporaryDirectory();
  const directory = resolve(given);
  await makeOwnDirectory(directory);
  return await realpath(directory);
}

/** Where servers can get to, whoever they run as. */
async function makeTemporaryDirectory(): Promise<string> {
  for (const base of new Set([tmpdir(), '/var/tmp', '/tmp'])) {
    const prefix = join(base, 'varve-');
    if (Buffer.byteLength(prefix) + 6 > TEMPORARY_PATH_BYTES_MAX || !(await isReachableByServers(base)))
      continue;
    const directory = await mkdtemp(prefix);
    await makeOwnDirectory(directory);
    return await realpath(directory);
  }
  const reason = 'PostgreSQL’s account can get to no directory for temporary files: give `directory`';
  throw new VarveError('precondition', 'UNREACHABLE_DIRECTORY', reason);
}

const removeTree = (directory: string): Promise<void> =>
  rm(directory, { recursive: true, force: true, maxRetries: REMOVE_TRIES, retryDelay: REMOVE_PAUSE_MS });

async function startProcess(directory: string, options: VarveOptions): Promise<RunningService<unknown>> {
  const logs = join(directory, 'logs');
  await makePrivateDirectory(logs);
  const logPath = join(logs, 'start.log');
  await rm(logPath, { force: true });
  const signal = options.signal ?? new AbortController().signal;
  const parameters = argumentsOf(directory, options);
  try {
    return await startServiceProcess({ name: 'system', program: PROGRAM, parameters, logPath, signal });
  } catch (error) {
    throw (await readFailure(logPath, error)) ?? error;
  }
}

const FLAGS = [
  ['postgresMajor', '--pg'],
  ['safekeepers', '--safekeepers'],
  ['objectStore', '--s3'],
  ['logLevel', '--log-level'],
] as const;

const argumentsOf = (directory: string, options: VarveOptions): string[] => [
  // What is said to the program's own starts is not said to this one.
  ...['--json', '--no-config', 'start', '--dir', directory],
  ...['--port', String(options.port ?? 0), '--api-port', String(options.apiPort ?? 0)],
  ...FLAGS.flatMap(([name, flag]) => (options[name] === undefined ? [] : [flag, String(options[name])])),
  ...(options.suspendAfterSeconds === undefined
    ? []
    : ['--suspend-after', `${options.suspendAfterSeconds}s`]),
];

/** What the process has said that it ended of; undefined where it has said nothing. */
async function readFailure(logPath: string, cause: unknown): Promise<VarveError | undefined> {
  const text = new TextDecoder().decode(await readWholeFile(nodeFiles, logPath));
  const line = text.split('\n').findLast((each) => each.startsWith('{"error":'));
  if (line === undefined) return undefined;
  const { kind, code, message } = (JSON.parse(line) as { error: Record<'kind' | 'code' | 'message', string> })
    .error;
  return new VarveError(kind as ErrorKind, code, message, {}, cause);
}
