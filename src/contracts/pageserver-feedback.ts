import type { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import type { Lsn } from '../base/lsn.ts';

/** Most shards that a tenant may have: whoever gathers feedback keeps the last of each. */
export const SHARDS_MAX = 128;

/** What a pageserver tells of its progress, through the safekeepers, to the proposer. */
export interface PageserverFeedback {
  /** Logical size in bytes; 0 from shards other than the first. */
  readonly currentTimelineSizeBytes: number;
  readonly lastReceivedLsn: Lsn;
  readonly diskConsistentLsn: Lsn;
  readonly remoteConsistentLsn: Lsn;
  /** Microseconds since 2000-01-01 UTC. */
  readonly replyTime: bigint;
  readonly shardNumber: number;
  readonly corruptionDetected: boolean;
}

/** A key of ours, beside those of a pageserver's feedback, or alone. */
const STANDBY_APPLY_KEY = 'standby_applylsn';

/** What the entries at the end of a safekeeper's answer say. */
export interface FeedbackEntries {
  readonly pageserver: PageserverFeedback | undefined;
  /** What all standbys that follow the safekeeper have applied; undefined where there is none. */
  readonly standbyApplyLsn: Lsn | undefined;
}

/**
 * u8 number of keys; each a C string, i32 length, value. The shard number is only written where it is not 0, the
 * flag only where it is true.
 */
export function writePageserverFeedback(writer: BigEndianWriter, feedback: PageserverFeedback): void {
  writeFeedbackEntries(writer, { pageserver: feedback, standbyApplyLsn: undefined });
}

/** Of these, what there is; as writePageserverFeedback. */
export function writeFeedbackEntries(
  writer: BigEndianWriter,
  { pageserver, standbyApplyLsn }: FeedbackEntries,
): void {
  writer.u8((pageserver === undefined ? 0 : countKeys(pageserver)) + (standbyApplyLsn === undefined ? 0 : 1));
  if (pageserver !== undefined) writeKeys(writer, pageserver);
  if (standbyApplyLsn !== undefined) writer.cString(STANDBY_APPLY_KEY).i32(8).u64(standbyApplyLsn);
}

const countKeys = ({ shardNumber, corruptionDetected }: PageserverFeedback): number =>
  5 + (shardNumber > 0 ? 1 : 0) + (corruptionDetected ? 1 : 0);

function writeKeys(writer: BigEndianWriter, feedback: PageserverFeedback): void {
  const entry = (key: string, length: number): BigEndianWriter => writer.cString(key).i32(length);
  entry('current_timeline_size', 8).u64(feedback.currentTimelineSizeBytes);
  entry('ps_writelsn', 8).u64(feedback.lastReceivedLsn);
  entry('ps_flushlsn', 8).u64(feedback.diskConsistentLsn);
  entry('ps_applylsn', 8).u64(feedback.remoteConsistentLsn);
  entry('ps_replytime', 8).i64(feedback.replyTime);
  if (feedback.shardNumber > 0) entry('shard_number', 4).u32(feedback.shardNumber);
  if (feedback.corruptionDetected) entry('corruption_detected', 1).u8(1);
}

type Fields = { -readonly [Field in keyof PageserverFeedback]: PageserverFeedback[Field] };

/** A field by its key: its length, and how it is read. Older senders use the second spelling of some. */
const fields: Readonly<Record<string, readonly [number, (into: Fields, reader: BigEndianReader) => void]>> =
  (() => {
    const receivedLsn = [
      8,
      (into: Fields, reader: BigEndianReader) => void (into.lastReceivedLsn = reader.lsn()),
    ] as const;
    const diskLsn = [
      8,
      (into: Fields, reader: BigEndianReader) => void (into.diskConsistentLsn = reader.lsn()),
    ] as const;
    const remoteLsn = [
      8,
      (into: Fields, reader: BigEndianReader) => void (into.remoteConsistentLsn = reader.lsn()),
    ] as const;
    const replyTime = [
      8,
      (into: Fields, reader: BigEndianReader) => void (into.replyTime = reader.i64()),
    ] as const;
    return {
      current_timeline_size: [8, (into, reader) => void (into.currentTimelineSizeBytes = reader.u64())],
      ps_writelsn: receivedLsn,
      last_received_lsn: receivedLsn,
      ps_flushlsn: diskLsn,
      disk_consistent_lsn: diskLsn,
      ps_applylsn: remoteLsn,
      remote_consistent_lsn: remoteLsn,
      ps_replytime: replyTime,
      replytime: replyTime,
      shard_number: [4, (into, reader) => void (into.shardNumber = readShardNumber(reader))],
      corruption_detected: [1, (into, reader) => void (into.corruptionDetected = reader.u8() !== 0)],
    };
  })();

function readShardNumber(reader: BigEndianReader): number {
  const shardNumber = reader.u32();
  return shardNumber < SHARDS_MAX ? shardNumber : reader.fail(`it is of shard ${shardNumber}`);
}

/** Reads a feedback up to its last key. Keys that are not known are passed over by their length: the format says so. */
export function readPageserverFeedback(reader: BigEndianReader): PageserverFeedback {
  return readKeys(reader).feedback;
}

/** As readPageserverFeedback, where a pageserver's may be missing. */
export function readFeedbackEntries(reader: BigEndianReader): FeedbackEntries {
  const { feedback, standbyApplyLsn, isPageserver } = readKeys(reader);
  return { pageserver: isPageserver ? feedback : undefined, standbyApplyLsn };
}

function readKeys(reader: BigEndianReader): {
  readonly feedback: PageserverFeedback;
  readonly standbyApplyLsn: Lsn | undefined;
  /** Something is said that is not of standbys, if only nothing. */
  readonly isPageserver: boolean;
} {
  const feedback: Fields = {
    currentTimelineSizeBytes: 0,
    lastReceivedLsn: 0 as Lsn,
    diskConsistentLsn: 0 as Lsn,
    remoteConsistentLsn: 0 as Lsn,
    replyTime: 0n,
    shardNumber: 0,
    corruptionDetected: false,
  };
  let standbyApplyLsn: Lsn | undefined;
  const keys = reader.u8();
  let others = 0;
  for (let count = keys; count > 0; count--) {
    const key = reader.cString();
    const length = reader.i32();
    if (length < 0) reader.fail(`the value of ${key} has ${length} bytes`);
    if (key === STANDBY_APPLY_KEY && length === 8) {
      standbyApplyLsn = reader.lsn();
      others++;
      continue;
    }
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (field === undefined) {
      reader.bytes(length);
      continue;
    }
    if (length !== field[0]) reader.fail(`the value of ${key} has ${length} bytes instead of ${field[0]}`);
    field[1](feedback, reader);
  }
  return { feedback, standbyApplyLsn, isPageserver: keys === 0 || keys > others };
}
