import { describe, expect, test } from 'vitest';
import { KEY, membershipOf, type Push, records, SimulatedCluster, START_LSN } from './simulated-cluster.ts';

const HISTORY = [
  { term: 0, lsn: START_LSN },
  { term: 1, lsn: START_LSN },
];

/** A compute that has written on safekeepers 1 and 2 what 3 does not have, and is gone. */
async function oneBehind(seed = 1, configuration = {}) {
  const cluster = await SimulatedCluster.start([1, 2, 3], seed, configuration);
  await cluster.createTimeline(membershipOf(1, [1, 2, 3]));
  const wal = records(400, 1000);
  const pushes: Push[] = [];
  for (const id of [1, 2, 3]) {
    const push = await cluster.push(id, 1, 1);
    push.elect(HISTORY, START_LSN);
    pushes.push(push);
    await push.appendRecords(wal, 0, 100);
  }
  const [first, second, third] = pushes as [(typeof pushes)[0], (typeof pushes)[0], (typeof pushes)[0]];
  await third.leave();
  await first.appendRecords(wal, 100);
  const end = await second.appendRecords(wal, 100);
  first.append(new Uint8Array(0), end);
  await cluster.until(() => cluster.member(1).acceptor?.commitLsn === end);
  return { cluster, first, second, wal, end };
}

