import { type ErrorKind, VarveError } from '../base/errors.ts';
import { formatExactJson } from './exact-json.ts';

/** What an error looks like on the wire. `msg` is Neon's; the stable fields are `kind` and `code`. */
export interface ErrorBody {
  readonly msg: string;
  readonly kind: ErrorKind;
  readonly code: string;
}

interface Outcome {
  readonly status: number;
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
  BODY_TOO_LARGE: { status: 413, prefix: '' },
  BAD_CONTENT_TYPE: { status: 415, prefix: '' },
};

function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof VarveError)) return OUTCOME_BY_KIND.assertion;
  const own = Object.hasOwn(OUTCOME_BY_CODE, error.code) ? OUTCOME_BY_CODE[error.code] : undefined;
  return own ?? OUTCOME_BY_KIND[error.kind];
}

/** Answers any error. Of an unknown one nothing is told to the outside. */
export function errorResponse(error: unknown): Response {
  const { status, prefix = '', whole, retryAfterS } = outcomeOf(error);
  const known = error instanceof VarveError ? error : undefined;
  const body: ErrorBody = {
    msg: whole ?? `${prefix}${known?.message ?? ''}`,
    kind: known?.kind ?? 'assertion',
    code: known?.code ?? 'ASSERTION',
  };
  const headers = new Headers({ 'content-type': 'application/json' });
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
  409: 'conflict',
  412: 'precondition',
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
