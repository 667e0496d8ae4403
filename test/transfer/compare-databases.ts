import { type CanonicalDump, canonicalDump, firstDifference } from '../support/canonical-dump.ts';
import type { Connector } from '../support/pgbench.ts';

/** How two databases differ that should hold the same; undefined: they do not. */
export async function differenceOf(
  left: Connector,
  right: Connector,
  leftDatabase: string,
  rightDatabase = leftDatabase,
): Promise<string | undefined> {
  return firstDifference(await logicalDump(left, leftDatabase), await logicalDump(right, rightDatabase));
}

/** What the canonical dump knows by name only. */
const DEFINITIONS: readonly string[] = [
  `SELECT o.oid::regoperator, oprcode, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanhash, oprcanmerge,
     oprowner::regrole FROM pg_operator o WHERE o.oid >= 16384`,
  `SELECT opcname, opcintype::regtype, opckeytype::regtype, opcdefault, opcowner::regrole
     FROM pg_opclass WHERE oid >= 16384`,
  `SELECT f.opfname, amoplefttype::regtype, amoprighttype::regtype, amopstrategy, amoppurpose, amopopr::regoperator
     FROM pg_amop JOIN pg_opfamily f ON f.oid = amopfamily WHERE pg_amop.oid >= 16384`,
  `SELECT f.opfname, amproclefttype::regtype, amprocrighttype::regtype, amprocnum, amproc::regprocedure
     FROM pg_amproc JOIN pg_opfamily f ON f.oid = amprocfamily WHERE pg_amproc.oid >= 16384`,
  `SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod FROM pg_cast WHERE oid >= 16384`,
  `SELECT collname, collprovider, collisdeterministic, collcollate, collctype, collowner::regrole FROM pg_collation WHERE oid >= 16384`,
  `SELECT dictname, dictowner::regrole, dictinitoption FROM pg_ts_dict WHERE oid >= 16384`,
  `SELECT mapcfg::regconfig, maptokentype, mapseqno, mapdict::regdictionary FROM pg_ts_config_map WHERE mapcfg >= 16384`,
  `SELECT rngtypid::regtype, rngsubtype::regtype, rngmultitypid::regtype, rngcollation::regcollation, rngsubdiff FROM pg_range
     WHERE rngtypid >= 16384`,
  `SELECT aggfnoid::regprocedure, aggsortop::regoperator, aggfinalextra, aggfinalmodify, aggtransspace, aggmtranstype::regtype,
     aggminitval FROM pg_aggregate WHERE aggfnoid >= 16384`,
  `SELECT pubname, prrelid::regclass, prattrs::text, pg_get_expr(prqual, prrelid) FROM pg_publication_rel
     JOIN pg_publication p ON p.oid = prpubid`,
  `SELECT pubname, pnnspid::regnamespace FROM pg_publication_namespace JOIN pg_publication p ON p.oid = pnpubid`,
  `SELECT tgrelid::regclass, tgname, tgenabled, tgparentid <> 0, tgdeferrable, tginitdeferred FROM pg_trigger WHERE NOT tgisinternal`,
  `SELECT inhrelid::regclass, inhparent::regclass, inhseqno FROM pg_inherits`,
  `SELECT obj_description('public'::regnamespace)`,
];

async function definitionsOf(server: Connector, database: string): Promise<string[]> {
  const client = await server.connect({ database });
  try {
    await client.query("SET search_path = ''");
    const lines: string[] = [];
    for (const text of DEFINITIONS) {
      const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
      lines.push(...rows.map((row) => JSON.stringify(row)).sort());
    }
    return lines;
  } finally {
    await client.end();
  }
}

/** What a logical copy keeps: all but where columns have gone, and the order in which privileges were given. */
async function logicalDump(server: Connector, database: string): Promise<CanonicalDump> {
  const dump = await canonicalDump(server, { databases: [database] });
  const sections = dump
    .filter(({ title }) => title.startsWith(`${database}: `))
    .map(({ title, lines }) => ({
      title: title.slice(database.length),
      lines: normalized(title.slice(database.length + 2), lines)
        .map(sortedPrivileges)
        .sort(),
    }));
  return [...sections, { title: 'definitions', lines: await definitionsOf(server, database) }];
}

function normalized(section: string, lines: readonly string[]): readonly string[] {
  if (section === 'columns') return columnLines(lines);
  return section === 'constraints' ? lines.map(constraintLine) : lines;
}

const NUMBER = 1;
const IS_DROPPED = 10;
const MISSING_VALUE = 16;

/** Without columns that were dropped, with the others numbered anew. */
function columnLines(lines: readonly string[]): string[] {
  const columns = lines
    .map((line) => JSON.parse(line) as unknown[])
    .filter((row) => row[IS_DROPPED] === false)
    .sort((left, right) => Number(left[NUMBER]) - Number(right[NUMBER]));
  const counts = new Map<unknown, number>();
  return columns.map((row) => {
    const number = (counts.get(row[0]) ?? 0) + 1;
    counts.set(row[0], number);
    return JSON.stringify(row.with(NUMBER, number).with(MISSING_VALUE, null));
  });
}

const DEFINITION = 3;
const IS_NO_INHERIT = 9;

/** Of a key of a partition that was attached it is said, as after pg_dump, that it is not inherited: keys never are. */
function constraintLine(line: string): string {
  const row = JSON.parse(line) as unknown[];
  return /^(UNIQUE|PRIMARY|EXCLUDE)/.test(String(row[DEFINITION]))
    ? JSON.stringify(row.with(IS_NO_INHERIT, null))
    : line;
}

/** An ACL is a set: `{a=r/b,c=w/b}`. */
const sortedPrivileges = (line: string): string =>
  line.replaceAll(/"\{((?:[^{}"]|\\")*=[a-zA-Z*]*\/(?:[^{}"]|\\")*)\}"/g, (_, items: string) =>
    JSON.stringify(items.split(',').sort()),
  );
