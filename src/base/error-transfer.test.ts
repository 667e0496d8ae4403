import { expect, test } from 'vitest';
import { fromTransferredError, toTransferredError } from './error-transfer.ts';
import {
  AssertionError,
  BadRequestError,
  CorruptionError,
  UnknownRecordError,
  VarveError,
} from './errors.ts';

const pass = (error: unknown): Error => fromTransferredError(structuredClone(toTransferredError(error)));

test('an error of each kind arrives as it was, with its causes', () => {
  const inner = new TypeError('deep down');
  const errors = [
    new CorruptionError('DAMAGED', 'it is damaged', { file: '/a', offset: 3 }, inner),
    new BadRequestError('BAD', 'it is wrong', { lsn: 0x1_0000_0000 }),
    new AssertionError('a bug', { page: '1/2/3' }),
    new VarveError(
      'fenced',
      'FENCED',
      'somebody newer is there',
      {},
      new CorruptionError('X', 'y', {}, inner),
    ),
    new UnknownRecordError(77, 0x10, 99),
  ];
  for (const error of errors) {
    const arrived = pass(error);
    expect(arrived).toBeInstanceOf(VarveError);
    const { name, message, kind, code, reason, place, stack } = error;
    expect(arrived).toMatchObject({ name, message, kind, code, reason, place, stack });
    expect(toTransferredError(arrived)).toEqual(toTransferredError(error));
  }
  expect(pass(errors[0])).toBeInstanceOf(CorruptionError);
  expect(pass(errors[1])).toBeInstanceOf(BadRequestError);
  expect(pass(errors[2])).toBeInstanceOf(AssertionError);
});

test('what is no error of ours stays none, and a circle of causes ends', () => {
  const bug = new TypeError('x is not a function');
  expect(pass(bug)).toMatchObject({ name: 'TypeError', message: 'x is not a function', stack: bug.stack });
  expect(pass(bug)).not.toBeInstanceOf(VarveError);
  expect(pass('a string')).toMatchObject({ message: 'a string' });
  const circle = new Error('round');
  circle.cause = circle;
  let depth = 0;
  for (let error: unknown = pass(circle); error instanceof Error; error = error.cause) depth++;
  expect(depth).toBe(9);
});
