import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { auxiliaryFileKey } from '../../src/pageserver/keyspace/auxiliary-file.ts';
import { formatKey, KEY_BYTES, type Key, readKey } from '../../src/pageserver/keyspace/key.ts';
import { KIND_AUXILIARY_FILE, KIND_RECORD_POSITIONS, kindRange } from '../../src/pageserver/keyspace/keys.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import type { ScanLimits } from '../../src/pageserver/read/scan-batch.ts';
import { ScannedBatch } from '../../src/pageserver/read/scanned-batch.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { runWorkload } from '../oracle/workload.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';

const context: ReadContext = { task: 'administration', signal: new AbortController().signal };
/** All but pages. */
const RANGE = { start: kindRange(0x61).start, end: kindRange(KIND_RECORD_POSITIONS).start };

async function scanInBatches({ reads }: ActiveTimeline, lsn: Lsn, limits: ScanLimits): Promise<string[]> {
  const batch = new ScannedBatch();
  const found: string[] = [];
  for (let start: Key | undefined = RANGE.start; start !== undefined; ) {
    start = await reads.scanBatch({ start, end: RANGE.end }, lsn, limits, batch, context);
    expect(batch.count).toBeLessThanOrEqual(limits.entries);
    if (batch.count > 1) expect(batch.valueBytes).toBeLessThanOrEqual(limits.valueBytes);
    for (let entry = 0; entry < batch.count; entry++) {
      const key = batch.key(entry);
      expect(readKey(batch.keyView, entry * KEY_BYTES)).toEqual(key);
      expect(batch.lsn(entry)).toBeLessThanOrEqual(lsn);
      if (key.kind !== KIND_AUXILIARY_FILE) found.push(`${formatKey(key)} ${crc32(batch.value(entry))}`);
    }
  }
  return found;
}

async function scanAtOnce({ reads }: ActiveTimeline, lsn: Lsn): Promise<string[]> {
  const values = await reads.scan(RANGE, lsn, context);
  return values
    .filter(({ key }) => key.kind !== KIND_AUXILIARY_FILE)
    .map(({ key, bytes }) => `${formatKey(key)} ${crc32(bytes)}`);
}

test('a scan in batches finds what a scan of all at once finds, at every LSN and over layers of all kinds', {
  timeout: 120_000,
}, async () => {
  await using server = await StockPostgres.create({ major: 17 });
  const { initialDirectory, walDirectory } = await runWorkload({
    server,
    seconds: 2,
    seed: 5,
    onProgress: () => undefined,
  });
  const settings = {
    openLayerBytes: 1e6,
    targetBytes: 5e5,
    compactionThreshold: 3,
    imageThreshold: 2,
    historyBytes: 1e9,
  };
  await using world = await StorageWorld.open({ settings });
  const tenant = await world.storage.attach(world.tenantId);
  const cluster = { files: nodeFiles, directory: initialDirectory, version: POSTGRES_17 };
  const main = await tenant.createTimeline(MAIN, cluster);
  await feedWal(main, walDirectory);
  const last = main.timeline.lastRecordLsn;
  const first = main.timeline.initialLsn;
  for (let part = 1; part <= 2; part++) {
    const lsn = (first + Math.floor(((last - first) * part) / 2)) as Lsn;
    const expected = await scanAtOnce(main, lsn);
    expect(expected.length).toBeGreaterThan(500);
    for (const limits of [
      { entries: 1e6, valueBytes: 1e9 },
      { entries: 777, valueBytes: 1e9 },
      { entries: 1e6, valueBytes: 10_000 },
    ]) {
      expect(await scanInBatches(main, lsn, limits)).toEqual(expected);
    }
  }
});

test('what is kept beside WAL is found at the record that it was put at, and not before', async () => {
  await using server = await StockPostgres.create({ major: 17 });
  await using world = await StorageWorld.open();
  const tenant = await world.storage.attach(world.tenantId);
  const cluster = { files: nodeFiles, directory: server.dataDirectory, version: POSTGRES_17 };
  const main = await tenant.createTimeline(MAIN, cluster);
  await feedWal(main, `${server.dataDirectory}/pg_wal`);
  const { lastRecordLsn, initialLsn } = main.timeline;
  await main.timeline.putAuxiliaryFile('pg_stat/pgstat.stat', Uint8Array.of(1));
  const batch = new ScannedBatch();
  const limits = { entries: 10, valueBytes: 1000 };
  const range = kindRange(KIND_AUXILIARY_FILE);
  expect(await main.reads.scanBatch(range, lastRecordLsn, limits, batch, context)).toBeUndefined();
  expect(batch.count).toBe(1);
  expect(batch.key(0)).toEqual(auxiliaryFileKey('pg_stat/pgstat.stat'));
  await main.reads.scanBatch(range, initialLsn, limits, batch, context);
  expect(batch.count).toBe(0);
});
