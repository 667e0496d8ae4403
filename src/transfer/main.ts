import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, createReadStream, existsSync, statSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { BadRequestError, VarveError } from '../base/errors.ts';
import { ROLE_DEFAULT } from '../contracts/connection-string.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeRandom } from '../io/node/random.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { exportDatabase } from './export-database.ts';
import { fillTarget } from './fill-target.ts';
import { checkVersions, importDatabase } from './import-database.ts';
import { loadScript } from './load-script.ts';
import { type Doors, openSession, SHARED_SETTINGS } from './open-session.ts';
import type { WriteBytes } from './script-writer.ts';
import { environmentOf, parseServerUrl, type ServerUrl } from './server-url.ts';
import { SOURCE_MAJOR_MIN } from './source-database.ts';
import { TargetDatabase } from './target-database.ts';
import type { TransferEvents, TransferSummary } from './transfer-events.ts';

export type { TransferEvents, TransferSummary };

const ERROR_BYTES_MAX = 4000;

const doors: Doors = {
  sockets: nodeSockets((error) => {
    // Nobody is listened to here.
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
  readFile: (path) => readFile(path, 'utf8'),
};

/** Where the server of a branch listens, and the database there. */
export interface BranchDatabase {
  readonly host: string;
  readonly port: number;
  readonly database: string;
}

export interface ImportRequest {
  readonly target: BranchDatabase;
  readonly isIntoExisting: boolean;
  readonly signal: AbortSignal;
}

export interface ServerImport extends ImportRequest {
  /** Of a PostgreSQL server. */
  readonly url: string;
  readonly schemas: readonly string[] | undefined;
  readonly jobs: number;
  readonly isSkipping: boolean;
  /** A program; true: the one on PATH, where it fits; false: none. */
  readonly pgDump: string | boolean;
}

export interface ExportRequest {
  readonly source: BranchDatabase;
  readonly schemas: readonly string[] | undefined;
  readonly isSkipping: boolean;
  /** Path, or `-` for standard output. */
  readonly to: string;
  readonly isReplacing: boolean;
  readonly signal: AbortSignal;
}

/** Checks a URL before anything else is done. @throws BadRequestError BAD_URL */
export const checkUrl = (url: string): void => void parseServerUrl(url, process.env);

/**
 * Brings a database of a running server into a branch: by pg_dump, where there is one that fits, else by ourselves.
 * @throws as importDatabase and loadScript; VarveError ‘precondition’ / PG_DUMP_VERSION; DUMP_FAILED
 */
export async function importFromServer(
  request: ServerImport,
  events: TransferEvents,
): Promise<TransferSummary> {
  const source = parseServerUrl(request.url, process.env);
  const target = serverOf(request.target);
  const program = await choosePgDump(request, source, target, events);
  if (program === undefined) {
    const { schemas, jobs, isSkipping, isIntoExisting, signal } = request;
    return importDatabase(
      doors,
      { source, target, schemas, jobs, isSkipping, isIntoExisting, signal },
      events,
    );
  }
  const chunks = dumpScript(program, source, request.schemas, request.signal);
  const summary = await load(request, chunks, undefined, events);
  return { ...summary, notes: [`by ${program}`, ...summary.notes] };
}

/**
 * Runs a script of ours or of pg_dump's on a branch: all of it, or nothing.
 * @param path of a file, or `-` for standard input
 * @throws as loadScript; VarveError ‘not-found’ / FILE_NOT_FOUND
 */
export async function importFromFile(
  request: ImportRequest,
  path: string,
  events: TransferEvents,
): Promise<TransferSummary> {
  if (path === '-') return load(request, process.stdin, undefined, events);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isDirectory()) {
    throw new VarveError('not-found', 'FILE_NOT_FOUND', `there is no file ${path}`);
  }
  const chunks = createReadStream(path, { highWaterMark: 256 * 1024 });
  return load(request, chunks, stats.isFile() ? stats.size : undefined, events);
}

/**
 * Writes a database of a branch as a script of SQL. A file has its name when all of it is there.
 * @throws as exportDatabase; VarveError ‘conflict’ / FILE_EXISTS
 */
export async function exportToFile(request: ExportRequest, events: TransferEvents): Promise<TransferSummary> {
  const { to, schemas, isSkipping, signal } = request;
  const options = { server: serverOf(request.source), schemas, isSkipping, signal };
  if (to === '-') return exportDatabase(doors, options, writeToOutput, events);
  if (existsSync(to) && !request.isReplacing) {
    throw new VarveError('conflict', 'FILE_EXISTS', `${to} is there already: --force replaces it`);
  }
  const partial = `${to}.partial`;
  const file = await open(partial, 'w', 0o600);
  try {
    const write: WriteBytes = async (bytes) => {
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
    };
    const summary = await exportDatabase(doors, options, write, events);
    await file.sync();
    await rename(partial, to);
    return summary;
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

const writeToOutput: WriteBytes = async (bytes) => {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
};

const serverOf = ({ host, port, database }: BranchDatabase): ServerUrl => ({
  address: { host, port },
  name: `${host}:${port}`,
  user: ROLE_DEFAULT,
  password: undefined,
  database,
  sslMode: 'disable',
  sslRootCertificate: undefined,
  options: undefined,
});

async function load(
  { target, isIntoExisting, signal }: ImportRequest,
  chunks: AsyncIterable<Uint8Array>,
  totalBytes: number | undefined,
  events: TransferEvents,
): Promise<TransferSummary> {
  events.onStep('connecting');
  const database = await TargetDatabase.find(doors, serverOf(target), signal);
  return await fillTarget(database, signal, async (beginCommit) => {
    if (!isIntoExisting) await database.checkEmpty();
    await database.make();
    const { connection } = await database.open();
    // A script says itself where it makes things.
    await connection.query('RESET search_path; BEGIN');
    events.onStep('running the script');
    const summary = await loadScript(chunks, totalBytes, connection, events);
    beginCommit();
    await connection.query('COMMIT');
    return summary;
  });
}

/** @returns the program that is to be run; undefined: none */
async function choosePgDump(
  { pgDump, jobs, isSkipping, signal }: ServerImport,
  source: ServerUrl,
  target: ServerUrl,
  events: TransferEvents,
): Promise<string | undefined> {
  const isNamed = typeof pgDump === 'string';
  if (isNamed && jobs > 1) {
    throw new BadRequestError('CONFLICTING_OPTIONS', '--jobs goes without --pg-dump: its script is one');
  }
  const path = isNamed ? pgDump : findOnPath('pg_dump');
  // What it cannot carry, pg_dump does not say.
  if (path === undefined || pgDump === false || jobs > 1 || isSkipping) return undefined;
  events.onStep('connecting');
  const session = await openSession(doors, source, 'source', SHARED_SETTINGS, signal);
  await session.connection.close();
  const { major } = await TargetDatabase.find(doors, target, signal);
  checkVersions(session.major, major);
  let own: number;
  try {
    own = await majorOf(path, signal);
  } catch (error) {
    if (isNamed || signal.aborted) throw error;
    // A wrapper without a program behind it: as if there were none.
    return undefined;
  }
  if (own >= session.major && own <= major) return path;
  if (!isNamed && session.major >= SOURCE_MAJOR_MIN) return undefined;
  const reason = `${path} is of PostgreSQL ${own}: it has to be of ${session.major} to ${major}, from the source’s to the branch’s`;
  throw new VarveError('precondition', 'PG_DUMP_VERSION', reason);
}

/** @throws VarveError ‘precondition’ / PROGRAM_NOT_STARTED */
async function majorOf(path: string, signal: AbortSignal): Promise<number> {
  let text = '';
  for await (const chunk of runProgram(path, ['--version'], process.env, signal)) text += chunk.toString();
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(text)?.[1]);
  if (major > 0) return major;
  throw new VarveError('precondition', 'PROGRAM_NOT_STARTED', `${path} does not say that it is pg_dump`);
}

function findOnPath(program: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
      } catch {
        // Not there, or not ours to run: somewhere else, perhaps.
        return false;
      }
    });
}

