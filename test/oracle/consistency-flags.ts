import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CorruptionError } from '../../src/base/errors.ts';
import {
  CONTROL_FILE_PATH,
  type ControlFile,
  decodeControlFile,
} from '../../src/postgres/files/control-file.ts';
import type { PostgresVersion } from '../../src/postgres/versions/version.ts';
import { WAL_PAGE_BYTES, walPageHeaderBytes } from '../../src/postgres/wal/page-header.ts';
import {
  RECORD_CHECK_CONSISTENCY,
  RECORD_CRC,
  RECORD_HEADER_BYTES,
  RECORD_INFO,
} from '../../src/postgres/wal/record-header.ts';
import { setRecordCrc } from '../../src/postgres/wal/record-writer.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { readWalFiles } from './wal-files.ts';

interface Patch {
  readonly lsn: number;
  readonly original: number;
}

/**
 * What a server prints when its own consistency check stops its recovery. The check is wrong there and not the page:
 * it reads a page that a later record truncates and that was extended anew, and so is all zeros
 * (xlogrecovery.c, verifyBackupPageConsistency), or it compares a flag that GiST sets only at replay
 * (F_TUPLES_DELETED; gistRedoDeleteRecord sets it, gistprunepage does not).
 */
const STOPPED_BY_CHECK = /inconsistent page found|invalid page pd_lower 0 pd_upper 0 pd_special 0/;

export function wasStoppedByItsCheck(error: unknown): boolean {
  return error instanceof Error && STOPPED_BY_CHECK.test(error.message);
}

/**
 * Takes the request for a check out of the WAL that a stopped server has still to replay, so that it starts, and
 * puts it back when the run is over, so that our own replay checks every page all the same.
 */
export class ConsistencyFlags {
  readonly #version: PostgresVersion;
  readonly #dataDirectory: string;
  readonly #patches: Patch[] = [];

  constructor(version: PostgresVersion, dataDirectory: string) {
    this.#version = version;
    this.#dataDirectory = dataDirectory;
  }

  /** How many bytes differ from what the server wrote. */
  get patchedBytes(): number {
    return this.#patches.length;
  }

  /** Clears the flag, and sets the CRC right, in all records from the last checkpoint's redo position on. */
  strip(): void {
    const control = this.#readControlFile();
    const { walSegmentBytes: segmentBytes, checkPointCopy } = control;
    const reader = new WalReader({ version: this.#version, segmentBytes, startLsn: checkPointCopy.redo });
    const changes = new Map<number, number>();
    const place = {
      directory: join(this.#dataDirectory, 'pg_wal'),
      timelineId: checkPointCopy.thisTimelineId,
      segmentBytes,
    };
    try {
      readWalFiles(reader, place, () => {
        this.#stripRecord(reader, segmentBytes, changes);
        return true;
      });
    } catch (error) {
      // What a crash has torn is the end of the WAL.
      if (!(error instanceof CorruptionError)) throw error;
    }
    // One by one: a long recovery has more of them than a call can have arguments.
    for (const patch of this.#write(changes, segmentBytes, place.timelineId)) this.#patches.push(patch);
  }

  /** Makes the WAL what the server wrote. */
  restore(): void {
    const control = this.#readControlFile();
    const changes = new Map<number, number>();
    for (const { lsn, original } of this.#patches.toReversed()) changes.set(lsn, original);
    this.#write(changes, control.walSegmentBytes, control.checkPointCopy.thisTimelineId);
    this.#patches.length = 0;
  }

  #readControlFile(): ControlFile {
    return decodeControlFile(this.#version, readFileSync(join(this.#dataDirectory, CONTROL_FILE_PATH)));
  }

  #stripRecord(reader: WalReader, segmentBytes: number, changes: Map<number, number>): void {
    const { bytes } = reader.workspace;
    const info = bytes[reader.recordOffset + RECORD_INFO] as number;
    if ((info & RECORD_CHECK_CONSISTENCY) === 0) return;
    const record = bytes.slice(reader.recordOffset, reader.recordOffset + reader.recordLength);
    record[RECORD_INFO] = info & ~RECORD_CHECK_CONSISTENCY;
    setRecordCrc(record);
    for (const offset of [RECORD_INFO, RECORD_CRC, RECORD_CRC + 1, RECORD_CRC + 2, RECORD_CRC + 3]) {
      changes.set(headerByteLsn(reader.startLsn, offset, segmentBytes), record[offset] as number);
    }
  }

  /** Writes bytes by LSN into the segment files; returns what stood there. */
  #write(changes: ReadonlyMap<number, number>, segmentBytes: number, timelineId: number): Patch[] {
    const replaced: Patch[] = [];
    const bySegment = Map.groupBy(changes, ([lsn]) => segmentNumber(lsn, segmentBytes));
    for (const [segment, ofSegment] of bySegment) {
      const path = join(this.#dataDirectory, 'pg_wal', formatSegmentName(timelineId, segment, segmentBytes));
      const bytes = readFileSync(path);
      for (const [lsn, value] of ofSegment) {
        replaced.push({ lsn, original: bytes[lsn % segmentBytes] as number });
        bytes[lsn % segmentBytes] = value;
      }
      writeFileSync(path, bytes);
    }
    return replaced;
  }
}

/** Where byte `offset` of a record's header stands: the header may go on behind the next page's header. */
function headerByteLsn(startLsn: number, offset: number, segmentBytes: number): number {
  if (offset >= RECORD_HEADER_BYTES)
    throw new Error('only the record header is known to cross one page at most');
  const nextPage = startLsn - (startLsn % WAL_PAGE_BYTES) + WAL_PAGE_BYTES;
  const lsn = startLsn + offset;
  return lsn < nextPage ? lsn : lsn + walPageHeaderBytes(nextPage, segmentBytes);
}
