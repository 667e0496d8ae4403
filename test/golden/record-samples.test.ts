import { describe, expect, test } from 'vitest';
import { Page } from '../../src/postgres/page/page.ts';
import { getResourceManager } from '../../src/postgres/rmgr/resource-managers.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { effectsOf } from '../../src/redo/effects/effects-of.ts';
import { redo } from '../../src/redo/redo.ts';
import { decodeSample, type RecordSample, readRecordSamples, recordSamplesPath } from './record-samples.ts';

/** Records that a stock server wrote, with the pages that the oracle has found right: they must stay so. */
const samples = (['17', '17.11'] as const).flatMap((version) =>
  readRecordSamples(recordSamplesPath(version)),
);
const byKind = Map.groupBy(samples, (sample: RecordSample) => sample.kind);

describe('records of a stock server of PostgreSQL 17', () => {
  test('are many', () => {
    expect(byKind.size).toBeGreaterThanOrEqual(110);
  });

  test.each([...byKind])('%s: gives the same pages, a body and effects', (kind, ofKind) => {
    for (const sample of ofKind) {
      const record = decodeSample(sample, POSTGRES_17);
      const manager = getResourceManager(record.resourceManager, record.info, record.startLsn);
      expect(`${manager.name} ${manager.kindName(record.info)}`).toBe(kind);
      expect(manager.decodeBody(record).kind).toBe(manager.kindName(record.info));
      expect(Array.isArray(effectsOf(record))).toBe(true);
      for (const { blockId, before, after } of sample.pages) {
        const page = new Page(before.slice());
        redo(page, record, blockId, { hintBitsAreLogged: sample.hintBitsAreLogged });
        expect(Buffer.compare(page.bytes, after), `block reference ${blockId}`).toBe(0);
      }
    }
  });
});
