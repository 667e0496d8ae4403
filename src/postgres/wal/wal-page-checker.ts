import { CorruptionError } from '../../base/errors.ts';
import { LSN_HIGH_LIMIT } from '../../base/lsn.ts';
import type { PostgresVersion } from '../versions/version.ts';
import {
  LONG_HEADER_BYTES,
  WAL_HEADER_BLOCK_SIZE,
  WAL_HEADER_INFO,
  WAL_HEADER_MAGIC,
  WAL_HEADER_PAGE_ADDRESS,
  WAL_HEADER_SEGMENT_SIZE,
  WAL_HEADER_SYSTEM_IDENTIFIER,
  WAL_HEADER_TIMELINE,
  WAL_PAGE_ALL_FLAGS,
  WAL_PAGE_BYTES,
  WAL_PAGE_LONG_HEADER,
} from './page-header.ts';

export interface WalPageExpectations {
  readonly version: PostgresVersion;
  /** WAL segment size in bytes, a power of two from 1 MiB to 1 GiB. */
  readonly segmentBytes: number;
  /** Refuse pages of another cluster. Unknown: whatever the first long header says is demanded of the others. */
  readonly systemIdentifier?: bigint;
  /** Refuse pages of another timeline. */
  readonly timelineId?: number;
  /** A name for the source, to be shown in errors. */
  readonly file?: string;
}

const hex = (value: number): string => value.toString(16).toUpperCase();

/** Checks that WAL pages are what they must be, each by its header alone (xlogreader.c, XLogReaderValidatePageHeader). */
export class WalPageChecker {
  readonly #expected: WalPageExpectations;
  #systemIdentifier: bigint | undefined;
  /** Of the latest page. A timeline forks off into one of a greater number, so WAL never goes back to a smaller. */
  #timelineId = 0;

  constructor(expected: WalPageExpectations) {
    this.#expected = expected;
    this.#systemIdentifier = expected.systemIdentifier;
  }

  /**
   * Checks the header of `length` bytes at the beginning of `view`, of the page that begins at `pageLsn`.
   * @throws CorruptionError saying which field is wrong.
   */
  check(view: DataView, pageLsn: number, length: number): void {
    const { version, timelineId: wantedTimelineId } = this.#expected;
    const magic = view.getUint16(WAL_HEADER_MAGIC, true);
    if (magic !== version.walPageMagic) {
      throw this.corrupt(
        `the page has magic ${hex(magic)}, PostgreSQL ${version.major} writes ${hex(version.walPageMagic)}`,
        pageLsn,
      );
    }
    const info = view.getUint16(WAL_HEADER_INFO, true);
    if ((info & ~WAL_PAGE_ALL_FLAGS) !== 0) throw this.corrupt(`the page has unknown flags ${info}`, pageLsn);
    const high = view.getUint32(WAL_HEADER_PAGE_ADDRESS + 4, true);
    const low = view.getUint32(WAL_HEADER_PAGE_ADDRESS, true);
    if (high >= LSN_HIGH_LIMIT || high * 0x1_0000_0000 + low !== pageLsn) {
      throw this.corrupt(`the page says that it is ${hex(high)}/${hex(low)}`, pageLsn);
    }
    const timelineId = view.getUint32(WAL_HEADER_TIMELINE, true);
    if (wantedTimelineId !== undefined && timelineId !== wantedTimelineId) {
      throw this.corrupt(`the page is of timeline ${timelineId}, not ${wantedTimelineId}`, pageLsn);
    }
    if (timelineId < this.#timelineId) {
      throw this.corrupt(`the page is of timeline ${timelineId}, after one of ${this.#timelineId}`, pageLsn);
    }
    const isLong = length === LONG_HEADER_BYTES;
    if (((info & WAL_PAGE_LONG_HEADER) !== 0) !== isLong) {
      throw this.corrupt('long page headers stand at the start of segments and nowhere else', pageLsn);
    }
    if (isLong) this.#checkLongHeader(view, pageLsn);
    this.#timelineId = timelineId;
  }

  /** An error about WAL from this source. */
  corrupt(reason: string, lsn: number): CorruptionError {
    const { file } = this.#expected;
    return new CorruptionError('BAD_WAL', reason, file === undefined ? { lsn } : { file, lsn });
  }

  #checkLongHeader(view: DataView, pageLsn: number): void {
    const { segmentBytes: wantedBytes } = this.#expected;
    const segmentBytes = view.getUint32(WAL_HEADER_SEGMENT_SIZE, true);
    if (segmentBytes !== wantedBytes) {
      throw this.corrupt(`the segments have ${segmentBytes} bytes, not ${wantedBytes}`, pageLsn);
    }
    const blockBytes = view.getUint32(WAL_HEADER_BLOCK_SIZE, true);
    if (blockBytes !== WAL_PAGE_BYTES) {
      throw this.corrupt(`the WAL pages have ${blockBytes} bytes, not ${WAL_PAGE_BYTES}`, pageLsn);
    }
    const systemIdentifier = view.getBigUint64(WAL_HEADER_SYSTEM_IDENTIFIER, true);
    this.#systemIdentifier ??= systemIdentifier;
    if (systemIdentifier !== this.#systemIdentifier) {
      throw this.corrupt(`the page is of system ${systemIdentifier}, not ${this.#systemIdentifier}`, pageLsn);
    }
  }
}
