import { CorruptionError, VarveError } from '../../../base/errors.ts';
import type { TenantId, TimelineId } from '../../../base/ids.ts';
import type { SafekeeperAddress } from '../../../contracts/membership.ts';
import type { Clock } from '../../../io/clock.ts';
import type { Random } from '../../../io/random.ts';
import type { ServerTrust, Sockets } from '../../../io/sockets.ts';
import type { PasswordSource } from '../../../libpq/client/authenticate.ts';
import type { ClientConnection } from '../../../libpq/client/client-connection.ts';
import { connect } from '../../../libpq/client/connect.ts';
import { formatReplicationCommand } from '../../../postgres/wire/replication-commands.ts';
import { XLOG_DATA_BYTES_MAX, XLOG_DATA_HEADER_BYTES } from '../../../postgres/wire/replication-messages.ts';

/** PostgreSQL's timeline. Safekeepers have no other: branches are timelines of their own. */
const POSTGRES_TIMELINE = '1';
const MESSAGE_BYTES_MAX: number = XLOG_DATA_HEADER_BYTES + XLOG_DATA_BYTES_MAX;

export interface SourceDoors {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
}

/** How a pageserver shows itself to safekeepers. */
export interface SourceAccess {
  /** `pageserver-<node>`. */
  readonly applicationName: string;
  readonly password?: PasswordSource;
  readonly tls?: Omit<ServerTrust, 'serverName'>;
}

export interface SourceTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** Of the cluster whose WAL it is. */
  readonly systemIdentifier: bigint;
}

/**
 * Connects to a safekeeper for one timeline's WAL, and makes sure that it is that cluster's.
 * @throws as `connect` and ClientConnection.query; CorruptionError for the WAL of another cluster
 */
export async function connectToSource(
  { id, host, pgPort }: SafekeeperAddress,
  { tenantId, timelineId, systemIdentifier }: SourceTimeline,
  { applicationName, password, tls }: SourceAccess,
  { sockets, clock, random }: SourceDoors,
  connectTimeoutMs: number,
  signal: AbortSignal,
): Promise<ClientConnection> {
  const connection = await connect(
    sockets,
    { host, port: pgPort },
    {
      user: applicationName,
      database: 'replication',
      parameters: {
        application_name: applicationName,
        replication: 'true',
        options: `-c tenant_id=${tenantId} timeline_id=${timelineId}`,
      },
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls: { ...tls, serverName: host } }),
      bodyBytesMax: MESSAGE_BYTES_MAX,
      connectTimeoutMs,
      clock,
      random,
      signal,
    },
  );
  try {
    const { rows } = await connection.query(formatReplicationCommand({ kind: 'IdentifySystem' }));
    const [system, timeline] = rows[0] ?? [];
    if (system !== String(systemIdentifier) || timeline !== POSTGRES_TIMELINE) {
      throw new CorruptionError(
        'WRONG_SYSTEM',
        `safekeeper ${id} has WAL of system ${system}, timeline ${timeline}, instead of ${systemIdentifier}, timeline ${POSTGRES_TIMELINE}`,
      );
    }
    return connection;
  } catch (error) {
    connection.abort(new VarveError('cancelled', 'CONNECTION_CLOSED', 'this safekeeper is no source'));
    throw error;
  }
}
