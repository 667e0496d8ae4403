import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChainHeads } from './chain-heads.ts';

const bits = fc.integer({ min: 0, max: 32 });
const index = fc.tuple(bits, fc.integer({ min: -2, max: 2 })).map(([power, near]) => {
  return Math.min(Math.max(0, 2 ** power + near), 0xffff_ffff);
});
const stem = fc.oneof(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 300 }));

test('heads are found, exchanged and listed in order, whatever the indexes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(stem, index), { maxLength: 300 }),
      fc.array(fc.tuple(stem, index), { maxLength: 50 }),
      (puts, looks) => {
        const heads = new ChainHeads();
        const model = new Map<number, Map<number, number>>();
        for (const [number, [stem, index]] of puts.entries()) {
          const ofStem = model.get(stem) ?? new Map<number, number>();
          model.set(stem, ofStem);
          expect(heads.exchange(stem, index, number + 1)).toBe(ofStem.get(index) ?? 0);
          ofStem.set(index, number + 1);
        }
        const shared = new ChainHeads(structuredClone(heads.share()));
        for (const [stem, index] of [...puts, ...looks]) {
          expect(heads.find(stem, index)).toBe(model.get(stem)?.get(index) ?? 0);
          const indexes = [...(model.get(stem)?.keys() ?? [])].sort((left, right) => left - right);
          const next = indexes.find((other) => other >= index) ?? -1;
          expect(heads.nextIndex(stem, index)).toBe(next);
          expect(shared.nextIndex(stem, index)).toBe(next);
          expect(shared.find(stem, index)).toBe(heads.find(stem, index));
          expect(heads.hasStem(stem)).toBe(model.has(stem));
        }
      },
    ),
  );
});

test('dense relations, single blocks and far indexes are all cheap', () => {
  const dense = new ChainHeads();
  const count = 300_000;
  for (let index = 0; index < count; index++) dense.exchange(0, index, 1);
  expect(dense.bytes / count).toBeLessThan(4.5);
  const single = new ChainHeads();
  for (let stem = 0; stem < count; stem++) single.exchange(stem, 0, 1);
  expect(single.bytes / count).toBeLessThan(10);
  const far = new ChainHeads();
  const before = far.bytes;
  far.exchange(0, 0xffff_ffff, 1);
  expect(far.bytes - before).toBeLessThan(1600);
});
