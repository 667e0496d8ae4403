import { VarveError } from '../base/errors.ts';
import { quoteIdentifier } from '../postgres/sql-text.ts';
import { CatalogReader, OWN_SCHEMA, text } from './catalog/catalog-reader.ts';
import { type Doors, MAKING_SETTINGS, openSession, type Session, SHARED_SETTINGS } from './open-session.ts';
import type { SchemaEntry, Unsupported } from './schema-entry.ts';
import type { ServerUrl } from './server-url.ts';
import type { ReadDatabase } from './transfer-plan.ts';

const MAINTENANCE_DATABASE = 'postgres';
const GONE_TIMEOUT_MS = 30_000;
const SETTINGS = [...SHARED_SETTINGS, ...MAKING_SETTINGS];

/** What a user may have made, by name. */
const OBJECTS = `
  SELECT 'pg_class:' || c.oid AS key, format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND ${OWN_SCHEMA}
  UNION ALL SELECT 'pg_proc:' || p.oid, p.oid::regprocedure::text FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${OWN_SCHEMA}
  UNION ALL SELECT 'pg_type:' || t.oid, format('%I.%I', n.nspname, t.typname) FROM pg_type t
    JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND ${OWN_SCHEMA}
  UNION ALL SELECT 'pg_namespace:' || n.oid, format('schema %I', n.nspname) FROM pg_namespace n
    WHERE n.nspname <> 'public' AND ${OWN_SCHEMA}
  UNION ALL SELECT 'pg_publication:' || oid, format('publication %I', pubname) FROM pg_publication
  UNION ALL SELECT 'pg_event_trigger:' || oid, format('event trigger %I', evtname) FROM pg_event_trigger
  ORDER BY 1`;

/** The database of a branch that is filled: one that is there, or one that is made for it and dropped where that fails. */
export class TargetDatabase {
  readonly #doors: Doors;
  readonly #server: ServerUrl;
  readonly isNew: boolean;
  readonly major: number;
  /** Names of all roles. */
  readonly roles: ReadonlySet<string>;
  readonly #extensions: ReadonlySet<string>;
  readonly #sessions = new Set<Session>();
  #isMade = false;

  private constructor(
    doors: Doors,
    server: ServerUrl,
    fields: { isNew: boolean; major: number; roles: ReadonlySet<string>; extensions: ReadonlySet<string> },
  ) {
    this.#doors = doors;
    this.#server = server;
    this.isNew = fields.isNew;
    this.major = fields.major;
    this.roles = fields.roles;
    this.#extensions = fields.extensions;
  }

  /** Looks at it, and changes nothing. @throws as openSession */
  static async find(doors: Doors, server: ServerUrl, signal: AbortSignal): Promise<TargetDatabase> {
    const maintenance = { ...server, database: MAINTENANCE_DATABASE };
    const session = await openSession(doors, maintenance, 'branch', SETTINGS, signal);
    try {
      const { connection, major } = session;
      const names = async (sql: string): Promise<ReadonlySet<string>> =>
        new Set((await connection.query(sql)).rows.map(([name]) => name ?? ''));
      const databases = await names('SELECT datname FROM pg_database');
      const roles = await names('SELECT rolname FROM pg_roles');
      const extensions = await names('SELECT quote_ident(name) FROM pg_available_extensions');
      const isNew = !databases.has(server.database);
      return new TargetDatabase(doors, server, { isNew, major, roles, extensions });
    } finally {
      await session.connection.close();
    }
  }

  /** Extensions of the source that this server has no files of. */
  missingExtensions({ entries }: Pick<ReadDatabase, 'entries'>): Unsupported[] {
    return entries
      .filter((entry: SchemaEntry) => entry.kind === 'extension' && !this.#extensions.has(entry.name))
      .map(({ key, name }) => ({ key, text: `extension ${name}, which the branch's server does not have` }));
  }

  /** @throws VarveError ‘precondition’ / TARGET_NOT_EMPTY */
  async checkEmpty(): Promise<void> {
    if (this.isNew) return;
    const { connection } = await this.open();
    const reader = await CatalogReader.open(connection);
    const names = (await reader.ownRows(OBJECTS)).map((row) => text(row, 'name'));
    if (names.length === 0) return;
    const some = `${names.slice(0, 3).join(', ')}${names.length > 3 ? `, … (${names.length})` : ''}`;
    const advice = 'name a new one with --database, or say --into-existing';
    const reason = `the database ${this.#server.database} of the branch is not empty, it has ${some}: ${advice}`;
    throw new VarveError('precondition', 'TARGET_NOT_EMPTY', reason);
  }

  /** Makes the database, if it is a new one. */
  async make(): Promise<void> {
    if (!this.isNew) return;
    const name = quoteIdentifier(this.#server.database);
    await this.#maintain(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`);
    this.#isMade = true;
  }

  /** Another session, which `dispose` ends. */
  async open(): Promise<Session> {
    // Who gives up ends it by `giveUp`: the server's end of it has to be over, too.
    const session = await openSession(
      this.#doors,
      this.#server,
      'branch',
      SETTINGS,
      new AbortController().signal,
    );
    this.#sessions.add(session);
    return session;
  }

  /** Has the server end all sessions, whatever they do, and waits until they have. */
  async giveUp(): Promise<void> {
    const pids = [...this.#sessions].map(({ backendPid }) => backendPid);
    if (pids.length === 0) return;
    const ends = pids.map((pid) => `pg_catalog.pg_terminate_backend(${pid}, ${GONE_TIMEOUT_MS})`);
    await this.#maintain(`SELECT ${ends.join(', ')}`);
  }

  /** Ends all sessions. @param isKept false: the database is dropped, if it was made for this */
  async dispose(isKept: boolean): Promise<void> {
    for (const { connection } of this.#sessions) await connection.close();
    this.#sessions.clear();
    if (isKept || !this.#isMade) return;
    await this.#maintain(`DROP DATABASE IF EXISTS ${quoteIdentifier(this.#server.database)} WITH (FORCE)`);
  }

  async #maintain(sql: string): Promise<void> {
    const server = { ...this.#server, database: MAINTENANCE_DATABASE };
    const session = await openSession(this.#doors, server, 'branch', SETTINGS, new AbortController().signal);
    try {
      await session.connection.query(sql);
    } finally {
      await session.connection.close();
    }
  }
}