/** pg_dump's script, as it comes. @throws VarveError DUMP_FAILED, with what it says */
function dumpScript(
  path: string,
  server: ServerUrl,
  schemas: readonly string[] | undefined,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const parameters = ['--format=plain', '--encoding=UTF8', '--no-tablespaces', '--no-password'];
  // A pattern of pg_dump's, in which nothing within quotes has a meaning.
  for (const schema of schemas ?? []) parameters.push(`--schema="${schema.replaceAll('"', '""')}"`);
  const { PATH, HOME } = process.env;
  return runProgram(path, parameters, { PATH, HOME, ...environmentOf(server) }, signal);
}

/** Standard output of a program, as it comes. It is ended where nobody takes more of it. */
async function* runProgram(
  path: string,
  parameters: readonly string[],
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const child = spawn(path, parameters, { env: environment, stdio: ['ignore', 'pipe', 'pipe'], signal });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-ERROR_BYTES_MAX);
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  // It is waited for after the last of the output, which may never come.
  closed.catch(() => undefined);
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const [status] = await closed;
    if (status !== 0)
      throw new VarveError('unavailable', 'DUMP_FAILED', `${path} has failed: ${said.trim()}`);
  } catch (error) {
    if (error instanceof VarveError) throw error;
    if (signal.aborted) throw new VarveError('cancelled', 'CANCELLED', 'interrupted', {}, error);
    const reason = `${path} could not be started: ${error instanceof Error ? error.message : String(error)}`;
    throw new VarveError('precondition', 'PROGRAM_NOT_STARTED', reason, {}, error);
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill();
  }
}
