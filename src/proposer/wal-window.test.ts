import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AssertionError } from '../base/errors.ts';
import { toLsn } from '../base/lsn.ts';
import { WalWindow } from './wal-window.ts';

const START = 0x16b_5a50;
/** The byte at this LSN. */
const byteAt = (lsn: number): number => (lsn * 31 + Math.floor(lsn / 256)) & 0xff;
const walAt = (lsn: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => byteAt(lsn + index));

function read(window: WalWindow, begin: number, end: number): Uint8Array {
  return new Uint8Array(Buffer.concat(window.slices(toLsn(begin), toLsn(end))));
}

test('gives back what was appended, in whatever pieces, until it is let go of', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), length: fc.oneof(fc.nat(200), fc.nat(40_000)) }),
    fc.record({ kind: fc.constant('let go' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ kind: fc.constant('read' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const window = new WalWindow(toLsn(START));
      const kept: [number, Uint8Array][] = [];
      for (const next of steps) {
        const { heldFromLsn, endLsn, heldBytes } = window;
        if (next.kind === 'append') {
          window.append(walAt(endLsn, next.length));
          expect(window.endLsn).toBe(endLsn + next.length);
        } else if (next.kind === 'let go') {
          window.letGo(toLsn(heldFromLsn + Math.floor(heldBytes * next.part)));
          expect(window.heldFromLsn).toBe(heldFromLsn + Math.floor(heldBytes * next.part));
        } else {
          const begin = heldFromLsn + Math.floor(heldBytes * next.part);
          kept.push(
            ...window.slices(toLsn(begin), endLsn).map((slice, index, slices): [number, Uint8Array] => {
              const before = slices.slice(0, index).reduce((sum, { length }) => sum + length, 0);
              return [begin + before, slice];
            }),
          );
        }
        expect(read(window, window.heldFromLsn, window.endLsn)).toEqual(
          walAt(window.heldFromLsn, window.heldBytes),
        );
      }
      // What was handed out is what it was, whatever came after.
      for (const [lsn, slice] of kept) expect(slice).toEqual(walAt(lsn, slice.length));
    }),
    { numRuns: 50 },
  );
});

test('copies small pieces and parts of something large, and nothing else', () => {
  const window = new WalWindow(toLsn(0));
  const large = new Uint8Array(128 * 1024);
  window.append(large.subarray(25));
  expect(window.copiedBytes).toBe(0);
  expect(window.slices(toLsn(0), window.endLsn)[0]?.buffer).toBe(large.buffer);
  window.append(new Uint8Array(100));
  window.append(large.subarray(0, 20_000));
  expect(window.copiedBytes).toBe(20_100);
  // They lie in one chunk, and so leave in one piece.
  expect(window.slices(toLsn(large.length - 25), window.endLsn)).toHaveLength(1);
});

test('is full at its limit, and takes more all the same', () => {
  const window = new WalWindow(toLsn(100), 1000);
  window.append(new Uint8Array(999));
  expect(window.isFull).toBe(false);
  window.append(new Uint8Array(500));
  expect(window.isFull).toBe(true);
  window.letGo(toLsn(1600 - 1000));
  expect(window.isFull).toBe(false);
  window.letGo(window.endLsn);
  expect([window.heldFromLsn, window.heldBytes]).toEqual([1599, 0]);
  expect(window.slices(toLsn(1599), toLsn(1599))).toEqual([]);
});

test('gives no WAL that it does not have', () => {
  const window = new WalWindow(toLsn(100));
  window.append(new Uint8Array(100));
  window.letGo(toLsn(150));
  window.letGo(toLsn(120));
  expect(window.heldFromLsn).toBe(150);
  expect(() => window.slices(toLsn(149), toLsn(160))).toThrow(AssertionError);
  expect(() => window.slices(toLsn(150), toLsn(201))).toThrow(AssertionError);
  expect(() => window.letGo(toLsn(201))).toThrow(AssertionError);
});

test('holds little memory beside what it holds of WAL', () => {
  const window = new WalWindow(toLsn(0));
  for (let count = 0; count < 20_000; count++) {
    window.append(new Uint8Array(count % 7 === 0 ? 20_000 : 100));
    if (window.heldBytes > 1_000_000) window.letGo(toLsn(window.endLsn - 500_000));
  }
  const slices = window.slices(window.heldFromLsn, window.endLsn);
  const buffers = new Set(slices.map(({ buffer }) => buffer));
  const total = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(total).toBeLessThan(4_000_000);
});
