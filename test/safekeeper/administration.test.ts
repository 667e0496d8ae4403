import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn, toLsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { WalWorkspace } from '../../src/postgres/wal/workspace.ts';
import { dumpTimeline } from '../../src/safekeeper/administration/debug-dump.ts';
import { Timelines } from '../../src/safekeeper/timeline/timelines.ts';
import { makeWal, TEST_SEGMENT_BYTES } from '../support/safekeeper-wal.ts';
import {
  KEY,
  makeTestWal,
  membershipOf,
  newTimeline,
  OTHER_TENANT,
  OTHER_TIMELINE,
  START_LSN,
  signal,
  TENANT,
  TestSafekeeper,
  TIMELINE,
} from './running-safekeeper.ts';

const TL = `/v1/tenant/${TENANT}/timeline/${TIMELINE}`;

test('a timeline is created once, listed, described, and is there after a restart', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const client = safekeeper.client();
  expect(await client.status(signal())).toEqual({ id: 1 });
  await client.createTimeline(newTimeline(), signal());
  await client.createTimeline(newTimeline({ mconf: membershipOf(9, 1) }), signal());
  expect(await client.listTimelines(signal())).toEqual([KEY]);
  const before = await client.timelineStatus(KEY, signal());
  expect(before).toMatchObject({
    ...KEY,
    mconf: { generation: 0 },
    acceptor_state: { term: 0, epoch: 0, term_history: [{ term: 0, lsn: START_LSN }] },
    flush_lsn: START_LSN,
    commit_lsn: START_LSN,
    timeline_start_lsn: START_LSN,
    peers: [],
    walsenders: [],
    walreceivers: [],
  });
  await safekeeper.restart();
  expect(await safekeeper.client().timelineStatus(KEY, signal())).toEqual(before);
  expect((await safekeeper.ask('GET', '/v1/utilization')).json).toEqual({ timeline_count: 1 });
});

test('what can never become a timeline is refused', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const client = safekeeper.client();
  const refused = (changes: Parameters<typeof newTimeline>[0], error: object) =>
    expect(client.createTimeline(newTimeline(changes), signal())).rejects.toMatchObject(error);
  await refused({ pg_version: 120_000 }, { kind: 'bad-request', code: 'UNKNOWN_POSTGRES_VERSION' });
  await refused({ start_lsn: toLsn(START_LSN + 1) }, { kind: 'bad-request', code: 'BAD_LSN' });
  await refused({ commit_lsn: toLsn(START_LSN + 8) }, { kind: 'bad-request', code: 'BAD_LSN' });
  await refused({ mconf: membershipOf(1, 2, 3) }, { kind: 'precondition', code: 'NOT_A_MEMBER' });
  expect(await client.listTimelines(signal())).toEqual([]);
  await expect(client.timelineStatus(KEY, signal())).rejects.toMatchObject({ code: 'TIMELINE_NOT_FOUND' });
});

test('WAL that was pushed stands in status, digest and metrics, and outlasts a restart', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const wal = makeTestWal();
  const end = await safekeeper.fill(wal);
  const client = safekeeper.client();
  const status = await client.timelineStatus(KEY, signal());
  expect(status).toMatchObject({ flush_lsn: end, commit_lsn: end, acceptor_state: { term: 1, epoch: 1 } });
  const sha256 = createHash('sha256').update(wal.bytes).digest('hex');
  const range = { from_lsn: START_LSN, until_lsn: end };
  expect(await client.digest(KEY, range, signal())).toEqual({ sha256 });
  const text = await (await fetch(`${safekeeper.url}/metrics`)).text();
  const labels = `tenant_id="${TENANT}",timeline_id="${TIMELINE}"`;
  expect(text).toContain(`safekeeper_flush_lsn{${labels}} ${end}\n`);
  expect(text).toContain(`safekeeper_written_wal_bytes_total{${labels}} ${wal.bytes.length}\n`);
  expect(text).toContain('safekeeper_pg_queries_received_total{query="StartWalPush"} 1\n');
  for (const name of ['write_wal', 'flush_wal', 'persist_control_file']) {
    expect(text).toMatch(new RegExp(`^safekeeper_${name}_seconds_count [1-9]`, 'm'));
  }
  await safekeeper.restart();
  expect(await safekeeper.client().digest(KEY, range, signal())).toEqual({ sha256 });
  expect(await safekeeper.client().timelineStatus(KEY, signal())).toEqual(status);
});

