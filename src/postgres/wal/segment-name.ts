import { BadRequestError } from '../../base/errors.ts';
import { LSN_HIGH_LIMIT } from '../../base/lsn.ts';

/** Name and place of WAL segment files (xlog_internal.h: XLogFileName, XLByteToSeg). */

const SEGMENT_ID_RANGE = 0x1_0000_0000;

const hex8 = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

/** Number of the segment that holds `lsn`. */
export function segmentNumber(lsn: number, segmentBytes: number): number {
  return Math.floor(lsn / segmentBytes);
}

/** 24 upper-case hexadecimal digits: timeline, then the segment number in two halves of `2^32 / segmentBytes`. */
export function formatSegmentName(timelineId: number, segment: number, segmentBytes: number): string {
  const segmentsPerId = SEGMENT_ID_RANGE / segmentBytes;
  return hex8(timelineId) + hex8(Math.floor(segment / segmentsPerId)) + hex8(segment % segmentsPerId);
}

/** True for a name of 24 upper-case hexadecimal digits, as segment files have (IsXLogFileName). */
export function isSegmentName(name: string): boolean {
  return /^[0-9A-F]{24}$/.test(name);
}

/** The timeline and the segment number that a file name stands for. Throws BadRequestError for any other name, and for WAL at or above 2^53. */
export function parseSegmentName(
  name: string,
  segmentBytes: number,
): { timelineId: number; segment: number } {
  const low = Number.parseInt(name.slice(16), 16);
  const segmentsPerId = SEGMENT_ID_RANGE / segmentBytes;
  const high = Number.parseInt(name.slice(8, 16), 16);
  if (!isSegmentName(name) || low >= segmentsPerId || high >= LSN_HIGH_LIMIT) {
    throw new BadRequestError(
      'BAD_SEGMENT_NAME',
      `"${name}" is not the name of a WAL segment of ${segmentBytes} bytes`,
    );
  }
  return {
    timelineId: Number.parseInt(name.slice(0, 8), 16),
    segment: high * segmentsPerId + low,
  };
}
