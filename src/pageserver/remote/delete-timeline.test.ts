import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import { AttachmentService } from '../../../test/support/attachment-service.ts';
import { delta, NAME, named, never, RemoteWorld, TENANT } from '../../../test/support/remote-world.ts';
import { UnreliableObjects } from '../../../test/support/unreliable-objects.ts';
import { DirectoryObjects } from '../../io/directory-objects.ts';
import type { ObjectStore } from '../../io/objects.ts';
import { deleteRemoteTimeline } from './delete-timeline.ts';
import { indexKey, timelinePrefix } from './object-keys.ts';

const DIRECTORY = '/pageserver';

/** A node, and a store that is a directory on the disk of another one, which never crashes. */
async function bench(seed = 1) {
  const kernel = new Kernel(seed);
  const node = kernel.addNode('pageserver');
  node.disk.provideDirectory(DIRECTORY);
  const storeNode = kernel.addNode('store');
  storeNode.disk.provideDirectory('/store');
  node.start(() => undefined);
  const storeDoors = storeNode.start(() => undefined).doors;
  const store = await kernel.perform(() => DirectoryObjects.open(storeDoors, '/store'));
  const objects = new UnreliableObjects(store);
  const service = new AttachmentService();
  const open = (nodeId = 1): Promise<RemoteWorld> =>
    kernel.perform(() =>
      RemoteWorld.open({
        ...node.incarnation!.doors,
        objects: aliveOnly(objects, () => node.incarnation!.doors.files.syncDirectory(DIRECTORY)),
        source: service.forNode(nodeId),
        directory: DIRECTORY,
        limits: { listObjectsMax: 5 },
      }),
    );
  const remove = (world: RemoteWorld) =>
    deleteRemoteTimeline(
      { ...world.doors, deletions: world.deletions, validator: world.validator, logger: world.logger },
      NAME,
      world.generation,
      never,
    );
  const keys = () => kernel.perform(() => objects.keys());
  const pass = async (ms: number) => void (await kernel.run({ untilMs: kernel.nowUs / 1000 + ms }));
  return { kernel, node, objects, service, open, remove, keys, pass };
}

/** What a process asks of the store costs it an effect before and after, at which it may crash. */
function aliveOnly(objects: UnreliableObjects, effect: () => Promise<void>): ObjectStore {
  return {
    description: objects.description,
    put: async (...args) => {
      await effect();
      await objects.put(...args);
      await effect();
    },
    get: (...args) => objects.get(...args),
    getStream: (...args) => objects.getStream(...args),
    head: (...args) => objects.head(...args),
    list: (...args) => objects.list(...args),
    remove: async (keys, signal) => {
      // One by one, so that a crash may come between any two.
      for (const key of keys) {
        await effect();
        await objects.remove([key], signal);
      }
      await effect();
    },
    close: () => undefined,
  };
}

async function fill(world: RemoteWorld): Promise<void> {
  for (let number = 0; number < 8; number++) await world.add(number, 10);
  await world.remote.waitForUploads(never);
  for (const name of ['unknown', `${named(delta(0, 1)).name}-x`]) {
    await world.doors.objects.put(timelinePrefix(NAME) + name, new Uint8Array(1), { signal: never });
  }
  await world.doors.objects.put('tenants/other', new Uint8Array(1), { signal: never });
}

test('IX-06: whatever moment a deletion is killed at, the index goes last, and a rerun finishes', async () => {
  let finished = 0;
  let killed = 0;
  for (let effect = 1; finished < 2; effect += 2) {
    expect(effect).toBeLessThan(200);
    const { kernel, node, open, remove, keys, pass } = await bench(effect);
    const first = await open();
    await kernel.perform(() => fill(first));
    first.remote.scheduleIndexUpdate({ deletedAtMs: 5 });
    await kernel.perform(() => first.remote.waitForUploads(never));
    await kernel.perform(() => first.remote.shutdown());
    node.crashAtEffect(effect, 'before', { kind: effect % 4 === 1 ? 'power' : 'kill', survival: 'some' });
    let isDone = false;
    remove(first).then(
      () => {
        isDone = true;
      },
      (error: unknown) => kernel.fail(error),
    );
    await pass(30_000);
    if (isDone) finished++;
    else killed++;
    const left = (await keys()).filter((key) => key.startsWith(timelinePrefix(NAME)));
    if (left.length > 0) expect(left).toContain(indexKey(NAME, 1));
    node.crash();
    node.start(() => undefined);
    const second = await open();
    if (left.length > 0) expect(second.remote.durableHead?.deletedAtMs).toBe(5);
    await kernel.perform(() => second.remote.shutdown());
    // What an earlier process has written down may have gone by now.
    if (!(await kernel.perform(() => remove(second)))) expect(left.length).toBeLessThan(2);
    expect(await keys()).toEqual(['tenants/other']);
    expect(await kernel.perform(() => remove(second))).toBe(false);
    await kernel.perform(() => second.close());
  }
  expect(killed).toBeGreaterThan(10);
}, 60_000);

test('IX-11: what is not marked in the index is not deleted', async () => {
  const { kernel, open, remove, keys } = await bench();
  const world = await open();
  await kernel.perform(() => fill(world));
  const before = await keys();
  await expect(kernel.perform(() => remove(world))).rejects.toMatchObject({ code: 'TIMELINE_NOT_DELETED' });
  expect(await keys()).toEqual(before);
  await kernel.perform(() => world.close());
});

test('a node that is stale deletes nothing, and says so', async () => {
  const { kernel, open, remove, keys, service } = await bench();
  const world = await open();
  await kernel.perform(() => fill(world));
  world.remote.scheduleIndexUpdate({ deletedAtMs: 5 });
  await kernel.perform(() => world.remote.waitForUploads(never));
  const before = await keys();
  await kernel.perform(() => service.forNode(2).attach(TENANT, never));
  await expect(kernel.perform(() => remove(world))).rejects.toMatchObject({
    kind: 'fenced',
    code: 'STALE_GENERATION',
  });
  expect(await keys()).toEqual(before);
  await kernel.perform(() =>
    world.doors.objects.put(indexKey(NAME, 2), new Uint8Array(1), { signal: never }),
  );
  await expect(kernel.perform(() => remove(world))).rejects.toMatchObject({ kind: 'fenced' });
  await kernel.perform(() => world.close());
});

test('objects of timelines are removed by the deletion queue and by nobody else', () => {
  const root = new URL('../', import.meta.url);
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
  );
  expect(sources.length).toBeGreaterThan(20);
  const removers = sources.filter((name) =>
    /\b(objects|objectStore|store|bucket)\??\.remove\(/i.test(
      readFileSync(new URL(name, root), 'utf8').replaceAll('this.#store.remove(', ''),
    ),
  );
  const ofTenants = ['remote/tenant-objects.ts', 'tenant/tenant-configuration.ts'];
  expect(removers).toEqual(['remote/deletion-queue.ts', ...ofTenants]);
});
