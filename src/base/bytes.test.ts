import { expect, test } from 'vitest';
import { copyBytes } from './bytes.ts';

test('copies just the bytes, of any length, from and to any offset', () => {
  const source = Uint8Array.from({ length: 600 }, (_, index) => (index * 37 + 11) & 0xff);
  const sourceView = new DataView(source.buffer);
  for (let length = 0; length < 300; length++) {
    for (const [from, to] of [
      [0, 0],
      [3, 10],
      [101, 5],
    ] as const) {
      const target = new Uint8Array(400).fill(0xee);
      const expected = target.slice();
      expected.set(source.subarray(from, from + length), to);
      copyBytes(target, new DataView(target.buffer), to, source, sourceView, from, length);
      if (Buffer.compare(target, expected) !== 0) expect.fail(`${length} bytes from ${from} to ${to}`);
    }
  }
});