test('a digest is of WAL that is there', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  const client = safekeeper.client();
  for (const [from, until] of [
    [end, START_LSN],
    [START_LSN - 8, end],
    [START_LSN, end + 8],
  ] as [Lsn, Lsn][]) {
    const range = { from_lsn: from, until_lsn: until };
    await expect(client.digest(KEY, range, signal())).rejects.toMatchObject({ code: 'BAD_RANGE' });
  }
  const empty = { from_lsn: end, until_lsn: end };
  expect((await client.digest(KEY, empty, signal())).sha256).toBe(createHash('sha256').digest('hex'));
});

test('a term is raised, and never lowered', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const client = safekeeper.client();
  await client.createTimeline(newTimeline(), signal());
  expect(await client.bumpTerm(KEY, undefined, signal())).toEqual({ previous_term: 0, current_term: 1 });
  expect(await client.bumpTerm(KEY, 7, signal())).toEqual({ previous_term: 1, current_term: 7 });
  expect(await client.bumpTerm(KEY, 3, signal())).toEqual({ previous_term: 7, current_term: 7 });
  await safekeeper.restart();
  expect((await safekeeper.client().timelineStatus(KEY, signal())).acceptor_state.term).toBe(7);
});

test('a configuration is switched forwards only, to one with this safekeeper in it', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  const client = safekeeper.client();
  expect(await client.setMembership(KEY, membershipOf(5, 1, 2, 3), signal())).toEqual({
    previous_conf: membershipOf(0),
    current_conf: membershipOf(5, 1, 2, 3),
    last_log_term: 1,
    flush_lsn: end,
  });
  // Once more: nothing changes, also if somebody means something else by it.
  const again = await client.setMembership(KEY, membershipOf(5, 1), signal());
  expect(again.current_conf).toEqual(membershipOf(5, 1, 2, 3));
  await expect(client.setMembership(KEY, membershipOf(4, 1), signal())).rejects.toMatchObject({
    kind: 'conflict',
    code: 'STALE_GENERATION',
  });
  const refused = await safekeeper.ask('PUT', `${TL}/membership`, {
    mconf: { generation: 6, members: [{ id: 2, host: 'x', pg_port: 1 }] },
  });
  expect(refused).toMatchObject({ status: 403, json: { code: 'NOT_A_MEMBER' } });
  await safekeeper.restart();
  expect((await safekeeper.client().timelineStatus(KEY, signal())).mconf.generation).toBe(5);
});

test('an excluded timeline leaves a tombstone of its generation', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const client = safekeeper.client();
  await client.createTimeline(newTimeline({ mconf: membershipOf(3, 1) }), signal());
  await expect(client.excludeTimeline(KEY, membershipOf(4, 1), signal())).rejects.toMatchObject({
    code: 'STILL_A_MEMBER',
  });
  await expect(client.excludeTimeline(KEY, membershipOf(3, 2), signal())).rejects.toMatchObject({
    kind: 'conflict',
    code: 'STALE_GENERATION',
  });
  // It is as it was.
  expect((await client.timelineStatus(KEY, signal())).mconf.generation).toBe(3);
  expect(await client.excludeTimeline(KEY, membershipOf(4, 2), signal())).toEqual({ dir_existed: true });
  expect(await client.excludeTimeline(KEY, membershipOf(4, 2), signal())).toEqual({ dir_existed: false });
  await safekeeper.restart();
  const { timelines } = safekeeper.service.safekeeper;
  expect(timelines.tombstoneGeneration(TENANT, TIMELINE)).toBe(4);
  await expect(safekeeper.client().timelineStatus(KEY, signal())).rejects.toMatchObject({
    code: 'TIMELINE_DELETED',
  });
});

test('a timeline that never was here is kept out up to the generation that excludes it', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const client = safekeeper.client();
  expect(await client.excludeTimeline(KEY, membershipOf(4, 2), signal())).toEqual({ dir_existed: false });
  await client.excludeTimeline(KEY, membershipOf(2, 3), signal());
  await safekeeper.restart();
  const { timelines } = safekeeper.service.safekeeper;
  expect(timelines.tombstoneGeneration(TENANT, TIMELINE)).toBe(4);
  const install = (newerThan: number) =>
    timelines.install(TENANT, TIMELINE, newerThan, async () => undefined);
  await expect(install(4)).rejects.toMatchObject({ code: 'TIMELINE_DELETED' });
});

test('a deleted timeline is gone, with its files and its connections, and does not come back', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  const client = safekeeper.client();
  const pusher = await safekeeper.pusher();
  await pusher.elect(2, end);
  expect(await client.deleteTimeline(KEY, {}, signal())).toEqual({ dir_existed: true });
  await pusher.ended();
  await pusher.close();
  expect(await client.deleteTimeline(KEY, {}, signal())).toEqual({ dir_existed: false });
  expect(await readdir(`${safekeeper.directory}/${TENANT}`)).toEqual([`${TIMELINE}.deleted`]);
  await expect(client.createTimeline(newTimeline(), signal())).rejects.toMatchObject({
    code: 'TIMELINE_DELETED',
  });
  await expect(safekeeper.pusher()).rejects.toThrow();
});

