import type { SeededRandom } from '../support/seeded-random.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import { type ConsistencyFlags, wasStoppedByItsCheck } from './consistency-flags.ts';
import type { WorkloadControl } from './workload-control.ts';
import { WORKLOAD_DATABASE } from './workload-session.ts';
import { changedSettings } from './workload-settings.ts';

/** A start may be refused once for each of the reasons that `startAgain` knows. */
const START_ATTEMPTS = 3;

export interface RestartOptions {
  /** Shortest and longest time between two. */
  readonly intervalSeconds: readonly [number, number];
  /** Whether the server may come back with other values of settings that WAL tells of. */
  readonly changesParameters: boolean;
}

/**
 * Kills the server at random moments and starts it again, now and then with other settings or after a clean stop.
 * What lies around after a kill (slots, prepared transactions, ALTER SYSTEM) is swept up half of the time, so that
 * the other half finds it.
 */
export async function runRestarts(
  server: StockPostgres,
  control: WorkloadControl,
  random: SeededRandom,
  flags: ConsistencyFlags,
  options: RestartOptions,
): Promise<void> {
  while (!control.isStopping) {
    await control.pause(random.between(...options.intervalSeconds) * 1000);
    if (control.isStopping) return;
    const isClean = random.chance(0.25);
    const isChanged = random.chance(0.4) && options.changesParameters;
    if (isClean) await sweep(server, control, random, true);
    control.markDown();
    await server.stop(isClean ? 'fast' : 'immediate');
    control.statistics[isClean ? 'cleanStops' : 'immediateStops']++;
    if (isChanged) {
      control.statistics.parameterChanges++;
      await server.changeSettings(changedSettings(random, isClean));
    }
    await startAgain(server, control, flags);
    await sweep(server, control, random, random.chance(0.5));
    control.markUp();
  }
}

/** Starts the server in spite of what a kill at any moment may leave behind. */
async function startAgain(
  server: StockPostgres,
  control: WorkloadControl,
  flags: ConsistencyFlags,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await server.start();
      return;
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error;
      if (wasStoppedByItsCheck(error)) {
        flags.strip();
        control.statistics.recoveriesWithoutCheck++;
      } else if (error instanceof Error && error.message.includes('wal_level')) {
        // A slot made between the sweep and the stop: no start below wal_level logical.
        await server.changeSettings({ wal_level: 'logical' });
      } else {
        throw error;
      }
    }
  }
}

/** Undoes server-wide settings; with `thorough` also drops unused slots and ends prepared transactions. */
export async function sweep(
  server: StockPostgres,
  control: WorkloadControl,
  random: SeededRandom,
  thorough: boolean,
): Promise<void> {
  try {
    await server.query('ALTER SYSTEM RESET ALL');
    await server.query('SELECT pg_reload_conf()');
    if (!thorough) return;
    await server.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = $1',
      [WORKLOAD_DATABASE],
      WORKLOAD_DATABASE,
    );
    for (const { gid, database } of await server.query<{ gid: string; database: string }>(
      'SELECT gid, database::text FROM pg_prepared_xacts',
    )) {
      const end = random.chance(0.5) ? 'COMMIT' : 'ROLLBACK';
      await server.query(`${end} PREPARED '${gid.replaceAll("'", "''")}'`, [], database);
    }
  } catch (error) {
    // A session was faster, or a slot was taken up meanwhile.
    control.countError('sweep', error);
  }
}
