// Record kinds that the oracle's corpus cannot provoke, from servers in circumstances of their own.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CONTROL_FILE_PATH, decodeControlFile } from '../../src/postgres/files/control-file.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { getResourceManager, resourceManagers } from '../../src/postgres/rmgr/resource-managers.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { formatSegmentName, isSegmentName, parseSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { effectsOf } from '../../src/redo/effects/effects-of.ts';
import { unreachableKinds } from '../oracle/unreachable-kinds.ts';
import { readWalFiles } from '../oracle/wal-files.ts';
import { StockPostgres } from '../support/stock-postgres.ts';

const SEGMENT_BYTES = 1024 * 1024;
const XLOG_NOOP = 0x20;

interface Seen {
  readonly name: string;
  readonly body: unknown;
  readonly effects: readonly unknown[];
  readonly startLsn: number;
  readonly endLsn: number;
}

/** All records of one timeline in a data directory, decoded, from the first segment that there is. */
function readRecords(directory: string, timelineId: number): Seen[] {
  const walDirectory = join(directory, 'pg_wal');
  const segments = readdirSync(walDirectory)
    .filter(isSegmentName)
    .map((name) => parseSegmentName(name, SEGMENT_BYTES))
    .filter((name) => name.timelineId === timelineId)
    .map(({ segment }) => segment);
  const startLsn = Math.min(...segments) * SEGMENT_BYTES;
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes: SEGMENT_BYTES,
    startLsn,
    mode: 'search',
  });
  const record = new DecodedRecord(POSTGRES_17);
  const seen: Seen[] = [];
  readWalFiles(reader, { directory: walDirectory, timelineId, segmentBytes: SEGMENT_BYTES }, () => {
    reader.decode(record);
    const manager = getResourceManager(record.resourceManager, record.info, record.startLsn);
    seen.push({
      name: `${manager.name} ${manager.kindName(record.info)}`,
      body: manager.decodeBody(record),
      effects: effectsOf(record),
      startLsn: record.startLsn,
      endLsn: record.endLsn,
    });
    return true;
  });
  return seen;
}

test('the kinds that the corpus cannot reach exist', () => {
  for (const { resourceManager, kind, coveredBy } of unreachableKinds) {
    const manager = resourceManagers.find(({ name }) => name === resourceManager);
    expect(manager?.kinds).toContain(kind);
    expect(existsSync(coveredBy.slice(coveredBy.lastIndexOf(' ') + 1)), coveredBy).toBe(true);
  }
});

test('a promoted server writes END_OF_RECOVERY on its new timeline', { timeout: 60_000 }, async () => {
  await using server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: { fsync: false },
  });
  await server.start();
  await server.query('create table t as select 1 as n');
  await server.stop('fast');
  writeFileSync(join(server.dataDirectory, 'standby.signal'), '');
  await server.start();
  await server.query('select pg_promote()');
  await server.stop('immediate');
  const record = readRecords(server.dataDirectory, 2).find(({ name }) => name === 'XLOG END_OF_RECOVERY');
  expect(record?.body).toMatchObject({
    kind: 'END_OF_RECOVERY',
    timeline: 2,
    previousTimeline: 1,
    walLevel: 1,
  });
  expect(record?.effects).toMatchObject([{ kind: 'end-of-recovery', timeline: 2, previousTimeline: 1 }]);
});

test('a server at wal_level minimal writes Gist ASSIGN_LSN', { timeout: 60_000 }, async () => {
  await using server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: { fsync: false, wal_level: 'minimal', max_wal_senders: 0, wal_skip_threshold: 0 },
  });
  await server.start();
  const client = await server.connect();
  await client.query('begin');
  await client.query('create table t (p point)');
  await client.query('create index t_p on t using gist (p)');
  await client.query('insert into t select point(i, i) from generate_series(1, 2000) i');
  await client.query('commit');
  await client.end();
  await server.stop('immediate');
  const records = readRecords(server.dataDirectory, 1).filter(({ name }) => name === 'Gist ASSIGN_LSN');
  expect(records.length).toBeGreaterThan(0);
  expect(records[0]).toMatchObject({ body: { kind: 'ASSIGN_LSN' }, effects: [] });
});

test('a server replays NOOP records that we wrote, and so do we', { timeout: 60_000 }, async () => {
  await using server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: { fsync: false },
  });
  await server.start();
  await server.query('create table t as select generate_series(1, 100) as n');
  await server.stop('immediate');
  const before = readRecords(server.dataDirectory, 1);
  const last = before.at(-1);
  if (last === undefined) throw new Error('the server wrote no WAL');
  const control = decodeControlFile(POSTGRES_17, readFileSync(join(server.dataDirectory, CONTROL_FILE_PATH)));
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: control.systemIdentifier,
    timelineId: 1,
    segmentBytes: SEGMENT_BYTES,
    startLsn: last.endLsn,
    previousLsn: last.startLsn,
  });
  for (const length of [0, 3, 9000]) {
    writer.append({ resourceManager: RM_XLOG, info: XLOG_NOOP, mainData: new Uint8Array(length) });
  }
  const segment = Math.floor(last.endLsn / SEGMENT_BYTES);
  const path = join(server.dataDirectory, 'pg_wal', formatSegmentName(1, segment, SEGMENT_BYTES));
  const bytes = readFileSync(path);
  const written = writer.take().subarray(last.endLsn - writer.baseLsn);
  expect((last.endLsn % SEGMENT_BYTES) + written.length).toBeLessThan(SEGMENT_BYTES);
  bytes.set(written, last.endLsn % SEGMENT_BYTES);
  writeFileSync(path, bytes);

  await server.start();
  const log = await server.log();
  const [row] = await server.query<{ count: string }>('select count(*) from t');
  expect(row?.count).toBe('100');
  expect(log).toMatch(/redo done/);
  await server.stop('fast');
  const names = readRecords(server.dataDirectory, 1).map(({ name }) => name);
  expect(names.filter((name) => name === 'XLOG NOOP').length).toBe(3);
  expect(names.length).toBeGreaterThan(before.length + 3);
});
