import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Lsn, toLsn } from '../base/lsn.ts';
import {
  checkTermHistory,
  highestCommonPoint,
  historyUpTo,
  lastLogTerm,
  type TermHistory,
} from './term-history.ts';

const history = (...entries: [number, number][]): TermHistory =>
  entries.map(([term, lsn]) => ({ term, lsn: toLsn(lsn) }));
const lsn = (value: number): Lsn => toLsn(value);

describe('a term history', () => {
  test('has rising terms and never falling positions', () => {
    expect(() => checkTermHistory(history([1, 10], [3, 10], [4, 30]))).not.toThrow();
    expect(() => checkTermHistory(history([1, 10], [1, 20]))).toThrow(/term 1 stands after term 1/);
    expect(() => checkTermHistory(history([1, 10], [2, 9]))).toThrow(/LSN 0\/9/);
  });

  test('vouches only for what has been flushed', () => {
    const full = history([1, 10], [3, 20], [4, 30]);
    expect(historyUpTo(full, lsn(20))).toEqual(full.slice(0, 2));
    expect(historyUpTo(full, lsn(9))).toEqual([]);
    expect(historyUpTo(full, lsn(99))).toEqual(full);
    expect([9, 10, 19, 20, 30].map((flush) => lastLogTerm(full, lsn(flush)))).toEqual([0, 1, 1, 3, 4]);
  });
});

describe('the highest common point', () => {
  test.each<[string, TermHistory, TermHistory, number, [number, number] | undefined]>([
    ['nothing in common', history([2, 10]), history([1, 10]), 50, undefined],
    ['an empty acceptor', history([1, 10]), [], 0, undefined],
    ['the same last term', history([1, 10], [2, 20]), history([1, 10], [2, 20]), 25, [2, 25]],
    ['the acceptor stopped earlier', history([1, 10], [2, 20]), history([1, 10]), 15, [1, 15]],
    [
      'the acceptor went on in a term that lost',
      history([1, 10], [3, 20]),
      history([1, 10], [2, 18]),
      40,
      [1, 18],
    ],
    [
      'the acceptor wrote beyond the end of the term',
      history([1, 10], [3, 20]),
      history([1, 10]),
      40,
      [1, 20],
    ],
  ])('%s', (_name, proposer, acceptor, flush, expected) => {
    const point = highestCommonPoint(proposer, acceptor, lsn(flush));
    expect(point).toEqual(expected === undefined ? undefined : { term: expected[0], lsn: expected[1] });
  });

  test('refuses two logs that begin a term at different places', () => {
    expect(() => highestCommonPoint(history([1, 10]), history([1, 11]), lsn(20))).toThrow(
      /term 1 at different/,
    );
  });

  test('is where two logs really part, when both are made from one tree of writes', () => {
    // A log is a string with the term of each byte; terms start where the log of some earlier term was cut.
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 8 }), fc.boolean()), {
          minLength: 1,
          maxLength: 8,
        }),
        (steps) => {
          let left: number[] = [];
          let right: number[] = [];
          const starts = new Map<number, number>();
          for (const [index, [cut, length, toLeft]] of steps.entries()) {
            const term = index + 1;
            const base = (toLeft ? left : right).slice(0, 20 - cut);
            starts.set(term, base.length);
            const written = [...base, ...new Array<number>(length).fill(term)];
            if (toLeft) left = written;
            else right = written;
          }
          const historyOf = (log: readonly number[]): TermHistory =>
            [...new Set(log)].map((term) => ({ term, lsn: toLsn(starts.get(term) as number) }));
          const point = highestCommonPoint(historyOf(left), historyOf(right), toLsn(right.length));
          let common = 0;
          while (common < Math.min(left.length, right.length) && left[common] === right[common]) common++;
          // The proposer's last term is not cut at what it has of it: an acceptor may be ahead of its log there.
          if (common === left.length && point !== undefined) expect(point.lsn).toBeGreaterThanOrEqual(common);
          else expect(point?.lsn ?? 0).toBe(common);
        },
      ),
      { numRuns: 500 },
    );
  });
});
