import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeFiles } from '../../src/io/node/files.ts';
import { importCluster } from '../../src/pageserver/ingest/import-cluster.ts';
import { compareKeys, type Key } from '../../src/pageserver/keyspace/key.ts';
import { KIND_REPLICATION_ORIGIN, kindRange } from '../../src/pageserver/keyspace/keys.ts';
import { decodeOrigin } from '../../src/pageserver/keyspace/stored-values.ts';
import { decodeControlFile, encodeControlFile } from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { createCounters } from '../../src/redo/effects/counters.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { compareCluster } from './compare-cluster.ts';
import { MemoryTimeline } from './memory-timeline.ts';

let server: StockPostgres;
let tablePath: string;
let scratch: string;

beforeAll(async () => {
  server = await StockPostgres.create({
    major: 17,
    initdbArguments: ['--data-checksums'],
    settings: { max_prepared_transactions: 2, track_commit_timestamp: true },
  });
  scratch = join(server.rootDirectory, 'scratch');
  await server.start();
  const client = await server.connect();
  await client.query('create table filled as select generate_series(1, 20000) as id');
  await client.query('create unlogged table unlogged (id int primary key)');
  await client.query('vacuum filled');
  tablePath = (await client.query(`select pg_relation_filepath('filled') as path`)).rows[0].path;
  await client.query(`select pg_replication_origin_create('far')`);
  await client.query(`select pg_replication_origin_advance('far', '0/ABCDEF')`);
  await client.query('begin; insert into filled values (0)');
  await client.query(`prepare transaction 'kept'`);
  await client.end();
  await server.stop('fast');
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Imports a copy of the data directory, changed by `change`. */
async function importChanged(change: (directory: string) => Promise<void>): Promise<void> {
  await cp(server.dataDirectory, scratch, { recursive: true, verbatimSymlinks: true });
  try {
    await change(scratch);
    await importCluster(nodeFiles, scratch, POSTGRES_17, { put: () => undefined });
  } finally {
    await rm(scratch, { recursive: true });
  }
}

describe('the import of a stopped cluster', () => {
  test('gives all that is in its files, in the order of keys', async () => {
    const timeline = new MemoryTimeline();
    let last: Key | undefined;
    const control = await importCluster(nodeFiles, server.dataDirectory, POSTGRES_17, {
      put: (key, value) => {
        if (last !== undefined) expect(compareKeys(last, key)).toBeLessThan(0);
        last = key;
        timeline.put(key, value);
      },
    });
    const cluster = ReplayedCluster.read(server.dataDirectory, POSTGRES_17);
    expect(compareCluster(timeline, cluster, control.checkPointCopy.nextXid)).toEqual([]);
    expect(cluster.prepared.size).toBe(1);
    expect(cluster.slrus['commit-timestamp'].size).toBe(1);
    const origins = timeline.scan(kindRange(KIND_REPLICATION_ORIGIN));
    expect(origins.map(({ value }) => decodeOrigin(value).remoteLsn)).toEqual([0xabcdef]);
    timeline.restart();
    const { nextXid, ...counters } = createCounters(control);
    expect(timeline.state.counters).toMatchObject(counters);
    expect(timeline.state.counters.nextXid - nextXid).toBeLessThan(1024);
    expect(timeline.state.oldestRunningXid).toBe(nextXid);
  });

  test('refuses one that was not stopped cleanly', async () => {
    const change = async (directory: string): Promise<void> => {
      const path = join(directory, 'global/pg_control');
      const control = decodeControlFile(POSTGRES_17, await readFile(path));
      await writeFile(path, encodeControlFile(POSTGRES_17, { ...control, state: 'in production' }));
    };
    await expect(importChanged(change)).rejects.toMatchObject({ code: 'CLUSTER_NOT_SHUT_DOWN' });
  });

  test('refuses tablespaces', async () => {
    const change = async (directory: string): Promise<void> => {
      await mkdir(join(directory, 'pg_tblspc/16500'), { recursive: true });
    };
    await expect(importChanged(change)).rejects.toMatchObject({ code: 'CLUSTER_HAS_TABLESPACES' });
  });

  test('refuses pages and files that are damaged', async () => {
    const damage =
      (path: string, offset: number) =>
      async (directory: string): Promise<void> => {
        const bytes = await readFile(join(directory, path));
        bytes[offset] = (bytes[offset] as number) ^ 1;
        await writeFile(join(directory, path), bytes);
      };
    await expect(importChanged(damage(tablePath, 70 * 8192 + 5000))).rejects.toMatchObject({
      code: 'BAD_PAGE_CHECKSUM',
      message: expect.stringContaining('block 70'),
    });
    const origins = damage('pg_logical/replorigin_checkpoint', 5);
    await expect(importChanged(origins)).rejects.toMatchObject({ code: 'BAD_ORIGINS_FILE' });
    await expect(importChanged(damage('global/pg_control', 30))).rejects.toMatchObject({
      kind: 'corruption',
    });
  });
});
