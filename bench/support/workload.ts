import type { Setting, StockPostgres } from '../../test/support/stock-postgres.ts';

/** Something that a stock server does, and whose WAL is then read and replayed. */
export interface Workload {
  /** Also the name of its directory. */
  readonly name: string;
  readonly settings?: Readonly<Record<string, Setting>>;
  /** What has to be there before. Its WAL does not count. */
  prepare(server: StockPostgres): Promise<void>;
  run(server: StockPostgres): Promise<void>;
}

/** Runs statements one after another on one connection. */
export async function execute(server: StockPostgres, statements: readonly string[]): Promise<void> {
  const client = await server.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
