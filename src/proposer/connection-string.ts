import { BadRequestError } from '../base/errors.ts';
import type { SocketAddress } from '../io/sockets.ts';

/** A server, and as whom to log in there. */
export interface PostgresAddress {
  readonly address: SocketAddress;
  readonly user: string;
  readonly password: string | undefined;
}

const KEYWORDS = ['host', 'port', 'user', 'password', 'dbname'];

/**
 * Parses libpq's `keyword=value …` form, as far as replication needs it: host (a path is the directory of the socket),
 * port, user, password. A value in single quotes may have spaces; `\` takes the meaning from what follows it.
 * @throws BadRequestError
 */
export function parseConnectionString(text: string): PostgresAddress {
  const values = new Map<string, string>();
  const pattern = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/sy;
  const end = text.trimEnd().length;
  while (pattern.lastIndex < end) {
    const match = pattern.exec(text);
    if (match === null) return refuse('write keyword=value, as in "host=/tmp port=5432 user=postgres"');
    const [, keyword, quoted, plain] = match as unknown as [string, string, string?, string?];
    if (!KEYWORDS.includes(keyword)) return refuse(`"${keyword}" is none of ${KEYWORDS.join(', ')}`);
    values.set(keyword, (quoted ?? plain ?? '').replace(/\\(.)/gs, '$1'));
  }
  const host = values.get('host');
  const user = values.get('user');
  const port = values.get('port') ?? '5432';
  if (host === undefined || host === '') return refuse('it names no host');
  if (user === undefined || user === '') return refuse('it names no user');
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) return refuse(`"${port}" is no port`);
  const address = host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) };
  return { address, user, password: values.get('password') };
}

function refuse(reason: string): never {
  throw new BadRequestError('BAD_CONNECTION_STRING', `the connection string is wrong: ${reason}`);
}
