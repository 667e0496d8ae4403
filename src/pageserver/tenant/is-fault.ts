import { VarveError } from '../../base/errors.ts';

/**
 * Whether it will be so again at the next try, and is a matter of one timeline or tenant: not that the store is not
 * available, that somebody has given up, or a bug.
 */
export function isFault(error: unknown): error is VarveError {
  return error instanceof VarveError && !['unavailable', 'cancelled', 'assertion'].includes(error.kind);
}
