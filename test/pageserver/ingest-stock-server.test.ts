import { expect, test } from 'vitest';
import { nodeFiles } from '../../src/io/node/files.ts';
import { importCluster } from '../../src/pageserver/ingest/import-cluster.ts';
import { KIND_REPLICATION_ORIGIN, kindRange } from '../../src/pageserver/keyspace/keys.ts';
import { decodeOrigin } from '../../src/pageserver/keyspace/stored-values.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { Replay } from '../oracle/replay.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { readWalFiles } from '../oracle/wal-files.ts';
import { runWorkload } from '../oracle/workload.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { compareCluster } from './compare-cluster.ts';
import { MemoryTimeline } from './memory-timeline.ts';

/** Reads the initial cluster and all WAL of a run into a timeline, which forgets all but what it has stored at times. */
async function ingestRun(
  initialDirectory: string,
  walDirectory: string,
  lastRecordLsn: number,
): Promise<{ timeline: MemoryTimeline; poisoned: string[]; records: number }> {
  const timeline = new MemoryTimeline();
  const control = await importCluster(nodeFiles, initialDirectory, POSTGRES_17, {
    put: (key, value) => timeline.put(key, value),
  });
  const segmentBytes = control.walSegmentBytes;
  const timelineId = control.checkPointCopy.thisTimelineId;
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes,
    startLsn: control.checkPoint,
    systemIdentifier: control.systemIdentifier,
    timelineId,
    file: walDirectory,
  });
  const record = new DecodedRecord(POSTGRES_17);
  const poisoned: string[] = [];
  let records = 0;
  timeline.restart();
  readWalFiles(reader, { directory: walDirectory, timelineId, segmentBytes }, () => {
    reader.decode(record);
    if (timeline.take(record))
      poisoned.push(`${record.resourceManager} ${record.info} at ${record.startLsn}`);
    records++;
    if (records % 10_007 === 0) timeline.restart();
    return record.startLsn < lastRecordLsn;
  });
  return { timeline, poisoned, records };
}

test('all WAL of a stock server, ingested and read back, gives what replay gives', async () => {
  await using server = await StockPostgres.create({ major: 17 });
  const workload = await runWorkload({ server, seconds: 5, seed: 11, walBytesMax: 60e6 });
  const cluster = ReplayedCluster.read(workload.initialDirectory, POSTGRES_17);
  const lastRecordLsn = ReplayedCluster.read(workload.finalDirectory, POSTGRES_17).control.checkPoint;
  const wrong: string[] = [];
  const { walDirectory } = workload;
  const { effects } = new Replay({
    cluster,
    walDirectory,
    lastRecordLsn,
    onMismatch: ({ kind, message }) => wrong.push(`${kind}: ${message}`),
  }).run();
  expect(wrong).toEqual([]);

  const { timeline, poisoned, records } = await ingestRun(
    workload.initialDirectory,
    walDirectory,
    lastRecordLsn,
  );
  expect(poisoned).toEqual([]);
  expect(records).toBeGreaterThan(10_000);
  expect(compareCluster(timeline, cluster, effects.counters.nextXid)).toEqual([]);
  const origins = timeline.scan(kindRange(KIND_REPLICATION_ORIGIN));
  expect(new Map(origins.map(({ key, value }) => [key.index, decodeOrigin(value)]))).toEqual(effects.origins);
  // After a shutdown checkpoint nothing is rounded.
  expect(timeline.state.counters).toEqual(effects.counters);
}, 180_000);
