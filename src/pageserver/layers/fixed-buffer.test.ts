import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isAligned } from '../../io/aligned-buffer.ts';
import { copyBytes, FixedBuffer } from './fixed-buffer.ts';

const CAP = 1024;
const sourceOf = (lengthBytes: number, first = 0): Uint8Array =>
  Uint8Array.from({ length: lengthBytes }, (_, index) => first + index);

const actions = fc.array(
  fc.oneof(
    fc.record({ append: fc.integer({ min: 0, max: 400 }), first: fc.integer({ min: 0, max: 255 }) }),
    fc.constant('clear' as const),
  ),
  { maxLength: 40 },
);

test('BW-20: a buffer keeps its size and its memory, and over-filling it is a bug that changes nothing', () => {
  fc.assert(
    fc.property(actions, (steps) => {
      const buffer = new FixedBuffer(CAP);
      const { bytes } = buffer;
      const memory = bytes.buffer;
      let expected: number[] = [];
      for (const step of steps) {
        if (step === 'clear') {
          buffer.clear();
          expected = [];
        } else {
          const source = sourceOf(step.append + 10, step.first);
          if (expected.length + step.append > CAP) {
            expect(() => buffer.append(source, 5, 5 + step.append)).toThrow(/do not fit/);
          } else {
            buffer.append(source, 5, 5 + step.append);
            expected.push(...source.subarray(5, 5 + step.append));
          }
        }
        expect(buffer.lengthBytes).toBe(expected.length);
        expect(buffer.roomBytes).toBe(CAP - expected.length);
        expect([...bytes.subarray(0, buffer.lengthBytes)]).toEqual(expected);
      }
      expect(buffer.bytes).toBe(bytes);
      expect(bytes.buffer).toBe(memory);
      expect(bytes.length).toBe(CAP);
    }),
  );
});

test.each([
  [-1, 3],
  [3, 2],
  [0, 11],
])('BW-20: a range from %i to %i that is not in the source is a bug', (start, end) => {
  const buffer = new FixedBuffer(CAP);
  expect(() => buffer.append(sourceOf(10), start, end)).toThrow(/do not fit/);
  expect(buffer.lengthBytes).toBe(0);
});

test('BW-04: its memory is aligned', () => {
  for (const capBytes of [512, 4096, 65_536, 1_048_576]) {
    const { bytes } = new FixedBuffer(capBytes);
    expect(bytes.length).toBe(capBytes);
    expect([isAligned(bytes, 0), isAligned(bytes, 512), isAligned(bytes, 100)]).toEqual([true, true, false]);
  }
  expect(isAligned(new Uint8Array(4096), 0)).toBe(false);
});

test('short and long pieces are copied', () => {
  const source = sourceOf(300);
  for (const lengthBytes of [0, 1, 23, 24, 25, 200]) {
    const target = new Uint8Array(300);
    copyBytes(source, 7, lengthBytes, target, 11);
    const expected = new Uint8Array(300);
    expected.set(source.subarray(7, 7 + lengthBytes), 11);
    expect(target).toEqual(expected);
  }
});
