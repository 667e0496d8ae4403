import { join } from 'node:path';
import { ACCOUNTS_PER_BRANCH, initializePgbench, TELLERS_PER_BRANCH } from '../../test/support/pgbench.ts';
import type { StockPostgres } from '../../test/support/stock-postgres.ts';
import { execute, type Workload } from './workload.ts';

const SCALE = 10;
const CLIENTS = 4;
const TRANSACTIONS_PER_CLIENT = 40_000;

/** The transaction of pgbench's TPC-B as a procedure: a client's round trips would let the server wait. */
const tpcb = (scale: number): string => `CREATE PROCEDURE tpcb(transactions int) LANGUAGE plpgsql AS $$
  DECLARE account int; branch int; teller int; change int; balance int;
  BEGIN
    FOR i IN 1..transactions LOOP
      account := 1 + floor(random() * ${scale * ACCOUNTS_PER_BRANCH});
      branch := 1 + floor(random() * ${scale});
      teller := 1 + floor(random() * ${scale * TELLERS_PER_BRANCH});
      change := floor(random() * 10001) - 5000;
      UPDATE pgbench_accounts SET abalance = abalance + change WHERE aid = account;
      SELECT abalance INTO balance FROM pgbench_accounts WHERE aid = account;
      UPDATE pgbench_tellers SET tbalance = tbalance + change WHERE tid = teller;
      UPDATE pgbench_branches SET bbalance = bbalance + change WHERE bid = branch;
      INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
        VALUES (teller, branch, account, change, clock_timestamp());
      COMMIT;
    END LOOP;
  END $$`;

function pgbench(
  name: string,
  fullPageWrites: boolean,
  scale = SCALE,
  transactionsPerClient = TRANSACTIONS_PER_CLIENT,
): Workload {
  return {
    name,
    settings: { full_page_writes: fullPageWrites },
    async prepare(server) {
      await initializePgbench(server, { scale });
      await execute(server, [tpcb(scale)]);
    },
    async run(server) {
      const calls = Array.from({ length: CLIENTS }, () =>
        execute(server, [`CALL tpcb(${transactionsPerClient})`]),
      );
      await Promise.all(calls);
    },
  };
}

export const PGBENCH: Workload = pgbench('pgbench-fpw-off', false);
/** A little of it, to see whether something runs. */
export const QUICK_PGBENCH: Workload = pgbench('pgbench-quick', false, 1, 1000);

const SOURCE_ROWS = 1_500_000;
const sourceRows = `SELECT n AS id, md5(n::text) AS name, (n * 7919::bigint % ${SOURCE_ROWS}) AS number
  FROM generate_series(1, ${SOURCE_ROWS}) n`;

export const COPY: Workload = {
  name: 'copy',
  settings: { full_page_writes: true },
  prepare: (server) =>
    execute(server, [
      'CREATE TABLE copied (id bigint, name text, number bigint)',
      `COPY (${sourceRows}) TO '${join(server.dataDirectory, 'rows.copy')}'`,
    ]),
  run: (server) => execute(server, ["COPY copied FROM 'rows.copy'"]),
};

function indexBuild(name: string, rows: number, indexes: readonly string[]): Workload {
  return {
    name,
    settings: { full_page_writes: true },
    prepare: (server) =>
      execute(server, [
        `CREATE TABLE source AS SELECT n AS id, md5(n::text) AS name, (n * 7919::bigint % ${rows}) AS number,
           ARRAY[n % 1000, n % 777] AS numbers, point(n % 1013, n % 2027) AS place FROM generate_series(1, ${rows}) n`,
        'VACUUM (FREEZE, ANALYZE) source',
      ]),
    run: (server) =>
      execute(
        server,
        indexes.map((index) => `CREATE INDEX ON source USING ${index}`),
      ),
  };
}

/** A table, and a btree that grows at its end and one that grows everywhere. */
const inserts: Workload = {
  name: 'inserts',
  settings: { full_page_writes: false },
  prepare: (server) =>
    execute(server, [
      'CREATE TABLE inserted (id bigint, number bigint)',
      'CREATE INDEX ON inserted (id)',
      'CREATE INDEX ON inserted (number)',
      `INSERT INTO inserted SELECT n, n * 7919::bigint % 1000003 FROM generate_series(1, 300000) n`,
    ]),
  run: (server) =>
    execute(server, [
      `INSERT INTO inserted SELECT n, n * 7919::bigint % 1000003 FROM generate_series(300001, 900000) n`,
    ]),
};

/** Rows come, change and go again, and VACUUM cleans up behind them, on a table with one index. */
function churn(method: string, column: string): Workload {
  const rows = (from: number, to: number): string =>
    `INSERT INTO churned SELECT n, n * 7919::bigint % 100003, md5((n % 5000)::text), ARRAY[n % 1000, n % 777],
       point(n * 7919::bigint % 1013, n * 104729::bigint % 2027) FROM generate_series(${from}, ${to}) n`;
  return {
    name: `churn-${method}`,
    settings: { full_page_writes: false },
    prepare: (server) =>
      execute(server, [
        'CREATE TABLE churned (id bigint, number bigint, name text, numbers int[], place point)',
        `CREATE INDEX ON churned USING ${method} (${column})`,
        rows(1, 30_000),
      ]),
    run: (server: StockPostgres) =>
      execute(
        server,
        [1, 2, 3].flatMap((round) => [
          rows(round * 40_000, round * 40_000 + 40_000),
          `UPDATE churned SET number = number + 1, name = md5(id::text), numbers = numbers || 5,
             place = point(place[1], place[0]) WHERE id % 5 = ${round}`,
          `DELETE FROM churned WHERE id % 4 = ${round} OR number % 100 < 40 AND id < ${round * 20_000}`,
          'VACUUM churned',
        ]),
      ),
  };
}

export const WORKLOADS: readonly Workload[] = [
  PGBENCH,
  pgbench('pgbench-fpw-on', true),
  COPY,
  indexBuild('build-btree', 1_500_000, ['btree (id)', 'btree (name)', 'btree (number)']),
  indexBuild('build-hash-gin-gist', 400_000, ['hash (name)', 'gin (numbers)', 'gist (place)']),
];

/** Only replayed: one resource manager at a time. */
export const REDO_WORKLOADS: readonly Workload[] = [
  ...WORKLOADS,
  inserts,
  churn('btree', 'number'),
  churn('hash', 'name'),
  churn('gin', 'numbers'),
  churn('gist', 'place'),
  churn('spgist', 'name'),
  churn('brin', 'number'),
];
