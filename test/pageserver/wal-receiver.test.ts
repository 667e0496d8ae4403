import { expect, test } from 'vitest';
import {
  KEY,
  newTimeline,
  START_LSN,
  signal,
  TestSafekeeper,
  TIMELINE,
} from '../safekeeper/running-safekeeper.ts';
import type { MadeWal } from '../support/safekeeper-wal.ts';
import type { WalPusher } from '../support/wal-pusher.ts';
import { addressOf, beginningOf, endOf, RunningReceiver, restOf, walOf } from './receiver-world.ts';
import { RecordingIntake } from './recording-intake.ts';

const POLL = { timeout: 10_000, interval: 5 };

interface Fed extends AsyncDisposable {
  readonly id: number;
  readonly safekeeper: TestSafekeeper;
  readonly pusher: WalPusher;
}

/** A safekeeper whose compute is connected, and has written this. */
async function feed(id: number, wal: MadeWal | undefined): Promise<Fed> {
  const safekeeper = await TestSafekeeper.start({ nodeId: id });
  await safekeeper.client().createTimeline(newTimeline(), signal());
  const pusher = await safekeeper.pusher(undefined, TIMELINE);
  await pusher.elect(1, START_LSN);
  if (wal !== undefined) await pusher.push(wal);
  return {
    id,
    safekeeper,
    pusher,
    async [Symbol.asyncDispose]() {
      await pusher.close();
      await safekeeper[Symbol.asyncDispose]();
    },
  };
}

const membersOf = (...fed: Fed[]) => fed.map(({ safekeeper, id }) => addressOf(safekeeper, id));
const statusOf = ({ safekeeper }: Fed) => safekeeper.client().timelineStatus(KEY, signal());

test('DB-01: WAL that is there, and that comes, reaches the intake once; then the connection stays for more, which the state shows', async () => {
  const wal = walOf(3_000_000);
  const first = beginningOf(wal, START_LSN + 2_000_000);
  await using one = await feed(1, first);
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(one));
  await expect.poll(() => intake.position, POLL).toBe(endOf(first));
  await one.pusher.push(restOf(wal, first));
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(world.receiver.state).toMatchObject({
    status: 'streaming',
    connection: { nodeId: 1, streamedLsn: endOf(wal), serverEndLsn: endOf(wal) },
    waitingBytes: 0,
    lastFailure: undefined,
    isDamaged: false,
  });
  expect(world.receiver.state.connection?.sinceMs).toBeGreaterThan(Date.now() - 60_000);
  expect(world.counts.connects.value).toBe(1);
  expect(world.counts.receivedBytes.value).toBe(wal.bytes.length);
  expect(world.counts.waitingBytes.value).toBe(0);
  expect(intake.longestTakeBytes).toBeLessThanOrEqual(128 * 1024);
});

test('nobody is connected to while nobody is ahead, and the first new WAL brings a connection', async () => {
  const wal = walOf(300_000);
  const first = beginningOf(wal, START_LSN + 100_000);
  await using one = await feed(1, first);
  await using two = await feed(2, first);
  const intake = new RecordingIntake(wal, endOf(first));
  await using world = new RunningReceiver(intake, membersOf(one, two));
  const heard = () => world.receiver.state.sources.map(({ commitLsn }) => commitLsn);
  await expect.poll(heard, POLL).toEqual([endOf(first), endOf(first)]);
  expect(world.receiver.state.status).toBe('idle');
  expect(world.clock.timers).toBe(0);
  expect(world.counts.connects.value).toBe(0);
  await two.pusher.push(restOf(wal, first));
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(world.receiver.state.connection?.nodeId).toBe(2);
  expect(world.counts.connects.value).toBe(1);
});

test('DB-01: the safekeeper hears how far the timeline is, and ends the connection when all is in the bucket and no compute is there; the state still shows it', async () => {
  const wal = walOf(200_000);
  await using one = await feed(1, wal);
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(one));
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  const walsender = async () => (await statusOf(one)).walsenders[0];
  await expect.poll(walsender, POLL).toMatchObject({
    Vanilla: {
      appname: 'pageserver-7',
      feedback: {
        Pageserver: {
          lastReceivedLsn: endOf(wal),
          remoteConsistentLsn: START_LSN,
          currentTimelineSizeBytes: 4242,
        },
      },
    },
  });
  await one.pusher.close();
  intake.store();
  world.receiver.progressed();
  await expect.poll(async () => (await statusOf(one)).remote_consistent_lsn, POLL).toBe(endOf(wal));
  await expect.poll(() => world.receiver.state.status, POLL).toBe('idle');
  expect(world.receiver.state).toMatchObject({
    connection: { nodeId: 1, streamedLsn: endOf(wal) },
    lastFailure: undefined,
  });
  await expect.poll(() => world.clock.timers, POLL).toBe(0);
  expect(world.counts.connections.value).toBe(0);
  expect(world.counts.connects.value).toBe(1);
  expect(world.counts.failures.value).toBe(0);
});

test('what is in the bucket is told to safekeepers that do not know it, also where there is no WAL to get', async () => {
  const wal = walOf(100_000);
  await using one = await feed(1, wal);
  await one.pusher.close();
  const intake = new RecordingIntake(wal, endOf(wal));
  intake.store();
  await using world = new RunningReceiver(intake, membersOf(one));
  await expect.poll(async () => (await statusOf(one)).remote_consistent_lsn, POLL).toBe(endOf(wal));
  await expect.poll(() => world.receiver.state.status, POLL).toBe('idle');
  expect(intake.takes).toBe(0);
});

