import { BadRequestError, type ErrorKind, VarveError } from '../../base/errors.ts';

/** What the operating system's refusals mean to whoever asked. All others are FILE_IO. */
const REFUSALS: Readonly<Record<string, readonly [ErrorKind, string, string]>> = {
  ENOENT: ['not-found', 'FILE_NOT_FOUND', 'there is no such file or directory'],
  ENOTDIR: ['bad-request', 'NOT_A_DIRECTORY', 'a part of the path is not a directory'],
  EISDIR: ['bad-request', 'IS_A_DIRECTORY', 'this is a directory'],
  ENAMETOOLONG: ['bad-request', 'BAD_PATH', 'the path is too long'],
  ELOOP: ['bad-request', 'BAD_PATH', 'symbolic links lead in a circle'],
  ENXIO: ['bad-request', 'BAD_PATH', 'this is not a regular file'],
  EXDEV: ['bad-request', 'BAD_PATH', 'the new name is in another file system'],
  EEXIST: ['conflict', 'FILE_EXISTS', 'this exists already'],
  ENOTEMPTY: ['conflict', 'FILE_EXISTS', 'there is a directory already, and it is not empty'],
  EACCES: ['precondition', 'PERMISSION_DENIED', 'the permission for this is missing'],
  EPERM: ['precondition', 'PERMISSION_DENIED', 'the permission for this is missing'],
  EROFS: ['precondition', 'PERMISSION_DENIED', 'the file system is read-only'],
};

/**
 * The door's error for what Node.js reports. A failed system call has a code that begins with E; anything else is a
 * bug or is ours, and stays what it is.
 */
export function toFileError(path: string, error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error)) return error;
  const code = String(error.code);
  if (!/^E[A-Z0-9]+$/.test(code)) return error;
  const [kind, stable, reason] = REFUSALS[code] ?? ['unavailable', 'FILE_IO', error.message];
  return new VarveError(kind, stable, reason, { file: path }, error);
}

/**
 * What is no Unicode has no UTF-8, and would be another path for the operating system.
 * @throws VarveError ‘bad-request’ / BAD_PATH
 */
export function checkPath(path: string): void {
  if (!path.isWellFormed()) throw new BadRequestError('BAD_PATH', 'a path is not Unicode', { file: path });
}

/** As translate, of what does not wait. */
export function translateNow<Result>(path: string, action: () => Result): Result {
  checkPath(path);
  try {
    return action();
  } catch (error) {
    throw toFileError(path, error);
  }
}

/** Turns what Node.js throws into the door's errors. */
export async function translate<Result>(path: string, action: () => Promise<Result>): Promise<Result> {
  checkPath(path);
  try {
    return await action();
  } catch (error) {
    throw toFileError(path, error);
  }
}
