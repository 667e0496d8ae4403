// All that there is, as processes: safekeepers, a pageserver, stock servers, and proposers between them.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { type CanonicalDump, canonicalDump, firstDifference } from '../support/canonical-dump.ts';
import { checkRelations } from '../support/check-relations.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import { findLosses, prepareTraffic, Traffic } from './traffic.ts';
import { type Compute, flushedLsn, signal, VarveWorld } from './varve-world.ts';

const TIMEOUT_MS = 120_000;
const POLL = { timeout: 20_000, interval: 20 };
/** Of a row that stays prepared on main. */
const HELD_ID = 9_000_001;
const BRANCH = parseTimelineId('3'.repeat(32));

let world: VarveWorld;
let compute: Compute;
let created: Record<string, unknown>;
/** What main had at an LSN in the middle of its history. */
let middle: { readonly lsn: Lsn; readonly dump: CanonicalDump };
const acknowledged: number[] = [];

beforeAll(async () => {
  world = await VarveWorld.start();
  created = await world.createTimeline();
  expect(created).toMatchObject({ tenantId: world.tenantId, timelineId: world.main });
  compute = await world.startCompute(world.main);
}, TIMEOUT_MS);

afterAll(async () => {
  await compute?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** Sequences are passed over: WAL tells of numbers before they are given out. */
async function dump(server: StockPostgres): Promise<CanonicalDump> {
  const sections = await canonicalDump(server, { withCatalogRows: true });
  return sections.filter(({ title }) => !title.endsWith(': sequences'));
}

async function expectSound(server: StockPostgres): Promise<void> {
  const { heaps, problems } = await checkRelations(server, 'postgres');
  expect(problems).toEqual([]);
  expect(heaps).toBeGreaterThan(50);
}

test('DB-01: what a server was acknowledged reaches the pageserver, which shows how', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { server } = compute;
  await prepareTraffic(server);
  const traffic = Traffic.start(server, [0, 1]);
  await traffic.progress(200);
  await traffic.stop();
  acknowledged.push(...traffic.acknowledged);
  await server.query(`
    BEGIN;
    INSERT INTO ledger VALUES (${HELD_ID}, 9, 'x');
    UPDATE balances SET balance = 1 WHERE client = 9;
    PREPARE TRANSACTION 'held'`);
  const lsn = await flushedLsn(server);
  await world.received(world.main, lsn);
  const info = await world.info(world.main);
  expect(info.last_record_lsn).toBeGreaterThanOrEqual(lsn);
  expect(info.last_received_msg_lsn).toBeGreaterThanOrEqual(lsn);
  const source = world.safekeeperAt(info.wal_source_connstr);
  expect(world.safekeeperIds).toContain(source);
  expect(info.walreceiver_status).toMatch(new RegExp(`^streaming; from safekeeper ${source} at `));
  expect(info.poisoned_records).toBe(0);
  middle = { lsn, dump: await dump(server) };
});

test('a timeline that is created once more is what it was created as', { timeout: TIMEOUT_MS }, async () => {
  expect(await world.createTimeline()).toEqual(created);
  expect((await world.info(world.main)).last_record_lsn).toBeGreaterThanOrEqual(middle.lsn);
});

test('what is in the bucket is told to the safekeepers', { timeout: TIMEOUT_MS }, async () => {
  const before = await world.info(world.main);
  expect(before.remote_consistent_lsn_visible).toBeLessThan(middle.lsn);
  await world.client.checkpoint(world.keyOf(world.main), { waitsForUpload: true }, signal());
  const { remote_consistent_lsn_visible: visible } = await world.info(world.main);
  expect(visible).toBeGreaterThanOrEqual(middle.lsn);
  for (const id of world.safekeeperIds) {
    const told = async () => (await world.safekeeperStatus(id, world.main)).remote_consistent_lsn;
    await expect.poll(told, POLL).toBeGreaterThanOrEqual(visible);
  }
});

test('a pageserver that is killed in the middle of traffic goes on from the safekeepers', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { server } = compute;
  const traffic = Traffic.start(server, [2, 3]);
  await traffic.progress(100);
  const lastLsn = (await world.info(world.main)).last_record_lsn;
  expect(await world.pageserver.kill('SIGKILL')).toBe('SIGKILL');
  await traffic.progress(100);
  await world.startPageserver();
  await traffic.progress(100);
  await traffic.stop();
  acknowledged.push(...traffic.acknowledged);
  const lsn = await flushedLsn(server);
  expect(lsn).toBeGreaterThan(lastLsn);
  await world.received(world.main, lsn);
  const { poisoned_records, walreceiver_status } = await world.info(world.main);
  expect(poisoned_records).toBe(0);
  expect(walreceiver_status).toMatch(/^streaming/);
  await using restored = await world.restore(world.main);
  expect(firstDifference(await dump(restored.server), await dump(server))).toBeUndefined();
  expect(await findLosses(restored.server, acknowledged)).toEqual([]);
  await expectSound(restored.server);
});

