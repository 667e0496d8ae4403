import type { SchemaEntry } from '../schema-entry.ts';
import {
  type CatalogReader,
  type CatalogRow,
  isTrue,
  OWN_SCHEMA,
  text,
  USER_OID_MIN,
} from './catalog-reader.ts';
import { owned } from './types.ts';

/** Constructors and casts of a range type are made with it. */
const notInternal = (catalog: string, oid: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = '${catalog}'::regclass AND i.objid = ${oid} AND i.deptype = 'i')`;

const FUNCTIONS = `
  SELECT 'pg_proc:' || p.oid AS key, n.nspname AS schema, p.prokind,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
    pg_get_userbyid(p.proowner) AS owner, pg_get_functiondef(p.oid) AS definition
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prokind <> 'a' AND ${notInternal('pg_proc', 'p.oid')} AND ${OWN_SCHEMA} ORDER BY p.oid`;

const operatorName = (oid: string): string =>
  `(SELECT format('OPERATOR(%I.%s)', xn.nspname, x.oprname) FROM pg_operator x
      JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = ${oid})`;

const AGGREGATES = `
  SELECT 'pg_proc:' || p.oid AS key, n.nspname AS schema,
    format('%I.%I(%s)', n.nspname, p.proname, COALESCE(NULLIF(pg_get_function_identity_arguments(p.oid), ''), '*')) AS name,
    format('%I.%I(%s)', n.nspname, p.proname, COALESCE(NULLIF(pg_get_function_arguments(p.oid), ''), '*')) AS signature,
    pg_get_userbyid(p.proowner) AS owner, p.proparallel, a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggfinalextra,
    a.aggfinalmodify, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn,
    a.aggmfinalextra, a.aggmfinalmodify, format_type(a.aggtranstype, NULL) AS state, a.aggtransspace,
    format_type(a.aggmtranstype, NULL) AS moving_state, a.aggmtranstype, a.aggmtransspace,
    quote_literal(a.agginitval) AS initial, quote_literal(a.aggminitval) AS moving_initial,
    ${operatorName('a.aggsortop')} AS sort_operator
  FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE ${OWN_SCHEMA} ORDER BY p.oid`;

const OPERATORS = `
  SELECT 'pg_operator:' || o.oid AS key, n.nspname AS schema, format('%I.%s', n.nspname, o.oprname) AS operator,
    format('%I.%s (%s, %s)', n.nspname, o.oprname, COALESCE(format_type(NULLIF(o.oprleft, 0), NULL), 'NONE'),
      COALESCE(format_type(NULLIF(o.oprright, 0), NULL), 'NONE')) AS name,
    pg_get_userbyid(o.oprowner) AS owner, o.oprcode, format_type(NULLIF(o.oprleft, 0), NULL) AS left,
    format_type(NULLIF(o.oprright, 0), NULL) AS right, o.oprrest, o.oprjoin, o.oprcanhash, o.oprcanmerge,
    ${operatorName('o.oprcom')} AS commutator, ${operatorName('o.oprnegate')} AS negator
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
  WHERE o.oprcode <> 0 AND ${OWN_SCHEMA} ORDER BY o.oid`;

const CASTS = `
  SELECT 'pg_cast:' || c.oid AS key, format('(%s AS %s)', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)) AS name,
    CASE c.castmethod WHEN 'f' THEN 'WITH FUNCTION ' || c.castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT'
      ELSE 'WITHOUT FUNCTION' END || CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END
      AS method
  FROM pg_cast c WHERE c.oid >= ${USER_OID_MIN} AND ${notInternal('pg_cast', 'c.oid')} ORDER BY c.oid`;

/** Functions, procedures, aggregates, operators and casts. */
export async function readFunctions(reader: CatalogReader): Promise<SchemaEntry[]> {
  const entries: SchemaEntry[] = [];
  for (const row of await reader.ownRows(FUNCTIONS)) {
    const noun = row['prokind'] === 'p' ? 'PROCEDURE' : 'FUNCTION';
    entries.push(owned('function', noun, row, text(row, 'definition').trimEnd()));
  }
  for (const row of await reader.ownRows(AGGREGATES)) entries.push(aggregateEntry(row));
  for (const row of await reader.ownRows(OPERATORS)) entries.push(operatorEntry(row));
  for (const row of await reader.ownRows(CASTS)) {
    const name = text(row, 'name');
    const statements = [`CREATE CAST ${name} ${text(row, 'method')}`];
    entries.push({ key: text(row, 'key'), kind: 'cast', name, schema: null, statements });
  }
  return entries;
}

/** `word = value`, unless the value is null or the name of no function. */
function option(row: CatalogRow, column: string, word: string): string[] {
  const value = row[column];
  return value === null || value === undefined || value === '-' ? [] : [`${word} = ${value}`];
}

const MODIFY_WORDS: Readonly<Record<string, string>> = {
  r: 'READ_ONLY',
  s: 'SHAREABLE',
  w: 'READ_WRITE',
};
const PARALLEL_WORDS: Readonly<Record<string, string>> = { s: 'SAFE', r: 'RESTRICTED', u: 'UNSAFE' };

/** CREATE AGGREGATE (pg_dump prints none of this from a function of the server's either). */
function aggregateEntry(row: CatalogRow): SchemaEntry {
  const isMoving = row['aggmtranstype'] !== '0';
  const final = (column: string, word: string, extra: string, modify: string): string[] => {
    if (row[column] === '-') return [];
    const words = option(row, column, word);
    if (isTrue(row, extra)) words.push(`${word}_EXTRA`);
    return [...words, `${word}_MODIFY = ${MODIFY_WORDS[text(row, modify)]}`];
  };
  const details = [
    ...option(row, 'aggtransfn', 'SFUNC'),
    ...option(row, 'state', 'STYPE'),
    ...(row['aggtransspace'] === '0' ? [] : option(row, 'aggtransspace', 'SSPACE')),
    ...final('aggfinalfn', 'FINALFUNC', 'aggfinalextra', 'aggfinalmodify'),
    ...option(row, 'aggcombinefn', 'COMBINEFUNC'),
    ...option(row, 'aggserialfn', 'SERIALFUNC'),
    ...option(row, 'aggdeserialfn', 'DESERIALFUNC'),
    ...option(row, 'initial', 'INITCOND'),
    ...option(row, 'aggmtransfn', 'MSFUNC'),
    ...option(row, 'aggminvtransfn', 'MINVFUNC'),
    ...(isMoving ? option(row, 'moving_state', 'MSTYPE') : []),
    ...(row['aggmtransspace'] === '0' ? [] : option(row, 'aggmtransspace', 'MSSPACE')),
    ...final('aggmfinalfn', 'MFINALFUNC', 'aggmfinalextra', 'aggmfinalmodify'),
    ...option(row, 'moving_initial', 'MINITCOND'),
    ...option(row, 'sort_operator', 'SORTOP'),
    ...(row['aggkind'] === 'h' ? ['HYPOTHETICAL'] : []),
    `PARALLEL = ${PARALLEL_WORDS[text(row, 'proparallel')]}`,
  ];
  const statement = `CREATE AGGREGATE ${text(row, 'signature')} (\n    ${details.join(',\n    ')}\n)`;
  return owned('aggregate', 'AGGREGATE', row, statement);
}

function operatorEntry(row: CatalogRow): SchemaEntry {
  const details = [
    ...option(row, 'oprcode', 'FUNCTION'),
    ...option(row, 'left', 'LEFTARG'),
    ...option(row, 'right', 'RIGHTARG'),
    ...option(row, 'commutator', 'COMMUTATOR'),
    ...option(row, 'negator', 'NEGATOR'),
    ...option(row, 'oprrest', 'RESTRICT'),
    ...option(row, 'oprjoin', 'JOIN'),
    ...(isTrue(row, 'oprcanhash') ? ['HASHES'] : []),
    ...(isTrue(row, 'oprcanmerge') ? ['MERGES'] : []),
  ];
  const statement = `CREATE OPERATOR ${text(row, 'operator')} (\n    ${details.join(',\n    ')}\n)`;
  return owned('operator', 'OPERATOR', row, statement);
}
