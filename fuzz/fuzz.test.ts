import { expect, test } from 'vitest';
import { runFuzz } from './fuzz.ts';

test('ten thousand damaged records, pages, WAL pieces and files give a value or a typed error', {
  timeout: 120_000,
}, () => {
  const { targets } = runFuzz({ seed: 17, cases: 10_000 });
  for (const [name, { values, refused }] of Object.entries(targets)) {
    expect(values + refused, name).toBeGreaterThan(100);
    expect(refused, name).toBeGreaterThan(10);
  }
  expect(targets['redo']?.values).toBeGreaterThan(100);
});
