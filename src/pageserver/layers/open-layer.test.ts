import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HoldingControl } from '../../../test/support/buffered-writer-world.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { Gate } from '../../base/gate.ts';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { toLsn } from '../../base/lsn.ts';
import { InlineWorkers } from '../../io/inline-workers.ts';
import { nodeClock } from '../../io/node/clock.ts';
import { nodeFiles } from '../../io/node/files.ts';
import { nodeRandom } from '../../io/node/random.ts';
import { RetryDelay } from '../../io/retry-delay.ts';
import { createJsonLogger } from '../../observe/log.ts';
import { KEY_MIN, type Key, nextKey, readKey } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import { BlockCache } from './block-cache.ts';
import { BlockPins } from './blocks.ts';
import type { FlushControl } from './buffered-writer.ts';
import { EntryBatch } from './entry-batch.ts';
import { flushOpenLayer } from './flush-open-layer.ts';
import { LayerCursor } from './format/layer-cursor.ts';
import { FoundValues } from './found-values.ts';
import { OpenLayer } from './open-layer.ts';
import { OpenLayerReader } from './open-layer-reader.ts';
import type { ReadContext } from './read-context.ts';
import { SortedEntries } from './sorted-entries.ts';
import { Stems } from './stems.ts';
import {
  VALUE_IMAGE,
  VALUE_NEEDS_NO_BASE,
  VALUE_POISON,
  VALUE_RECORD,
  VALUE_VISIBILITY_CLEARS,
} from './value.ts';

const START = toLsn(0x1_0000_0000);
const CAP = 128 * 1024;
const never = new AbortController().signal;
const context: ReadContext = { task: 'page-request', signal: never };
const owner = {
  tenantId: parseTenantId('11111111111111111111111111111111'),
  timelineId: parseTimelineId('22222222222222222222222222222222'),
};

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-open-layer-'));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

let layers = 0;

async function onlyFileIn(path: string): Promise<string> {
  const names = await readdir(path);
  expect(names.length).toBe(1);
  return join(path, names[0] as string);
}

interface World {
  readonly layer: OpenLayer;
  readonly stems: Stems;
  readonly cache: BlockCache;
  readonly gate: Gate;
  readonly cancel: AbortController;
}

async function makeWorld(options: { cacheBytes?: number; control?: FlushControl } = {}): Promise<World> {
  const stems = new Stems();
  const cache = new BlockCache(options.cacheBytes ?? 8 * 1024 * 1024);
  const gate = new Gate('the timeline');
  const cancel = new AbortController();
  const layer = await OpenLayer.create({
    files: nodeFiles,
    path: join(directory, `open-${layers++}`),
    lsnStart: START,
    stems,
    cache,
    capBytes: CAP,
    signal: cancel.signal,
    pass: gate.enter(),
    clock: nodeClock,
    retryDelay: new RetryDelay({ minMs: 1, maxMs: 10 }, nodeRandom),
    log: createJsonLogger({ level: 'info', clock: nodeClock, destination: { write: () => undefined } }),
    ...(options.control === undefined ? {} : { control: options.control }),
  });
  return { layer, stems, cache, gate, cancel };
}

