import type { Endpoint } from './control-api.ts';

/** What clients come in as, and to, unless they say otherwise. */
export const ROLE_DEFAULT = 'postgres';
export const DATABASE_DEFAULT = 'postgres';

/** Addresses that mean “all of this machine's”: a client on it takes its own. */
const ALL_ADDRESSES = ['0.0.0.0', '::', '*'];
const LOOPBACK = '127.0.0.1';

/** Where a client connects to; undefined for an endpoint that has no port before its first start. */
export function clientAddress({
  host,
  port,
}: Pick<Endpoint, 'host' | 'port'>): { readonly host: string; readonly port: number } | undefined {
  if (port === null) return undefined;
  return { host: ALL_ADDRESSES.includes(host) ? LOOPBACK : host, port };
}

/** How a client connects, as libpq reads it; undefined as of clientAddress. */
export function connectionStringOf(endpoint: Pick<Endpoint, 'host' | 'port'>): string | undefined {
  const address = clientAddress(endpoint);
  if (address === undefined) return undefined;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `postgres://${ROLE_DEFAULT}@${host}:${address.port}/${DATABASE_DEFAULT}`;
}
