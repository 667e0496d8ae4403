import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import {
  compareValues,
  key,
  type LayerValue,
  readableBytes,
  readCursor,
  type SampleOptions,
  writeLayer,
} from '../../../test/support/layer-samples.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { parseTenantId } from '../../base/ids.ts';
import { toLsn } from '../../base/lsn.ts';
import { nodeFiles } from '../../io/node/files.ts';
import { unsyncedFiles } from '../../io/unsynced-files.ts';
import { compareKeys, type Key, nextKey } from '../keyspace/key.ts';
import { isInRange } from '../keyspace/key-range.ts';
import { BlockCache } from './block-cache.ts';
import { BlockPins } from './blocks.ts';
import { LayerCursor } from './format/layer-cursor.ts';
import type { LayerIdentity } from './format/layer-header.ts';
import { verifyLayer } from './format/verify-layer.ts';
import { FoundValues } from './found-values.ts';
import { LayerFile } from './layer-file.ts';
import { formatLayerFileName } from './layer-name.ts';
import type { ReadContext } from './read-context.ts';
import { isBase, VALUE_IMAGE, VALUE_NEEDS_NO_BASE, VALUE_RECORD } from './value.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-layer-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const files = unsyncedFiles(nodeFiles);
const context: ReadContext = { task: 'page-request', signal: new AbortController().signal };

/** In order. Few keys with long histories, and many with short ones; LSNs near each other or 2^40 apart. */
function randomValues(random: SeededRandom, count: number): LayerValue[] {
  const stride = random.pick([1, 8, 0x1_0000_0000]);
  const keySpread = random.pick([1, 3, 50, 1000]);
  const lengthMax = random.pick([0, 8, 60, 600]);
  const baseChance = random.pick([0, 0.02, 0.3]);
  const values = new Map<string, LayerValue>();
  for (let number = 0; number < count; number++) {
    const of = key(
      random.pick([0, 0, 0, 1, 0x61]),
      16384 + random.below(3),
      random.below(keySpread) * 0x41_2345,
    );
    const lsn = 16 + random.below(count) * stride;
    const flags = random.chance(baseChance)
      ? random.pick([VALUE_IMAGE, VALUE_RECORD | VALUE_NEEDS_NO_BASE])
      : VALUE_RECORD;
    const length = random.chance(0.01) ? lengthMax * 20 : random.below(lengthMax + 1);
    const fill = random.below(256);
    const bytes = Uint8Array.from({ length }, () => (random.chance(0.5) ? fill : random.below(256)));
    values.set(`${JSON.stringify(of)} ${lsn}`, { key: of, lsn, flags, bytes });
  }
  return [...values.values()].sort(compareValues);
}

interface Opened {
  readonly layer: LayerIdentity;
  readonly path: string;
  readonly file: LayerFile;
}

async function open(
  values: readonly LayerValue[],
  options: SampleOptions,
  cacheBytes: number,
): Promise<Opened> {
  const layer = await writeLayer(files, directory, values, options);
  const path = join(directory, formatLayerFileName(layer.description));
  const cache = new BlockCache(cacheBytes);
  return { layer, path, file: new LayerFile({ ...layer, path, cache, open: () => files.open(path) }) };
}

/** What a search finds, and after how many rounds of loading. */
async function search(
  file: LayerFile,
  of: Key,
  lsnStart: number,
  lsnEnd: number,
): Promise<{ found: LayerValue[]; rounds: number }> {
  const found = new FoundValues();
  const pins = new BlockPins();
  // As if a newer layer had given a value before.
  const newer = new Uint8Array(1);
  found.push(newer, new DataView(newer.buffer), 0, 1, 2 ** 50, VALUE_RECORD);
  let rounds = 0;
  while (!file.search(of, lsnStart, lsnEnd, pins, found, context)) {
    expect(found.count).toBe(1);
    expect(found.isComplete).toBe(false);
    expect(pins.isLacking).toBe(true);
    await pins.load(context);
    rounds++;
  }
  const values = Array.from({ length: found.count }, (_, index) => {
    const offset = found.offsets[index] as number;
    const bytes = (found.bytes[index] as Uint8Array).slice(offset, offset + (found.lengths[index] as number));
    const view = found.views[index] as DataView;
    if (bytes.length > 0) expect(view.getUint8(offset)).toBe(bytes[0]);
    return { key: of, lsn: found.lsns[index] as number, flags: found.flags[index] as number, bytes };
  });
  return { found: values.slice(1), rounds };
}

