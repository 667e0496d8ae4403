import { expect, test } from 'vitest';
import { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import { toLsn } from '../base/lsn.ts';
import {
  readFeedbackEntries,
  readPageserverFeedback,
  SHARDS_MAX,
  writeFeedbackEntries,
  writePageserverFeedback,
} from './pageserver-feedback.ts';

function read(shardNumber: number) {
  const writer = new BigEndianWriter();
  writePageserverFeedback(writer, {
    currentTimelineSizeBytes: 0,
    lastReceivedLsn: toLsn(3),
    diskConsistentLsn: toLsn(2),
    remoteConsistentLsn: toLsn(1),
    replyTime: 0n,
    shardNumber,
    corruptionDetected: false,
  });
  return readPageserverFeedback(new BigEndianReader(writer.take(), 'feedback'));
}

test('feedback of a shard that cannot be is refused, for what is said is kept by shard', () => {
  expect(read(SHARDS_MAX - 1)).toMatchObject({ shardNumber: SHARDS_MAX - 1, lastReceivedLsn: 3 });
  for (const shardNumber of [SHARDS_MAX, 0xffff_ffff]) {
    expect(() => read(shardNumber)).toThrow(expect.objectContaining({ kind: 'corruption' }));
  }
});

test('what standbys have applied stands beside a pageserver’s feedback, or alone; who does not know it passes over it', () => {
  const written = (pageserver: ReturnType<typeof read> | undefined, lsn: number | undefined): Uint8Array => {
    const writer = new BigEndianWriter();
    writeFeedbackEntries(writer, { pageserver, standbyApplyLsn: lsn === undefined ? undefined : toLsn(lsn) });
    return writer.take();
  };
  const feedback = read(1);
  for (const pageserver of [undefined, feedback]) {
    const bytes = written(pageserver, 7);
    expect(readFeedbackEntries(new BigEndianReader(bytes, 'entries'))).toEqual({
      pageserver,
      standbyApplyLsn: 7,
    });
    if (pageserver === undefined) continue;
    expect(readPageserverFeedback(new BigEndianReader(bytes, 'feedback'))).toEqual(pageserver);
    const alone = new BigEndianReader(written(pageserver, undefined), 'entries');
    expect(readFeedbackEntries(alone)).toEqual({ pageserver, standbyApplyLsn: undefined });
  }
});
