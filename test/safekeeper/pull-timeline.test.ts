import { Buffer } from 'node:buffer';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import type { PullTimelineRequest } from '../../src/contracts/safekeeper-api.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { type PullSource, pullTimeline } from '../../src/safekeeper/peers/pull-timeline.ts';
import {
  KEY,
  makeTestWal,
  membershipOf,
  newTimeline,
  START_LSN,
  signal,
  TestSafekeeper,
  TIMELINE,
} from './running-safekeeper.ts';

/** A donor with WAL of term 1 in two segments, and an empty safekeeper. */
async function pair(stack: AsyncDisposableStack) {
  const donor = stack.use(await TestSafekeeper.start({ nodeId: 1 }));
  const target = stack.use(await TestSafekeeper.start({ nodeId: 2 }));
  const end = await donor.fill();
  return { donor, target, end };
}

const digest = (safekeeper: TestSafekeeper, end: Lsn) =>
  safekeeper.client().digest(KEY, { from_lsn: START_LSN, until_lsn: end }, signal());

const request = (hosts: readonly TestSafekeeper[], generation = 1): PullTimelineRequest => ({
  ...KEY,
  http_hosts: hosts.map(({ url }) => url),
  mconf: membershipOf(generation, 1, 2),
});

test('a timeline is copied with its terms, and all its WAL, and stays after a restart', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target, end } = await pair(stack);
  const result = await target.client().pullTimeline(request([donor]), signal());
  expect(result).toEqual({ safekeeper_host: donor.url });
  await target.restart();
  const [there, here] = await Promise.all(
    [donor, target].map((safekeeper) => safekeeper.client().timelineStatus(KEY, signal())),
  );
  expect(here?.mconf).toEqual(membershipOf(1, 1, 2));
  expect(here).toEqual({ ...there, mconf: here?.mconf, peers: here?.peers });
  expect(here?.flush_lsn).toBe(end);
  expect(await digest(target, end)).toEqual(await digest(donor, end));
  // It takes part as any other: it votes, and is written to.
  const pusher = await target.pusher();
  await expect(pusher.elect(1, end)).rejects.toThrow();
  await pusher.close();
});

test('one that is here already gets the configuration, and nothing else', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target } = await pair(stack);
  const client = target.client();
  await client.pullTimeline(request([donor]), signal());
  expect(await client.pullTimeline(request([donor], 5), signal())).toEqual({ safekeeper_host: null });
  expect((await client.timelineStatus(KEY, signal())).mconf.generation).toBe(5);
  await expect(client.pullTimeline(request([donor], 4), signal())).rejects.toMatchObject({
    kind: 'conflict',
    code: 'STALE_GENERATION',
  });
});

test('the donor is the one with the newest log', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target, end } = await pair(stack);
  const other = stack.use(await TestSafekeeper.start({ nodeId: 3 }));
  const otherEnd = await other.fill(makeTestWal(20));
  expect(otherEnd).toBeLessThan(end);
  const result = await target.client().pullTimeline(request([other, donor]), signal());
  expect(result).toEqual({ safekeeper_host: donor.url });
});

test('who is no member, who is behind the times, and who has too few sources, copies nothing', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target } = await pair(stack);
  const client = target.client();
  const refused = (changes: Partial<PullTimelineRequest>, error: object) =>
    expect(client.pullTimeline({ ...request([donor]), ...changes }, signal())).rejects.toMatchObject(error);
  await refused({ mconf: membershipOf(1, 1, 3) }, { kind: 'bad-request', code: 'NOT_A_MEMBER' });
  const nobody = 'http://127.0.0.1:1';
  await refused({ http_hosts: [nobody] }, { kind: 'unavailable', code: 'TOO_FEW_ANSWERS' });
  await refused({ http_hosts: [donor.url, nobody, nobody] }, { code: 'TOO_FEW_ANSWERS' });
  await donor.client().setMembership(KEY, membershipOf(7, 1, 2), signal());
  await refused({}, { kind: 'conflict', code: 'STALE_GENERATION' });
  expect(await client.listTimelines(signal())).toEqual([]);
  // One of several may be away.
  const result = await client.pullTimeline(
    { ...request([donor], 7), http_hosts: [nobody, donor.url] },
    signal(),
  );
  expect(result).toEqual({ safekeeper_host: donor.url });
});

test('a tombstone of a lower generation does not hinder, one of the same does', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target } = await pair(stack);
  const client = target.client();
  await client.pullTimeline(request([donor]), signal());
  await client.excludeTimeline(KEY, membershipOf(3, 1), signal());
  await expect(client.pullTimeline(request([donor], 3), signal())).rejects.toMatchObject({
    kind: 'not-found',
    code: 'TIMELINE_DELETED',
  });
  expect(await client.pullTimeline(request([donor], 4), signal())).toEqual({ safekeeper_host: donor.url });
});

