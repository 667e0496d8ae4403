import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId, type TimelineId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { TimelineInfo } from '../../src/contracts/pageserver-api-timeline.ts';
import { wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import type { WalReceiverState } from '../../src/pageserver/ingest/receiver/receiver-state.ts';
import { formatKey } from '../../src/pageserver/keyspace/key.ts';
import { relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { RM_XACT } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_XACT_COMMIT } from '../../src/postgres/rmgr/xact.ts';
import { MADE_RELATION, MADE_START, type Side, VICTIM } from './bad-input-world.ts';
import { HttpWorld } from './http-world.ts';

const { signal } = new AbortController();
const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);
const FIRST_COMMIT_MS = Date.UTC(2026, 0, 1);
const FIRST_XID = 4096;
const idOf = (digit: string): TimelineId => parseTimelineId(digit.repeat(32));

let receiver: WalReceiverState | undefined;
let world: HttpWorld;
let tenant: string;
let timeline: string;
let client: PageserverClient;
const commits: Lsn[] = [];

/** A commit a second after the one before. */
function commit(side: Side): void {
  const time = new DataView(new ArrayBuffer(8));
  const timeMs = FIRST_COMMIT_MS + commits.length * 1000;
  time.setBigInt64(0, BigInt(timeMs - POSTGRES_EPOCH_MS) * 1000n, true);
  const mainData = new Uint8Array(time.buffer);
  const xid = FIRST_XID + commits.length;
  commits.push(
    side.writer.append({ resourceManager: RM_XACT, info: XLOG_XACT_COMMIT, xid, mainData }).endLsn,
  );
}

