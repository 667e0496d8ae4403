import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { ImportOptions } from '../../src/transfer/import-database.ts';
import type { Doors } from '../../src/transfer/open-session.ts';
import { parseServerUrl, type ServerUrl } from '../../src/transfer/server-url.ts';
import type { TransferEvents } from '../../src/transfer/transfer-events.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { ROLES, SAMPLE } from './sample-database.ts';

export const doors: Doors = {
  sockets: nodeSockets((error) => {
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
  readFile: async () => '',
};
export const NO_EVENTS: TransferEvents = { onStep: () => undefined, onCopied: () => undefined };

/** Two servers: one has the sample in the database `shop`, the other has the roles that it takes. */
export class TransferWorld implements AsyncDisposable {
  readonly source: StockPostgres;
  readonly target: StockPostgres;

  private constructor(source: StockPostgres, target: StockPostgres) {
    this.source = source;
    this.target = target;
  }

  static async make(): Promise<TransferWorld> {
    const settings = { fsync: false, wal_level: 'logical', max_prepared_transactions: 1 };
    const make = (): Promise<StockPostgres> => StockPostgres.create({ major: 17, settings });
    const world = new TransferWorld(await make(), await make());
    await Promise.all([world.source.start(), world.target.start()]);
    await makeRoles(world.source, ROLES);
    await makeRoles(world.target, ROLES.slice(0, 2));
    await world.source.query('CREATE DATABASE shop');
    await runAll(world.source, 'shop', SAMPLE);
    return world;
  }

  sourceUrl(database = 'shop'): ServerUrl {
    return parseServerUrl(this.source.connectionString(database), {});
  }

  targetUrl(database: string): ServerUrl {
    return parseServerUrl(this.target.connectionString(database), {});
  }

  options(database: string, more: Partial<ImportOptions> = {}): ImportOptions {
    return {
      source: this.sourceUrl(),
      target: this.targetUrl(database),
      schemas: undefined,
      jobs: 1,
      isSkipping: false,
      isIntoExisting: false,
      signal: new AbortController().signal,
      ...more,
    };
  }

  /** Names of the target's databases. */
  async databases(): Promise<string[]> {
    const rows = await this.target.query<{ datname: string }>('SELECT datname FROM pg_database ORDER BY 1');
    return rows.map(({ datname }) => datname).filter((name) => !/^(postgres|template\d)$/.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.dispose();
    await this.target.dispose();
  }
}

async function makeRoles(server: StockPostgres, roles: readonly string[]): Promise<void> {
  for (const role of roles) await server.query(`CREATE ROLE "${role.replaceAll('"', '""')}"`);
}

export async function runAll(
  server: StockPostgres,
  database: string,
  statements: readonly string[],
): Promise<void> {
  const client = await server.connect(database);
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
