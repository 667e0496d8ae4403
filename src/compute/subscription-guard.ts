import { VarveError } from '../base/errors.ts';
import { INVALID_LSN, type Lsn } from '../base/lsn.ts';
import type { Clock } from '../io/clock.ts';
import { pause } from '../io/retry-delay.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { Logger } from '../observe/log.ts';
import { quoteIdentifier } from '../postgres/sql-text.ts';

const INTERVAL_MS = 5000;

/** A connection to a database of the server. The caller closes it. */
type Connect = (database: string, signal: AbortSignal) => Promise<ClientConnection>;

/**
 * Sees to it that subscriptions wait for a quorum. A subscription tells its publisher what it has flushed, and the publisher
 * forgets that; what is flushed on this machine's disk alone would be lost with it. PostgreSQL's own default for subscriptions
 * (`synchronous_commit = off`, subscriptioncmds.c) does not wait, and no setting of the server changes that.
 */
export class SubscriptionGuard implements AsyncDisposable {
  readonly #connect: Connect;
  readonly #position: () => Lsn;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #life = new AbortController();
  readonly #running: Promise<void>;

  /** @param position end of what the server has committed: where that stands still nobody has made a subscription */
  constructor(connect: Connect, position: () => Lsn, clock: Clock, logger: Logger) {
    this.#connect = connect;
    this.#position = position;
    this.#clock = clock;
    this.#logger = logger;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#life;
    let seenLsn: Lsn = INVALID_LSN;
    for (;;) {
      // At a start there are those that the server before had, which were looked at.
      await pause(this.#clock, INTERVAL_MS, signal);
      if (signal.aborted) return;
      const lsn = this.#position();
      if (lsn === seenLsn) continue;
      try {
        await this.#look(signal);
        seenLsn = lsn;
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        // A server that ends is seen by others; one that has no connection left is asked again.
        if (!signal.aborted) this.#logger.debug('Subscriptions could not be looked at', { error });
      }
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    // No session stays: it would keep others from dropping or copying its database.
    const found = await this.#within('postgres', signal, (client) =>
      client.query(`SELECT datname, subname FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid
WHERE subsynccommit NOT IN ('on', 'remote_apply')`),
    );
    for (const [database, name] of found.rows) {
      if (typeof database !== 'string' || typeof name !== 'string') continue;
      this.#logger.warn('A subscription did not wait until a quorum has what it takes in: now it does', {
        database,
        subscription: name,
      });
      await this.#within(database, signal, (client) =>
        client.query(`ALTER SUBSCRIPTION ${quoteIdentifier(name)} SET (synchronous_commit = on)`),
      );
    }
  }

  async #within<Result>(
    database: string,
    signal: AbortSignal,
    action: (client: ClientConnection) => Promise<Result>,
  ): Promise<Result> {
    const client = await this.#connect(database, signal);
    try {
      return await action(client);
    } finally {
      await client.close();
    }
  }
}
