import { quoteIdentifier } from '../../postgres/sql-text.ts';
import type { ClosingStatement } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, OWN_SCHEMA, text, USER_OID_MIN } from './catalog-reader.ts';
import { PUBLIC_OWNER } from './types.ts';

/** An item of an ACL (aclexplode). */
interface Privilege {
  readonly grantor: string;
  /** Null: everybody. */
  readonly grantee: string | null;
  readonly privilege: string;
  readonly grantable: boolean;
}

const explode = (acl: string): string =>
  `(SELECT json_agg(json_build_object('grantor', pg_get_userbyid(x.grantor), 'grantee',
      CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END, 'privilege', x.privilege_type, 'grantable', x.is_grantable)
      ORDER BY at) FROM aclexplode(${acl}) WITH ORDINALITY AS x (grantor, grantee, privilege_type, is_grantable, at))`;

/** @param initial what a new one of its kind has */
const privileges = (
  key: string,
  target: string,
  owner: string,
  acl: string,
  initial: string,
  from: string,
): string =>
  `SELECT ${key} AS key, NULL AS column_name, ${target} AS target, pg_get_userbyid(${owner}) AS owner,
     ${explode(acl)} AS held, ${explode(initial)} AS initial FROM ${from} AND ${acl} IS NOT NULL`;

/** What schema public has in a new database (initdb.c, setup_privileges; since PostgreSQL 15). */
const PUBLIC_INITIAL = `'{${PUBLIC_OWNER}=UC/${PUBLIC_OWNER},=U/${PUBLIC_OWNER}}'::aclitem[]`;

const IN_SCHEMA = 'pg_namespace n WHERE n.oid =';
const QUERIES: readonly string[] = [
  privileges(
    `'pg_namespace:' || n.oid`,
    `format('SCHEMA %I', n.nspname)`,
    'n.nspowner',
    'n.nspacl',
    `CASE WHEN n.nspname = 'public' THEN ${PUBLIC_INITIAL} ELSE acldefault('n', n.nspowner) END`,
    `pg_namespace n WHERE ${OWN_SCHEMA}`,
  ),
  privileges(
    `'pg_class:' || c.oid`,
    `format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname)`,
    'c.relowner',
    'c.relacl',
    `acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)`,
    `pg_class c, ${IN_SCHEMA} c.relnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND ${OWN_SCHEMA}`,
  ),
  privileges(
    `'pg_proc:' || p.oid`,
    `format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname, p.proname,
       pg_get_function_identity_arguments(p.oid))`,
    'p.proowner',
    'p.proacl',
    `acldefault('f', p.proowner)`,
    `pg_proc p, ${IN_SCHEMA} p.pronamespace AND ${OWN_SCHEMA}`,
  ),
  privileges(
    `'pg_type:' || t.oid`,
    `format('TYPE %I.%I', n.nspname, t.typname)`,
    't.typowner',
    't.typacl',
    `acldefault('T', t.typowner)`,
    `pg_type t, ${IN_SCHEMA} t.typnamespace AND ${OWN_SCHEMA}`,
  ),
  `SELECT 'pg_class:' || c.oid AS key, quote_ident(a.attname) AS column_name, format('TABLE %I.%I', n.nspname, c.relname) AS target,
     pg_get_userbyid(c.relowner) AS owner, ${explode('a.attacl')} AS held, NULL AS initial
   FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND ${OWN_SCHEMA} ORDER BY a.attrelid, a.attnum`,
];

const DEFAULTS = `
  SELECT 'pg_default_acl:' || d.oid AS key, pg_get_userbyid(d.defaclrole) AS owner, n.nspname AS schema,
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
      WHEN 'n' THEN 'SCHEMAS' END AS target, ${explode('d.defaclacl')} AS held,
    CASE WHEN d.defaclnamespace = 0 THEN ${explode(`acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::"char", d.defaclrole)`)} END AS initial
  FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE d.oid >= ${USER_OID_MIN} ORDER BY d.oid`;

