/** Makes page-samples-17.jsonl.zst: `node test/golden/make-page-samples.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Page } from '../../src/postgres/page/page.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { type PageSample, pageSamplesPath, writePageSamples } from './page-samples.ts';

const STATEMENTS = [
  `CREATE TABLE heap_page (id int, name text)`,
  `INSERT INTO heap_page VALUES (1, 'one'), (2, 'two'), (3, NULL), (4, 'four')`,
  `UPDATE heap_page SET name = 'zwei' WHERE id = 2`,
  `DELETE FROM heap_page WHERE id = 4`,
  `CREATE SEQUENCE sequence_page START 7`,
  `CREATE TABLE points (id int, place point)`,
  `CREATE INDEX gist_empty ON points USING gist (place)`,
  `CREATE INDEX spgist_empty ON points USING spgist (place)`,
  `CREATE TABLE few (id int, place point, name text, tags int[])`,
  `INSERT INTO few VALUES (1, '(1,2)', 'apple', '{1,2}'), (2, '(3,4)', 'apricot', '{2}'), (3, '(5,6)', NULL, '{3}')`,
  `CREATE INDEX gist_few ON few USING gist (place)`,
  `CREATE INDEX spgist_few ON few USING spgist (name)`,
  `CREATE INDEX btree_few ON few (name)`,
  `CREATE INDEX hash_few ON few USING hash (id)`,
  `CREATE INDEX gin_few ON few USING gin (tags) WITH (fastupdate = off)`,
  `CREATE INDEX brin_few ON few USING brin (id)`,
  `CREATE TABLE many (id int, place point, name text)`,
  `CREATE INDEX gist_many ON many USING gist (place)`,
  `CREATE INDEX spgist_many ON many USING spgist (name)`,
  `CREATE INDEX btree_many ON many (name)`,
  `INSERT INTO many SELECT i, point(i % 40, i / 40), 'prefix/' || chr(97 + i % 7) || '/' || repeat('x', 20) || i
     FROM generate_series(1, 1500) i`,
  `DELETE FROM many WHERE place[0] < 20`,
  `VACUUM (INDEX_CLEANUP ON) many`,
  `INSERT INTO many SELECT i, point(i % 40, i / 40), 'prefix/' || chr(97 + i % 7) || '/' || repeat('x', 20) || i
     FROM generate_series(2000, 2400) i`,
];

const RELATIONS = [
  ...[
    'heap_page',
    'sequence_page',
    'gist_empty',
    'gist_few',
    'gist_many',
    'spgist_empty',
    'spgist_few',
    'spgist_many',
  ],
  ...['btree_few', 'btree_many', 'hash_few', 'gin_few', 'brin_few'],
];

await using server = await StockPostgres.create({
  major: 17,
  initdbArguments: ['--data-checksums'],
  settings: { autovacuum: 'off' },
});
await server.start();
const client = await server.connect();
for (const statement of STATEMENTS) await client.query(statement);
const paths = new Map<string, string>();
for (const relation of RELATIONS) {
  const { rows } = await client.query<{ path: string }>('SELECT pg_relation_filepath($1) AS path', [
    relation,
  ]);
  paths.set(relation, (rows[0] as { path: string }).path);
}
await client.end();
await server.stop('fast');
const samples: PageSample[] = [];
for (const [relation, path] of paths) {
  const bytes = readFileSync(join(server.dataDirectory, path));
  for (let block = 0; (block + 1) * BLOCK_BYTES <= bytes.length; block++) {
    const page = new Page(Uint8Array.from(bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)));
    samples.push({ relation, block, page });
  }
}
writePageSamples(pageSamplesPath(17), samples);
