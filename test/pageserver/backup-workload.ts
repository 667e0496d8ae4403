import { setTimeout as delay } from 'node:timers/promises';
import { type Client, DatabaseError } from 'pg';
import { runWorkload, type WorkloadResult } from '../oracle/workload.ts';
import { initializePgbench, runPgbench } from '../support/pgbench.ts';
import type { Setting, StockPostgres } from '../support/stock-postgres.ts';

/** A moment of the run at which transactions are prepared and others are under way. */
export interface ChosenMoment {
  /** At or behind the end of a record, all WAL before which the server has written. */
  readonly lsn: number;
  /** Of the transaction that was under way: nothing of it may be seen. */
  readonly roundUnderWay: number;
  /** How many were prepared a moment before. */
  readonly prepared: number;
}

export interface BackupWorkload extends WorkloadResult {
  readonly moments: readonly ChosenMoment[];
}

/** Not the consistency checks, which recovery would do too; all WAL is kept, and the prepared go beside the corpus'. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  wal_consistency_checking: '',
  max_prepared_transactions: 60,
};
const UNDEFINED_OBJECT = '42704';
const PREPARED_AT_ONCE = 6;
/** All sessions are ended when the run is over; ours stop before, unless it ends early. */
const SECONDS_LEFT = 1.5;
const ADMIN_SHUTDOWN = '57P01';

/**
 * Runs the corpus, and beside it in another database what pgbench does, transactions that are prepared and ended later,
 * and one that is under way most of the time. Ends with a clean stop.
 */
export async function runBackupWorkload(options: {
  readonly server: StockPostgres;
  readonly seconds: number;
  readonly seed: number;
  readonly settings?: Readonly<Record<string, Setting>>;
}): Promise<BackupWorkload> {
  const { server, seconds, seed, settings } = options;
  const moments: ChosenMoment[] = [];
  const ending = new AbortController();
  let traffic: Promise<unknown> | undefined;
  try {
    const result = await runWorkload({
      server,
      seconds,
      seed,
      sessions: 3,
      walBytesMax: 200e6,
      restartIntervalSeconds: false,
      settings: { ...SETTINGS, ...settings },
      onProgress: ({ elapsedSeconds }) => {
        traffic ??= Promise.all(
          [
            runTransfers(server, ending.signal),
            prepareTransactions(server, ending.signal),
            stayUnderWay(server, ending.signal, moments),
          ].map((part) => part.catch(passOverEnd).finally(() => ending.abort())),
        );
        // It is awaited when the run is over.
        traffic.catch(() => undefined);
        if (elapsedSeconds > seconds - SECONDS_LEFT) ending.abort();
      },
    });
    await traffic;
    return { ...result, moments };
  } finally {
    ending.abort();
  }
}

/** The run may end while a transaction is under way: then the connection is lost. Whatever the server says is a failure. */
function passOverEnd(error: unknown): void {
  if (error instanceof DatabaseError && error.code !== ADMIN_SHUTDOWN) throw error;
}

async function runTransfers(server: StockPostgres, signal: AbortSignal): Promise<void> {
  await initializePgbench(server, { scale: 1 });
  while (!signal.aborted) {
    await runPgbench(server, { scale: 1, clients: 2, transactions: 10 });
    await pauseOrEnd(100, signal);
  }
}

async function prepareTransactions(server: StockPostgres, signal: AbortSignal): Promise<void> {
  const client = await server.connect();
  try {
    await client.query('CREATE TABLE two_phase (id integer, part text, v text, PRIMARY KEY (id, part))');
    for (let id = 0; !signal.aborted; id++) {
      await prepareOne(client, id);
      const old = id - PREPARED_AT_ONCE;
      if (old >= 0) await endPrepared(client, old);
      await pauseOrEnd(30, signal);
    }
  } finally {
    await client.end();
  }
}

/** It may have gone: what freezes the cluster ends all that hold it up. */
async function endPrepared(client: Client, id: number): Promise<void> {
  try {
    await client.query(`${id % 2 === 0 ? 'COMMIT' : 'ROLLBACK'} PREPARED 'traffic ${id}'`);
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== UNDEFINED_OBJECT) throw error;
  }
}

async function prepareOne(client: Client, id: number): Promise<void> {
  const statements = [
    'BEGIN',
    `INSERT INTO two_phase VALUES (${id}, 'top', 'x')`,
    'SAVEPOINT s',
    `INSERT INTO two_phase VALUES (${id}, 'sub', repeat('y', 3000))`,
    ...(id % 5 === 0 ? [`CREATE TABLE made_by_${id} AS SELECT generate_series(1, 100) AS i`] : []),
    ...(id >= 20 ? [`UPDATE two_phase SET v = 'changed' WHERE id = ${id - 20}`] : []),
    `PREPARE TRANSACTION 'traffic ${id}'`,
  ];
  for (const statement of statements) await client.query(statement);
}

async function stayUnderWay(
  server: StockPostgres,
  signal: AbortSignal,
  moments: ChosenMoment[],
): Promise<void> {
  const client = await server.connect();
  const observer = await server.connect();
  try {
    await client.query('CREATE TABLE under_way (round integer, i integer, v text)');
    await client.query('CREATE INDEX ON under_way (round, i)');
    for (let round = 0; !signal.aborted; round++) {
      await client.query('BEGIN');
      await client.query(
        `INSERT INTO under_way SELECT ${round}, i, repeat('z', 50) FROM generate_series(1, 300) i`,
      );
      await client.query('SAVEPOINT s');
      await client.query('DELETE FROM under_way WHERE i % 7 = 0');
      await client.query(`CREATE TABLE made_in_${round} (id serial PRIMARY KEY)`);
      await pauseOrEnd(150, signal);
      // What this one has written is flushed with it.
      await observer.query("SELECT pg_logical_emit_message(false, 'moment', '', true)");
      const { rows } = await observer.query<{ lsn: number; prepared: number }>(
        `SELECT (SELECT count(*)::int FROM pg_prepared_xacts WHERE gid LIKE 'traffic%') AS prepared,
                (pg_current_wal_flush_lsn() - '0/0')::float8 AS lsn`,
      );
      const { lsn = 0, prepared = 0 } = rows[0] ?? {};
      moments.push({ lsn, prepared, roundUnderWay: round });
      await pauseOrEnd(50, signal);
      await client.query(round % 3 === 0 ? 'ROLLBACK' : 'COMMIT');
    }
  } finally {
    await client.end();
    await observer.end();
  }
}

async function pauseOrEnd(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  // The signal ends the wait; who calls looks at it.
  await delay(milliseconds, undefined, { signal }).catch(() => undefined);
}
