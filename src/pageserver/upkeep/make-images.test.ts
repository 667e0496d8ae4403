import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  contentAt,
  deltaOf,
  imageOf,
  imageRecord,
  imageValue,
  KeyHistories,
  keysOf,
  LSN_FIRST,
  LSN_STEP,
  lsnOfPart,
  type ModelLayer,
  patchRecord,
  relation,
  someEvents,
} from '../../../test/support/key-histories.ts';
import type { LayerValue } from '../../../test/support/layer-samples.ts';
import { DIRECTORY, targetOf, UpkeepWorld } from '../../../test/support/upkeep-world.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import { compareKeys, equalKeys, type Key, nextKey } from '../keyspace/key.ts';
import { ALL_KEYS, isInRange } from '../keyspace/key-range.ts';
import { databaseKey, relationBlockKey } from '../keyspace/keys.ts';
import { VALUE_POISON } from '../layers/value.ts';
import { makeLiveness } from './liveness.ts';

const never = new AbortController().signal;
const TARGET_BYTES = 30_000;

test('an image layer says of each key what all layers before it said', async () => {
  await fc.assert(
    fc.asyncProperty(
      someEvents,
      someEvents,
      fc.nat(),
      fc.nat(),
      fc.nat(),
      async (early, late, at, other, branch) => {
        const parent = new KeyHistories(early);
        const branchLsn = lsnOfPart(branch, LSN_FIRST, parent.lsnEnd);
        // A branch begins where its parent was.
        const visible = deltaOf(parent.values, ALL_KEYS, LSN_FIRST, branchLsn + 1);
        const child = new KeyHistories(
          late,
          branchLsn + LSN_STEP,
          new KeyHistories(early.slice(0, (branchLsn - LSN_FIRST) / LSN_STEP + 1)),
        );
        const own = deltaOf(child.values, ALL_KEYS, branchLsn + 1, child.lsnEnd);
        const lsn = lsnOfPart(at, branchLsn + 1, child.lsnEnd);
        const middle = lsnOfPart(other, branchLsn + 1, child.lsnEnd);
        const keys = { start: relationBlockKey(relation(0), 0, 2), end: databaseKey(1663, 6) };
        const image = imageOf(child, [visible, own], keys, middle);
        const layers = [visible, own, image];
        const world = new UpkeepWorld();
        await world.perform(async (files, workers) => {
          const inputs = await world.write(
            [deltaOf(parent.values, ALL_KEYS, LSN_FIRST, parent.lsnEnd), own, image],
            files,
          );
          const clipped = inputs
            .map((input, index) => ({
              ...input,
              lsnEnd: Math.min(index === 0 ? branchLsn + 1 : input.lsnEnd, lsn + 1) as Lsn,
            }))
            .filter((input) => input.lsnStart < input.lsnEnd);
          const liveness = makeLiveness(child.aliveAt(lsn));
          const made = await workers.run(
            'makeImages',
            { layers: clipped, keys: ALL_KEYS, lsn: toLsn(lsn), liveness, target: targetOf(TARGET_BYTES) },
            never,
          );
          expect(made.failedKeys).toEqual([]);
          const read = await world.read(made.layers, files);
          expectSeries(read);
          const expected: LayerValue[] = [];
          for (const key of keysOf(layers.flatMap(({ values }) => values))) {
            const bytes = child.isAliveAt(key, lsn) ? contentAt(layers, key, lsn) : undefined;
            if (bytes !== undefined) expected.push(imageValue(key, lsn, bytes));
          }
          expect(read.flatMap(({ values }) => values)).toEqual(expected);
        });
      },
    ),
    { numRuns: 60 },
  );
});

/** Image layers one behind the other, over all keys. */
function expectSeries(layers: readonly ModelLayer[]): void {
  expect(layers[0]!.keys.start).toEqual(ALL_KEYS.start);
  expect(layers.at(-1)!.keys.end).toEqual(ALL_KEYS.end);
  for (const [index, { keys }] of layers.slice(1).entries()) {
    expect(keys.start).toEqual(layers[index]!.keys.end);
  }
}

const block = (number: number): Key => relationBlockKey(relation(0), 0, number);
const liveness = makeLiveness([{ firstKey: block(0), blocks: 10 }]);

async function makeFrom(values: readonly LayerValue[], failureDirectory?: string) {
  const world = new UpkeepWorld();
  if (failureDirectory !== undefined) world.node.disk.provideDirectory(failureDirectory);
  return await world.perform(async (files, workers) => {
    const layers = await world.write([deltaOf(values, ALL_KEYS, 0x1000, 0x2000)], files);
    const made = await workers.run(
      'makeImages',
      {
        layers,
        keys: ALL_KEYS,
        lsn: toLsn(0x1fff),
        liveness,
        target: targetOf(TARGET_BYTES),
        ...(failureDirectory === undefined ? {} : { failureDirectory }),
      },
      never,
    );
    return { ...made, read: await world.read(made.layers, files), path: layers[0]!.path, files, world };
  });
}