describe('recovery', () => {
  test.each([1, 2, 3, 4, 5])(
    'SK-26: a safekeeper that is behind when the compute dies catches up by itself (seed %i)',
    async (seed) => {
      const { cluster, first, second, wal, end } = await oneBehind(seed);
      await first.leave();
      await second.leave();
      await cluster.until(() => cluster.member(3).acceptor?.flushLsn === end);
      const { kernel } = cluster;
      await cluster.until(() => cluster.members.every((member) => member.acceptor?.commitLsn === end));
      const behind = await cluster.state(3);
      expect(behind.term).toBe(1);
      expect(behind.persistent.termHistory).toEqual(HISTORY);
      const bytes = new Uint8Array(wal.bytes.length);
      const length = await kernel.perform(async () => {
        using timeline = await cluster
          .member(3)
          .safekeeper.timelines.get(KEY.tenantId, KEY.timelineId)
          .stay('wal');
        let at = 0;
        while (at < bytes.length) {
          const count = await timeline.acceptor.wal?.read(
            bytes,
            at,
            bytes.length - at,
            (START_LSN + at) as never,
          );
          if (count === undefined || count === 0) break;
          at += count;
        }
        return at;
      });
      expect(length).toBe(wal.bytes.length);
      expect(bytes).toEqual(wal.bytes);
    },
  );

  test('SK-26: the recovery is shown as a receiver without a connection, counts as no compute, and leaves no place', async () => {
    const { cluster, first, second, end } = await oneBehind();
    const timeline = cluster.member(3).safekeeper.timelines.get(KEY.tenantId, KEY.timelineId);
    await first.leave();
    await second.leave();
    await cluster.until(() => timeline.receivers.list().some(({ status }) => status === 'Streaming'));
    expect(timeline.receivers.list()).toEqual([{ connectionId: null, status: 'Streaming' }]);
    expect(timeline.receivers.computes).toBe(0);
    await cluster.until(() => cluster.member(3).acceptor?.flushLsn === end);
    await cluster.wait(5000);
    expect(timeline.receivers.count).toBe(0);
    expect(cluster.member(3).metrics.walReceivers.value).toBe(0);
    expect(cluster.member(3).metrics.walReceiverQueueDepthTotal.value).toBe(0);
    expect(cluster.member(3).metrics.walReceiverQueueSizeTotal.value).toBe(0);
  });

  test('SK-26: what the recovery took survives the loss of power', async () => {
    const { cluster, first, second, end } = await oneBehind();
    await first.leave();
    await second.leave();
    await cluster.until(() => cluster.member(3).acceptor?.flushLsn === end);
    cluster.member(3).node.crash({ kind: 'power', survival: 'nothing' });
    cluster.member(1).node.crash({ kind: 'kill' });
    cluster.member(2).node.crash({ kind: 'kill' });
    await cluster.member(3).boot();
    const state = await cluster.state(3);
    expect(state.flushLsn).toBe(end);
    expect(state.lastLogTerm).toBe(1);
  });

  test('SK-26: WAL of a lower term that nobody else has is cut, and never what is committed', async () => {
    const cluster = await SimulatedCluster.start();
    await cluster.createTimeline(membershipOf(1, [1, 2, 3]));
    const common = records(10, 500);
    const startLsn = common.ends.at(-1) as never;
    // Term 1 writes everywhere and commits, then only on 3 something that is lost with it.
    for (const id of [1, 2, 3]) {
      const push = await cluster.push(id, 1, 1);
      push.elect(HISTORY, START_LSN);
      await push.appendRecords(common);
      push.append(new Uint8Array(0), startLsn);
      await cluster.until(() => cluster.member(id).acceptor?.commitLsn === startLsn);
      if (id === 3) {
        const lost = records(20, 700, common, 2);
        await push.appendRecords(lost);
      }
      await push.leave();
      // Recovery would bring it to the others.
      if (id === 3) cluster.member(3).node.crash({ kind: 'kill' });
    }
    const history = [...HISTORY, { term: 2, lsn: startLsn }];
    const wal = records(30, 600, common, 3);
    for (const id of [1, 2]) {
      const push = await cluster.push(id, 1, 2);
      push.elect(history, startLsn);
      await push.appendRecords(wal);
      push.append(new Uint8Array(0), wal.ends.at(-1));
      await push.leave();
    }
    await cluster.member(3).boot();
    await cluster.until(() => cluster.member(3).acceptor?.flushLsn === wal.ends.at(-1));
    const state = await cluster.state(3);
    expect(state.term).toBe(2);
    expect(state.persistent.termHistory).toEqual(history);
    await cluster.until(() => cluster.member(3).acceptor?.commitLsn === wal.ends.at(-1));
  });

  test('SK-26: a compute that connects ends the recovery at once, and is elected', async () => {
    const { cluster, first, second, end } = await oneBehind();
    const { node } = cluster.member(3);
    node.disk.faults.latency.sync = { minUs: 500_000, maxUs: 500_000, tailChance: 0, tailFactor: 1 };
    await first.leave();
    await second.leave();
    const timeline = cluster.member(3).safekeeper.timelines.get(KEY.tenantId, KEY.timelineId);
    await cluster.until(() => timeline.receivers.count === 1);
    const push = await cluster.push(3, 1, 2);
    await cluster.until(() => timeline.receivers.count === 1);
    expect(push.granted.voteGiven).toBe(true);
    expect(push.granted.flushLsn).toBeLessThanOrEqual(end);
    const flushLsn = push.granted.flushLsn;
    await cluster.wait(10_000);
    // Nothing has become durable that was not in the vote.
    expect(cluster.member(3).acceptor?.flushLsn).toBe(flushLsn);
    push.elect([...push.granted.termHistory, { term: 2, lsn: flushLsn }], flushLsn);
    await cluster.until(() => cluster.member(3).acceptor?.lastLogTerm === 2);
    expect(push.end).toBeUndefined();
  });

  test('SK-26: another generation, a higher term and a donor without WAL of its term give nothing', async () => {
    const { cluster, first, second } = await oneBehind();
    // A term bump on the donors fences the proposer: their last WAL is not of their term any more.
    for (const id of [1, 2]) {
      await cluster.kernel.perform(async () => {
        using timeline = await cluster
          .member(id)
          .safekeeper.timelines.get(KEY.tenantId, KEY.timelineId)
          .stay('state');
        await timeline.acceptor.run((it) => it.bumpTerm(5));
      });
    }
    await first.leave();
    await second.leave();
    const before = (await cluster.state(3)).flushLsn;
    await cluster.wait(120_000);
    const after = await cluster.state(3);
    expect(after.flushLsn).toBe(before);
    expect(after.term).toBe(1);
  });

  test('SK-26: a membership change ends it, and it goes on in the new generation', async () => {
    const { cluster, first, second, end } = await oneBehind();
    const { node } = cluster.member(3);
    node.disk.faults.latency.sync = { minUs: 300_000, maxUs: 300_000, tailChance: 0, tailFactor: 1 };
    await first.leave();
    await second.leave();
    const timeline = cluster.member(3).safekeeper.timelines.get(KEY.tenantId, KEY.timelineId);
    await cluster.until(() => timeline.receivers.count === 1);
    const change = (id: number) =>
      cluster.kernel.perform(async () => {
        using resident = await cluster
          .member(id)
          .safekeeper.timelines.get(KEY.tenantId, KEY.timelineId)
          .stay('state');
        await resident.acceptor.run((it) => it.switchMembership(membershipOf(2, [1, 2, 3])));
        return resident.acceptor.acceptor.flushLsn;
      });
    const atSwitch = await change(3);
    node.disk.faults.latency.sync = { minUs: 300, maxUs: 300, tailChance: 0, tailFactor: 1 };
    await cluster.wait(30_000);
    expect(cluster.member(3).acceptor?.flushLsn).toBe(atSwitch);
    expect(atSwitch).toBeLessThan(end);
    await change(1);
    await change(2);
    await cluster.until(() => cluster.member(3).acceptor?.flushLsn === end);
  });

  test('SK-26: switched off, nothing is taken, and positions are learnt all the same', async () => {
    const { cluster, first, second, end } = await oneBehind(1, { peers: { isRecoveryOff: true } });
    await first.leave();
    await second.leave();
    const before = (await cluster.state(3)).flushLsn;
    await cluster.wait(60_000);
    const after = await cluster.state(3);
    expect(after.flushLsn).toBe(before);
    expect(after.flushLsn).toBeLessThan(end);
    expect(after.commitLsn).toBe(before);
  });
});
