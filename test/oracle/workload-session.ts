import type { Client } from 'pg';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import type { CorpusDeck, CorpusFile } from './corpus.ts';
import type { WorkloadControl } from './workload-control.ts';

export const WORKLOAD_DATABASE = 'corpus';

const ATTEMPTS = 3;

/**
 * One client of the workload: draws files and runs their statements one by one, errors or not, in a schema of its
 * own with `shared` behind it; comes back after each kill.
 *
 * What a file may rely on: `setseed` has been called; `current_setting('varve.seed')` is a number of its own for
 * each run of a file and `current_setting('varve.session')` that of the session.
 */
export class WorkloadSession {
  readonly #server: StockPostgres;
  readonly #control: WorkloadControl;
  readonly #deck: CorpusDeck;
  readonly #random: SeededRandom;
  readonly #number: number;
  #client: Client | undefined;
  /** The file under way, and how far: a kill does not take it back to its beginning. */
  #file: CorpusFile | undefined;
  #nextStatement = 0;
  #lossesAtStatement = 0;

  constructor(
    server: StockPostgres,
    control: WorkloadControl,
    deck: CorpusDeck,
    random: SeededRandom,
    sessionNumber: number,
  ) {
    this.#server = server;
    this.#control = control;
    this.#deck = deck;
    this.#random = random;
    this.#number = sessionNumber;
  }

  /** Runs until the control says stop. */
  async run(): Promise<void> {
    try {
      while (!this.#control.isStopping) {
        await this.#control.untilUp();
        const client = await this.#connect();
        if (client === undefined) continue;
        await this.#runFile(client);
      }
    } finally {
      await this.#disconnect();
    }
  }

  async #connect(): Promise<Client | undefined> {
    if (this.#client !== undefined) return this.#client;
    try {
      const client = await this.#server.connect({ database: WORKLOAD_DATABASE });
      client.once('end', () => {
        if (this.#client === client) this.#client = undefined;
      });
      this.#client = client;
      return client;
    } catch (error) {
      this.#control.countError('connect', error);
      await this.#control.pause(20);
      return undefined;
    }
  }

  async #disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end();
  }

  /** Runs the rest of the file under way, or another one, until its end or the loss of the connection. */
  async #runFile(client: Client): Promise<void> {
    if (this.#file === undefined) {
      this.#file = this.#deck.draw();
      this.#nextStatement = 0;
    }
    const file = this.#file;
    const schema = `session_${this.#number}`;
    const seed = this.#random.below(1_000_000_000);
    const prologue = [
      'ROLLBACK',
      'DISCARD ALL',
      `CREATE SCHEMA IF NOT EXISTS ${schema}`,
      `SET search_path = ${schema}, shared, public`,
      `SET varve.session = ${this.#number}`,
      `SET varve.seed = ${seed}`,
      `SELECT setseed(${this.#random.between(-1, 1)})`,
      `SET synchronous_commit = ${this.#random.pick(['on', 'off', 'off'])}`,
      "SET statement_timeout = '15s'",
      `SET lock_timeout = '${this.#random.pick([200, 1000, 3000])}ms'`,
    ];
    for (const statement of prologue) {
      if (!(await this.#runStatement(client, 'prologue', statement))) return;
    }
    while (this.#nextStatement < file.statements.length) {
      await this.#control.throttle();
      const statement = file.statements[this.#nextStatement] as string;
      if (!(await this.#runStatement(client, file.name, statement))) {
        // Tried once more; a statement that outlasts the time between two kills would hold the session for ever.
        if (++this.#lossesAtStatement > 1) this.#advance();
        return;
      }
      this.#advance();
    }
    this.#file = undefined;
    this.#control.statistics.files[file.name] = (this.#control.statistics.files[file.name] ?? 0) + 1;
  }

  #advance(): void {
    this.#nextStatement++;
    this.#lossesAtStatement = 0;
  }

  /** Creations and drops that lose a conflict are tried again: all the rest of their file builds on them. */
  async #query(client: Client, statement: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await client.query(statement);
        return;
      } catch (error) {
        if (attempt === ATTEMPTS || !isConflict(error) || !/^(CREATE|DROP) /.test(statement)) throw error;
      }
    }
  }

  /** False if the session cannot go on: the connection is lost, or the run is over. */
  async #runStatement(client: Client, place: string, statement: string): Promise<boolean> {
    if (this.#control.isStopping || this.#client !== client) return false;
    try {
      await this.#query(client, statement);
      this.#control.statistics.statements++;
    } catch (error) {
      this.#control.countError(`${place}: ${statement.slice(0, 60).replaceAll(/\s+/g, ' ')}`, error);
      if (isConnectionLoss(error)) {
        this.#client = undefined;
        // The socket has gone; `end` only lets node-postgres forget it.
        await client.end().catch(() => undefined);
        return false;
      }
    }
    return true;
  }
}

/** Deadlock or lock timeout. */
function isConflict(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '40P01' || error.code === '55P03');
}

/** Class 57P (operator intervention) but for a cancelled query, 08 (connection), and node-postgres' own errors. */
function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return !/^[0-9A-Z]{5}$/.test(code) || code.startsWith('57P') || code.startsWith('08') || code === 'EPIPE';
}
