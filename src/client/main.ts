import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, statSync } from 'node:fs';
import { constants as systemConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { VarveError } from '../base/errors.ts';
import { DATABASE_DEFAULT, ROLE_DEFAULT } from '../contracts/connection-string.ts';
import { ControlClient } from '../http/control-client.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeHttp } from '../io/node/http.ts';
import { nodeRandom } from '../io/node/random.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { StopSignals } from '../io/node/stop-signals.ts';
import type { ClientResult } from '../libpq/client/client-connection.ts';
import { SqlPrompt, type SqlReports } from './sql/sql-prompt.ts';
import { SqlSession } from './sql/sql-session.ts';
import { StatementSplitter } from './sql/statement-splitter.ts';

export type { ClientResult };

/** A branch, or a restore, may wait for a compute that starts. */
const API_TIMEOUT_MS = 120_000;
const EXIT_INTERRUPTED = 130;
const SIGNAL_STATUS = 128;

/** Milliseconds since 1970, for times that are given as from now on. */
export const wallMs = (): number => nodeClock.wallMs();

/** A control plane at an address of its own. @param token asked for with each request */
export function openRemoteControl(baseUrl: string, token?: () => Promise<string>): ControlClient {
  return new ControlClient({
    clock: nodeClock,
    http: nodeHttp((error) => {
      // Nobody is served here.
      throw error;
    }),
    baseUrl,
    ...(token === undefined ? {} : { token }),
    timeoutMs: API_TIMEOUT_MS,
  });
}

/**
 * Keeps the process alive for what it waits for. SIGINT or SIGTERM give it up: what has begun over there goes on. A second
 * one ends the process.
 */
export async function untilInterrupted<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  using stop = new StopSignals();
  stop.second.signal.addEventListener('abort', () => process.exit(EXIT_INTERRUPTED));
  return await work(stop.first.signal);
}

/** The program of that name on PATH. */
export function findPsql(): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, 'psql'))
    .find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, or not ours to run: somewhere else, perhaps.
    return false;
  }
}

/**
 * Runs psql at our terminal, and ends as it does.
 * @throws VarveError ‘precondition’ / PROGRAM_NOT_STARTED
 */
export async function runPsql(path: string, parameters: readonly string[]): Promise<void> {
  // An interrupt at the terminal is for psql: it goes to both.
  using _ = new StopSignals();
  const child = spawn(path, parameters, { stdio: 'inherit' });
  let end: readonly [number | null, NodeJS.Signals | null];
  try {
    end = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  } catch (error) {
    const reason = `${path} could not be started: ${error instanceof Error ? error.message : String(error)}`;
    throw new VarveError('precondition', 'PROGRAM_NOT_STARTED', reason, {}, error);
  }
  const [status, signalName] = end;
  process.exitCode =
    status ?? SIGNAL_STATUS + (signalName === null ? 0 : systemConstants.signals[signalName]);
}

export interface SqlPlace {
  readonly host: string;
  readonly port: number;
}

/**
 * Runs SQL on a server: what is given, or what standard input has. At a terminal that is a prompt, which goes on after an
 * error; anything else ends with the first one.
 * @param name what the prompt shows
 * @throws as SqlSession.open and SqlSession.run; ‘cancelled’ after an interrupt
 */
export function runSql(
  place: SqlPlace,
  given: string | undefined,
  name: string,
  reports: SqlReports,
): Promise<void> {
  return untilInterrupted(async (signal) => {
    const session = await SqlSession.open({
      sockets: nodeSockets((error) => {
        // Nobody is listened to here.
        throw error;
      }),
      clock: nodeClock,
      random: nodeRandom,
      address: place,
      user: process.env['PGUSER'] ?? ROLE_DEFAULT,
      database: process.env['PGDATABASE'] ?? DATABASE_DEFAULT,
      password: process.env['PGPASSWORD'],
      signal,
    });
    try {
      if (given !== undefined) await runAll(session, [given], reports);
      else if (process.stdin.isTTY && process.stdout.isTTY) await runPrompt(session, name, reports, signal);
      else await runAll(session, process.stdin.setEncoding('utf8'), reports);
    } finally {
      await session.close();
    }
  });
}

async function runAll(
  session: SqlSession,
  texts: Iterable<string> | AsyncIterable<string>,
  reports: SqlReports,
): Promise<void> {
  const splitter = new StatementSplitter();
  // The splitter takes whole lines.
  let unfinished = '';
  for await (const text of texts) {
    const end = text.lastIndexOf('\n') + 1;
    if (end === 0) {
      unfinished += text;
      continue;
    }
    for (const statement of splitter.add(unfinished + text.slice(0, end))) {
      await reports.onResult(await session.run(statement));
    }
    unfinished = text.slice(end);
  }
  for (const statement of splitter.add(`${unfinished}\n`)) {
    await reports.onResult(await session.run(statement));
  }
  const rest = splitter.takeRest();
  if (rest !== undefined) await reports.onResult(await session.run(rest));
}

async function runPrompt(
  session: SqlSession,
  name: string,
  reports: SqlReports,
  signal: AbortSignal,
): Promise<void> {
  const prompt = new SqlPrompt(session, reports);
  await reports.onNote(`PostgreSQL ${session.serverVersion}, branch ${name}. \\? for help, \\q to end.`);
  const reader = createInterface({ input: process.stdin, output: process.stdout, signal });
  const ask = (): void => {
    reader.setPrompt(`${name}${prompt.sign} `);
    reader.prompt();
  };
  reader.on('SIGINT', () => {
    process.stdout.write('\n');
    void prompt.interrupt().then((isIdle) => isIdle && ask());
  });
  try {
    ask();
    for await (const line of reader) {
      if (!(await prompt.take(line))) return;
      ask();
    }
    process.stdout.write('\n');
  } finally {
    reader.close();
  }
}