interface Put {
  readonly key: Key;
  readonly lsn: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

/** Appends batches of values of all sizes, as ingest does, and puts them. */
async function ingest(world: World, random: SeededRandom, batches: number, lsnStart: number): Promise<Put[]> {
  const { layer, stems } = world;
  const puts: Put[] = [];
  let lsn = lsnStart;
  for (let batch = 0; batch < batches; batch++) {
    const parts: { offset: number; length: number }[] = [];
    let length = 0;
    for (let count = 1 + random.below(20); count > 0; count--) {
      const part = random.below(10) === 0 ? random.below(300_000) : random.below(500);
      parts.push({ offset: length, length: part });
      length += Math.ceil(part / 8) * 8;
    }
    const bytes = new Uint8Array(length + 3);
    for (let at = 0; at < bytes.length; at++) bytes[at] = random.next();
    const tried = random.below(2) === 0 ? layer.tryAppend(bytes, 0, bytes.length) : -1;
    const position = tried === -1 ? await layer.append(bytes, 0, bytes.length) : tried;
    expect(position % 8).toBe(0);
    for (const part of parts) {
      lsn += 8 + random.below(100);
      const key: Key = { ...KEY_MIN, field4: random.below(3), index: random.below(5) };
      const stem = stems.intern(key.kind, key.field2, key.field3, key.field4, key.field5);
      const flags = [
        VALUE_RECORD,
        VALUE_RECORD,
        VALUE_RECORD,
        VALUE_IMAGE,
        VALUE_RECORD | VALUE_NEEDS_NO_BASE,
      ][random.below(5)] as number;
      layer.put(stem, key.index, lsn, position + part.offset, part.length, flags);
      puts.push({ key, lsn, flags, bytes: bytes.slice(part.offset, part.offset + part.length) });
    }
  }
  return puts;
}

const sameKey = (left: Key, right: Key): boolean =>
  left.field4 === right.field4 && left.index === right.index && left.kind === right.kind;
const isBaseFlags = (flags: number): boolean =>
  (flags & 3) === VALUE_IMAGE || (flags & VALUE_NEEDS_NO_BASE) !== 0;

/** Compares a search with what was put. Returns how often blocks had to be loaded. */
async function expectSearch(
  world: World,
  puts: readonly Put[],
  key: Key,
  from: number,
  to: number,
): Promise<number> {
  const expected: Put[] = [];
  for (const put of puts.toReversed()) {
    if (!sameKey(put.key, key) || put.lsn >= to || put.lsn < from) continue;
    expected.push(put);
    if (isBaseFlags(put.flags)) break;
  }
  const stem = world.stems.find(key.kind, key.field2, key.field3, key.field4, key.field5);
  const found = new FoundValues();
  const pins = new BlockPins();
  let loads = 0;
  while (!world.layer.search(stem, key.index, from, to, pins, found, context)) {
    expect([found.count, pins.isLacking]).toEqual([0, true]);
    await pins.load(context);
    loads++;
  }
  expect(found.count).toBe(expected.length);
  for (const [index, put] of expected.entries()) {
    expect([found.lsns[index], found.flags[index], found.lengths[index]]).toEqual([
      put.lsn,
      put.flags,
      put.bytes.length,
    ]);
    const offset = found.offsets[index] as number;
    const bytes = (found.bytes[index] as Uint8Array).subarray(offset, offset + put.bytes.length);
    expect(Buffer.compare(bytes, put.bytes)).toBe(0);
    const view = found.views[index] as DataView;
    expect([view.buffer, view.byteOffset]).toEqual([
      bytes.buffer,
      (found.bytes[index] as Uint8Array).byteOffset,
    ]);
  }
  return loads;
}

describe('reading', () => {
  test.each([64 * 1024 * 1024, 100])(
    'values are found wherever they are: in the file, in flight, being filled, and across (cache of %i bytes)',
    async (cacheBytes) => {
      const random = new SeededRandom(cacheBytes);
      const world = await makeWorld({ cacheBytes });
      const puts: Put[] = [];
      for (let round = 0; round < 15; round++) {
        puts.push(...(await ingest(world, random, 8, puts.at(-1)?.lsn ?? START)));
        for (let read = 0; read < 40; read++) {
          const key = { ...KEY_MIN, field4: random.below(4), index: random.below(6) };
          const from = START + random.below(10_000);
          await expectSearch(
            world,
            puts,
            key,
            random.below(2) === 0 ? START : from,
            from + random.below(40_000),
          );
        }
      }
      expect(world.layer.values).toBe(puts.length);
      world.layer.freeze(toLsn(puts.at(-1)!.lsn + 1));
      await world.layer.finishWriting();
      for (const key of puts.map((put) => put.key))
        await expectSearch(world, puts, key, START, Number.MAX_SAFE_INTEGER);
      expect((await stat(world.layer.path)).size).toBe(world.layer.fileBytes);
      await world.layer.remove();
      expect(world.cache.usedBytes).toBe(0);
      await world.gate.close();
    },
  );

  test('while a write is held, what it writes is read from memory, and from the file afterwards', async () => {
    const control = new HoldingControl('before 0');
    const world = await makeWorld({ control });
    const { layer, stems } = world;
    const stem = stems.intern(0, 0, 0, 0, 0);
    const bytes = new Uint8Array(CAP).map((_, at) => at * 7 + (at >> 8));
    expect(await layer.append(bytes, 0, CAP)).toBe(0);
    layer.put(stem, 0, START + 8, 65_000, 2000, VALUE_IMAGE);
    const put = { key: KEY_MIN, lsn: START + 8, flags: VALUE_IMAGE, bytes: bytes.slice(65_000, 67_000) };
    await control.reached('before 0');
    expect(await expectSearch(world, [put], KEY_MIN, START, START + 9)).toBe(0);
    control.release('before 0');
    layer.freeze(toLsn(START + 9));
    await layer.finishWriting();
    await layer.finishWriting();
    // Two blocks, loaded together.
    expect(await expectSearch(world, [put], KEY_MIN, START, START + 9)).toBe(1);
    expect(await expectSearch(world, [put], KEY_MIN, START, START + 9)).toBe(0);
    await layer.remove();
  });

  test('all blocks that a search lacks are noted at once', async () => {
    const world = await makeWorld();
    const random = new SeededRandom(3);
    const stem = world.stems.intern(0, 0, 0, 0, 0);
    const puts: Put[] = [];
    for (let number = 0; number < 20; number++) {
      const bytes = new Uint8Array(65_536).map(() => random.next());
      const position = await world.layer.append(bytes, 0, bytes.length);
      world.layer.put(stem, 0, START + 8 * number, position + 8, 100, VALUE_RECORD);
      puts.push({ key: KEY_MIN, lsn: START + 8 * number, flags: VALUE_RECORD, bytes: bytes.slice(8, 108) });
    }
    world.layer.freeze(toLsn(START + 1000));
    await world.layer.finishWriting();
    expect(await expectSearch(world, puts, KEY_MIN, START, START + 1000)).toBe(1);
    await world.layer.remove();
  });

  test('a scan gives the newest value of each key in the ranges, below an LSN', async () => {
    const world = await makeWorld();
    const puts = await ingest(world, new SeededRandom(5), 60, START);
    const middle = puts[puts.length >> 1]!.lsn;
    const ranges = [
      { start: { ...KEY_MIN, index: 2 }, end: { ...KEY_MIN, field4: 1, index: 3 } },
      { start: { ...KEY_MIN, field4: 2, index: 1 }, end: nextKey({ ...KEY_MIN, field4: 2, index: 1 }) },
    ];
    const isIn = ({ field4, index }: Key): boolean =>
      (field4 === 0 && index >= 2) || (field4 === 1 && index < 3) || (field4 === 2 && index === 1);
    const name = (key: Key): string => `${key.field4}/${key.index}`;
    for (const end of [middle, middle + 1, Number.MAX_SAFE_INTEGER, START]) {
      const expected = new Map<string, Put>();
      for (const put of puts) if (isIn(put.key) && put.lsn < end) expected.set(name(put.key), put);
      const taken = new Map<string, string>();
      await world.layer.scan(ranges, end, context, (key, lsn, flags, bytes, offset, length) => {
        expect(taken.has(name(key))).toBe(false);
        const put = expected.get(name(key));
        expect([lsn, flags, length]).toEqual([put?.lsn, put?.flags, put?.bytes.length]);
        taken.set(name(key), Buffer.from(bytes.subarray(offset, offset + length)).toString('base64'));
      });
      expect(taken.size).toBe(expected.size);
      for (const [key, put] of expected)
        expect(taken.get(key)).toBe(Buffer.from(put.bytes).toString('base64'));
    }
    world.cancel.abort();
    await world.layer.close();
  });
});

describe('its life', () => {
  test('what is left of an earlier run is overwritten', async () => {
    const first = await makeWorld();
    await first.layer.append(new Uint8Array(1000), 0, 1000);
    first.layer.freeze(toLsn(START + 1));
    await first.layer.finishWriting();
    await first.layer.close();
    layers--;
    const second = await makeWorld();
    expect(second.layer.path).toBe(first.layer.path);
    expect((await stat(second.layer.path)).size).toBe(0);
    second.cancel.abort();
    await second.layer.remove();
    await second.gate.close();
  });

  test('a frozen layer takes nothing, a value must have been appended, and a cap must be whole blocks', async () => {
    const { layer, cancel } = await makeWorld();
    await layer.append(new Uint8Array(16), 0, 16);
    layer.put(0, 0, START, 8, 9, 0);
    const search = () => layer.search(0, 0, START, START + 1, new BlockPins(), new FoundValues(), context);
    expect(search).toThrow('was not appended');
    await layer.append(new Uint8Array(8), 0, 8);
    expect(search()).toBe(true);
    expect(() => layer.share()).toThrow('not in its file');
    await expect(layer.finishWriting()).rejects.toThrow('not frozen');
    expect(layer.fits(START + 0xffff_ffff, 1000)).toBe(true);
    expect(layer.fits(START + 0x1_0000_0000, 1000)).toBe(false);
    expect([layer.isFrozen, layer.lsnEnd > START + 2 ** 40]).toEqual([false, true]);
    layer.freeze(toLsn(START + 8));
    expect([layer.isFrozen, layer.lsnEnd]).toEqual([true, START + 8]);
    expect(() => layer.put(0, 0, START, 0, 8, 0)).toThrow('frozen');
    expect(() => layer.tryAppend(new Uint8Array(8), 0, 8)).toThrow('frozen');
    await expect(layer.append(new Uint8Array(8), 0, 8)).rejects.toThrow('frozen');
    cancel.abort();
    await layer.remove();
    await expect(
      OpenLayer.create({ capBytes: 4096 } as Parameters<typeof OpenLayer.create>[0]),
    ).rejects.toThrow('no whole number of blocks');
  });

  test('closing waits for who holds the layer, and who comes later is told that it was replaced', async () => {
    const { layer, cancel, stems } = await makeWorld();
    const stem = stems.intern(0, 0, 0, 0, 0);
    await layer.append(new Uint8Array(16), 0, 16);
    layer.put(stem, 0, START, 0, 16, VALUE_IMAGE);
    layer.freeze(toLsn(START + 8));
    await layer.finishWriting();
    const pass = layer.hold();
    const pins = new BlockPins();
    const found = new FoundValues();
    expect(layer.search(stem, 0, START, START + 8, pins, found, context)).toBe(false);
    await pins.load(context);
    let isClosed = false;
    const closing = layer.close().then(() => {
      isClosed = true;
    });
    expect(() => layer.hold()).toThrow('replaced');
    await expect(layer.scan([ALL_KEYS], START + 8, context, () => undefined)).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'LAYER_RETIRED',
    });
    // What was loaded before is still at hand.
    expect(layer.search(stem, 0, START, START + 8, pins, found, context)).toBe(true);
    expect(isClosed).toBe(false);
    pass.leave();
    await closing;
    const later = new BlockPins();
    found.clear();
    expect(layer.search(stem, 0, START, START + 8, later, found, context)).toBe(false);
    await expect(later.load(context)).rejects.toMatchObject({ code: 'LAYER_RETIRED' });
    cancel.abort();
  });
});

