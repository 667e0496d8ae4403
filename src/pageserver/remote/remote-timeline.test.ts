import { expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import type { SimDoors, SimNode } from '../../../test/sim/kernel-node.ts';
import { AttachmentService } from '../../../test/support/attachment-service.ts';
import {
  contentOf,
  delta,
  endOf,
  HEAD,
  NAME,
  named,
  never,
  RemoteWorld,
  type RemoteWorldDoors,
  START,
  TENANT,
} from '../../../test/support/remote-world.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { UnreliableObjects } from '../../../test/support/unreliable-objects.ts';
import type { VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import { MemoryObjects } from '../../io/memory-objects.ts';
import { findHighestGeneration, loadTimelineIndex } from './load-index.ts';
import { indexKey, layerKey, timelinePrefix } from './object-keys.ts';
import { LAYERS_WAITING_MAX } from './remote-timeline.ts';

const DIRECTORY = '/pageserver';

interface Bench {
  readonly kernel: Kernel;
  readonly service: AttachmentService;
  readonly objects: UnreliableObjects;
  readonly nodes: readonly SimNode[];
  open(node?: number, changes?: Partial<RemoteWorldDoors>): Promise<RemoteWorld>;
  run<Result>(action: () => Promise<Result>): Promise<Result>;
  pass(ms: number): Promise<void>;
}

function bench(seed = 1): Bench {
  const kernel = new Kernel(seed);
  const service = new AttachmentService();
  const nodes = [1, 2].map((number) => {
    const node = kernel.addNode(`node-${number}`);
    node.disk.provideDirectory(DIRECTORY);
    node.start(() => undefined);
    return node;
  });
  const doorsOf = (index: number): SimDoors => nodes[index]!.incarnation!.doors;
  const objects = new UnreliableObjects(new MemoryObjects(doorsOf(0).clock));
  return {
    kernel,
    service,
    objects,
    nodes,
    open: (index = 0, changes = {}) =>
      kernel.perform(() =>
        RemoteWorld.open({
          ...doorsOf(index),
          objects,
          source: service.forNode(index),
          directory: DIRECTORY,
          ...changes,
        }),
      ),
    run: (action) => kernel.perform(action),
    pass: async (ms) => void (await kernel.run({ untilMs: kernel.nowUs / 1000 + ms })),
  };
}

async function read(files: Files, path: string): Promise<Uint8Array> {
  await using file = await files.open(path);
  const bytes = new Uint8Array(file.sizeBytes);
  await file.read(bytes, 0, bytes.length, 0);
  return bytes;
}

const errorOf = (promise: Promise<unknown>): Promise<VarveError> =>
  promise.then(
    () => {
      throw new Error('this has not failed');
    },
    (error: VarveError) => error,
  );

test('IX-04: what was waited for is there for another node that has nothing', async () => {
  const { open, run, objects, nodes } = bench();
  const world = await open();
  expect(world.remote.projectedRemoteConsistentLsn).toBe(0);
  await run(async () => {
    for (const number of [0, 1, 2, 3]) await world.add(number, 700_000);
    await world.remote.waitForUploads(never);
  });
  expect(world.remote.projectedRemoteConsistentLsn).toBe(endOf(3));
  expect(world.metrics.layerUploads.value).toBe(4);
  expect(world.metrics.layerUploadBytes.value).toBe(2_800_000);
  expect(world.metrics.layersWaiting.value).toBe(0);
  nodes[0]!.crash();
  const other = await open(1);
  expect([...other.found!.values()].map(({ name }) => name)).toEqual(
    [0, 1, 2, 3].map((number) => named(delta(number, 1)).name),
  );
  expect(other.remote.visibleRemoteConsistentLsn).toBe(endOf(3));
  const layer = [...other.found!.values()][2]!;
  await run(() => other.remote.downloadLayer(layer, `${DIRECTORY}/layer`, never));
  expect(
    Buffer.compare(await run(() => read(other.doors.files, `${DIRECTORY}/layer`)), contentOf(layer)),
  ).toBe(0);
  expect(other.metrics.layerDownloadBytes.value).toBe(700_000);
  // The index names layers under the generation of who wrote them, whoever it is now.
  expect(await objects.keys()).toContain(layerKey(NAME, layer));
  await run(() => other.close());
});

test('IX-01: an index is put after all layers that it names', async () => {
  const { open, run, objects } = bench(3);
  const world = await open(0, { uploads: 4 });
  let failures = 0;
  const random = new SeededRandom(3);
  objects.fate = (request) => {
    if (request !== 'put' || random.chance(0.6)) return 'work';
    failures++;
    return random.chance(0.5) ? 'lose' : 'fail';
  };
  const checked = new Set<number>();
  objects.before = async (_, key) => {
    if (!key.includes('timeline-index')) return;
    const there = await objects.keys();
    if (!there.includes(indexKey(NAME, 1))) return;
    const { layers } = await loadTimelineIndex(
      { ...world.doors, objects: objects.store, logger: world.logger },
      NAME,
      1,
      never,
    );
    for (const layer of layers.values()) expect(there).toContain(layerKey(NAME, layer));
    checked.add(layers.size);
  };
  await run(async () => {
    for (let number = 0; number < 40; number++) await world.add(number);
    await world.remote.waitForUploads(never);
  });
  expect(failures).toBeGreaterThan(10);
  expect(checked.size).toBeGreaterThan(1);
  expect(world.metrics.layerUploadErrors.value + world.metrics.indexUploadErrors.value).toBe(failures);
  expect(world.remote.projectedRemoteConsistentLsn).toBe(endOf(39));
  await run(() => world.close());
});

test('removed layers go when an index without them is durable, through the deletion queue', async () => {
  const { open, run, objects, pass } = bench();
  const world = await open();
  const layer = await run(async () => {
    const made = await world.add(0);
    await world.add(1);
    await world.remote.waitForUploads(never);
    return named(made);
  });
  world.remote.scheduleIndexUpdate({ layersRemoved: [layer.name] });
  await run(() => world.remote.waitForUploads(never));
  expect(await objects.keys()).toContain(layerKey(NAME, layer));
  // Its key is not free before it is gone.
  expect(() => world.remote.scheduleLayerUpload(delta(0, 1), '/x')).toThrow(/about to be removed/);
  await pass(15_000);
  expect(await objects.keys()).not.toContain(layerKey(NAME, layer));
  expect(objects.requests.filter(({ request }) => request === 'remove').length).toBe(1);
  await run(() => world.close());
});

test('the LSN is visible when the generation was validated after the index was put', async () => {
  const { open, run, service, pass } = bench();
  const world = await open();
  service.isDown = true;
  await run(async () => {
    await world.add(0);
    await world.remote.waitForUploads(never);
  });
  await pass(60_000);
  expect(world.remote.projectedRemoteConsistentLsn).toBe(endOf(0));
  expect(world.remote.visibleRemoteConsistentLsn).toBe(0);
  expect(world.metrics.validationErrors.value).toBeGreaterThan(2);
  service.isDown = false;
  await pass(60_000);
  expect(world.remote.visibleRemoteConsistentLsn).toBe(endOf(0));
  await run(() => world.close());
});

test('GN-04: two nodes that are attached at once never write one key', async () => {
  const { open, run, objects, service, pass } = bench();
  const old = await open(0);
  await run(async () => {
    await old.add(0);
    await old.remote.waitForUploads(never);
  });
  const fresh = await open(1);
  await run(async () => {
    for (const world of [old, fresh]) for (const number of [1, 2, 3]) await world.add(number);
    await Promise.all([old.remote.waitForUploads(never), fresh.remote.waitForUploads(never)]);
  });
  const written = (world: RemoteWorld): Set<string> => {
    const suffix = `-0000000${world.generation}`;
    return new Set(
      objects.requests
        .filter(({ request, key }) => request === 'put' && key.endsWith(suffix))
        .map(({ key }) => key),
    );
  };
  const puts = new Set(objects.requests.filter(({ request }) => request === 'put').map(({ key }) => key));
  expect(written(old).size + written(fresh).size).toBe(puts.size);
  expect(written(old).size).toBe(5);
  expect(written(fresh).size).toBe(4);
  // GN-06: the small service is all that the nodes need.
  expect([...service.given]).toEqual([
    [`${TENANT} 1`, 0],
    [`${TENANT} 2`, 1],
  ]);
  // The stale node says nothing is durable, and removes nothing.
  await pass(1000);
  expect(old.remote.isStale).toBe(true);
  expect(old.remote.visibleRemoteConsistentLsn).toBe(endOf(0));
  expect(fresh.remote.visibleRemoteConsistentLsn).toBe(endOf(3));
  old.remote.scheduleIndexUpdate({ layersRemoved: [named(delta(0, 1)).name] });
  await run(() => old.remote.waitForUploads(never));
  await pass(60_000);
  expect(await objects.keys()).toContain(layerKey(NAME, named(delta(0, 1))));
  expect(old.metrics.deletionsDropped.value).toBeGreaterThan(0);
  await run(async () => {
    await old.close();
    await fresh.close();
  });
});

test('GN-05: a stale node never reads the index of a newer generation, also after a restart', async () => {
  const { open, run, objects, nodes } = bench();
  const old = await open(0);
  await run(async () => {
    await old.add(0);
    await old.remote.waitForUploads(never);
  });
  const fresh = await open(1, { limits: { listAgeMaxMs: 1e9 } });
  await run(async () => {
    await fresh.add(1);
    await fresh.remote.waitForUploads(never);
  });
  nodes[0]!.crash();
  const { doors } = nodes[0]!.start(() => undefined);
  const load = (generation: number) =>
    run(() => loadTimelineIndex({ ...doors, objects, logger: old.logger }, NAME, generation, never));
  const stale = await load(1);
  expect(stale.generation).toBe(1);
  expect([...stale.layers.keys()]).toEqual([named(delta(0, 1)).name]);
  expect(await load(2)).toMatchObject({ generation: 2, olderGenerations: [1] });
  expect(await load(0xffff_ffff)).toMatchObject({ generation: 2 });
  expect(await run(() => findHighestGeneration(objects, TENANT, never))).toBe(2);
  await run(() => fresh.close());
});

test("IX-03: without an index of one's generation, or with a damaged one, loading names the key", async () => {
  const { open, run, objects } = bench();
  const world = await open();
  await run(async () => {
    await world.add(0);
    await world.remote.waitForUploads(never);
    await world.close();
  });
  const doors = { ...world.doors, logger: world.logger };
  const whole = await run(() => objects.get(indexKey(NAME, 1), { signal: never }));
  await run(() => objects.put(indexKey(NAME, 2), whole, { signal: never }));
  const copied = await errorOf(run(() => loadTimelineIndex(doors, NAME, 2, never)));
  expect(copied.message).toContain(indexKey(NAME, 2));
  await run(() => objects.put(indexKey(NAME, 2), whole.slice(0, -3), { signal: never }));
  const damaged = await errorOf(run(() => loadTimelineIndex(doors, NAME, 2, never)));
  expect(damaged).toMatchObject({ kind: 'corruption', code: 'BAD_TIMELINE_INDEX' });
  expect(damaged.message).toContain(indexKey(NAME, 2));
  await run(() => objects.put(indexKey(NAME, 9), whole, { signal: never }));
  await run(() => objects.remove([indexKey(NAME, 1), indexKey(NAME, 2)], never));
  const missing = await errorOf(run(() => loadTimelineIndex(doors, NAME, 8, never)));
  expect(missing).toMatchObject({ kind: 'not-found', code: 'TIMELINE_INDEX_NOT_FOUND' });
});

test('IX-07: names in the prefix that are unknown are passed over, with a note', async () => {
  const { open, run, objects } = bench();
  const world = await open();
  await run(async () => {
    await world.add(0);
    await world.remote.waitForUploads(never);
    for (const name of ['deleted', 'timeline-index-deleted', 'timeline-index-00000001.new']) {
      await objects.put(timelinePrefix(NAME) + name, new Uint8Array(1), { signal: never });
    }
  });
  const index = await run(() => loadTimelineIndex({ ...world.doors, logger: world.logger }, NAME, 1, never));
  expect(index.layers.size).toBe(1);
  expect(world.logger.lines.filter(({ message }) => message.includes('passed over')).length).toBe(2);
  await run(() => world.close());
});

test('an index of an earlier attachment goes when there is a newer one', async () => {
  const { open, run, objects, pass } = bench();
  const first = await open();
  await run(async () => {
    await first.add(0);
    await first.remote.waitForUploads(never);
    await first.close();
  });
  const second = await open();
  await run(async () => {
    await second.add(1);
    await second.remote.waitForUploads(never);
  });
  await pass(15_000);
  const indexes = (await objects.keys()).filter((key) => key.includes('timeline-index'));
  expect(indexes).toEqual([indexKey(NAME, 2)]);
  await run(() => second.close());
});

test('a stuck store obeys shutdown and signals', async () => {
  const { open, run, objects } = bench();
  const world = await open();
  await run(async () => {
    await world.add(0);
    await world.remote.waitForUploads(never);
  });
  objects.fate = () => 'stick';
  const ending = new AbortController();
  const waits = run(async () => {
    await world.add(1);
    const uploaded = errorOf(world.remote.waitForUploads(ending.signal));
    const others = errorOf(world.remote.waitForUploads(never));
    const free = errorOf(world.remote.whenUploaded(named(delta(1, 1)).name, never));
    const download = errorOf(world.remote.downloadLayer(named(delta(0, 1)), `${DIRECTORY}/x`, never));
    ending.abort();
    const first = await uploaded;
    await world.close();
    return [first, await others, await free, await download];
  });
  for (const { kind } of await waits) expect(kind).toBe('cancelled');
  expect(() => world.remote.scheduleIndexUpdate({})).toThrow(/cancelled/);
  expect(world.metrics.layerDownloadErrors.value).toBe(0);
  expect(world.metrics.layersWaiting.value).toBe(0);
});

test('a shutdown waits for no back-off, and an upload goes on where it has failed', async () => {
  const { open, run, objects, pass, kernel } = bench();
  const world = await open();
  objects.fate = (request) => (request === 'put' ? 'fail' : 'work');
  await run(() => world.add(0));
  await pass(120_000);
  expect(world.metrics.layerUploadErrors.value).toBeGreaterThan(5);
  expect(world.metrics.layerUploadErrors.value).toBeLessThan(30);
  const beforeMs = kernel.nowUs / 1000;
  await run(() => world.close());
  expect(kernel.nowUs / 1000 - beforeMs).toBeLessThan(100);
});

test('no permit is held while an upload waits for its next try', async () => {
  const { open, run, objects } = bench();
  const world = await open(0, { uploads: 1 });
  const first = named(delta(0, 1)).name;
  let isHealed = false;
  objects.fate = (request, key) => (request === 'put' && key.includes(first) && !isHealed ? 'fail' : 'work');
  const other = await open(0, { uploads: 1 });
  expect(other.generation).toBe(2);
  await run(async () => {
    await world.add(0);
    await other.add(1);
    await other.remote.waitForUploads(never);
  });
  isHealed = true;
  await run(async () => {
    await world.remote.waitForUploads(never);
    await world.close();
    await other.close();
  });
});

test('with many layers waiting for their upload, ingest is to go slower', async () => {
  const { open, run, objects } = bench();
  const world = await open();
  objects.fate = (request) => (request === 'put' ? 'stick' : 'work');
  await run(async () => {
    for (let number = 0; number < LAYERS_WAITING_MAX; number++) await world.add(number, 1);
    expect(world.remote.isBehind).toBe(false);
    await world.add(LAYERS_WAITING_MAX, 1);
    expect(world.remote.isBehind).toBe(true);
    await world.close();
  });
});

test('the local file is read anew at each try, and is free when the layer is uploaded', async () => {
  const { open, run, objects, pass } = bench();
  const world = await open();
  const layer = named(delta(0, 1));
  let tries = 0;
  objects.fate = (request, key) =>
    request === 'put' && key.includes(layer.name) && ++tries < 3 ? 'lose' : 'work';
  await run(() => world.add(0));
  expect(world.remote.isUploading(layer.name)).toBe(true);
  await run(() => world.remote.whenUploaded(layer.name, never));
  expect(world.remote.isUploading(layer.name)).toBe(false);
  expect(tries).toBe(3);
  // A file that is not what it was is not uploaded in its place.
  const next = delta(1, 1, 500);
  const path = await run(() => world.writeFile({ ...next, sizeBytes: 400 }));
  world.remote.scheduleLayerUpload(next, path);
  await pass(5000);
  expect(world.logger.lines.some(({ fields }) => JSON.stringify(fields).includes('LAYER_SIZE'))).toBe(true);
  expect(await objects.keys()).not.toContain(layerKey(NAME, named(next)));
  await run(() => world.close());
});

test('a download that is not what the index says leaves no file', async () => {
  const { open, run, objects } = bench();
  const world = await open();
  const layer = named(delta(0, 1, 300_000));
  const path = `${DIRECTORY}/layer`;
  const download = () => errorOf(run(() => world.remote.downloadLayer(layer, path, never)));
  expect(await download()).toMatchObject({ kind: 'corruption', code: 'LAYER_OBJECT_MISSING' });
  for (const sizeBytes of [299_999, 300_001, 0, 900_000]) {
    await run(() => objects.put(layerKey(NAME, layer), new Uint8Array(sizeBytes), { signal: never }));
    const error = await download();
    expect(error).toMatchObject({ kind: 'corruption', code: 'LAYER_SIZE' });
    expect(error.message).toContain(layerKey(NAME, layer));
  }
  expect(await run(() => world.doors.files.list(DIRECTORY))).toEqual(['deletion']);
  expect(world.metrics.layerDownloadErrors.value).toBe(5);
  await run(() => world.close());
});

test('a download that a crash ends leaves the whole layer under its name, or nothing', async () => {
  for (let effect = 1, isOver = false; !isOver; effect++) {
    const { open, run, nodes, objects, pass } = bench(effect);
    const world = await open();
    const layer = named(delta(0, 1, 600_000));
    await run(() => objects.put(layerKey(NAME, layer), contentOf(layer), { signal: never }));
    nodes[0]!.crashAtEffect(effect, effect % 2 === 0 ? 'before' : 'middle', { survival: 'some' });
    let isDone = false;
    world.remote.downloadLayer(layer, `${DIRECTORY}/layer`, never).then(
      () => {
        isDone = true;
      },
      () => undefined,
    );
    await pass(10_000);
    isOver = isDone;
    nodes[0]!.crash({ survival: 'nothing' });
    const { files } = nodes[0]!.start(() => undefined).doors;
    const names = await run(() => files.list(DIRECTORY));
    if (isDone) expect(names).toContain('layer');
    if (names.includes('layer'))
      expect(Buffer.compare(await run(() => read(files, `${DIRECTORY}/layer`)), contentOf(layer))).toBe(0);
    expect(effect).toBeLessThan(40);
  }
});

test('IX-02: whenever a node crashes, the next attachment finds a whole index, and no layer missing', async () => {
  let indexes = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const { open, run, objects, nodes, pass, kernel } = bench(seed);
    let durableLsn: number = START;
    for (let life = 0; life < 4; life++) {
      if (!nodes[0]!.isAlive) nodes[0]!.start(() => undefined);
      const { files } = nodes[0]!.incarnation!.doors;
      // A crash may come before and after each request to the store.
      objects.before = () => files.syncDirectory('/');
      const world = await open();
      const head = world.remote.intendedHead;
      const names = [...(world.found?.keys() ?? [])];
      expect(head.diskConsistentLsn).toBeGreaterThanOrEqual(durableLsn);
      const there = await objects.keys();
      for (const layer of world.found?.values() ?? []) expect(there).toContain(layerKey(NAME, layer));
      if (world.found !== undefined) indexes++;
      const first = (head.diskConsistentLsn - HEAD.initialLsn) / 16;
      kernel.after(nodes[0]!.incarnation, 0, () => {
        const work = async (): Promise<void> => {
          for (let number = first; number < first + 5; number++) {
            names.push(named(await world.add(number)).name);
            if (number % 2 === 0) world.remote.scheduleIndexUpdate({ layersRemoved: [names.shift()!] });
          }
        };
        work().catch((error: unknown) => kernel.fail(error));
      });
      await pass(kernel.random.below(40_000) / 1000);
      durableLsn = Math.max(durableLsn, world.remote.projectedRemoteConsistentLsn);
      nodes[0]!.crash({ kind: life % 2 === 0 ? 'power' : 'kill' });
    }
    objects.before = async () => undefined;
    nodes[0]!.start(() => undefined);
    const last = await open();
    await run(() => last.close());
  }
  expect(indexes).toBeGreaterThan(60);
}, 60_000);

test('a put that hangs gives its permit back, and is tried again', async () => {
  const { open, run, pass, objects } = bench();
  const world = await open();
  let toStick = 1;
  objects.fate = (request) => (request === 'put' && toStick-- > 0 ? 'stick' : 'work');
  await run(() => world.add(0));
  await pass(50_000);
  expect(world.remote.waitingLayers).toBe(1);
  await pass(20_000);
  expect(world.remote.waitingLayers).toBe(0);
  expect(world.remote.projectedRemoteConsistentLsn).toBe(endOf(0));
  await run(() => world.remote.shutdown());
});

test('one timeline never has all permits of the node', async () => {
  const { open, run, pass, objects } = bench();
  const world = await open(0, { uploads: 3 });
  objects.fate = (request) => (request === 'put' ? 'stick' : 'work');
  await run(async () => {
    for (const number of [0, 1, 2, 3]) await world.add(number);
  });
  await pass(1000);
  expect(objects.requests.filter(({ request }) => request === 'put')).toHaveLength(2);
  await run(() => world.remote.shutdown());
});
