import type { Client } from 'pg';
import { CATALOG_QUERIES, CLUSTER_QUERIES, type DumpQuery } from './canonical-dump-queries.ts';
import type { Connector } from './pgbench.ts';

/** Lines under a heading, which no other section has. */
export interface DumpSection {
  readonly title: string;
  readonly lines: readonly string[];
}

/** All that a server holds, as text that is the same whenever the content is. */
export type CanonicalDump = readonly DumpSection[];

export interface DumpOptions {
  /** The rows of the system catalogs too, with their OIDs: only a physical copy has the same. */
  readonly withCatalogRows?: boolean;
  /** Databases; all that can be connected to, if nothing is said. */
  readonly databases?: readonly string[];
}

/** So that text does not depend on settings of the server or of the role. */
const SESSION_SETTINGS = [
  "SET search_path = ''",
  "SET timezone = 'UTC'",
  "SET datestyle = 'ISO, YMD'",
  "SET intervalstyle = 'postgres'",
  'SET extra_float_digits = 1',
  "SET bytea_output = 'hex'",
  "SET xmlbinary = 'base64'",
  'SET row_security = off',
  'SET statement_timeout = 0',
  "SET lock_timeout = '20s'",
  'SET synchronize_seqscans = off',
  'SET quote_all_identifiers = off',
];

/** Which the server fills by itself, at any time. */
const CATALOGS_OF_STATISTICS = ['pg_statistic', 'pg_statistic_ext_data'];

/** Schema and rows of all databases, roles, prepared transactions, and what else the cluster has once. */
export async function canonicalDump(server: Connector, options: DumpOptions = {}): Promise<CanonicalDump> {
  const sections: DumpSection[] = [];
  const client = await server.connect();
  let databases = options.databases;
  try {
    await prepareSession(client);
    for (const query of CLUSTER_QUERIES) sections.push(await runQuery(client, 'cluster', query));
    databases ??= await columnOf(client, 'SELECT datname FROM pg_catalog.pg_database WHERE datallowconn');
  } finally {
    await client.end();
  }
  for (const database of [...databases].sort()) {
    sections.push(...(await dumpDatabase(server, database, options)));
  }
  return sections;
}

async function dumpDatabase(
  server: Connector,
  database: string,
  options: DumpOptions,
): Promise<DumpSection[]> {
  const sections: DumpSection[] = [];
  const client = await server.connect({ database });
  try {
    await prepareSession(client);
    for (const query of CATALOG_QUERIES) sections.push(await runQuery(client, database, query));
    const locked = await columnOf(client, LOCKED);
    sections.push({ title: `${database}: locked by prepared transactions`, lines: locked });
    for (const table of await columnOf(client, TABLES)) {
      if (locked.includes(table)) continue;
      sections.push(await dumpRows(client, `${database}: rows of ${table}`, table));
    }
    if (options.withCatalogRows !== true) return sections;
    for (const table of await columnOf(client, CATALOGS)) {
      sections.push(await dumpRows(client, `${database}: catalog ${table}`, table));
    }
    return sections;
  } finally {
    await client.end();
  }
}

/** Those with rows of their own; of a view that is not populated there are none to be had. */
const TABLES = `
  SELECT oid::regclass::text FROM pg_catalog.pg_class
  WHERE (relkind = 'r' OR (relkind = 'm' AND relispopulated)) AND relpersistence <> 't'
    AND relnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema'))`;

/** What nobody can read before they end: they have no process. */
const LOCKED = `
  SELECT DISTINCT relation::regclass::text FROM pg_catalog.pg_locks
  WHERE locktype = 'relation' AND granted AND pid IS NULL AND mode = 'AccessExclusiveLock'
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`;

const CATALOGS = `
  SELECT oid::regclass::text FROM pg_catalog.pg_class
  WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace
    AND relname <> ALL (ARRAY['${CATALOGS_OF_STATISTICS.join("','")}'])`;

async function prepareSession(client: Client): Promise<void> {
  await client.query(SESSION_SETTINGS.join('; '));
}

/** A column of text, in order. */
async function columnOf(client: Client, text: string): Promise<string[]> {
  const { rows } = await client.query<[string]>({ text, rowMode: 'array' });
  return rows.map(([value]) => value).sort();
}

async function runQuery(client: Client, place: string, { title, text }: DumpQuery): Promise<DumpSection> {
  const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
  return { title: `${place}: ${title}`, lines: rows.map((row) => JSON.stringify(row)).sort() };
}

/** Whole rows in PostgreSQL's own text, ordered by that text: every column counts, and none has to be a key. */
async function dumpRows(client: Client, title: string, table: string): Promise<DumpSection> {
  return { title, lines: await columnOf(client, `SELECT r::text FROM ONLY ${table} AS r`) };
}

/** Every line, each after the title of its section. */
export function formatDump(dump: CanonicalDump): string {
  return dump.map(({ title, lines }) => [`## ${title}`, ...lines, ''].join('\n')).join('\n');
}

/** How two dumps differ first, with as much of it as a person can read; undefined where they do not. */
export function firstDifference(left: CanonicalDump, right: CanonicalDump): string | undefined {
  const titles = (dump: CanonicalDump): readonly string[] => dump.map(({ title }) => title);
  const only = findOnly(titles(left), titles(right));
  if (only !== undefined) return `sections differ: ${only}`;
  const others = new Map(right.map((section) => [section.title, section.lines]));
  for (const { title, lines } of left) {
    const difference = findOnly(lines, others.get(title) ?? []);
    if (difference !== undefined) return `${title}: ${difference}`;
  }
  return undefined;
}

const SHOWN_CHARACTERS = 1000;

/** Both are sorted. */
function findOnly(left: readonly string[], right: readonly string[]): string | undefined {
  let at = 0;
  while (at < left.length && at < right.length && left[at] === right[at]) at++;
  if (at === left.length && at === right.length) return undefined;
  const show = (lines: readonly string[]): string => (lines[at] ?? '(nothing)').slice(0, SHOWN_CHARACTERS);
  return `line ${at + 1} of ${left.length} and ${right.length}:\n- ${show(left)}\n+ ${show(right)}`;
}
