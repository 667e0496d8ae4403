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
import { targetOf, UpkeepWorld } from '../../../test/support/upkeep-world.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import { compareKeys } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import { databaseKey, relationBlockKey } from '../keyspace/keys.ts';
import { VALUE_IMAGE, VALUE_POISON } from '../layers/value.ts';
import { makeLiveness } from './liveness.ts';
import type { RewriteBottomInput } from './rewrite-bottom.ts';

const never = new AbortController().signal;

async function rewrite(
  world: UpkeepWorld,
  below: readonly ModelLayer[],
  own: readonly ModelLayer[],
  rest: Pick<RewriteBottomInput, 'cutoff' | 'retainedLsns' | 'liveness'>,
) {
  return await world.perform(async (files, workers) => {
    const input = {
      below: await world.write(below, files, 1),
      mayExistBelow: below.length > 0,
      layers: await world.write(own, files, 2),
      keys: ALL_KEYS,
      target: targetOf(30_000),
      ...rest,
    };
    const made = await workers.run('rewriteBottom', input, never);
    return { ...made, read: await world.read(made.layers, files) };
  });
}

test('after bottom-most compaction each key is what it was at every promised LSN', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.option(someEvents),
      someEvents,
      fc.array(fc.nat(), { maxLength: 3 }),
      fc.nat(),
      async (early, late, points, imageAt) => {
        const parent = early === null ? undefined : new KeyHistories(early);
        const start = parent?.lsnEnd ?? LSN_FIRST;
        const child = new KeyHistories(late, start + LSN_STEP, parent);
        const below = parent === undefined ? [] : [deltaOf(parent.values, ALL_KEYS, LSN_FIRST, start)];
        const whole = deltaOf(child.values, ALL_KEYS, start, child.lsnEnd);
        const lsnIn = (part: number): number => lsnOfPart(part, start, child.lsnEnd);
        const middle = lsnIn(imageAt);
        const keys = { start: relationBlockKey(relation(0), 0, 1), end: databaseKey(1663, 6) };
        const own = [
          deltaOf(child.values, ALL_KEYS, start, middle + 1),
          imageOf(child, [...below, whole], keys, middle),
          ...(middle + 1 < child.lsnEnd ? [deltaOf(child.values, ALL_KEYS, middle + 1, child.lsnEnd)] : []),
        ];
        const cutoff = toLsn(child.lsnEnd - 1);
        const retainedLsns = [...new Set(points.map(lsnIn))]
          .filter((lsn) => lsn < cutoff)
          .sort((left, right) => left - right) as Lsn[];
        const promised = [...retainedLsns, cutoff];
        const liveness = promised.map((lsn) => makeLiveness(child.aliveAt(lsn)));
        const { read, failedKeys } = await rewrite(new UpkeepWorld(), below, own, {
          cutoff,
          retainedLsns,
          liveness,
        });
        expect(failedKeys).toEqual([]);
        const before = [...below, ...own];
        for (const key of keysOf(before.flatMap(({ values }) => values))) {
          for (const lsn of promised) {
            if (!child.isAliveAt(key, lsn)) continue;
            expect(contentAt([...below, ...read], key, lsn)).toEqual(contentAt(before, key, lsn));
          }
          const kept = read.flatMap(({ values }) =>
            values.filter((value) => compareKeys(value.key, key) === 0),
          );
          expect(kept.length).toBeLessThanOrEqual(promised.length);
        }
        for (const [index, layer] of read.slice(1).entries()) {
          expect(compareKeys(read[index]!.keys.end, layer.keys.start)).toBeLessThanOrEqual(0);
        }
      },
    ),
    { numRuns: 100 },
  );
});

const block = (number: number) => relationBlockKey(relation(0), 0, number);

