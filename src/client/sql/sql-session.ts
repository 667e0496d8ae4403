import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import type { SocketAddress, Sockets } from '../../io/sockets.ts';
import type { ClientConnection, ClientResult } from '../../libpq/client/client-connection.ts';
import { connect } from '../../libpq/client/connect.ts';
import { PostgresError } from '../../libpq/client/postgres-error.ts';
import { isClientCopy } from './statement-splitter.ts';

/** A suspended compute is started for whoever connects. */
const CONNECT_TIMEOUT_MS = 60_000;
/** Longest row. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const APPLICATION_NAME = 'varve connect';

export interface SqlSessionOptions {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  readonly address: SocketAddress;
  readonly user: string;
  readonly database: string;
  readonly password: string | undefined;
  readonly signal: AbortSignal;
}

/** A session of somebody who types SQL. */
export class SqlSession {
  readonly #options: SqlSessionOptions;
  readonly #connection: ClientConnection;
  readonly #backendPid: string;

  private constructor(options: SqlSessionOptions, connection: ClientConnection, backendPid: string) {
    this.#options = options;
    this.#connection = connection;
    this.#backendPid = backendPid;
  }

  /** @throws as connect */
  static async open(options: SqlSessionOptions): Promise<SqlSession> {
    const connection = await open(options);
    try {
      const { rows } = await connection.query('SELECT pg_catalog.pg_backend_pid()');
      return new SqlSession(options, connection, rows[0]?.[0] ?? '');
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Whether the server has gone, or has ended the session. */
  get isOver(): boolean {
    return this.#connection.isClosed;
  }

  get serverVersion(): string {
    return this.#connection.parameters.get('server_version') ?? 'of an unknown version';
  }

  /** @throws as ClientConnection.query; BadRequestError COPY_NEEDS_PSQL */
  async run(statement: string): Promise<ClientResult> {
    if (isClientCopy(statement)) {
      const reason =
        'COPY from STDIN or to STDOUT needs psql: use its \\copy, or COPY with a file of the server’s';
      throw new BadRequestError('COPY_NEEDS_PSQL', reason);
    }
    try {
      return await this.#connection.query(statement);
    } catch (error) {
      if (error instanceof VarveError && error.code === 'RESULT_TOO_LONG') {
        throw new BadRequestError('RESULT_TOO_LONG', `${error.reason}: add a LIMIT, or use psql`, {}, error);
      }
      throw error instanceof PostgresError ? withAdvice(error) : error;
    }
  }

  /** Asks the server to end what it runs for this session, which then fails with query_canceled. */
  async cancel(): Promise<void> {
    const other = await open(this.#options);
    try {
      await other.query(`SELECT pg_catalog.pg_cancel_backend(${Number(this.#backendPid)})`);
    } finally {
      await other.close();
    }
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** With all that the server has to say to a person. */
function withAdvice(error: PostgresError): VarveError {
  const { detail, hint } = error.fields;
  const lines = [
    error.reason,
    ...(detail === undefined ? [] : [`  detail: ${detail}`]),
    ...(hint === undefined ? [] : [`  hint: ${hint}`]),
  ];
  return new VarveError(error.kind, error.code, lines.join('\n'), {}, error);
}

function open(options: SqlSessionOptions): Promise<ClientConnection> {
  const { sockets, address, clock, random, user, database, password, signal } = options;
  return connect(sockets, address, {
    user,
    database,
    ...(password === undefined ? {} : { password }),
    parameters: { application_name: APPLICATION_NAME, client_encoding: 'UTF8' },
    clock,
    random,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    bodyBytesMax: BODY_BYTES_MAX,
    signal,
  });
}