test('a safekeeper that is killed while WAL comes from it is left for another one', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { server } = compute;
  const traffic = Traffic.start(server, [4]);
  await traffic.progress(50);
  const source = world.safekeeperAt((await world.info(world.main)).wal_source_connstr);
  if (source === undefined) throw new Error('WAL comes from nobody');
  await world.killSafekeeper(source);
  await traffic.progress(100);
  await traffic.stop();
  acknowledged.push(...traffic.acknowledged);
  await world.received(world.main, await flushedLsn(server));
  const info = await world.info(world.main);
  expect(world.safekeeperIds).toHaveLength(2);
  expect(world.safekeeperIds).toContain(world.safekeeperAt(info.wal_source_connstr));
  expect(info.walreceiver_status).toMatch(/^streaming/);
});

test('a branch has what was there where it begins, and so has main at that LSN', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { lsn } = middle;
  const branch = await world.createBranch(BRANCH, world.main, lsn);
  expect(branch).toMatchObject({ ancestor_timeline_id: world.main, state: 'Active' });
  await using past = await world.restore(world.main, lsn);
  expect(firstDifference(await dump(past.server), middle.dump)).toBeUndefined();
  await using onBranch = await world.restore(BRANCH);
  expect(firstDifference(await dump(onBranch.server), middle.dump)).toBeUndefined();
  expect(await onBranch.server.query('SELECT gid FROM pg_prepared_xacts')).toEqual([{ gid: 'held' }]);
  await expectSound(onBranch.server);
});

test('a compute on a start set of the branch writes to it, and a second one reads that', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using primary = await world.startComputeOnStartSet(BRANCH);
  await primary.server.query("COMMIT PREPARED 'held'");
  const traffic = Traffic.start(primary.server, [5, 6]);
  await traffic.progress(50);
  const before = [...traffic.acknowledged];
  await world.received(BRANCH, await flushedLsn(primary.server));
  await using reader = await world.restoreStartSet(BRANCH, 'read-only');
  await traffic.progress(50);
  await traffic.stop();
  expect(await findLosses(reader.server, [...before, HELD_ID])).toEqual([]);
  const lsn = await flushedLsn(primary.server);
  await world.received(BRANCH, lsn);
  expect((await world.info(BRANCH)).walreceiver_status).toMatch(/^streaming/);
  await using latest = await world.restoreStartSet(BRANCH, 'read-only');
  expect(firstDifference(await dump(latest.server), await dump(primary.server))).toBeUndefined();
  expect(await findLosses(latest.server, [...traffic.acknowledged, HELD_ID])).toEqual([]);
  await expect(latest.server.query('INSERT INTO ledger VALUES (2)')).rejects.toThrow(/read-only/);
  // Main knows nothing of it.
  expect(await compute.server.query('SELECT gid FROM pg_prepared_xacts')).toEqual([{ gid: 'held' }]);
  expect(await findLosses(compute.server, acknowledged)).toEqual([]);
});