beforeAll(async () => {
  world = await HttpWorld.open({ extensions: { receivers: { stateOf: () => receiver } } });
  const { victim } = world.made;
  for (let count = 0; count < 3; count++) {
    victim.append(3);
    commit(victim);
  }
  await victim.fill(4);
  tenant = `/v1/tenant/${victim.tenantId}`;
  timeline = `${tenant}/timeline/${VICTIM}`;
  client = new PageserverClient({
    http: {
      serve: () => Promise.reject(new Error('not served')),
      request: (request) => world.app.handler(request, 'test'),
    },
    clock: nodeClock,
    baseUrl: 'http://pageserver:9898',
  });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const create = (body: object) => world.ask('POST', `${tenant}/timeline`, body);
const remove = (id: TimelineId) => world.ask('DELETE', `${tenant}/timeline/${id}`);

test('a branch is made once, however often it is asked for, and no other under its name', async () => {
  const id = idOf('5');
  const body = {
    new_timeline_id: id,
    ancestor_timeline_id: VICTIM,
    ancestor_start_lsn: formatLsn(commits[1]!),
  };
  const first = await create(body);
  expect(first).toMatchObject({
    status: 201,
    body: {
      timeline_id: id,
      ancestor_timeline_id: VICTIM,
      ancestor_lsn: formatLsn(commits[1]!),
      last_record_lsn: formatLsn(commits[1]!),
      pg_version: 17,
      state: 'Active',
      within_ancestor_pitr: true,
    },
  });
  expect(await create(body)).toMatchObject({ status: 201 });
  const other = await create({ ...body, ancestor_start_lsn: formatLsn(commits[0]!) });
  expect(other).toMatchObject({ status: 409, body: { code: 'TIMELINE_EXISTS' } });
  const child = idOf('6');
  const branchOf = { new_timeline_id: child, ancestor_timeline_id: id };
  const below = await create({ ...branchOf, ancestor_start_lsn: formatLsn(commits[0]!) });
  expect(below).toMatchObject({
    status: 406,
    body: { msg: expect.stringMatching(/^invalid branch start lsn: less than timeline ancestor lsn/) },
  });
  const belowAll = await create({
    new_timeline_id: child,
    ancestor_timeline_id: VICTIM,
    ancestor_start_lsn: formatLsn(MADE_START - 8),
  });
  expect(belowAll).toMatchObject({ status: 406, body: { code: 'BAD_BRANCH_POINT' } });
  const later = await create({ ...branchOf, ancestor_start_lsn: 'F/0' });
  expect(later).toMatchObject({ status: 503, body: { code: 'LSN_NOT_REACHED' } });
  const ofNobody = await create({ new_timeline_id: child, ancestor_timeline_id: idOf('9') });
  expect(ofNobody).toMatchObject({ status: 404, body: { code: 'TIMELINE_NOT_FOUND' } });
  expect((await remove(id)).status).toBe(202);
});

test('while a branch is being made, another request for it is told to come again', async () => {
  const id = idOf('5');
  const body = { new_timeline_id: id, ancestor_timeline_id: VICTIM };
  const held = Promise.withResolvers<void>();
  world.objects.before = (request, key) =>
    request === 'put' && key.includes(id) ? held.promise : Promise.resolve();
  const making = create(body);
  await expect.poll(async () => (await create(body)).status).toBe(429);
  expect(await create(body)).toMatchObject({ body: { code: 'TIMELINE_BEING_CREATED' } });
  held.resolve();
  expect((await making).status).toBe(201);
  world.objects.before = async () => undefined;
  expect((await remove(id)).status).toBe(202);
});

test('HT-01: a timeline is made at once behind its tenant, by a client that repeats what is 503', async () => {
  const tenantId = parseTenantId('c'.repeat(32));
  const held = Promise.withResolvers<void>();
  world.objects.before = (_, key) => (key.includes(tenantId) ? held.promise : Promise.resolve());
  const path = `/v1/tenant/${tenantId}`;
  const attaching = world.ask('PUT', `${path}/location_config`, { mode: 'AttachedSingle', tenant_conf: {} });
  await expect.poll(() => world.made.world.storage.statusOf(tenantId)?.state).toBe('attaching');
  const statuses = new Set<number>();
  const body = { new_timeline_id: idOf('5'), ancestor_timeline_id: idOf('6') };
  for (let round = 0; round < 200; round++) {
    const { status } = await world.ask('POST', `${path}/timeline`, body);
    statuses.add(status);
    if (status !== 503) break;
    if (round === 2) held.resolve();
  }
  // Its ancestor is not there: that is said once the tenant is active, and not before.
  expect([...statuses]).toEqual([503, 404]);
  expect((await attaching).status).toBe(200);
  world.objects.before = async () => undefined;
});

test('PS-09: while a tenant is being changed, others that would change it are told so, and succeed later', async () => {
  const tenantId = parseTenantId('d'.repeat(32));
  const held = Promise.withResolvers<void>();
  world.objects.before = (_, key) => (key.includes(tenantId) ? held.promise : Promise.resolve());
  const path = `/v1/tenant/${tenantId}/location_config`;
  const location = { mode: 'AttachedSingle', tenant_conf: { gc_horizon: 1234 } };
  const first = world.ask('PUT', path, location);
  await expect.poll(() => world.made.world.storage.statusOf(tenantId)?.state).toBe('attaching');
  for (const body of [location, { mode: 'Detached', tenant_conf: {} }]) {
    expect(await world.ask('PUT', path, body)).toMatchObject({
      status: 409,
      body: { code: 'TENANT_BUSY', msg: expect.stringContaining('is being') },
    });
  }
  expect(await world.ask('GET', `/v1/location_config/${tenantId}`)).toMatchObject({
    status: 200,
    body: null,
  });
  held.resolve();
  expect(await first).toMatchObject({ status: 200, body: { shards: [{ shard_id: tenantId, node_id: 7 }] } });
  expect((await world.ask('PUT', path, location)).status).toBe(200);
  const shown = await world.ask('GET', `/v1/location_config/${tenantId}`);
  expect(shown).toMatchObject({ body: { mode: 'AttachedSingle', tenant_conf: { gc_horizon: 1234 } } });
  const { generation } = shown.body as { generation: number };
  expect((await world.ask('PUT', path, { ...location, generation: generation + 5 })).status).toBe(200);
  expect(await world.ask('PUT', path, { ...location, generation })).toMatchObject({ status: 400 });
  expect((await world.ask('PUT', path, { mode: 'Detached', tenant_conf: {} })).status).toBe(200);
  expect((await world.ask('GET', `/v1/location_config/${tenantId}`)).status).toBe(404);
  world.objects.before = async () => undefined;
});

test('a timeline with branches is not deleted; a deletion is repeated until nothing is left', async () => {
  const id = idOf('5');
  await create({ new_timeline_id: id, ancestor_timeline_id: VICTIM });
  expect(await remove(VICTIM)).toMatchObject({
    status: 412,
    body: { msg: expect.stringContaining(`Cannot delete timeline which has child timelines: [${id}]`) },
  });
  expect(await remove(id)).toMatchObject({ status: 202, body: null });
  expect(await remove(id)).toMatchObject({ status: 404, body: { code: 'TIMELINE_NOT_FOUND' } });
});

test('a deletion that has failed goes on when it is repeated, wherever it has failed, and nobody takes the name before', async () => {
  const id = idOf('5');
  const body = { new_timeline_id: id, ancestor_timeline_id: VICTIM };
  for (const failing of ['list', 'get'] as const) {
    expect((await create(body)).status).toBe(201);
    let failures = 1;
    world.objects.fate = (request, key) =>
      request === failing && key.includes(id) && failures-- > 0 ? 'fail' : 'work';
    expect(await remove(id)).toMatchObject({ status: 503, body: { code: 'OBJECT_STORE' } });
    expect(await create(body)).toMatchObject({
      status: 503,
      body: { code: 'TIMELINE_BUSY', msg: expect.stringContaining('delete it once more') },
    });
    expect(await create({ new_timeline_id: idOf('6'), ancestor_timeline_id: id })).toMatchObject({
      status: 404,
      body: { code: 'TIMELINE_NOT_FOUND' },
    });
    expect((await remove(id)).status).toBe(202);
    expect(await remove(id)).toMatchObject({ status: 404, body: { code: 'TIMELINE_NOT_FOUND' } });
    expect((await world.objects.keys()).filter((each) => each.includes(id))).toEqual([]);
  }
  expect((await create(body)).status).toBe(201);
  expect((await remove(id)).status).toBe(202);
  world.objects.fate = () => 'work';
});

test('an archived timeline has no new branches, and its branches come first', async () => {
  const id = idOf('5');
  await create({ new_timeline_id: id, ancestor_timeline_id: VICTIM });
  const archive = (which: TimelineId, state: string) =>
    world.ask('PUT', `${tenant}/timeline/${which}/archival_config`, { state });
  expect(await archive(VICTIM, 'Archived')).toMatchObject({
    status: 412,
    body: { msg: expect.stringContaining('Cannot archive timeline which has non-archived child timelines') },
  });
  expect((await archive(id, 'Archived')).status).toBe(200);
  expect((await archive(id, 'Archived')).status).toBe(200);
  expect(await world.ask('GET', `${tenant}/timeline/${id}`)).toMatchObject({ body: { is_archived: true } });
  const child = await create({ new_timeline_id: idOf('6'), ancestor_timeline_id: id });
  expect(child).toMatchObject({ status: 406, body: { code: 'ANCESTOR_ARCHIVED' } });
  expect((await archive(id, 'Unarchived')).status).toBe(200);
  expect((await remove(id)).status).toBe(202);
});

test('a branch begins at a time: with what was committed up to it', async () => {
  const id = idOf('5');
  const at = (ms: number) => ({
    new_timeline_id: id,
    ancestor_timeline_id: VICTIM,
    ancestor_start_time: new Date(FIRST_COMMIT_MS + ms).toISOString(),
  });
  const made = await create(at(1500));
  expect(made.status).toBe(201);
  const info = await client.timeline({ tenant_shard_id: shard(), timeline_id: id }, signal);
  // Behind the second commit, and before the third.
  expect(info.ancestor_lsn).toBeGreaterThanOrEqual(commits[1]!);
  expect(info.ancestor_lsn).toBeLessThan(commits[2]!);
  expect((await create(at(1500))).status).toBe(201);
  expect((await create(at(-1))).status).toBe(406);
  expect((await remove(id)).status).toBe(202);
  expect((await create(at(-1))).status).toBe(406);
});

const shard = () => wholeTenant(world.made.world.tenantId);
const key = () => ({ tenant_shard_id: shard(), timeline_id: VICTIM });

test('LSNs are found by their times, and times by their LSNs', async () => {
  const second = FIRST_COMMIT_MS + 1000;
  expect(await client.timestampOfLsn(key(), commits[1]!, signal)).toBe(second);
  const found = await client.lsnByTimestamp(key(), second, true, signal);
  expect(found.kind).toBe('present');
  expect(found.lsn).toBeGreaterThanOrEqual(commits[1]!);
  expect(found.valid_until).toBeGreaterThan(nodeClock.wallMs());
  expect((await client.lsnByTimestamp(key(), second - 5000, false, signal)).kind).toBe('past');
  expect((await client.lsnByTimestamp(key(), second + 5000, false, signal)).kind).toBe('future');
  await expect(client.timestampOfLsn(key(), MADE_START, signal)).rejects.toMatchObject({
    kind: 'precondition',
    code: 'NO_COMMIT_BEFORE_LSN',
  });
  await expect(client.timestampOfLsn(key(), toLsn(2 ** 40), signal)).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'LSN_NOT_REACHED',
  });
});

