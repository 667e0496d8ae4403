import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TimelineId } from '../../src/base/ids.ts';
import { type Storage, stopCompute, timelineIdOf } from './storage.ts';

/** A database to start a server on. */
export interface ClusterShape {
  /** Also its directory's and its timeline's name: sixteen characters at most. */
  readonly name: string;
  /** Of one table, beside what every cluster has. */
  readonly filledBytes: number;
  /** Tables, beside what every cluster has. */
  readonly relations: number;
}

const BLOCK_BYTES = 8192;
const ROWS_AT_ONCE = 100_000;
const RELATIONS_AT_ONCE = 500;
/** Makes the preparation short; what storage gets of it is the same. */
const PREPARING = { autovacuum: 'off', max_wal_size: '16GB', max_locks_per_transaction: '256' };

/** What the first client asks for, of any cluster. */
export const FIRST_QUERY = 'SELECT value FROM first WHERE id = 1';
export const FIRST_VALUE = 'here';

/** Makes the cluster of the shape in storage, by a compute. */
export async function prepareCluster(storage: Storage, shape: ClusterShape): Promise<TimelineId> {
  const timelineId = timelineIdOf(shape.name);
  await storage.prepareOnce(shape.name.replaceAll(' ', '-'), async () => {
    await storage.createTimeline(timelineId);
    await prepareByCompute(storage, timelineId, PREPARING, (client) => fillCluster(client, shape));
  });
  return timelineId;
}

/** Runs a compute for as long as `prepare` takes, and waits until storage has all of it. */
export async function prepareByCompute(
  storage: Storage,
  timelineId: TimelineId,
  settings: Readonly<Record<string, string>>,
  prepare: (client: Client) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-bench-prepare-'));
  const compute = storage.startCompute(timelineId, directory, settings);
  try {
    const { url } = await compute.line<{ url: string }>();
    const client = new Client(url);
    await client.connect();
    try {
      await prepare(client);
    } finally {
      await client.end();
    }
    await storage.received(timelineId, await stopCompute(compute));
  } finally {
    await compute.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  }
}

/** The same for any server. @param isNew whether it has nothing of this yet */
export async function fillCluster(
  client: Pick<Client, 'query'>,
  { filledBytes, relations }: ClusterShape,
  isNew = true,
): Promise<void> {
  if (isNew) {
    await client.query('CREATE TABLE first (id int PRIMARY KEY, value text)');
    await client.query('INSERT INTO first VALUES (1, $1)', [FIRST_VALUE]);
  }
  if (filledBytes > 0) await fillTable(client, Math.ceil(filledBytes / BLOCK_BYTES));
  if (relations > 0) await createTables(client, relations);
}

/** A row of half of what may be filled of a page: each page has one, and its WAL is a twentieth of it. */
async function fillTable(client: Pick<Client, 'query'>, blocks: number): Promise<void> {
  await client.query('CREATE TABLE filled (id bigint, payload text) WITH (fillfactor = 10)');
  await client.query('ALTER TABLE filled ALTER COLUMN payload SET STORAGE plain');
  for (let made = 0; made < blocks; made += ROWS_AT_ONCE) {
    const last = Math.min(blocks, made + ROWS_AT_ONCE) - 1;
    await client.query(
      `INSERT INTO filled SELECT i, repeat('x', 400) FROM generate_series(${made}::bigint, ${last}) i`,
    );
  }
  const { rows } = await client.query("SELECT pg_relation_size('filled') / 8192 AS blocks");
  if (Number(rows[0].blocks) < blocks) throw new Error(`the table has ${rows[0].blocks} of ${blocks} blocks`);
}

async function createTables(client: Pick<Client, 'query'>, count: number): Promise<void> {
  for (let made = 0; made < count; made += RELATIONS_AT_ONCE) {
    const last = Math.min(count, made + RELATIONS_AT_ONCE) - 1;
    await client.query(
      `DO $$ BEGIN FOR i IN ${made}..${last} LOOP EXECUTE 'CREATE TABLE many_' || i || ' (id int)'; END LOOP; END $$`,
    );
  }
}
