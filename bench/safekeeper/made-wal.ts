import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { RM_LOGICAL_MESSAGE } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import type { WalToPush } from './host-messages.ts';

export const SEGMENT_BYTES: number = 16 * 1024 * 1024;
export const SYSTEM_IDENTIFIER = 0x1234_5678_9abcn;

/** WAL of records of one length, from a segment's start to the end of the last record. */
export function makeWal({ totalBytes, recordBytes }: WalToPush): {
  readonly bytes: Uint8Array;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
} {
  const startLsn = toLsn(SEGMENT_BYTES);
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: SYSTEM_IDENTIFIER,
    timelineId: 1,
    segmentBytes: SEGMENT_BYTES,
    startLsn,
    previousLsn: startLsn - 64,
  });
  const mainData = new Uint8Array(recordBytes);
  let endLsn = startLsn;
  for (let record = 0; endLsn - startLsn < totalBytes; record++) {
    for (let at = record % 7; at < recordBytes; at += 7) mainData[at] = record * 31 + at;
    endLsn = writer.append({ resourceManager: RM_LOGICAL_MESSAGE, info: 0, mainData }).endLsn;
  }
  return { bytes: writer.take(), startLsn, endLsn };
}
