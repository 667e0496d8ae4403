import { expect, test } from 'vitest';
import {
  isWal,
  never,
  readAll,
  SETTINGS,
  segmentFiles,
  simulate,
} from '../../../test/support/backup-simulation.ts';
import { borderOf, endBelow, NODE_ID, START, WAL } from '../../../test/support/backup-world.ts';
import { TEST_SEGMENT_BYTES } from '../../../test/support/safekeeper-wal.ts';
import { VarveError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import { BucketReader } from '../backup/bucket-reader.ts';
import type { PeerInfo } from '../timeline/peer-info.ts';

test('a timeline is uploaded and trimmed as it grows, then evicted, and then costs nothing', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  const middle = endBelow(borderOf(3) + 300_000);
  await kernel.perform(() => world.feed(middle));
  await pass(0.1);
  expect((await objects.keys()).length).toBe(3);
  expect(world.metrics.backedUpSegments.value).toBe(3);
  expect(world.upkeep.isUploading(world.timeline)).toBe(true);
  // What pageservers have is told to nobody: it is found when the timeline has been idle.
  await pass(1);
  expect(await segmentFiles(simulation, world)).toEqual(['000000010000000000000013.partial']);
  expect(world.metrics.removedWalSegments.value).toBe(3);
  expect(world.timeline.acceptor).toBe(undefined);

  await pass(1);
  expect((await objects.keys()).length).toBe(4);
  expect(world.metrics.partialBackupUploads.of('ok').value).toBe(1);
  await pass(10);
  expect(await segmentFiles(simulation, world)).toEqual([]);
  expect(world.metrics.evictedTimelines.value).toBe(1);

  expect(world.timeline.acceptor).toBe(undefined);
  expect(world.upkeep.charges).toBe(0);
  const requests = objects.requests.length;
  const { steps } = kernel;
  await pass(1000);
  expect(kernel.steps).toBe(steps);
  expect(objects.requests.length).toBe(requests);

  expect(isWal(await kernel.perform(() => readAll(world, objects)))).toBe(true);
  expect(world.metrics.evictedTimelines.value).toBe(0);
  const end = endBelow(borderOf(4) + 200_000);
  await kernel.perform(() => world.feed(end));
  await pass(20);
  expect(world.upkeep.charges).toBe(0);
  expect(isWal(await kernel.perform(() => readAll(world, objects)))).toBe(true);
  // The partial segment of before is gone.
  expect((await objects.keys()).filter((key) => key.endsWith('.partial')).length).toBe(1);
});

test('SK-13: a timeline is never evicted while a connection streams it, and goes to rest afterwards', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  const end = endBelow(borderOf(1) + 100_000);
  await kernel.perform(() => world.feed(end));
  const resident = await kernel.perform(() => world.timeline.stay('wal'));
  const reader = new BucketReader(objects, never);
  for (let minute = 0; minute < 30; minute++) {
    await pass(1);
    const bytes = new Uint8Array(1000);
    const { wal } = resident.acceptor;
    expect(wal).not.toBe(undefined);
    const lsn = toLsn(end - 1000);
    expect(await kernel.perform(() => reader.read(resident, bytes, 0, 1000, lsn))).toBe(1000);
    expect(Buffer.compare(bytes, WAL.bytes.subarray(lsn - START, end - START))).toBe(0);
  }
  expect((await objects.keys()).length).toBe(2);
  resident[Symbol.dispose]();
  await pass(10);
  expect(await segmentFiles(simulation, world)).toEqual([]);
});

test('while it is used, what fills a segment is uploaded at once, and removed when pageservers have it', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  using resident = await kernel.perform(() => world.timeline.stay('wal'));
  await kernel.perform(() => world.feed(endBelow(borderOf(1) - 1000), START));
  await pass(4);
  expect((await objects.keys()).filter((key) => !key.endsWith('.partial'))).toEqual([]);
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000), START));
  await pass(0.01);
  expect((await objects.keys()).length).toBeGreaterThan(0);
  expect((await segmentFiles(simulation, world)).length).toBe(2);
  resident.acceptor.acceptor.recordRemoteConsistent(borderOf(1));
  await pass(6);
  expect((await segmentFiles(simulation, world)).length).toBe(1);
});

