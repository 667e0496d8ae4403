import { expect, test } from 'vitest';
import type { VarveError } from '../../../src/base/errors.ts';
import { toLsn } from '../../../src/base/lsn.ts';
import type { CopyEnd } from '../../../src/libpq/copy-stream.ts';
import { Gauge } from '../../../src/observe/metric-cells.ts';
import { STANDBY_STATUS_BYTES, writeStandbyStatus } from '../../../src/postgres/wire/replication-messages.ts';
import { patchState } from '../../../src/safekeeper/consensus/patch-state.ts';
import { AcceptorLoop } from '../../../src/safekeeper/receive/acceptor-loop.ts';
import type { Incarnation } from '../kernel-node.ts';
import {
  records,
  SimulatedSafekeeper,
  START_LSN,
  TENANT,
  type TestProposer,
  TIMELINE,
} from './simulated-safekeeper.ts';

const SLOW = { minUs: 500_000, maxUs: 500_000, tailChance: 0, tailFactor: 1 };

async function started(): Promise<SimulatedSafekeeper> {
  const world = await SimulatedSafekeeper.start();
  await world.createTimeline();
  return world;
}

/** Takes WAL, or does not. */
async function read(world: SimulatedSafekeeper) {
  const client = await world.connect();
  const reader = { bytes: 0, end: undefined as CopyEnd | undefined };
  const stream = await world.kernel.perform(() =>
    client.copyBoth(`START_REPLICATION PHYSICAL ${START_LSN.toString(16).replace(/^/, '0/')}`, {
      onCopyData: (_bytes, _offset, length) => {
        reader.bytes += length;
      },
      onCopyEnd: (end) => {
        reader.end = end;
      },
    }),
  );
  return { reader, stream, client };
}

/** Asks for more answers than a connection holds, and reads none of them. */
async function flood(world: SimulatedSafekeeper): Promise<TestProposer> {
  const proposer = await world.push();
  proposer.greet();
  await proposer.next('greeting');
  proposer.stream.pause();
  for (let count = 0; count < 20_000; count++) {
    proposer.send({ kind: 'vote-request', generation: 0, term: 1 });
    if (count % 100 === 0) await world.wait(1);
  }
  await world.wait(1000);
  return proposer;
}

test('a timeline is removed although a proposer reads none of its answers', async () => {
  const world = await started();
  await flood(world);
  let isRemoved = false;
  void world.safekeeper.timelines
    .remove(TENANT, TIMELINE, 1, async () => undefined)
    .then(() => {
      isRemoved = true;
    });
  await world.wait(5000);
  expect(isRemoved).toBe(true);
});

test('a safekeeper closes although a proposer reads none of its answers', async () => {
  const world = await started();
  await flood(world);
  let isClosed = false;
  void world.safekeeper.close().then(() => {
    isClosed = true;
  });
  await world.wait(5000);
  expect(isClosed).toBe(true);
});

test('a safekeeper closes although a proposer has said goodbye and reads none of its answers', async () => {
  const world = await started();
  const proposer = await flood(world);
  proposer.stream.sendCopyDone();
  await world.wait(5000);
  let isClosed = false;
  void world.safekeeper.close().then(() => {
    isClosed = true;
  });
  await world.wait(5000);
  expect(isClosed).toBe(true);
});

test('SK-17: what comes while a refused stream is synced for the last time is in no gauge afterwards', async () => {
  const world = await started();
  const proposer = await world.push();
  await proposer.elect(1);
  await proposer.flushed(proposer.appendRecords(records(1, 1000)));
  await proposer.leave();
  using timeline = await world.kernel.perform(() =>
    world.safekeeper.timelines.get(TENANT, TIMELINE).stay('wal'),
  );
  const gauges = { messages: new Gauge(), bytes: new Gauge() };
  const loop = new AcceptorLoop({
    acceptor: timeline.acceptor,
    clock: (world.node.incarnation as Incarnation).doors.clock,
    gauges,
    signal: timeline.signal,
    reply: () => undefined,
    onWritten: () => undefined,
    onRoom: () => undefined,
    onElected: () => undefined,
  });
  const wal = records(3, 1000);
  const put = (begin: number, end: number): void => {
    const range = { beginLsn: toLsn(begin), endLsn: toLsn(end), commitLsn: toLsn(0), truncateLsn: toLsn(0) };
    const bytes = wal.bytes.subarray(begin - START_LSN, end - START_LSN);
    loop.put({ kind: 'append-request', generation: 0, term: 1, ...range, wal: bytes }, end - begin);
  };
  const [first, second, third] = wal.ends as readonly number[] as [number, number, number];
  put(first, second);
  // Leaves a gap, so it is refused.
  put(second + 8, third);
  world.node.disk.faults.latency.sync = SLOW;
  let refusal: unknown;
  const running = loop.run().catch((error: unknown) => {
    refusal = error;
  });
  await world.wait(100);
  expect(timeline.acceptor.acceptor.flushLsn).toBe(first);
  put(second, third);
  await world.kernel.perform(() => running);
  expect(refusal).toMatchObject({ code: 'APPEND_NOT_CONTIGUOUS' });
  expect(timeline.acceptor.acceptor.flushLsn).toBe(second);
  expect([gauges.messages.value, gauges.bytes.value, loop.queueLength]).toEqual([0, 0, 0]);
});

test('a reader that asks and asks, and reads nothing, costs no memory', async () => {
  const world = await started();
  const { reader, stream } = await read(world);
  stream.pause();
  const ask = new Uint8Array(STANDBY_STATUS_BYTES);
  writeStandbyStatus(new DataView(ask.buffer), 0, 0, 0, 0, 0, true);
  const { clock } = (world.node.incarnation as Incarnation).doors;
  let left = 120_000;
  const askOn = (): void => {
    stream.sendMessages(ask);
    if (--left > 0) clock.setTimer(0.3, askOn);
  };
  askOn();
  await world.kernel.run({ until: () => left === 0 });
  stream.resume();
  await world.wait(1000);
  const keptMax = 1024 * 1024 + world.kernel.network.settings.windowBytes;
  expect(reader.bytes).toBeGreaterThan(0.5 * keptMax);
  expect(reader.bytes).toBeLessThan(keptMax);
  const before = reader.bytes;
  stream.sendMessages(ask);
  await world.wait(100);
  expect(reader.bytes).toBeGreaterThan(before);
});

test('a reader goes on, or is sent away, when its timeline is read anew, and nobody else notices', async () => {
  const world = await started();
  const proposer = await world.push();
  await proposer.elect(1);
  const wal = records(500, 2000);
  const end = proposer.appendRecords(wal);
  await proposer.flushed(end);
  proposer.append(new Uint8Array(0), end);
  await world.wait(100);
  await proposer.leave();
  await world.wait(1000);
  const { reader } = await read(world);
  world.node.disk.faults.latency.read = { minUs: 2000, maxUs: 2000, tailChance: 0, tailFactor: 1 };
  const timeline = world.safekeeper.timelines.get(TENANT, TIMELINE);
  for (let count = 0; count < 20 && reader.end === undefined; count++) {
    const patching = world.kernel.perform(async () => {
      using resident = await timeline.stay('state');
      await resident.acceptor.patch((acceptor) => patchState(acceptor, {}));
    });
    await patching;
    await world.wait(1);
  }
  await world.wait(1000);
  if (reader.end === undefined) expect(reader.bytes).toBeGreaterThan(end - START_LSN);
  else
    expect(reader.end).toMatchObject({
      kind: 'failed',
      error: { kind: 'unavailable' } as Partial<VarveError>,
    });
});
