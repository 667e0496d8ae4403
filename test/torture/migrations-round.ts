import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../src/base/errors.ts';
import { DirectoryObjects } from '../../src/io/directory-objects.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { CLUSTER_DIRECTORIES, writeCluster } from '../engine/model-cluster.ts';
import { beginModel, drawRecord } from '../engine/model-records.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { MAIN } from '../support/storage-world.ts';
import { type MigratedTenant, neverReadMigrating, readMigrating } from './migration-clients.ts';
import { MigrationNode } from './migration-node.ts';
import { Migrations } from './migrations.ts';
import type { PageFindings } from './page-readers.ts';
import { within } from './within.ts';

/** All run in this one process, whose loop is what they share: more of them only wait longer for it. */
const READERS = 6;
const NEVER_READERS = 5;
const STEP_TIMEOUT_MS = 60_000;
/** Every version of every page is in the model: this bounds them. */
const RECORDS_MAX = 1500;
const RECORDS_AT_ONCE = 3;
const FEED_INTERVAL_MS = 5;
/** Microseconds from 1970 to 2000. */
const EPOCH_2000_MS = 946_684_800_000;

export interface MigrationsOptions {
  readonly seed: number;
  /** Ends when so many migrations are over and so much time has passed. */
  readonly migrations: number;
  readonly durationMs?: number;
  /** Migrations are broken off, nodes restarted, and requests repeated in their midst. */
  readonly hasChaos: boolean;
  /** It goes on until each of these was done. */
  readonly actions?: readonly string[];
  readonly onEvent?: (text: string) => void;
}

export interface MigrationsResult extends PageFindings {
  readonly actions: ReadonlyMap<string, number>;
  readonly slowestMs: number;
  /** Requests that were made again. */
  readonly retries: number;
}

/** A tenant that moves between two pageservers over one bucket, with WAL coming in and clients that read, or never do. */
export async function runMigrations(options: MigrationsOptions): Promise<MigrationsResult> {
  const {
    seed,
    migrations,
    durationMs = 0,
    hasChaos,
    actions: wanted = [],
    onEvent = () => undefined,
  } = options;
  const random = new SeededRandom(seed);
  const findings: PageFindings = { pages: 0, wrong: [], stuck: [] };
  const directory = await mkdtemp(join(tmpdir(), 'varve-migrations-'));
  try {
    for (const name of ['bucket', ...CLUSTER_DIRECTORIES])
      await mkdir(join(directory, name), { recursive: true });
    await writeCluster(nodeFiles, directory);
    const doors = { files: nodeFiles, clock: nodeClock, random: nodeRandom };
    const objects = await DirectoryObjects.open(doors, join(directory, 'bucket'));
    await using first = await MigrationNode.open(1, objects);
    await using second = await MigrationNode.open(2, objects);
    const nodes = [first, second] as const;
    const model = await beginTimeline(first, directory);
    const reading = new AbortController();
    // WAL comes as long as anyone may wait for it.
    const writing = new AbortController();
    const tenant: MigratedTenant = { tenantId: first.world.tenantId, timelineId: MAIN, model, at: first };
    const moves = new Migrations({ nodes, tenant, findings, random: random.fork(), onEvent });
    const client = () => ({ tenant, findings, random: random.fork(), signal: reading.signal, retries: 0 });
    const readers = Array.from({ length: READERS }, client);
    const clients = [
      ...readers.map((reader) => readMigrating(reader)),
      ...Array.from({ length: NEVER_READERS }, () => neverReadMigrating(client())),
    ];
    const writers = [
      ...nodes.map((node) => feed(node, model, writing.signal)),
      grow(model, random.fork(), writing.signal),
    ];
    const endMs = performance.now() + durationMs;
    try {
      const isDue = (): boolean =>
        moves.finished < migrations ||
        performance.now() < endMs ||
        !wanted.every((action) => moves.actions.has(action));
      while (isDue()) {
        await within(STEP_TIMEOUT_MS, 'a migration is not over', hasChaos ? moves.act() : moves.migrate());
        if (findings.wrong.length + findings.stuck.length > 0) break;
      }
    } catch (error) {
      findings.stuck.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    } finally {
      reading.abort();
      try {
        await within(STEP_TIMEOUT_MS, 'clients do not end', Promise.all(clients));
      } finally {
        writing.abort();
        await within(STEP_TIMEOUT_MS, 'writers do not end', Promise.all(writers));
      }
    }
    const { actions, slowestMs } = moves;
    return {
      ...findings,
      actions,
      slowestMs,
      retries: readers.reduce((sum, { retries }) => sum + retries, 0),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function beginTimeline(node: MigrationNode, directory: string): Promise<ModelTimeline> {
  await node.setLocation('AttachedSingle', 1);
  const model = new ModelTimeline(MAIN);
  beginModel(model);
  await node.tenant?.createTimeline(MAIN, { files: nodeFiles, directory, version: POSTGRES_17 });
  await node.feed(model);
  return model;
}

/** As a WAL receiver does, as long as the tenant is there. */
async function feed(node: MigrationNode, model: ModelTimeline, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await node.feed(model);
    } catch (error) {
      // The timeline ends.
      if (!(error instanceof VarveError) || error.kind !== 'cancelled') throw error;
    }
    await delay(FEED_INTERVAL_MS);
  }
}

async function grow(model: ModelTimeline, random: SeededRandom, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const nowMicros = (Date.now() - EPOCH_2000_MS) * 1000;
    if (model.records.length < RECORDS_MAX) {
      for (let count = 0; count < RECORDS_AT_ONCE; count++) drawRecord(random, model, nowMicros);
    }
    await delay(random.between(5, 30));
  }
}