test('an LSN is leased, and not one that is forgotten or to come', async () => {
  expect((await client.leaseLsn(key(), commits[0]!, signal)).valid_until).toBeGreaterThanOrEqual(0);
  await expect(client.leaseLsn(key(), toLsn(8), signal)).rejects.toMatchObject({
    kind: 'precondition',
    reason: expect.stringMatching(/^invalid lsn lease request/),
  });
  await expect(client.leaseLsn(key(), toLsn(2 ** 40), signal)).rejects.toMatchObject({ kind: 'unavailable' });
});

test('waiting for LSNs says whether all, some or none were reached', async () => {
  const other = world.made.others[0]!.timelineId;
  const far = toLsn(2 ** 40);
  const wait = (lsns: [TimelineId, Lsn][]) => client.waitLsn(shard(), new Map(lsns), 5, signal);
  expect(await wait([[VICTIM, commits[0]!]])).toBe('all');
  expect(
    await wait([
      [VICTIM, commits[0]!],
      [other, far],
    ]),
  ).toBe('some');
  expect(await wait([[VICTIM, far]])).toBe('none');
  await expect(wait([[idOf('9'), far]])).rejects.toMatchObject({ code: 'TIMELINE_NOT_FOUND' });
});

test('DB-01: a timeline says how its WAL comes, while it does and afterwards', async () => {
  const info = async () => (await world.ask('GET', timeline)).body as Record<string, unknown>;
  expect(await info()).toMatchObject({ walreceiver_status: 'not receiving' });
  const connection = {
    nodeId: 3,
    address: 'one:5454',
    sinceMs: 0,
    streamedLsn: commits[1]!,
    serverEndLsn: commits[2]!,
  };
  const state = { waitingBytes: 0, lastFailure: undefined, isDamaged: false, sources: [] };
  receiver = { ...state, status: 'streaming', connection };
  expect(await info()).toMatchObject({
    walreceiver_status: expect.stringMatching(/^streaming; from safekeeper 3 at one:5454/),
    wal_source_connstr: 'one:5454',
    last_received_msg_lsn: formatLsn(commits[1]!),
  });
  const lastFailure = { nodeId: 3, atMs: 0, code: 'X', message: 'it was closed', isDamage: false };
  receiver = { ...state, status: 'waiting', connection, lastFailure };
  expect(await info()).toMatchObject({
    walreceiver_status: expect.stringMatching(
      /^waiting; last from safekeeper 3 .*; safekeeper 3 failed last: it was closed$/,
    ),
  });
  receiver = { ...receiver, lastFailure: { ...lastFailure, nodeId: undefined, message: 'bad layer' } };
  expect(await info()).toMatchObject({
    walreceiver_status: expect.stringMatching(
      /; this pageserver, and no safekeeper, failed last: bad layer$/,
    ),
  });
  receiver = undefined;
});

