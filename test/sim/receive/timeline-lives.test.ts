import { expect, test } from 'vitest';
import { CorruptionError } from '../../../src/base/errors.ts';
import { parseTimelineId } from '../../../src/base/ids.ts';
import { INVALID_LSN, toLsn } from '../../../src/base/lsn.ts';
import { NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import { replaceFile } from '../../../src/io/replace-file.ts';
import { ControlFileStore } from '../../../src/safekeeper/control-file/control-file-store.ts';
import { TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';
import type { Incarnation } from '../kernel-node.ts';
import { records, SimulatedSafekeeper, START_LSN, TENANT, TIMELINE } from './simulated-safekeeper.ts';

const OTHER = parseTimelineId('3'.repeat(32));

async function started(): Promise<SimulatedSafekeeper> {
  const world = await SimulatedSafekeeper.start();
  await world.createTimeline();
  return world;
}

/** Makes memory know more than the control file. */
async function learn(world: SimulatedSafekeeper, timelineId = TIMELINE): Promise<void> {
  await world.kernel.perform(async () => {
    using timeline = await world.safekeeper.timelines.get(TENANT, timelineId).stay('state');
    const peer = { lastLogTerm: 0, commitLsn: INVALID_LSN, remoteConsistentLsn: INVALID_LSN };
    await timeline.acceptor.run((acceptor) =>
      acceptor.learn({ ...peer, backupLsn: START_LSN, peerHorizonLsn: toLsn(START_LSN + 8) }),
    );
  });
}

test('a timeline that is closed while it is let go of lets nobody in afterwards', async () => {
  const world = await started();
  await learn(world);
  const timeline = world.safekeeper.timelines.get(TENANT, TIMELINE);
  await world.kernel.perform(async () => {
    const letting = timeline.letGo();
    const closing = timeline.close();
    expect(await letting).toBe(true);
    await closing;
  });
  await expect(timeline.stay('state')).rejects.toMatchObject({ kind: 'cancelled' });
  expect(timeline.signal.aborted).toBe(true);
});

test('a timeline whose removal fails at its state is here as before', async () => {
  const world = await started();
  await learn(world);
  world.node.disk.faults.failNext('sync', 'safekeeper.control');
  const { timelines } = world.safekeeper;
  const removing = world.kernel.perform(() => timelines.remove(TENANT, TIMELINE, 1, async () => undefined));
  await expect(removing).rejects.toMatchObject({ kind: 'unavailable' });
  const proposer = await world.push();
  await proposer.elect(1);
  await proposer.flushed(proposer.appendRecords(records(3, 100)));
});

test('a safekeeper has closed all timelines when its closing fails for one of them', async () => {
  const world = await started();
  const server = { pgVersion: 170_011, systemIdentifier: TEST_SYSTEM, segmentBytes: TEST_SEGMENT_BYTES };
  await world.kernel.perform(() =>
    world.safekeeper.timelines.create({
      tenantId: TENANT,
      timelineId: OTHER,
      membership: NO_MEMBERSHIP,
      server,
      startLsn: START_LSN,
      commitLsn: START_LSN,
    }),
  );
  await learn(world);
  await learn(world, OTHER);
  world.node.disk.faults.latency.sync = { minUs: 500_000, maxUs: 500_000, tailChance: 0, tailFactor: 1 };
  world.node.disk.faults.failNext('write', TIMELINE);
  const closing = world.kernel.perform(() => world.safekeeper.close());
  await expect(closing).rejects.toMatchObject({ kind: 'unavailable' });
  const { files } = (world.node.incarnation as Incarnation).doors;
  const state = await world.kernel.perform(() =>
    new ControlFileStore(files, `/data/${TENANT}/${OTHER}`).load(),
  );
  expect(state?.peerHorizonLsn).toBe(START_LSN + 8);
});

test('a timeline that comes back is used by nobody before its tombstone is gone', async () => {
  const world = await started();
  const { files } = (world.node.incarnation as Incarnation).doors;
  const path = `/data/${TENANT}/${TIMELINE}`;
  const state = await world.kernel.perform(() => new ControlFileStore(files, path).load());
  if (state === undefined) throw new Error('there is no control file');
  const { timelines } = world.safekeeper;
  const install = () =>
    world.kernel.perform(() =>
      timelines.install(TENANT, TIMELINE, 2, async (directory) => {
        const store = new ControlFileStore(files, directory);
        await store.load();
        await store.save(state);
      }),
    );
  await world.kernel.perform(() => timelines.remove(TENANT, TIMELINE, 1, async () => undefined));
  world.node.disk.faults.failNext('names', '.deleted');
  await expect(install()).rejects.toMatchObject({ kind: 'unavailable' });
  expect(timelines.find(TENANT, TIMELINE)).toBeUndefined();
  await install();
  const proposer = await world.push();
  await proposer.elect(1);
  const end = proposer.appendRecords(records(3, 100));
  await proposer.flushed(end);
  world.node.crash({ kind: 'power', survival: 'nothing' });
  await world.boot();
  using timeline = await world.kernel.perform(() =>
    world.safekeeper.timelines.get(TENANT, TIMELINE).stay('state'),
  );
  expect(timeline.acceptor.acceptor.flushLsn).toBe(end);
});

test.each(['.deleted', '/safekeeper.control'])('a damaged %s harms no other timeline', async (name) => {
  const world = await started();
  const { files } = (world.node.incarnation as Incarnation).doors;
  const other = OTHER;
  const state = await world.kernel.perform(() =>
    new ControlFileStore(files, `/data/${TENANT}/${TIMELINE}`).load(),
  );
  if (state === undefined) throw new Error('there is no control file');
  await world.kernel.perform(async () => {
    const directory = `/data/${TENANT}/${other}`;
    if (name === '.deleted') {
      await replaceFile(files, `/data/${TENANT}`, `${other}.deleted`, new TextEncoder().encode('nonsense'));
      return;
    }
    await files.makeDirectory(directory);
    const store = new ControlFileStore(files, directory);
    await store.load();
    // Each value is right by itself; together they cannot be.
    const termHistory = [{ term: 0, lsn: START_LSN }];
    await store.save({
      ...state,
      timelineId: other,
      termHistory,
      evictedAtLsn: START_LSN,
      commitLsn: toLsn(2 ** 40),
    });
    await files.syncDirectory(`/data/${TENANT}`);
  });
  world.node.crash({ kind: 'kill' });
  await world.boot();
  await expect(
    world.kernel.perform(async () => {
      using _timeline = await world.safekeeper.timelines.get(TENANT, other).stay('state');
    }),
  ).rejects.toBeInstanceOf(CorruptionError);
  const proposer = await world.push();
  await proposer.elect(1);
  await proposer.flushed(proposer.appendRecords(records(3, 100)));
});

test('a timeline may have had a new compute a hundred thousand times', async () => {
  const world = await started();
  const proposer = await world.push();
  proposer.greet();
  await proposer.next('greeting');
  const term = 100_000;
  const termHistory = Array.from({ length: term + 1 }, (_, index) => ({ term: index, lsn: START_LSN }));
  proposer.send({ kind: 'vote-request', generation: 0, term });
  await proposer.next('vote-response');
  proposer.send({ kind: 'elected', generation: 0, term, startStreamingAt: START_LSN, termHistory });
  proposer.term = term;
  const end = proposer.appendRecords(records(3, 100));
  await proposer.flushed(end);
  await proposer.leave();
  const next = await world.push();
  const vote = await next.elect(term + 1);
  expect(vote.termHistory).toHaveLength(term + 1);
  next.append(new Uint8Array(0));
  expect(await next.next('append-response')).toMatchObject({ term: term + 1, flushLsn: end });
});

const greeting = {
  kind: 'greeting',
  tenantId: TENANT,
  timelineId: TIMELINE,
  membership: NO_MEMBERSHIP,
  systemIdentifier: TEST_SYSTEM,
  segmentBytes: TEST_SEGMENT_BYTES,
} as const;

test('SK-12: a greeting of a server whose WAL nobody can read makes no timeline', async () => {
  const world = await SimulatedSafekeeper.start();
  const proposer = await world.push();
  proposer.send({ ...greeting, pgVersion: 990_000 });
  await world.wait(1000);
  expect(proposer.end).toMatchObject({ kind: 'failed', error: { message: /PostgreSQL 99/ } });
  expect(world.safekeeper.timelines.count).toBe(0);
});

test('a greeting of such a server leaves a timeline alone whose server is not known', async () => {
  const world = await SimulatedSafekeeper.start();
  const first = await world.push();
  first.send({ ...greeting, pgVersion: 0 });
  await first.next('greeting');
  const second = await world.push();
  second.send({ ...greeting, pgVersion: 990_000 });
  await world.wait(1000);
  expect(second.end).toMatchObject({ kind: 'failed' });
  world.node.crash();
  await world.boot();
  const third = await world.push();
  third.greet();
  await third.next('greeting');
});

test('a timeline that was begun before its system was known is read again when it is', async () => {
  const world = await SimulatedSafekeeper.start();
  const server = { pgVersion: 0, systemIdentifier: 0n, segmentBytes: TEST_SEGMENT_BYTES };
  await world.kernel.perform(() =>
    world.safekeeper.timelines.create({
      tenantId: TENANT,
      timelineId: TIMELINE,
      membership: NO_MEMBERSHIP,
      server,
      startLsn: START_LSN,
      commitLsn: START_LSN,
    }),
  );
  const search = await world.push();
  search.send({ ...greeting, pgVersion: 0, systemIdentifier: 0n });
  await search.next('greeting');
  search.send({ kind: 'vote-request', generation: 0, term: 1 });
  const vote = await search.next('vote-response');
  search.send({
    kind: 'elected',
    generation: 0,
    term: 1,
    startStreamingAt: vote.flushLsn,
    termHistory: [...vote.termHistory, { term: 1, lsn: vote.flushLsn }],
  });
  search.term = 1;
  search.append(new Uint8Array(0));
  await search.next('append-response');
  await search.leave();
  const proposer = await world.push();
  await proposer.elect(2);
  const end = proposer.appendRecords(records(3, 100));
  await proposer.flushed(end);
  proposer.append(new Uint8Array(0), end);
  await proposer.leave();
  await world.wait(1000);
  world.node.crash();
  await world.boot();
  const next = await world.push();
  expect((await next.elect(3)).flushLsn).toBe(end);
});
