import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KEY_BYTES, KEY_MIN, type Key, writeKey } from '../keyspace/key.ts';
import { isInRange } from '../keyspace/key-range.ts';
import { ImageCover } from './image-cover.ts';

const keyOf = (index: number): Key => ({ ...KEY_MIN, index });

test('for each key the LSNs of the images over it, ascending, once each', () => {
  const image = fc
    .record({ start: fc.nat(9), length: fc.integer({ min: 1, max: 5 }), lsn: fc.nat(5) })
    .map(({ start, length, lsn }) => ({ keys: { start: keyOf(start), end: keyOf(start + length) }, lsn }));
  fc.assert(
    fc.property(fc.array(image), fc.uniqueArray(fc.nat(16)), (images, asked) => {
      const cover = new ImageCover(images);
      const view = new DataView(new ArrayBuffer(KEY_BYTES + 2));
      for (const index of asked.sort((left, right) => left - right)) {
        writeKey(view, 2, keyOf(index));
        const lsns = images.filter(({ keys }) => isInRange(keys, keyOf(index))).map(({ lsn }) => lsn);
        expect(cover.lsnsOf(view, 2)).toEqual([...new Set(lsns)].sort());
      }
    }),
  );
});
