// PostgreSQL's own expectation: WAL of successive computes, joined as safekeepers have it, is one history to a stock standby.
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseLsn } from '../../src/base/lsn.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { findDamage } from '../pageserver/start-set-world.ts';
import type { RestoredServer } from '../support/restored-server.ts';
import { safekeeperConninfo, untilReplayed } from '../support/safekeeper-standby.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 240_000;
const REPLAY_MS = 60_000;
const CLIENTS = 4;
const TRANSACTIONS = 60;
/** Longer than a page of WAL, and out of line. */
const LONG_TEXT = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 800))";
const SCHEMA = `
  CREATE EXTENSION amcheck;
  CREATE TABLE ledger (id bigserial PRIMARY KEY, client int NOT NULL, note text, tags int[], body text);
  CREATE INDEX ON ledger (client, id);
  CREATE INDEX ON ledger USING hash (note);
  CREATE INDEX ON ledger USING gin (tags);
  CREATE INDEX ON ledger USING gist (point(id, client));
  CREATE INDEX ON ledger USING brin (id);
  CREATE INDEX ON ledger USING spgist (note);
  CREATE TABLE balances (client int PRIMARY KEY, balance bigint NOT NULL);
  INSERT INTO balances SELECT i, 0 FROM generate_series(0, ${CLIENTS - 1}) i;
  CREATE SEQUENCE numbers`;
/** Each line is the same on two servers that have the same. */
const CONTENTS = [
  'SELECT id::text, client, note, tags::text, md5(body) AS body FROM ledger ORDER BY id',
  'SELECT client, balance::text FROM balances ORDER BY client',
  "SELECT relname, relkind::text, relpages >= 0 AS ok FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
];

let world: VarveWorld;
let standby: RestoredServer;
let acknowledged = 0;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await standby?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

async function transact(session: Client, client: number, number: number): Promise<void> {
  await session.query('BEGIN');
  await session.query(
    `INSERT INTO ledger (client, note, tags, body)
     VALUES ($1, $2, ARRAY[$1::int, $3::int, nextval('numbers')::int], ${LONG_TEXT})`,
    [client, `note ${client} ${number % 17}`, number % 5],
  );
  if (number % 3 === 0) {
    await session.query('SAVEPOINT inner_one');
    await session.query("UPDATE ledger SET note = note || '!' WHERE client = $1 AND id % 3 = 0", [client]);
    await session.query(number % 2 === 0 ? 'ROLLBACK TO inner_one' : 'RELEASE inner_one');
  }
  if (number % 7 === 0) await session.query('DELETE FROM ledger WHERE client = $1 AND id % 11 = 0', [client]);
  await session.query('UPDATE balances SET balance = balance + 1 WHERE client = $1', [client]);
  if (number % 5 !== 0) {
    await session.query('COMMIT');
    return;
  }
  await session.query(`PREPARE TRANSACTION 'of ${client}'`);
  await session.query(`COMMIT PREPARED 'of ${client}'`);
}

/** @param count of each client; without it they go on until the server is gone */
async function work(url: string, count: number | undefined): Promise<void> {
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      const session = await connect(url);
      try {
        for (let number = 1; count === undefined || number <= count; number++) {
          await transact(session, client, number);
          acknowledged++;
        }
      } catch (error) {
        if (count !== undefined) throw error;
      } finally {
        await session.end().catch(() => undefined);
      }
    }),
  );
}

/** A stock server with all of its pages in files, which takes WAL from safekeepers and nobody else. */
async function startStandby(): Promise<RestoredServer> {
  const { tenantId, main: timelineId, safekeeperPorts: ports } = world;
  return await world.restoreStartSet(timelineId, 'standby', {
    synchronous_standby_names: '',
    hot_standby: true,
    primary_conninfo: safekeeperConninfo({ tenantId, timelineId, ports }),
    wal_retrieve_retry_interval: '50ms',
  });
}

async function startCompute(name: string): Promise<{ process: VarveProcess; url: string }> {
  const process = world.spawnCompute(world.main, name);
  return { process, url: (await readyLine(process)).url };
}

async function expectSame(url: string, server: StockPostgres): Promise<void> {
  const [row] = await query(url, 'SELECT pg_current_wal_flush_lsn()::text AS lsn');
  await untilReplayed(server, parseLsn(row?.['lsn'] as string), REPLAY_MS);
  for (const text of CONTENTS) expect(await server.query(text)).toEqual(await query(url, text));
  // A sequence is written ahead (sequence.c, SEQ_LOG_VALS).
  const [ahead] = await server.query<{ last: number }>('SELECT last_value::int AS last FROM numbers');
  const [numbers] = await query(url, 'SELECT last_value::int AS last FROM numbers');
  const last = numbers?.['last'] as number;
  expect(ahead?.last).toBeGreaterThanOrEqual(last);
  expect(ahead?.last).toBeLessThanOrEqual(last + 32);
}

test('a stock standby replays three computes’ WAL straight through, of which one was killed as it wrote', {
  timeout: TIMEOUT_MS,
}, async () => {
  const first = await startCompute('compute-1');
  await query(first.url, SCHEMA);
  await work(first.url, TRANSACTIONS);
  const [{ lsn: startLsn }] = (await query(first.url, 'SELECT pg_current_wal_flush_lsn()::text AS lsn')) as [
    { lsn: string },
  ];
  await world.received(world.main, parseLsn(startLsn));
  standby = await startStandby();
  const { server } = standby;
  const [before] = await server.query('SELECT pg_postmaster_start_time()::text AS at');
  await work(first.url, TRANSACTIONS);
  await query(first.url, 'VACUUM ledger');
  await expectSame(first.url, server);
  expect(await first.process.kill('SIGTERM')).toBe(0);

  const second = await startCompute('compute-2');
  await query(second.url, 'CHECKPOINT');
  const killed = work(second.url, undefined);
  const target = acknowledged + CLIENTS * TRANSACTIONS;
  await expect.poll(() => acknowledged, { timeout: REPLAY_MS, interval: 5 }).toBeGreaterThan(target);
  await second.process.kill('SIGKILL');
  await killed;

  const third = await startCompute('compute-3');
  const [{ total }] = (await query(third.url, 'SELECT sum(balance)::int AS total FROM balances')) as [
    { total: number },
  ];
  expect(total).toBeGreaterThanOrEqual(acknowledged);
  expect(total).toBeLessThanOrEqual(acknowledged + CLIENTS);
  // Of a transaction that was prepared nobody has said how it ends.
  const prepared = await query(third.url, 'SELECT gid FROM pg_prepared_xacts');
  for (const { gid } of prepared) await query(third.url, `ROLLBACK PREPARED '${gid as string}'`);
  await work(third.url, TRANSACTIONS);
  await query(third.url, 'VACUUM FULL ledger');
  await work(third.url, TRANSACTIONS);
  await query(third.url, 'CHECKPOINT');
  await expectSame(third.url, server);

  expect(await server.query('SELECT pg_postmaster_start_time()::text AS at')).toEqual([before]);
  expect(await server.query('SELECT received_tli FROM pg_stat_wal_receiver')).toEqual([{ received_tli: 1 }]);
  // It looks for WAL of its own first, and finds that there is none. From then on it streams, without a word.
  const [, streaming, ...again] = (await server.logTail(1_000_000)).split('started streaming WAL');
  expect(again).toEqual([]);
  expect(streaming).not.toMatch(/invalid|incorrect|unexpected|mismatch|could not|WARNING|ERROR|FATAL|PANIC/);
  expect(await findDamage(server)).toEqual([]);
  expect(await third.process.kill('SIGTERM')).toBe(0);
});