test('all timelines of a tenant are deleted, and no others', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const client = safekeeper.client();
  await client.createTimeline(newTimeline(), signal());
  await client.createTimeline(newTimeline({ timeline_id: OTHER_TIMELINE }), signal());
  await client.createTimeline(newTimeline({ tenant_id: OTHER_TENANT }), signal());
  expect(await client.deleteTenant(TENANT, { isLocalOnly: true }, signal())).toEqual({
    [TIMELINE]: { dir_existed: true },
    [OTHER_TIMELINE]: { dir_existed: true },
  });
  expect(await client.listTimelines(signal())).toEqual([{ tenant_id: OTHER_TENANT, timeline_id: TIMELINE }]);
});

test('a copy has the same WAL up to an LSN, and goes on by itself', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const wal = makeTestWal();
  await safekeeper.fill(wal);
  // In the second segment.
  const beginning = makeTestWal(100);
  const until = beginning.ends.at(-1) as Lsn;
  const path = `/v1/tenant/${TENANT}/timeline/${TIMELINE}/copy`;
  const copy = (untilLsn: number, target = OTHER_TIMELINE) =>
    safekeeper.ask('POST', path, { target_timeline_id: target, until_lsn: formatLsn(untilLsn) });
  expect(await copy(until + 8)).toMatchObject({ status: 400, json: { code: 'BAD_COPY' } });
  expect(await copy((wal.ends.at(-1) as Lsn) + 8192)).toMatchObject({
    status: 400,
    json: { code: 'BAD_COPY' },
  });
  expect(await copy(until)).toEqual({ status: 200, json: null });
  expect(await copy(until)).toEqual({ status: 200, json: null });
  const key = { ...KEY, timeline_id: OTHER_TIMELINE };
  const range = { from_lsn: START_LSN, until_lsn: until };
  await safekeeper.restart();
  const client = safekeeper.client();
  expect(await client.digest(key, range, signal())).toEqual(await client.digest(KEY, range, signal()));
  expect(await client.timelineStatus(key, signal())).toMatchObject({
    flush_lsn: until,
    commit_lsn: until,
    backup_lsn: START_LSN,
    remote_consistent_lsn: 0,
    mconf: { generation: 0 },
    acceptor_state: { term: 1, epoch: 1 },
  });
  expect(until).toBeGreaterThan(TEST_SEGMENT_BYTES * 2);
  // Nothing at all is a beginning too.
  const third = parseTimelineId('55'.repeat(16));
  expect(await copy(START_LSN, third)).toEqual({ status: 200, json: null });
  const empty = await client.timelineStatus({ ...KEY, timeline_id: third }, signal());
  expect(empty).toMatchObject({ flush_lsn: START_LSN, commit_lsn: START_LSN });
  // The copy is written on its own.
  const pusher = await safekeeper.pusher(undefined, OTHER_TIMELINE);
  await pusher.elect(2, until);
  const more = makeWal({ startLsn: until, recordBytes: [500], previousLsn: beginning.previousLsn });
  const end = await pusher.push(more);
  await pusher.close();
  expect((await client.timelineStatus(key, signal())).flush_lsn).toBe(end);
  expect((await client.timelineStatus(KEY, signal())).acceptor_state.term).toBe(1);
});

test('the control file is patched by hand only where the disk bears it out', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const wal = makeTestWal();
  const end = await safekeeper.fill(wal);
  const patch = (updates: Record<string, unknown>) =>
    safekeeper.ask('PATCH', `${TL}/control_file`, { updates, apply_fields: Object.keys(updates) });
  const refused = { status: 400, json: { code: 'BAD_PATCH' } };
  expect(await patch({ commit_lsn: formatLsn(START_LSN) })).toMatchObject(refused);
  expect(await patch({ commit_lsn: formatLsn(end + 8) })).toMatchObject(refused);
  expect(await patch({ local_start_lsn: formatLsn(START_LSN - 8) })).toMatchObject(refused);
  expect(await patch({ local_start_lsn: '0/0' })).toMatchObject(refused);
  // WAL behind it was reported as durable.
  expect(await patch({ eviction_state: { Offloaded: formatLsn(wal.ends[50] as Lsn) } })).toMatchObject(
    refused,
  );
  expect((await patch({ term: 9 })).status).toBe(400);
  const backup = { backup_lsn: formatLsn(end), partial_backup: { segments: [] } };
  expect(await patch(backup)).toMatchObject({
    status: 200,
    json: {
      old_control_file: { backup_lsn: expect.any(String) },
      new_control_file: { backup_lsn: formatLsn(end) },
    },
  });
  const status = await safekeeper.client().timelineStatus(KEY, signal());
  expect(status).toMatchObject({ backup_lsn: end, flush_lsn: end, commit_lsn: end });
  await safekeeper.restart();
  expect(await safekeeper.client().timelineStatus(KEY, signal())).toMatchObject({ backup_lsn: end });
});