describe('becoming a layer file', () => {
  const workers = new InlineWorkers({ flushOpenLayer }, { files: nodeFiles, clock: nodeClock });

  async function flush(world: World, lsnEnd: number, signal = never) {
    world.layer.freeze(toLsn(lsnEnd));
    await world.layer.finishWriting();
    const target = await mkdtemp(join(directory, 'flush-'));
    const input = {
      ...owner,
      layer: world.layer.share(),
      directory: target,
      temporaryName: 'flush-1',
      postgresMajor: 17,
      lsnStart: START,
      lsnEnd: toLsn(lsnEnd),
      generation: 7,
      compression: 'zstd' as const,
    };
    return { target, input, description: await workers.run('flushOpenLayer', input, signal) };
  }

  test('the layer file has every value, in order', async () => {
    const world = await makeWorld();
    const puts = await ingest(world, new SeededRandom(9), 80, START);
    const lsnEnd = puts.at(-1)!.lsn + 1;
    const { target, description } = await flush(world, lsnEnd);
    expect(description).toMatchObject({
      kind: 'delta',
      keys: ALL_KEYS,
      lsnStart: START,
      lsnEnd,
      generation: 7,
    });
    const path = await onlyFileIn(target);
    expect((await stat(path)).size).toBe(description.sizeBytes);
    const sorted = puts.toSorted(
      (left, right) =>
        left.key.field4 - right.key.field4 || left.key.index - right.key.index || left.lsn - right.lsn,
    );
    await using cursor = await LayerCursor.open(nodeFiles, path, { ...owner, description });
    for (const put of sorted) {
      expect(await cursor.next()).toBe(true);
      expect([readKey(cursor.keyView, 0), cursor.lsn, cursor.flags]).toEqual([put.key, put.lsn, put.flags]);
      const bytes = cursor.bytes.subarray(cursor.offset, cursor.offset + cursor.length);
      expect(Buffer.compare(bytes, put.bytes)).toBe(0);
    }
    expect(await cursor.next()).toBe(false);
    await world.layer.remove();
  });

  test('of several values at one LSN a base replaces what came before it, and a value put twice is one', async () => {
    const world = await makeWorld();
    const { layer, stems } = world;
    const stem = stems.intern(0, 0, 0, 0, 0);
    await layer.append(
      new Uint8Array(64).map((_, at) => at),
      0,
      64,
    );
    layer.put(stem, 0, START + 8, 0, 8, VALUE_RECORD);
    layer.put(stem, 0, START + 8, 8, 8, VALUE_IMAGE);
    layer.put(stem, 0, START + 8, 16, 8, VALUE_IMAGE);
    layer.put(stem, 0, START + 16, 24, 8, VALUE_RECORD);
    layer.put(stem, 0, START + 16, 24, 8, VALUE_RECORD);
    layer.put(stem, 1, START + 16, 24, 8, VALUE_RECORD);
    for (const [at, flags] of [VALUE_RECORD, VALUE_POISON, VALUE_POISON, VALUE_RECORD].entries()) {
      layer.put(stem, 2, START + 16, 8 * at, 8, flags);
    }
    for (const [at, flags] of [VALUE_VISIBILITY_CLEARS, VALUE_VISIBILITY_CLEARS, VALUE_POISON].entries()) {
      layer.put(stem, 3, START + 16, 8 * Math.max(1, at), 5, flags);
    }
    layer.put(stem, 4, START + 16, 48, 5, VALUE_POISON);
    layer.put(stem, 4, START + 16, 56, 5, VALUE_VISIBILITY_CLEARS);
    layer.put(stem, 5, START + 16, 32, 5, VALUE_VISIBILITY_CLEARS);
    layer.put(stem, 5, START + 16, 32, 5, VALUE_VISIBILITY_CLEARS);
    const { target, description } = await flush(world, START + 17);
    const path = await onlyFileIn(target);
    await using cursor = await LayerCursor.open(nodeFiles, path, { ...owner, description });
    const values: number[][] = [];
    while (await cursor.next()) {
      values.push([
        readKey(cursor.keyView, 0).index,
        cursor.lsn - START,
        cursor.flags,
        cursor.bytes[cursor.offset] as number,
      ]);
    }
    expect(values).toEqual([
      [0, 8, VALUE_IMAGE, 16],
      [0, 16, VALUE_RECORD, 24],
      [1, 16, VALUE_RECORD, 24],
      [2, 16, VALUE_POISON, 16],
      [3, 16, VALUE_POISON, 16],
      [4, 16, VALUE_POISON, 48],
      [5, 16, VALUE_VISIBILITY_CLEARS, 32],
    ]);
    await layer.remove();
  });

  test('two values that both matter, a file cut short and cancellation end the job with nothing left behind', async () => {
    const world = await makeWorld();
    const { layer, stems } = world;
    const stem = stems.intern(0, 0, 0, 0, 0);
    await layer.append(new Uint8Array(64), 0, 64);
    layer.put(stem, 0, START + 8, 8, 8, VALUE_IMAGE);
    const other = await makeWorld();
    await other.layer.append(new Uint8Array(64), 0, 64);
    other.layer.put(other.stems.intern(0, 0, 0, 0, 0), 0, START + 8, 0, 64, VALUE_IMAGE);
    const { target, input } = await flush(other, START + 9);
    await expect(
      workers.run('flushOpenLayer', { ...input, directory: target, temporaryName: 'x' }, AbortSignal.abort()),
    ).rejects.toMatchObject({ kind: 'cancelled' });
    await using file = await nodeFiles.openForUpdate(other.layer.path);
    await file.resize(63);
    await expect(workers.run('flushOpenLayer', input, never)).rejects.toMatchObject({
      code: 'FILE_TOO_SHORT',
    });
    expect((await readdir(target)).length).toBe(1);
    layer.put(stem, 0, START + 8, 0, 8, VALUE_RECORD);
    await expect(flush(world, START + 17)).rejects.toThrow('two values at one LSN');
    await layer.remove();
    const third = await makeWorld();
    await third.layer.append(new Uint8Array(64), 0, 64);
    const map = third.stems.intern(0, 0, 0, 0, 2);
    for (const position of [8, 16]) third.layer.put(map, 0, START + 8, position, 5, VALUE_VISIBILITY_CLEARS);
    await expect(flush(third, START + 17)).rejects.toThrow('two values at one LSN');
    await third.layer.remove();
    await other.layer.remove();
  });

  test('a file too large to be read at once is read by the pieces that are needed', async () => {
    const world = await makeWorld();
    const puts = await ingest(world, new SeededRandom(11), 80, START);
    world.layer.freeze(toLsn(puts.at(-1)!.lsn + 1));
    await world.layer.finishWriting();
    const { path, index, stemWords } = world.layer.share();
    const job = { files: nodeFiles, signal: never, step: () => Promise.resolve() };
    await using whole = await OpenLayerReader.open(path, job);
    await using pieces = await OpenLayerReader.open(path, job, 1000);
    const entries = new SortedEntries(index, stemWords);
    const batch = new EntryBatch();
    let count = 0;
    while (batch.fill(entries)) {
      const expected = await whole.read(batch);
      const at = batch.offsets.slice(0, batch.count);
      const bytes = await pieces.read(batch);
      expect(bytes.length).toBe(batch.valueBytes);
      for (const [entry, offset] of at.entries()) {
        const length = batch.lengths[entry] as number;
        const from = batch.offsets[entry] as number;
        expect(
          Buffer.compare(bytes.subarray(from, from + length), expected.subarray(offset, offset + length)),
        ).toBe(0);
      }
      count += batch.count;
    }
    expect(count).toBe(puts.length);
    await world.layer.remove();
  });
});
