import { VarveError } from '../base/errors.ts';
import type { Random } from '../io/random.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { Logger } from '../observe/log.ts';
import { quoteLiteral } from '../postgres/sql-text.ts';
import type { ComputeOptions } from './options.ts';
import {
  databaseStatements,
  type ExistingObjects,
  type ExistingRole,
  roleStatements,
  type SpecStatement,
} from './role-statements.ts';

type Wanted = Pick<ComputeOptions, 'roles' | 'databases'>;
type Named = readonly { readonly name: string }[];

/** Whatever a spec's settings say, what follows is to work, and no secret is to be in the server's log. */
const SESSION = `SET search_path = pg_catalog; SET default_transaction_read_only = off; SET statement_timeout = 0;
SET lock_timeout = 0; SET log_statement = none; SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1; SET log_min_error_statement = panic; SET debug_print_parse = off;
SET client_encoding = 'UTF8'; SET datestyle = ISO; SET timezone = 'UTC'`;

/** Whether there is anything to look for. */
export const hasObjects = ({ roles = [], databases = [] }: Wanted): boolean =>
  roles.length + databases.length > 0;

/**
 * Makes roles and databases what a spec says: nothing is written where they are. Roles are all changed, or none.
 * @param client of the superuser
 * @throws VarveError of the kind of the server's answer / SPEC_REFUSED, which names the field; what the connection fails of
 */
export async function applySpec(
  client: Pick<ClientConnection, 'query'>,
  wanted: Wanted,
  random: Random,
  logger: Logger,
): Promise<void> {
  const existing = await findExisting(client, wanted);
  const roles = roleStatements(wanted.roles ?? [], existing, random);
  const databases = databaseStatements(wanted.databases ?? [], existing);
  if (roles.length > 0) {
    await client.query('BEGIN');
    for (const statement of roles) await run(client, statement);
    await client.query('COMMIT');
  }
  for (const statement of databases) await run(client, statement);
  const changes = [...roles, ...databases].map(({ path }) => path);
  if (changes.length > 0) logger.info('The branch has what the spec says', { changes });
}

async function run(client: Pick<ClientConnection, 'query'>, { path, sql }: SpecStatement): Promise<void> {
  try {
    await client.query(sql);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'POSTGRES_ERROR') throw error;
    throw new VarveError(error.kind, 'SPEC_REFUSED', `${path} of the spec: ${error.reason}`, {}, error);
  }
}

/** Plain columns of few catalogs: what a new server has to look up for anything else costs more than the question. */
async function findExisting(
  client: Pick<ClientConnection, 'query'>,
  { roles = [], databases = [] }: Wanted,
): Promise<ExistingObjects> {
  const groups = new Map<string, string[]>();
  await client.query(SESSION);
  const members = roles.filter(({ memberOf = [] }) => memberOf.length > 0);
  if (members.length > 0) {
    const { rows } = await client.query(`SELECT a.rolname, g.rolname FROM pg_auth_members m
JOIN pg_authid a ON a.oid = m.member JOIN pg_authid g ON g.oid = m.roleid WHERE a.rolname IN (${listOf(members)})`);
    for (const [member, group] of rows) {
      groups.set(String(member), [...(groups.get(String(member)) ?? []), String(group)]);
    }
  }
  const found = roles.length === 0 ? NO_ROWS : (await client.query(roleQuery(roles))).rows;
  const owned = databases.length === 0 ? NO_ROWS : (await client.query(databaseQuery(databases))).rows;
  return {
    roles: found.map((row) => toRole(row, groups)),
    databases: owned.map(([name, owner]) => ({ name: String(name), owner: String(owner) })),
  };
}

type Row = readonly (string | null)[];
const NO_ROWS: readonly Row[] = [];

const roleQuery = (roles: Named): string =>
  `SELECT rolname, rolpassword, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
rolconnlimit, rolvaliduntil FROM pg_authid WHERE rolname IN (${listOf(roles)})`;

const databaseQuery = (databases: Named): string =>
  `SELECT datname, rolname FROM pg_database JOIN pg_authid o ON o.oid = datdba WHERE datname IN (${listOf(databases)})`;

/** A row of roleQuery. */
function toRole(row: Row, groups: ReadonlyMap<string, readonly string[]>): ExistingRole {
  const [name, password = null, login, superuser, createdb, createrole, replication, bypassrls] = row;
  const [connectionLimit, validUntil = null] = row.slice(8);
  return {
    ...{ name: String(name), password, login: login === 't', superuser: superuser === 't' },
    ...{ createdb: createdb === 't', createrole: createrole === 't', replication: replication === 't' },
    ...{ bypassrls: bypassrls === 't', connectionLimit: Number(connectionLimit), validUntil },
    memberOf: groups.get(String(name)) ?? [],
  };
}

const listOf = (items: Named): string => items.map(({ name }) => quoteLiteral(name)).join(', ');
