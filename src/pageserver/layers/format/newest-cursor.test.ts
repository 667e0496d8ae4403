import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import {
  compareValues,
  key,
  type LayerValue,
  readableBytes,
  type SampleOptions,
  writeLayer,
} from '../../../../test/support/layer-samples.ts';
import { SeededRandom } from '../../../../test/support/seeded-random.ts';
import { CorruptionError } from '../../../base/errors.ts';
import { toLsn } from '../../../base/lsn.ts';
import type { Files, ReadableFile } from '../../../io/files.ts';
import { nodeFiles } from '../../../io/node/files.ts';
import { unsyncedFiles } from '../../../io/unsynced-files.ts';
import { compareKeys, type Key, nextKey, readKey } from '../../keyspace/key.ts';
import { ALL_KEYS, isInRange, type KeyRange } from '../../keyspace/key-range.ts';
import { formatLayerFileName } from '../layer-name.ts';
import { VALUE_IMAGE, VALUE_RECORD } from '../value.ts';
import { decodeLayerHeader, type LayerIdentity } from './layer-header.ts';
import { HEADER_BYTES } from './layout.ts';
import { NewestCursor } from './newest-cursor.ts';
import { verifyLayer } from './verify-layer.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-newest-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const files = unsyncedFiles(nodeFiles);
const { signal } = new AbortController();

async function write(
  values: readonly LayerValue[],
  options: SampleOptions,
): Promise<{ layer: LayerIdentity; path: string }> {
  const layer = await writeLayer(files, directory, values, { lsnEnd: toLsn(2 ** 53 - 1), ...options });
  return { layer, path: join(directory, formatLayerFileName(layer.description)) };
}

async function newest(
  { layer, path }: { layer: LayerIdentity; path: string },
  keys: KeyRange,
  lsnEnd: number,
  from: Pick<Files, 'open'> = files,
): Promise<LayerValue[]> {
  await using cursor = await NewestCursor.open(from, path, layer, { keys, lsnEnd, signal });
  const values: LayerValue[] = [];
  do {
    while (cursor.advance()) {
      const { lsn, flags, offset, length } = cursor;
      const bytes = cursor.bytes.slice(offset, offset + length);
      values.push({ key: readKey(cursor.keyView, 0), lsn, flags, bytes });
    }
  } while (await cursor.load());
  return values;
}

/** The same from the sorted array. */
function expected(values: readonly LayerValue[], keys: KeyRange, lsnEnd: number): LayerValue[] {
  const visible = values.filter((value) => value.lsn < lsnEnd && isInRange(keys, value.key));
  return visible.filter(({ key: of }, index) => {
    const next = visible[index + 1];
    return next === undefined || compareKeys(next.key, of) !== 0;
  });
}

/** In order: of each key one value or many, in few stems or many. */
function randomValues(random: SeededRandom, count: number): LayerValue[] {
  const stems = random.pick([1, 3, 500]);
  const indexes = random.pick([1, 1, 4, 300]);
  const longChance = random.pick([0, 0.1, 0.9]);
  const lengthMax = random.pick([0, 4, 60]);
  const values = new Map<string, LayerValue>();
  const long = key(0x61, 16384 + random.below(stems), random.pick([0, 7, 0xffff_ffff]));
  for (let number = 0; number < count; number++) {
    const of = random.chance(longChance)
      ? long
      : key(0x61 + random.below(2), 16384 + random.below(stems), random.below(indexes) * 0xdb_1234);
    const lsn = 16 + random.below(count) * 8;
    const bytes = Uint8Array.from({ length: random.below(lengthMax + 1) }, () => random.below(256));
    const flags = random.pick([VALUE_IMAGE, VALUE_RECORD]);
    values.set(`${JSON.stringify(of)} ${lsn}`, { key: of, lsn, flags, bytes });
  }
  return [...values.values()].sort(compareValues);
}

test('of any range of keys the newest values below any LSN are found', { timeout: 120_000 }, async () => {
  const shapes = fc.record({
    seed: fc.nat(),
    count: fc.oneof(fc.nat(20), fc.nat(2500)),
    blockBytes: fc.constantFrom(64, 300, 16384),
  });
  let leavesMax = 0;
  await fc.assert(
    fc.asyncProperty(shapes, async ({ seed, count, blockBytes }) => {
      const random = new SeededRandom(seed);
      const values = randomValues(random, count);
      const written = await write(values, { blockBytes });
      leavesMax = Math.max(leavesMax, (await verifyLayer(files, written.path)).leafCount);
      const someKey = (): Key => {
        const of = values.length === 0 ? key(0x61, 16384, 0) : random.pick(values).key;
        return random.chance(0.3) ? nextKey(of) : of;
      };
      for (let times = 0; times < 20; times++) {
        const ends = [someKey(), someKey()].sort(compareKeys) as [Key, Key];
        const keys = times < 3 ? ALL_KEYS : { start: ends[0], end: ends[1] };
        const lsnEnd = 16 + random.below(count + 2) * 8 + random.below(2);
        expect(await newest(written, keys, lsnEnd)).toEqual(expected(values, keys, lsnEnd));
      }
      expect(await newest(written, ALL_KEYS, 2 ** 53)).toEqual(expected(values, ALL_KEYS, 2 ** 53));
      expect(await newest(written, ALL_KEYS, 0)).toEqual([]);
    }),
    { numRuns: 60 },
  );
  expect(leavesMax).toBeGreaterThan(2);
});

