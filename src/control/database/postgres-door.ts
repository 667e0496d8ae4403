import pg from 'pg';
import type { Logger } from '../../observe/log.ts';
import type { DatabaseDoor, HeldConnection } from './database.ts';

/** Where the control plane's database is: a URL, or what libpq calls host (a directory with a socket), port, user, dbname. */
export type DatabaseLocation =
  | { readonly url: string }
  | {
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly database: string;
      readonly password?: string;
    };

const CONNECTIONS_MAX = 8;
const IDLE_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
const APPLICATION_NAME = 'varve control';

/** pg_type.dat: int8, which is a count or an id here, and exact as a number. */
const INT8_OID = 20;

const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8_OID
      ? Number
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};

/** The real side of the database's door. */
export function openPostgresDoor(location: DatabaseLocation, logger: Logger): DatabaseDoor {
  const config: pg.ClientConfig = {
    ...('url' in location ? { connectionString: location.url } : location),
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    types,
  };
  const pool = new pg.Pool({ ...config, max: CONNECTIONS_MAX, idleTimeoutMillis: IDLE_MS });
  pool.on('error', (error) => logger.warn('An idle connection to the database has ended', { error }));
  // What is lost while it is used has its queries fail. Without a listener that would end this process, as a bug (pg, Client).
  pool.on('connect', (client) => client.on('error', () => undefined));
  return { pool: pool as unknown as DatabaseDoor['pool'], hold: (onLost) => hold(config, onLost) };
}

async function hold(config: pg.ClientConfig, onLost: (error: Error) => void): Promise<HeldConnection> {
  const client = new pg.Client({ ...config, keepAlive: true });
  let hasEnded = false;
  const lost = (error: Error): void => {
    if (hasEnded) return;
    hasEnded = true;
    onLost(error);
  };
  client.on('error', lost);
  client.on('end', () => lost(new Error('the connection has ended')));
  try {
    await client.connect();
  } catch (error) {
    hasEnded = true;
    throw error;
  }
  return {
    query: client.query.bind(client) as unknown as HeldConnection['query'],
    end: async () => {
      if (hasEnded) return;
      hasEnded = true;
      await client.end();
    },
  };
}
