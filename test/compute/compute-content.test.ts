// What a database is made of comes over a start, and what works on whole relations works on those that nobody has read yet.
import { join } from 'node:path';
import type { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { baseBackup } from '../support/base-backup.ts';
import { checkRelations } from '../support/check-relations.ts';
import { RestoredServer, unpackTar } from '../support/restored-server.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { connect, connectorOf, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const SETTINGS = [
  'allow_in_place_tablespaces=on',
  'shared_buffers=8MB',
  'min_parallel_table_scan_size=0',
  'parallel_setup_cost=0',
  'parallel_tuple_cost=0',
  'debug_parallel_query=off',
];
const ROWS = 20_000;
/** Tables of the same content, each for one way of going through it. */
const TABLES = ['cut', 'dropped', 'rewritten', 'ordered', 'indexed', 'warmed', 'scanned', 'grown'] as const;

let world: VarveWorld;
let agent: VarveProcess;
let url: string;

async function start(): Promise<void> {
  const settings = SETTINGS.flatMap((setting) => ['--set', setting]);
  agent = world.spawnCompute(world.main, 'compute', settings);
  url = (await readyLine(agent)).url;
}

async function restart(): Promise<void> {
  expect(await agent.kill('SIGTERM')).toBe(0);
  await start();
}

const hashOf = (table: string): string =>
  `SELECT count(*)::int AS rows, sum(hashtextextended(t::text, 0))::text AS hash FROM ${table} t`;

async function run(statements: readonly string[], database = 'postgres'): Promise<void> {
  const client = await connect(url.replace(/[^/]*$/, database));
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

let expected: unknown;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
  await start();
  await run(
    TABLES.flatMap((table) => [
      `CREATE TABLE ${table} (id int PRIMARY KEY, filler text)`,
      `INSERT INTO ${table} SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, ${ROWS}) i`,
      `CREATE INDEX ${table}_filler ON ${table} (md5(filler))`,
    ]),
  );
  expected = await query(url, hashOf('cut'));
}, TIMEOUT_MS);

