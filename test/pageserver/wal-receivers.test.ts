// How a timeline of the engine gets its WAL from safekeepers.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import type { TimelineStatus } from '../../src/contracts/safekeeper-api.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import type { WalReceiverState } from '../../src/pageserver/ingest/receiver/receiver-state.ts';
import { LazyIntake } from '../../src/pageserver/timeline/lazy-intake.ts';
import { LogicalSizes } from '../../src/pageserver/timeline/logical-sizes.ts';
import { WalReceivers } from '../../src/pageserver/wal-receivers.ts';
import { newTimeline, signal, TestSafekeeper } from '../safekeeper/running-safekeeper.ts';
import { SkippingClock } from '../support/skipping-clock.ts';
import { WalPusher } from '../support/wal-pusher.ts';
import { BadInputWorld, context, MADE_START, MADE_SYSTEM, type Side } from './bad-input-world.ts';
import { addressOf } from './receiver-world.ts';

const POLL = { timeout: 15_000, interval: 5 };
const IDLE_MS = 30_000;
/** Longer than a safekeeper that gave damaged WAL is left alone. */
const DAMAGE_PAUSE_MS = 60_000;
/** Where the content of a layer's first block is. */
const LAYER_CONTENT = 4096 + 50;

let made: BadInputWorld;
let victim: Side;

beforeEach(async () => {
  made = await BadInputWorld.open();
  onTestFinished(() => made[Symbol.asyncDispose]());
  victim = made.victim;
});

/** A safekeeper that keeps the victim's WAL, with who writes it. */
class Source implements AsyncDisposable {
  readonly id: number;
  readonly safekeeper: TestSafekeeper;
  readonly pusher: WalPusher;
  #end: Lsn = MADE_START;

  private constructor(id: number, safekeeper: TestSafekeeper, pusher: WalPusher) {
    this.id = id;
    this.safekeeper = safekeeper;
    this.pusher = pusher;
  }

  static async start(id: number, startLsn: Lsn): Promise<Source> {
    const safekeeper = await TestSafekeeper.start({ nodeId: id });
    const { tenantId, timelineId } = victim;
    await safekeeper.client().createTimeline(
      newTimeline({
        ...{ tenant_id: tenantId, timeline_id: timelineId },
        ...{ system_id: MADE_SYSTEM, start_lsn: startLsn },
      }),
      signal(),
    );
    const address = safekeeper.service.addresses.pg;
    const pusher = await WalPusher.start({ address, tenantId, timelineId, systemIdentifier: MADE_SYSTEM });
    await pusher.elect(1, startLsn);
    const source = new Source(id, safekeeper, pusher);
    source.#end = startLsn;
    return source;
  }

  /** Brings it all WAL that there is. */
  async push(): Promise<void> {
    const endLsn = victim.writer.position as Lsn;
    await this.pusher.push({
      startLsn: this.#end,
      bytes: victim.walFrom(this.#end),
      ends: [endLsn],
      previousLsn: this.#end,
    });
    this.#end = endLsn;
  }

  status(): Promise<TimelineStatus> {
    const { tenantId, timelineId } = victim;
    return this.safekeeper
      .client()
      .timelineStatus({ tenant_id: tenantId, timeline_id: timelineId }, signal());
  }

  /** Changes a byte of what it has on its disk. */
  async damage(lsn: Lsn): Promise<void> {
    const { directory } = this.safekeeper;
    const names = await readdir(directory, { recursive: true });
    const name = names.find((each) => /\/0000000100000000[0-9A-F]{8}/.test(each)) as string;
    await flip(join(directory, name), lsn % (1024 * 1024));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pusher.close();
    await this.safekeeper[Symbol.asyncDispose]();
  }
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] as number) ^ 0x41;
  await writeFile(path, bytes);
}

/** The receivers of a pageserver, for the victim's WAL from these. */
class Receiving implements AsyncDisposable {
  readonly clock = new SkippingClock();
  readonly logger = new CollectingLogger();
  readonly sizes = new LogicalSizes();
  readonly receivers: WalReceivers;

  constructor(sources: readonly Source[]) {
    const { clock, logger } = this;
    const sockets = nodeSockets((error) => {
      throw error;
    });
    this.receivers = new WalReceivers({
      doors: { sockets, clock, random: nodeRandom },
      logger,
      access: { applicationName: 'pageserver-7' },
      members: sources.map(({ safekeeper, id }) => addressOf(safekeeper, id)),
      sizes: this.sizes,
    });
    this.receivers.receive(victim.active);
  }

