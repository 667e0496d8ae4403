import { type Client, DatabaseError } from 'pg';
import { SeededRandom } from './seeded-random.ts';
import type { StockPostgres } from './stock-postgres.ts';

/** Anything that gives connected clients: a StockPostgres, or a server reached by other means. */
export type Connector = Pick<StockPostgres, 'connect'>;

export interface PgbenchOptions {
  readonly database?: string;
  /** Number of branches; each has 10 tellers and 100,000 accounts. */
  readonly scale: number;
  readonly clients?: number;
  /** Transactions of each client; or `seconds` to run for. One of the two. */
  readonly transactions?: number;
  readonly seconds?: number;
  readonly seed?: number;
  /** Called after each commit that the server has acknowledged, with the duration of the transaction. */
  readonly onCommit?: (latencyMs: number) => void;
}

export interface PgbenchResult {
  readonly transactions: number;
  /** Transactions undone by a serialization failure or deadlock; they do not count as transactions. */
  readonly conflicts: number;
  readonly seconds: number;
  readonly transactionsPerSecond: number;
  readonly averageLatencyMs: number;
}

export const TELLERS_PER_BRANCH = 10;
export const ACCOUNTS_PER_BRANCH = 100_000;
const ROWS_PER_INSERT = 100_000;
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK_DETECTED = '40P01';

/** Creates and fills the four tables of pgbench, with its names and types, replacing older ones. */
export async function initializePgbench(server: Connector, options: PgbenchOptions): Promise<void> {
  const client = await server.connect(options.database ?? 'postgres');
  const { scale } = options;
  try {
    await client.query(`
      DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers;
      CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
      CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84));
      CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84));
      CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88));
      INSERT INTO pgbench_branches SELECT i, 0, NULL FROM generate_series(1, ${scale}) i;
      INSERT INTO pgbench_tellers SELECT i, (i - 1) / ${TELLERS_PER_BRANCH} + 1, 0, NULL
        FROM generate_series(1, ${scale * TELLERS_PER_BRANCH}) i`);
    for (let first = 1; first <= scale * ACCOUNTS_PER_BRANCH; first += ROWS_PER_INSERT) {
      await client.query(
        `INSERT INTO pgbench_accounts SELECT i, (i - 1) / ${ACCOUNTS_PER_BRANCH} + 1, 0, ''
           FROM generate_series($1::int, $2::int) i`,
        [first, first + ROWS_PER_INSERT - 1],
      );
    }
    await client.query(`
      ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
      ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid);
      ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)`);
    await client.query('VACUUM ANALYZE pgbench_branches, pgbench_tellers, pgbench_accounts');
  } finally {
    await client.end();
  }
}

/** Runs the TPC-B-like transaction. The sums of the three balances and of the history agree at every commit. */
export async function runPgbench(server: Connector, options: PgbenchOptions): Promise<PgbenchResult> {
  if ((options.transactions === undefined) === (options.seconds === undefined)) {
    throw new Error('pgbench takes either a number of transactions or of seconds');
  }
  const clientCount = options.clients ?? 1;
  const random = new SeededRandom(options.seed ?? 1);
  const clients: Client[] = [];
  let transactions = 0;
  let conflicts = 0;
  let latencySumMs = 0;
  try {
    for (let number = 0; number < clientCount; number++) {
      clients.push(await server.connect(options.database ?? 'postgres'));
    }
    const startedAt = performance.now();
    const deadline = startedAt + (options.seconds ?? Number.POSITIVE_INFINITY) * 1000;
    const run = async (client: Client, own: SeededRandom): Promise<void> => {
      for (let done = 0; done < (options.transactions ?? Number.POSITIVE_INFINITY); ) {
        const begin = performance.now();
        if (begin >= deadline) return;
        if (!(await runTransaction(client, own, options.scale))) {
          conflicts++;
          continue;
        }
        const latencyMs = performance.now() - begin;
        done++;
        transactions++;
        latencySumMs += latencyMs;
        options.onCommit?.(latencyMs);
      }
    };
    const runs = clients.map((client) => run(client, random.fork()));
    try {
      await Promise.all(runs);
    } finally {
      await Promise.allSettled(runs);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    return {
      transactions,
      conflicts,
      seconds,
      transactionsPerSecond: transactions / seconds,
      averageLatencyMs: transactions === 0 ? 0 : latencySumMs / transactions,
    };
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()));
  }
}

/** False if the server undid the transaction because of another one. */
async function runTransaction(client: Client, random: SeededRandom, scale: number): Promise<boolean> {
  const account = 1 + random.below(scale * ACCOUNTS_PER_BRANCH);
  const branch = 1 + random.below(scale);
  const teller = 1 + random.below(scale * TELLERS_PER_BRANCH);
  const delta = random.below(10_001) - 5000;
  try {
    await client.query('BEGIN');
    await execute(client, 'UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2', [
      delta,
      account,
    ]);
    await execute(client, 'SELECT abalance FROM pgbench_accounts WHERE aid = $1', [account]);
    await execute(client, 'UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2', [
      delta,
      teller,
    ]);
    await execute(client, 'UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2', [
      delta,
      branch,
    ]);
    await execute(
      client,
      'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)',
      [teller, branch, account, delta],
    );
    await client.query('COMMIT');
    return true;
  } catch (error) {
    const isConflict =
      error instanceof DatabaseError &&
      (error.code === SERIALIZATION_FAILURE || error.code === DEADLOCK_DETECTED);
    if (!isConflict) throw error;
    await client.query('ROLLBACK');
    return false;
  }
}

/** As a prepared statement, named by its text: the server plans it once. */
async function execute(client: Client, text: string, values: number[]): Promise<void> {
  const name = `pgbench_${text.slice(0, 24).replaceAll(' ', '_')}`;
  const result = await client.query({ name, text, values });
  if (result.rowCount !== 1) throw new Error(`pgbench: ${result.rowCount} rows instead of one: ${text}`);
}
