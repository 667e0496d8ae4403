import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StockPostgres } from '../../../test/support/stock-postgres.ts';
import { formatLsn } from '../../base/lsn.ts';
import { POSTGRES_17 } from '../versions/version.ts';
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { decodeControlFile, encodeControlFile } from './control-file.ts';
import { formatRelationPath, parseRelationPath } from './relation-file-name.ts';
import { decodeRelationMap, encodeRelationMap } from './relation-map-file.ts';
import { parseSlruSegmentPath, slruSegmentPages } from './slru.ts';
import { decodeTwoPhaseFile, encodeTwoPhaseFile, twoPhaseFileName } from './two-phase-file.ts';

/** What the server itself says of its files, and its files as it left them. */
let server: StockPostgres;
let settings: Record<string, string>;
let checkpoint: Record<string, unknown>;
let paths: string[];
let mappedCatalogs: { oid: number; file: number; shared: boolean }[];
let databaseDirectory: string;
let preparedXid: number;
/** Paths of relation files while the server ran, temporary ones among them. */
let runningPaths: string[];

function listFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}

const read = (path: string): Uint8Array => readFileSync(join(server.dataDirectory, path));

beforeAll(async () => {
  server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: {
      allow_in_place_tablespaces: true,
      max_prepared_transactions: 3,
      max_connections: 17,
      track_commit_timestamp: true,
      wal_log_hints: true,
      wal_level: 'logical',
    },
  });
  await server.start();
  await server.query(`create tablespace elsewhere location ''`);
  const client = await server.connect();
  await client.query(`create table far (id int) tablespace elsewhere`);
  await client.query(`create unlogged table unlogged (id int)`);
  await client.query(`insert into far select generate_series(1, 1000)`);
  await client.query(`vacuum full pg_class`);
  await client.query(`create temporary table fleeting as select generate_series(1, 1000) as id`);
  await client.query(`analyze fleeting`);
  runningPaths = (await client.query(`select pg_relation_filepath('fleeting') as path`)).rows.map(
    (row) => row.path,
  );
  await client.query(`begin; insert into far values (0)`);
  preparedXid = Number((await client.query(`select pg_current_xact_id()::text as xid`)).rows[0].xid);
  await client.query(`prepare transaction 'kept'`);
  mappedCatalogs = (
    await client.query(
      `select oid::int, pg_relation_filenode(oid)::int as file, relisshared as shared
       from pg_class where relfilenode = 0 and relkind in ('r', 'i', 't')`,
    )
  ).rows;
  const catalogPath = (await client.query(`select pg_relation_filepath('pg_class') as path`)).rows[0]
    .path as string;
  databaseDirectory = catalogPath.slice(0, catalogPath.lastIndexOf('/'));
  await client.end();
  await server.query('checkpoint');
  [checkpoint] = (await server.query(`select * from pg_control_checkpoint()`)) as [Record<string, unknown>];
  const rows = await server.query<{ name: string; setting: string }>(`select name, setting from pg_settings`);
  settings = Object.fromEntries(rows.map((row) => [row.name, row.setting]));
  const identity = await server.query<{ system_identifier: string }>(`select * from pg_control_system()`);
  settings['system_identifier'] = identity[0]?.system_identifier as string;
  await server.stop();
  paths = listFiles(server.dataDirectory);
});

afterAll(async () => {
  await server.dispose();
});