  get state(): WalReceiverState | undefined {
    return this.receivers.stateOf(victim.active.timeline);
  }

  async received(): Promise<void> {
    await expect.poll(() => victim.active.timeline.lastRecordLsn, POLL).toBe(victim.writer.position);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.receivers.close();
  }
}

test('a way in holds nothing before WAL comes, nor after it has let go', async () => {
  const { timeline } = victim.active;
  let started = 0;
  const intake = new LazyIntake(timeline, () => started++);
  expect([intake.isStarted, intake.position, started]).toEqual([false, MADE_START, 0]);
  victim.append(8);
  const wal = victim.walFrom(MADE_START);
  const taking = intake.take(wal.subarray(0, wal.length - 10));
  // Nothing is let go of while it is in use.
  intake.release();
  await taking;
  expect([intake.isStarted, started]).toEqual([true, 1]);
  expect(intake.position).toBe(MADE_START + wal.length - 10);
  const lastLsn = timeline.lastRecordLsn;
  expect(lastLsn).toBeLessThan(intake.position);
  intake.release();
  // Of the record that has come in part the beginning has to come again.
  expect([intake.isStarted, intake.position]).toEqual([false, lastLsn]);
  await intake.take(victim.walFrom(lastLsn));
  expect([intake.isStarted, started]).toEqual([true, 2]);
  expect(timeline.lastRecordLsn).toBe(victim.writer.position);
  await victim.verify();
});

test('a way in goes on after damaged WAL, and nowhere after the end of its timeline', async () => {
  const { timeline } = victim.active;
  const intake = new LazyIntake(timeline, () => undefined);
  victim.append(4);
  const bytes = victim.walFrom(MADE_START).slice();
  bytes[bytes.length - 100] = (bytes[bytes.length - 100] as number) ^ 1;
  await expect(intake.take(bytes)).rejects.toMatchObject({ kind: 'corruption' });
  expect([intake.isStarted, timeline.ingestStop]).toEqual([true, undefined]);
  expect(intake.position).toBe(timeline.lastRecordLsn);
  await intake.take(victim.walFrom(intake.position));
  expect(timeline.lastRecordLsn).toBe(victim.writer.position);
  timeline.cancel();
  victim.append(1);
  await expect(intake.take(victim.walFrom(intake.position))).rejects.toMatchObject({ kind: 'cancelled' });
  expect(intake.isStarted).toBe(false);
});

test('a timeline gets its WAL, tells how far it is, and costs nothing when it is idle', async () => {
  await using source = await Source.start(1, MADE_START);
  await using receiving = new Receiving([source]);
  const { receivers, clock } = receiving;
  await expect.poll(() => receiving.state?.sources[0]?.commitLsn, POLL).toBe(MADE_START);
  expect(receivers.startedCount).toBe(0);
  victim.append(16);
  await source.push();
  await receiving.received();
  expect(receivers.startedCount).toBe(1);
  await victim.verify();
  const end = victim.writer.position;
  const feedback = async () => (await source.status()).walsenders[0];
  const told = (lsns: Record<string, number>) => ({ Vanilla: { feedback: { Pageserver: lsns } } });
  await expect
    .poll(feedback, POLL)
    .toMatchObject(told({ lastReceivedLsn: end, diskConsistentLsn: MADE_START }));
  const { timeline, reads } = victim.active;
  await timeline.flush();
  await expect.poll(feedback, POLL).toMatchObject(told({ diskConsistentLsn: end }));
  // It was looked at for that, once.
  await expect.poll(() => receiving.sizes.known(timeline)?.lsn, POLL).toBe(end);
  const size = receiving.sizes.known(timeline);
  expect(size?.bytes).toBe(await reads.logicalSize(end, context));
  expect(await receiving.sizes.recent(victim.active, context.signal, 60_000)).toBe(size);
  await victim.active.timeline.remote.waitForUploads(context.signal);
  await expect.poll(feedback, POLL).toMatchObject(told({ diskConsistentLsn: end, remoteConsistentLsn: end }));
  expect((await source.status()).remote_consistent_lsn).toBe(end);
  expect(receiving.state?.status).toBe('streaming');
  // When all is told and nobody writes, the safekeeper ends the connection.
  await source.pusher.close();
  await expect.poll(() => receiving.state?.status, POLL).toBe('idle');
  expect(receivers.startedCount).toBe(1);
  clock.skip(IDLE_MS);
  await expect.poll(() => receivers.startedCount, POLL).toBe(0);
  expect(receivers.stateOf(victim.active.timeline)).toMatchObject({ status: 'idle', isDamaged: false });
});

