// A compute that subscribes to a stock server: what it has taken in, and how far it is, come from storage again.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { errorOf, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 180_000;
const POLL = { timeout: 60_000, interval: 50 };
const EXIT_BAD_REQUEST = 2;
const NAME = 'news';

let world: VarveWorld;
let publisher: StockPostgres;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
  publisher = await StockPostgres.create({ major: 17, settings: { wal_level: 'logical' } });
  await publisher.start();
}, TIMEOUT_MS);

afterAll(async () => {
  await publisher?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** Rows that came twice count twice: there is no key. */
const SUMMARY =
  'SELECT count(*)::int AS n, count(DISTINCT id)::int AS distinct, sum(id)::int AS sum FROM told';

const told = async (url: string): Promise<unknown> => (await query(url, SUMMARY))[0];

/** Waits until all that the publisher has is there once. */
async function untilEqual(url: string): Promise<void> {
  const [wanted] = await publisher.query(SUMMARY);
  await expect.poll(() => told(url), POLL).toEqual(wanted);
}

const publish = (from: number, to: number): Promise<unknown> =>
  publisher.query(`INSERT INTO told SELECT generate_series(${from}, ${to})`);

test('a subscription goes on where it was after a stop, and after a kill, without loss and without repetition', {
  timeout: TIMEOUT_MS,
}, async () => {
  await publisher.query('CREATE TABLE told (id int)');
  await publisher.query(`CREATE PUBLICATION ${NAME} FOR TABLE told`);
  await publish(1, 1000);
  const first = world.spawnCompute(world.main, 'subscriber-1');
  const { url } = await readyLine(first);
  await query(url, 'CREATE TABLE told (id int)');
  const server = `host=${publisher.socketDirectory} port=${publisher.port} user=postgres dbname=postgres`;
  await query(url, `CREATE SUBSCRIPTION ${NAME} CONNECTION '${server}' PUBLICATION ${NAME}`);
  await untilEqual(url);
  // PostgreSQL's default is off: what was told is then forgotten by the publisher before a quorum has it.
  const waits = async (): Promise<unknown> =>
    (await query(url, 'SELECT subsynccommit AS waits FROM pg_subscription'))[0]?.['waits'];
  await expect.poll(waits, POLL).toBe('on');
  await publish(1001, 2000);
  await untilEqual(url);
  expect(await first.kill('SIGTERM')).toBe(0);

  await publish(2001, 3000);
  const second = world.spawnCompute(world.main, 'subscriber-1');
  const { url: secondUrl } = await readyLine(second);
  let last = 3000;
  let isEnough = false;
  const traffic = (async () => {
    while (!isEnough) {
      await publish(last + 1, last + 10);
      last += 10;
    }
  })();
  const seen = async (): Promise<number> => ((await told(secondUrl)) as { n: number }).n;
  await expect.poll(seen, POLL).toBeGreaterThan(3500);
  expect(await second.kill('SIGKILL')).toBe('SIGKILL');
  isEnough = true;
  await traffic;

  const third = world.spawnCompute(world.main, 'subscriber-2');
  const { url: thirdUrl } = await readyLine(third);
  await untilEqual(thirdUrl);
  await publish(last + 1, last + 1000);
  await untilEqual(thirdUrl);
  expect(await third.kill('SIGTERM')).toBe(0);
});

test('a publisher is not told of what no quorum has', { timeout: TIMEOUT_MS }, async () => {
  const agent = world.spawnCompute(world.main, 'subscriber-3');
  const { url } = await readyLine(agent);
  await untilEqual(url);
  const resume = world.pauseQuorum();
  try {
    await publish(1_000_001, 1_000_010);
    const [{ lsn }] = (await publisher.query('SELECT pg_current_wal_lsn()::text AS lsn')) as [
      { lsn: string },
    ];
    const waiting = async (): Promise<unknown> =>
      await query(
        url,
        "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'logical replication apply worker'",
      );
    await expect.poll(waiting, POLL).toEqual([{ wait_event: 'SyncRep' }]);
    const slots = await publisher.query(
      `SELECT confirmed_flush_lsn < '${lsn}' AS keeps FROM pg_replication_slots WHERE slot_name = '${NAME}'`,
    );
    expect(slots).toEqual([{ keeps: true }]);
    expect(await agent.kill('SIGKILL')).toBe('SIGKILL');
  } finally {
    resume();
  }
  const next = world.spawnCompute(world.main, 'subscriber-3');
  const { url: nextUrl } = await readyLine(next);
  await untilEqual(nextUrl);
  await query(nextUrl, `DROP SUBSCRIPTION ${NAME}`);
  expect(await next.kill('SIGTERM')).toBe(0);
});

test('a logical slot cannot be made, and the level that it needs cannot be asked for', {
  timeout: TIMEOUT_MS,
}, async () => {
  const refused = world.spawnCompute(world.main, 'slot-1', ['--set', 'wal_level=logical']);
  expect(await refused.ended).toBe(EXIT_BAD_REQUEST);
  expect(errorOf(refused)).toMatchObject({
    code: 'SETTING_FIXED',
    message: expect.stringMatching(/a logical slot is in no WAL/),
  });
  const agent = world.spawnCompute(world.main, 'slot-1');
  const { url } = await readyLine(agent);
  await expect(query(url, "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')")).rejects.toThrow(
    /logical decoding requires "wal_level" >= "logical"/,
  );
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a slot’s state that somebody has put into the WAL keeps no server from starting', {
  timeout: TIMEOUT_MS,
}, async () => {
  await publisher.query("SELECT pg_create_logical_replication_slot('planted', 'pgoutput')");
  await publisher.query('CHECKPOINT');
  const [{ state }] = (await publisher.query(
    "SELECT encode(pg_read_binary_file('pg_replslot/planted/state'), 'hex') AS state",
  )) as [{ state: string }];
  const agent = world.spawnCompute(world.main, 'slot-2');
  const { url } = await readyLine(agent);
  await query(
    url,
    `SELECT pg_logical_emit_message(true, 'varve-file:pg_replslot/planted/state', '\\x${state}'::bytea)`,
  );
  // Its positions are to lie behind the end of the branch's WAL.
  await query(
    url,
    "SELECT pg_logical_emit_message(false, '', repeat('x', 1000000)) FROM generate_series(1, 40)",
  );
  expect(await agent.kill('SIGTERM')).toBe(0);
  const next = world.spawnCompute(world.main, 'slot-2');
  const { url: nextUrl } = await readyLine(next);
  expect(next.log).toContainEqual(expect.objectContaining({ level: 'warn', names: ['planted'] }));
  expect(await query(nextUrl, 'SELECT slot_name, slot_type FROM pg_replication_slots')).toEqual([
    { slot_name: 'varve', slot_type: 'physical' },
  ]);
  expect(await next.kill('SIGTERM')).toBe(0);
});
