import {
  Kysely,
  PostgresDialect,
  type PostgresPool,
  type PostgresPoolClient,
  type Transaction,
} from 'kysely';
import { VarveError } from '../../base/errors.ts';
import type { Clock } from '../../io/clock.ts';
import { pause } from '../../io/retry-delay.ts';
import { translateDatabaseError } from './database-errors.ts';
import { LEADER_LOCK, migrate } from './migrate.ts';
import { MIGRATIONS, SCHEMA } from './migrations.ts';
import type { Tables } from './tables.ts';

/** The door to the database that the control plane's state is in. */
export interface DatabaseDoor {
  readonly pool: PostgresPool;
  /**
   * A connection that is nobody else's.
   * @param onLost told when it has ended by itself
   */
  hold(onLost: (error: Error) => void): Promise<HeldConnection>;
}

export interface HeldConnection extends Pick<PostgresPoolClient, 'query'> {
  /** `onLost` is not told of it. May be called again. */
  end(): Promise<void>;
}

/** What reads and writes tables: the database, or a transaction in it. */
export type Queries = Kysely<Tables>;
export type Change = Transaction<Tables>;

/** A predecessor that was killed has gone by then, as the database sees it. */
const LEADER_WAIT_MS = 5000;
const LEADER_POLL_MS = 50;

/**
 * The control plane's state. It belongs to one control plane at a time: whoever has it open holds a lock, on a connection
 * of its own. Errors that pass are ‘unavailable’ / CONTROL_DATABASE_UNAVAILABLE.
 */
export class Database {
  readonly #kysely: Kysely<Tables>;
  readonly #held: HeldConnection;

  private constructor(kysely: Kysely<Tables>, held: HeldConnection) {
    this.#kysely = kysely;
    this.#held = held;
  }

  /**
   * Takes the database, and brings its tables to the newest version.
   * @param onLost told when it is not sure any more that nobody else has it
   * @throws VarveError ‘precondition’ / CONTROL_PLANE_RUNNING, CONTROL_DATABASE_TOO_NEW; ‘unavailable’
   */
  static async open(
    door: DatabaseDoor,
    clock: Clock,
    signal: AbortSignal,
    onLost: (error: Error) => void,
  ): Promise<Database> {
    try {
      const held = await door.hold(onLost);
      try {
        await takeLead(held, clock, signal);
        await migrate(held, MIGRATIONS);
      } catch (error) {
        await held.end();
        throw error;
      }
      const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: door.pool }) });
      return new Database(kysely.withSchema(SCHEMA), held);
    } catch (error) {
      throw translateDatabaseError(error);
    }
  }

  /** Reads, or changes one row in one statement. */
  async query<Result>(action: (queries: Queries) => Promise<Result>): Promise<Result> {
    try {
      return await action(this.#kysely);
    } catch (error) {
      throw translateDatabaseError(error);
    }
  }

  /** All of it or nothing: durable when this resolves. */
  async change<Result>(action: (change: Change) => Promise<Result>): Promise<Result> {
    try {
      return await this.#kysely.transaction().execute((change) => action(change));
    } catch (error) {
      throw translateDatabaseError(error);
    }
  }

  async close(): Promise<void> {
    await this.#kysely.destroy();
    await this.#held.end();
  }
}

async function takeLead(held: HeldConnection, clock: Clock, signal: AbortSignal): Promise<void> {
  const untilMs = clock.monotonicMs() + LEADER_WAIT_MS;
  for (;;) {
    const { rows } = await held.query<{ has: boolean }>('SELECT pg_try_advisory_lock($1, $2) AS has', [
      ...LEADER_LOCK,
    ]);
    if (rows[0]?.has === true) return;
    if (clock.monotonicMs() >= untilMs || signal.aborted) {
      throw new VarveError(
        'precondition',
        'CONTROL_PLANE_RUNNING',
        'another control plane runs on this database: stop that one first',
      );
    }
    await pause(clock, LEADER_POLL_MS, signal);
  }
}
