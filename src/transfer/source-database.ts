import { VarveError } from '../base/errors.ts';
import { type Doors, openSession, type Session, SHARED_SETTINGS } from './open-session.ts';
import type { ServerUrl } from './server-url.ts';

/** Older ones have catalogs that are not read here. */
export const SOURCE_MAJOR_MIN = 14;
const BEGIN = 'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY';

/** A database as it is at one moment, seen by one session or several. */
export class SourceDatabase implements AsyncDisposable {
  readonly main: Session;
  readonly #doors: Doors;
  readonly #signal: AbortSignal;
  readonly #sessions: Session[];

  private constructor(doors: Doors, main: Session, signal: AbortSignal) {
    this.#doors = doors;
    this.main = main;
    this.#signal = signal;
    this.#sessions = [main];
  }

  /**
   * @param signal ends all its sessions
   * @throws as openSession; VarveError ‘precondition’ / SOURCE_TOO_OLD
   */
  static async open(
    doors: Doors,
    server: ServerUrl,
    role: 'source' | 'branch',
    signal: AbortSignal,
  ): Promise<SourceDatabase> {
    const main = await openSession(doors, server, role, SHARED_SETTINGS, signal);
    const source = new SourceDatabase(doors, main, signal);
    try {
      if (main.major < SOURCE_MAJOR_MIN) {
        const reason = `the ${role} is PostgreSQL ${main.major}: ${SOURCE_MAJOR_MIN} is the oldest that is read here; an older one by pg_dump, of its version or a later one, with --pg-dump`;
        throw new VarveError('precondition', 'SOURCE_TOO_OLD', reason);
      }
      await main.connection.query(BEGIN);
      return source;
    } catch (error) {
      await source[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Further sessions that see what the first one does. */
  async openMore(count: number): Promise<Session[]> {
    if (count === 0) return [];
    const { rows } = await this.main.connection.query('SELECT pg_catalog.pg_export_snapshot()');
    const snapshot = rows[0]?.[0] ?? '';
    const more: Session[] = [];
    for (let at = 0; at < count; at++) {
      const session = await openSession(
        this.#doors,
        this.main.server,
        'source',
        SHARED_SETTINGS,
        this.#signal,
      );
      this.#sessions.push(session);
      await session.connection.query(`${BEGIN}; SET TRANSACTION SNAPSHOT '${snapshot}'`);
      more.push(session);
    }
    return more;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { connection } of this.#sessions) await connection.close();
  }
}
