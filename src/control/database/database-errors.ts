import { VarveError } from '../../base/errors.ts';

interface ConflictOf {
  readonly code: string;
  readonly reason: string;
}

/** What it means to whoever asks that a row would break one of our rules, by the constraint's name. */
const CONFLICTS: Readonly<Record<string, ConflictOf>> = {
  projects_name_key: { code: 'PROJECT_EXISTS', reason: 'there is a project of this name already' },
  branches_name_key: { code: 'BRANCH_EXISTS', reason: 'there is a branch of this name already' },
  endpoints_port_key: { code: 'PORT_TAKEN', reason: 'another endpoint has this port' },
  endpoints_one_primary: {
    code: 'PRIMARY_EXISTS',
    reason: 'the branch has a primary already, and only one may write to it',
  },
  idempotency_pkey: {
    code: 'REQUEST_UNDER_WAY',
    reason: 'the same request is being carried out at this moment',
  },
  roles_pkey: { code: 'ROLE_EXISTS', reason: 'there is a role of this name already' },
};

/** errcodes.txt: unique_violation. */
const UNIQUE_VIOLATION = '23505';
/**
 * errcodes.txt, by class: connection exceptions, transaction rollbacks, insufficient resources, operator intervention. They pass.
 */
const PASSING_CLASSES = ['08', '40', '53', '57'];
/** Of the run time, and of pg where a connection has ended. */
const CONNECTION_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
]);
const CONNECTION_ENDED =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Client was closed|Cannot use a pool after calling end)/;

interface PgError {
  readonly code?: unknown;
  readonly constraint?: unknown;
}

/** What an error of the database is to whoever asked us. What is none of these is a bug, and stays as it is. */
export function translateDatabaseError(error: unknown): unknown {
  if (error instanceof VarveError || !(error instanceof Error)) return error;
  const { code, constraint } = error as PgError;
  if (code === UNIQUE_VIOLATION && typeof constraint === 'string' && Object.hasOwn(CONFLICTS, constraint)) {
    const conflict = CONFLICTS[constraint] as ConflictOf;
    return new VarveError('conflict', conflict.code, conflict.reason, {}, error);
  }
  const isPassing =
    typeof code === 'string' &&
    (CONNECTION_CODES.has(code) || (code.length === 5 && PASSING_CLASSES.includes(code.slice(0, 2))));
  if (!isPassing && !CONNECTION_ENDED.test(error.message)) return error;
  const reason = `the control plane's database cannot be used now: ${error.message}`;
  return new VarveError('unavailable', 'CONTROL_DATABASE_UNAVAILABLE', reason, {}, error);
}
