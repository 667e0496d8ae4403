import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TimelineId } from '../../src/base/ids.ts';
import { type Setting, StockPostgres } from '../../test/support/stock-postgres.ts';
import type { VarveProcess } from '../../test/support/varve-process.ts';
import { residentBytes, type Storage, stopCompute } from '../start/storage.ts';

/** Nothing but the load does anything. */
export const LOADED_SETTINGS: Readonly<Record<string, string>> = {
  autovacuum: 'off',
  bgwriter_lru_maxpages: '0',
  checkpoint_timeout: '1d',
  jit: 'off',
  max_connections: '60',
  max_parallel_workers_per_gather: '0',
  max_wal_size: '64GB',
  shared_buffers: '128MB',
};

/** A server that is loaded. All of them are reached by their Unix sockets. */
export interface LoadedServer extends AsyncDisposable {
  /** Of the socket. */
  readonly path: string;
  /** The caller ends it. */
  connect(): Promise<Client>;
  /** Of what looks after the server; 0 where nothing does. */
  agentBytes(): Promise<number>;
}

/** On storage, in a directory that has nothing of it yet. Its end is in order. */
export async function startLoadedCompute(
  storage: Storage,
  timelineId: TimelineId,
  pageserverPort?: number,
): Promise<LoadedServer> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'varve-bench-load-')));
  await chmod(directory, 0o711);
  const compute = storage.startCompute(timelineId, directory, LOADED_SETTINGS, pageserverPort);
  try {
    const { port } = await compute.line<{ port: number }>();
    return loadedCompute(compute, directory, port);
  } catch (error) {
    await compute.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

function loadedCompute(compute: VarveProcess, directory: string, port: number): LoadedServer {
  const host = `${directory}/socket`;
  return {
    path: `${host}/.s.PGSQL.${port}`,
    async connect() {
      const client = new Client({ host, port, user: 'postgres', database: 'postgres' });
      await client.connect();
      return client;
    },
    agentBytes: () => residentBytes(compute.pid),
    async [Symbol.asyncDispose]() {
      try {
        await stopCompute(compute);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  };
}

export async function makeStock(
  settings: Readonly<Record<string, Setting>>,
  pgBin: string | undefined,
): Promise<StockPostgres> {
  const all = { ...LOADED_SETTINGS, ...settings };
  const server = await StockPostgres.create({
    major: 17,
    settings: all,
    ...(pgBin === undefined ? {} : { pgBin }),
  });
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.dispose();
    throw error;
  }
}

/** One that runs. Whoever made it disposes of it. */
export function loadedStock(server: StockPostgres): LoadedServer {
  return {
    path: `${server.socketDirectory}/.s.PGSQL.${server.port}`,
    connect: () => server.connect(),
    agentBytes: async () => 0,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
