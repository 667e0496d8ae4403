/**
 * Raised deep inside of redo when a record and its page do not fit each other. It only says what was wrong;
 * `redo` turns it into a RedoError that also says where.
 */
export class RedoFailure extends Error {}

/** Throws a RedoFailure. A function, so that hot code stays small. */
export function failRedo(reason: string): never {
  throw new RedoFailure(reason);
}

/** Checks something that a hostile record or a damaged page could break. */
export function requireRedo(condition: boolean, reason: string): asserts condition {
  if (!condition) failRedo(reason);
}
