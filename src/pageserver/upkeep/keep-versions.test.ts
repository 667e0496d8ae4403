import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Lsn } from '../../base/lsn.ts';
import { type KeyVersion, keepVersions } from './keep-versions.ts';

/** `=10 +20 +30`: a base at 10, records at 20 and 30. */
function parse(text: string): KeyVersion[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => ({ lsn: Number(word.slice(1)) as Lsn, isBase: word.startsWith('=') }));
}

/** What is left: `!20` is an image in the stead of the version at 20. */
function keep(text: string, cutoff: number, retained: readonly number[] = []): string {
  const versions = parse(text);
  const { kept, imagesAt } = keepVersions(versions, {
    cutoff: cutoff as Lsn,
    retainedLsns: retained as Lsn[],
  });
  const words = kept.map((index) => {
    const { lsn, isBase } = versions[index] as KeyVersion;
    return { lsn, word: `${isBase ? '=' : '+'}${lsn}` };
  });
  for (const lsn of imagesAt) words.push({ lsn, word: `!${lsn}` });
  words.sort((left, right) => left.lsn - right.lsn);
  return words.map((each) => each.word).join(' ');
}

describe('what is kept of the history of a key', () => {
  test('all above the cutoff, and an image for the cutoff', () => {
    expect(keep('=10 +20 +30 +40 +50', 35)).toBe('!30 +40 +50');
    expect(keep('=10 +20 +30 +40 +50', 30)).toBe('!30 +40 +50');
    expect(keep('=10 +20 +30 +40 +50', 29)).toBe('!20 +30 +40 +50');
  });

  test('a base is as good as an image', () => {
    expect(keep('=10 +20 =30 +40', 35)).toBe('=30 +40');
    expect(keep('=10', 35)).toBe('=10');
  });

  test('an image for each retained LSN that something happened before', () => {
    expect(keep('=10 +20 +30 +40 +50 +60', 55, [15, 25, 45])).toBe('=10 !20 !40 !50 +60');
    expect(keep('=10 +40 +60', 55, [15, 25, 45])).toBe('=10 !40 +60');
    expect(keep('=10 +60', 55, [15, 25, 45])).toBe('=10 +60');
  });

  test('nothing for what lies below all versions', () => {
    expect(keep('+40 +60', 55, [15, 25])).toBe('!40 +60');
    expect(keep('+60 +70', 55, [15])).toBe('+60 +70');
    expect(keep('', 55, [15])).toBe('');
  });

  test('several of one LSN: the last one counts', () => {
    expect(keep('=10 +20 +20 +30 +30', 25)).toBe('!20 +30 +30');
    expect(keep('+20 =20', 25)).toBe('=20');
    expect(keep('=20 +20', 25)).toBe('!20');
  });

  test('what is not in order is a bug', () => {
    expect(() => keep('+20 +10', 25)).toThrow('not ascending');
    expect(() => keep('+30 +40 +35', 25)).toThrow('not ascending');
    expect(() => keep('+10', 25, [25])).toThrow('not ascending');
    expect(() => keep('+10', 25, [15, 15])).toThrow('not ascending');
  });

  test('what the key is at all promised LSNs stays, and no more is kept than one a promise', () => {
    const lsns = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 30 });
    fc.assert(
      fc.property(lsns, fc.nat(60), fc.uniqueArray(fc.nat(60), { maxLength: 4 }), (all, cutoff, points) => {
        const versions = all
          .sort((left, right) => left - right)
          .map((lsn) => ({ lsn: lsn as Lsn, isBase: lsn % 7 === 0 }));
        const retainedLsns = points
          .filter((lsn) => lsn < cutoff)
          .sort((left, right) => left - right) as Lsn[];
        const { kept, imagesAt } = keepVersions(versions, { cutoff: cutoff as Lsn, retainedLsns });
        const state = (
          below: readonly { lsn: number; isBase: boolean; text?: string }[],
          lsn: number,
        ): string => {
          const seen = below.filter((version) => version.lsn <= lsn);
          const from = seen.findLastIndex((version) => version.isBase);
          return seen
            .slice(Math.max(0, from))
            .map((version) => version.text ?? ` ${version.lsn}`)
            .join('');
        };
        const after = [
          ...kept.map((index) => versions[index] as KeyVersion),
          ...imagesAt.map((lsn) => ({ lsn, isBase: true, text: state(versions, lsn) })),
        ].sort((left, right) => left.lsn - right.lsn);
        const promised = [
          ...retainedLsns,
          ...Array.from({ length: 65 - cutoff }, (_, index) => cutoff + index),
        ];
        for (const lsn of promised) expect(state(after, lsn)).toBe(state(versions, lsn));
        expect(after.filter(({ lsn }) => lsn <= cutoff).length).toBeLessThanOrEqual(retainedLsns.length + 1);
      }),
      { numRuns: 300 },
    );
  });
});
