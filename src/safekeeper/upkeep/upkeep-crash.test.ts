import { expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import type { SimDoors } from '../../../test/sim/kernel-node.ts';
import {
  DIRECTORY,
  isWal,
  MINUTE_MS,
  PREFIX,
  readAll,
  SETTINGS,
  WatchedObjects,
} from '../../../test/support/backup-simulation.ts';
import { BackupWorld, borderOf, endBelow, START } from '../../../test/support/backup-world.ts';
import { MemoryObjects } from '../../io/memory-objects.ts';

/** Uploads, evicts, brings back and goes on, with a crash at one moment; returns whether it came so far. */
async function crashOnce(effect: number, moment: 'before' | 'middle'): Promise<boolean> {
  const kernel = new Kernel(effect);
  const node = kernel.addNode('safekeeper');
  node.disk.provideDirectory(DIRECTORY);
  let objects: WatchedObjects | undefined;
  let fedLsn = START;
  const first = endBelow(borderOf(1) + 30_000);
  const second = endBelow(borderOf(1) + 60_000);
  const open = async (doors: SimDoors): Promise<BackupWorld> => {
    objects ??= new WatchedObjects(new MemoryObjects(doors.clock));
    // A crash may come before and after each thing that is done to the bucket.
    objects.before = (request) =>
      request.startsWith('get') || request.startsWith('head')
        ? Promise.resolve()
        : doors.files.syncDirectory(DIRECTORY);
    return BackupWorld.open({ ...doors, directory: DIRECTORY, objects, settings: SETTINGS });
  };
  const runMinutes = (minutes: number) => kernel.run({ untilMs: kernel.nowUs / 1000 + minutes * MINUTE_MS });
  let world: BackupWorld | undefined;
  node.start(async (doors) => {
    world = await open(doors);
    await world.feed(first);
    fedLsn = first;
    node.crashAtEffect(effect, moment, { kind: effect % 2 === 0 ? 'power' : 'kill' });
  });
  await runMinutes(5);
  if (node.isAlive) {
    kernel.after(node.incarnation, 0, () => {
      const feeding = (world as BackupWorld).feed(second).then(() => {
        fedLsn = second;
      });
      feeding.catch((error: unknown) => kernel.fail(error));
    });
    await runMinutes(5);
  }
  const isAlive = node.isAlive;
  node.crash({ kind: 'power' });
  const bucket = objects as WatchedObjects;
  node.start(async (doors) => {
    world = await open(doors);
    await checkNames(world, bucket);
    world.upkeep.begin(world.timelines.all());
  });
  await runMinutes(10);
  const again = world as unknown as BackupWorld;
  await kernel.perform(() => checkNothingIsLeft(again, (node.incarnation as { doors: SimDoors }).doors));
  const bytes = await kernel.perform(() => readAll(again, bucket));
  expect(bytes.length).toBeGreaterThanOrEqual(fedLsn - START);
  expect(isWal(bytes)).toBe(true);
  await kernel.perform(() => again.feed(second));
  await runMinutes(10);
  expect((await bucket.keys()).length).toBe(2);
  await kernel.perform(() => checkNames(again, bucket));
  expect(isWal(await kernel.perform(() => readAll(again, bucket)))).toBe(true);
  return isAlive;
}

/** Evicted WAL is gone from the disk, also where a crash has come between. */
async function checkNothingIsLeft(world: BackupWorld, { files }: SimDoors): Promise<void> {
  using resident = await world.timeline.stay('state');
  if (resident.acceptor.acceptor.persistent.evictedAtLsn === undefined) return;
  const names = await files.list(world.timeline.directory);
  expect(names.filter((name) => /^[0-9A-F]{24}/.test(name))).toEqual([]);
}

/** The control file names every partial segment that is in the bucket. */
async function checkNames(world: BackupWorld, objects: WatchedObjects): Promise<void> {
  using resident = await world.timeline.stay('state');
  const named = resident.acceptor.acceptor.persistent.partialSegments.map(({ name }) => PREFIX + name);
  for (const key of await objects.keys()) if (key.endsWith('.partial')) expect(named).toContain(key);
}

test.each(['before', 'middle'] as const)(
  'each step of uploads, eviction and return can be the last: %s it',
  async (moment) => {
    let effect = 1;
    while (!(await crashOnce(effect, moment))) effect++;
    expect(effect).toBeGreaterThan(60);
  },
  120_000,
);
