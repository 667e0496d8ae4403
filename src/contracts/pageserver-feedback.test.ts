import { expect, test } from 'vitest';
import { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import { toLsn } from '../base/lsn.ts';
import { readPageserverFeedback, SHARDS_MAX, writePageserverFeedback } from './pageserver-feedback.ts';

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
