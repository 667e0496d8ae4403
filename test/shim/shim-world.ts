import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BadRequestError } from '../../src/base/errors.ts';
import { findShim } from '../../src/compute/lazy/find-shim.ts';
import { LazyDirectory } from '../../src/compute/lazy/lazy-directory.ts';
import type { BlockHistory, PageSource } from '../../src/compute/page-source.ts';
import type { StartSetFork } from '../../src/contracts/start-set.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeProcesses } from '../../src/io/node/processes.ts';
import { nodeServers } from '../../src/io/node/servers.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { findAccount, giveTo, spawnIdentity } from '../../src/io/node/unprivileged-account.ts';
import type { RelationLocator } from '../../src/postgres/files/relation-locator.ts';
import type { SlruName } from '../../src/postgres/files/slru.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { makeRootDirectory } from '../support/cluster-template.ts';

const WORDS = BLOCK_BYTES / 4;
const WORKER_SOURCE = fileURLToPath(new URL('worker.c', import.meta.url));
const SHIM_SOURCES = fileURLToPath(new URL('../../shim', import.meta.url));

/** Whether the worker can be built here. */
export const hasCompiler: boolean = spawnSync('cc', ['--version']).error === undefined;

export const SIGNAL: AbortSignal = new AbortController().signal;

/** A page as a worker knows it. Its first two words are the LSN of a page. */
export function makePage(relation: number, block: number, version = 0, hasClock = false): Uint8Array {
  const page = new Uint32Array(WORDS);
  page[0] = hasClock ? 1 : relation;
  page[1] = hasClock ? version : block;
  page[2] = version;
  const base = Math.imul(relation, 2654435761) ^ Math.imul(block, 40503) ^ Math.imul(version, 69069);
  for (let index = 4; index < WORDS; index++) page[index] = base ^ Math.imul(index, 7919);
  return new Uint8Array(page.buffer);
}

/** Pages of any relation, after a while. */
export class TestPages implements PageSource {
  /** Before each answer. */
  delayMs: () => number = () => 0;
  failure: Error | undefined;
  /** All pages are zero: for whoever measures what is around them. */
  areEmpty = false;
  /** Which version storage has. */
  versionOf: (relation: number, block: number) => number = () => 0;
  /** Pages have LSNs that their versions give. */
  hasClock = false;
  readonly reads: {
    relation: number;
    fork: number;
    block: number;
    count: number;
    history?: BlockHistory;
  }[] = [];

  async readPages(
    { relation }: RelationLocator,
    fork: number,
    block: number,
    count: number,
    target: Uint8Array,
    signal: AbortSignal,
    history?: BlockHistory,
  ): Promise<void> {
    this.reads.push({ relation, fork, block, count, ...(history === 'given-back' ? { history } : {}) });
    const versions = Array.from({ length: count }, (_, index) => this.versionOf(relation, block + index));
    const delayMs = this.delayMs();
    if (delayMs > 0) await delay(delayMs, undefined, { signal });
    if (this.failure !== undefined) throw this.failure;
    for (let index = 0; index < count && !this.areEmpty; index++)
      target.set(makePage(relation, block + index, versions[index], this.hasClock), index * BLOCK_BYTES);
  }

  /** Each page as block of a relation that has the segment's number. */
  async readSlruSegment(_slru: SlruName, segment: number): Promise<Uint8Array> {
    if (this.failure !== undefined) throw this.failure;
    const bytes = new Uint8Array(32 * BLOCK_BYTES);
    for (let page = 0; page < 32; page++) bytes.set(makePage(segment, page), page * BLOCK_BYTES);
    return bytes;
  }
}

/** A process under the shim that does what lines tell it to. */
export class Worker {
  readonly child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #errors = '';

  constructor(child: ChildProcess) {
    this.child = child;
    if (child.stdout === null || child.stderr === null) throw new Error('a worker has no output');
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-20_000);
    });
    child.stdin?.on('error', () => undefined);
  }

  /** What it has printed on standard error. */
  get errors(): string {
    return this.#errors;
  }

  async ask(line: string): Promise<string> {
    this.child.stdin?.write(`${line}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the worker has ended: ${this.#errors}`);
    return (value as string).trim();
  }

  async number(line: string): Promise<number> {
    return Number(await this.ask(line));
  }

  /** Gives how it has ended. */
  async end(): Promise<number | string | null> {
    const ended = once(this.child, 'close');
    this.child.stdin?.end();
    if (this.child.exitCode === null && this.child.signalCode === null) await ended;
    return this.child.exitCode ?? this.child.signalCode;
  }
}

