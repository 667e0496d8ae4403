// Layer files that are not what they should be: reads of them fail by name, and everything else goes on.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { VirtualFiles } from '../../src/io/virtual-files.ts';
import { KEY_BYTES, type Key, writeKey } from '../../src/pageserver/keyspace/key.ts';
import { ALL_KEYS } from '../../src/pageserver/keyspace/key-range.ts';
import { LayerWriter } from '../../src/pageserver/layers/format/layer-writer.ts';
import { FRAME_BYTES } from '../../src/pageserver/layers/format/layout.ts';
import { readLayerHeader } from '../../src/pageserver/layers/format/read-layer.ts';
import { VALUE_IMAGE } from '../../src/pageserver/layers/value.ts';
import { toIndexLayer } from '../../src/pageserver/remote/timeline-index.ts';
import { BadInputWorld, context, errorOf, type Side } from './bad-input-world.ts';

/** The layers of a timeline that were flushed. */
async function deltaPaths({ localDirectory }: Side): Promise<string[]> {
  const names = await readdir(localDirectory);
  return names
    .filter((name) => /__[0-9A-F]+-[0-9A-F]+-v1-/i.test(name))
    .map((name) => join(localDirectory, name));
}

async function partsOf(path: string): Promise<{ leaf: number; root: number; size: number }> {
  await using file = await nodeFiles.open(path);
  const header = await readLayerHeader(file);
  return { leaf: header.indexPosition, root: header.rootPosition, size: file.sizeBytes };
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] as number) ^ 0x41;
  await writeFile(path, bytes);
}

const REGIONS: readonly (readonly [
  string,
  (parts: Awaited<ReturnType<typeof partsOf>>) => number,
  string,
])[] = [
  ['the magic', () => 0, 'BAD_LAYER'],
  ['the version', () => 8, 'UNKNOWN_LAYER_VERSION'],
  ['a field of the header', () => 40, 'BAD_LAYER'],
  ['the CRC of the header', () => 4093, 'BAD_LAYER'],
  ['the CRC of a data block', () => 4096, 'BAD_LAYER'],
  ['the length of a data block', () => 4096 + 5, 'BAD_LAYER'],
  ['the content of a data block', () => 4096 + FRAME_BYTES + 30, 'BAD_LAYER'],
  ['a leaf of the index', ({ leaf }) => leaf + FRAME_BYTES + 12, 'BAD_LAYER'],
  ['the root of the index', ({ root }) => root + FRAME_BYTES + 12, 'BAD_LAYER'],
  ['the last byte', ({ size }) => size - 1, 'BAD_LAYER'],
];

test.each(REGIONS)('a layer in which %s is damaged', async (_, offsetOf, code) => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const [path] = (await deltaPaths(victim)) as [string];
  const offset = offsetOf(await partsOf(path));
  await made.restart(() => flip(path, offset));
  const lsn = victim.active.timeline.lastRecordLsn;
  const error = await errorOf(() => victim.markOf(0));
  expect(error).toMatchObject({ kind: 'corruption', code, place: { file: path, lsn } });
  const failed = `pageserver_read_errors_total{kind="corruption",code="${code}"}`;
  expect(await made.metric(failed)).toBeGreaterThan(0);
  await made.othersGoOn();
  // It is not believed for ever: a sound copy is in the bucket, and comes when the damaged one is taken away.
  await rm(path);
  await made.restart();
  await victim.goesOn();
});

test('a layer file that was cut, and one that was lost, are fetched again at the start', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  await victim.fill();
  const [cut, lost] = (await deltaPaths(victim)) as [string, string];
  await made.restart(async () => {
    await writeFile(cut, (await readFile(cut)).subarray(0, 5000));
    await rm(lost);
  });
  await victim.goesOn();
  await made.othersGoOn();
});

test('a layer file that is lost while it is in use is fetched again, by a read and by upkeep', async () => {
  await using made = await BadInputWorld.open({ blockCacheBytes: 1, settings: { compactionThreshold: 2 } });
  const { victim } = made;
  // Nothing is compacted before there are two.
  await victim.fill();
  const [path] = (await deltaPaths(victim)) as [string];
  await rm(path);
  expect(await made.metric('pageserver_missing_local_layers_total')).toBe(0);
  const { reads, timeline } = victim.active;
  expect(await reads.logicalSize(timeline.lastRecordLsn, context)).toBe(8 * 8192);
  expect(await made.metric('pageserver_missing_local_layers_total')).toBe(1);
  await rm(path);
  await victim.fill();
  await victim.active.upkeep.settled();
  expect(timeline.layers.level0).toHaveLength(0);
  expect(await made.metric('pageserver_missing_local_layers_total')).toBe(2);
  await victim.verify();
  await made.othersGoOn();
});