/** The same from the sorted array. */
function expected(values: readonly LayerValue[], of: Key, lsnStart: number, lsnEnd: number): LayerValue[] {
  const visible = values
    .filter((value) => compareKeys(value.key, of) === 0 && value.lsn >= lsnStart && value.lsn < lsnEnd)
    .reverse();
  const base = visible.findIndex(({ flags }) => isBase(flags));
  return base < 0 ? visible : visible.slice(0, base + 1);
}

const pickKey = (random: SeededRandom, values: readonly LayerValue[]): Key => {
  if (values.length === 0 || random.chance(0.1))
    return key(random.below(2), 16384 + random.below(4), random.next());
  const { key: of } = random.pick(values);
  return random.chance(0.2) ? nextKey(of) : of;
};

describe('a layer gives what is in the sorted array it was written from', () => {
  const shapes = fc.record({
    seed: fc.nat(),
    count: fc.oneof(fc.nat(20), fc.nat(1500)),
    blockBytes: fc.constantFrom(64, 300, 2000, 16384),
    compression: fc.constantFrom('zstd' as const, 'none' as const),
    cacheBytes: fc.constantFrom(0, 3000, 10_000_000),
  });

  test('searches of any key between any LSNs, with a cache of any size', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ({ seed, count, blockBytes, compression, cacheBytes }) => {
        const random = new SeededRandom(seed);
        const values = randomValues(random, count);
        const { file } = await open(
          values,
          { blockBytes, compression, lsnEnd: toLsn(2 ** 53 - 1) },
          cacheBytes,
        );
        for (let times = 0; times < 30; times++) {
          const of = pickKey(random, values);
          const lsns = [0, 0].map(() =>
            values.length === 0 ? random.below(99) : random.pick(values).lsn + random.below(3) - 1,
          );
          const [start, end] = lsns.sort((left, right) => left - right) as [number, number];
          const [lsnStart, lsnEnd] = random.chance(0.5) ? [start, end] : [0, end];
          const { found } = await search(file, of, lsnStart, lsnEnd);
          expect(found).toEqual(expected(values, of, lsnStart, lsnEnd));
        }
        await file.close();
      }),
      { numRuns: 60 },
    );
  });

  test('cursors over all of it and over any range, and it can be verified', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ({ seed, count, blockBytes, compression }) => {
        const random = new SeededRandom(seed);
        const values = randomValues(random, count);
        const { layer, path } = await open(
          values,
          { blockBytes, compression, lsnEnd: toLsn(2 ** 53 - 1) },
          0,
        );
        const header = await verifyLayer(files, path, layer);
        expect(header.valueCount).toBe(values.length);
        expect(header.keyCount).toBe(new Set(values.map(({ key: of }) => JSON.stringify(of))).size);
        {
          await using cursor = await LayerCursor.open(files, path, layer);
          expect(await readCursor(cursor)).toEqual(values);
        }
        for (let times = 0; times < 5; times++) {
          const ends = [pickKey(random, values), pickKey(random, values)].sort(compareKeys) as [Key, Key];
          const keys = { start: ends[0], end: ends[1] };
          await using cursor = await LayerCursor.open(files, path, layer, { keys });
          expect(await readCursor(cursor)).toEqual(values.filter((value) => isInRange(keys, value.key)));
        }
      }),
      { numRuns: 60 },
    );
  });
});

