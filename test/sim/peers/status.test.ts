import { describe, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../../src/base/lsn.ts';
import {
  decodeStatusNews,
  encodeStatusRequest,
  type StatusKey,
  type StatusNews,
  type StatusRequest,
  type TimelineState,
} from '../../../src/contracts/status-stream.ts';
import type { CopyEnd, CopyStream } from '../../../src/libpq/copy-stream.ts';
import { silentLogger } from '../../../src/observe/log.ts';
import { StatusClient } from '../../../src/status/status-client.ts';
import { KEY, membershipOf, type Push, records, SimulatedCluster, START_LSN } from './simulated-cluster.ts';

const HISTORY = [{ term: 1, lsn: START_LSN }];
const OTHER_KEY = { tenantId: parseTenantId('3'.repeat(32)), timelineId: parseTimelineId('4'.repeat(32)) };

/** Says what it is told to, and keeps what comes. */
class Subscriber {
  readonly news: { readonly atMs: number; readonly news: StatusNews }[] = [];
  end: CopyEnd | undefined;
  stream!: CopyStream;
  readonly #cluster: SimulatedCluster;

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
  }

  static async open(cluster: SimulatedCluster, id: number): Promise<Subscriber> {
    const client = await cluster.connect(id);
    const subscriber = new Subscriber(cluster);
    subscriber.stream = await cluster.kernel.perform(() =>
      client.copyBoth("START_STATUS_STREAM (version '1')", subscriber),
    );
    return subscriber;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number): void {
    const news = decodeStatusNews(bytes, offset, length);
    this.news.push({ atMs: this.#cluster.kernel.nowUs / 1000, news });
    if (news.kind === 'keepalive') this.say({ kind: 'keepalive' });
  }

  onCopyEnd(end: CopyEnd): void {
    this.end = end;
  }

  say(request: StatusRequest): void {
    this.stream.sendCopyData(encodeStatusRequest(request));
  }

  states(key: StatusKey = KEY): { readonly atMs: number; readonly state: TimelineState }[] {
    return this.news.flatMap(({ atMs, news }) =>
      news.kind === 'states'
        ? news.states.filter((state) => state.timelineId === key.timelineId).map((state) => ({ atMs, state }))
        : [],
    );
  }
}

async function withCompute(ids: readonly number[]) {
  const cluster = await SimulatedCluster.start(ids);
  await cluster.createTimeline(membershipOf(1, ids));
  const pushes: Push[] = [];
  for (const id of ids) {
    const push = await cluster.push(id, 1, 1);
    push.elect(HISTORY, START_LSN);
    pushes.push(push);
  }
  return { cluster, pushes };
}

describe('the status stream', () => {
  test('tells who it is, then where each timeline is once, then changes, at most once a second', async () => {
    const { cluster, pushes } = await withCompute([1]);
    const subscriber = await Subscriber.open(cluster, 1);
    subscriber.say({ kind: 'add', keys: [KEY] });
    await cluster.until(() => subscriber.states().length === 1);
    expect(subscriber.news[0]?.news).toEqual({ kind: 'hello', nodeId: 1 });
    expect(subscriber.states()[0]?.state).toMatchObject({ ...KEY, generation: 1, term: 1, isActive: true });
    const wal = records(60, 500);
    const [push] = pushes;
    for (let record = 0; record < 60; record++) {
      await push?.appendRecords(wal, record, record + 1);
      await cluster.wait(100);
    }
    await cluster.wait(2000);
    const times = subscriber.states().map(({ atMs }) => atMs);
    expect(times.length).toBeGreaterThan(5);
    expect(times.length).toBeLessThan(12);
    // The network may bring two of them a little nearer to each other.
    for (let index = 1; index < times.length; index++) {
      expect((times[index] as number) - (times[index - 1] as number)).toBeGreaterThan(990);
    }
    expect(subscriber.states().at(-1)?.state.flushLsn).toBe(wal.ends.at(-1));
    await push?.leave();
    await cluster.until(() => subscriber.states().at(-1)?.state.isActive === false);
    const count = subscriber.states().length;
    await cluster.wait(600_000);
    expect(subscriber.states().length).toBe(count);
  });

  test('opens what is followed, says what is missing, and tells of it when it comes', async () => {
    const cluster = await SimulatedCluster.start([1]);
    const subscriber = await Subscriber.open(cluster, 1);
    subscriber.say({ kind: 'add', keys: [KEY, OTHER_KEY] });
    await cluster.until(() => subscriber.news.length >= 3);
    expect(subscriber.news.slice(1).map(({ news }) => news)).toEqual([
      { kind: 'missing', keys: [KEY] },
      { kind: 'missing', keys: [OTHER_KEY] },
    ]);
    await cluster.createTimeline(membershipOf(1, [1]));
    const push = await cluster.push(1, 1, 1);
    push.elect(HISTORY, START_LSN);
    await cluster.until(() => subscriber.states().at(-1)?.state.term === 1);
    await push.leave();
    const later = await Subscriber.open(cluster, 1);
    later.say({ kind: 'add', keys: [KEY] });
    await cluster.until(() => later.states().length === 1);
    later.say({ kind: 'remove', keys: [KEY] });
    await cluster.wait(100);
    await cluster.push(1, 1, 2);
    await cluster.wait(5000);
    expect(later.states()).toHaveLength(1);
  });

  test('is asked where a timeline is, and answers for those that are in use only', async () => {
    const { cluster } = await withCompute([1]);
    const subscriber = await Subscriber.open(cluster, 1);
    subscriber.say({ kind: 'ask', keys: [KEY, OTHER_KEY] });
    await cluster.wait(5000);
    expect(subscriber.states()).toHaveLength(1);
    expect(subscriber.news.some(({ news }) => news.kind === 'missing')).toBe(false);
  });

  test('gives a subscriber that could not be reached for a while the latest state', async () => {
    const { cluster, pushes } = await withCompute([1]);
    const subscriber = await Subscriber.open(cluster, 1);
    subscriber.say({ kind: 'add', keys: [KEY] });
    await cluster.until(() => subscriber.states().length === 1);
    cluster.kernel.network.block(cluster.member(1).node, cluster.compute);
    cluster.kernel.network.settings.breakAfterMs = 600_000;
    const wal = records(40, 500);
    const [push] = pushes;
    let at: number = wal.startLsn;
    for (const end of wal.ends) {
      push?.append(wal.bytes.subarray(at - wal.startLsn, end - wal.startLsn));
      at = end;
      await cluster.wait(500);
    }
    cluster.kernel.network.healAll();
    await cluster.wait(5000);
    expect(subscriber.states().at(-1)?.state.flushLsn).toBe(wal.ends.at(-1));
  });

  test('lets go of a subscriber that answers nothing', async () => {
    const { cluster } = await withCompute([1]);
    const subscriber = await Subscriber.open(cluster, 1);
    subscriber.say = () => undefined;
    await cluster.until(() => subscriber.end !== undefined);
    expect(subscriber.end).toMatchObject({ kind: 'failed', error: { message: /answers no keepalive/ } });
  });

  test('of a version that is not known is refused', async () => {
    const cluster = await SimulatedCluster.start([1]);
    const client = await cluster.connect(1);
    const subscriber = new Subscriber(cluster);
    await expect(
      cluster.kernel.perform(() => client.copyBoth("START_STATUS_STREAM (version '2')", subscriber)),
    ).rejects.toThrow('version 2 of the status stream is not spoken here, 1 is');
  });
});

describe('safekeepers among themselves', () => {
  test('spread the commit LSN after the compute has gone', async () => {
    const { cluster, pushes } = await withCompute([1, 2, 3]);
    const wal = records(100, 300);
    for (const push of pushes) await push.appendRecords(wal);
    const end = wal.ends.at(-1) as Lsn;
    const [first] = pushes;
    first?.append(new Uint8Array(0), end);
    await cluster.until(() => cluster.member(1).acceptor?.commitLsn === end);
    for (const push of pushes) await push.leave();
    await cluster.until(() => cluster.members.every(({ acceptor }) => acceptor?.commitLsn === end), 5000);
  });

  test('say nothing of idle timelines in an hour but that they are here', async () => {
    const { cluster, pushes } = await withCompute([1, 2, 3]);
    for (const push of pushes) await push.appendRecords(records(10, 300));
    for (const push of pushes) await push.leave();
    await cluster.wait(60_000);
    const count = () =>
      cluster.members.map(({ node, metrics }) => ({
        effects: node.incarnation?.effectCount ?? 0,
        told: metrics.brokerPushedUpdates.value,
      }));
    const before = count();
    await cluster.wait(3_600_000);
    // Two peers, and of each a keepalive and an answer to ours every two seconds.
    const keepalives = 2 * 2 * 1800;
    for (const [index, { effects, told }] of count().entries()) {
      expect(told).toBe(before[index]?.told);
      expect(effects - (before[index]?.effects ?? 0)).toBeGreaterThan(keepalives * 0.95);
      expect(effects - (before[index]?.effects ?? 0)).toBeLessThan(keepalives * 1.01);
    }
  });

  test('count as heard while they live, however quiet the timeline is, and no longer', async () => {
    const { cluster, pushes } = await withCompute([1, 2]);
    for (const { safekeeper } of cluster.members) {
      // Somebody uses it, but does nothing with it.
      await cluster.kernel.perform(() =>
        safekeeper.timelines.get(KEY.tenantId, KEY.timelineId).stay('state'),
      );
    }
    for (const push of pushes) await push.leave();
    const { safekeeper, doors, metrics } = cluster.member(1);
    await cluster.wait(60_000);
    const news = metrics.brokerPulledUpdates.value;
    await cluster.wait(300_000);
    expect(metrics.brokerPulledUpdates.value).toBe(news);
    const silentMs = (): { nodeId: number; silentMs: number }[] => {
      const nowMs = doors.clock.monotonicMs();
      return safekeeper.peers
        .peersOf(KEY.tenantId, KEY.timelineId)
        .map(({ nodeId, heardMs }) => ({ nodeId, silentMs: nowMs - heardMs }));
    };
    expect(silentMs()).toEqual([{ nodeId: 2, silentMs: expect.any(Number) }]);
    expect(silentMs()[0]?.silentMs).toBeLessThan(3000);
    cluster.member(2).node.crash({ kind: 'kill' });
    await cluster.wait(10_000);
    expect(silentMs()[0]?.silentMs).toBeGreaterThan(5000);
  });

  test('find each other after a start, before any timeline is in use', async () => {
    const { cluster, pushes } = await withCompute([1, 2]);
    for (const push of pushes) await push.leave();
    await cluster.wait(1000);
    for (const { node } of cluster.members) node.crash({ kind: 'kill' });
    for (const member of cluster.members) await member.boot();
    await cluster.wait(5000);
    // A compute that reaches only the first: the second hears of it, and learns.
    const push = await cluster.push(1, 1, 2);
    push.elect([...HISTORY, { term: 2, lsn: START_LSN }], START_LSN);
    const wal = records(20, 300);
    await push.appendRecords(wal);
    await cluster.until(() => cluster.member(2).acceptor?.flushLsn === wal.ends.at(-1));
    expect(cluster.member(2).acceptor?.term).toBe(2);
  });

  test('hold nobody else back, and come back after a partition', async () => {
    const { cluster, pushes } = await withCompute([1, 2, 3]);
    const [one, two] = [cluster.member(1).node, cluster.member(2).node];
    cluster.kernel.network.block(one, two);
    cluster.kernel.network.block(two, one);
    const wal = records(50, 300);
    for (const push of pushes) await push.appendRecords(wal);
    const end = wal.ends.at(-1) as Lsn;
    pushes[0]?.append(new Uint8Array(0), end);
    await cluster.until(() => cluster.member(3).acceptor?.commitLsn === end);
    for (const push of pushes) await push.leave();
    await cluster.wait(60_000);
    cluster.kernel.network.healAll();
    await cluster.until(() => cluster.member(2).acceptor?.commitLsn === end, 120_000);
  });
});

test('a client believes no other safekeeper than the one it means, and tries again', async () => {
  const cluster = await SimulatedCluster.start([1]);
  const { clock, random, sockets } = cluster.doors;
  const told: TimelineState[] = [];
  const life = new AbortController();
  const client = new StatusClient({
    sockets,
    clock,
    random,
    logger: silentLogger,
    address: { host: 'sk1', port: 5454 },
    nodeId: 2,
    applicationName: 'pageserver-1',
    onStates: (states) => void told.push(...states),
  });
  client.add([{ ...KEY }]);
  const running = client.run(life.signal);
  await cluster.createTimeline(membershipOf(1, [1]));
  await cluster.wait(120_000);
  expect(client.streamNumber).toBe(0);
  expect(client.heardMs).toBeUndefined();
  expect(told).toEqual([]);
  life.abort();
  await cluster.kernel.perform(() => running);
});

test('a client follows timelines over lost connections', async () => {
  const { cluster, pushes } = await withCompute([1]);
  const { clock, random, sockets } = cluster.doors;
  const told: TimelineState[] = [];
  const missing: StatusKey[] = [];
  const life = new AbortController();
  const client = new StatusClient({
    sockets,
    clock,
    random,
    logger: silentLogger,
    address: { host: 'sk1', port: 5454 },
    nodeId: 1,
    applicationName: 'pageserver-1',
    onStates: (states) => void told.push(...states),
    onMissing: (keys) => void missing.push(...keys),
  });
  client.add([KEY, OTHER_KEY]);
  const running = client.run(life.signal);
  await cluster.until(() => told.length === 1 && missing.length === 1);
  expect(missing).toEqual([OTHER_KEY]);
  cluster.kernel.network.breakConnections(cluster.compute, cluster.member(1).node);
  await cluster.until(() => client.streamNumber === 2 && told.length === 2 && told[1]?.isActive === false);
  client.remove([OTHER_KEY]);
  client.ask([KEY]);
  await cluster.until(() => told.length === 3);
  expect(told.map(({ flushLsn }) => flushLsn)).toEqual([START_LSN, START_LSN, toLsn(START_LSN)]);
  expect(pushes[0]?.end).toBeDefined();
  life.abort();
  await cluster.kernel.perform(() => running);
});
