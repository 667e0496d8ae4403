import { type ErrorKind, VarveError } from '../base/errors.ts';
import { formatExactJson } from './exact-json.ts';

/**
 * What an error looks like on the wire. `msg` is Neon's; the stable fields are `kind` and `code`. The others are those of
 * RFC 9457 ("problem details").
 */
export interface ErrorBody {
  readonly msg: string;
  readonly kind: ErrorKind;
  readonly code: string;
  /** Names the code as a URI. */
  readonly type: string;
  /** Of the kind: the same for all errors of it. */
  readonly title: string;
  readonly status: number;
  /** As `msg`, without what Neon puts before it. */
  readonly detail: string;
}

const TITLE_BY_KIND: Readonly<Record<ErrorKind, string>> = {
  'bad-request': 'The request is wrong',
  'not-found': 'What is asked for is not there',
  conflict: 'Something else is there or under way',
  fenced: 'Another node has taken over',
  precondition: 'This cannot be done as things are',
  assertion: 'There is a bug',
  corruption: 'What is stored is damaged or cannot be used',
  unavailable: 'This cannot be done now',
  cancelled: 'What is asked is closing',
};

export const PROBLEM_TYPE = 'application/problem+json';

interface Outcome {
  readonly status: number;
  /** In the place of the error's own. */
  readonly kind?: ErrorKind;
  /** Goes before the reason; `whole` takes its place. */
  readonly prefix?: string;
  readonly whole?: string;
  readonly retryAfterS?: number;
}

/** The one table of how errors are answered, by kind. docs/safekeeper-http.md has it for users. */
const OUTCOME_BY_KIND: Readonly<Record<ErrorKind, Outcome>> = {
  'bad-request': { status: 400, prefix: '' },
  'not-found': { status: 404, prefix: 'NotFound: ' },
  conflict: { status: 409, prefix: 'Conflict: ' },
  fenced: { status: 409, prefix: 'Conflict: ' },
  precondition: { status: 412, prefix: 'Precondition failed: ' },
  assertion: { status: 500, whole: 'internal error: this is a bug, see the log' },
  // The service works, but what a disk, a bucket or a peer gave it is damaged: neither a bug nor cured by repeating.
  corruption: { status: 502, prefix: '' },
  unavailable: { status: 503, prefix: '', retryAfterS: 1 },
  cancelled: { status: 503, whole: 'Shutting down', retryAfterS: 1 },
};

/** The codes that have an answer of their own. */
const OUTCOME_BY_CODE: Readonly<Record<string, Outcome>> = {
  TOKEN_MISSING: { status: 401, whole: 'Unauthorized: missing authorization header' },
  // One text for all, so that nobody learns from it how close a guess was.
  TOKEN_REFUSED: { status: 403, whole: 'Forbidden: JWT authentication error' },
  SCOPE_REFUSED: { status: 403, whole: 'Forbidden: JWT authentication error' },
  NOT_A_MEMBER: { status: 403, prefix: 'Forbidden: ' },
  STILL_A_MEMBER: { status: 403, prefix: 'Forbidden: ' },
  // Neon's clients tell these from other failures of creating a timeline by their status.
  BAD_BRANCH_POINT: { status: 406, prefix: '' },
  ANCESTOR_ARCHIVED: { status: 406, prefix: '' },
  TIMELINE_BEING_CREATED: { status: 429, prefix: '', retryAfterS: 1 },
  BODY_TOO_LARGE: { status: 413, prefix: '' },
  BAD_CONTENT_TYPE: { status: 415, prefix: '' },
};

/**
 * What the doors to files and objects say of a path or a key. Nobody who asks over HTTP names such: something that a service
 * has stored is not as it must be. Above all it is not the thing that was asked for that is not there.
 */
const STORED_WRONG: Outcome = { status: 502, kind: 'corruption', prefix: '' };
const CODES_OF_STORAGE_DOORS = new Set([
  'FILE_NOT_FOUND',
  'FILE_EXISTS',
  'IS_A_DIRECTORY',
  'NOT_A_DIRECTORY',
  'BAD_PATH',
  'PERMISSION_DENIED',
  'OBJECT_NOT_FOUND',
  'OBJECT_EXISTS',
  'OBJECT_STORE_DENIED',
  'BAD_OBJECT_KEY',
  'BAD_OBJECT_RANGE',
  'BAD_OBJECT_BODY',
]);

function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof VarveError)) return OUTCOME_BY_KIND.assertion;
  const own = Object.hasOwn(OUTCOME_BY_CODE, error.code) ? OUTCOME_BY_CODE[error.code] : undefined;
  if (own !== undefined) return own;
  return CODES_OF_STORAGE_DOORS.has(error.code) ? STORED_WRONG : OUTCOME_BY_KIND[error.kind];
}

/**
 * Answers any error. Of an unknown one nothing is told to the outside.
 * @param contentType what the body calls itself
 */
export function errorResponse(error: unknown, contentType = 'application/json'): Response {
  const outcome = outcomeOf(error);
  const { status, prefix = '', whole, retryAfterS } = outcome;
  const known = error instanceof VarveError ? error : undefined;
  const kind = outcome.kind ?? known?.kind ?? 'assertion';
  const code = known?.code ?? 'ASSERTION';
  const body: ErrorBody = {
    msg: whole ?? `${prefix}${known?.message ?? ''}`,
    kind,
    code,
    type: `urn:varve:error:${code}`,
    title: TITLE_BY_KIND[kind],
    status,
    detail: whole ?? known?.message ?? '',
  };
  const headers = new Headers({ 'content-type': contentType });
  if (retryAfterS !== undefined) headers.set('retry-after', String(retryAfterS));
  if (status === 401) headers.set('www-authenticate', 'Bearer');
  return new Response(formatExactJson(body), { status, headers });
}

/** The prefixes that are on the wire only. */
const PREFIX = /^(NotFound|Conflict|Precondition failed|Forbidden|Unauthorized): /;

const KIND_BY_STATUS: Readonly<Record<number, ErrorKind>> = {
  401: 'precondition',
  403: 'precondition',
  404: 'not-found',
  406: 'precondition',
  409: 'conflict',
  412: 'precondition',
  429: 'unavailable',
};

const KINDS = Object.keys(OUTCOME_BY_KIND);

/**
 * The error that a service has answered with, for its client. A bug over there is none of ours: it is `unavailable`
 * with the code REMOTE_FAILURE.
 * @param answer the parsed body, or undefined where it was no JSON
 */
export function errorFromResponse(status: number, answer: unknown): VarveError {
  const { msg, kind, code } = (typeof answer === 'object' && answer !== null ? answer : {}) as {
    readonly [Name in keyof ErrorBody]?: unknown;
  };
  const reason = typeof msg === 'string' ? msg.replace(PREFIX, '') : `the answer has the status ${status}`;
  if (status === 500) return new VarveError('unavailable', 'REMOTE_FAILURE', reason);
  const isKnown = typeof kind === 'string' && KINDS.includes(kind) && kind !== 'assertion';
  const byStatus = KIND_BY_STATUS[status] ?? (status >= 500 ? 'unavailable' : 'bad-request');
  return new VarveError(
    isKnown ? (kind as ErrorKind) : byStatus,
    typeof code === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) ? code : `HTTP_${status}`,
    reason,
  );
}