test('the key of an image layer is found whatever the LSN asked for above it', async () => {
  const values = Array.from({ length: 300 }, (_, index) => ({
    key: key(0, 16384, index * 2),
    lsn: 0x500,
    flags: VALUE_IMAGE,
    bytes: new Uint8Array(8192).fill(index),
  }));
  const { file, layer, path } = await open(values, { kind: 'image', lsnStart: toLsn(0x500) }, 10_000_000);
  expect((await search(file, key(0, 16384, 40), 0, 0x501)).found).toEqual([values[20]]);
  expect((await search(file, key(0, 16384, 41), 0, 0x501)).found).toEqual([]);
  expect((await search(file, key(0, 16384, 40), 0, 0x500)).found).toEqual([]);
  // A page is a block of its own.
  expect((await verifyLayer(files, path, layer)).dataBlockCount).toBe(300);
});

test('a layer of several leaves, of a history that is many blocks long', async () => {
  const values = Array.from({ length: 5000 }, (_, index) => ({
    key: key(0, 16384, index < 100 ? 1 : 2),
    lsn: 16 + index,
    flags: VALUE_RECORD,
    bytes: new Uint8Array(40).fill(index),
  }));
  const { file, path } = await open(values, { blockBytes: 600 }, 10_000_000);
  expect((await verifyLayer(files, path)).leafCount).toBeGreaterThan(1);
  const { found, rounds } = await search(file, key(0, 16384, 2), 0, 1_000_000);
  expect(found).toEqual(values.slice(100).reverse());
  // Not one round for each of the blocks, of which there are more than 400.
  expect(rounds).toBeLessThan(150);
  expect((await search(file, key(0, 16384, 2), 0, 1_000_000)).rounds).toBe(0);
});

test('a layer without values says of every key that it has none', async () => {
  const { file, layer, path } = await open([], {}, 1000);
  expect((await search(file, key(0, 1, 2), 0, 2 ** 52)).found).toEqual([]);
  expect((await verifyLayer(files, path, layer)).valueCount).toBe(0);
  await using cursor = await LayerCursor.open(files, path, layer);
  expect(await readCursor(cursor)).toEqual([]);
});

test('WR-02: a record of 20 MB is a block of its own, and is read like any other', async () => {
  const random = new SeededRandom(3);
  const bytes = new Uint8Array(20 * 1024 * 1024);
  for (let at = 0; at < bytes.length; at += 64) bytes[at] = random.below(256);
  const small = { flags: VALUE_RECORD, bytes: Uint8Array.of(1, 2, 3) };
  const values: LayerValue[] = [
    { key: key(0, 1, 0), lsn: 16, ...small },
    { key: key(0, 1, 0), lsn: 24, flags: VALUE_RECORD, bytes },
    { key: key(0, 1, 0), lsn: 32, ...small },
    { key: key(0, 1, 1), lsn: 24, flags: VALUE_RECORD, bytes },
    { key: key(0, 1, 2), lsn: 24, ...small },
  ];
  const { file, layer, path } = await open(values, {}, 1_000_000);
  expect(layer.description.sizeBytes).toBe(statSync(path).size);
  const { found } = await search(file, key(0, 1, 0), 0, 100);
  expect(found.map(({ lsn, bytes: { length } }) => [lsn, length])).toEqual([
    [32, 3],
    [24, bytes.length],
    [16, 3],
  ]);
  expect(Buffer.compare((found[1] as LayerValue).bytes, bytes)).toBe(0);
  await using cursor = await LayerCursor.open(files, path, layer);
  expect((await readCursor(cursor)).map(({ bytes: { length } }) => length)).toEqual([
    3,
    bytes.length,
    3,
    bytes.length,
    3,
  ]);
  expect((await verifyLayer(files, path, layer)).valueBytes).toBe(2 * bytes.length + 9);
});

