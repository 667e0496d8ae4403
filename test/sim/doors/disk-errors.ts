import { type ErrorKind, VarveError } from '../../../src/base/errors.ts';

const REFUSALS = {
  'not-found': ['not-found', 'FILE_NOT_FOUND', 'there is no such file or directory'],
  exists: ['conflict', 'FILE_EXISTS', 'this exists already'],
  directory: ['bad-request', 'IS_A_DIRECTORY', 'this is a directory'],
  'no-directory': ['bad-request', 'NOT_A_DIRECTORY', 'a part of the path is not a directory'],
  'no-permission': ['precondition', 'PERMISSION_DENIED', 'the permission for this is missing'],
  'bad-path': ['bad-request', 'BAD_PATH', 'a simulated disk knows no such paths'],
  full: ['unavailable', 'FILE_IO', 'no space is left on the simulated disk'],
  broken: ['unavailable', 'FILE_IO', 'the simulated disk fails'],
} as const satisfies Record<string, readonly [ErrorKind, string, string]>;

/** The files door's errors, as src/io/files.ts lists them. */
export function diskError(refusal: keyof typeof REFUSALS, path: string): VarveError {
  const [kind, code, reason] = REFUSALS[refusal];
  return new VarveError(kind, code, reason, { file: path });
}
