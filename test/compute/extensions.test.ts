// Extensions that come with the server's programs.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 180_000;

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

interface Sql {
  query(text: string): Promise<unknown>;
}

/** Makes extensions. Gives why those were refused that were. */
async function createAll(server: Sql, names: readonly string[]): Promise<Map<string, string>> {
  const refused = new Map<string, string>();
  for (const name of names) {
    try {
      await server.query(`CREATE EXTENSION IF NOT EXISTS "${name}" CASCADE`);
    } catch (error) {
      refused.set(name, (error as Error).message);
    }
  }
  return refused;
}

/** What a plain server of the same programs says: languages may not be there on this machine. */
async function refusedByStock(names: readonly string[]): Promise<Map<string, string>> {
  await using stock = await StockPostgres.create({ major: 17 });
  await stock.start();
  return await createAll(stock, names);
}

test('every extension that the programs bring can be made, and is there after a restart', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'extensions-1');
  const { url } = await readyLine(agent);
  const client = await connect(url);
  const { rows } = await client.query('SELECT name FROM pg_available_extensions ORDER BY name');
  const names = rows.map(({ name }) => name as string);
  expect(names.length).toBeGreaterThan(50);
  const refused = await createAll(client, names);
  expect(refused).toEqual(await refusedByStock(names));
  await client.query('CREATE TABLE words (id int PRIMARY KEY, word citext, tags hstore, place ltree)');
  await client.query(
    "INSERT INTO words SELECT i, 'Word' || i, hstore('n', i::text), ('a.b' || i)::ltree FROM generate_series(1, 500) i",
  );
  await client.query('CREATE INDEX ON words USING gin ((word::text) gin_trgm_ops)');
  await client.query('CREATE INDEX ON words USING bloom (id)');
  await client.query('CREATE INDEX ON words USING gist (place)');
  await client.end();
  expect(await agent.kill('SIGTERM')).toBe(0);

  const again = world.spawnCompute(world.main, 'extensions-2');
  const { url: againUrl } = await readyLine(again);
  const installed = await query(againUrl, 'SELECT extname FROM pg_extension ORDER BY extname');
  expect(installed.map(({ extname }) => extname)).toEqual(names.filter((name) => !refused.has(name)));
  expect(
    await query(
      againUrl,
      "SELECT id, tags -> 'n' AS n FROM words WHERE word = 'WORD77' AND place <@ 'a.b77'",
    ),
  ).toEqual([{ id: 77, n: '77' }]);
  expect(
    await query(
      againUrl,
      "SELECT count(*)::int AS n FROM words, LATERAL verify_heapam('words') WHERE id = 1",
    ),
  ).toEqual([{ n: 0 }]);
  expect(
    await query(
      againUrl,
      "SELECT gin_page_opaque_info(get_raw_page('words_word_idx', 0)) IS NOT NULL AS yes",
    ),
  ).toEqual([{ yes: true }]);
  expect(await again.kill('SIGTERM')).toBe(0);
});

test('libraries that are loaded with the server work', { timeout: TIMEOUT_MS }, async () => {
  const spec = {
    sharedPreloadLibraries: ['pg_stat_statements', 'auto_explain'],
    settings: { 'auto_explain.log_min_duration': 0, 'pg_stat_statements.track': 'all' },
  };
  const path = join(world.directory, 'spec.json');
  await writeFile(path, JSON.stringify(spec));
  const agent = world.spawnCompute(world.main, 'extensions-3', ['--spec', path]);
  const { url } = await readyLine(agent);
  await query(url, 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
  await query(url, 'SELECT 4711 AS counted');
  expect(
    await query(url, "SELECT calls::int FROM pg_stat_statements WHERE query LIKE 'SELECT $1 AS counted'"),
  ).toEqual([{ calls: 1 }]);
  const log = await readFile(join(world.directory, 'extensions-3', 'postgres.log'), 'utf8');
  expect(log).toMatch(/plan:\s+Query Text: SELECT 4711 AS counted/);
  expect(await agent.kill('SIGTERM')).toBe(0);
});
