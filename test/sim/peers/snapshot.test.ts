import { expect, test } from 'vitest';
import type { Lsn } from '../../../src/base/lsn.ts';
import { installSnapshot } from '../../../src/safekeeper/peers/install-snapshot.ts';
import { snapshotTimeline } from '../../../src/safekeeper/peers/snapshot.ts';
import { KEY, membershipOf, records, SimulatedCluster, START_LSN } from './simulated-cluster.ts';

const HTTP_KEY = { tenant_id: KEY.tenantId, timeline_id: KEY.timelineId };
const HISTORY = [{ term: 1, lsn: START_LSN }];

/** A safekeeper with three segments of WAL of term 1, whose compute goes on, and one without the timeline. */
async function pair() {
  const cluster = await SimulatedCluster.start([1, 2]);
  await cluster.createTimeline(membershipOf(1, [1]));
  const push = await cluster.push(1, 1, 1);
  push.elect(HISTORY, START_LSN);
  const wal = records(120, 30_000);
  await push.appendRecords(wal, 0, 80);
  const { safekeeper, doors } = cluster.member(1);
  const snapshot = () =>
    snapshotTimeline(
      {
        timelines: safekeeper.timelines,
        files: doors.files,
        holdRemoval: (timeline) => safekeeper.upkeep.holdRemoval(timeline),
      },
      HTTP_KEY,
      new AbortController().signal,
    );
  const install = async (archive: AsyncIterable<Uint8Array>, minFlushLsn: Lsn) => {
    const { files } = cluster.member(2).doors;
    await files.makeDirectory('/copy');
    return installSnapshot(archive, {
      files,
      directory: '/copy',
      key: HTTP_KEY,
      membership: membershipOf(2, [1, 2]),
      minFlushLsn,
      origin: 'sk1',
    });
  };
  return { cluster, push, wal, snapshot, install };
}

test('while WAL is written, a snapshot is what was flushed when it began', async () => {
  const { cluster, push, wal, snapshot, install } = await pair();
  const begin = cluster.member(1).acceptor?.flushLsn as Lsn;
  const writing = (async () => {
    for (let record = 80; record < 120; record++) {
      const from = wal.ends[record - 1] as Lsn;
      push.append(wal.bytes.subarray(from - wal.startLsn, (wal.ends[record] as Lsn) - wal.startLsn));
      await cluster.doors.clock.yieldToOthers();
    }
  })();
  const state = await cluster.kernel.perform(async () => install(await snapshot(), begin));
  await cluster.kernel.perform(() => writing);
  expect(state.termHistory).toEqual(HISTORY);
  expect(state.membership.generation).toBe(2);
  await push.flushed(wal.ends.at(-1) as Lsn);
});

test('a snapshot of WAL that is cut meanwhile has no end', async () => {
  const { cluster, push, snapshot, install } = await pair();
  const begin = cluster.member(1).acceptor?.flushLsn as Lsn;
  const archive = await cluster.kernel.perform(snapshot);
  const pieces = archive[Symbol.asyncIterator]();
  const some: Uint8Array[] = [];
  for (let count = 0; count < 12; count++) {
    const next = await cluster.kernel.perform(() => pieces.next());
    some.push(next.value as Uint8Array);
  }
  await push.leave();
  const other = await cluster.push(1, 1, 2);
  other.elect(
    [
      { term: 1, lsn: START_LSN },
      { term: 2, lsn: records(5, 30_000).ends.at(-1) as Lsn },
    ],
    records(5, 30_000).ends.at(-1) as Lsn,
  );
  await cluster.until(() => (cluster.member(1).acceptor?.flushLsn ?? 0) < begin);
  await expect(
    cluster.kernel.perform(async () => {
      for (let next = await pieces.next(); next.done !== true; next = await pieces.next())
        some.push(next.value);
    }),
  ).rejects.toMatchObject({ kind: 'unavailable', code: 'WAL_TRUNCATED' });
  const cutOff = (async function* received() {
    yield* some;
  })();
  await expect(cluster.kernel.perform(() => install(cutOff, START_LSN))).rejects.toThrow('cut off');
  await cluster.wait(1000);
  // Nobody holds it any more.
  await other.leave();
  await cluster.wait(1000);
  expect(cluster.member(1).safekeeper.timelines.get(KEY.tenantId, KEY.timelineId).isInUse).toBe(false);
});

test('a snapshot that nobody reads holds nothing', async () => {
  const { cluster, push, snapshot } = await pair();
  await cluster.kernel.perform(snapshot);
  await push.leave();
  await cluster.wait(1000);
  expect(cluster.member(1).safekeeper.timelines.get(KEY.tenantId, KEY.timelineId).isInUse).toBe(false);
});
