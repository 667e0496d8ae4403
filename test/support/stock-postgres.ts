import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { prepareBinaries } from '../../src/io/node/postgres-binaries.ts';
import { isRunning, listChildren, signalProcess } from '../../src/io/node/process-table.ts';
import { type Account, findAccount, giveTo, spawnIdentity } from '../../src/io/node/unprivileged-account.ts';
import {
  copyDirectory,
  freshDirectory,
  makeRootDirectory,
  run,
  SUPERUSER,
  SUPERUSER_PASSWORD,
  serverEnvironment,
  templateDirectory,
} from './cluster-template.ts';
import { ProcessGuard } from './process-guard.ts';

export type Setting = string | number | boolean;
export type StopMode = 'smart' | 'fast' | 'immediate';

export interface StockPostgresOptions {
  /** Directory with `initdb` and `postgres`; without it the npm package's. */
  readonly pgBin?: string;
  readonly major: 17;
  /** Server settings, as in postgresql.conf. `ALTER SYSTEM` goes before them. */
  readonly settings?: Readonly<Record<string, Setting>>;
  /** Further arguments of initdb, such as `--data-checksums`. */
  readonly initdbArguments?: readonly string[];
  /** Size of a WAL segment, 16 by default. */
  readonly segmentSizeMiB?: number;
  /** Where to make the server's directory; by default a temporary directory that the server's account can reach. */
  readonly parentDirectory?: string;
  /** Run initdb for this cluster alone, so that its system identifier is its own. */
  readonly ownSystemIdentifier?: boolean;
  /**
   * An existing data directory to serve instead of a new one. It is used in place, given to the server's account,
   * and not removed. Its postgresql.conf gets a line that includes our settings.
   */
  readonly dataDirectory?: string;
  /** Further environment variables of the server. */
  readonly environment?: NodeJS.ProcessEnv;
}

export interface StartOptions {
  /** 120 seconds by default. Then the server is killed, and that is an error. */
  readonly timeoutMs?: number;
  /** Return as soon as recovery has begun, for a standby with `hot_standby` off, which nobody can connect to. */
  readonly inRecovery?: boolean;
}

const SETTINGS_FILE = 'varve_test.conf';
const STOP_SIGNAL: Record<StopMode, NodeJS.Signals> = {
  smart: 'SIGTERM',
  fast: 'SIGINT',
  immediate: 'SIGQUIT',
};
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 120_000;
const POLL_INTERVAL_MS = 3;
const START_ATTEMPTS = 5;
/** sun_path holds 107 bytes; the server adds `/.s.PGSQL.65535.lock`. */
const SOCKET_DIRECTORY_BYTES_MAX = 85;

const running = new Set<StockPostgres>();
process.on('exit', () => {
  for (const server of running) server.killNow();
});

/**
 * A stock PostgreSQL server from its binaries, for tests, benchmarks and the oracle. It runs as an unprivileged
 * account when we are root, listens on a Unix socket and on 127.0.0.1, and neither its processes nor its directory
 * outlive this process, however that ends.
 */
export class StockPostgres {
  readonly account: Account;
  readonly binDirectory: string;
  /** Everything of this server is below it. */
  readonly rootDirectory: string;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly #logFile: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #doomedDirectories: readonly string[];
  #settings: Record<string, Setting>;
  #port = 0;
  #child: ChildProcess | undefined;
  #exited: Promise<string> | undefined;
  #guard: ProcessGuard | undefined;
  #disposed = false;

  private constructor(fields: {
    account: Account;
    binDirectory: string;
    rootDirectory: string;
    dataDirectory: string;
    socketDirectory: string;
    settings: Record<string, Setting>;
    environment: NodeJS.ProcessEnv;
  }) {
    this.account = fields.account;
    this.binDirectory = fields.binDirectory;
    this.rootDirectory = fields.rootDirectory;
    this.dataDirectory = fields.dataDirectory;
    this.socketDirectory = fields.socketDirectory;
    this.#settings = fields.settings;
    this.#environment = fields.environment;
    this.#logFile = join(fields.rootDirectory, 'log');
    this.#doomedDirectories = fields.socketDirectory.startsWith(fields.rootDirectory)
      ? [fields.rootDirectory]
      : [fields.rootDirectory, fields.socketDirectory];
  }