test('another safekeeper takes over where one dies, in the middle of a record', async () => {
  const wal = walOf(4_000_000);
  const fed = [await feed(1, wal), await feed(2, wal), await feed(3, wal)];
  await using _all = {
    async [Symbol.asyncDispose]() {
      for (const each of fed) await each[Symbol.asyncDispose]();
    },
  };
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(...fed));
  const used: number[] = [];
  for (let round = 1; round <= 2; round++) {
    const reached = START_LSN + round * 1_000_000;
    const held = Promise.withResolvers<void>();
    intake.onTaken = () => {
      if (intake.position >= reached) intake.hold ??= held.promise;
    };
    await expect.poll(() => intake.isTaking && intake.hold !== undefined, POLL).toBe(true);
    const victim = fed.find(({ id }) => id === world.receiver.state.connection?.nodeId) as Fed;
    used.push(victim.id);
    await victim.pusher.close();
    await victim.safekeeper.service.close();
    intake.onTaken = () => undefined;
    intake.hold = undefined;
    held.resolve();
    await expect.poll(() => world.receiver.state.connection?.nodeId, POLL).not.toBe(victim.id);
    expect(wal.ends).not.toContain(world.receiver.state.connection?.streamedLsn);
  }
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(new Set([...used, world.receiver.state.connection?.nodeId]).size).toBe(3);
  expect(intake.refusals).toBe(0);
  for (const id of used) {
    expect(world.receiver.state.sources.find(({ nodeId }) => nodeId === id)?.failures).toBeGreaterThan(0);
  }
});

test('a safekeeper that lags is left for one that has more', async () => {
  const wal = walOf(400_000);
  const first = beginningOf(wal, START_LSN + 100_000);
  await using one = await feed(1, first);
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(one), { lagTimeoutMs: 200 });
  await expect.poll(() => intake.position, POLL).toBe(endOf(first));
  await using two = await feed(2, wal);
  world.receiver.setMembers(membersOf(one, two));
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(world.receiver.state).toMatchObject({
    connection: { nodeId: 2 },
    lastFailure: { nodeId: 1, code: 'SOURCE_LAGS' },
  });
  expect(world.counts.left['no-progress'].value).toBe(1);
});

test('one far behind another is left at once', async () => {
  const wal = walOf(600_000);
  const first = beginningOf(wal, START_LSN + 100_000);
  await using one = await feed(1, first);
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(one), { lagBytesMax: 300_000 });
  await expect.poll(() => intake.position, POLL).toBe(endOf(first));
  await using two = await feed(2, wal);
  world.receiver.setMembers(membersOf(one, two));
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(world.counts.left['far-behind'].value).toBe(1);
  expect(world.counts.failures.value).toBe(0);
});

test('a safekeeper that is no member any more is left, and not heard any more', async () => {
  const wal = walOf(200_000);
  const first = beginningOf(wal, START_LSN + 100_000);
  await using one = await feed(1, wal);
  await using two = await feed(2, first);
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(one, two), { lagTimeoutMs: 200 });
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  world.receiver.setMembers(membersOf(two));
  await expect.poll(() => world.receiver.state.status, POLL).toBe('idle');
  expect(world.receiver.state.sources.map(({ nodeId }) => nodeId)).toEqual([2]);
  expect(world.feed.linkCount).toBe(1);
  expect(world.counts.left['not-a-member'].value).toBe(1);
});

test('a safekeeper that comes back brings what it has committed meanwhile', async () => {
  const wal = walOf(300_000);
  const first = beginningOf(wal, START_LSN + 100_000);
  await using one = await feed(1, first);
  const intake = new RecordingIntake(wal);
  await using world = new RunningReceiver(intake, membersOf(one));
  await expect.poll(() => intake.position, POLL).toBe(endOf(first));
  await one.pusher.close();
  await one.safekeeper.restart();
  world.receiver.setMembers(membersOf(one));
  const pusher = await one.safekeeper.pusher(undefined, TIMELINE);
  await pusher.elect(2, endOf(first));
  await pusher.push(restOf(wal, first));
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  await pusher.close();
});

test('an end while the intake takes nothing comes at once', async () => {
  const wal = walOf(3_000_000);
  await using one = await feed(1, wal);
  const intake = new RecordingIntake(wal);
  intake.hold = new Promise(() => undefined);
  const world = new RunningReceiver(intake, membersOf(one));
  await expect.poll(() => world.receiver.state.waitingBytes, POLL).toBeGreaterThan(1024 * 1024);
  // The safekeeper is held back.
  expect(world.receiver.state.waitingBytes).toBeLessThanOrEqual(1024 * 1024 + 128 * 1024);
  const beganMs = performance.now();
  await world.stop();
  expect(performance.now() - beganMs).toBeLessThan(1000);
  expect(world.counts.connections.value).toBe(0);
  expect(world.counts.waitingBytes.value).toBe(0);
});

test('an intake that is closed ends the receiving', async () => {
  const wal = walOf(100_000);
  await using one = await feed(1, wal);
  const intake = new RecordingIntake(wal);
  intake.isClosed = true;
  await using world = new RunningReceiver(intake, membersOf(one));
  await world.running;
  expect(world.feed.linkCount).toBe(0);
  expect(world.receiver.state.lastFailure).toBeUndefined();
});
