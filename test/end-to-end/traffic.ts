import type { Client } from 'pg';
import type { StockPostgres } from '../support/stock-postgres.ts';

const SCHEMA = `
  CREATE TABLE ledger (id bigint PRIMARY KEY, client int NOT NULL, note text);
  CREATE INDEX ON ledger (client, id);
  CREATE TABLE balances (client int PRIMARY KEY, balance bigint NOT NULL);
  INSERT INTO balances SELECT i, 0 FROM generate_series(0, 9) i`;
const CLIENT_IDS = 1_000_000;
/** Each n-th transaction is prepared first. */
const PREPARED_EVERY = 4;
const NOTE_CHARACTERS = 300;

/** Makes what traffic writes to. */
export async function prepareTraffic(server: StockPostgres): Promise<void> {
  await server.query(SCHEMA);
}

/** Clients that write to the ledger, one transaction after another, and remember what was acknowledged. */
export class Traffic {
  /** Ids of rows whose commit was acknowledged. */
  readonly acknowledged: number[] = [];
  readonly #server: StockPostgres;
  readonly #running: Promise<void>[];
  #isOver = false;

  private constructor(server: StockPostgres, clients: readonly number[]) {
    this.#server = server;
    this.#running = clients.map((client) => this.#run(client));
  }

  /** @param clients their numbers: below 10, and each in use once in the server's life */
  static start(server: StockPostgres, clients: readonly number[]): Traffic {
    return new Traffic(server, clients);
  }

  /** Waits until so many more transactions are acknowledged. */
  async progress(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    const ended = Promise.all(this.#running).then(() => {
      throw new Error('the traffic has ended');
    });
    // Who waits here hears of it by the race; afterwards `stop` tells of it.
    ended.catch(() => undefined);
    while (this.acknowledged.length < wanted) {
      await Promise.race([ended, new Promise((resolve) => setImmediate(resolve))]);
    }
  }

  /** Ends it when what is under way is acknowledged. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #run(client: number): Promise<void> {
    const connection = await this.#server.connect();
    try {
      for (let number = 1; !this.#isOver; number++) {
        const id = client * CLIENT_IDS + number;
        await this.#transact(connection, client, id, number % PREPARED_EVERY === 0);
        this.acknowledged.push(id);
      }
    } finally {
      await connection.end();
    }
  }

  async #transact(connection: Client, client: number, id: number, isPrepared: boolean): Promise<void> {
    await connection.query('BEGIN');
    await connection.query("INSERT INTO ledger VALUES ($1, $2, repeat('n', $3))", [
      id,
      client,
      id % NOTE_CHARACTERS,
    ]);
    await connection.query('UPDATE balances SET balance = balance + 1 WHERE client = $1', [client]);
    if (!isPrepared) {
      await connection.query('COMMIT');
      return;
    }
    await connection.query(`PREPARE TRANSACTION 'traffic ${id}'`);
    await connection.query(`COMMIT PREPARED 'traffic ${id}'`);
  }
}

/** What is wrong with a ledger that has to have these rows, and may have more. */
export async function findLosses(server: StockPostgres, acknowledged: readonly number[]): Promise<string[]> {
  const rows = await server.query<{ id: string; client: number; length: number }>(
    'SELECT id, client, length(note) FROM ledger',
  );
  const losses: string[] = [];
  const ids = new Set(rows.map(({ id }) => Number(id)));
  for (const id of acknowledged) if (!ids.has(id)) losses.push(`${id} is lost`);
  for (const { id, length } of rows) {
    if (length !== Number(id) % NOTE_CHARACTERS) losses.push(`${id} has a note of ${length} characters`);
  }
  const balances = await server.query<{ client: number; balance: string; rows: string }>(
    `SELECT client, balance, (SELECT count(*) FROM ledger WHERE ledger.client = balances.client) AS rows
     FROM balances WHERE balance <> (SELECT count(*) FROM ledger WHERE ledger.client = balances.client)`,
  );
  for (const { client, balance, rows } of balances) {
    losses.push(`client ${client} has ${rows} rows and a balance of ${balance}`);
  }
  return losses;
}
