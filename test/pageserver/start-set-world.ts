import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { type Lsn, parseLsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import type { RecordPosition } from '../../src/pageserver/layers/record-positions.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { layOutStartSet, sourceOf } from '../support/start-set-directory.ts';
import { type Setting, StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';

export const READ: ReadContext = { task: 'administration', signal: new AbortController().signal };

export interface StartWorldOptions {
  readonly settings: Readonly<Record<string, Setting>>;
  readonly hasChecksums: boolean;
  /** Traffic goes on for so long. */
  readonly trafficMs: number;
}

const SCHEMA = `
  CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler text);
  INSERT INTO accounts SELECT i, 0, repeat('x', 100) FROM generate_series(1, 500) i;
  CREATE TABLE entries (id bigserial PRIMARY KEY, account int NOT NULL, delta bigint NOT NULL, note text);
  CREATE INDEX ON entries (account);
  CREATE INDEX ON entries USING hash (account);
  CREATE UNLOGGED TABLE scratch (id serial PRIMARY KEY, note text);
  INSERT INTO scratch (note) SELECT 'lost' FROM generate_series(1, 1000);
  CREATE TABLE prepared_rows (id int PRIMARY KEY);
  CREATE TABLE open_rows (id int PRIMARY KEY);
  CREATE TABLESPACE place LOCATION '';
  CREATE TABLE placed (id int PRIMARY KEY, note text) TABLESPACE place;
  INSERT INTO placed SELECT i, 'here' FROM generate_series(1, 100) i;
  CREATE DATABASE other STRATEGY file_copy;
  CREATE DATABASE another STRATEGY wal_log;
  CREATE EXTENSION amcheck;
`;

/** A stock server with a history full of what a start has to get right, and a timeline that has taken in its WAL. */
export class StartWorld implements AsyncDisposable {
  readonly server: StockPostgres;
  readonly storage: StorageWorld;
  readonly main: ActiveTimeline;
  /** Positions at which all of the schema is there and a transaction is prepared, and one open. */
  readonly from: Lsn;
  readonly until: Lsn;
  /** Still in its transaction. */
  readonly open: Client;
  #starts = 0;

  private constructor(fields: Pick<StartWorld, 'server' | 'storage' | 'main' | 'from' | 'until' | 'open'>) {
    this.server = fields.server;
    this.storage = fields.storage;
    this.main = fields.main;
    this.from = fields.from;
    this.until = fields.until;
    this.open = fields.open;
  }

  static async make(options: StartWorldOptions): Promise<StartWorld> {
    const server = await StockPostgres.create({
      major: 17,
      segmentSizeMiB: 1,
      ...(options.hasChecksums ? { initdbArguments: ['--data-checksums'] } : {}),
      settings: {
        ...{ fsync: false, wal_keep_size: '4GB', max_wal_size: '8GB', max_prepared_transactions: 10 },
        ...{ allow_in_place_tablespaces: true, autovacuum_naptime: '1s', max_wal_senders: 10 },
        ...options.settings,
      },
    });
    const initialDirectory = join(server.rootDirectory, 'initial');
    await copyDirectory(server.dataDirectory, initialDirectory);
    await server.start();
    const schema = await server.connect();
    for (const statement of SCHEMA.split(';')) if (statement.trim() !== '') await schema.query(statement);
    await schema.query('BEGIN');
    await schema.query('INSERT INTO prepared_rows VALUES (1)');
    await schema.query('SAVEPOINT inner_one');
    await schema.query('INSERT INTO prepared_rows VALUES (2)');
    await schema.query("PREPARE TRANSACTION 'held'");
    const openClient = await server.connect();
    await openClient.query('BEGIN');
    await openClient.query('INSERT INTO open_rows VALUES (1)');
    await openClient.query('CREATE TABLE never (id int)');
    await openClient.query('LOCK TABLE placed IN ACCESS EXCLUSIVE MODE');
    const from = await currentLsn(schema);
    await runTraffic(server, options.trafficMs);
    const until = await currentLsn(schema);
    await schema.end();

    const storage = await StorageWorld.open();
    const tenant = await storage.storage.attach(storage.tenantId);
    const main = await tenant.createTimeline(MAIN, {
      files: nodeFiles,
      directory: initialDirectory,
      version: POSTGRES_17,
    });
    await feedWal(main, join(server.dataDirectory, 'pg_wal'), until);
    return new StartWorld({ server, storage, main, from, until, open: openClient });
  }

  /** Records that end in the time of the traffic, the last ones first. */
  async *recordsBack(): AsyncGenerator<RecordPosition, void> {
    for (let lsn = this.until; lsn > this.from; ) {
      const record = await this.main.reads.recordBefore(lsn, READ);
      if (record === undefined || record.endLsn <= this.from) return;
      yield record;
      lsn = record.startLsn;
    }
  }

  /** A stock server, not started, on a start set. The caller disposes of it. */
  async layOut(
    timeline: ActiveTimeline,
    lsn: Lsn | undefined,
    form: 'primary' | 'read-only' | 'standby',
    settings: Readonly<Record<string, Setting>> = {},
  ): Promise<StockPostgres> {
    const directory = join(this.server.rootDirectory, `start-${++this.#starts}`);
    await layOutStartSet(sourceOf(timeline), lsn, form, directory);
    for (const name of ['pg_hba.conf', 'pg_ident.conf']) {
      await copyDirectory(join(this.server.dataDirectory, name), join(directory, name));
    }
    await writeFile(join(directory, 'postgresql.conf'), '');
    return StockPostgres.create({
      major: 17,
      dataDirectory: directory,
      parentDirectory: this.server.rootDirectory,
      settings: {
        ...(await ownSettings(this.server)),
        ...{ synchronous_standby_names: '', autovacuum: false },
        ...settings,
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.open.end();
    await this.storage[Symbol.asyncDispose]();
    await this.server.dispose();
  }
}

/** What the primary was given. */
async function ownSettings(server: StockPostgres): Promise<Record<string, Setting>> {
  const text = await readFile(join(server.dataDirectory, 'varve_test.conf'), 'utf8');
  const settings: Record<string, Setting> = {};
  for (const line of text.split('\n')) {
    const match = /^(\w+) = (?:'(.*)'|(on|off))$/.exec(line);
    if (match !== null) settings[match[1] as string] = match[2] ?? match[3] === 'on';
  }
  return settings;
}

export async function currentLsn(client: Client): Promise<Lsn> {
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn() AS lsn');
  return parseLsn(rows[0]?.lsn ?? '');
}

/** Transfers whose deltas sum up to nothing, subtransactions, shared row locks, segment switches, vacuums. */
async function runTraffic(server: StockPostgres, lengthMs: number): Promise<void> {
  const end = performance.now() + lengthMs;
  const work = async (number: number): Promise<void> => {
    const client = await server.connect();
    try {
      for (let round = 0; performance.now() < end; round++) await oneRound(client, number, round);
    } finally {
      await client.end();
    }
  };
  await Promise.all([1, 2, 3].map(work));
}

async function oneRound(client: Client, number: number, round: number): Promise<void> {
  const a = ((number * 7 + round * 13) % 500) + 1;
  const b = (a % 500) + 1;
  const [low, high] = a < b ? [a, b] : [b, a];
  await client.query('BEGIN');
  await client.query(`SELECT 1 FROM accounts WHERE id IN (499, 500) ORDER BY id FOR KEY SHARE`);
  await client.query(`UPDATE accounts SET balance = balance + CASE id WHEN ${low} THEN ${round} ELSE ${-round} END
    WHERE id IN (SELECT id FROM accounts WHERE id IN (${low}, ${high}) ORDER BY id FOR NO KEY UPDATE)`);
  await client.query('SAVEPOINT s');
  await client.query(`INSERT INTO entries (account, delta, note) VALUES
    (${low}, ${round}, repeat('n', ${(round * 37) % 900})), (${high}, ${-round}, '')`);
  if (round % 5 === 0) {
    await client.query('ROLLBACK TO s');
    await client.query(
      `INSERT INTO entries (account, delta) VALUES (${low}, ${round}), (${high}, ${-round})`,
    );
  }
  await client.query(round % 11 === 0 ? 'ROLLBACK' : 'COMMIT');
  if (number === 1 && round % 40 === 20) await client.query('SELECT pg_switch_wal()');
  if (number === 2 && round % 60 === 30) await client.query('VACUUM (FREEZE) entries');
  if (number === 3 && round % 100 === 50) await client.query('CHECKPOINT');
}

/** What holds at every position of the traffic, on a server that shows no row of the prepared and the open transaction. */
export async function findFaults(server: StockPostgres): Promise<string[]> {
  const faults: string[] = [];
  const client = await server.connect();
  try {
    const rows = async (text: string): Promise<Record<string, unknown>[]> => (await client.query(text)).rows;
    const sums = await rows(`SELECT a.id FROM accounts a
      LEFT JOIN (SELECT account, sum(delta) AS delta FROM entries GROUP BY account) e ON e.account = a.id
      WHERE a.balance <> coalesce(e.delta, 0)`);
    if (sums.length > 0) faults.push(`${sums.length} accounts differ from their entries`);
    const [{ count }] = (await rows('SELECT count(*)::int AS count FROM accounts')) as [{ count: number }];
    if (count !== 500) faults.push(`${count} accounts`);
    for (const table of ['prepared_rows', 'open_rows']) {
      if ((await rows(`SELECT * FROM ${table}`)).length > 0) faults.push(`rows of ${table} are visible`);
    }
    if ((await rows("SELECT to_regclass('never') AS oid"))[0]?.['oid'] !== null)
      faults.push('a table that never was');
    const [{ hot }] = (await rows('SELECT pg_is_in_recovery() AS hot')) as [{ hot: boolean }];
    const gids = (await rows('SELECT gid FROM pg_prepared_xacts')).map(({ gid }) => gid);
    // In recovery they are not shown.
    if (gids.join() !== (hot ? '' : 'held')) faults.push(`prepared: ${gids}`);
  } finally {
    await client.end();
  }
  return faults;
}

/** amcheck over all tables and indexes of the database, for a server that is no standby of an open transaction. */
export async function findDamage(server: StockPostgres): Promise<string[]> {
  const client = await server.connect();
  try {
    const heaps = await client.query(`SELECT c.oid::regclass::text AS name, v.msg FROM pg_class c,
      LATERAL verify_heapam(c.oid, on_error_stop => false, check_toast => true) v
      WHERE c.relkind IN ('r', 't', 'm') AND c.relpersistence = 'p'`);
    const damage = heaps.rows.map(({ name, msg }) => `${name}: ${msg}`);
    const indexes = await client.query<{
      oid: number;
      name: string;
    }>(`SELECT c.oid::int AS oid, c.relname AS name
      FROM pg_class c JOIN pg_am m ON m.oid = c.relam WHERE m.amname = 'btree' AND c.relkind = 'i'`);
    for (const { oid, name } of indexes.rows) {
      await client
        .query('SELECT bt_index_check($1::oid, heapallindexed => true)', [oid])
        .catch((error: Error) => damage.push(`${name}: ${error.message}`));
    }
    return damage;
  } finally {
    await client.end();
  }
}
