import { expect, test } from 'vitest';
import { nodeRandom } from './random.ts';

test('fractions are in [0, 1) and spread over it', () => {
  const tenths = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    const fraction = nodeRandom.fraction();
    expect(fraction).toBeGreaterThanOrEqual(0);
    expect(fraction).toBeLessThan(1);
    tenths.add(Math.floor(fraction * 10));
  }
  expect(tenths.size).toBe(10);
});

test('bytes are as many as asked for, in memory of their own, and never the same', () => {
  const first = nodeRandom.bytes(16);
  expect(first).toHaveLength(16);
  expect(first.buffer.byteLength).toBe(16);
  expect(nodeRandom.bytes(16)).not.toEqual(first);
  expect(nodeRandom.bytes(0)).toHaveLength(0);
});
