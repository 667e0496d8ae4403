import { quoteLiteral } from '../../postgres/sql-text.ts';
import type { ClosingStatement } from '../schema-entry.ts';
import { type CatalogReader, text, USER_OID_MIN } from './catalog-reader.ts';

/** Identities as COMMENT ON takes them; those of functions name all arguments that do. */
const COMMENTS = `
  SELECT d.classoid::regclass || ':' || d.objoid AS key, i.type, d.description,
    CASE d.classoid WHEN 'pg_proc'::regclass
      THEN (SELECT format('%I.%I(%s)', n.nspname, p.proname, CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN '*'
          ELSE pg_get_function_identity_arguments(p.oid) END)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = d.objoid)
      WHEN 'pg_constraint'::regclass THEN COALESCE((SELECT format('%I ON DOMAIN %I.%I', c.conname, n.nspname, t.typname)
        FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE c.oid = d.objoid), i.identity)
      ELSE i.identity END AS identity
  FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i
  WHERE (d.objoid >= ${USER_OID_MIN} OR (d.classoid = 'pg_namespace'::regclass AND i.identity = 'public'
      AND d.description <> 'standard public schema'))
    AND d.classoid <> 'pg_largeobject'::regclass AND i.type IS NOT NULL
  ORDER BY d.classoid, d.objoid, d.objsubid`;

/** pg_identify_object's words for what SQL calls otherwise. */
const NOUNS: Readonly<Record<string, string>> = {
  'composite type': 'TYPE',
  'table column': 'COLUMN',
  'view column': 'COLUMN',
  'materialized view column': 'COLUMN',
  'composite type column': 'COLUMN',
  'composite type attribute': 'COLUMN',
  'table constraint': 'CONSTRAINT',
  'domain constraint': 'CONSTRAINT',
  'statistics object': 'STATISTICS',
};

/** Of what users have made. */
export async function readComments(reader: CatalogReader): Promise<ClosingStatement[]> {
  return (await reader.ownRows(COMMENTS)).map((row) => {
    const type = text(row, 'type');
    const target = `${NOUNS[type] ?? type.toUpperCase()} ${text(row, 'identity')}`;
    return {
      key: text(row, 'key'),
      text: `COMMENT ON ${target} IS ${quoteLiteral(text(row, 'description'))}`,
      roles: [],
    };
  });
}
