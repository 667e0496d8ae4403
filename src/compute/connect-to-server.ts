import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connect } from '../libpq/client/connect.ts';
import type { ComputeDirectory } from './compute-directory.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { SUPERUSER } from './setting-rules.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** A connection of the agent's to its own server, as the superuser. @throws as connect */
export async function connectToServer(
  directory: ComputeDirectory,
  { listen }: ComputeOptions,
  { sockets, clock, random }: ComputeDoors,
  database: string,
  signal: AbortSignal,
): Promise<ClientConnection> {
  const connection = await connect(
    sockets,
    { path: `${directory.socketPath}/.s.PGSQL.${listen.port}` },
    {
      user: SUPERUSER,
      database,
      parameters: { application_name: 'varve agent' },
      clock,
      random,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      signal,
    },
  );
  directory.agentSessions++;
  return connection;
}
