// Measures pages on demand: reads of what is there, of what has to be brought from an agent in this process whose storage costs
// nothing, and starts of a stock server by how many relations its list has.
//     node bench/lazy.ts [--rounds N] [--relations N]
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { spawnIdentity } from '../src/io/node/unprivileged-account.ts';
import { StartWorld } from '../test/pageserver/start-set-world.ts';
import { LazyServer } from '../test/shim/lazy-server.ts';
import { forkOf, ShimWorld } from '../test/shim/shim-world.ts';
import type { StockPostgres } from '../test/support/stock-postgres.ts';

const WARM_BLOCKS = 1000;
const WARM_READS = 1_000_000;
const COLD_BLOCKS = 20_000;
const BLOCK_KIB = 8;

interface LazyResult {
  /** Of one read of a block that the page cache has, in nanoseconds. */
  readonly warmReadNs: number;
  readonly warmReadPlainNs: number;
  /** The same where blocks may be given back. */
  readonly warmReadBudgetNs: number;
  readonly coldReadUs: number;
  readonly sequentialMiBs: number;
  /** From starting the program to letting clients in, by relations in the list. */
  readonly starts: readonly StartTimes[];
  /** The same with all pages in place, and without the shim. */
  readonly plainStart: StartTimes;
}

interface StartTimes {
  readonly relations: number;
  readonly medianMs: number;
  /** What it costs on a machine that has nothing else to do. */
  readonly fastestMs: number;
}

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] as number;

async function measureBudget(): Promise<number> {
  await using world = await ShimWorld.open({ hasChecksums: true });
  await world.lazy.addForks([forkOf(100, COLD_BLOCKS)]);
  await world.lazy.finishForks();
  world.pages.areEmpty = true;
  const worker = world.start();
  const warm: number[] = [];
  for (let round = 0; round < 5; round++)
    warm.push(await worker.number(`measure base/5/100 ${WARM_BLOCKS} ${WARM_READS}`));
  return median(warm);
}

async function measureReads(): Promise<Omit<LazyResult, 'starts' | 'plainStart'>> {
  await using world = await ShimWorld.open();
  await world.lazy.addForks([100, 101, 102, 103].map((relation) => forkOf(relation, COLD_BLOCKS)));
  await world.lazy.finishForks();
  world.pages.areEmpty = true;
  const worker = world.start();
  const plain = world.start({});
  const warm: number[] = [];
  const warmPlain: number[] = [];
  for (let round = 0; round < 5; round++) {
    warm.push(await worker.number(`measure base/5/100 ${WARM_BLOCKS} ${WARM_READS}`));
    // All that it reads is there by now.
    warmPlain.push(await plain.number(`measure base/5/100 ${WARM_BLOCKS} ${WARM_READS}`));
  }
  const coldNs = await worker.number(`cold base/5/101 ${COLD_BLOCKS} 3 1`);
  const runNs = await worker.number(`cold base/5/102 ${COLD_BLOCKS} 16 16`);
  return {
    warmReadNs: median(warm),
    warmReadPlainNs: median(warmPlain),
    warmReadBudgetNs: await measureBudget(),
    coldReadUs: coldNs / 1000,
    sequentialMiBs: (16 * BLOCK_KIB) / 1024 / (runNs / 1e9),
  };
}

/** Milliseconds from the start of the program until it lets clients in. */
async function timeStart(
  server: StockPostgres,
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const socket = ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${server.socketDirectory}`];
  const started = performance.now();
  const child = spawn(join(server.binDirectory, 'postgres'), ['-D', server.dataDirectory, ...socket], {
    ...spawnIdentity(server.account),
    cwd: server.dataDirectory,
    env: { PATH: process.env['PATH'], ...environment },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const path = join(server.dataDirectory, 'postmaster.pid');
  for (;;) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.startsWith(`${child.pid}\n`) && text.includes('\nready')) break;
    if (child.exitCode !== null) throw new Error(`the server did not start: ${child.exitCode}`);
  }
  const tookMs = performance.now() - started;
  child.kill('SIGINT');
  await ended;
  return tookMs;
}

async function measureStarts(
  rounds: number,
  relations: readonly number[],
): Promise<Pick<LazyResult, 'starts' | 'plainStart'>> {
  await using world = await StartWorld.make({
    settings: { wal_level: 'replica', track_commit_timestamp: false },
    hasChecksums: false,
    trafficMs: 200,
  });
  const settings = {
    ...{ fsync: false, autovacuum: false, allow_in_place_tablespaces: true },
    max_prepared_transactions: 10,
  };
  const starts: StartTimes[] = [];
  for (const extra of relations) {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await using lazy = await LazyServer.layOut(
        world.main,
        world.until,
        world.server.dataDirectory,
        settings,
        Array.from({ length: extra }, (_, index) => forkOf(100_000 + index, 10)),
      );
      await lazy.list();
      times.push(await timeStart(lazy.server, lazy.lazy.environment));
    }
    starts.push({ relations: extra, medianMs: median(times), fastestMs: Math.min(...times) });
  }
  const plain: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await using eager = await world.layOut(world.main, world.until, 'primary', settings);
    plain.push(await timeStart(eager, {}));
  }
  return { starts, plainStart: { relations: 0, medianMs: median(plain), fastestMs: Math.min(...plain) } };
}

const options = {
  rounds: { type: 'string', default: '9' },
  relations: { type: 'string', default: '10000' },
} as const;
const { values } = parseArgs({ options });
const reads = await measureReads();
const starts = await measureStarts(Number(values.rounds), [0, Number(values.relations)]);
console.log(JSON.stringify({ ...reads, ...starts } satisfies LazyResult, undefined, 2));
