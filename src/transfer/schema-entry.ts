/** What kinds of things there are in a database, in the order in which they are made where nothing else decides. */
export const ENTRY_KINDS = [
  'schema',
  'extension',
  'collation',
  'conversion',
  'type',
  'function',
  'aggregate',
  'operator',
  'operator family',
  'operator class',
  'cast',
  'text search dictionary',
  'text search configuration',
  'domain constraint',
  'table',
  'sequence',
  'identity',
  'default',
  'view',
  'materialized view',
  'data',
  'sequence value',
  'check constraint',
  'index',
  'key',
  'foreign key',
  'statistics object',
  'trigger',
  'rule',
  'policy',
  'publication',
  'refresh',
  'event trigger',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

/** The rows of a table. */
export interface TableData {
  readonly table: string;
  /** The command that gives them, and the one that takes them, in COPY's text format. */
  readonly copyOut: string;
  readonly copyIn: string;
  /** By the statistics of the table: about so many; undefined where it was never analyzed. */
  readonly rowsEstimate: number | undefined;
  /** In the source's files. */
  readonly bytesEstimate: number;
}

/** Something that is made as a whole. */
export interface SchemaEntry {
  /** `catalog:oid`, as pg_depend names it, or a made-up one of the same form. */
  readonly key: string;
  readonly kind: EntryKind;
  /** For people and in comments of a script: its name, as SQL writes it. */
  readonly name: string;
  /** That it is in; null for what is in none. */
  readonly schema: string | null;
  /** Without semicolons. */
  readonly statements: readonly string[];
  readonly data?: TableData;
  /** Keys of what has to be there before it, beside what pg_depend says. */
  readonly after?: readonly string[];
  /** What stands behind ALTER and before OWNER TO, and the role. */
  readonly owner?: { readonly target: string; readonly role: string };
  /** Roles that its statements name. */
  readonly roles?: readonly string[];
}

/** A statement about something that is there: a comment, an owner, privileges. */
export interface ClosingStatement {
  /** Of what it is about. */
  readonly key: string;
  readonly text: string;
  /** Roles without which it cannot be. */
  readonly roles: readonly string[];
  /** The role that has to say it, where a superuser cannot in its name. */
  readonly as?: string;
}

/** Something that this cannot carry, or that depends on such a thing. */
export interface Unsupported {
  readonly key: string;
  /** What it is, its name, and why where that is not plain. */
  readonly text: string;
}

export const nameOf = ({ kind, name }: Pick<SchemaEntry, 'kind' | 'name'>): string => `${kind} ${name}`;
