import type { Random } from '../io/random.ts';
import { quoteIdentifier, quoteLiteral } from '../postgres/sql-text.ts';
import {
  deriveScramSecret,
  formatScramSecret,
  parseScramSecret,
  SCRAM_DEFAULT_SALT_BYTES,
  SCRAM_SHA_256_DEFAULT_ITERATIONS,
  SCRAM_SHA_256_NAME,
} from '../postgres/wire/scram.ts';
import type { DatabaseSpec, RoleSpec } from './compute-spec.ts';

/** What a branch has of the roles and databases that a spec names. */
export interface ExistingObjects {
  readonly roles: readonly ExistingRole[];
  readonly databases: readonly { readonly name: string; readonly owner: string }[];
}

/** A row of pg_authid, by the names of a spec. */
export interface ExistingRole {
  readonly name: string;
  readonly password: string | null;
  readonly login: boolean;
  readonly superuser: boolean;
  readonly createdb: boolean;
  readonly createrole: boolean;
  readonly replication: boolean;
  readonly bypassrls: boolean;
  readonly connectionLimit: number;
  /** As ISO 8601 in UTC, but for a space and a short zone; `infinity`, or null where it has no end. */
  readonly validUntil: string | null;
  readonly memberOf: readonly string[];
}

/** What makes a branch have what one field of a spec says. */
export interface SpecStatement {
  /** Of the field. */
  readonly path: string;
  readonly sql: string;
}

const WORDS = {
  login: ['LOGIN', 'NOLOGIN'],
  superuser: ['SUPERUSER', 'NOSUPERUSER'],
  createdb: ['CREATEDB', 'NOCREATEDB'],
  createrole: ['CREATEROLE', 'NOCREATEROLE'],
  replication: ['REPLICATION', 'NOREPLICATION'],
  bypassrls: ['BYPASSRLS', 'NOBYPASSRLS'],
} as const;
const FLAGS = Object.keys(WORDS) as (keyof typeof WORDS)[];

/**
 * Statements by which roles become what a spec says, for one transaction: none where they are it already. Roles come before
 * who is a member of them. A password's text is in none of them.
 */
export function roleStatements(
  roles: readonly RoleSpec[],
  existing: ExistingObjects,
  random: Random,
): SpecStatement[] {
  const known = new Map(existing.roles.map((role) => [role.name, role]));
  const statements: SpecStatement[] = [];
  for (const [index, role] of roles.entries()) {
    const found = known.get(role.name);
    const options = [...flagOptions(role, found), ...otherOptions(role, found, random)];
    if (found !== undefined && options.length === 0) continue;
    const verb = found === undefined ? 'CREATE' : 'ALTER';
    const words = [verb, 'ROLE', quoteIdentifier(role.name), ...options];
    statements.push({ path: `roles.${index}`, sql: words.join(' ') });
  }
  for (const [index, { name, memberOf = [] }] of roles.entries()) {
    const groups = known.get(name)?.memberOf ?? [];
    for (const [place, group] of memberOf.entries()) {
      if (groups.includes(group)) continue;
      const sql = `GRANT ${quoteIdentifier(group)} TO ${quoteIdentifier(name)}`;
      statements.push({ path: `roles.${index}.memberOf.${place}`, sql });
    }
  }
  return statements;
}

/** The same of databases, each for a transaction of its own: none may stand in a larger one (PreventInTransactionBlock). */
export function databaseStatements(
  databases: readonly DatabaseSpec[],
  existing: ExistingObjects,
): SpecStatement[] {
  const owners = new Map(existing.databases.map(({ name, owner }) => [name, owner]));
  const statements: SpecStatement[] = [];
  for (const [index, { name, owner }] of databases.entries()) {
    const found = owners.get(name);
    const database = quoteIdentifier(name);
    const ownerWords = owner === undefined ? '' : ` OWNER ${quoteIdentifier(owner)}`;
    if (found === undefined) {
      statements.push({ path: `databases.${index}`, sql: `CREATE DATABASE ${database}${ownerWords}` });
    } else if (owner !== undefined && owner !== found) {
      const sql = `ALTER DATABASE ${database} OWNER TO ${quoteIdentifier(owner)}`;
      statements.push({ path: `databases.${index}.owner`, sql });
    }
  }
  return statements;
}

function flagOptions(role: RoleSpec, found: ExistingRole | undefined): string[] {
  return FLAGS.flatMap((flag) => {
    const wanted = role[flag];
    if (wanted === undefined || wanted === found?.[flag]) return [];
    return [WORDS[flag][wanted ? 0 : 1]];
  });
}

function otherOptions(role: RoleSpec, found: ExistingRole | undefined, random: Random): string[] {
  const { connectionLimit, validUntil, password } = role;
  const options: string[] = [];
  if (connectionLimit !== undefined && connectionLimit !== found?.connectionLimit) {
    options.push(`CONNECTION LIMIT ${connectionLimit}`);
  }
  if (validUntil !== undefined && secondsOf(validUntil) !== toSeconds(found?.validUntil)) {
    options.push(`VALID UNTIL ${quoteLiteral(validUntil)}`);
  }
  if (password === null && (found?.password ?? null) !== null) options.push('PASSWORD NULL');
  if (typeof password === 'string' && !isPassword(password, found?.password)) {
    options.push(`PASSWORD ${quoteLiteral(toSecret(password, random))}`);
  }
  return options;
}

const secondsOf = (validUntil: string): number =>
  validUntil === 'infinity' ? Number.POSITIVE_INFINITY : new Date(validUntil).getTime() / 1000;

const toSeconds = (text: string | null | undefined): number | undefined =>
  text === null || text === undefined ? undefined : secondsOf(text.replace(' ', 'T').replace(/\+00$/, 'Z'));

const isSecret = (password: string): boolean => password.startsWith(`${SCRAM_SHA_256_NAME}$`);

/** Whether a server's secret is that of a password: it has a salt of its own. */
function isPassword(password: string, stored: string | null | undefined): boolean {
  if (stored === null || stored === undefined || password === stored) return password === stored;
  // An MD5 hash, which a cluster that was imported may have, is replaced.
  if (isSecret(password) || !isSecret(stored)) return false;
  const { salt, iterations } = parseScramSecret(stored);
  return formatScramSecret(deriveScramSecret(password, salt, iterations)) === stored;
}

function toSecret(password: string, random: Random): string {
  if (isSecret(password)) return password;
  const salt = random.bytes(SCRAM_DEFAULT_SALT_BYTES);
  return formatScramSecret(deriveScramSecret(password, salt, SCRAM_SHA_256_DEFAULT_ITERATIONS));
}
