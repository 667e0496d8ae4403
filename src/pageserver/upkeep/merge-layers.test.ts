import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareModelValues, ModelCursor, type ModelValue } from '../../../test/support/model-values.ts';
import { compareKeys, KEY_MIN, type Key, readKey } from '../keyspace/key.ts';
import { ALL_KEYS, isInRange, type KeyRange } from '../keyspace/key-range.ts';
import { type MergeInput, MergeLayers } from './merge-layers.ts';

const keyOf = (field2: number, index: number): Key => ({ ...KEY_MIN, field2, index });

async function collect(merge: MergeLayers): Promise<ModelValue[]> {
  const all: ModelValue[] = [];
  let last: Key | undefined;
  while (merge.advance() || (await merge.next())) {
    const key = readKey(merge.keyView, merge.keyOffset);
    expect(merge.isNewKey).toBe(last === undefined || compareKeys(last, key) !== 0);
    last = key;
    const bytes = merge.bytes.slice(merge.offset, merge.offset + merge.length);
    all.push({ key, lsn: merge.lsn, flags: merge.flags, bytes });
  }
  return all;
}

const inputOf = (
  values: readonly ModelValue[],
  chunk: number,
  more: Partial<MergeInput> = {},
): MergeInput => ({
  kind: 'delta',
  name: 'layer',
  values: new ModelCursor(values, chunk),
  lsnStart: 0,
  lsnEnd: Number.MAX_SAFE_INTEGER,
  ...more,
});

const someValue = (key: Key, lsn: number, ...bytes: number[]): ModelValue => ({
  key,
  lsn,
  flags: 1,
  bytes: Uint8Array.from(bytes),
});

const key = fc
  .record({ field2: fc.nat(2), index: fc.nat(3) })
  .map(({ field2, index }) => keyOf(field2, index));
/** For each key and LSN what was stored there. */
const history = fc.array(
  fc.record({
    key,
    lsn: fc.nat(6),
    bytes: fc.uint8Array({ maxLength: 12 }),
    /** Which of the layers have it. */
    layers: fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 5 }),
  }),
  { maxLength: 60 },
);

test('a merge gives what a sort of all values gives, each value once', async () => {
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.tuple(key, key),
      fc.tuple(fc.nat(7), fc.nat(7)),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 5, maxLength: 5 }),
      async (events, [one, other], lsns, chunks) => {
        const unique = new Map(
          events.map((event) => [`${event.key.field2}/${event.key.index}/${event.lsn}`, event]),
        );
        const layers: ModelValue[][] = [[], [], [], [], []];
        const model: ModelValue[] = [];
        for (const event of unique.values()) {
          const value = { key: event.key, lsn: event.lsn, flags: 1, bytes: event.bytes };
          model.push(value);
          for (const layer of event.layers) layers[layer]!.push(value);
        }
        for (const layer of [...layers, model]) layer.sort(compareModelValues);
        const keys: KeyRange = compareKeys(one, other) < 0 ? { start: one, end: other } : ALL_KEYS;
        const [lsnStart, lsnEnd] = [Math.min(...lsns), Math.max(...lsns)];
        const inputs = layers.map((layer, index) => inputOf(layer, chunks[index]!, { lsnStart, lsnEnd }));
        const expected = model.filter(
          (value) => isInRange(keys, value.key) && value.lsn >= lsnStart && value.lsn < lsnEnd,
        );
        expect(await collect(new MergeLayers(inputs, keys))).toEqual(expected);
      },
    ),
    { numRuns: 500 },
  );
});

test("an image layer's value comes after the record of its LSN, and does not repeat it", async () => {
  const page = keyOf(1, 1);
  const image = { ...someValue(page, 5, 7), flags: 0 };
  const deltas = [someValue(page, 5, 7), someValue(page, 6, 9)];
  const merge = new MergeLayers(
    [inputOf([image], 1, { kind: 'image' }), inputOf([image], 1, { kind: 'image' }), inputOf(deltas, 1)],
    ALL_KEYS,
  );
  expect(await collect(merge)).toEqual([deltas[0], image, deltas[1]]);
});

test('layers that hold different values for a key and LSN are an error that names layer, key and LSN', async () => {
  const page = keyOf(1, 0xabc);
  for (const other of [
    someValue(page, 5, 8),
    someValue(page, 5, 7, 7),
    { ...someValue(page, 5, 7), flags: 0 },
  ]) {
    const merge = new MergeLayers(
      [inputOf([someValue(page, 5, 7)], 1, { name: 'one' }), inputOf([other], 1, { name: 'other' })],
      ALL_KEYS,
    );
    await expect(collect(merge)).rejects.toMatchObject({
      kind: 'corruption',
      code: 'LAYERS_DISAGREE',
      place: { file: 'other', lsn: 5, page: '000000000100000000000000000000000ABC' },
    });
  }
});