test('WAL that is damaged at one safekeeper comes from another one', async () => {
  await using bad = await Source.start(1, MADE_START);
  await using good = await Source.start(2, MADE_START);
  victim.append(30);
  await bad.push();
  const damagedLsn = (MADE_START + 5000) as Lsn;
  await bad.damage(damagedLsn);
  await using receiving = new Receiving([bad, good]);
  await expect.poll(() => receiving.state?.lastFailure, POLL).toMatchObject({ nodeId: 1, isDamage: true });
  expect(victim.active.timeline.lastRecordLsn).toBeLessThan(damagedLsn);
  expect(victim.active.timeline.ingestStop).toBeUndefined();
  await good.push();
  await receiving.received();
  expect(receiving.state).toMatchObject({ connection: { nodeId: 2 }, isDamaged: false });
  await victim.verify();
});

test('a timeline whose stored data is damaged stops, says so, and goes on when it has been mended', async () => {
  await victim.fill();
  const names = (await readdir(victim.localDirectory)).filter((name) => name.includes('-v1-'));
  const paths = names.map((name) => join(victim.localDirectory, name));
  const damage = async (): Promise<void> => {
    for (const path of paths) await flip(path, LAYER_CONTENT);
  };
  await made.restart(damage);
  const startLsn = victim.active.timeline.lastRecordLsn;
  await using source = await Source.start(1, startLsn);
  await using receiving = new Receiving([source]);
  victim.append(8);
  await source.push();
  const { timeline } = victim.active;
  await expect.poll(() => timeline.ingestStop, POLL).toMatchObject({ kind: 'corruption', code: 'BAD_LAYER' });
  await expect
    .poll(() => receiving.state?.lastFailure, POLL)
    .toMatchObject({
      nodeId: undefined,
      code: 'BAD_LAYER',
      isDamage: true,
    });
  // No safekeeper is to blame, and none is told that its WAL is damaged.
  const { sources, isDamaged } = receiving.state as WalReceiverState;
  expect([sources[0]?.failures, sources[0]?.lastFailure, isDamaged]).toEqual([0, undefined, false]);
  const { damages, ownFailures } = receiving.receivers.counts;
  expect([damages.value, ownFailures.value]).toEqual([0, 1]);
  const told = receiving.logger.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  expect(told).toEqual(['this pageserver cannot take the WAL of a timeline in, whoever brings it']);
  expect(receiving.receivers.startedCount).toBe(0);
  // Whoever waits is told why.
  const waiting = timeline.lsns.wait(victim.writer.position, 60_000, context.signal);
  await expect(waiting).rejects.toMatchObject({ code: 'BAD_LAYER' });
  await damage();
  receiving.clock.skip(DAMAGE_PAUSE_MS);
  await receiving.received();
  expect(timeline.ingestStop).toBeUndefined();
  await victim.verify();
});

test('a timeline that closes ends its receiver, and receivers that close end all', async () => {
  await using source = await Source.start(1, MADE_START);
  await using receiving = new Receiving([source]);
  victim.append(8);
  await source.push();
  await receiving.received();
  const { active } = victim;
  const { timeline } = active;
  await expect.poll(() => receiving.state?.status, POLL).toBe('streaming');
  timeline.cancel();
  await expect.poll(() => receiving.receivers.stateOf(timeline), POLL).toBeUndefined();
  await expect.poll(async () => (await source.status()).walsenders, POLL).toEqual([]);
  expect(receiving.receivers.startedCount).toBe(0);
  // One that has ended is not received any more.
  receiving.receivers.receive(active);
  expect(receiving.receivers.stateOf(timeline)).toBeUndefined();
  await made.restart();
  receiving.receivers.receive(victim.active);
  await receiving.received();
  await receiving.receivers.close();
  expect(receiving.state).toBeUndefined();
  expect(receiving.receivers.counts.connections.value).toBe(0);
  receiving.receivers.receive(victim.active);
  expect(receiving.state).toBeUndefined();
});
