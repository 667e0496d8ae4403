import { expect, test } from 'vitest';
import { formatLsn } from '../../src/base/lsn.ts';
import { formatKey, type Key } from '../../src/pageserver/keyspace/key.ts';
import { relationBlockKey, relationSizeKey } from '../../src/pageserver/keyspace/keys.ts';
import { encodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import type { RelationLocator } from '../../src/postgres/files/relation-locator.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { FORK_FREE_SPACE_MAP } from '../../src/postgres/wal/record-header.ts';
import type { MemoryTimeline } from '../pageserver/memory-timeline.ts';
import { startTimeline } from '../pageserver/sample-cluster.ts';
import { putByLast } from '../pageserver/take-records.ts';
import { decodeSample, type RecordSample, readRecordSamples, recordSamplesPath } from './record-samples.ts';

const samples = (['17', '17.11'] as const).flatMap((version) =>
  readRecordSamples(recordSamplesPath(version)).map((sample) => ({ sample, version })),
);

/** Above all ids in the samples, so that their counters say something of their own. */
const NEXT_XID = 1024 * 1024;

const relationOf = (record: DecodedRecord, id: number): RelationLocator => ({
  tablespace: record.blockTablespace[id] as number,
  database: record.blockDatabase[id] as number,
  relation: record.blockRelation[id] as number,
});

/** A timeline right before the record: forks are as long as the blocks that the record does not make anew need. */
function before(record: DecodedRecord, sample: RecordSample): MemoryTimeline {
  const { settings } = startTimeline().state.counters;
  const timeline = startTimeline({
    nextXid: NEXT_XID,
    settings: { ...settings, walLogHints: sample.hintBitsAreLogged },
  });
  const sizes = new Map<string, { key: Key; blocks: number }>();
  for (let id = 0; id < record.blockCount; id++) {
    if (!record.hasBlock(id) || record.willInitialize(id)) continue;
    const key = relationSizeKey(relationOf(record, id), record.blockFork[id] as number);
    const blocks = Math.max(sizes.get(formatKey(key))?.blocks ?? 0, (record.blockNumber[id] as number) + 1);
    sizes.set(formatKey(key), { key, blocks });
  }
  for (const { key, blocks } of sizes.values()) timeline.put(key, encodeSize(blocks));
  return timeline;
}

test('real records of each kind bring the values that have been written down', async () => {
  let text = '';
  for (const { sample, version } of samples) {
    const record = decodeSample(sample, POSTGRES_17);
    const timeline = before(record, sample);
    const isPoisoned = timeline.take(record);
    expect(isPoisoned, sample.kind).toBe(false);
    text += `${version} ${sample.kind} ends at ${formatLsn(sample.endLsn)}\n`;
    for (const line of putByLast(timeline)) text += `  ${line}\n`;
  }
  await expect(text).toMatchFileSnapshot(new URL('./wal-ingest-1.txt', import.meta.url).pathname);
});

test('the values of real records make of their pages what a stock server made of them', () => {
  let pages = 0;
  for (const { sample } of samples) {
    const record = decodeSample(sample, POSTGRES_17);
    const timeline = before(record, sample);
    const keyOf = (id: number): Key =>
      relationBlockKey(
        relationOf(record, id),
        record.blockFork[id] as number,
        record.blockNumber[id] as number,
      );
    for (const { blockId, before: bytes } of sample.pages) timeline.put(keyOf(blockId), bytes);
    timeline.take(record);
    for (const { blockId, after } of sample.pages) {
      if (record.blockFork[blockId] === FORK_FREE_SPACE_MAP) continue;
      const page = timeline.readPage(keyOf(blockId));
      expect(Buffer.compare(page.bytes, after), `${sample.kind} block reference ${blockId}`).toBe(0);
      pages++;
    }
  }
  expect(pages).toBeGreaterThan(100);
});
