import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { giveTo } from '../../src/io/node/unprivileged-account.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { isSegmentName, parseSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { runWorkload, type WorkloadResult } from './workload.ts';
import { WORKLOAD_DATABASE } from './workload-session.ts';
import { runSettings } from './workload-settings.ts';

const SEGMENT_MIB = 1;
const SEGMENT_BYTES = SEGMENT_MIB * 1024 * 1024;
const RESOURCE_MANAGER_COUNT = 22;
/** pg_control: the checkpoint's LSN (pg_control.h). */
const CONTROL_CHECKPOINT = 32;

async function readCheckpointLsn(directory: string): Promise<number> {
  return Number(
    (await readFile(join(directory, 'global', 'pg_control'))).readBigUInt64LE(CONTROL_CHECKPOINT),
  );
}

/** Reads all records from the initial checkpoint on: how many of each resource manager, and where they end. */
function countRecords(result: WorkloadResult, startLsn: number): { counts: number[]; lastStartLsn: number } {
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes: SEGMENT_BYTES,
    startLsn,
    mode: 'search',
  });
  const counts = new Array<number>(RESOURCE_MANAGER_COUNT).fill(0);
  let lastStartLsn = 0;
  const names = readdirSync(result.walDirectory).filter(isSegmentName).sort();
  for (const name of names) {
    const first = parseSegmentName(name, SEGMENT_BYTES).segment * SEGMENT_BYTES;
    if (first + SEGMENT_BYTES <= reader.position || reader.end !== undefined) continue;
    expect(first).toBeLessThanOrEqual(reader.position);
    reader.feed(readFileSync(join(result.walDirectory, name)), reader.position - first);
    while (reader.next()) {
      const resourceManager = reader.workspace.bytes[reader.recordOffset + 17] as number;
      counts[resourceManager] = (counts[resourceManager] as number) + 1;
      lastStartLsn = reader.startLsn;
    }
  }
  return { counts, lastStartLsn };
}

async function countRows(server: StockPostgres): Promise<Record<string, unknown>[]> {
  return server.query(
    `SELECT c.oid::regclass::text AS name,
            (xpath('//n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.oid::regclass, false, true, '')))[1]::text AS n
       FROM pg_class c WHERE relkind IN ('r', 'm') AND relpersistence = 'p'
        AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.mode = 'AccessExclusiveLock')
      ORDER BY 1`,
    [],
    WORKLOAD_DATABASE,
  );
}

describe('runWorkload', { timeout: 180_000 }, () => {
  test('touches every resource manager, and the WAL leads from the first directory to the last', async () => {
    await using server = await StockPostgres.create({ major: 17, segmentSizeMiB: SEGMENT_MIB });
    let progress = 0;
    const result = await runWorkload({
      server,
      seconds: 4,
      seed: 5,
      sessions: 4,
      onProgress: ({ elapsedSeconds }) => {
        progress = elapsedSeconds;
      },
    });
    expect(progress).toBeGreaterThan(0);
    expect(result.statistics.immediateStops + result.statistics.cleanStops).toBeGreaterThan(0);
    expect(result.statistics.statements).toBeGreaterThan(20);
    const names = result.catalog.databases.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['template0', 'template1', 'postgres', WORKLOAD_DATABASE]));
    const corpus = result.catalog.databases.find(({ name }) => name === WORKLOAD_DATABASE);
    expect(corpus?.relations.find(({ name }) => name === 'touched_gist')).toMatchObject({
      accessMethod: 'gist',
      relkind: 'i',
      relpersistence: 'p',
      reltablespace: 0,
      schema: 'shared',
    });

    const { counts, lastStartLsn } = countRecords(result, await readCheckpointLsn(result.initialDirectory));
    expect(counts.map((count, id) => (count === 0 ? id : -1)).filter((id) => id >= 0)).toEqual([]);
    expect(lastStartLsn).toBe(await readCheckpointLsn(result.finalDirectory));

    // A stock server recovers the first directory from the WAL, checks each page on the way, and ends as the last.
    const copy = join(server.rootDirectory, 'recovered');
    await copyDirectory(result.initialDirectory, copy);
    await writeFile(join(copy, 'recovery.signal'), '');
    await giveTo(server.account, copy, true);
    await using recovered = await StockPostgres.create({
      major: 17,
      dataDirectory: copy,
      settings: {
        ...runSettings('pglz', true),
        autovacuum: false,
        hot_standby: false,
        restore_command: `cp "${result.walDirectory}/%f" "%p"`,
      },
    });
    await recovered.start();
    await server.changeSettings({ autovacuum: false });
    await server.start();
    const rows = await countRows(server);
    expect(rows.length).toBeGreaterThan(5);
    expect(await countRows(recovered)).toEqual(rows);
  });

  test('runs a command in place of the SQL files', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'varve-exec-'));
    try {
      await using server = await StockPostgres.create({ major: 17, segmentSizeMiB: SEGMENT_MIB });
      const file = join(directory, 'out');
      const result = await runWorkload({
        server,
        seconds: 2,
        seed: 1,
        restartIntervalSeconds: false,
        exec: `echo "$PGHOST $PGUSER $PGDATABASE $PGPORT" >> ${file}; sleep 0.1; test -n "$PGPASSWORD"`,
      });
      expect(result.statistics.commands).toBeGreaterThan(3);
      expect(result.statistics.commandFailures).toBe(0);
      expect(result.statistics.immediateStops).toBe(0);
      expect((await readFile(file, 'utf8')).split('\n')[0]).toMatch(/^127\.0\.0\.1 postgres postgres \d+$/);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
