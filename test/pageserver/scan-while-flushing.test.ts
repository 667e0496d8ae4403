import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeFiles } from '../../src/io/node/files.ts';
import { KIND_RELATION_SIZE, kindRange } from '../../src/pageserver/keyspace/keys.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';

const context: ReadContext = { task: 'administration', signal: new AbortController().signal };
/** Tables until the open layer is larger than what of it is in memory as it is written. */
const TABLES = 600;

test('a scan that loads blocks of an open layer goes on when that becomes a layer file', async () => {
  await using server = await StockPostgres.create({
    major: 17,
    settings: { autovacuum: false, fsync: false },
  });
  await server.start();
  await server.stop('fast');
  const directory = join(server.rootDirectory, 'initial');
  await copyDirectory(server.dataDirectory, directory);
  await server.start();
  await server.query(`DO $$ BEGIN
    FOR i IN 1..${TABLES} LOOP EXECUTE format('CREATE TABLE t%s AS SELECT 1 AS i', i); END LOOP; END $$`);
  await server.stop('fast');
  await using world = await StorageWorld.open({ blockCacheBytes: 1 });
  const tenant = await world.storage.attach(world.tenantId);
  const main = await tenant.createTimeline(MAIN, { files: nodeFiles, directory, version: POSTGRES_17 });
  await feedWal(main, join(server.dataDirectory, 'pg_wal'));
  const { timeline, reads } = main;
  const scan = () => reads.scan(kindRange(KIND_RELATION_SIZE), timeline.lastRecordLsn, context);
  const expected = await scan();
  expect(expected.length).toBeGreaterThan(TABLES);
  expect(timeline.memoryLayers).toHaveLength(1);
  let isFlushed = false;
  const flush = timeline.flush().then(() => {
    isFlushed = true;
  });
  // Several, so that one of them is in the midst of it.
  let scans = 0;
  while (!isFlushed) {
    expect(await scan()).toEqual(expected);
    scans++;
  }
  await flush;
  expect(scans).toBeGreaterThan(0);
  expect(await scan()).toEqual(expected);
});
