import { type ErrorKind, VarveError } from '../../base/errors.ts';
import type { ErrorFields } from '../../postgres/wire/error-fields.ts';

/** By SQLSTATE or, where that is not listed, by its class: the first two characters. The rest is a wrong request. */
const KIND_BY_SQLSTATE: Readonly<Record<string, ErrorKind>> = {
  '08': 'unavailable',
  '08P01': 'corruption',
  '42704': 'not-found',
  '53': 'unavailable',
  '55': 'precondition',
  '55006': 'conflict',
  '57': 'unavailable',
  '57014': 'cancelled',
  '58': 'unavailable',
  XX: 'unavailable',
  XX001: 'corruption',
  XX002: 'corruption',
};

/** What a server answered instead of what it was asked for. */
export class PostgresError extends VarveError {
  /** Five characters (errcodes.txt). 00000: the server has ended something in order. */
  readonly sqlState: string;
  /** ERROR, or FATAL and PANIC, after which the connection is gone. */
  readonly severity: string;
  readonly fields: ErrorFields;

  constructor(fields: ErrorFields) {
    const { sqlState } = fields;
    const kind = KIND_BY_SQLSTATE[sqlState] ?? KIND_BY_SQLSTATE[sqlState.slice(0, 2)] ?? 'bad-request';
    super(kind, 'POSTGRES_ERROR', fields.message);
    this.sqlState = sqlState;
    this.severity = fields.severityNonlocalized ?? fields.severity;
    this.fields = fields;
  }
}
