import type { PostgresPoolClient } from 'kysely';
import { VarveError } from '../../base/errors.ts';
import { type Migration, SCHEMA } from './migrations.ts';

/** Of the advisory locks of this database, one that nobody else takes: “varv” in ASCII, and what it is for. */
const LOCK_CLASS = 0x76_61_72_76;
const MIGRATION_LOCK = 1;
export const LEADER_LOCK = [LOCK_CLASS, 2] as const;

/**
 * Brings the tables to the newest version, or leaves them as they are: all in one transaction. Whoever comes meanwhile waits.
 * @returns the names of the migrations that were carried out
 * @throws VarveError ‘precondition’ / CONTROL_DATABASE_TOO_NEW; what the database fails of
 */
export async function migrate(
  client: Pick<PostgresPoolClient, 'query'>,
  migrations: readonly Migration[],
): Promise<string[]> {
  await client.query('BEGIN', []);
  try {
    const done = await migrateWithin(client, migrations);
    await client.query('COMMIT', []);
    return done;
  } catch (error) {
    // The first error is the one to be told: a connection that is lost has rolled back by that.
    await client.query('ROLLBACK', []).catch(() => undefined);
    throw error;
  }
}

async function migrateWithin(
  client: Pick<PostgresPoolClient, 'query'>,
  migrations: readonly Migration[],
): Promise<string[]> {
  await client.query('SELECT pg_advisory_xact_lock($1, $2)', [LOCK_CLASS, MIGRATION_LOCK]);
  await client.query('SET LOCAL client_min_messages = warning', []);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`, []);
  await client.query(`SET LOCAL search_path = ${SCHEMA}`, []);
  await client.query(
    `CREATE TABLE IF NOT EXISTS schema_versions (
      version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    [],
  );
  const { rows } = await client.query<{ version: number }>(
    'SELECT coalesce(max(version), 0)::integer AS version FROM schema_versions',
    [],
  );
  const version = rows[0]?.version ?? 0;
  if (version > migrations.length) {
    throw new VarveError(
      'precondition',
      'CONTROL_DATABASE_TOO_NEW',
      `the control plane's tables are of version ${version}, and this program knows ${migrations.length}: ` +
        'run the newer program that made them',
    );
  }
  const missing = migrations.slice(version);
  for (const [index, { name, statements }] of missing.entries()) {
    for (const statement of statements) await client.query(statement, []);
    await client.query('INSERT INTO schema_versions (version, name) VALUES ($1, $2)', [
      version + index + 1,
      name,
    ]);
  }
  return missing.map(({ name }) => name);
}
