import fc from 'fast-check';
import { expect, test } from 'vitest';
import { unpackByItself, zstdPack, zstdUnpack } from './zstd.ts';

const compressible = fc
  .tuple(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 60 }))
  .map(([bytes, times]) =>
    Uint8Array.from({ length: bytes.length * times }, (_, at) => bytes[at % bytes.length] ?? 0),
  );

test('what was packed comes back, and in memory of its own', () => {
  fc.assert(
    fc.property(compressible, (raw) => {
      const packed = zstdPack(raw);
      const first = zstdUnpack(packed, raw.length);
      const second = zstdUnpack(packed, raw.length);
      expect(Buffer.compare(first, raw)).toBe(0);
      expect(Buffer.compare(unpackByItself(packed, raw.length), raw)).toBe(0);
      expect(second.buffer).not.toBe(first.buffer);
      expect(second.buffer.byteLength).toBeLessThanOrEqual(raw.length + 1);
    }),
  );
});

test('a frame of another length, cut off or damaged is refused, and the next one is unpacked all the same', () => {
  const raw = Uint8Array.from({ length: 8192 }, (_, at) => (at * 7) % 50);
  const packed = zstdPack(raw);
  for (const unpack of [zstdUnpack, unpackByItself]) {
    expect(() => unpack(packed, raw.length - 1)).toThrow();
    expect(() => unpack(packed, raw.length + 1)).toThrow();
    expect(() => unpack(packed.subarray(0, packed.length - 1), raw.length)).toThrow();
    expect(() => unpack(new Uint8Array(0), raw.length)).toThrow();
    for (let at = 0; at < packed.length; at++) {
      const damaged = new Uint8Array(packed);
      damaged[at] = (damaged[at] as number) ^ 0x41;
      try {
        expect(unpack(damaged, raw.length)).toHaveLength(raw.length);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }
    expect(Buffer.compare(unpack(packed, raw.length), raw)).toBe(0);
  }
});