/** What is read of data blocks is noted: from where to where. */
function noting(reads: [start: number, end: number][], indexPosition: number): Pick<Files, 'open'> {
  return {
    open: async (path) => {
      const file = await files.open(path);
      return {
        path,
        sizeBytes: file.sizeBytes,
        readNow: file.readNow.bind(file),
        read: (target: Uint8Array, start: number, length: number, position: number) => {
          const end = Math.min(position + length, indexPosition);
          // The header, and the end of the file, which is read along with it.
          const isData = position >= HEADER_BYTES && position + length < file.sizeBytes;
          if (isData && position < indexPosition) reads.push([position, end]);
          return file.read(target, start, length, position);
        },
        close: () => file.close(),
        [Symbol.asyncDispose]: () => file.close(),
      } satisfies ReadableFile;
    },
  };
}

test('of a key with very many values three blocks are read at most, wherever the LSN is', {
  timeout: 60_000,
}, async () => {
  const versions = 400_000;
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const sizeAt = (field4: number, lsn: number): LayerValue => ({
    key: key(0x61, field4, 0),
    lsn,
    flags: VALUE_IMAGE,
    bytes,
  });
  function* values(): Generator<LayerValue> {
    yield sizeAt(1, 16);
    for (let version = 0; version < versions; version++) yield sizeAt(2, 16 + version * 8);
    yield sizeAt(3, 16);
  }
  const layer = await writeLayer(files, directory, values(), { lsnEnd: toLsn(2 ** 40), compression: 'none' });
  const path = join(directory, formatLayerFileName(layer.description));
  const header = decodeLayerHeader(
    new Uint8Array(readFileSync(path).subarray(0, HEADER_BYTES)),
    layer.description.sizeBytes,
    path,
  );
  expect(header.dataBlockCount).toBeGreaterThan(300);
  expect(header.leafCount).toBeGreaterThan(1);
  for (const version of [0, 1, 777, versions / 2, versions - 2, versions - 1]) {
    const reads: [start: number, end: number][] = [];
    const lsnEnd = 17 + version * 8;
    const found = await newest({ layer, path }, ALL_KEYS, lsnEnd, noting(reads, header.indexPosition));
    expect(found.map(({ key: of, lsn }) => [of.field4, lsn])).toEqual([
      [1, 16],
      [2, 16 + version * 8],
      [3, 16],
    ]);
    const readBytes = reads.reduce((sum, [start, end]) => sum + end - start, 0);
    // Beside the one that is wanted: the first block has another key as well, and so has the last.
    expect(readBytes).toBeLessThan(4 * 16 * 1024);
  }
});

test('a byte that is not what it was is noticed, or was not needed', { timeout: 60_000 }, async () => {
  const random = new SeededRandom(5);
  const values = randomValues(random, 600);
  const { layer, path } = await write(values, { blockBytes: 300 });
  const good = new Uint8Array(readFileSync(path));
  const right = expected(values, ALL_KEYS, 2000);
  let noticed = 0;
  for (let times = 0; times < 400; times++) {
    const bytes = good.slice();
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    const from = { open: async () => readableBytes(path, bytes) };
    try {
      expect(await newest({ layer, path }, ALL_KEYS, 2000, from)).toEqual(right);
    } catch (error) {
      expect(error).toBeInstanceOf(CorruptionError);
      noticed++;
    }
  }
  expect(noticed).toBeGreaterThan(100);
});

test('who has given up gets nothing more', async () => {
  const values = [{ key: key(0x61, 1, 0), lsn: 16, flags: VALUE_IMAGE, bytes: Uint8Array.of(1) }];
  const { layer, path } = await write(values, {});
  const options = { keys: ALL_KEYS, lsnEnd: 100, signal: AbortSignal.abort() };
  await using cursor = await NewestCursor.open(files, path, layer, options);
  await expect(cursor.load()).rejects.toMatchObject({ kind: 'cancelled' });
});
