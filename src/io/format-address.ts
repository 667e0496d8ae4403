import type { SocketAddress } from './sockets.ts';

/** As it is written in words and URLs: `HOST:PORT`, `[ADDRESS]:PORT` of IPv6, or the path of a Unix socket. */
export function formatAddress(address: SocketAddress): string {
  if ('path' in address) return address.path;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