beforeEach(restart, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

test('what was never read is cut, dropped, rewritten, ordered, indexed and extended', {
  timeout: TIMEOUT_MS,
}, async () => {
  await run([
    'TRUNCATE cut',
    'DROP TABLE dropped',
    'VACUUM FULL rewritten',
    'CLUSTER ordered USING ordered_pkey',
    'REINDEX TABLE indexed',
    `INSERT INTO grown SELECT i, 'new' FROM generate_series(${ROWS + 1}, ${2 * ROWS}) i`,
    `INSERT INTO cut SELECT i, 'new' FROM generate_series(1, 10) i`,
  ]);
  const check = async (): Promise<void> => {
    for (const table of ['rewritten', 'ordered', 'indexed']) {
      expect(await query(url, hashOf(table))).toEqual(expected);
    }
    expect(await query(url, 'SELECT count(*)::int AS n FROM cut')).toEqual([{ n: 10 }]);
    expect(await query(url, hashOf(`(SELECT * FROM grown WHERE id <= ${ROWS})`))).toEqual(expected);
    expect(await query(url, `SELECT count(*)::int AS n FROM grown WHERE filler = 'new'`)).toEqual([
      { n: ROWS },
    ]);
    await expect(query(url, 'SELECT FROM dropped')).rejects.toThrow(/does not exist/);
    expect((await checkRelations(connectorOf(url), 'postgres')).problems).toEqual([]);
  };
  await check();
  await restart();
  await check();
});

test('it is warmed, and read by several processes at once', { timeout: TIMEOUT_MS }, async () => {
  await run(['CREATE EXTENSION IF NOT EXISTS pg_prewarm']);
  for (const mode of ['prefetch', 'read', 'buffer']) {
    const pages = `SELECT pg_prewarm('warmed', '${mode}') = pg_relation_size('warmed') / 8192 AS all`;
    expect(await query(url, pages)).toEqual([{ all: true }]);
  }
  expect(await query(url, hashOf('warmed'))).toEqual(expected);
  const client = await connect(url);
  try {
    await client.query('SET max_parallel_workers_per_gather = 4');
    const { rows: plan } = await client.query(
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${hashOf('scanned')}`,
    );
    expect(JSON.stringify(plan)).toMatch(/Workers Launched: [1-9]/);
    expect((await client.query(hashOf('scanned'))).rows).toEqual(expected);
  } finally {
    await client.end();
  }
});

test('a base backup of it is whole, and another server starts from it', { timeout: TIMEOUT_MS }, async () => {
  const socket = join(world.directory, 'compute', 'socket');
  const config = { host: socket, port: Number(new URL(url).port), user: 'postgres' };
  await using restored = await RestoredServer.create(
    async (directory) => void (await unpackTar(baseBackup(config), directory)),
  );
  await restored.server.start();
  for (const table of ['rewritten', 'warmed', 'scanned'])
    expect(await restored.server.query(hashOf(table))).toEqual(expected);
  expect((await checkRelations(restored.server, 'postgres')).problems).toEqual([]);
});

/** A row that two sessions lock: its lock is a multixact. */
async function shareLock(first: Client, second: Client): Promise<void> {
  for (const client of [first, second]) {
    await client.query('BEGIN');
    await client.query('SELECT FROM warmed WHERE id = 7 FOR KEY SHARE');
  }
  await second.query('COMMIT');
  await first.query('UPDATE warmed SET filler = filler WHERE id = 7');
  await first.query('COMMIT');
}

test('large objects, multixacts, subtransactions, tablespaces and all databases come over a start', {
  timeout: TIMEOUT_MS,
}, async () => {
  const subtransactions = Array.from({ length: 100 }, (_, index) => [
    `SAVEPOINT s${index}`,
    `INSERT INTO nested VALUES (${index})`,
    ...(index % 3 === 0 ? [`ROLLBACK TO s${index}`] : []),
  ]);
  await run([
    "CREATE TABLESPACE placed LOCATION ''",
    'CREATE TABLE elsewhere TABLESPACE placed AS SELECT * FROM warmed',
    'CREATE DATABASE second TABLESPACE placed',
    'CREATE DATABASE third TEMPLATE template0 STRATEGY file_copy',
    "SELECT lo_from_bytea(4711, convert_to(repeat('large', 100000), 'UTF8'))",
    'CREATE TABLE nested (i int)',
    'BEGIN',
    ...subtransactions.flat(),
    'COMMIT',
  ]);
  await run(['CREATE TABLE here AS SELECT generate_series(1, 1000) AS i'], 'second');
  await run(['CREATE TABLE here AS SELECT generate_series(1, 2000) AS i'], 'third');
  const [first, second] = [await connect(url), await connect(url)];
  await shareLock(first, second);
  await Promise.all([first.end(), second.end()]);
  await restart();
  expect(await query(url, hashOf('elsewhere'))).toEqual(expected);
  expect(await query(url, hashOf('warmed'))).toEqual(expected);
  expect(await query(url, 'SELECT count(*)::int AS n, sum(i)::int AS sum FROM nested')).toEqual([
    { n: 66, sum: Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? 0 : i)).reduce((a, b) => a + b) },
  ]);
  expect(await query(url, 'SELECT md5(lo_get(4711)) AS hash')).toEqual(
    await query(url, "SELECT md5(convert_to(repeat('large', 100000), 'UTF8')) AS hash"),
  );
  for (const [database, n] of [
    ['second', 1000],
    ['third', 2000],
  ] as const) {
    const inDatabase = url.replace(/[^/]*$/, database);
    expect(await query(inDatabase, 'SELECT count(*)::int AS n FROM here')).toEqual([{ n }]);
    expect((await checkRelations(connectorOf(url), database)).problems).toEqual([]);
  }
  expect((await checkRelations(connectorOf(url), 'postgres')).problems).toEqual([]);
});