/** What differs from the privileges that a new one of each kind has. */
export async function readPrivileges(reader: CatalogReader): Promise<ClosingStatement[]> {
  const statements: ClosingStatement[] = [];
  for (const query of QUERIES) {
    for (const row of await reader.ownRows(query)) statements.push(...statementsOf(row));
  }
  // Whoever grants by himself has to see the schema, as long as it goes.
  const isLast = ({ text: sql }: ClosingStatement): boolean => /^REVOKE [A-Z, ]+ ON SCHEMA /.test(sql);
  return [...statements.filter((each) => !isLast(each)), ...statements.filter(isLast)];
}

function statementsOf(row: CatalogRow): ClosingStatement[] {
  const held = JSON.parse(row['held'] ?? '[]') as Privilege[];
  const initial = JSON.parse(row['initial'] ?? '[]') as Privilege[];
  const column = row['column_name'] === null ? '' : ` (${row['column_name']})`;
  const owner = text(row, 'owner');
  return differences(held, initial).map(({ verb, items }) => {
    const [{ grantor, grantee, grantable }] = items as [Privilege];
    const names = items.map(({ privilege }) => `${privilege}${column}`).join(', ');
    const role = grantee === null ? 'PUBLIC' : quoteIdentifier(grantee);
    const change = wording(verb, names, text(row, 'target'), role, grantable);
    const others = [owner, grantee, grantor].filter((each) => each !== null);
    // A superuser grants in the owner's name; anybody else has to do it himself.
    const isOwner = grantor === owner;
    return {
      key: text(row, 'key'),
      text: change,
      roles: others,
      ...(isOwner ? {} : { as: grantor }),
    };
  });
}

function wording(verb: Verb, names: string, target: string, role: string, grantable: boolean): string {
  if (verb === 'REVOKE') return `REVOKE ${names} ON ${target} FROM ${role}`;
  return `GRANT ${names} ON ${target} TO ${role}${grantable ? ' WITH GRANT OPTION' : ''}`;
}

type Verb = 'GRANT' | 'REVOKE';

/** What has to be taken and given, in groups of one statement each, in the order of the lists. */
function differences(
  held: readonly Privilege[],
  initial: readonly Privilege[],
): { readonly verb: Verb; readonly items: readonly Privilege[] }[] {
  const same = (left: Privilege, right: Privilege): boolean =>
    left.privilege === right.privilege && left.grantee === right.grantee && left.grantor === right.grantor;
  const taken = initial.filter((item) => !held.some((other) => same(item, other)));
  const given = held.filter(
    (item) => !initial.some((other) => same(item, other) && item.grantable === other.grantable),
  );
  const groups = new Map<string, { verb: Verb; items: Privilege[] }>();
  const add = (verb: Verb, item: Privilege): void => {
    const key = JSON.stringify([verb, item.grantor, item.grantee, item.grantable]);
    const group = groups.get(key) ?? { verb, items: [] };
    groups.set(key, group);
    group.items.push(item);
  };
  for (const item of taken) add('REVOKE', item);
  for (const item of given) add('GRANT', item);
  return [...groups.values()];
}

/** ALTER DEFAULT PRIVILEGES, which is for what is made afterwards. */
export async function readDefaultPrivileges(reader: CatalogReader): Promise<ClosingStatement[]> {
  return (await reader.rows(DEFAULTS)).flatMap((row) => {
    const held = JSON.parse(row['held'] ?? '[]') as Privilege[];
    const initial = JSON.parse(row['initial'] ?? '[]') as Privilege[];
    const owner = text(row, 'owner');
    const place = row['schema'] === null ? '' : ` IN SCHEMA ${quoteIdentifier(text(row, 'schema'))}`;
    return differences(held, initial).map(({ verb, items }) => {
      const [{ grantee, grantable }] = items as [Privilege];
      const names = items.map(({ privilege }) => privilege).join(', ');
      const role = grantee === null ? 'PUBLIC' : quoteIdentifier(grantee);
      const change = wording(verb, names, text(row, 'target'), role, grantable);
      return {
        key: row['schema'] === null ? text(row, 'key') : `schema ${row['schema']}`,
        text: `ALTER DEFAULT PRIVILEGES FOR ROLE ${quoteIdentifier(owner)}${place} ${change}`,
        roles: [owner, grantee].filter((each) => each !== null),
      };
    });
  });
}
