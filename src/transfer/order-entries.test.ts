import { expect, test } from 'vitest';
import { orderEntries } from './order-entries.ts';
import type { SchemaEntry } from './schema-entry.ts';

const entry = (key: string, kind: SchemaEntry['kind'], ...after: string[]): SchemaEntry => ({
  key,
  kind,
  name: key,
  schema: 'public',
  statements: [],
  after,
});
const order = (...entries: SchemaEntry[]): string[] =>
  orderEntries(entries, ({ after }) => after ?? []).map(({ key }) => key);

test('by kind, unless something is needed', () => {
  const view = entry('view', 'view', 'key');
  expect(order(entry('index', 'index'), view, entry('key', 'key', 'table'), entry('table', 'table'))).toEqual(
    ['table', 'index', 'key', 'view'],
  );
  expect(order(entry('b', 'table', 'elsewhere'), entry('a', 'table', 'a'))).toEqual(['b', 'a']);
});

test('a loop is refused by its names', () => {
  const loop = [entry('a', 'view', 'b'), entry('b', 'view', 'a'), entry('c', 'view')] as const;
  expect(() => order(...loop)).toThrow(/view a, view b$/);
});
