import { type ErrorKind, VarveError } from '../base/errors.ts';

const NESTED = 'one of this key and that of another object goes on where the other ends';

/**
 * What the files door refuses means for objects; what is missing here stays as it is. FILE_NOT_FOUND is what nobody
 * expected, such as a directory that was removed behind our back: see `isAbsence`.
 */
const MEANINGS: Readonly<Record<string, readonly [ErrorKind, string, string?]>> = {
  FILE_NOT_FOUND: ['unavailable', 'OBJECT_STORE', 'a file or directory of the store has gone'],
  FILE_EXISTS: ['bad-request', 'BAD_OBJECT_KEY', NESTED],
  IS_A_DIRECTORY: ['bad-request', 'BAD_OBJECT_KEY', NESTED],
  NOT_A_DIRECTORY: ['bad-request', 'BAD_OBJECT_KEY', NESTED],
  BAD_PATH: ['bad-request', 'BAD_OBJECT_KEY'],
  PERMISSION_DENIED: ['precondition', 'OBJECT_STORE_DENIED'],
  FILE_IO: ['unavailable', 'OBJECT_STORE'],
};

/** There is no file at a path, or no directory on the way to it, or something that is no object. */
const ABSENCES = ['FILE_NOT_FOUND', 'NOT_A_DIRECTORY', 'IS_A_DIRECTORY'];

export const isAbsence = (error: unknown): boolean =>
  error instanceof VarveError && ABSENCES.includes(error.code);

export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof VarveError && error.code === code;

/** Turns the files door's errors into those of the objects door. */
export async function translateFileErrors<Result>(action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    throw toObjectError(error);
  }
}

export function toObjectError(error: unknown): unknown {
  if (!(error instanceof VarveError)) return error;
  const meaning = MEANINGS[error.code];
  if (meaning === undefined) return error;
  const [kind, code, reason = error.reason] = meaning;
  return new VarveError(kind, code, reason, error.place, error);
}
