import type { Clock } from '../io/clock.ts';
import type { Random } from '../io/random.ts';
import type { ServerTrust, SocketAddress, Sockets } from '../io/sockets.ts';
import type { PasswordSource } from '../libpq/client/authenticate.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connect } from '../libpq/client/connect.ts';

/** Nobody looks at it. */
const USER = 'varve';

export interface PageServiceDoors {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
}

export interface PageServiceOptions {
  readonly address: SocketAddress;
  /** A token of the scope `tenant` or `pageserverapi`, where the service asks for one. */
  readonly token?: PasswordSource;
  /** Insist on TLS, with a server that is trusted. */
  readonly tls?: ServerTrust;
  /** Who asks, for the service's logs. */
  readonly applicationName?: string;
  /** What the pages are for, for the service's metrics. */
  readonly computeMode?: 'primary' | 'replica' | 'static';
  /** From the beginning to where commands may be sent. */
  readonly connectTimeoutMs: number;
  /** Ends the connection, at any time of its life. */
  readonly signal: AbortSignal;
}

/**
 * Connects to a pageserver's page service, for one of its commands at a time.
 * @throws as connect
 */
export function connectPageService(
  { sockets, clock, random }: PageServiceDoors,
  options: PageServiceOptions,
): Promise<ClientConnection> {
  const { address, token, tls, applicationName, computeMode, connectTimeoutMs, signal } = options;
  const parameters: Record<string, string> = {};
  if (applicationName !== undefined) parameters['application_name'] = applicationName;
  if (computeMode !== undefined) parameters['options'] = `-c neon.compute_mode=${computeMode}`;
  return connect(sockets, address, {
    user: USER,
    parameters,
    clock,
    random,
    connectTimeoutMs,
    signal,
    ...(token === undefined ? {} : { password: token }),
    ...(tls === undefined ? {} : { tls }),
  });
}
