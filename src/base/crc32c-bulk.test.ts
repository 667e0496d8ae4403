import { expect, test } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { crc32c } from './crc32c.ts';
import { crc32cBulk } from './crc32c-bulk.ts';

test('the check value of CRC-32C', () => {
  expect(crc32cBulk(new TextEncoder().encode('123456789'))).toBe(0xe306_9283);
  expect(crc32cBulk(new Uint8Array(32))).toBe(0x8a91_36aa);
});

test('the bulk CRC is the plain one, of any length, at any place, continued or not', () => {
  const random = new SeededRandom(5);
  const bytes = Uint8Array.from({ length: 400_000 }, () => random.below(256));
  const lengths = [...Array(70).keys(), 8191, 8192, 8193, 114_623, 114_624, 114_625, 300_000];
  for (const length of lengths) {
    const start = random.below(1000);
    const previous = random.chance(0.5) ? 0 : random.next();
    const end = start + length;
    expect(crc32cBulk(bytes, start, end, previous), `${length}`).toBe(crc32c(bytes, start, end, previous));
  }
});