test('a checkpoint writes what memory knows', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  expect(await safekeeper.ask('POST', `${TL}/checkpoint`)).toEqual({ status: 200, json: null });
  const { json } = await safekeeper.ask('GET', '/v1/debug_dump?dump_control_file=true');
  expect(json).toMatchObject({ timelines: [{ control_file: { commit_lsn: formatLsn(end) } }] });
});

test('a debug dump shows what is known and held', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  const { json } = await safekeeper.ask('GET', '/v1/debug_dump?dump_all=true');
  const { pg, http } = safekeeper.service.addresses;
  expect(json).toMatchObject({
    timelines_count: 1,
    config: {
      id: 1,
      workdir: safekeeper.directory,
      listen_pg_addr: `127.0.0.1:${pg.port}`,
      listen_http_addr: `127.0.0.1:${http.port}`,
      no_sync: false,
      wal_backup_enabled: false,
    },
    timelines: [
      {
        tenant_id: TENANT,
        control_file: { acceptor_state: { term: 1, term_history: [{ term: 0 }, { term: 1 }] } },
        memory: { flush_lsn: formatLsn(end), num_computes: 0, active: true, is_cancelled: false },
        disk_content: {
          files: [
            { name: '000000010000000000000001', size: TEST_SEGMENT_BYTES, start_zeroes: 0 },
            { name: '000000010000000000000002.partial', size: TEST_SEGMENT_BYTES },
            { name: 'safekeeper.control', start_zeroes: 0, end_zeroes: 0 },
          ],
        },
        wal_last_modified: expect.any(String),
      },
    ],
  });
  const [, partial] = (json as { timelines: [{ disk_content: { files: { end_zeroes: number }[] } }] })
    .timelines[0].disk_content.files;
  const written = end % TEST_SEGMENT_BYTES;
  expect(partial?.end_zeroes).toBeGreaterThanOrEqual(TEST_SEGMENT_BYTES - written);
  expect(partial?.end_zeroes).toBeLessThan(TEST_SEGMENT_BYTES - written + 8);
  const none = await safekeeper.ask('GET', `/v1/debug_dump?tenant_id=${OTHER_TENANT}`);
  expect(none.json).toMatchObject({ timelines: [], timelines_count: 1 });
});

test('a timeline is not opened to be dumped', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  await safekeeper.service.close();
  const timelines = await Timelines.load({
    nodeId: 1,
    directory: safekeeper.directory,
    files: nodeFiles,
    clock: nodeClock,
    workspace: new WalWorkspace(),
    timelineDoors: {
      restore: async () => undefined,
      onReceiverCount: () => undefined,
      onUse: () => undefined,
    },
  });
  const timeline = timelines.get(TENANT, TIMELINE);
  const dump = await dumpTimeline(
    timeline,
    nodeFiles,
    {},
    {
      controlFile: true,
      memory: true,
      diskContent: true,
      termHistory: false,
      walLastModified: true,
      tenantId: undefined,
      timelineId: undefined,
    },
  );
  expect(dump).toMatchObject({ control_file: { commit_lsn: end, acceptor_state: { term: 1 } } });
  expect(dump).not.toHaveProperty('memory');
  expect(dump.control_file?.acceptor_state).not.toHaveProperty('term_history');
  expect(timeline.acceptor).toBe(undefined);
});

test('what is not configured is said by name', async () => {
  await using safekeeper = await TestSafekeeper.start();
  await safekeeper.client().createTimeline(newTimeline(), signal());
  const unavailable = { status: 503, json: { kind: 'unavailable', code: 'NOT_CONFIGURED' } };
  expect(await safekeeper.ask('POST', `${TL}/backup_partial_reset`)).toMatchObject(unavailable);
  const { status, json } = await safekeeper.ask('GET', '/v1/debug/filesystem_usage');
  expect({ status, json }).toMatchObject({ status: 200, json: { data_dir: safekeeper.directory } });
  const { capacity_bytes, usage_bytes } = json as { capacity_bytes: number; usage_bytes: number };
  expect(usage_bytes).toBeLessThanOrEqual(capacity_bytes);
});

