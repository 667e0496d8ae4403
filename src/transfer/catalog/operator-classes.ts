import type { SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';
import { owned } from './types.ts';

const FAMILIES = `
  SELECT 'pg_opfamily:' || f.oid AS key, n.nspname AS schema, quote_ident(a.amname) AS method,
    format('%I.%I USING %I', n.nspname, f.opfname, a.amname) AS name, pg_get_userbyid(f.opfowner) AS owner
  FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am a ON a.oid = f.opfmethod
  WHERE ${OWN_SCHEMA} ORDER BY f.oid`;

const CLASSES = `
  SELECT 'pg_opclass:' || o.oid AS key, n.nspname AS schema, format('%I.%I USING %I', n.nspname, o.opcname, a.amname) AS name,
    format('%I.%I', n.nspname, o.opcname) AS class_name, quote_ident(a.amname) AS method, pg_get_userbyid(o.opcowner) AS owner,
    format_type(o.opcintype, NULL) AS type, format('%I.%I', fn.nspname, f.opfname) AS family, o.opcdefault,
    CASE WHEN o.opckeytype <> 0 AND o.opckeytype <> o.opcintype THEN format_type(o.opckeytype, NULL) END AS storage
  FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am a ON a.oid = o.opcmethod
  JOIN pg_opfamily f ON f.oid = o.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace
  WHERE ${OWN_SCHEMA} ORDER BY o.oid`;

/** Operators and functions, each with the class or the family that it is a part of (opclasscmds.c, storeOperators). */
const MEMBERS = `
  SELECT d.refclassid::regclass || ':' || d.refobjid AS owner_key, 0 AS rank, o.amopstrategy AS number,
    format('OPERATOR %s %s(%s, %s)%s', o.amopstrategy, x.operator, format_type(o.amoplefttype, NULL),
      format_type(o.amoprighttype, NULL), CASE WHEN o.amoppurpose = 'o'
        THEN (SELECT format(' FOR ORDER BY %I.%I', fn.nspname, f.opfname) FROM pg_opfamily f
          JOIN pg_namespace fn ON fn.oid = f.opfnamespace WHERE f.oid = o.amopsortfamily) ELSE '' END) AS member
  FROM pg_amop o JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = o.oid
    AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass) AND d.deptype IN ('i', 'a'),
    LATERAL (SELECT format('%I.%s', n.nspname, p.oprname) AS operator FROM pg_operator p
      JOIN pg_namespace n ON n.oid = p.oprnamespace WHERE p.oid = o.amopopr) AS x
  UNION ALL
  SELECT d.refclassid::regclass || ':' || d.refobjid, 1, p.amprocnum,
    format('FUNCTION %s (%s, %s) %s', p.amprocnum, format_type(p.amproclefttype, NULL), format_type(p.amprocrighttype, NULL),
      p.amproc::regprocedure)
  FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid
    AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass) AND d.deptype IN ('i', 'a')
  ORDER BY 1, 2, 3, 4`;

/** Operator families, what is loose in them, and operator classes. */
export async function readOperatorClasses(reader: CatalogReader): Promise<SchemaEntry[]> {
  const families = await reader.ownRows(FAMILIES);
  const classes = await reader.ownRows(CLASSES);
  if (families.length + classes.length === 0) return [];
  const members = new Map<string, string[]>();
  for (const row of await reader.rows(MEMBERS)) {
    const owner = text(row, 'owner_key');
    members.set(owner, [...(members.get(owner) ?? []), text(row, 'member')]);
  }
  return [
    ...families.flatMap((row) => familyEntries(row, members.get(text(row, 'key')) ?? [])),
    ...classes.map((row) => classEntry(row, members.get(text(row, 'key')) ?? [])),
  ];
}

function familyEntries(row: CatalogRow, loose: readonly string[]): SchemaEntry[] {
  const family = owned('operator family', 'OPERATOR FAMILY', row, `CREATE OPERATOR FAMILY ${row['name']}`);
  if (loose.length === 0) return [family];
  const { owner: _, ...rest } = family;
  const key = family.key.replace('pg_opfamily', 'loose');
  const statements = [`ALTER OPERATOR FAMILY ${row['name']} ADD\n    ${loose.join(',\n    ')}`];
  // Among them there may be functions that the classes of the family need only together.
  return [family, { ...rest, key, kind: 'operator class', statements, after: [family.key] }];
}

function classEntry(row: CatalogRow, members: readonly string[]): SchemaEntry {
  const parts = row['storage'] === null ? [...members] : [...members, `STORAGE ${row['storage']}`];
  const statement = [
    `CREATE OPERATOR CLASS ${row['class_name']}${isTrue(row, 'opcdefault') ? ' DEFAULT' : ''}`,
    ` FOR TYPE ${row['type']} USING ${row['method']} FAMILY ${row['family']} AS\n    `,
    (parts.length === 0 ? [`STORAGE ${row['type']}`] : parts).join(',\n    '),
  ];
  return owned('operator class', 'OPERATOR CLASS', row, statement.join(''));
}
