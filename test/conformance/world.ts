import { expect } from 'vitest';
import { type ErrorKind, VarveError } from '../../src/base/errors.ts';

/**
 * One side of a door, made for one test. Real and simulated sides differ in how time passes: a real one only awaits
 * the body, a simulated one moves its world on until the body has ended (and fails when it never can).
 */
export interface World extends AsyncDisposable {
  run<Result>(body: () => Promise<Result>): Promise<Result>;
}

/** The real world passes without help. */
export const runForReal = <Result>(body: () => Promise<Result>): Promise<Result> => body();

/** Expects a VarveError, and returns it for a closer look. */
export async function expectRefusal(
  action: Promise<unknown>,
  kind: ErrorKind,
  code: string,
): Promise<VarveError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return expectError(error, kind, code);
}

export function expectError(error: unknown, kind: ErrorKind, code: string): VarveError {
  if (!(error instanceof VarveError)) throw new Error(`no VarveError: ${String(error)}`, { cause: error });
  expect([error.kind, error.code]).toEqual([kind, code]);
  return error;
}
