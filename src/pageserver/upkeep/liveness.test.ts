import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareKeys, KEY_BYTES, type Key, writeKey } from '../keyspace/key.ts';
import { databaseKey, relationBlockKey, slruBlockKey } from '../keyspace/keys.ts';
import { joinPages, LivenessSweep, makeLiveness } from './liveness.ts';

const relation = (number: number) => ({ tablespace: 1663, database: 5, relation: number });

function sweep(liveness: LivenessSweep, keys: readonly Key[]): boolean[] {
  const view = new DataView(new ArrayBuffer(KEY_BYTES + 1));
  return keys.map((key) => {
    writeKey(view, 1, key);
    return liveness.isAlive(view, 1);
  });
}

test('pages below the size of their relation are alive, and no others', () => {
  const sizes = fc.uniqueArray(fc.record({ number: fc.nat(5), blocks: fc.nat(4) }), {
    selector: ({ number }) => number,
  });
  const asked = fc.array(fc.record({ number: fc.nat(5), block: fc.nat(5) }));
  fc.assert(
    fc.property(sizes, asked, (things, pages) => {
      const alive = things
        .sort((left, right) => left.number - right.number)
        .map(({ number, blocks }) => ({ firstKey: relationBlockKey(relation(number), 0, 0), blocks }));
      const keys = pages
        .map(({ number, block }) => relationBlockKey(relation(number), 0, block))
        .sort(compareKeys);
      const expected = keys.map(
        (key) => key.index < (things.find(({ number }) => number === key.field4)?.blocks ?? 0),
      );
      expect(sweep(new LivenessSweep(makeLiveness(alive)), keys)).toEqual(expected);
    }),
  );
});

test('forks and SLRU segments count for themselves, and what is no page is always alive', () => {
  const liveness = makeLiveness([
    { firstKey: relationBlockKey(relation(1), 2, 0), blocks: 1 },
    { firstKey: slruBlockKey('clog', 32), blocks: 2 },
  ]);
  const keys = [
    relationBlockKey(relation(1), 0, 0),
    relationBlockKey(relation(1), 2, 0),
    slruBlockKey('clog', 31),
    slruBlockKey('clog', 33),
    slruBlockKey('clog', 34),
    databaseKey(1663, 5),
  ];
  expect(sweep(new LivenessSweep(liveness), keys)).toEqual([false, true, false, true, false, true]);
});

test('what is not in the order of keys is a bug', () => {
  const firstKey = relationBlockKey(relation(1), 0, 0);
  expect(() =>
    makeLiveness([
      { firstKey, blocks: 1 },
      { firstKey, blocks: 1 },
    ]),
  ).toThrow(/order of keys/);
});

test('of what existed at several LSNs the longest counts', () => {
  const of = (number: number, blocks: number) => ({
    firstKey: relationBlockKey(relation(number), 0, 0),
    blocks,
  });
  expect(joinPages([of(1, 3), of(2, 1), of(1, 5), of(3, 2), of(1, 4)])).toEqual([
    of(1, 5),
    of(2, 1),
    of(3, 2),
  ]);
});
