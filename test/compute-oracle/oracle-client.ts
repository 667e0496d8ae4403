import type { Client } from 'pg';
import { connect } from '../compute/compute-client.ts';
import { drawTransaction, type Transaction } from './transactions.ts';

/** A client of a compute that may go at any moment: it knows what was acknowledged, and what may or may not be there. */
export class OracleClient {
  /** Committed, in order. */
  readonly committed: Transaction[] = [];
  /** Its commit was on its way when the server went. */
  #doubtful: Transaction | undefined;
  #number = 0;
  readonly #seed: number;
  readonly #client: number;

  constructor(seed: number, client: number) {
    this.#seed = seed;
    this.#client = client;
  }

  /** One transaction after another, until the signal is given or the server has gone. @throws what is no such end */
  async run(url: string, signal: AbortSignal): Promise<void> {
    let connection: Client;
    try {
      connection = await connect(url);
    } catch (error) {
      if (hasGone(error)) return;
      throw error;
    }
    try {
      while (!signal.aborted) await this.#next(connection);
    } catch (error) {
      // A backend whose agent was killed finds no pages for the moment that it still has.
      if (!hasGone(error) && !(isOfFiles(error) && (await isOver(connection)))) throw error;
    } finally {
      await connection.end();
    }
  }

  async #next(connection: Client): Promise<void> {
    const transaction = drawTransaction(this.#seed, this.#client, ++this.#number);
    const { id, statements, isPrepared } = transaction;
    await connection.query('BEGIN');
    for (const statement of statements) await connection.query(statement);
    this.#doubtful = transaction;
    if (isPrepared) {
      await connection.query(`PREPARE TRANSACTION '${id}'`);
      await connection.query(`COMMIT PREPARED '${id}'`);
    } else {
      await connection.query('COMMIT');
    }
    this.#doubtful = undefined;
    this.committed.push(transaction);
  }

  /** On the next server: whether what was on its way has arrived. What was prepared and not committed, is. */
  async settle(connection: Client): Promise<void> {
    const doubtful = this.#doubtful;
    if (doubtful === undefined) return;
    const { id } = doubtful;
    const prepared = await connection.query('SELECT 1 FROM pg_prepared_xacts WHERE gid = $1', [String(id)]);
    if (prepared.rowCount === 1) await connection.query(`COMMIT PREPARED '${id}'`);
    const row = await connection.query('SELECT 1 FROM ledger WHERE id = $1', [id]);
    if (row.rowCount === 1) this.committed.push(doubtful);
    this.#doubtful = undefined;
  }
}

/** SQLSTATE class 58: what is not the query's fault. */
const isOfFiles = (error: unknown): boolean => (error as { code?: string }).code?.startsWith('58') === true;

async function isOver(connection: Client): Promise<boolean> {
  try {
    await connection.query('ROLLBACK');
    return false;
  } catch (error) {
    return hasGone(error);
  }
}

/** SQLSTATE classes of a server that ends, and what a connection fails of that has no server any more. */
function hasGone(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  if (code !== undefined && /^(57P0[1-5]|08...|E[A-Z]+)$/.test(code)) return true;
  return /Connection terminated|not queryable|Client was closed/.test(message ?? '');
}
