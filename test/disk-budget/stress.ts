import { chmod, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { packagedBinDirectory } from '../../src/io/node/postgres-binaries.ts';
import { connect, query, readyLine } from '../compute/compute-client.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { checkRelations } from '../support/check-relations.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { Session } from './session.ts';

const MIB = 1024 * 1024;
const TEMPLATE_ROWS = 2000;
const LOOK_MS = 100;

export interface StressOptions {
  readonly sessions: number;
  readonly milliseconds: number;
  readonly seed: number;
  readonly hasChecksums: boolean;
  readonly budgetMib: number;
  /** Of each session's table, a bit over 2 kB each. */
  readonly rows: number;
}

export interface StressResult {
  readonly problems: readonly string[];
  readonly turns: number;
  /** Of the database at the end. */
  readonly databaseBytes: number;
  readonly usedBytesMax: number;
  readonly givenBytes: number;
  readonly blocksAgain: number;
  /** All was also found as it has to be on a compute that has begun anew. */
  readonly restarted: boolean;
}

/** A world with a timeline, whose cluster has data checksums if it is to. */
export async function startBudgetWorld(hasChecksums: boolean): Promise<VarveWorld> {
  const programs = await mkdtemp(join(tmpdir(), 'varve-initdb-'));
  try {
    await chmod(programs, 0o755);
    const real = packagedBinDirectory();
    const more = hasChecksums ? '--data-checksums' : '';
    await symlink(join(real, 'postgres'), join(programs, 'postgres'));
    await writeFile(join(programs, 'initdb'), `#!/bin/sh\nexec '${join(real, 'initdb')}' "$@" ${more}\n`);
    await chmod(join(programs, 'initdb'), 0o755);
    const world = await VarveWorld.start([], ['--pg-bin', programs]);
    await world.createTimeline();
    return world;
  } finally {
    // The first timeline is the only one that is made of a new cluster.
    await rm(programs, { recursive: true });
  }
}

/** What the files below a directory take. */
export async function usedBytes(directory: string): Promise<number> {
  let bytes = 0;
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const status = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    bytes += (status?.blocks ?? 0) * 512;
  }
  return bytes;
}

/** The last line of the agent's log that has a field. */
export function lastLogged(agent: VarveProcess, name: string): number {
  const lines = agent.errorText.split('\n').filter((line) => line.includes(`"${name}":`));
  return Number(new RegExp(`"${name}":(\\d+)`).exec(lines.at(-1) ?? '')?.[1] ?? 0);
}

export async function runStress(options: StressOptions): Promise<StressResult> {
  const { sessions: count, milliseconds, seed, hasChecksums, budgetMib, rows } = options;
  await using world = await startBudgetWorld(hasChecksums);
  const problems: string[] = [];
  const args = ['--disk-budget', `${budgetMib}MB`, '--set', 'shared_buffers=16MB', '--log-level', 'info'];
  const more = ['--set', 'autovacuum_naptime=1s', '--set', 'max_connections=60'];
  const agent = world.spawnCompute(world.main, 'compute', [...args, ...more]);
  const { url } = await readyLine(agent);
  const [shown] = await query(url, 'SHOW data_checksums');
  if ((shown?.['data_checksums'] === 'on') !== hasChecksums)
    problems.push('the cluster has the wrong checksums');
  await makeTemplate(url);
  const sessions = Array.from(
    { length: count },
    (_, number) => new Session(url, number, rows, seed, problems),
  );
  const watched = watch(join(world.directory, 'compute'));
  await Promise.all(sessions.map((session) => session.open())).catch((error: Error) =>
    problems.push(error.message),
  );
  const endMs = Date.now() + milliseconds;
  await Promise.all([
    ...sessions.map(async (session) => {
      while (Date.now() < endMs && problems.length < 20) await session.turn();
    }),
    copyDatabases(new Session(url, 99, rows, seed, problems), endMs),
  ]).catch((error: Error) => problems.push(`${error.message}`));
  const usedBytesMax = await watched.stop();
  if (problems.length === 0) {
    for (const session of sessions) await session.check(url);
    problems.push(...(await amcheck(url)));
  }
  const [size] = await query(
    url,
    'SELECT sum(pg_database_size(oid))::bigint::text AS n FROM pg_database',
  ).catch(() => []);
  const result = {
    turns: sessions.reduce((sum, { turns }) => sum + turns, 0),
    databaseBytes: Number(size?.['n']),
    usedBytesMax,
    givenBytes: lastLogged(agent, 'givenBytes'),
    blocksAgain: lastLogged(agent, 'blocksAgain'),
  };
  let restarted = false;
  if (problems.length === 0) {
    await agent.kill('SIGTERM');
    const next = world.spawnCompute(world.main, 'other', [...args, ...more]);
    const { url: nextUrl } = await readyLine(next);
    for (const session of sessions) await session.check(nextUrl);
    problems.push(...(await amcheck(nextUrl)));
    restarted = true;
    for (const session of sessions) await session.close();
    await next.kill('SIGTERM');
  } else {
    problems.push(
      agent.errorText
        .split('\n')
        .filter((line) => !line.includes('"info"'))
        .join('\n')
        .slice(-3000),
    );
    for (const session of sessions) await session.close().catch(() => undefined);
  }
  return { problems, ...result, restarted };
}

/** Copies of a database, made one after the other in both ways. */
async function copyDatabases(session: Session, endMs: number): Promise<void> {
  await session.openBare();
  for (let round = 0; Date.now() < endMs; round++)
    await session.copyDatabase('kept', round % 2 === 0 ? 'wal_log' : 'file_copy', TEMPLATE_ROWS);
  await session.close();
}

async function makeTemplate(url: string): Promise<void> {
  await query(url, 'CREATE DATABASE kept');
  const client = await connect(url.replace(/\/[^/]*$/, '/kept'));
  await client.query(
    `CREATE TABLE kept AS SELECT i AS id, repeat(md5(i || ':' || 0), 50) AS body FROM generate_series(1, ${TEMPLATE_ROWS}) i`,
  );
  await client.query('CREATE INDEX ON kept (id)');
  await client.end();
}

function watch(directory: string): { stop(): Promise<number> } {
  const life = new AbortController();
  const looking = (async () => {
    let most = 0;
    while (!life.signal.aborted) {
      most = Math.max(most, await usedBytes(directory));
      await delay(LOOK_MS, undefined, { signal: life.signal }).catch(() => undefined);
    }
    return most;
  })();
  return {
    stop: () => {
      life.abort();
      return looking;
    },
  };
}

async function amcheck(url: string): Promise<readonly string[]> {
  const connector = {
    connect: async () => {
      const client = new Client(url);
      await client.connect();
      return client;
    },
  };
  return (await checkRelations(connector as never, 'postgres')).problems;
}

export const formatResult = ({ usedBytesMax, givenBytes, databaseBytes, ...rest }: StressResult): string =>
  JSON.stringify({
    ...rest,
    usedMib: Math.round(usedBytesMax / MIB),
    givenMib: Math.round(givenBytes / MIB),
    databaseMib: Math.round(databaseBytes / MIB),
  });