describe('a file that is not the layer that it is taken for', () => {
  const values = [{ key: key(0, 1, 0), lsn: 16, flags: VALUE_IMAGE, bytes: Uint8Array.of(1) }];
  const read = async (layer: LayerIdentity, path: string, bytes: Uint8Array): Promise<unknown> => {
    const cache = new BlockCache(1000);
    const file = new LayerFile({ ...layer, path, cache, open: async () => readableBytes(path, bytes) });
    return search(file, key(0, 1, 0), 0, 100);
  };

  test('is refused, and so is one that a later Varve has written, or that is gone', async () => {
    const { layer, path } = await open(values, {}, 1000);
    const bytes = new Uint8Array(readFileSync(path));
    await expect(read(layer, path, bytes)).resolves.toMatchObject({ found: values });
    const { description } = layer;
    const others: LayerIdentity[] = [
      { ...layer, tenantId: parseTenantId('0'.repeat(32)) },
      { ...layer, description: { ...description, generation: 9 } },
      { ...layer, description: { ...description, lsnStart: toLsn(2) } },
      { ...layer, description: { ...description, sizeBytes: description.sizeBytes + 1 } },
      { ...layer, description: { ...description, keys: { start: key(0, 0, 0), end: key(1, 0, 0) } } },
    ];
    for (const other of others) {
      await expect(read(other, path, bytes)).rejects.toMatchObject({
        kind: 'corruption',
        code: 'WRONG_LAYER',
      });
      await expect(LayerCursor.open(files, path, other)).rejects.toMatchObject({ code: 'WRONG_LAYER' });
      await expect(verifyLayer(files, path, other)).rejects.toMatchObject({ code: 'WRONG_LAYER' });
    }
    await expect(read(layer, path, bytes.subarray(0, -1))).rejects.toMatchObject({ code: 'BAD_LAYER' });
    await expect(read(layer, path, new Uint8Array(0))).rejects.toMatchObject({ code: 'BAD_LAYER' });
    const later = bytes.slice();
    later[9] = 3;
    await expect(read(layer, path, later)).rejects.toMatchObject({
      kind: 'corruption',
      code: 'UNKNOWN_LAYER_VERSION',
      message: expect.stringContaining('version 3'),
    });
    rmSync(path);
    const file = new LayerFile({ ...layer, path, cache: new BlockCache(1000), open: () => files.open(path) });
    await expect(search(file, key(0, 1, 0), 0, 100)).rejects.toMatchObject({ kind: 'not-found' });
  });

  test('a file that could not be opened is tried anew by the next read, and closed with the layer', async () => {
    const { layer, path } = await open(values, {}, 1000);
    let attempts = 0;
    let closed = 0;
    const file = new LayerFile({
      ...layer,
      path,
      cache: new BlockCache(0),
      open: async () => {
        if (++attempts === 1) throw new Error('not now');
        const inner = await files.open(path);
        return {
          path,
          sizeBytes: inner.sizeBytes,
          read: inner.read.bind(inner),
          readNow: inner.readNow.bind(inner),
          close: async () => {
            closed++;
            await inner.close();
          },
          [Symbol.asyncDispose]: () => inner.close(),
        };
      },
    });
    await expect(search(file, key(0, 1, 0), 0, 100)).rejects.toThrow('not now');
    expect((await search(file, key(0, 1, 0), 0, 100)).found).toEqual(values);
    expect((await search(file, key(0, 1, 0), 0, 100)).found).toEqual(values);
    expect(attempts).toBe(2);
    await file.close();
    expect(closed).toBe(1);
  });

  test('nothing is read for one who has given up', async () => {
    const { file } = await open(values, {}, 1000);
    const signal = AbortSignal.abort();
    await expect(file.load([0], { task: 'compaction', signal })).rejects.toMatchObject({ kind: 'cancelled' });
    await file.close();
  });
});
