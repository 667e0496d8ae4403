import { describe, expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../../src/base/lsn.ts';
import { Gauge } from '../../../src/observe/metric-cells.ts';
import {
  HOT_STANDBY_FEEDBACK_BYTES,
  HotStandbyFeedback,
  STANDBY_STATUS_BYTES,
  writeHotStandbyFeedback,
  writeStandbyStatus,
} from '../../../src/postgres/wire/replication-messages.ts';
import { timelineStatusOf } from '../../../src/safekeeper/administration/timeline-status.ts';
import { AcceptorLoop } from '../../../src/safekeeper/receive/acceptor-loop.ts';
import type { Incarnation } from '../kernel-node.ts';
import { records, SimulatedSafekeeper, START_LSN, TENANT, TIMELINE } from './simulated-safekeeper.ts';

const SLOW_SYNC = { minUs: 20_000, maxUs: 20_000, tailChance: 0, tailFactor: 1 };

async function elected(seed?: number, options = '') {
  const world = await SimulatedSafekeeper.start(seed);
  await world.createTimeline();
  const proposer = await world.push(options);
  await proposer.elect(1);
  return { world, proposer };
}

describe('receiving WAL', () => {
  test('SK-06: status shows every receiver with its connection and what it does, also while the disk is slow', async () => {
    const world = await SimulatedSafekeeper.start();
    await world.createTimeline();
    const status = async () => {
      using timeline = await world.safekeeper.timelines.get(TENANT, TIMELINE).stay('state');
      return timelineStatusOf(timeline, { tenant_id: TENANT, timeline_id: TIMELINE }, []).walreceivers;
    };
    expect(await world.kernel.perform(status)).toEqual([]);
    const proposer = await world.push();
    proposer.greet();
    await proposer.next('greeting');
    const voting = await world.kernel.perform(status);
    expect(voting).toEqual([{ conn_id: expect.any(Number), status: 'Voting' }]);
    await proposer.leave();
    await world.wait(100);
    const streaming = await world.push();
    await streaming.elect(1);
    streaming.append(new Uint8Array(0));
    await streaming.next('append-response');
    world.node.disk.faults.latency.sync = {
      minUs: 5_000_000,
      maxUs: 5_000_000,
      tailChance: 0,
      tailFactor: 1,
    };
    streaming.appendRecords(records(10, 100));
    await world.wait(100);
    const beforeMs = world.kernel.nowUs / 1000;
    expect(await world.kernel.perform(status)).toEqual([
      { conn_id: expect.any(Number), status: 'Streaming' },
    ]);
    expect(world.kernel.nowUs / 1000 - beforeMs).toBeLessThan(1000);
  });

  test('SK-10: what was sent is made durable although the proposer reads no reply', async () => {
    const { world, proposer } = await elected();
    proposer.stream.pause();
    const end = proposer.appendRecords(records(300, 500));
    await world.wait(10_000);
    using timeline = await world.kernel.perform(() =>
      world.safekeeper.timelines.get(TENANT, TIMELINE).stay('state'),
    );
    expect(timeline.acceptor.acceptor.flushLsn).toBe(end);
    proposer.stream.resume();
    await proposer.flushed(end);
  });

  test('SK-18: a thousand queued appends share a few syncs', async () => {
    const { world, proposer } = await elected();
    world.node.disk.faults.latency.sync = SLOW_SYNC;
    const before = world.syncCount;
    const end = proposer.appendRecords(records(1000, 100));
    await proposer.flushed(end);
    expect(world.syncCount - before).toBeLessThanOrEqual(20);
    expect(world.syncCount).toBeGreaterThan(before);
  });

  test('SK-19: a single append on an idle stream is answered after one sync, not after a timer', async () => {
    const { world, proposer } = await elected();
    await world.wait(5000);
    world.node.disk.faults.latency.sync = { minUs: 300, maxUs: 300, tailChance: 0, tailFactor: 1 };
    const before = { syncs: world.syncCount, ms: world.kernel.nowUs / 1000 };
    const end = proposer.appendRecords(records(1, 100));
    await proposer.flushed(end);
    expect(world.syncCount - before.syncs).toBe(1);
    const networkMs = 5;
    expect(world.kernel.nowUs / 1000 - before.ms).toBeLessThan(0.3 + 1 + networkMs);
  });

  test('SK-20: while messages always wait, there is a sync and an answer at least every second', async () => {
    const world = await SimulatedSafekeeper.start();
    await world.createTimeline();
    using timeline = await world.kernel.perform(() =>
      world.safekeeper.timelines.get(TENANT, TIMELINE).stay('wal'),
    );
    // Simulated work takes no time, so each look at the clock takes 5 ms here.
    let nowMs = 0;
    const { clock } = (world.node.incarnation as Incarnation).doors;
    const answersMs: number[] = [];
    const wal = records(3000, 50);
    let sent = 0;
    const refill = (): void => {
      while (!loop.isFull && sent < wal.ends.length) {
        const beginLsn = wal.ends[sent - 1] ?? wal.startLsn;
        const endLsn = wal.ends[sent++] as Lsn;
        loop.put(
          {
            kind: 'append-request',
            generation: 0,
            term: 1,
            beginLsn,
            endLsn,
            commitLsn: toLsn(0),
            truncateLsn: toLsn(0),
            wal: wal.bytes.subarray(beginLsn - wal.startLsn, endLsn - wal.startLsn),
          },
          endLsn - beginLsn,
        );
      }
      if (sent === wal.ends.length) loop.end();
    };
    const loop = new AcceptorLoop({
      acceptor: timeline.acceptor,
      clock: { ...clock, monotonicMs: () => (nowMs += 5), yieldToOthers: () => clock.yieldToOthers() },
      gauges: { messages: new Gauge(), bytes: new Gauge() },
      signal: timeline.signal,
      reply: ({ kind }) => {
        if (kind === 'append-response') answersMs.push(nowMs);
        return undefined;
      },
      onRoom: refill,
      onWritten: () => undefined,
      onElected: () => undefined,
    });
    loop.put({ kind: 'vote-request', generation: 0, term: 1 }, 1);
    loop.put(
      {
        kind: 'elected',
        generation: 0,
        term: 1,
        startStreamingAt: START_LSN,
        termHistory: [
          { term: 0, lsn: START_LSN },
          { term: 1, lsn: START_LSN },
        ],
      },
      1,
    );
    refill();
    await world.kernel.perform(() => loop.run());
    expect(nowMs).toBeGreaterThan(10_000);
    expect(answersMs.length).toBeLessThan(50);
    for (const [index, atMs] of answersMs.entries()) {
      expect(atMs - (answersMs[index - 1] ?? 0)).toBeLessThanOrEqual(1100);
    }
    expect(timeline.acceptor.acceptor.flushLsn).toBe(wal.ends.at(-1));
  });

  test('SK-21: an idle stream on which all is durable is not synced, and there is no burst after a stall', async () => {
    const { world, proposer } = await elected();
    const end = proposer.appendRecords(records(10, 100));
    await proposer.flushed(end);
    const before = world.syncCount;
    await world.wait(10_000);
    expect(world.syncCount).toBe(before);
    for (let beat = 0; beat < 5; beat++) {
      proposer.append(new Uint8Array(0));
      await world.wait(1000);
    }
    expect(world.syncCount).toBe(before);
    expect(proposer.responses().length).toBeGreaterThanOrEqual(5);
  });

  test('SK-22: crossing the border of a segment syncs, and is answered', async () => {
    const { world, proposer } = await elected();
    world.node.disk.faults.latency.sync = SLOW_SYNC;
    const wal = records(30, 60_000);
    const end = proposer.appendRecords(wal);
    await proposer.flushed(end);
    const border = Math.ceil(START_LSN / (1024 * 1024)) * 1024 * 1024;
    expect(end).toBeGreaterThan(border);
    const atBorder = proposer
      .responses()
      .filter(({ flushLsn }) => flushLsn <= border && flushLsn > border - 100_000);
    expect(atBorder.length).toBeGreaterThan(0);
  });

  test.each(['in order', 'by a lost connection', 'half-closed'])(
    'SK-23, SK-24: after the compute is gone (%s) status and the next vote say the same, and it is durable',
    async (how) => {
      const { world, proposer } = await elected();
      world.node.disk.faults.latency.sync = SLOW_SYNC;
      const end = proposer.appendRecords(records(200, 300));
      if (how === 'in order') await proposer.leave();
      else if (how === 'half-closed') proposer.stream.sendCopyDone();
      else world.kernel.network.breakConnections(world.node, world.kernel.nodes[1] as never);
      await world.wait(5000);
      const flushLsn = await world.kernel.perform(async () => {
        using timeline = await world.safekeeper.timelines.get(TENANT, TIMELINE).stay('state');
        return timeline.acceptor.acceptor.flushLsn;
      });
      const successor = await world.push();
      const vote = await successor.elect(2);
      expect(vote.flushLsn).toBe(flushLsn);
      if (how !== 'by a lost connection') expect(flushLsn).toBe(end);
      world.node.crash({ kind: 'power', survival: 'nothing' });
      await world.boot();
      const third = await world.push();
      expect((await third.elect(3)).flushLsn).toBe(flushLsn);
    },
  );

  test('SK-12: any other first message than a greeting is refused, and makes no timeline', async () => {
    const world = await SimulatedSafekeeper.start();
    const proposer = await world.push();
    proposer.send({ kind: 'vote-request', generation: 0, term: 1 });
    await world.kernel.run({ until: () => proposer.end !== undefined });
    expect(proposer.end).toMatchObject({
      kind: 'failed',
      error: { message: expect.stringMatching(/instead of a greeting/) },
    });
    expect(world.safekeeper.timelines.count).toBe(0);
  });

  test('SK-12: two greetings at once make one timeline', async () => {
    const world = await SimulatedSafekeeper.start();
    const proposers = [await world.push(), await world.push()];
    for (const proposer of proposers) proposer.greet();
    for (const proposer of proposers) await proposer.next('greeting');
    expect(world.safekeeper.timelines.count).toBe(1);
  });

  test('SK-14: a slow acceptor is warned of every 5 s, and no message is lost or changes places', async () => {
    const { world, proposer } = await elected();
    world.node.disk.faults.latency.sync = {
      minUs: 12_000_000,
      maxUs: 12_000_000,
      tailChance: 0,
      tailFactor: 1,
    };
    const wal = records(2000, 100);
    const end = proposer.appendRecords(wal);
    await world.wait(2000);
    world.node.disk.faults.latency.sync = SLOW_SYNC;
    await proposer.flushed(end);
    const warnings = world.logger.lines.filter(
      ({ level, message }) => level === 'warn' && /is slow/.test(message),
    );
    expect(warnings).toHaveLength(2);
    expect(world.logger.lines.some(({ message }) => /takes messages again/.test(message))).toBe(true);
  });

  test('SK-11, SK-17: queues keep their bounds, and their gauges come back to zero however it ends', async () => {
    const { world, proposer } = await elected();
    world.node.disk.faults.latency.sync = {
      minUs: 3_000_000,
      maxUs: 3_000_000,
      tailChance: 0,
      tailFactor: 1,
    };
    proposer.appendRecords(records(3000, 100));
    let longest = 0;
    for (let step = 0; step < 50; step++) {
      await world.wait(100);
      longest = Math.max(longest, world.metrics.walReceiverQueueDepthTotal.value);
    }
    expect(longest).toBe(256);
    expect(world.metrics.walReceiverQueueSizeTotal.value).toBeGreaterThan(0);
    world.kernel.network.breakConnections(world.node, world.kernel.nodes[1] as never);
    await world.wait(20_000);
    expect(world.metrics.walReceiverQueueDepthTotal.value).toBe(0);
    expect(world.metrics.walReceiverQueueSizeTotal.value).toBe(0);
    expect(world.metrics.walReceivers.value).toBe(0);
  });

  test('SK-02, SK-16: wherever a connection is cut, the receiver is gone afterwards', async () => {
    for (let cutMs = 0; cutMs < 12; cutMs++) {
      const world = await SimulatedSafekeeper.start(cutMs + 1);
      const proposer = await world.push();
      proposer.greet();
      await world.wait(cutMs / 3);
      proposer.send({ kind: 'vote-request', generation: 0, term: 1 });
      await world.wait(cutMs / 3);
      world.kernel.network.breakConnections(world.node, world.kernel.nodes[1] as never);
      await world.wait(1000);
      expect(world.metrics.walReceivers.value).toBe(0);
      const timeline = world.safekeeper.timelines.find(TENANT, TIMELINE);
      expect(timeline?.isInUse ?? false).toBe(false);
    }
  });

  test("what a standby's readers need reaches the proposer with the next answer", async () => {
    const { world, proposer } = await elected();
    const reader = await world.connect();
    const stream = await world.kernel.perform(() =>
      reader.copyBoth('START_REPLICATION PHYSICAL 0/100028', {
        onCopyData: () => undefined,
        onCopyEnd: () => undefined,
      }),
    );
    const message = new Uint8Array(HOT_STANDBY_FEEDBACK_BYTES);
    const feedback = {
      sendTimeMicroseconds: 5,
      xmin: 700,
      xminEpoch: 1,
      catalogXmin: 0,
      catalogXminEpoch: 0,
    };
    writeHotStandbyFeedback(
      new DataView(message.buffer),
      0,
      Object.assign(new HotStandbyFeedback(), feedback),
    );
    stream.sendMessages(message);
    await world.wait(100);
    proposer.append(new Uint8Array(0));
    const answer = await proposer.next('append-response');
    expect(answer.hotStandbyFeedback).toEqual({ time: 5n, xmin: 2n ** 32n + 700n, catalogXmin: 0n });
  });

  test.each([
    ['standby_apply=on', true],
    ['', false],
  ])(
    'what standbys have applied is told at once to a proposer that asks for it (“%s”)',
    async (options, asks) => {
      const { world, proposer } = await elected(undefined, options);
      const end = proposer.appendRecords(records(10, 100));
      await proposer.flushed(end);
      const reader = await world.connect();
      const stream = await world.kernel.perform(() =>
        reader.copyBoth('START_REPLICATION PHYSICAL 0/100028', {
          onCopyData: () => undefined,
          onCopyEnd: () => undefined,
        }),
      );
      const told = (): unknown[] =>
        proposer.received.map(({ message }) => 'standbyApplyLsn' in message && message.standbyApplyLsn);
      const say = async (lsn: number): Promise<void> => {
        const status = new Uint8Array(STANDBY_STATUS_BYTES);
        writeStandbyStatus(new DataView(status.buffer), 0, lsn, lsn, lsn, 0, false);
        stream.sendMessages(status);
        await world.wait(100);
      };
      await say(end);
      expect(told().at(-1)).toBe(asks ? end : false);
      const count = proposer.received.length;
      await say(end + 8);
      expect(proposer.received.length).toBe(count + (asks ? 1 : 0));
      expect(told().at(-1)).toBe(asks ? end + 8 : false);
      // It is silent, and counts no more.
      await world.wait(11_000);
      proposer.append(new Uint8Array(0));
      await world.wait(100);
      expect(told().at(-1)).toBe(false);
    },
  );

  test('SK-25: the length of the queue is sampled every 5 s', async () => {
    const { world, proposer } = await elected();
    const before = world.metrics.walReceiverQueueDepth.count;
    for (let beat = 0; beat < 60; beat++) {
      proposer.append(new Uint8Array(0));
      await world.wait(1000);
    }
    const samples = world.metrics.walReceiverQueueDepth.count - before;
    expect(samples).toBeGreaterThanOrEqual(11);
    expect(samples).toBeLessThanOrEqual(13);
  });

  test('SK-27: the end of a stream is logged once, with where the timeline is', async () => {
    const { world, proposer } = await elected();
    await proposer.flushed(proposer.appendRecords(records(3, 100)));
    await proposer.leave();
    await world.wait(1000);
    const lines = world.logger.lines.filter(({ message }) => message === 'a WAL stream ended');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.fields).toMatchObject({
      tenantId: TENANT,
      timelineId: TIMELINE,
      term: 1,
      lastLogTerm: 1,
      flushLsn: expect.stringMatching(/^0\//),
      commitLsn: expect.stringMatching(/^0\//),
    });
  });

  test('SK-28: a timeline that is closed in the middle of appends ends at a record, which the next start accepts', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, proposer } = await elected(seed);
      const wal = records(500, 700);
      proposer.appendRecords(wal);
      await world.wait(seed);
      await world.kernel.perform(() => world.safekeeper.close());
      world.node.crash({ kind: 'power', survival: 'some' });
      await world.boot();
      const next = await world.push();
      const vote = await next.elect(2);
      expect([START_LSN, ...wal.ends]).toContain(vote.flushLsn);
    }
  });
});
