import { BadRequestError } from '../base/errors.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { quoteIdentifier } from '../postgres/sql-text.ts';
import { CatalogReader } from './catalog/catalog-reader.ts';
import { readComments } from './catalog/comments.ts';
import { readDatabaseWide } from './catalog/database-wide.ts';
import { Dependencies } from './catalog/dependencies.ts';
import { readFunctions } from './catalog/functions.ts';
import { readConstraints, readDomainConstraints, readIndexes } from './catalog/indexes.ts';
import { readOperatorClasses } from './catalog/operator-classes.ts';
import { readDefaultPrivileges, readPrivileges } from './catalog/privileges.ts';
import { lockStatements, readRelationNames, readRelations } from './catalog/relations.ts';
import { readDefaults, readSequences } from './catalog/sequences.ts';
import { readTableRules } from './catalog/table-rules.ts';
import { readTextSearch } from './catalog/text-search.ts';
import { readTypes } from './catalog/types.ts';
import { readInvalidIndexes, readUnsupported } from './catalog/unsupported.ts';
import { orderEntries } from './order-entries.ts';
import { type ClosingStatement, nameOf, type SchemaEntry, type Unsupported } from './schema-entry.ts';

/** All that a database holds, in an order in which it can be made. */
export interface TransferPlan {
  /** But for those that run last. */
  readonly entries: readonly SchemaEntry[];
  readonly comments: readonly ClosingStatement[];
  readonly owners: readonly ClosingStatement[];
  readonly privileges: readonly ClosingStatement[];
  /** What runs in the name of owners, or when anything is made. */
  readonly lastEntries: readonly SchemaEntry[];
  readonly lastClosing: readonly ClosingStatement[];
  /** Said to who asked. */
  readonly notes: readonly string[];
}

/** What a database holds, before it is decided what of it is carried. */
export interface ReadDatabase {
  readonly entries: readonly SchemaEntry[];
  readonly unsupported: readonly Unsupported[];
  readonly closing: Pick<TransferPlan, 'comments' | 'privileges'> & {
    readonly defaultPrivileges: readonly ClosingStatement[];
  };
  readonly dependencies: Dependencies;
  readonly notes: readonly string[];
}

/**
 * Locks all tables against changes of what they are, and reads what the database holds.
 * @param connection within a transaction, with an empty search_path
 */
export async function readDatabase(connection: ClientConnection, serverMajor: number): Promise<ReadDatabase> {
  const reader = await CatalogReader.open(connection);
  for (const statement of lockStatements(await readRelationNames(reader))) await connection.query(statement);
  const { entries: tables, relations } = await readRelations(reader);
  const entries = [
    ...(await readTypes(reader)),
    ...(await readFunctions(reader)),
    ...(await readOperatorClasses(reader)),
    ...(await readTextSearch(reader)),
    ...(await readDomainConstraints(reader)),
    ...tables,
    ...(await readSequences(reader)),
    ...(await readDefaults(reader)),
    ...(await readIndexes(reader, relations)),
    ...(await readConstraints(reader, relations)),
    ...(await readTableRules(reader)),
    ...(await readDatabaseWide(reader, serverMajor)),
  ];
  return {
    entries,
    unsupported: await readUnsupported(reader),
    closing: {
      comments: await readComments(reader),
      privileges: await readPrivileges(reader),
      defaultPrivileges: await readDefaultPrivileges(reader),
    },
    dependencies: await Dependencies.read(reader),
    notes: (await readInvalidIndexes(reader)).map(
      (name) => `the index ${name} is not valid, and is left out`,
    ),
  };
}

export interface PlanChoice {
  /** Only these, with what is in no schema and they need. Undefined: all. */
  readonly schemas: readonly string[] | undefined;
  /** Leave out what cannot be carried, with all that needs it, instead of refusing. */
  readonly isSkipping: boolean;
  /** Of the target; undefined: any may be named. */
  readonly roles: ReadonlySet<string> | undefined;
  /** That the target cannot have, beside what nobody can carry. */
  readonly unsupported: readonly Unsupported[];
}

/** @throws BadRequestError UNSUPPORTED_OBJECTS, SCHEMA_NOT_FOUND, SCHEMA_INCOMPLETE, DEPENDENCY_LOOP */
export function planTransfer(database: ReadDatabase, choice: PlanChoice): TransferPlan {
  const notes = [...database.notes];
  const chosen = chooseSchemas(database, choice.schemas);
  const supported = leaveOut(database, chosen, choice, notes);
  const needs = needsIn(database);
  const ordered = orderEntries(supported, needs);
  const keys = new Set(supported.map(({ key }) => key));
  const isThere = ({ key }: ClosingStatement): boolean => keys.has(database.dependencies.makerOf(key));
  const isLast = ({ kind }: SchemaEntry): boolean => kind === 'refresh' || kind === 'event trigger';
  const ownersOf = (entries: readonly SchemaEntry[]): ClosingStatement[] =>
    filterRoles(entries.flatMap(ownerStatement), choice.roles, notes);
  const isSchemaKept = ({ key }: ClosingStatement): boolean =>
    choice.schemas === undefined || choice.schemas.some((name) => key === `schema ${name}`);
  const comments = database.closing.comments.filter(isThere);
  const lastEntries = ordered.filter(isLast);
  const lastKeys = new Set(lastEntries.map(({ key }) => key));
  return {
    entries: ordered.filter((entry) => !isLast(entry)),
    comments: comments.filter(({ key }) => !lastKeys.has(key)),
    owners: ownersOf(ordered.filter((entry) => !isLast(entry))),
    privileges: filterRoles(
      [
        ...database.closing.privileges.filter(isThere),
        ...database.closing.defaultPrivileges.filter(isSchemaKept),
      ],
      choice.roles,
      notes,
    ),
    lastEntries,
    lastClosing: [...ownersOf(lastEntries), ...comments.filter(({ key }) => lastKeys.has(key))],
    notes,
  };
}

