import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareKeys, type Key } from '../keyspace/key.ts';
import { compareStems, Stems, stemKey } from './stems.ts';

const u32 = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff }));
const byte = fc.oneof(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 255 }));
const fields = fc.tuple(byte, u32, u32, u32, byte);

test('each stem has one number, counted from 0, and each number its stem', () => {
  fc.assert(
    fc.property(fc.array(fields, { maxLength: 200 }), fields, (all, another) => {
      const stems = new Stems();
      const model = new Map<string, number>();
      for (const each of all) {
        const expected = model.get(each.join()) ?? model.size;
        expect(stems.find(...each)).toBe(model.get(each.join()) ?? -1);
        expect(stems.intern(...each)).toBe(expected);
        model.set(each.join(), expected);
      }
      expect(stems.find(...another)).toBe(model.get(another.join()) ?? -1);
      expect(stems.size).toBe(model.size);
      for (const [text, stem] of model) {
        const [kind, field2, field3, field4, field5] = text.split(',').map(Number);
        expect(stems.keyOf(stem, 7)).toEqual({ kind, field2, field3, field4, field5, index: 7 });
        expect([
          stems.kindOf(stem),
          stems.field2Of(stem),
          stems.field3Of(stem),
          stems.field4Of(stem),
          stems.field5Of(stem),
        ]).toEqual([kind, field2, field3, field4, field5]);
      }
    }),
  );
});

test('many stems are found again, and cost 32 to 48 bytes each', () => {
  const stems = new Stems();
  const count = 100_000;
  for (let number = 0; number < count; number++) stems.intern(0, 1663, number % 7, number, number % 4);
  for (let number = 0; number < count; number++) {
    expect(stems.find(0, 1663, number % 7, number, number % 4)).toBe(number);
  }
  expect(stems.size).toBe(count);
  expect(stems.bytes / count).toBeLessThan(48);
});

test('stems are ordered as their keys are', () => {
  fc.assert(
    fc.property(fields, fields, (left, right) => {
      const stems = new Stems();
      const [leftStem, rightStem] = [stems.intern(...left), stems.intern(...right)];
      const words = stems.copyWords();
      const keys = [leftStem, rightStem].map((stem) => stemKey(words, stem, 5)) as [Key, Key];
      expect(keys).toEqual([stems.keyOf(leftStem, 5), stems.keyOf(rightStem, 5)]);
      expect(Math.sign(compareStems(words, leftStem, rightStem))).toBe(Math.sign(compareKeys(...keys)));
    }),
  );
});

test('a field that does not fit in a key is refused, and stems that are not there are not shown', () => {
  const stems = new Stems();
  expect(stems.find(0, 0, 0, 0, 0)).toBe(-1);
  expect(() => stems.intern(256, 0, 0, 0, 0)).toThrow('no byte');
  expect(() => stems.intern(0, 0, 0, 0, -1)).toThrow('no byte');
  expect(() => stems.intern(0, -1, 0, 0, 0)).toThrow('32 bits');
  expect(() => stems.intern(0, 0, 2 ** 32, 0, 0)).toThrow('32 bits');
  expect(() => stems.intern(0, 0, 0, 0.5, 0)).toThrow('32 bits');
  expect(stems.size).toBe(0);
  expect(() => stems.keyOf(0, 0)).toThrow('no stem 0');
});
