import { ACCEPTOR_MESSAGE_BYTES_MAX, STANDBY_APPLY_OPTION } from '../contracts/acceptor-messages.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connect } from '../libpq/client/connect.ts';
import type { ProposerDoors, ProposerOptions } from './options.ts';

const USER = 'varve_proposer';

/** Logs in to a safekeeper, on behalf of one timeline. */
export function connectToSafekeeper(
  { host, pgPort }: SafekeeperAddress,
  options: Pick<ProposerOptions, 'tenantId' | 'timelineId' | 'password' | 'tls'>,
  connectTimeoutMs: number,
  { sockets, clock, random }: ProposerDoors,
  signal: AbortSignal,
): Promise<ClientConnection> {
  const { tenantId, timelineId, password, tls } = options;
  return connect(
    sockets,
    { host, port: pgPort },
    {
      user: USER,
      database: 'replication',
      parameters: {
        application_name: USER,
        options: `-c timeline_id=${timelineId} tenant_id=${tenantId} ${STANDBY_APPLY_OPTION}=on`,
      },
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls: { ...tls, serverName: host } }),
      bodyBytesMax: ACCEPTOR_MESSAGE_BYTES_MAX,
      connectTimeoutMs,
      clock,
      random,
      signal,
    },
  );
}
