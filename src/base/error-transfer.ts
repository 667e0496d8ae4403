import {
  AssertionError,
  BadRequestError,
  CorruptionError,
  type ErrorKind,
  type ErrorPlace,
  VarveError,
} from './errors.ts';

/** How many causes of causes go along. */
const CAUSES_MAX = 8;

/** An error as plain data, for another thread: a structured clone keeps nothing of an error but its message. */
export interface TransferredError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Undefined for what is no VarveError: a bug. */
  readonly varve?: {
    readonly kind: ErrorKind;
    readonly code: string;
    readonly reason: string;
    readonly place: ErrorPlace;
  };
  readonly cause?: TransferredError;
}

export function toTransferredError(error: unknown, causesMax: number = CAUSES_MAX): TransferredError {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error), stack: undefined };
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...(error instanceof VarveError
      ? { varve: { kind: error.kind, code: error.code, reason: error.reason, place: { ...error.place } } }
      : {}),
    ...(error.cause === undefined || causesMax === 0
      ? {}
      : { cause: toTransferredError(error.cause, causesMax - 1) }),
  };
}

/**
 * The error again: with its kind, code, reason, place and causes, its name, and the stack of where it was thrown. Its
 * class is that of its kind; the narrower ones are not known here. What was no VarveError becomes a plain Error.
 */
export function fromTransferredError(transferred: TransferredError): Error {
  const cause = transferred.cause === undefined ? undefined : fromTransferredError(transferred.cause);
  const error = makeError(transferred, cause);
  error.name = transferred.name;
  if (transferred.stack !== undefined) error.stack = transferred.stack;
  return error;
}

function makeError({ varve, message }: TransferredError, cause: Error | undefined): Error {
  if (varve === undefined) return new Error(message, cause === undefined ? undefined : { cause });
  const { kind, code, reason, place } = varve;
  if (kind === 'corruption') return new CorruptionError(code, reason, place, cause);
  if (kind === 'bad-request') return new BadRequestError(code, reason, place, cause);
  if (kind === 'assertion') return new AssertionError(reason, place);
  return new VarveError(kind, code, reason, place, cause);
}
