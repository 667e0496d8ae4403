import { expect, test } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { checkObjectKey, checkObjectKeyPrefix, compareObjectKeys, isObjectKey } from './object-key.ts';

const BAD_NAMES = ['', '.', '..', 'x'.repeat(256), 'é'.repeat(128)];
const BAD_TEXTS = ['a\u0000', 'a\nb', 'a\u007f', '\ud800', 'a\udc00b', '\uffff', `${'abc/'.repeat(256)}d`];

test('a key is made of names', () => {
  for (const key of [
    'a',
    'a/b',
    '...',
    '.a',
    'a.',
    ' ',
    'a/.temporary',
    '.temporarily',
    'é'.repeat(127),
    '💾',
  ]) {
    expect(isObjectKey(key), key).toBe(true);
    expect(() => checkObjectKeyPrefix(key)).not.toThrow();
    expect(() => checkObjectKeyPrefix(`${key}/`)).not.toThrow();
  }
  expect(() => checkObjectKeyPrefix('')).not.toThrow();
});

test('what is no key anywhere is refused', () => {
  const keys = BAD_NAMES.flatMap((name) => [name, `a/${name}`, `${name}/a`, `a/${name}/b`]);
  for (const key of [...keys, ...BAD_TEXTS, '.temporary', '.temporary/a']) {
    expect(() => checkObjectKey(key), key).toThrow(expect.objectContaining({ code: 'BAD_OBJECT_KEY' }));
    expect(isObjectKey(key)).toBe(false);
  }
  for (const prefix of [...BAD_NAMES.map((name) => `${name}/a`), ...BAD_TEXTS, '.temporary/']) {
    expect(() => checkObjectKeyPrefix(prefix), prefix).toThrow(
      expect.objectContaining({ code: 'BAD_OBJECT_KEY' }),
    );
  }
});

test('keys are ordered by their UTF-8 bytes', () => {
  const random = new SeededRandom(7);
  const alphabet = ['a', 'b', '/', '.', '~', 'é', '\ud7ff', '\ue000', '\uff5e', '𐀀', '💾', '\u{10ffff}'];
  for (let i = 0; i < 20_000; i++) {
    const [left, right] = [0, 1].map(() =>
      Array.from({ length: random.below(5) }, () => random.pick(alphabet)).join(''),
    );
    const expected = Buffer.compare(Buffer.from(left ?? ''), Buffer.from(right ?? ''));
    expect(Math.sign(compareObjectKeys(left ?? '', right ?? ''))).toBe(expected);
  }
});
