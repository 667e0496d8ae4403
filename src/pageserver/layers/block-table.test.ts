import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BlockTable } from './block-table.ts';

const number = fc.oneof(
  fc.integer({ min: -5, max: 30 }),
  fc.integer({ min: -20, max: 20 }).map((position) => position * 8192),
  fc.maxSafeInteger(),
);

test('it is a Map', () => {
  const operation = fc.record({
    what: fc.constantFrom('set', 'set', 'set', 'delete', 'delete', 'get', 'clear'),
    number,
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
      const table = new BlockTable<{ content: number }>();
      const model = new Map<number, { content: number }>();
      for (const [content, { what, number }] of operations.entries()) {
        if (what === 'set') {
          table.set(number, { content });
          model.set(number, { content });
        } else if (what === 'delete') {
          table.delete(number);
          model.delete(number);
        } else if (what === 'clear' && content % 5 === 0) {
          table.clear();
          model.clear();
        }
        expect(table.get(number)).toEqual(model.get(number));
        expect(table.size).toBe(model.size);
      }
      for (const [number, thing] of model) expect(table.get(number)).toEqual(thing);
      const contents = [...table.values()].map(({ content }) => content);
      expect(contents.sort()).toEqual([...model.values()].map(({ content }) => content).sort());
    }),
  );
});