test('a timeline without WAL is copied too', async () => {
  await using stack = new AsyncDisposableStack();
  const donor = stack.use(await TestSafekeeper.start({ nodeId: 1 }));
  const target = stack.use(await TestSafekeeper.start({ nodeId: 2 }));
  await donor.client().createTimeline(newTimeline(), signal());
  await target.client().pullTimeline(request([donor]), signal());
  expect((await target.client().timelineStatus(KEY, signal())).flush_lsn).toBe(START_LSN);
});

/** Pulls in this process from a donor whose answers are bent. */
async function pullBent(
  target: TestSafekeeper,
  donor: TestSafekeeper,
  bend: (source: PullSource) => Partial<PullSource>,
) {
  const { timelines } = target.service.safekeeper;
  return pullTimeline(
    {
      nodeId: 2,
      timelines,
      files: nodeFiles,
      sourceAt: () => {
        const source = donor.client();
        return {
          timelineStatus: (...ask) => source.timelineStatus(...ask),
          snapshot: (...ask) => source.snapshot(...ask),
          ...bend(source),
        };
      },
    },
    request([donor]),
    signal(),
  );
}

const nothingIsLeft = async (target: TestSafekeeper): Promise<void> => {
  expect([...target.service.safekeeper.timelines.all()]).toEqual([]);
  await target.restart();
  // Nothing of the tenant was there before, perhaps not even its directory.
  const entries = await readdir(join(target.directory, KEY.tenant_id)).catch(() => []);
  expect(entries).toEqual([]);
};

test('a donor that comes to another term during the copy gives nothing', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target } = await pair(stack);
  const pulling = pullBent(target, donor, (source) => ({
    snapshot: async (...ask) => {
      const archive = await source.snapshot(...ask);
      await donor.client().bumpTerm(KEY, 8, signal());
      return archive;
    },
  }));
  await expect(pulling).rejects.toMatchObject({ kind: 'unavailable', code: 'DONOR_CHANGED' });
  await nothingIsLeft(target);
});

test('an archive that is cut off, damaged or too short makes no timeline', async () => {
  await using stack = new AsyncDisposableStack();
  const { donor, target, end } = await pair(stack);
  const bent = (bend: (archive: Uint8Array) => Uint8Array) =>
    pullBent(target, donor, (source) => ({
      snapshot: async (...ask) => {
        const pieces: Uint8Array[] = [];
        for await (const piece of await source.snapshot(...ask)) pieces.push(piece);
        const archive = bend(new Uint8Array(Buffer.concat(pieces)));
        return (async function* whole() {
          yield archive;
        })();
      },
    }));
  const controlBytes = 2048;
  await expect(bent((archive) => archive.subarray(0, archive.length - 700))).rejects.toThrow('cut off');
  await expect(bent((archive) => archive.subarray(0, archive.length / 2))).rejects.toThrow('cut off');
  await expect(
    bent((archive) => archive.fill(0, archive.length - 2048, archive.length - 1024)),
  ).rejects.toThrow(/WAL ends at|WAL does not|no record|committed/);
  await expect(bent((archive) => archive.subarray(controlBytes))).rejects.toThrow(
    /begin with a control file|archive/,
  );
  await expect(
    bent((archive) => {
      archive[600] = (archive[600] as number) ^ 1;
      return archive;
    }),
  ).rejects.toThrow(/CRC|control/);
  await nothingIsLeft(target);
  expect(end).toBeGreaterThan(START_LSN);
});

test('news by hand are learnt, shown, and refused of a timeline that is not here', async () => {
  await using safekeeper = await TestSafekeeper.start();
  const end = await safekeeper.fill();
  const path = `/v1/record_safekeeper_info/${KEY.tenant_id}/${TIMELINE}`;
  const lsn = formatLsn(end);
  const info = {
    safekeeper_id: 9,
    term: 1,
    last_log_term: 1,
    flush_lsn: lsn,
    commit_lsn: lsn,
    backup_lsn: formatLsn(START_LSN),
    remote_consistent_lsn: lsn,
    peer_horizon_lsn: lsn,
    local_start_lsn: formatLsn(START_LSN),
  };
  // Who looks keeps the timeline open.
  using _open = await safekeeper.service.safekeeper.timelines.get(KEY.tenant_id, TIMELINE).stay('state');
  expect(await safekeeper.ask('POST', path, info)).toEqual({ status: 200, json: null });
  const status = await safekeeper.client().timelineStatus(KEY, signal());
  expect(status).toMatchObject({ commit_lsn: end, remote_consistent_lsn: end, peer_horizon_lsn: end });
  expect(status.peers).toMatchObject([{ sk_id: 9, last_log_term: 1, commit_lsn: end }]);
  const missing = path.replace(TIMELINE, 'ee'.repeat(16));
  expect((await safekeeper.ask('POST', missing, info)).status).toBe(404);
});
