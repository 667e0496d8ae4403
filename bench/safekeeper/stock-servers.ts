import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyDirectory } from '../../test/support/cluster-template.ts';
import { type Setting, StockPostgres } from '../../test/support/stock-postgres.ts';

const STANDBY_NAME = 'stock_standby';

/** Nothing but the load writes, and checkpoints stay away. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  autovacuum: false,
  bgwriter_lru_maxpages: 0,
  checkpoint_timeout: '1d',
  fsync: false,
  max_connections: 60,
  max_wal_size: '64GB',
  max_wal_senders: 10,
  shared_buffers: '128MB',
  wal_keep_size: '1GB',
};

/** The server that is loaded, with the table that the load fills. */
export async function startPrimary(pgBin: string | undefined): Promise<StockPostgres> {
  const server = await StockPostgres.create({
    major: 17,
    settings: SETTINGS,
    ...(pgBin === undefined ? {} : { pgBin }),
  });
  try {
    await server.start();
    await server.query('CREATE TABLE load (id bigint, payload text)');
    return server;
  } catch (error) {
    await server.dispose();
    throw error;
  }
}

/** Changes settings of a server that runs, and waits until they hold: none of them needs a restart. */
export async function reconfigure(
  server: StockPostgres,
  settings: Readonly<Record<string, Setting>>,
): Promise<void> {
  await server.changeSettings(settings);
  const client = await server.connect();
  try {
    await client.query('SELECT pg_reload_conf()');
    for (const [name, value] of Object.entries(settings)) {
      const wanted = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
      for (;;) {
        const { rows } = await client.query<{ value: string }>('SELECT current_setting($1) AS value', [name]);
        if (rows[0]?.value === wanted) break;
      }
    }
  } finally {
    await client.end();
  }
}

/** Waits until commits are told to this standby, which is up to date. */
export async function untilSynchronous(server: StockPostgres, name: string): Promise<void> {
  const client = await server.connect();
  try {
    for (;;) {
      const { rows } = await client.query(
        `SELECT 1 FROM pg_stat_replication
         WHERE application_name = $1 AND sync_state IN ('sync', 'quorum') AND state = 'streaming'`,
        [name],
      );
      if (rows.length > 0) return;
    }
  } finally {
    await client.end();
  }
}

/** Makes a standby of the server's own directory, which takes a stop of the server, and lets commits wait for it. */
export async function startStandby(primary: StockPostgres, fsync: boolean): Promise<StockPostgres> {
  const standby = await StockPostgres.create({
    major: 17,
    settings: {
      ...SETTINGS,
      fsync,
      primary_conninfo: `host=${primary.socketDirectory} port=${primary.port} user=postgres application_name=${STANDBY_NAME}`,
    },
  });
  try {
    await primary.stop('fast');
    await rm(standby.dataDirectory, { recursive: true });
    await copyDirectory(primary.dataDirectory, standby.dataDirectory);
    await primary.start();
    await rm(join(standby.dataDirectory, 'postmaster.pid'), { force: true });
    await writeFile(join(standby.dataDirectory, 'standby.signal'), '');
    await standby.changeSettings({});
    await standby.start();
    await reconfigure(primary, { synchronous_standby_names: STANDBY_NAME });
    await untilSynchronous(primary, STANDBY_NAME);
    return standby;
  } catch (error) {
    await standby.dispose();
    throw error;
  }
}