const needsIn =
  ({ dependencies }: ReadDatabase) =>
  (entry: SchemaEntry): string[] => [
    ...dependencies.neededBy(entry.key),
    ...(entry.after ?? []).map((key) => dependencies.makerOf(key)),
  ];

function chooseSchemas(
  database: ReadDatabase,
  schemas: readonly string[] | undefined,
): readonly SchemaEntry[] {
  const { entries } = database;
  if (schemas === undefined) return entries;
  for (const name of schemas) {
    if (entries.some(({ kind, schema }) => kind === 'schema' && schema === name)) continue;
    throw new BadRequestError('SCHEMA_NOT_FOUND', `there is no schema ${name}`);
  }
  const needs = needsIn(database);
  const byKey = new Map(entries.map((entry) => [entry.key, entry]));
  const chosen = new Set(entries.filter(({ schema }) => schema !== null && schemas.includes(schema)));
  for (const entry of chosen) {
    for (const key of needs(entry)) {
      const needed = byKey.get(key);
      if (needed === undefined || chosen.has(needed)) continue;
      if (needed.schema === null || needed.kind === 'schema') chosen.add(needed);
      else {
        const reason = `${nameOf(entry)} needs ${nameOf(needed)}: name its schema too, with --schema ${needed.schema}`;
        throw new BadRequestError('SCHEMA_INCOMPLETE', reason);
      }
    }
  }
  return entries.filter((entry) => chosen.has(entry));
}

/** Without what cannot be carried, and what needs that. */
function leaveOut(
  database: ReadDatabase,
  entries: readonly SchemaEntry[],
  { schemas, isSkipping, roles, unsupported }: PlanChoice,
  notes: string[],
): readonly SchemaEntry[] {
  const found = [
    // Of single schemas only what they need counts.
    ...(schemas === undefined ? database.unsupported : []),
    ...unsupported.filter(({ key }) => entries.some((entry) => entry.key === key)),
    ...entries.flatMap((entry) => missingRoles(entry, roles)),
  ];
  const bad = new Map([...database.unsupported, ...found].map(({ key, text }) => [key, text]));
  const needs = needsIn(database);
  const dependent: string[] = [];
  for (let isChanged = true; isChanged; ) {
    isChanged = false;
    for (const entry of entries) {
      if (bad.has(entry.key)) continue;
      const needed = needs(entry).find((key) => bad.has(key));
      if (needed === undefined) continue;
      bad.set(entry.key, nameOf(entry));
      dependent.push(`${nameOf(entry)}, which needs ${bad.get(needed)}`);
      isChanged = true;
    }
  }
  const texts = [...found.map(({ text }) => text), ...dependent];
  if (texts.length > 0 && !isSkipping) {
    throw new BadRequestError(
      'UNSUPPORTED_OBJECTS',
      `there is what cannot be carried; --skip-unsupported leaves it out:\n${texts.map((text) => `  ${text}`).join('\n')}`,
    );
  }
  notes.push(...texts.map((text) => `left out: ${text}`));
  return entries.filter(({ key }) => !bad.has(key));
}

function missingRoles(
  { key, kind, name, roles = [] }: SchemaEntry,
  there: ReadonlySet<string> | undefined,
): Unsupported[] {
  const missing = roles.filter((role) => there !== undefined && !there.has(role));
  if (missing.length === 0) return [];
  return [
    { key, text: `${kind} ${name}, for the role ${missing.join(', ')}, which the branch does not have` },
  ];
}

function ownerStatement({ key, owner }: SchemaEntry): ClosingStatement[] {
  if (owner === undefined) return [];
  const text = `ALTER ${owner.target} OWNER TO ${quoteIdentifier(owner.role)}`;
  return [{ key, text, roles: [owner.role] }];
}

/** Without those that name a role which is not there; who it is, is noted once. */
function filterRoles(
  statements: readonly ClosingStatement[],
  roles: ReadonlySet<string> | undefined,
  notes: string[],
): ClosingStatement[] {
  if (roles === undefined) return [...statements];
  return statements.filter((statement) => {
    const missing = statement.roles.filter((role) => !roles.has(role));
    for (const role of missing) {
      const note = `the branch has no role ${role}: what it owns is the importer’s, and what it may is left out`;
      if (!notes.includes(note)) notes.push(note);
    }
    return missing.length === 0;
  });
}