test('with an object store whole segments are uploaded, and go with the timeline, unless told otherwise', async () => {
  const bucket = await mkdtemp(join(tmpdir(), 'varve-bucket-'));
  try {
    const objectStore = { kind: 'directory', path: bucket } as const;
    await using safekeeper = await TestSafekeeper.start({ objectStore });
    const dump = (await safekeeper.ask('GET', '/v1/debug_dump')).json;
    expect(dump).toMatchObject({ config: { wal_backup_enabled: true } });
    await safekeeper.fill();
    const client = safekeeper.client();
    const border = toLsn(TEST_SEGMENT_BYTES * 2);
    await expect
      .poll(async () => (await client.timelineStatus(KEY, signal())).backup_lsn, { timeout: 10_000 })
      .toBe(border);
    const objects = async (): Promise<string[]> =>
      (await readdir(bucket, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map(({ name }) => name);
    expect(await objects()).toContain('000000010000000000000001');
    expect(await safekeeper.ask('POST', `${TL}/backup_partial_reset`)).toEqual({ status: 200, json: [] });
    expect(await client.deleteTimeline(KEY, {}, signal())).toEqual({ dir_existed: true });
    expect(await objects()).not.toContain('000000010000000000000001');
  } finally {
    await rm(bucket, { recursive: true });
  }
});

test('of a timeline that has been trimmed here the copy has its oldest WAL in the bucket', async () => {
  const bucket = await mkdtemp(join(tmpdir(), 'varve-bucket-'));
  try {
    await using safekeeper = await TestSafekeeper.start({
      objectStore: { kind: 'directory', path: bucket },
    });
    const end = await safekeeper.fill();
    const client = safekeeper.client();
    const border = toLsn(TEST_SEGMENT_BYTES * 2);
    await expect
      .poll(async () => (await client.timelineStatus(KEY, signal())).backup_lsn, { timeout: 10_000 })
      .toBe(border);
    const needed = { remote_consistent_lsn: formatLsn(end), peer_horizon_lsn: formatLsn(end) };
    const patch = { updates: needed, apply_fields: Object.keys(needed) };
    expect((await safekeeper.ask('PATCH', `${TL}/control_file`, patch)).status).toBe(200);
    const directory = `${safekeeper.directory}/${TENANT}/${TIMELINE}`;
    await expect
      .poll(() => readdir(directory), { timeout: 10_000 })
      .not.toContain('000000010000000000000001');
    const path = `/v1/tenant/${TENANT}/timeline/${TIMELINE}/copy`;
    const copy = { target_timeline_id: OTHER_TIMELINE, until_lsn: formatLsn(end) };
    expect(await safekeeper.ask('POST', path, copy)).toEqual({ status: 200, json: null });
    const key = { ...KEY, timeline_id: OTHER_TIMELINE };
    expect(await client.timelineStatus(key, signal())).toMatchObject({ backup_lsn: border, flush_lsn: end });
    const range = { from_lsn: START_LSN, until_lsn: end };
    const sha256 = createHash('sha256').update(makeTestWal().bytes).digest('hex');
    expect(await client.digest(key, range, signal())).toEqual({ sha256 });
    // In the part that is not here any more.
    const early = {
      target_timeline_id: '55'.repeat(16),
      until_lsn: formatLsn(makeTestWal(5).ends[4] as Lsn),
    };
    expect(await safekeeper.ask('POST', path, early)).toMatchObject({
      status: 412,
      json: { code: 'WAL_NOT_LOCAL' },
    });
  } finally {
    await rm(bucket, { recursive: true });
  }
});

test('a removal that fails leaves the timeline in use', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  const { timelines } = safekeeper.service.safekeeper;
  const removal = timelines.remove(TENANT, TIMELINE, 1, () => Promise.reject(new Error('not yet')));
  await expect(removal).rejects.toThrow('not yet');
  expect((await safekeeper.client().timelineStatus(KEY, signal())).flush_lsn).toBe(end);
});

test('a request that comes whole only when the safekeeper has closed changes nothing', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const { service } = safekeeper;
  const body = '{"a":1}';
  const socket = connect(service.addresses.http.port, '127.0.0.1');
  const answer = text(socket);
  const begun = once(socket, 'data');
  const head = `POST ${TL}/term_bump HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n`;
  socket.write(`${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body[0]}`);
  await begun;
  const closing = service.close();
  await service.safekeeper.close();
  socket.write(body.slice(1));
  expect(await answer).toMatch(/503 Service Unavailable.*Shutting down/s);
  await closing;
});
