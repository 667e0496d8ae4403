import { expect, test } from 'vitest';
import {
  isWal,
  never,
  PREFIX,
  readAll,
  segmentFiles,
  simulate,
} from '../../../test/support/backup-simulation.ts';
import { borderOf, endBelow, START, TENANT, TIMELINE } from '../../../test/support/backup-world.ts';
import { TEST_SEGMENT_BYTES } from '../../../test/support/safekeeper-wal.ts';
import { CorruptionError } from '../../base/errors.ts';
import { parseTimelineId } from '../../base/ids.ts';
import { BucketAdministration } from './bucket-administration.ts';
import { resetPartialBackup } from './partial-backup.ts';
import { removeRemote } from './remove-remote.ts';
import { uploadSegments } from './upload-segments.ts';

test('evicted WAL that is missing or damaged in the bucket is an error, and the timeline stays as it is', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000)));
  await pass(20);
  const key = (await objects.keys()).find((name) => name.endsWith('.partial')) as string;
  const good = await objects.store.get(key, { signal: never });
  const come = (): Promise<unknown> =>
    kernel.perform(() =>
      world.timeline.stay('wal').then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
  const bad = good.slice();
  bad[50_000] = (bad[50_000] as number) ^ 1;
  const page = good.slice();
  page[8192 + 9] = 77;
  for (const content of [
    undefined,
    bad,
    page,
    good.subarray(0, -8),
    good.subarray(0, 8192),
    new Uint8Array([...good, 1]),
  ]) {
    if (content === undefined) await objects.store.remove([key], never);
    else await objects.store.put(key, content, { signal: never });
    expect(await come()).toBeInstanceOf(CorruptionError);
    expect(await segmentFiles(simulation, world)).toEqual([]);
    using state = await kernel.perform(() => world.timeline.stay('state'));
    expect(state.acceptor.acceptor.persistent.evictedAtLsn).toBeGreaterThan(0);
  }
  await objects.store.put(key, good, { signal: never });
  expect(await come()).toBe(undefined);
  expect(isWal(await kernel.perform(() => readAll(world, objects)))).toBe(true);
});

test('WAL that the bucket does not have is not evicted', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000), START));
  await pass(1.8);
  const keys = await objects.keys();
  expect(keys.length).toBe(2);
  await objects.store.remove([keys[0] as string], never);
  await pass(20);
  expect((await segmentFiles(simulation, world)).length).toBe(2);
  expect(world.logger.lines.map(({ fields }) => fields['code'])).toContain('WAL_OBJECT_MISSING');
});

test('a damaged or missing segment in the bucket is no WAL', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  await kernel.perform(() => world.feed(endBelow(borderOf(2) + 100_000)));
  await pass(20);
  const [, second] = (await objects.keys()) as [string, string];
  const good = await objects.store.get(second, { signal: never });
  const read = (): Promise<unknown> =>
    kernel.perform(() =>
      readAll(world, objects).then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
  expect(await read()).toBe(undefined);
  const other = good.slice();
  other[5 * 8192 + 8] = (other[5 * 8192 + 8] as number) ^ 0xff;
  for (const content of [undefined, good.subarray(0, -1), other]) {
    if (content === undefined) await objects.store.remove([second], never);
    else await objects.store.put(second, content, { signal: never });
    expect(await read()).toBeInstanceOf(CorruptionError);
  }
});

