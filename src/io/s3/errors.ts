import { type ErrorKind, VarveError } from '../../base/errors.ts';

/** What a failed try means. */
export interface Failure {
  readonly error: unknown;
  /** Another try may help. */
  readonly isPassing: boolean;
}

/** Errors whose status would say that they never pass. */
const PASSING_NAMES = new Set([
  'ConditionalRequestConflict',
  'OperationAborted',
  'RequestTimeout',
  // The SDK has learnt the store's time from the refusal, and signs the next try with it.
  'RequestTimeTooSkewed',
  // Credentials that expire are fetched anew.
  'ExpiredToken',
]);

const PASSING_STATUSES = new Set([408, 425, 429]);

/** What a refusal means, by its name and else by its status. All others are OBJECT_STORE_DENIED: see `meaningOf`. */
const MEANINGS: Readonly<Record<string, readonly [ErrorKind, string]>> = {
  NoSuchKey: ['not-found', 'OBJECT_NOT_FOUND'],
  NotFound: ['not-found', 'OBJECT_NOT_FOUND'],
  KeyTooLongError: ['bad-request', 'BAD_OBJECT_KEY'],
  EntityTooLarge: ['bad-request', 'BAD_OBJECT_BODY'],
};

const MESSAGE_LENGTH_MAX = 500;

/** A try that has been judged already. */
export class FailedTry extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super('a try has failed');
    this.failure = failure;
  }
}

/** A failure that another try may mend. */
export const passing = (reason: string): FailedTry =>
  new FailedTry({ error: new VarveError('unavailable', 'OBJECT_STORE', reason), isPassing: true });

/**
 * Judges what the SDK has thrown. Its error is not kept: it leads to the request, and that to a session's token.
 * @param what such as `PutObject of s3://bucket/key`
 */
export function judge(what: string, thrown: unknown): Failure {
  if (thrown instanceof FailedTry) return thrown.failure;
  if (thrown instanceof VarveError || !(thrown instanceof Error)) return { error: thrown, isPassing: false };
  const name = nameOf(thrown);
  const status = statusOf(thrown);
  const isPassing = isPassingFailure(thrown, name, status);
  const [kind, code] = isPassing
    ? (['unavailable', 'OBJECT_STORE'] as const)
    : meaningOf(thrown, name, status);
  if (kind === 'assertion') return { error: thrown, isPassing: false };
  const message = thrown.message.slice(0, MESSAGE_LENGTH_MAX);
  const reason = `${what}: ${[status, name, message].filter((part) => part !== undefined && part !== '').join(' ')}`;
  return { error: new VarveError(kind, code, reason), isPassing };
}

/** Judges an error that stands in an answer which is none itself: one object of several could not be removed. */
export function judgeCode(what: string, name: string, message: string): Failure {
  const isPassing =
    PASSING_NAMES.has(name) || ['InternalError', 'SlowDown', 'ServiceUnavailable'].includes(name);
  const kind = isPassing ? 'unavailable' : 'precondition';
  const code = isPassing ? 'OBJECT_STORE' : 'OBJECT_STORE_DENIED';
  const reason = `${what}: ${name} ${message.slice(0, MESSAGE_LENGTH_MAX)}`;
  return { error: new VarveError(kind, code, reason), isPassing };
}

function isPassingFailure(error: Error, name: string, status: number | undefined): boolean {
  if (PASSING_NAMES.has(name)) return true;
  if (status === undefined) return name === 'TimeoutError' || isNetworkFailure(error);
  if (status === 501) return false;
  // An answer that says it is fine and cannot be read has been cut off or garbled on its way.
  return status >= 500 || status < 300 || PASSING_STATUSES.has(status);
}

/** Node.js gives what fails in the network or in TLS a code. A bug has none, or one of ERR_INVALID_…. */
function isNetworkFailure(error: Error): boolean {
  if (!('code' in error)) return false;
  return typeof error.code === 'string' && !error.code.startsWith('ERR_INVALID');
}

function meaningOf(error: Error, name: string, status: number | undefined): readonly [ErrorKind, string] {
  const meaning = MEANINGS[name];
  if (meaning !== undefined) return meaning;
  if (name === 'CredentialsProviderError' || status !== undefined)
    return ['precondition', 'OBJECT_STORE_DENIED'];
  return isConfigurationFailure(error) ? ['precondition', 'OBJECT_STORE_DENIED'] : ['assertion', ''];
}

/** The SDK reports these as plain errors. */
const isConfigurationFailure = (error: Error): boolean =>
  /^Region is missing|^Invalid region/.test(error.message);

/** The name that S3 gives its errors, such as `NoSuchKey`; empty where the answer had none. */
export const nameOf = (error: unknown): string => {
  if (!(error instanceof Error)) return '';
  return error.name === 'Error' || error.name === 'Unknown' || error.name === 'UnknownError'
    ? ''
    : error.name;
};

export function statusOf(error: unknown): number | undefined {
  const own = fieldOf(fieldOf(error, '$metadata'), 'httpStatusCode');
  const status = own ?? fieldOf(fieldOf(error, '$response'), 'statusCode');
  return typeof status === 'number' ? status : undefined;
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
