import { VarveError } from '../../base/errors.ts';
import type { OperationError } from '../../contracts/control-api.ts';

/** What becomes of an operation of which an attempt has failed. */
export type AfterFailure =
  /** Another attempt, after a while. */
  | 'retry'
  /** What it has done is undone, and it has failed. */
  | 'undo'
  /** The control plane ends: the next one goes on with it. */
  | 'leave';

export interface FailedAttempt {
  readonly error: unknown;
  /** The control plane is closing. */
  readonly isEnding: boolean;
  /** Whether it can be undone. What cannot be is tried for ever: a deletion, say. */
  readonly isUndoable: boolean;
  /** Whether what passes is waited for, too. */
  readonly isRetried: boolean;
}

/**
 * Kinds of errors that may go away without anybody changing the request. ‘fenced’: another generation was given meanwhile, and
 * the next attempt takes that one.
 */
const PASSING = new Set(['unavailable', 'cancelled', 'fenced']);
/** Conflicts with something that is under way. */
const PASSING_CODES = new Set([
  'TENANT_BUSY',
  'TIMELINE_BUSY',
  'TIMELINE_BEING_CREATED',
  'TENANT_NOT_FOUND',
  'GENERATION_TOO_LOW',
  'GENERATION_SPENT',
]);

export function afterFailure({ error, isEnding, isUndoable, isRetried }: FailedAttempt): AfterFailure {
  if (isEnding) return 'leave';
  if (!isUndoable) return 'retry';
  if (!isRetried || !(error instanceof VarveError)) return 'undo';
  return PASSING.has(error.kind) || PASSING_CODES.has(error.code) ? 'retry' : 'undo';
}

/** What is kept of an error, and told to whoever asks. Of a bug nothing but that it is one: the log has the rest. */
export function describeFailure(error: unknown): OperationError {
  if (error instanceof VarveError && error.kind !== 'assertion') {
    return { kind: error.kind, code: error.code, message: error.message };
  }
  return { kind: 'assertion', code: 'ASSERTION', message: 'internal error: this is a bug, see the log' };
}

/** The error that was kept, to be thrown again. */
export function toError({ kind, code, message }: OperationError): VarveError {
  return new VarveError(kind as VarveError['kind'], code, message);
}