test('nothing is removed while somebody copies the files', async () => {
  const simulation = simulate();
  const { kernel, pass } = simulation;
  const world = await simulation.open();
  const hold = world.upkeep.holdRemoval(world.timeline);
  await kernel.perform(() => world.feed(endBelow(borderOf(2) + 100_000)));
  await pass(20);
  expect((await segmentFiles(simulation, world)).length).toBe(3);
  hold[Symbol.dispose]();
  hold[Symbol.dispose]();
  world.upkeep.begin(world.timelines.all());
  await pass(20);
  expect(await segmentFiles(simulation, world)).toEqual([]);
});

test('without a bucket nothing is removed that pageservers or other safekeepers may need', async () => {
  const simulation = simulate();
  const { kernel, pass } = simulation;
  const world = await simulation.open({ objects: undefined });
  const end = endBelow(borderOf(3) + 100_000);
  await kernel.perform(() => world.feed(end, borderOf(1)));
  await pass(10);
  expect(world.timeline.acceptor).toBe(undefined);
  expect((await segmentFiles(simulation, world)).length).toBe(3);
  using resident = await kernel.perform(() => world.timeline.stay('state'));
  expect(world.acceptor.persistent.backupLsn).toBe(START);
  expect(resident.acceptor.wal?.oldestLocalSegment).toBe(borderOf(1) / TEST_SEGMENT_BYTES);
  expect(world.logger.lines).toEqual([]);
});

test('another safekeeper that is chosen uploads; when it is silent, this one does', async () => {
  const simulation = simulate();
  const { kernel, objects, pass, doors } = simulation;
  // 0xbb × 16 is odd: of two candidates the second is chosen.
  const other = (heardMs: number): PeerInfo => ({
    nodeId: NODE_ID + 1,
    commitLsn: borderOf(1),
    localStartLsn: START,
    heardMs,
  });
  let heardMs: number | undefined;
  const world = await simulation.open({
    peers: { peersOf: () => [other(heardMs ?? doors.clock.monotonicMs())] },
  });
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000)));
  await pass(0.5);
  expect(await objects.keys()).toEqual([]);
  expect(world.upkeep.isUploading(world.timeline)).toBe(false);
  heardMs = doors.clock.monotonicMs();
  await pass(0.5);
  expect((await objects.keys()).filter((key) => !key.endsWith('.partial')).length).toBe(1);
});

test('a bucket that fails is tried again, and holds up nothing else', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  objects.before = async () => {
    throw new VarveError('unavailable', 'OBJECT_STORE', 'no bucket today');
  };
  await kernel.perform(() => world.feed(endBelow(borderOf(2) + 100_000)));
  await pass(10);
  expect(world.metrics.backupErrors.value).toBeGreaterThan(4);
  expect(world.metrics.backupErrors.value).toBeLessThan(15);
  expect((await segmentFiles(simulation, world)).length).toBe(3);
  objects.before = async () => undefined;
  await pass(15);
  expect((await objects.keys()).length).toBe(3);
  expect(await segmentFiles(simulation, world)).toEqual([]);
});

test('a control file is not behind for long, also while the timeline is used', async () => {
  const simulation = simulate();
  const { kernel, pass } = simulation;
  const world = await simulation.open({ objects: undefined });
  using _resident = await kernel.perform(() => world.timeline.stay('wal'));
  const end = endBelow(borderOf(1) - 100_000);
  await kernel.perform(() => world.feed(end));
  expect(world.acceptor.persistent.commitLsn).toBeLessThan(end);
  await pass(4);
  expect(world.acceptor.persistent.commitLsn).toBeLessThan(end);
  await pass(7);
  expect(world.acceptor.persistent.commitLsn).toBe(end);
  expect(world.acceptor.persistent.remoteConsistentLsn).toBe(end);
});

test('eviction may leave the files where they are', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open({ settings: { ...SETTINGS, deleteOffloadedWal: false } });
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000), START));
  await pass(20);
  expect(world.metrics.evictedTimelines.value).toBe(1);
  expect((await segmentFiles(simulation, world)).length).toBe(2);
  expect(isWal(await kernel.perform(() => readAll(world, objects)))).toBe(true);
});