  /** Makes a data directory, or takes the given one over. Does not start the server. */
  static async create(options: StockPostgresOptions): Promise<StockPostgres> {
    const account = findAccount();
    const binDirectory = await prepareBinaries(account, options.pgBin);
    const version = await run(join(binDirectory, 'postgres'), ['--version'], spawnIdentity(account));
    if (!version.startsWith(`postgres (PostgreSQL) ${options.major}.`)) {
      throw new Error(`${binDirectory} has ${version.trim()}, not major version ${options.major}`);
    }
    const parameters = [...(options.initdbArguments ?? [])];
    if (options.segmentSizeMiB !== undefined) parameters.push(`--wal-segsize=${options.segmentSizeMiB}`);
    const rootDirectory = await makeRootDirectory(account, options.parentDirectory);
    try {
      const dataDirectory = options.dataDirectory ?? join(rootDirectory, 'data');
      if (options.dataDirectory !== undefined) {
        await giveTo(account, dataDirectory, true);
        await chmod(dataDirectory, 0o700);
      } else if (options.ownSystemIdentifier) {
        await rename(await freshDirectory(binDirectory, account, parameters), dataDirectory).catch(
          async (error) => {
            if (error.code !== 'EXDEV') throw error;
            await copyDirectory(await freshDirectory(binDirectory, account, parameters), dataDirectory);
          },
        );
      } else {
        await copyDirectory(await templateDirectory(binDirectory, account, parameters), dataDirectory);
      }
      const socketDirectory = await makeSocketDirectory(account, rootDirectory);
      const server = new StockPostgres({
        account,
        binDirectory,
        rootDirectory,
        dataDirectory,
        socketDirectory,
        settings: { ...options.settings },
        environment: { ...options.environment },
      });
      await server.#includeSettings();
      await server.changeSettings({});
      return server;
    } catch (error) {
      await rm(rootDirectory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Starts the server and waits until it accepts connections, after recovery if that is due. */
  async start(options: StartOptions = {}): Promise<void> {
    if (this.#disposed) throw new Error('this server has been disposed of');
    if (this.#child !== undefined) throw new Error('this server runs already');
    for (let attempt = 1; ; attempt++) {
      if (this.#port === 0) this.#port = await findFreePort();
      const logOffset = (await this.log()).length;
      this.#spawn();
      const failure = await this.#waitUntilReady(options);
      if (failure === undefined) return;
      const log = (await this.log()).slice(logOffset);
      // Someone else took the port since we looked.
      if (!log.includes('could not create any TCP/IP sockets') || attempt === START_ATTEMPTS) {
        throw new Error(`the server did not start (${failure}); its log says:\n${log.slice(-4000)}`);
      }
      this.#port = 0;
    }
  }

  #spawn(): void {
    const log = openSync(this.#logFile, 'a', 0o600);
    try {
      const child = spawn(
        join(this.binDirectory, 'postgres'),
        [
          ...['-D', this.dataDirectory, '-c', `port=${this.#port}`, '-c', 'listen_addresses=127.0.0.1'],
          ...['-c', `unix_socket_directories=${this.socketDirectory}`],
        ],
        {
          ...spawnIdentity(this.account),
          cwd: this.dataDirectory,
          detached: true,
          env: serverEnvironment(this.#environment),
          stdio: ['ignore', log, log],
        },
      );
      this.#child = child;
      this.#exited = new Promise((resolve) => {
        child.once('error', (error) => resolve(error.message));
        child.once('exit', (code, signalName) => resolve(signalName ?? `exit status ${code}`));
      });
      void this.#exited.then(() => {
        if (this.#child === child) this.#child = undefined;
        this.#guard?.release();
        this.#guard = undefined;
        running.delete(this);
      });
      if (child.pid === undefined) return;
      running.add(this);
      const doomed = this.dataDirectory.startsWith(this.rootDirectory) ? this.rootDirectory : '';
      this.#guard = new ProcessGuard(doomed, child.pid, this.dataDirectory);
    } finally {
      closeSync(log);
    }
  }

  /** Gives undefined when connections are accepted, else how the server ended. */
  async #waitUntilReady(options: StartOptions): Promise<string | undefined> {
    const timeoutMs = options.timeoutMs ?? START_TIMEOUT_MS;
    const pid = this.#child?.pid;
    let ended: string | undefined;
    void this.#exited?.then((reason) => {
      ended = reason;
    });
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      // miscadmin.h: line 1 of the lock file is the pid, line 8 the state, padded with blanks. `standby` is a server
      // in recovery that lets nobody in.
      const lines = await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8').then(
        (text) => text.split('\n'),
        () => [],
      );
      const state = lines[7]?.trim();
      if (Number(lines[0]) === pid && (state === 'ready' || (state === 'standby' && options.inRecovery)))
        return undefined;
      if (ended !== undefined) return ended;
      await delay(POLL_INTERVAL_MS);
    }
    await this.crash();
    return `not ready after ${timeoutMs} ms`;
  }

  /**
   * Ends the server by PostgreSQL's own means and waits until it has gone. `immediate` leaves it to crash recovery.
   * Does nothing if it does not run. A server that has not ended after two minutes is killed, and that is an error.
   */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined || this.#exited === undefined) return;
    child.ref();
    signalProcess(child.pid, STOP_SIGNAL[mode]);
    const timeout = new AbortController();
    // When it has exited, nobody waits for the rest of the time.
    const reason = await Promise.race([
      this.#exited,
      delay(STOP_TIMEOUT_MS, undefined, { signal: timeout.signal, ref: true }).catch(() => undefined),
    ]);
    timeout.abort();
    if (reason === undefined) {
      await this.crash();
      throw new Error(
        `the server did not stop within ${STOP_TIMEOUT_MS} ms; its log ends:\n${await this.logTail()}`,
      );
    }
  }

  /**
   * `kill -9` of the postmaster and of all its children at once, as when a machine loses them: no process runs any
   * of its own cleanup. Returns when none is left. Does nothing if the server does not run.
   */
  async crash(): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined || this.#exited === undefined) return;
    child.ref();
    // Without this file the server has not got as far as to have a segment.
    const lock = await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
    // Stopped, the postmaster starts no new child while we look.
    signalProcess(child.pid, 'SIGSTOP');
    const children = listChildren(child.pid);
    signalProcess(child.pid, 'SIGKILL');
    for (const { pid } of children) signalProcess(pid, 'SIGKILL');
    await this.#exited;
    while (children.some(isRunning)) await delay(POLL_INTERVAL_MS);
    // Nobody is left to remove the interlock segment. The next start would, but there may be none.
    const segment = lock.split('\n')[6]?.trim().split(/\s+/)[1];
    if (segment !== undefined && lock.startsWith(`${child.pid}\n`)) {
      // Some kernels' settings have removed it with the last process that was attached to it.
      await run('ipcrm', ['-m', segment]).catch(() => undefined);
    }
  }

  /** For a process that is ending: tells the postmaster to quit at once and does not wait. */
  killNow(): void {
    if (this.#child?.pid !== undefined) signalProcess(this.#child.pid, 'SIGQUIT');
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** The postmaster. */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the server does not run');
    return this.#child.pid;
  }

  /** The TCP port; the same from one start to the next unless another process took it. */
  get port(): number {
    return this.#port;
  }

  /** How to connect: the superuser over the Unix socket. */
  clientConfig(database = 'postgres'): ClientConfig {
    return { host: this.socketDirectory, port: this.#port, user: SUPERUSER, database };
  }

  /** Variables that make a program which uses libpq's conventions connect over TCP. */
  clientEnvironment(database = 'postgres'): Record<string, string> {
    return {
      PGHOST: '127.0.0.1',
      PGPORT: String(this.#port),
      PGUSER: SUPERUSER,
      PGPASSWORD: SUPERUSER_PASSWORD,
      PGDATABASE: database,
    };
  }

  /** `postgres://…` over TCP, with the password. */
  connectionString(database = 'postgres'): string {
    return `postgres://${SUPERUSER}:${SUPERUSER_PASSWORD}@127.0.0.1:${this.#port}/${database}`;
  }

  /** A connected client. The caller ends it. */
  async connect(options: string | ClientConfig = {}): Promise<Client> {
    const config = typeof options === 'string' ? { database: options } : options;
    const client = new Client({ ...this.clientConfig(), ...config });
    // A lost connection also rejects the query that runs and every later one; without this listener it would end
    // the process.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** Connects, runs one statement, and gives its rows. */
  async query<Row extends object = Record<string, unknown>>(
    text: string,
    values: unknown[] = [],
    database = 'postgres',
  ): Promise<Row[]> {
    const client = await this.connect(database);
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** Changes or adds settings for the next start (or reload). */
  async changeSettings(settings: Readonly<Record<string, Setting>>): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    const lines = Object.entries(this.#settings).map(([name, value]) => `${name} = ${quoteSetting(value)}\n`);
    const file = join(this.dataDirectory, SETTINGS_FILE);
    await writeFile(file, lines.join(''), { mode: 0o600 });
    await giveTo(this.account, file);
  }

  async #includeSettings(): Promise<void> {
    const file = join(this.dataDirectory, 'postgresql.conf');
    const include = `include_if_exists = '${SETTINGS_FILE}'`;
    const text = existsSync(file) ? await readFile(file, 'utf8') : '';
    if (!text.split('\n').includes(include)) await appendFile(file, `\n${include}\n`, { mode: 0o600 });
    await giveTo(this.account, file);
  }

  /** All that the server has logged since its creation. */
  async log(): Promise<string> {
    return existsSync(this.#logFile) ? readFile(this.#logFile, 'utf8') : '';
  }

  async logTail(lengthMax = 4000): Promise<string> {
    return (await this.log()).slice(-lengthMax);
  }

  /** Stops the server, whatever it does, and removes its directory. May be called again. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.stop('immediate');
    for (const directory of this.#doomedDirectories) await rm(directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** postgresql.conf's quoting: a quote is doubled, a backslash escapes (guc-file.l). */
function quoteSetting(value: Setting): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return `'${String(value).replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

async function makeSocketDirectory(account: Account, rootDirectory: string): Promise<string> {
  let directory = join(rootDirectory, 'socket');
  if (Buffer.byteLength(directory) <= SOCKET_DIRECTORY_BYTES_MAX) await mkdir(directory, { mode: 0o700 });
  else directory = await mkdtemp('/tmp/varve-socket-');
  await giveTo(account, directory);
  return directory;
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