test('a reset forgets partial segments, brings WAL back, and another one is uploaded', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000)));
  await pass(20);
  const [, partial] = (await objects.keys()) as [string, string];
  expect(await kernel.perform(() => resetPartialBackup(world.timeline))).toEqual([
    partial.slice(PREFIX.length),
  ]);
  expect((await segmentFiles(simulation, world)).length).toBe(1);
  expect(await kernel.perform(() => resetPartialBackup(world.timeline))).toEqual([]);
  await pass(20);
  expect(await segmentFiles(simulation, world)).toEqual([]);
});
test('who waits for WAL from the bucket is sent away when the safekeeper closes', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  await kernel.perform(() => world.feed(endBelow(borderOf(1) + 100_000)));
  await pass(20);
  objects.before = async (request) => {
    if (request.startsWith('get')) world.upkeep.cancel();
  };
  const coming = world.timeline.stay('wal').then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(await kernel.perform(() => coming)).toMatchObject({ kind: 'cancelled' });
  expect(await segmentFiles(simulation, world)).toEqual([]);
  await kernel.perform(() => world[Symbol.asyncDispose]());
});

test('all objects of a timeline are removed, and none of others', async () => {
  const { objects } = simulate();
  const others = [
    `${TENANT}/${'cc'.repeat(16)}/x`,
    `${'dd'.repeat(16)}/${TIMELINE}/x`,
    `${TENANT}/${TIMELINE}0/x`,
  ];
  for (let index = 0; index < 1001; index++)
    await objects.store.put(`${PREFIX}${index}`, new Uint8Array(1), { signal: never });
  for (const key of others) await objects.store.put(key, new Uint8Array(1), { signal: never });
  expect(await removeRemote(objects, TENANT, TIMELINE, never)).toBe(1001);
  expect(await objects.keys()).toEqual([...others].sort());
  expect(await removeRemote(objects, TENANT, TIMELINE, never)).toBe(0);
});

test('whole segments are copied to another timeline, and only what the bucket has', async () => {
  const simulation = simulate();
  const { kernel, objects, pass } = simulation;
  const world = await simulation.open();
  await kernel.perform(() => world.feed(endBelow(borderOf(3) + 100_000)));
  await pass(20);
  const { backup, timelines, upkeep } = world;
  const administration = new BucketAdministration({ backup, timelines, upkeep, signal: never });
  const key = { tenant_id: TENANT, timeline_id: TIMELINE };
  const target = parseTimelineId('cc'.repeat(16));
  const copy = (segments: number): Promise<unknown> =>
    kernel.perform(() =>
      administration.copyWholeSegments(key, target, borderOf(segments), never).then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
  expect(await copy(2)).toBe(undefined);
  expect(await copy(2)).toBe(undefined);
  const [first, second, third] = await objects.keys();
  const copies = (await objects.keys()).filter((name) => name.includes(target));
  expect(copies).toEqual([first, second].map((name) => (name as string).replace(TIMELINE, target)));
  const contentOf = (name: string): Promise<Uint8Array> => objects.store.get(name, { signal: never });
  expect(await contentOf(copies[1] as string)).toEqual(await contentOf(second as string));
  expect(await copy(4)).toMatchObject({ kind: 'unavailable', code: 'NOT_BACKED_UP' });
  await objects.store.remove([third as string], never);
  expect(await copy(3)).toBeInstanceOf(CorruptionError);
  expect(administration.isUploading(key)).toBe(false);
  await kernel.perform(() => administration.removeRemote(key));
  expect(await objects.keys()).toEqual(copies);
});

test('two that upload the same at once do no harm', async () => {
  const simulation = simulate();
  const { kernel, objects } = simulation;
  const world = await simulation.open();
  using resident = await kernel.perform(() => world.timeline.stay('wal'));
  await kernel.perform(() => world.feed(endBelow(borderOf(3) + 100_000)));
  const first = borderOf(0) / TEST_SEGMENT_BYTES;
  const upload = (end: number): Promise<void> =>
    uploadSegments(resident, { first, end: first + end }, world.backup, never);
  await kernel.perform(() => Promise.all([upload(3), upload(2), upload(3)]));
  expect((await objects.keys()).length).toBe(3);
  expect(world.acceptor.persistent.backupLsn).toBe(borderOf(3));
  expect(isWal(await kernel.perform(() => readAll(world, objects)))).toBe(true);
});