test('PS-18: one client says and understands what the API does', async () => {
  expect(await client.status(signal)).toEqual({ id: 7 });
  expect((await client.utilization(signal)).shard_count).toBeGreaterThanOrEqual(2);
  const [info] = (await client.listTenants(signal)).filter(({ id }) => id.tenantId === shard().tenantId);
  expect(info).toMatchObject({ state: { slug: 'Active' }, attachment_status: { slug: 'attached' } });
  expect((await client.tenant(shard(), signal)).timelines).toContain(VICTIM);
  const listed: TimelineInfo[] = await client.listTimelines(shard(), signal);
  expect(listed.map(({ timeline_id }) => timeline_id)).toContain(VICTIM);
  const detail = await client.timeline(key(), signal);
  expect(detail.current_logical_size).toBeGreaterThan(0);
  expect(detail.last_record_lsn).toBe(world.made.victim.writer.position);
  await client.putConfig(shard().tenantId, { gc_horizon: 5000, pitr_interval: '0s' }, signal);
  await client.patchConfig(shard().tenantId, { gc_horizon: null, lsn_lease_length: '7s' }, signal);
  const { tenant_specific_overrides, effective_config } = await client.config(shard(), signal);
  expect(tenant_specific_overrides).toEqual({ pitr_interval: '0s', lsn_lease_length: '7s' });
  expect(effective_config).toMatchObject({ gc_horizon: 64 * 1024 * 1024, lsn_lease_length: '7s' });
  await client.checkpoint(key(), { waitsForUpload: true }, signal);
  const { historic_layers } = await client.layers(key(), signal);
  expect(historic_layers.length).toBeGreaterThan(1);
  expect((await client.collectGarbage(key(), 0, signal)).layers_total).toBe(historic_layers.length);
  const { size, segment_sizes } = await client.syntheticSize(shard(), signal);
  expect(size).toBeGreaterThan(0);
  expect(segment_sizes.length).toBeGreaterThan(0);
  await expect(client.tenant(wholeTenant(parseTenantId('b'.repeat(32))), signal)).rejects.toMatchObject({
    kind: 'not-found',
    code: 'TENANT_NOT_FOUND',
  });
});

