import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CONTROL_FILE_PATH, decodeControlFile } from '../../src/postgres/files/control-file.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_NOOP } from '../../src/postgres/rmgr/xlog.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { RECORD_CHECK_CONSISTENCY } from '../../src/postgres/wal/record-header.ts';
import { formatSegmentName, isSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { ConsistencyFlags, wasStoppedByItsCheck } from './consistency-flags.ts';

function readWal(directory: string): Map<string, Buffer> {
  const names = readdirSync(join(directory, 'pg_wal')).filter(isSegmentName);
  return new Map(names.map((name) => [name, readFileSync(join(directory, 'pg_wal', name))]));
}

test('a server that its own check keeps from starting starts without it, and the WAL comes back', {
  timeout: 60_000,
}, async () => {
  await using server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: {
      fsync: false,
      wal_consistency_checking: 'gist',
      wal_keep_size: '1TB',
      autovacuum: false,
      full_page_writes: false,
    },
  });
  await server.start();
  const client = await server.connect();
  await client.query('create table t (p point, n int)');
  await client.query('create index t_p on t using gist (p)');
  await client.query('insert into t select point(i, i), i from generate_series(1, 1000) i');
  await client.query('checkpoint');
  await client.query('delete from t');
  // A scan marks the dead entries, and the insertions into the full page remove them: GiST DELETE.
  await client.query('set enable_seqscan = off');
  await client.query('set enable_bitmapscan = off');
  await client.query("select * from t where p <@ box '(0,0),(2000,2000)'");
  await client.query('insert into t select point(i, i), i from generate_series(1, 1000) i');
  await client.query('insert into t select point(i, i), i from generate_series(1, 1000) i');
  await client.end();
  await server.crash();

  const stopped = await server.start().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(wasStoppedByItsCheck(stopped), String(stopped)).toBe(true);
  const before = readWal(server.dataDirectory);
  const flags = new ConsistencyFlags(POSTGRES_17, server.dataDirectory);
  flags.strip();
  expect(flags.patchedBytes).toBeGreaterThan(0);
  await server.start();
  const [row] = await server.query<{ count: string }>('select count(*) from t');
  expect(row?.count).toBe('2000');
  await server.stop('immediate');
  flags.restore();
  const after = readWal(server.dataDirectory);
  for (const [name, bytes] of before) {
    const now = after.get(name);
    // The server has gone on writing in the last segment, after what it had written before.
    const written =
      bytes.length -
      Math.max(
        0,
        [...bytes].toReversed().findIndex((byte) => byte !== 0),
      );
    expect(now?.subarray(0, written).equals(bytes.subarray(0, written)), name).toBe(true);
  }
});

test('a long recovery has more bytes to change than a function can have arguments', async () => {
  await using server = await StockPostgres.create({ major: 17 });
  const { dataDirectory } = server;
  const control = decodeControlFile(POSTGRES_17, readFileSync(join(dataDirectory, CONTROL_FILE_PATH)));
  const { redo, thisTimelineId: timelineId } = control.checkPointCopy;
  const { walSegmentBytes: segmentBytes, systemIdentifier } = control;
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier,
    timelineId,
    segmentBytes,
    startLsn: redo,
    previousLsn: 0,
  });
  const records = 40_000;
  const info = XLOG_NOOP | RECORD_CHECK_CONSISTENCY;
  for (let count = 0; count < records; count++) {
    writer.append({ resourceManager: RM_XLOG, info, mainData: new Uint8Array(4) });
  }
  const segment = Math.floor(redo / segmentBytes);
  const path = join(dataDirectory, 'pg_wal', formatSegmentName(timelineId, segment, segmentBytes));
  const before = readFileSync(path);
  before.set(writer.take(), writer.baseLsn % segmentBytes);
  writeFileSync(path, before);
  const flags = new ConsistencyFlags(POSTGRES_17, dataDirectory);
  flags.strip();
  expect(flags.patchedBytes).toBe(5 * records);
  expect(readFileSync(path).equals(before)).toBe(false);
  flags.restore();
  expect(readFileSync(path).equals(before)).toBe(true);
});