test('a page that cannot be made keeps its whole history, and the others are rewritten', async () => {
  const values = [0, 1].flatMap((number) => [
    imageRecord(block(number), 0x1000, 9),
    patchRecord(block(number), 0x1010, 100, Uint8Array.of(1)),
    number === 0
      ? patchRecord(block(0), 0x1020, 100, Uint8Array.of(2))
      : { key: block(1), lsn: 0x1020, flags: VALUE_POISON, bytes: Uint8Array.of(0x21) },
  ]);
  const { read, failedKeys } = await rewrite(
    new UpkeepWorld(),
    [],
    [deltaOf(values, ALL_KEYS, 0x1000, 0x2000)],
    {
      cutoff: toLsn(0x1fff),
      retainedLsns: [],
      liveness: [makeLiveness([{ firstKey: block(0), blocks: 2 }])],
    },
  );
  expect(failedKeys.map(({ key }) => key)).toEqual([block(1)]);
  const expected = contentAt([deltaOf(values, ALL_KEYS, 0, 0x2000)], block(0), 0x1fff)!;
  expect(read.flatMap((layer) => layer.values)).toEqual([
    { key: block(0), lsn: 0x1020, flags: VALUE_IMAGE, bytes: expected },
    ...values.filter(({ key }) => key.index === 1),
  ]);
});

test('what is left of a page whose base was garbage stays, and is no failure', async () => {
  const values = [patchRecord(block(0), 0x1010, 100, Uint8Array.of(1)), imageRecord(block(1), 0x1020, 9)];
  const { read, failedKeys } = await rewrite(
    new UpkeepWorld(),
    [],
    [deltaOf(values, ALL_KEYS, 0x1000, 0x2000)],
    {
      cutoff: toLsn(0x1fff),
      retainedLsns: [],
      liveness: [makeLiveness([{ firstKey: block(0), blocks: 2 }])],
    },
  );
  expect(failedKeys).toEqual([]);
  expect(read.flatMap((layer) => layer.values)).toEqual(values);
});

test('what an image layer of an ancestor hides is not gone back to', async () => {
  const below = [
    deltaOf([imageRecord(block(0), 0x500, 1)], ALL_KEYS, 0x100, 0x600),
    { kind: 'image', keys: ALL_KEYS, lsnStart: toLsn(0x580), lsnEnd: toLsn(0x581), values: [] } as const,
  ];
  const values = [patchRecord(block(0), 0x1010, 100, Uint8Array.of(1))];
  const rest = {
    cutoff: toLsn(0x1fff),
    retainedLsns: [],
    liveness: [makeLiveness([{ firstKey: block(0), blocks: 1 }])],
  };
  const own = [deltaOf(values, ALL_KEYS, 0x1000, 0x2000)];
  const flagsOf = (layers: readonly ModelLayer[]) =>
    layers.flatMap((layer) => layer.values.map(({ flags }) => flags));
  const hidden = await rewrite(new UpkeepWorld(), below, own, rest);
  expect(flagsOf(hidden.read)).toEqual(values.map(({ flags }) => flags));
  const seen = await rewrite(new UpkeepWorld(), below.slice(0, 1), own, rest);
  expect(flagsOf(seen.read)).toEqual([VALUE_IMAGE]);
});

test('what did not exist leaves no trace in a root, and a mark where an ancestor had it', async () => {
  const database = databaseKey(1663, 5);
  const own = [
    deltaOf(
      [imageValue(database, 0x1010, Uint8Array.of(1)), imageValue(database, 0x1020, new Uint8Array())],
      ALL_KEYS,
      0x1000,
      0x2000,
    ),
  ];
  const rest = { cutoff: toLsn(0x1fff), retainedLsns: [], liveness: [makeLiveness([])] };
  expect((await rewrite(new UpkeepWorld(), [], own, rest)).read).toEqual([]);
  const below = [deltaOf([imageValue(database, 0x500, Uint8Array.of(1))], ALL_KEYS, 0x100, 0x600)];
  const branch = await rewrite(new UpkeepWorld(), below, own, rest);
  expect(branch.read.flatMap(({ values }) => values)).toEqual([
    imageValue(database, 0x1020, new Uint8Array()),
  ]);
  // An image layer that has nothing for the key says the same.
  const image = {
    kind: 'image',
    keys: ALL_KEYS,
    lsnStart: toLsn(0x1030),
    lsnEnd: toLsn(0x1031),
    values: [],
  } as const;
  const imaged = await rewrite(new UpkeepWorld(), below, [...own, image], rest);
  expect(imaged.read.flatMap(({ values }) => values)).toEqual([
    imageValue(database, 0x1030, new Uint8Array()),
  ]);
});

