import { BadRequestError } from '../../base/errors.ts';
import type { ClientResult } from '../../libpq/client/client-connection.ts';
import type { SqlSession } from './sql-session.ts';
import { StatementSplitter } from './statement-splitter.ts';

/** Who shows what a session has to say. */
export interface SqlReports {
  onResult(result: ClientResult): Promise<void>;
  /** Of a statement, at a terminal: the session goes on. */
  onError(error: unknown): Promise<void>;
  /** Explanations, at a terminal. */
  onNote(text: string): Promise<void>;
}

const HELP = [
  'Statements end with a semicolon and may have several lines.',
  '  \\d   the tables, views and sequences that there are',
  '  \\q   ends this, and so does Ctrl-D',
  '  \\?   shows this',
  'Ctrl-C ends a statement that runs, or throws away what was typed. psql, where it is installed, knows much more.',
].join('\n');

const RELATIONS = `
  SELECT n.nspname AS schema, c.relname AS name,
    CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
      WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'foreign table' END AS kind,
    pg_catalog.pg_get_userbyid(c.relowner) AS owner
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  ORDER BY 1, 2`;

/** What a person types at a terminal, line by line. */
export class SqlPrompt {
  readonly #session: SqlSession;
  readonly #reports: SqlReports;
  readonly #splitter = new StatementSplitter();
  #isRunning = false;

  constructor(session: SqlSession, reports: SqlReports) {
    this.#session = session;
    this.#reports = reports;
  }

  /** What stands behind the database's name: whether a statement has begun. */
  get sign(): string {
    return this.#splitter.hasBegun ? '->' : '=>';
  }

  /** @returns whether to go on */
  async take(line: string): Promise<boolean> {
    const isCommand = !this.#splitter.hasBegun && line.trimStart().startsWith('\\');
    if (isCommand) return await this.#takeCommand(line.trim());
    if (!this.#splitter.hasBegun && /^\s*(quit|exit)\s*;?\s*$/i.test(line)) return false;
    for (const statement of this.#splitter.add(`${line}\n`)) {
      await this.#run(statement);
      if (this.#session.isOver) return false;
    }
    return true;
  }

  /** What was typed so far is thrown away; what runs is ended. @returns whether nothing ran */
  async interrupt(): Promise<boolean> {
    this.#splitter.clear();
    if (!this.#isRunning) return true;
    await this.#orReport(() => this.#session.cancel());
    return false;
  }

  async #takeCommand(command: string): Promise<boolean> {
    switch (command.replace(/;$/, '')) {
      case '\\q':
        return false;
      case '\\?':
      case '\\h':
        await this.#reports.onNote(HELP);
        return true;
      case '\\d':
        await this.#run(RELATIONS);
        return !this.#session.isOver;
      default:
        await this.#orReport(async () => {
          const name = command.split(/\s/)[0] ?? command;
          throw new BadRequestError('UNKNOWN_COMMAND', `there is no ${name} here: \\? shows what there is`);
        });
        return true;
    }
  }

  async #run(statement: string): Promise<void> {
    this.#isRunning = true;
    try {
      await this.#orReport(async () => this.#reports.onResult(await this.#session.run(statement)));
    } finally {
      this.#isRunning = false;
    }
  }

  async #orReport(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.#reports.onError(error);
    }
  }
}
