import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { SeededRandom } from '../support/seeded-random.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import type { Ledger } from './ledger.ts';

const ACCOUNTS = 2000;
const RECONNECT_MS = 50;
const LARGE_CHANCE = 0.02;
/** A prepared statement each, so that the server plans it once a connection. */
const INSERT = {
  name: 'ledger',
  text: `INSERT INTO ledger (client, sequence, note) VALUES ($1, $2, $3)
         RETURNING pg_current_xact_id()::xid::text AS xid`,
};
const UPDATE = { name: 'account', text: 'UPDATE accounts SET balance = balance + $1 WHERE id = $2' };

/** The tables of the load. */
export const LOAD_TABLES: readonly string[] = ['ledger', 'accounts'];

export async function createLoadTables(server: StockPostgres): Promise<void> {
  await server.query(`
    CREATE TABLE ledger (client int, sequence int, note text, PRIMARY KEY (client, sequence));
    CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler char(84));
    INSERT INTO accounts SELECT i, 0, '' FROM generate_series(1, ${ACCOUNTS}) i`);
}

/**
 * Clients that commit one small transaction after another, each a row of the ledger and some updates, and write down
 * what is acknowledged. They live through crashes of the server; what they have not heard of counts for nothing.
 */
export class Load implements Disposable {
  readonly #server: StockPostgres;
  readonly #ledger: Ledger;
  readonly #clients: Promise<void>[];
  readonly #pauseMs: number;
  #isStopped = false;

  /** @param pauseMs between two transactions of a client */
  constructor(
    server: StockPostgres,
    ledger: Ledger,
    options: { readonly seed: number; readonly clients: number; readonly pauseMs: number },
  ) {
    this.#server = server;
    this.#ledger = ledger;
    this.#pauseMs = options.pauseMs;
    const random = new SeededRandom(options.seed);
    this.#clients = Array.from({ length: options.clients }, (_, number) => this.#run(number, random.fork()));
    // `stop` tells of it.
    for (const client of this.#clients) client.catch(() => undefined);
  }

  /** Lets each client finish its transaction; there must be a quorum for that. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  /** Asks the clients to end, and waits for nothing: for a load that can make no progress any more. */
  [Symbol.dispose](): void {
    this.#isStopped = true;
  }

  async #run(number: number, random: SeededRandom): Promise<void> {
    let sequence = 0;
    while (!this.#isStopped) {
      let client: Client;
      try {
        client = await this.#server.connect();
      } catch {
        // The server is away, as it is meant to be now and then.
        await delay(RECONNECT_MS);
        continue;
      }
      try {
        while (!this.#isStopped) {
          await this.#transact(client, number, ++sequence, random);
          if (this.#pauseMs > 0) await delay(this.#pauseMs);
        }
      } catch (error) {
        // A server that says no to correct SQL has a fault, or the load has.
        const { code } = error as { code?: string };
        if (code !== undefined && /^(22|23|42|XX)/.test(code)) throw error;
        this.#ledger.unknown++;
      } finally {
        // The connection may be lost already.
        await client.end().catch(() => undefined);
      }
    }
  }

  async #transact(client: Client, number: number, sequence: number, random: SeededRandom): Promise<void> {
    let isWaitGivenUp = false;
    // syncrep.c, SyncRepWaitForLSN: the commit is reported, with a warning that it may not be replicated.
    const onNotice = ({ message }: { message?: string | undefined }): void => {
      if (message?.includes('synchronous replication') === true) isWaitGivenUp = true;
    };
    client.on('notice', onNotice);
    const note = random.chance(LARGE_CHANCE)
      ? Array.from({ length: 1500 }, () => random.next().toString(36)).join('')
      : '';
    // In ascending order, so that no two transactions wait for each other.
    const accounts = [random.below(ACCOUNTS), random.below(ACCOUNTS), random.below(ACCOUNTS)];
    await client.query('BEGIN');
    const { rows } = await client.query<{ xid: string }>({ ...INSERT, values: [number, sequence, note] });
    for (const account of accounts.sort((a, b) => a - b)) {
      await client.query({ ...UPDATE, values: [random.below(1000) - 500, account + 1] });
    }
    await client.query('COMMIT');
    client.off('notice', onNotice);
    if (isWaitGivenUp) this.#ledger.unknown++;
    else this.#ledger.acknowledge({ client: number, sequence, xid: Number(rows[0]?.xid) });
  }
}

/** Rows and a checksum of all contents of each table. */
export async function tableSums(server: StockPostgres): Promise<Record<string, string>> {
  const sums: Record<string, string> = {};
  for (const table of LOAD_TABLES) {
    const [row] = await server.query<{ sum: string }>(
      `SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS sum FROM ${table} t`,
    );
    sums[table] = row?.sum ?? '';
  }
  return sums;
}

/** The ledger's rows as `client/sequence`. */
export async function ledgerRows(server: StockPostgres): Promise<Set<string>> {
  const rows = await server.query<{ row: string }>(`SELECT client || '/' || sequence AS row FROM ledger`);
  return new Set(rows.map(({ row }) => row));
}
