import { expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import type { SimDoors } from '../../../test/sim/kernel-node.ts';
import { AttachmentService } from '../../../test/support/attachment-service.ts';
import { NAME, never, TENANT } from '../../../test/support/remote-world.ts';
import { UnreliableObjects } from '../../../test/support/unreliable-objects.ts';
import type { TenantId } from '../../base/ids.ts';
import type { Files } from '../../io/files.ts';
import { MemoryObjects } from '../../io/memory-objects.ts';
import { CollectingLogger } from '../../observe/log.ts';
import { Metrics } from '../../observe/metrics.ts';
import {
  DELETION_HEADER_NAME,
  decodeDeletionList,
  deletionListName,
  encodeDeletionHeader,
  encodeDeletionList,
  keysOfList,
} from './deletion-list.ts';
import { type DeletionLimits, DeletionQueue } from './deletion-queue.ts';
import type { GenerationSource } from './generation-source.ts';
import { GenerationValidator } from './generation-validator.ts';
import { timelinePrefix } from './object-keys.ts';
import { RemoteMetrics } from './remote-metrics.ts';

const DIRECTORY = '/deletion';
const PREFIX = timelinePrefix(NAME);

async function read(files: Files, path: string): Promise<Uint8Array> {
  await using file = await files.open(path);
  const bytes = new Uint8Array(file.sizeBytes);
  await file.read(bytes, 0, bytes.length, 0);
  return bytes;
}

/** One node with a deletion queue, and a store with objects `0` to `99` in the timeline. */
async function bench(seed = 1) {
  const kernel = new Kernel(seed);
  const node = kernel.addNode('node');
  node.disk.provideDirectory(DIRECTORY);
  node.start(() => undefined);
  const service = new AttachmentService();
  const source = service.forNode(1);
  const objects = new UnreliableObjects(new MemoryObjects(node.incarnation!.doors.clock));
  const names = Array.from({ length: 100 }, (_, number) => `${number}`.padStart(3, '0'));
  for (const name of names) await objects.store.put(PREFIX + name, new Uint8Array(1), { signal: never });
  const doors = (): SimDoors => node.incarnation!.doors;
  const open = async (attached: ReadonlyMap<TenantId, number>, limits: Partial<DeletionLimits> = {}) => {
    const metrics = new RemoteMetrics(new Metrics(doors().clock));
    const logger = new CollectingLogger();
    const validator = new GenerationValidator({ ...doors(), source, logger, metrics });
    const queue = await kernel.perform(() =>
      DeletionQueue.open({ ...doors(), objects, validator, logger, metrics }, DIRECTORY, attached, limits),
    );
    return { queue, validator, metrics, logger };
  };
  const pass = async (ms: number) => void (await kernel.run({ untilMs: kernel.nowUs / 1000 + ms }));
  const left = async (): Promise<string[]> => (await objects.keys()).map((key) => key.slice(PREFIX.length));
  const files = () => kernel.perform(() => doors().files.list(DIRECTORY));
  const attach = (nodeSource: GenerationSource = source) =>
    kernel.perform(() => nodeSource.attach(TENANT, never));
  return { kernel, node, service, source, objects, names, open, pass, left, files, attach };
}

test('objects are removed in lists, by count or by age, and nothing is left of the lists', async () => {
  const { kernel, names, open, pass, left, files, attach, objects } = await bench();
  const generation = await attach();
  const { queue, metrics } = await open(new Map([[TENANT, generation]]), { listObjectsMax: 10 });
  queue.enqueue(NAME, generation, names.slice(0, 25));
  expect(queue.isPending(`${PREFIX}003`)).toBe(true);
  await pass(1000);
  expect(await left()).toEqual(names.slice(20));
  expect(metrics.deletionsPending.value).toBe(5);
  await pass(15_000);
  expect(await left()).toEqual(names.slice(25));
  expect(queue.isPending(`${PREFIX}003`)).toBe(false);
  expect(metrics.deletionsExecuted.value).toBe(25);
  expect(metrics.deletionsSubmitted.value).toBe(25);
  expect(await files()).toEqual([DELETION_HEADER_NAME]);
  // While nothing is to be done, nothing is: no timer, no task.
  expect(await kernel.run()).toBe('idle');
  const asked = objects.requests.length;
  await pass(1e9);
  expect(objects.requests.length).toBe(asked);
  await kernel.perform(() => queue.shutdown());
});

test('nothing is removed before the generation is validated', async () => {
  const { kernel, service, names, open, pass, left, attach } = await bench();
  const generation = await attach();
  const { queue, metrics, validator } = await open(new Map([[TENANT, generation]]));
  service.isDown = true;
  queue.enqueue(NAME, generation, names);
  await pass(120_000);
  expect(await left()).toEqual(names);
  expect(metrics.validationErrors.value).toBeGreaterThan(3);
  service.isDown = false;
  await pass(60_000);
  expect(await left()).toEqual([]);
  await kernel.perform(() => queue.shutdown());
  await kernel.perform(() => validator.shutdown());
});

test('what was submitted in a generation that is not current is dropped, the rest is executed', async () => {
  const { kernel, service, names, open, left, files, attach } = await bench();
  const old = await attach();
  const { queue, metrics } = await open(new Map([[TENANT, old]]), { listAgeMaxMs: 1e9 });
  queue.enqueue(NAME, old, names.slice(0, 10));
  const current = await attach();
  // Of two lists with one object, that of the current generation counts.
  queue.enqueue(NAME, current, names.slice(9, 20));
  await kernel.perform(() => queue.flush(never));
  expect(await left()).toEqual([...names.slice(0, 9), ...names.slice(20)]);
  expect(metrics.deletionsDropped.value).toBe(10);
  expect(metrics.deletionsPending.value).toBe(0);
  await attach(service.forNode(2));
  queue.enqueue(NAME, current, names.slice(20, 30));
  await kernel.perform(() => queue.flush(never));
  expect(await left()).toContain('025');
  expect(await files()).toEqual([DELETION_HEADER_NAME]);
  await kernel.perform(() => queue.shutdown());
});

test('what is held up by the store or the disk is tried again, and shutdown waits for neither', async () => {
  const { kernel, node, objects, names, open, left, pass, attach } = await bench();
  const generation = await attach();
  const { queue, metrics } = await open(new Map([[TENANT, generation]]), {
    listObjectsMax: 10,
    pendingObjectsMax: 50,
  });
  objects.fate = (request) => (request === 'remove' ? 'fail' : 'work');
  node.disk.faults.failNext('sync', DIRECTORY, 3);
  queue.enqueue(NAME, generation, names.slice(0, 60));
  expect(queue.isBehind).toBe(true);
  await pass(60_000);
  expect(metrics.deletionErrors.value).toBeGreaterThan(5);
  expect(await left()).toEqual(names);
  objects.fate = () => 'work';
  await pass(60_000);
  expect(await left()).toEqual(names.slice(60));
  expect(queue.isBehind).toBe(false);
  objects.fate = () => 'stick';
  queue.enqueue(NAME, generation, names.slice(60));
  await pass(60_000);
  const flushing = queue.flush(never);
  const rejected = expect(flushing).rejects.toMatchObject({ kind: 'cancelled' });
  await kernel.perform(() => queue.shutdown());
  await rejected;
  expect(() => queue.enqueue(NAME, generation, ['x'])).toThrow(/cancelled/);
});

test('a signal ends the wait for a flush, and not the flush', async () => {
  const { kernel, names, open, left, pass, attach } = await bench();
  const generation = await attach();
  const { queue } = await open(new Map([[TENANT, generation]]));
  queue.enqueue(NAME, generation, names);
  const ending = new AbortController();
  const rejected = expect(queue.flush(ending.signal)).rejects.toMatchObject({ kind: 'cancelled' });
  ending.abort();
  await rejected;
  await pass(1000);
  expect(await left()).toEqual([]);
  await kernel.perform(() => queue.shutdown());
});

test('what an orderly process has left, the next one executes', async () => {
  const { kernel, names, open, left, files, source, attach } = await bench();
  const first = await attach();
  const before = await open(new Map([[TENANT, first]]));
  before.queue.enqueue(NAME, first, names.slice(0, 50));
  await kernel.perform(() => before.queue.shutdown());
  expect(await left()).toEqual(names);
  expect((await files()).filter((name) => name.endsWith('.list')).length).toBe(1);
  const attached = await kernel.perform(() => source.reattachAll(never));
  const after = await open(attached);
  expect(after.queue.isPending(`${PREFIX}000`)).toBe(true);
  await kernel.perform(() => after.queue.flush(never));
  expect(await left()).toEqual(names.slice(50));
  await kernel.perform(() => after.queue.shutdown());
});

test('a list that was not validated is dropped where another node came in between', async () => {
  const { kernel, service, names, open, left, attach } = await bench();
  const first = await attach();
  const before = await open(new Map([[TENANT, first]]));
  before.queue.enqueue(NAME, first, names.slice(0, 50));
  await kernel.perform(() => before.queue.shutdown());
  await attach(service.forNode(2));
  const third = await attach();
  const after = await open(new Map([[TENANT, third]]));
  expect(after.metrics.deletionsDropped.value).toBe(50);
  await kernel.perform(() => after.queue.flush(never));
  expect(await left()).toEqual(names);
  await kernel.perform(() => after.queue.shutdown());
});

test('a list below the header is executed, whoever is attached by now, and new lists come above it', async () => {
  const { kernel, node, names, open, left, files, attach } = await bench();
  const timelines = new Map([[NAME.timelineId, names.slice(0, 5)]]);
  const write = (name: string, bytes: Uint8Array) =>
    kernel.perform(() => node.incarnation!.doors.files.create(`${DIRECTORY}/${name}`, bytes));
  const list = { sequence: 7, isValidated: false, tenants: [{ tenantId: TENANT, generation: 2, timelines }] };
  await write(deletionListName(7), encodeDeletionList(list));
  await write(DELETION_HEADER_NAME, encodeDeletionHeader(40));
  await write(`${deletionListName(50)}.temporary`, new Uint8Array(3));
  await write('something', new Uint8Array(3));
  await write(deletionListName(60), new Uint8Array(3));
  await write(deletionListName(61), encodeDeletionList({ ...list, sequence: 62 }));
  const { queue, metrics, logger } = await open(new Map());
  await kernel.perform(() => queue.flush(never));
  expect(await left()).toEqual(names.slice(5));
  expect(metrics.deletionListsRefused.value).toBe(2);
  expect(logger.lines.filter(({ level }) => level === 'error').length).toBe(2);
  expect(await files()).toEqual([
    `${deletionListName(60)}.refused`,
    `${deletionListName(61)}.refused`,
    DELETION_HEADER_NAME,
    'something',
  ]);
  const generation = await attach();
  queue.enqueue(NAME, generation, names.slice(5));
  await kernel.perform(() => queue.shutdown());
  expect(await files()).toContain(deletionListName(62));
});

test('a new list comes above the header, which has not validated it', async () => {
  const { kernel, node, names, open, files, attach } = await bench();
  await kernel.perform(() =>
    node.incarnation!.doors.files.create(`${DIRECTORY}/${DELETION_HEADER_NAME}`, encodeDeletionHeader(40)),
  );
  const generation = await attach();
  const { queue } = await open(new Map([[TENANT, generation]]));
  queue.enqueue(NAME, generation, names);
  await kernel.perform(() => queue.shutdown());
  expect(await files()).toEqual([deletionListName(41), DELETION_HEADER_NAME]);
});

test('with a damaged header no list counts as validated', async () => {
  const { kernel, node, names, open, left, files } = await bench();
  const timelines = new Map([[NAME.timelineId, names]]);
  const write = (name: string, bytes: Uint8Array) =>
    kernel.perform(() => node.incarnation!.doors.files.create(`${DIRECTORY}/${name}`, bytes));
  const list = { sequence: 7, isValidated: false, tenants: [{ tenantId: TENANT, generation: 2, timelines }] };
  await write(deletionListName(7), encodeDeletionList(list));
  await write(DELETION_HEADER_NAME, encodeDeletionHeader(40).slice(1));
  const { queue, metrics } = await open(new Map());
  await kernel.perform(() => queue.flush(never));
  expect(await left()).toEqual(names);
  expect(metrics.deletionsDropped.value).toBe(100);
  expect(await files()).toEqual([DELETION_HEADER_NAME, `${DELETION_HEADER_NAME}.refused`]);
  await kernel.perform(() => queue.shutdown());
});

test.each(['kill', 'power'] as const)(
  'whatever effect a crash comes at (%s), only what was submitted is removed, and in the end all of it',
  async (kind) => {
    let finished = 0;
    let withLists = 0;
    for (let effect = 1; finished < 3; effect++) {
      expect(effect).toBeLessThan(100);
      const { kernel, node, source, service, objects, names, open, left, pass, attach, files } =
        await bench(effect);
      // A crash may come before and after each request to the store.
      objects.before = (request) =>
        request === 'remove' ? node.incarnation!.doors.files.syncDirectory(DIRECTORY) : Promise.resolve();
      const isStale = effect % 3 === 0;
      const generation = await attach();
      const { queue } = await open(new Map([[TENANT, generation]]), { listObjectsMax: 7 });
      node.crashAtEffect(effect, effect % 2 === 0 ? 'before' : 'middle', { kind, survival: 'some' });
      queue.enqueue(NAME, generation, names.slice(0, 40));
      await pass(20_000);
      if (node.isAlive) finished++;
      node.crash({ kind });
      // Another node that took over may need what nobody has validated.
      if (isStale) await kernel.perform(() => service.forNode(2).attach(TENANT, never));
      node.start(() => undefined);
      const lists = (await files()).filter((name) => name.endsWith('.list'));
      const listed: string[] = [];
      for (const name of lists) {
        const bytes = await kernel.perform(() => read(node.incarnation!.doors.files, `${DIRECTORY}/${name}`));
        listed.push(...keysOfList(decodeDeletionList(bytes, name)));
      }
      const wasValidated = (await files()).includes(DELETION_HEADER_NAME);
      const attached = await kernel.perform(() => source.reattachAll(never));
      const again = await open(attached);
      await kernel.perform(() => again.queue.flush(never));
      const after = await left();
      expect(after.slice(-60)).toEqual(names.slice(40));
      if (isStale && !wasValidated) expect(after).toEqual(names);
      if (!isStale) expect(listed.filter((key) => after.includes(key.slice(PREFIX.length)))).toEqual([]);
      if (listed.length > 0) withLists++;
      // The queue goes on as if nothing had been.
      if (!isStale) {
        again.queue.enqueue(NAME, attached.get(TENANT)!, names);
        await kernel.perform(() => again.queue.flush(never));
        expect(await left()).toEqual([]);
      }
      await kernel.perform(() => again.queue.shutdown());
    }
    expect(withLists).toBeGreaterThan(10);
  },
  60_000,
);
