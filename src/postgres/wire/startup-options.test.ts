import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatOptions, parseServerOptions, parseServiceOptions, splitOptions } from './startup-options.ts';
import { CommandError } from './wire-error.ts';

test.each([
  ['', []],
  [' \t\n ', []],
  ['-c a=b', ['-c', 'a=b']],
  ['  -c\va=b\f ', ['-c', 'a=b']],
  ['-c a=b\\ c', ['-c', 'a=b c']],
  ['a\\\\b \\\\', ['a\\b', '\\']],
  ['\\-c', ['-c']],
  ['a\\', ['a']],
  ['\\', ['']],
  ['a\u00a0b', ['a\u00a0b']],
])('%j is split as PostgreSQL splits it', (options, words) => {
  expect(splitOptions(options)).toEqual(words);
});

describe('as a server reads them', () => {
  test('all three forms', () => {
    expect(parseServerOptions('-c a=1 -cb=2 --c-d=3 -c e= -c f=g=h -c a=4')).toEqual(
      new Map([
        ['a', '4'],
        ['b', '2'],
        ['c_d', '3'],
        ['e', ''],
        ['f', 'g=h'],
      ]),
    );
  });

  test.each(['-c', '-c a', '--', '--a', 'a=b', '-d 3', '-c =b', '-B100'])('%j is refused', (options) => {
    expect(() => parseServerOptions(options)).toThrow(CommandError);
  });
});

test('as a safekeeper reads them: one -c for several words', () => {
  expect(parseServiceOptions('-c timeline_id=ab tenant_id=cd -cshard_count=2 -c x --y')).toEqual(
    new Map([
      ['timeline_id', 'ab'],
      ['tenant_id', 'cd'],
      ['shard_count', '2'],
    ]),
  );
  expect(parseServiceOptions('protocol={"type":"vanilla"} =x')).toEqual(
    new Map([['protocol', '{"type":"vanilla"}']]),
  );
});

test('what is written is read back', () => {
  const settings = fc
    .array(fc.tuple(fc.stringMatching(/^[a-z_][a-z0-9_.]*$/), fc.string({ unit: 'binary' })))
    .map((entries) => new Map(entries));
  fc.assert(
    fc.property(settings, (expected) => {
      const options = formatOptions(expected);
      expect(parseServerOptions(options)).toEqual(expected);
      expect(parseServiceOptions(options)).toEqual(expected);
    }),
  );
  expect(() => formatOptions([['a b', 'c']])).toThrow(CommandError);
});

test('any text is split; a server takes it or refuses it by name', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(' ', '\\', '-', 'c', '=', 'a', '\t') }), (options) => {
      splitOptions(options);
      parseServiceOptions(options);
      try {
        parseServerOptions(options);
      } catch (error) {
        expect(error).toBeInstanceOf(CommandError);
      }
    }),
  );
});