test('what a history costs is a picture for who wants one', async () => {
  const headers = { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' };
  const { headers: given, body } = await world.send(
    new Request(`http://test${tenant}/synthetic_size`, { headers }),
  );
  expect(given.get('content-type')).toBe('text/html');
  expect(body).toMatch(/^<!doctype html>.*<svg.*<circle.*<\/svg>/s);
});

test('layers are listed and fetched, and values read by their keys', async () => {
  const { historic_layers } = await client.layers(key(), signal);
  const name = historic_layers[0]!.layer_file_name;
  expect(await world.ask('GET', `${timeline}/layer/${name}`)).toMatchObject({ status: 304, body: '' });
  const { body } = await world.ask('GET', `${timeline}/keyspace`);
  const { keys } = body as { keys: [string, string][] };
  const block = formatKey(relationBlockKey(MADE_RELATION, 0, 1));
  expect(keys.some(([start, end]) => start <= block && block < end)).toBe(true);
  const page = await world.ask('GET', `${timeline}/getpage?key=${block}`);
  const { img } = page.body as { img: string };
  expect(Buffer.from(img, 'base64')).toHaveLength(8192);
  const nothing = formatKey(relationBlockKey(MADE_RELATION, 0, 1000));
  expect(await world.ask('GET', `${timeline}/getpage?key=${nothing}`)).toMatchObject({ body: { img: null } });
});

test('PC-02: whatever is read is counted by what it was read for', async () => {
  const text = (await world.ask('GET', '/metrics')).body as string;
  const kinds = [...text.matchAll(/^pageserver_page_cache_read_\w+\{.*task_kind="([^"]*)"/gm)].map(
    ([, kind]) => kind,
  );
  expect(kinds).toContain('administration');
  expect(kinds).not.toContain('Unknown');
  expect(kinds).not.toContain('');
});
