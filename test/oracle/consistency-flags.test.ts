import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { isSegmentName } from '../../src/postgres/wal/segment-name.ts';
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
