import { AssertionError, type ErrorKind, VarveError } from '../../base/errors.ts';
import type { ErrorFields } from '../../postgres/wire/error-fields.ts';

// errcodes.txt
const SQLSTATE_SUCCESSFUL_COMPLETION = '00000';
const SQLSTATE_CONNECTION_FAILURE = '08006';
export const SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION = '28000';
const SQLSTATE_QUERY_CANCELED = '57014';
const SQLSTATE_ADMIN_SHUTDOWN = '57P01';
const SQLSTATE_CANNOT_CONNECT_NOW = '57P03';
const SQLSTATE_IDLE_SESSION_TIMEOUT = '57P05';
const SQLSTATE_INTERNAL_ERROR = 'XX000';

/** What a client is told of each kind of error, unless the error has a SQLSTATE of its own. */
const SQLSTATE_BY_KIND: Readonly<Record<ErrorKind, string>> = {
  unavailable: SQLSTATE_CANNOT_CONNECT_NOW,
  /** invalid_parameter_value */
  'bad-request': '22023',
  /** undefined_object */
  'not-found': '42704',
  /** object_in_use */
  conflict: '55006',
  /** object_not_in_prerequisite_state */
  precondition: '55000',
  cancelled: SQLSTATE_QUERY_CANCELED,
  /** Somebody else serves this now: connect again, there. */
  fenced: SQLSTATE_CONNECTION_FAILURE,
  /** data_corrupted */
  corruption: 'XX001',
  assertion: SQLSTATE_INTERNAL_ERROR,
};

const SQLSTATE_BY_CODE: Readonly<Record<string, string>> = {
  READ_TIMEOUT: SQLSTATE_IDLE_SESSION_TIMEOUT,
};

/** What a stranger is told in place of an error's own text, which is for logs only: in Neon's words (postgres_backend). */
const TEXT_BY_CODE: Readonly<Record<string, string>> = {
  TOKEN_REFUSED: 'JWT authentication error',
};

/**
 * Ends the connection after it was reported, although nothing is wrong with the protocol. Neon's clients know these by
 * their SQLSTATE and text: "shutdown", "reconnect", "ending streaming".
 */
export class ConnectionEndError extends VarveError {
  readonly sqlState: string;

  private constructor(kind: ErrorKind, code: string, reason: string, sqlState: string) {
    super(kind, code, reason);
    this.sqlState = sqlState;
  }

  /** This program stops. */
  static shutdown(): ConnectionEndError {
    return new ConnectionEndError('cancelled', 'SHUTDOWN', 'shutdown', SQLSTATE_ADMIN_SHUTDOWN);
  }

  /** The client shall connect again, and may find somebody else. */
  static reconnect(): ConnectionEndError {
    return new ConnectionEndError('unavailable', 'RECONNECT', 'reconnect', SQLSTATE_CONNECTION_FAILURE);
  }

  /** What the client asked for has nowhere to go. */
  static stalled(timeoutMs: number): ConnectionEndError {
    const reason = `the client has taken too little of its answers for ${timeoutMs} ms`;
    return new ConnectionEndError('unavailable', 'WRITE_TIMEOUT', reason, SQLSTATE_IDLE_SESSION_TIMEOUT);
  }

  /** All is done: no error, for a client that expects to be told so by one. */
  static success(code: string, reason: string): ConnectionEndError {
    return new ConnectionEndError('cancelled', code, reason, SQLSTATE_SUCCESSFUL_COMPLETION);
  }
}

/** A bug of ours: it is reported without its text, and raised again. */
export function isBug(error: unknown): boolean {
  return !(error instanceof VarveError) || error instanceof AssertionError;
}

/** The SQLSTATE of whatever was raised: the one table of this protocol. */
export function sqlStateOf(error: unknown): string {
  if (!(error instanceof VarveError)) return SQLSTATE_INTERNAL_ERROR;
  if ('sqlState' in error && typeof error.sqlState === 'string') return error.sqlState;
  return SQLSTATE_BY_CODE[error.code] ?? SQLSTATE_BY_KIND[error.kind];
}

/** How an error is reported. `FATAL`: the connection ends of it. Causes follow after a colon, as in Neon. */
export function toErrorFields(error: unknown, severity: 'ERROR' | 'FATAL'): ErrorFields {
  return {
    severity,
    severityNonlocalized: severity,
    sqlState: sqlStateOf(error),
    message: isBug(error) ? 'internal error' : describeChain(error as VarveError).replaceAll('\0', ''),
  };
}

/** Only errors raised on purpose have texts for strangers. */
function describeChain(error: VarveError): string {
  const whole = TEXT_BY_CODE[error.code];
  if (whole !== undefined) return whole;
  const texts: string[] = [];
  for (let at: unknown = error; at instanceof VarveError && texts.length < 10; at = at.cause)
    texts.push(at.message);
  return texts.join(': ');
}
