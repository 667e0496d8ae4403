import { describe, expect, test } from 'vitest';
import { AssertionError, CorruptionError, type ErrorKind, VarveError } from '../base/errors.ts';
import { EXIT_BY_KIND } from './exit-codes.ts';
import { describeFailure } from './failure.ts';

const parse = (error: unknown): Record<string, unknown> =>
  (JSON.parse(describeFailure(error, true).text) as { error: Record<string, unknown> }).error;

describe('an error of a known kind', () => {
  test.each(Object.entries(EXIT_BY_KIND))('%s ends with %i', (kind, exitCode) => {
    const error = new VarveError(kind as ErrorKind, 'A_CODE', 'it is so');
    expect(describeFailure(error, true).exitCode).toBe(exitCode);
    expect(describeFailure(error, false).exitCode).toBe(exitCode);
    expect(describeFailure(error, false).text).toMatch(/^varve: it is so\n/);
    expect(parse(error)).toMatchObject({ kind, code: 'A_CODE', message: 'it is so' });
  });

  test('its place is in the object, the LSN as PostgreSQL writes it', () => {
    const error = new CorruptionError('BAD_CRC', 'the CRC is wrong', {
      file: 'a/b',
      offset: 8,
      lsn: 0x1_0000_00ff,
    });
    expect(parse(error)).toEqual({
      kind: 'corruption',
      code: 'BAD_CRC',
      message: 'the CRC is wrong (file a/b, offset 8, LSN 1/FF)',
      place: { file: 'a/b', offset: 8, lsn: '1/FF' },
    });
  });

  test('one without a place has none in the object', () => {
    expect(parse(new CorruptionError('BAD_CRC', 'the CRC is wrong'))).not.toHaveProperty('place');
  });
});

describe('a bug', () => {
  test.each([new AssertionError('a is b'), new TypeError('a is not a function'), 'a string'])(
    '%s',
    (error) => {
      const { exitCode, text } = describeFailure(error, false);
      expect(exitCode).toBe(70);
      expect(text).toContain('This is a bug in Varve');
      expect(parse(error)['kind']).toBe('assertion');
    },
  );

  test('shows where it is', () => {
    expect(describeFailure(new TypeError('a'), false).text).toContain('failure.test.ts');
    expect(parse(new TypeError('a'))['stack']).toContain('failure.test.ts');
  });
});
