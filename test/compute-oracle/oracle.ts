// A compute that is killed again and again, against a plain PostgreSQL that ran the same transactions in peace.
import { listChildren } from '../../src/io/node/process-table.ts';
import { connect, connectorOf, readyLine } from '../compute/compute-client.ts';
import { signal, VarveWorld } from '../end-to-end/varve-world.ts';
import { type CanonicalDump, canonicalDump, firstDifference } from '../support/canonical-dump.ts';
import { checkRelations } from '../support/check-relations.ts';
import type { Connector } from '../support/pgbench.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { OracleClient } from './oracle-client.ts';
import { OracleCommand } from './oracle-command.ts';
import { CLIENTS, schema } from './transactions.ts';

const DIRECTORY = 'compute';
const LIFE_MS = { low: 300, high: 3000 } as const;

/** So that layers are written, merged and removed all the time under computes that start and read. */
const UPKEEP = {
  checkpoint_distance: 4 * 1024 * 1024,
  compaction_target_size: 2 * 1024 * 1024,
  compaction_period: '1s',
  compaction_threshold: 3,
  image_creation_threshold: 2,
  gc_period: '2s',
  gc_horizon: 1024 * 1024,
  pitr_interval: '0s',
};

const ENDS = ['backend', 'postmaster', 'agent', 'everything', 'stop'] as const;
type End = (typeof ENDS)[number];

export interface OracleOptions {
  readonly seed: number;
  /** No compute is started anew after so long. */
  readonly milliseconds: number;
  /** Stops after so many all the same. */
  readonly restartsMax: number;
  readonly pgBin?: string;
  /** Further options of `varve compute`. */
  readonly computeOptions?: readonly string[];
  /** Run in a database of its own, beside all else; of that database only amcheck says something. */
  readonly command?: string;
  readonly onEvent?: (text: string) => void;
}

export interface OracleResult {
  readonly restarts: number;
  readonly acknowledged: number;
  /** Ids of transactions that were acknowledged and are not there. */
  readonly lost: readonly number[];
  /** Of the compute's content from the reference's. */
  readonly difference: string | undefined;
  /** What amcheck has found. */
  readonly problems: readonly string[];
}

/** Runs it from beginning to end. @throws what keeps it from being carried out */
export async function runOracle(options: OracleOptions): Promise<OracleResult> {
  await using world = await VarveWorld.start();
  await world.createTimeline();
  await world.client.putConfig(world.tenantId, UPKEEP, signal());
  const run = new OracleRun(options, world);
  await run.live();
  return await run.compare();
}

class OracleRun {
  readonly #options: OracleOptions;
  readonly #world: VarveWorld;
  readonly #random: SeededRandom;
  readonly #clients: readonly OracleClient[];
  readonly #command: OracleCommand | undefined;
  readonly #lost = new Set<number>();
  readonly #problems: string[] = [];
  #agent: VarveProcess | undefined;
  #url = '';
  #pid = 0;
  #restarts = 0;

  constructor(options: OracleOptions, world: VarveWorld) {
    this.#options = options;
    this.#world = world;
    this.#random = new SeededRandom(options.seed);
    this.#command = options.command === undefined ? undefined : new OracleCommand(options.command);
    this.#clients = Array.from({ length: CLIENTS }, (_, client) => new OracleClient(options.seed, client));
  }

