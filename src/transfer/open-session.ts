import { VarveError } from '../base/errors.ts';
import type { Clock } from '../io/clock.ts';
import type { Random } from '../io/random.ts';
import type { ServerTrust, Sockets } from '../io/sockets.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connect } from '../libpq/client/connect.ts';
import { PostgresError } from '../libpq/client/postgres-error.ts';
import type { ServerUrl } from './server-url.ts';

/** A suspended compute is started for whoever connects. */
const CONNECT_TIMEOUT_MS = 60_000;
/** Longest row: that of a server, which has a value of at most 1 GiB (memutils.h, MaxAllocSize). */
const BODY_BYTES_MAX = 0x3fff_ffff;
const APPLICATION_NAME = 'varve transfer';

export interface Doors {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  /** The text of a file of certificates. */
  readonly readFile: (path: string) => Promise<string>;
}

/** A session on a server, and what it is. */
export interface Session {
  readonly connection: ClientConnection;
  readonly server: ServerUrl;
  readonly major: number;
  readonly backendPid: number;
}

/** So that values mean the same on both sides, and nothing ends that only takes its time. */
export const SHARED_SETTINGS: readonly string[] = [
  "SET search_path = ''",
  "SET client_encoding = 'UTF8'",
  'SET standard_conforming_strings = on',
  "SET datestyle = 'ISO, YMD'",
  "SET intervalstyle = 'postgres'",
  "SET timezone = 'UTC'",
  "SET lc_monetary = 'C'",
  "SET bytea_output = 'hex'",
  'SET extra_float_digits = 3',
  'SET xmloption = content',
  'SET row_security = off',
  'SET statement_timeout = 0',
  'SET lock_timeout = 0',
  'SET idle_in_transaction_session_timeout = 0',
];

/** Of who makes things: bodies of functions may name what comes later. */
export const MAKING_SETTINGS: readonly string[] = [
  'SET check_function_bodies = off',
  'SET client_min_messages = warning',
  "SET default_tablespace = ''",
  'SET default_table_access_method = heap',
];

/**
 * Connects and logs in.
 * @param role for errors: `source` or `branch`
 * @throws VarveError SERVER_UNREACHABLE, LOGIN_REFUSED, DATABASE_NOT_FOUND, TLS_REFUSED, TLS_FAILED, CANCELLED
 */
export async function openSession(
  doors: Doors,
  server: ServerUrl,
  role: 'source' | 'branch',
  settings: readonly string[],
  signal: AbortSignal,
): Promise<Session> {
  const connection = await logIn(doors, server, role, signal);
  try {
    await connection.query(settings.join('; '));
    const { rows } = await connection.query(
      `SELECT pg_catalog.current_setting('server_version_num')::int / 10000, pg_catalog.pg_backend_pid()`,
    );
    const [major, pid] = rows[0] ?? [];
    return { connection, server, major: Number(major), backendPid: Number(pid) };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function logIn(
  doors: Doors,
  server: ServerUrl,
  role: 'source' | 'branch',
  signal: AbortSignal,
): Promise<ClientConnection> {
  const tls = await trustOf(doors, server);
  try {
    try {
      return await attempt(doors, server, tls, signal);
    } catch (error) {
      const isPlain = error instanceof VarveError && error.code === 'TLS_REFUSED';
      if (!isPlain || server.sslMode !== 'prefer') throw error;
      return await attempt(doors, server, undefined, signal);
    }
  } catch (error) {
    throw refused(error, server, role);
  }
}

function attempt(
  { sockets, clock, random }: Doors,
  { address, user, password, database, options }: ServerUrl,
  tls: ServerTrust | undefined,
  signal: AbortSignal,
): Promise<ClientConnection> {
  const parameters: Record<string, string> = { application_name: APPLICATION_NAME, client_encoding: 'UTF8' };
  if (options !== undefined) parameters['options'] = options;
  return connect(sockets, address, {
    user,
    database,
    ...(password === undefined ? {} : { password }),
    isMd5Allowed: true,
    ...(tls === undefined ? {} : { tls }),
    parameters,
    clock,
    random,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    bodyBytesMax: BODY_BYTES_MAX,
    signal,
  });
}

async function trustOf({ readFile }: Doors, server: ServerUrl): Promise<ServerTrust | undefined> {
  const { address, sslMode, sslRootCertificate } = server;
  if (sslMode === 'disable' || 'path' in address) return undefined;
  const serverName = address.host;
  if (sslMode !== 'verify-full') return { serverName, isAnyoneTrusted: true };
  if (sslRootCertificate === undefined || sslRootCertificate === 'system') return { serverName };
  return { serverName, authorities: await readFile(sslRootCertificate) };
}

/** With what to do about it. */
function refused(error: unknown, { name, user, database }: ServerUrl, role: string): unknown {
  if (!(error instanceof VarveError) || error.kind === 'cancelled') return error;
  const as = (kind: VarveError['kind'], code: string, reason: string): VarveError =>
    new VarveError(kind, code, `the ${role} ${name}: ${reason}`, {}, error);
  if (['CONNECTION_FAILED', 'CONNECTION_LOST', 'CONNECT_TIMEOUT'].includes(error.code)) {
    return as(
      'unavailable',
      'SERVER_UNREACHABLE',
      `${error.reason}: is it the right address, and does it run?`,
    );
  }
  if (error.code === 'NO_PASSWORD') {
    const advice = 'put it into the URL or into PGPASSWORD';
    return as('bad-request', 'LOGIN_REFUSED', `a password is asked for, and none is given: ${advice}`);
  }
  if (error.code === 'TLS_REFUSED')
    return as('bad-request', 'TLS_REFUSED', 'it has no TLS, and sslmode asks for it');
  if (!(error instanceof PostgresError)) return error;
  const { sqlState, reason } = error;
  if (sqlState.startsWith('28')) return as('bad-request', 'LOGIN_REFUSED', `${reason} (as the role ${user})`);
  if (sqlState === '3D000') return as('not-found', 'DATABASE_NOT_FOUND', `there is no database ${database}`);
  return as(error.kind, 'SERVER_UNREACHABLE', reason);
}