test('WR-01: a key that fails is told with layer, key, LSN and one chain of causes, and no image covers it', async () => {
  const values = Array.from({ length: 10 }, (_, index) => imageRecord(block(index), 0x1000, index + 1));
  values.push(patchRecord(block(3), 0x1010, 9000, Uint8Array.of(1)));
  values.push({
    key: block(5),
    lsn: 0x1020,
    flags: VALUE_POISON,
    bytes: new TextEncoder().encode('no such record'),
  });
  values.push(patchRecord(block(6), 0x1020, 100, Uint8Array.of(1)));
  values[9] = patchRecord(block(9), 0x1000, 100, Uint8Array.of(1));
  const { failedKeys, read, path } = await makeFrom(values);
  expect(failedKeys.map(({ key }) => key)).toEqual([block(3), block(5), block(9)]);
  const [redo, poison, baseless] = failedKeys.map(({ error }) => error);
  const place = { file: path, page: '1663/5/16384 fork 0 blk 3', lsn: 0x1010 };
  expect(redo).toMatchObject({ varve: { kind: 'corruption', code: 'PAGE_NOT_REPLAYED', place } });
  const causes: string[] = [];
  for (let cause = redo?.cause; cause !== undefined; cause = cause.cause)
    causes.push(cause.varve?.code ?? cause.name);
  expect(causes).toEqual(['REDO_FAILED', 'Error']);
  expect(redo!.message.split('LSN 0/1010')).toHaveLength(2);
  expect(poison).toMatchObject({ varve: { code: 'PAGE_POISONED', place: { file: path, lsn: 0x1020 } } });
  expect(poison!.message).toContain('no such record');
  expect(baseless).toMatchObject({
    varve: { code: 'PAGE_WITHOUT_BASE', place: { file: path, lsn: 0x1000 } },
  });
  for (const { key } of failedKeys) expect(read.some(({ keys }) => isInRange(keys, key))).toBe(false);
  for (const key of [0, 1, 2, 4, 6, 7, 8].map(block)) {
    const covering = read.filter(({ keys }) => isInRange(keys, key));
    expect(covering).toHaveLength(1);
    expect(covering[0]!.values.some((value) => equalKeys(value.key, key))).toBe(true);
  }
  expect(read.at(-1)!.keys.end).toEqual(block(9));
  expect(compareKeys(nextKey(block(3)), read[1]!.keys.start)).toBe(0);
});

test('WR-02: records of more than a megabyte on one page make the page', async () => {
  const values = [imageRecord(block(0), 0x1000, 7)];
  const patch = new Uint8Array(8000);
  for (let index = 1; index <= 200; index++) {
    values.push(patchRecord(block(0), 0x1000 + index, 100, patch.fill(index)));
  }
  expect(values.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeGreaterThan(1_500_000);
  const { read, failedKeys } = await makeFrom(values);
  expect(failedKeys).toEqual([]);
  const expected = contentAt([deltaOf(values, ALL_KEYS, 0, 0x2000)], block(0), 0x1fff)!;
  expect(read.flatMap((layer) => layer.values)).toEqual([imageValue(block(0), 0x1fff, expected)]);
  expect([...expected.slice(8099, 8101)]).toEqual([200, 7]);
});

test('an image layer hides what is older, also under keys that it has nothing for', async () => {
  const world = new UpkeepWorld();
  const database = databaseKey(1663, 5);
  const values = [
    imageValue(database, 0x1010, Uint8Array.of(1)),
    imageValue(databaseKey(1663, 6), 0x1820, Uint8Array.of(2)),
  ];
  const image = {
    kind: 'image',
    keys: ALL_KEYS,
    lsnStart: toLsn(0x1800),
    lsnEnd: toLsn(0x1801),
    values: [],
  } as const;
  for (const lsnOfDatabase of [0x1010, 0x1800]) {
    const older = { ...values[0]!, lsn: lsnOfDatabase };
    await world.perform(async (files, workers) => {
      const layers = await world.write(
        [deltaOf([older, values[1]!], ALL_KEYS, 0x1000, 0x2000), image],
        files,
      );
      const input = { layers, keys: ALL_KEYS, lsn: toLsn(0x1fff), liveness, target: targetOf(TARGET_BYTES) };
      const made = await workers.run('makeImages', input, never);
      const read = await world.read(made.layers, files);
      expect(read.flatMap((layer) => layer.values)).toEqual([{ ...values[1]!, lsn: 0x1fff }]);
    });
  }
});

test('where nothing exists any more, an empty image layer says so', async () => {
  const { read } = await makeFrom([imageRecord(relationBlockKey(relation(1), 0, 0), 0x1000, 1)]);
  expect(read).toEqual([{ kind: 'image', keys: ALL_KEYS, lsnStart: 0x1fff, lsnEnd: 0x2000, values: [] }]);
});

test.each(['before', 'after'] as const)(
  'IX-10: making images, killed %s any effect, gives the same when it runs again',
  async (moment) => {
    const values = Array.from({ length: 10 }, (_, index) => imageRecord(block(index), 0x1000, index + 1));
    let effects = 0;
    let expected: ModelLayer[] | undefined;
    for (let isDone = false; !isDone; effects++) {
      const world = new UpkeepWorld(effects + 1);
      const layers = await world.perform((files) =>
        world.write([deltaOf(values, ALL_KEYS, 0x1000, 0x2000)], files),
      );
      const input = { layers, keys: ALL_KEYS, lsn: toLsn(0x1fff), liveness, target: targetOf(TARGET_BYTES) };
      await world.crashDuring(effects + 1, moment, (workers) => workers.run('makeImages', input, never));
      isDone = world.isAlive;
      await world.perform(async (files, workers) => {
        const names = await world.verifyAll(files);
        const made = await workers.run('makeImages', input, never);
        const read = await world.read(made.layers, files);
        expected ??= read;
        expect(read).toEqual(expected);
        expect(await files.list(DIRECTORY)).toEqual(expect.arrayContaining(names));
        expect((await files.list(DIRECTORY)).length).toBe(layers.length + made.layers.length);
      });
    }
    expect(effects).toBeGreaterThan(10);
  },
  60_000,
);