test('a layer file that is lost behind a descriptor that was given back is fetched again', async () => {
  const files = new VirtualFiles(nodeFiles, { maxDescriptors: 8 });
  await using made = await BadInputWorld.open({ files, blockCacheBytes: 1, pageCacheBytes: 1 });
  const { victim, others } = made;
  for (let count = 0; count < 3; count++) await victim.fill();
  await others[0]?.fill();
  await victim.verify();
  // These take all descriptors away.
  for (let count = 0; count < 12; count++) await others[1]?.fill();
  await others[1]?.verify();
  for (const path of await deltaPaths(victim)) await rm(path);
  await victim.verify();
  expect(await made.metric('pageserver_missing_local_layers_total')).toBeGreaterThan(0);
  await made.othersGoOn();
});

test('an object that the index names and that is not there', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  await made.restart(async () => {
    for (const path of await deltaPaths(victim)) await rm(path);
    for (const name of await readdir(victim.bucketDirectory)) {
      if (/__[0-9A-F]+-[0-9A-F]+-[0-9a-f]{8}$/i.test(name)) await rm(join(victim.bucketDirectory, name));
    }
  });
  const lsn = victim.active.timeline.lastRecordLsn;
  expect(await errorOf(() => victim.markOf(1))).toMatchObject({
    kind: 'corruption',
    code: 'LAYER_OBJECT_MISSING',
    place: { file: expect.stringContaining(`timelines/${victim.timelineId}/`), lsn },
  });
  expect(await made.metric('pageserver_remote_layer_download_errors_total')).toBeGreaterThan(0);
  await made.othersGoOn();
});

test('keys that nobody knows are carried along, and disturb nobody', async () => {
  await using made = await BadInputWorld.open({ settings: { compactionThreshold: 2, imageThreshold: 1 } });
  const { victim } = made;
  const { timeline, upkeep, reads } = victim.active;
  victim.append(3);
  await victim.take();
  const unknown: Key = { kind: 0x99, field2: 1, field3: 2, field4: 3, field5: 4, index: 5 };
  const lsn = timeline.lastRecordLsn;
  const { tenantId, timelineId, generation, directory } = timeline;
  await using writer = await LayerWriter.create({
    ...{ tenantId, timelineId, generation, directory, files: nodeFiles, postgresMajor: 17 },
    ...{
      temporaryName: 'foreign',
      compression: 'none',
      kind: 'delta',
      lsnStart: lsn,
      lsnEnd: (lsn + 1) as Lsn,
    },
  });
  const key = new DataView(new ArrayBuffer(KEY_BYTES));
  writeKey(key, 0, unknown);
  const value = Uint8Array.of(1, 2, 3);
  writer.add(key, 0, lsn, VALUE_IMAGE, value, new DataView(value.buffer), 0, value.length);
  const layer = toIndexLayer(await writer.finish(ALL_KEYS));
  timeline.replaceLayers([], [layer]);
  await victim.fill();
  await victim.fill();
  await upkeep.settled();
  expect(timeline.layers.level0.length).toBeLessThan(2);
  expect(await reads.value(unknown, timeline.lastRecordLsn, context)).toEqual(value);
  await made.restart();
  await victim.goesOn();
  expect(await victim.active.reads.value(unknown, victim.active.timeline.lastRecordLsn, context)).toEqual(
    value,
  );
  await made.othersGoOn();
});

test('with a few descriptors, and far more layers, reads go on', async () => {
  const files = new VirtualFiles(nodeFiles, { maxDescriptors: 8 });
  await using made = await BadInputWorld.open({ files, blockCacheBytes: 1, pageCacheBytes: 1 });
  const { victim } = made;
  for (let count = 0; count < 150; count++) {
    victim.append(1);
    await victim.take();
    await victim.active.timeline.flush();
  }
  expect([...victim.active.timeline.layers].length).toBeGreaterThan(150);
  await Promise.all(Array.from({ length: 10 }, () => victim.verify()));
  expect(files.counts.descriptorsOpen).toBeLessThanOrEqual(8);
  expect(files.counts.evicted).toBeGreaterThan(100);
  await made.othersGoOn();
}, 60_000);