test('a layer that would have the name of an input gets another one', async () => {
  const values = [imageRecord(block(0), 0x1000, 9), patchRecord(block(0), 0x1010, 100, Uint8Array.of(1))];
  const keys = { start: block(0), end: block(1) };
  const rest = {
    cutoff: toLsn(0x1fff),
    retainedLsns: [],
    liveness: [makeLiveness([{ firstKey: block(0), blocks: 1 }])],
  };
  const world = new UpkeepWorld();
  const { read } = await rewrite(world, [], [deltaOf(values, keys, 0x1000, 0x2000)], rest);
  expect(read).toHaveLength(1);
  expect(read[0]!.keys).not.toEqual(keys);
  await world.perform(async (files) => expect((await world.verifyAll(files)).length).toBe(2));
});

test('a layer is not ended where it would have the name of an input', async () => {
  const lsns = [0x1000, 0x1010, 0x1020, 0x1030, 0x1040];
  const own = [0, 1].map((number) => {
    const values = lsns.map((lsn) => imageRecord(block(number), lsn, 9));
    return deltaOf(values, { start: block(number), end: block(number + 1) }, 0x1000, 0x2000);
  });
  const rest = {
    cutoff: toLsn(0x1fff),
    retainedLsns: lsns.map((lsn) => toLsn(lsn + 1)),
    liveness: [...lsns, 0].map(() => makeLiveness([{ firstKey: block(0), blocks: 2 }])),
  };
  const { read } = await rewrite(new UpkeepWorld(), [], own, rest);
  expect(read.map(({ keys }) => keys)).toEqual([{ start: block(0), end: block(2) }]);
  expect(read[0]!.values).toEqual(own.flatMap(({ values }) => values));
});

test.each(['before', 'after'] as const)(
  'IX-10: bottom-most compaction, killed %s any effect, gives the same when it runs again',
  async (moment) => {
    const values = Array.from({ length: 10 }, (_, index) => [
      imageRecord(block(index), 0x1000, index + 1),
      patchRecord(block(index), 0x1010, 100, Uint8Array.of(index)),
    ]).flat();
    let effects = 0;
    let expected: ModelLayer[] | undefined;
    for (let isDone = false; !isDone; effects++) {
      const world = new UpkeepWorld(effects + 1);
      const input = await world.perform(async (files) => ({
        layers: await world.write([deltaOf(values, ALL_KEYS, 0x1000, 0x2000)], files),
        below: [],
        mayExistBelow: false,
        keys: ALL_KEYS,
        cutoff: toLsn(0x1fff),
        retainedLsns: [toLsn(0x1008)],
        liveness: [10, 10].map((blocks) => makeLiveness([{ firstKey: block(0), blocks }])),
        target: targetOf(30_000),
      }));
      await world.crashDuring(effects + 1, moment, (workers) => workers.run('rewriteBottom', input, never));
      isDone = world.isAlive;
      await world.perform(async (files, workers) => {
        await world.verifyAll(files);
        const made = await workers.run('rewriteBottom', input, never);
        const read = await world.read(made.layers, files);
        expected ??= read;
        expect(read).toEqual(expected);
        expect(await world.verifyAll(files)).toHaveLength(1 + made.layers.length);
      });
    }
    expect(expected!.flatMap((layer) => layer.values)).toHaveLength(20);
    expect(effects).toBeGreaterThan(10);
  },
  60_000,
);