describe('files of a stock cluster', () => {
  test('pg_control decodes to what the server says and encodes to the same bytes', () => {
    const bytes = read('global/pg_control');
    const control = decodeControlFile(POSTGRES_17, bytes);
    expect(encodeControlFile(POSTGRES_17, control)).toEqual(new Uint8Array(bytes));
    expect(control).toMatchObject({
      systemIdentifier: BigInt(settings['system_identifier'] as string),
      state: 'shut down',
      walLevel: 2,
      walLogHints: true,
      maxConnections: 17,
      maxWorkerProcesses: Number(settings['max_worker_processes']),
      maxWalSenders: Number(settings['max_wal_senders']),
      maxPreparedTransactions: 3,
      maxLocksPerTransaction: Number(settings['max_locks_per_transaction']),
      trackCommitTimestamp: true,
      walSegmentBytes: 2 ** 20,
      relationSegmentBlocks: Number(settings['segment_size']),
      indexMaxKeys: Number(settings['max_index_keys']),
      nameDataLength: Number(settings['max_identifier_length']) + 1,
      dataChecksumVersion: settings['data_checksums'] === 'on' ? 1 : 0,
      maxAlign: 8,
      float8ByValue: true,
      unloggedLsn: 1000,
    });
    const { checkPointCopy } = control;
    expect(checkPointCopy.redo).toBe(control.checkPoint);
    expect(checkPointCopy).toMatchObject({
      thisTimelineId: checkpoint['timeline_id'],
      prevTimelineId: checkpoint['prev_timeline_id'],
      fullPageWrites: checkpoint['full_page_writes'],
      walLevel: 2,
      oldestActiveXid: 0,
      nextMulti: Number(checkpoint['next_multixact_id']),
      nextMultiOffset: Number(checkpoint['next_multi_offset']),
      oldestXid: Number(checkpoint['oldest_xid']),
      oldestXidDb: checkpoint['oldest_xid_dbid'],
      oldestMulti: Number(checkpoint['oldest_multi_xid']),
      oldestMultiDb: checkpoint['oldest_multi_dbid'],
      oldestCommitTsXid: Number(checkpoint['oldest_commit_ts_xid']),
      newestCommitTsXid: Number(checkpoint['newest_commit_ts_xid']),
    });
    expect(`0:${checkPointCopy.nextXid}`).toBe(checkpoint['next_xid']);
    expect(formatLsn(checkPointCopy.redo)).toMatch(/^0\//);
    expect(Math.abs(Number(checkPointCopy.time) - Date.now() / 1000)).toBeLessThan(600);
  });

  test('each pg_filenode.map names the files of the mapped catalogs and encodes to the same bytes', () => {
    const maps = paths.filter((path) => path.endsWith('/pg_filenode.map'));
    expect(maps.length).toBe(4);
    for (const path of maps) {
      const bytes = read(path);
      const mappings = decodeRelationMap(POSTGRES_17, bytes, path);
      expect(encodeRelationMap(POSTGRES_17, mappings)).toEqual(new Uint8Array(bytes));
      expect(mappings.length).toBeGreaterThan(10);
    }
    for (const shared of [true, false]) {
      const mappings = decodeRelationMap(
        POSTGRES_17,
        read(`${shared ? 'global' : databaseDirectory}/pg_filenode.map`),
      );
      const ours = mappings.map(({ catalog, relation }) => `${catalog} ${relation}`).sort();
      const theirs = mappedCatalogs
        .filter((row) => row.shared === shared)
        .map((row) => `${row.oid} ${row.file}`);
      expect(ours).toEqual(theirs.sort());
    }
  });

  test('every file of a database directory is either a relation of whole pages or one of the three others', () => {
    const inDatabases = paths.filter((path) => /^(base|global|pg_tblspc)\//.test(path));
    const relations = inDatabases.filter((path) => parseRelationPath(POSTGRES_17, path) !== undefined);
    const others = inDatabases
      .filter((path) => !relations.includes(path))
      .map((path) => path.split('/').at(-1));
    expect([...new Set(others)].sort()).toEqual([
      'PG_VERSION',
      'pg_control',
      'pg_filenode.map',
      'pg_internal.init',
    ]);
    expect(relations.length).toBeGreaterThan(900);
    for (const path of relations) {
      expect(formatRelationPath(POSTGRES_17, parseRelationPath(POSTGRES_17, path) as never)).toBe(path);
      expect(read(path).length % BLOCK_BYTES).toBe(0);
    }
    expect(relations.some((path) => path.startsWith('pg_tblspc/'))).toBe(true);
    expect(relations.some((path) => path.endsWith('_init'))).toBe(true);
  });

  test("a temporary relation's path", () => {
    for (const path of runningPaths) {
      const file = parseRelationPath(POSTGRES_17, path);
      expect(file?.temporaryBackend).toEqual(expect.any(Number));
      expect(formatRelationPath(POSTGRES_17, file as never)).toBe(path);
    }
    expect(runningPaths.length).toBe(1);
  });

  test('every file of the four SLRU directories is a segment', () => {
    const files = paths.filter((path) => /^(pg_xact|pg_multixact|pg_commit_ts)\//.test(path));
    expect(new Set(files.map((path) => parseSlruSegmentPath(path)?.slru.name))).toEqual(
      new Set(['clog', 'multixact-offsets', 'multixact-members', 'commit-timestamp']),
    );
    for (const path of files) expect(slruSegmentPages(path, read(path).length)).toBeGreaterThan(0);
  });

  test('the file of a prepared transaction', () => {
    const control = decodeControlFile(POSTGRES_17, read('global/pg_control'));
    const name = twoPhaseFileName(POSTGRES_17, control.checkPointCopy.nextXid, preparedXid);
    expect(paths.filter((path) => path.startsWith('pg_twophase/'))).toEqual([`pg_twophase/${name}`]);
    const bytes = read(`pg_twophase/${name}`);
    expect(encodeTwoPhaseFile(decodeTwoPhaseFile(bytes, name))).toEqual(new Uint8Array(bytes));
  });
});
