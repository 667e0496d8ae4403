import { CorruptionError, VarveError } from '../base/errors.ts';
import { type Lsn, parseLsn } from '../base/lsn.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connect } from '../libpq/client/connect.ts';
import type { PostgresAddress } from './connection-string.ts';
import type { ProposerDoors } from './options.ts';

/** What a server says of itself over a replication connection. */
export interface ServerIdentity {
  readonly systemIdentifier: bigint;
  readonly timelineId: number;
  /** End of the WAL that it has flushed. */
  readonly flushLsn: Lsn;
  /** Such as 170005. */
  readonly pgVersion: number;
  readonly segmentBytes: number;
}

/** What must be so of a server whose WAL is to be taken. */
export type ServerExpectations = Pick<ServerIdentity, 'systemIdentifier' | 'timelineId' | 'segmentBytes'>;

const UNIT_BYTES: Readonly<Record<string, number>> = { kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };
const CONNECT_TIMEOUT_MS = 10_000;

/** A connection to its walsender. */
export function connectToServer(
  server: PostgresAddress & { readonly connectTimeoutMs?: number },
  applicationName: string,
  doors: ProposerDoors,
  signal: AbortSignal,
): Promise<ClientConnection> {
  const { sockets, clock, random } = doors;
  return connect(sockets, server.address, {
    user: server.user,
    ...(server.password === undefined ? {} : { password: server.password }),
    parameters: { replication: 'true', application_name: applicationName },
    connectTimeoutMs: server.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    clock,
    random,
    signal,
  });
}

/** @throws what the connection fails of; CorruptionError for answers that no server gives */
export async function identifyServer(client: ClientConnection): Promise<ServerIdentity> {
  const system = await client.query('IDENTIFY_SYSTEM');
  const [systemIdentifier, timelineId, flushLsn] = system.rows[0] ?? [];
  const show = await client.query('SHOW wal_segment_size');
  const version = /^(\d+)\.(\d+)/.exec(client.parameters.get('server_version') ?? '');
  const size = /^(\d+)(kB|MB|GB)$/.exec(show.rows[0]?.[0] ?? '');
  if (!systemIdentifier || !timelineId || !flushLsn || version === null || size === null) {
    throw new CorruptionError('BAD_SERVER_ANSWER', 'the server does not say what it is');
  }
  return {
    systemIdentifier: BigInt(systemIdentifier),
    timelineId: Number(timelineId),
    flushLsn: parseLsn(flushLsn),
    pgVersion: Number(version[1]) * 10_000 + Number(version[2]),
    segmentBytes: Number(size[1]) * (UNIT_BYTES[size[2] as string] as number),
  };
}

/** @throws VarveError ‘conflict’ / WRONG_SERVER where the server is not the one that was expected */
export async function checkServer(client: ClientConnection, expected: ServerExpectations): Promise<void> {
  const found = await identifyServer(client);
  for (const name of ['systemIdentifier', 'timelineId', 'segmentBytes'] as const) {
    if (found[name] === expected[name]) continue;
    throw new VarveError(
      'conflict',
      'WRONG_SERVER',
      `the server's ${name} is ${found[name]}, not ${expected[name]}`,
    );
  }
}