  async live(): Promise<void> {
    const { milliseconds, restartsMax } = this.#options;
    const deadlineMs = performance.now() + milliseconds;
    await this.#start();
    const connection = await connect(this.#url);
    for (const statement of schema()) await connection.query(statement);
    if (this.#command !== undefined) await connection.query(`CREATE DATABASE ${OracleCommand.database}`);
    await connection.end();
    while (performance.now() < deadlineMs && this.#restarts < restartsMax) {
      await this.#liveOnce(this.#random.pick(ENDS));
      this.#restarts++;
      await this.#check();
    }
  }

  /** The same content as of a plain server, and nothing is lost in the end. */
  async compare(): Promise<OracleResult> {
    const { pgBin } = this.#options;
    await using reference = await StockPostgres.create({
      major: 17,
      // As those of timelines are made.
      initdbArguments: ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      settings: { fsync: false, max_prepared_transactions: 10 },
      ...(pgBin === undefined ? {} : { pgBin }),
    });
    await reference.start();
    const connection = await reference.connect();
    for (const statement of schema()) await connection.query(statement);
    if (this.#command !== undefined) await connection.query(`CREATE DATABASE ${OracleCommand.database}`);
    for (const { committed } of this.#clients) {
      for (const { statements } of committed) {
        await connection.query('BEGIN');
        for (const statement of statements) await connection.query(statement);
        await connection.query('COMMIT');
      }
    }
    // The check of the other one has made it.
    await connection.query('CREATE EXTENSION amcheck');
    await connection.end();
    const compute = connectorOf(this.#url);
    const difference = firstDifference(await dump(compute), await dump(reference));
    await this.#agent?.kill('SIGTERM');
    return {
      restarts: this.#restarts,
      acknowledged: this.#clients.reduce((sum, { committed }) => sum + committed.length, 0),
      lost: [...this.#lost],
      difference,
      problems: this.#problems,
    };
  }

  async #start(): Promise<void> {
    const { pgBin, computeOptions = [] } = this.#options;
    const args = pgBin === undefined ? [] : ['--pg-bin', pgBin];
    this.#agent = this.#world.spawnCompute(this.#world.main, DIRECTORY, [...args, ...computeOptions]);
    await this.#untilReady();
  }

  async #untilReady(): Promise<void> {
    const { url, pid } = await readyLine(this.#agent as VarveProcess);
    this.#url = url;
    this.#pid = pid;
  }

  /** All clients at work for a while, until something ends the server. */
  async #liveOnce(end: End): Promise<void> {
    const over = new AbortController();
    const working = Promise.all(this.#clients.map((client) => client.run(this.#url, over.signal)));
    const command = this.#command?.run(this.#url, over.signal);
    const lifeMs = this.#random.between(LIFE_MS.low, LIFE_MS.high);
    await Promise.race([working, new Promise((resolve) => setTimeout(resolve, lifeMs))]);
    this.#options.onEvent?.(`after ${Math.round(lifeMs)} ms: ${end}`);
    const agent = this.#agent as VarveProcess;
    if (end === 'stop') {
      // Sessions are ended in the midst of their transactions.
      await agent.kill('SIGTERM');
    } else if (end === 'agent') {
      await agent.kill('SIGKILL');
    } else {
      const children = listChildren(this.#pid).map(({ pid }) => pid);
      if (end === 'backend') kill(this.#random.pick(children));
      else kill(this.#pid);
      if (end === 'everything') {
        for (const pid of children) kill(pid);
        await agent.kill('SIGKILL');
      }
    }
    await working;
    over.abort();
    await command;
    if (end === 'backend' || end === 'postmaster') await this.#untilReady();
    else await this.#start();
  }

  async #check(): Promise<void> {
    const connection = await connect(this.#url);
    try {
      for (const client of this.#clients) await client.settle(connection);
      const { rows } = await connection.query<{ id: string }>('SELECT id FROM ledger');
      const there = new Set(rows.map(({ id }) => Number(id)));
      for (const { committed } of this.#clients) {
        for (const { id } of committed) if (!there.has(id)) this.#lost.add(id);
      }
      const known = this.#clients.reduce((sum, { committed }) => sum + committed.length, 0);
      if (there.size > known) this.#problems.push(`${there.size} rows in a ledger of ${known} transactions`);
    } finally {
      await connection.end();
    }
    const databases = this.#command === undefined ? ['postgres'] : ['postgres', OracleCommand.database];
    for (const database of databases) {
      const { problems } = await checkRelations(connectorOf(this.#url), database);
      this.#problems.push(...problems);
    }
  }
}

/** Sequences are passed over: WAL tells of numbers before they are given out. */
async function dump(server: Connector): Promise<CanonicalDump> {
  const sections = await canonicalDump(server, { databases: ['postgres'] });
  // The reference's superuser has a password.
  return sections.filter(({ title }) => !title.endsWith(': sequences') && title !== 'cluster: roles');
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It has ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