/** A lazy directory with relations of database 5, and workers that use it. */
export class ShimWorld implements AsyncDisposable {
  readonly root: string;
  readonly data: string;
  readonly pages: TestPages = new TestPages();
  readonly failures: Error[] = [];
  readonly #program: string;
  readonly #workers: Worker[] = [];
  #lazy: LazyDirectory | undefined;

  private constructor(root: string, program: string) {
    this.root = root;
    this.data = join(root, 'data');
    this.#program = program;
  }

  /** @param givesBack given where an evictor may be run */
  static async open(givesBack?: { readonly hasChecksums: boolean }): Promise<ShimWorld> {
    const account = findAccount();
    const root = await makeRootDirectory(account);
    const program = join(root, 'worker');
    const built = spawnSync('cc', ['-O2', '-Wall', '-Wextra', '-o', program, WORKER_SOURCE], {
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(`the worker does not compile: ${built.stderr}`);
    const world = new ShimWorld(root, program);
    for (const path of [
      'base/5',
      'base/7',
      'global',
      'pg_wal',
      'pg_xact',
      'pg_tblspc/16500/PG_17_202406281/5',
    ])
      await mkdir(join(world.data, path), { recursive: true });
    await writeFile(join(world.data, 'global/pg_control'), 'control');
    await giveTo(account, root, true);
    world.#lazy = await LazyDirectory.open(
      {
        directory: join(root, 'lazy'),
        dataDirectory: world.data,
        version: POSTGRES_17,
        shim: await shimPath(),
        pages: world.pages,
        givesBack: givesBack !== undefined,
        onFailed: (error) => world.failures.push(error),
      },
      { files: nodeFiles, servers: nodeServers, sockets: nodeSockets((error) => world.failures.push(error)) },
      SIGNAL,
    );
    await world.#lazy.guard();
    if (givesBack?.hasChecksums === true) world.#lazy.noteChecksums();
    return world;
  }

  /** What a stress says that storage has: a version, as u32, for each number of a block. Workers make it. */
  get ledgerPath(): string {
    return join(this.root, 'ledger');
  }

  /** Of the worker. */
  get program(): string {
    return this.#program;
  }

  get lazy(): LazyDirectory {
    if (this.#lazy === undefined) throw new BadRequestError('NOT_OPEN', 'this world is not open');
    return this.#lazy;
  }

  /** A process as the agent starts one, in the data directory. */
  start(environment: Readonly<Record<string, string>> = this.lazy.environment): Worker {
    const child = spawn(this.#program, [], {
      ...spawnIdentity(findAccount()),
      cwd: this.data,
      env: { ...process.env, VARVE_TEST_LEDGER: this.ledgerPath, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const worker = new Worker(child);
    this.#workers.push(worker);
    return worker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) {
      worker.child.kill('SIGKILL');
      await worker.end();
    }
    await this.#lazy?.close();
    await rm(this.root, { recursive: true, force: true });
  }
}

let found: Promise<string> | undefined;

/** The one that is prebuilt or, without such a one, built of the sources; or what VARVE_TEST_SHIM is the path of. */
export function shimPath(): Promise<string> {
  found ??= findPath();
  return found;
}

async function findPath(): Promise<string> {
  const given = process.env['VARVE_TEST_SHIM'];
  if (given !== undefined) return given;
  const cache = join(dirname(SHIM_SOURCES), 'node_modules/.cache/varve-shim');
  const platform = `${process.platform}-${process.arch}`;
  const doors = { files: nodeFiles, processes: nodeProcesses };
  const shim = await findShim({ sources: SHIM_SOURCES, cache, platform }, doors, SIGNAL);
  if (shim === undefined) throw new Error('there is no shim for this machine, and no compiler');
  return shim;
}

/** A fork of database 5. */
export const forkOf = (
  relation: number,
  blocks: number,
  fork = 0,
  contentFork: number = fork,
): StartSetFork => ({
  relation: { tablespace: 1663, database: 5, relation },
  fork,
  contentFork,
  blocks,
});
