import { BadRequestError } from '../base/errors.ts';
import type { SocketAddress } from '../io/sockets.ts';

/** libpq's sslmode; `verify-ca` is held to as `verify-full`. */
export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-full';

/** Where a server is, and who comes. */
export interface ServerUrl {
  readonly address: SocketAddress;
  /** The server's name for people, without secrets. */
  readonly name: string;
  readonly user: string;
  readonly password: string | undefined;
  readonly database: string;
  readonly sslMode: SslMode;
  /** File of the authorities that are believed. */
  readonly sslRootCertificate: string | undefined;
  /** libpq's `options`: settings of the session. */
  readonly options: string | undefined;
}

const PORT_DEFAULT = 5432;
const SSL_MODES: Readonly<Record<string, SslMode>> = {
  disable: 'disable',
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'verify-ca': 'verify-full',
  'verify-full': 'verify-full',
};
/** Those that change nothing here: there is one address, and it waits as long as it takes. */
const PASSED_OVER = [
  'application_name',
  'connect_timeout',
  'channel_binding',
  'target_session_attrs',
  'gssencmode',
];
const KNOWN = ['host', 'port', 'user', 'password', 'dbname', 'sslmode', 'sslrootcert', 'options'];

/**
 * Reads a URL as libpq does (fe-connect.c, conninfo_uri_parse): `postgres://user:password@host:port/database?sslmode=…`.
 * @param environment PGUSER, PGPASSWORD and PGSSLMODE fill in what it does not say
 * @throws BadRequestError BAD_URL, which never shows the password
 */
export function parseServerUrl(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): ServerUrl {
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw badUrl('write postgres://USER:PASSWORD@HOST:PORT/DATABASE');
  }
  for (const name of url.searchParams.keys()) {
    if (!KNOWN.includes(name) && !PASSED_OVER.includes(name))
      throw badUrl(`the parameter ${name} is unknown`);
  }
  const said = (name: string): string | undefined => url.searchParams.get(name) ?? undefined;
  const host = said('host') ?? (url.hostname === '' ? 'localhost' : decode(url.hostname));
  if (host.includes(',')) throw badUrl('name one host');
  const port = Number(said('port') ?? (url.port === '' ? PORT_DEFAULT : url.port));
  if (!Number.isInteger(port) || port < 1 || port > 0xffff) throw badUrl('the ports are 1 to 65535');
  const user = said('user') ?? (decode(url.username) || (environment['PGUSER'] ?? 'postgres'));
  const database = said('dbname') ?? (decode(url.pathname.slice(1)) || user);
  const mode = said('sslmode') ?? environment['PGSSLMODE'] ?? 'prefer';
  const sslMode = SSL_MODES[mode];
  if (sslMode === undefined) throw badUrl(`sslmode is one of ${Object.keys(SSL_MODES).join(', ')}`);
  const isSocket = host.startsWith('/');
  return {
    address: isSocket ? { path: `${host}/.s.PGSQL.${port}` } : { host: host.replace(/^\[|\]$/g, ''), port },
    name: isSocket ? `${host}, port ${port}` : `${host}:${port}`,
    user,
    password: said('password') ?? (url.password === '' ? environment['PGPASSWORD'] : decode(url.password)),
    database,
    sslMode: isSocket ? 'disable' : sslMode,
    sslRootCertificate: said('sslrootcert'),
    options: said('options'),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw new BadRequestError('BAD_URL', 'the URL has a % without two hexadecimal digits', {}, error);
  }
}

const badUrl = (reason: string): BadRequestError => new BadRequestError('BAD_URL', reason);

/** What a program of libpq's reads from its environment: nothing of it stands in its arguments. */
export function environmentOf(server: ServerUrl): Record<string, string> {
  const { address, user, password, database, sslMode, sslRootCertificate, options } = server;
  const isSocket = 'path' in address;
  return {
    PGHOST: isSocket ? address.path.replace(/\/\.s\.PGSQL\.\d+$/, '') : address.host,
    PGPORT: isSocket ? address.path.replace(/^.*\./, '') : String(address.port),
    PGUSER: user,
    PGDATABASE: database,
    PGSSLMODE: isSocket ? 'prefer' : sslMode,
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    ...(sslRootCertificate === undefined ? {} : { PGSSLROOTCERT: sslRootCertificate }),
    ...(options === undefined ? {} : { PGOPTIONS: options }),
  };
}
