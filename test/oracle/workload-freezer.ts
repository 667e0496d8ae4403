import type { SeededRandom } from '../support/seeded-random.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import type { WorkloadControl } from './workload-control.ts';
import { sweep } from './workload-restarts.ts';

/** Transaction ids in one segment of pg_xact: 32 pages of 8192 bytes, two bits each. */
export const FIRST_CLOG_SEGMENT_XIDS = 1_048_576;
/** Part of the run's time after which freezing begins, and from the end of one round to the next. */
const FIRST_ROUND = 0.35;
const BETWEEN_ROUNDS = 0.25;

/**
 * Freezes all tables of all databases, which lets the server cut off the old ends of pg_xact, pg_commit_ts and
 * pg_multixact. That takes every database at once, `template0` too, and nothing old that holds the horizon back: no
 * prepared transaction, no slot. A round goes on through kills until all databases have passed its goal.
 */
export async function freezeEverything(
  server: StockPostgres,
  control: WorkloadControl,
  random: SeededRandom,
): Promise<void> {
  await control.pause(control.seconds * 1000 * FIRST_ROUND);
  let goal = FIRST_CLOG_SEGMENT_XIDS + 1;
  while (!control.isStopping) {
    await control.untilUp();
    try {
      await sweep(server, control, random, true);
      if (await freezeOnce(server, goal)) {
        await control.pause(control.seconds * 1000 * BETWEEN_ROUNDS);
        goal = await readOldestRunning(server);
        continue;
      }
    } catch (error) {
      control.countError('freeze', error);
    }
    await control.pause(100);
  }
}

async function readOldestRunning(server: StockPostgres): Promise<number> {
  const rows = await server.query<{ xmin: string }>(
    'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin',
  );
  return Number(rows[0]?.xmin);
}

/** True if all databases have passed the goal. Tables that someone has locked are left for the next call. */
async function freezeOnce(server: StockPostgres, goal: number): Promise<boolean> {
  if ((await readOldestRunning(server)) <= goal) return false;
  const databases = await server.query<{ name: string }>(
    `SELECT datname::text AS name FROM pg_database
      WHERE datallowconn AND (datfrozenxid::text::bigint < $1 OR datminmxid::text::bigint < $2)`,
    [goal, 2],
  );
  for (const { name } of databases) {
    const rows = await server.query<{ list: string | null }>(
      `SELECT string_agg(oid::regclass::text, ', ') AS list FROM pg_class
        WHERE relkind IN ('r', 'm') AND relpersistence <> 't' AND (relfrozenxid::text::bigint < $1 OR EXISTS
          (SELECT FROM pg_class t WHERE t.oid = pg_class.reltoastrelid AND t.relfrozenxid::text::bigint < $1))`,
      [goal],
      name,
    );
    const list = rows[0]?.list;
    await server.query(`VACUUM (FREEZE, SKIP_LOCKED) ${list ?? 'pg_catalog.pg_database'}`, [], name);
  }
  return databases.length === 0;
}
