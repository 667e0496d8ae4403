import { BadRequestError } from '../../base/errors.ts';
import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { readTimestamp, readWireLsn, writeTimestamp, writeWireLsn } from './big-endian.ts';
import { MESSAGE_HEADER_BYTES } from './framing.ts';
import { formatTag, ProtocolError } from './wire-error.ts';

// What goes in CopyData while WAL is streamed: a tag of its own and fields in network byte order (walsender.c,
// walreceiver.c). Times are in microseconds since 2000-01-01 00:00 UTC. Readers take the body of a CopyData where it
// lies; writers write whole CopyData messages. Neither allocates anything.

export const XLOG_DATA_TAG = 0x77;
export const KEEPALIVE_TAG = 0x6b;
export const STANDBY_STATUS_TAG = 0x72;
export const HOT_STANDBY_FEEDBACK_TAG = 0x68;
/** Neon: WAL that the safekeeper has decoded. */
export const INTERPRETED_WAL_TAG = 0x30;
/** Neon: how far a pageserver is. Its content is no matter of this protocol. */
export const PAGESERVER_FEEDBACK_TAG = 0x7a;

/** Most WAL that one message carries (walsender.c, MAX_SEND_SIZE). */
export const XLOG_DATA_BYTES_MAX: number = 16 * 8192;

/** Fields before the data, tag and all: start, end, time. */
const XLOG_DATA_FIELDS_BYTES: number = 1 + 8 + 8 + 8;
const INTERPRETED_WAL_FIELDS_BYTES: number = 1 + 8 + 8;
const KEEPALIVE_BODY_BYTES: number = 1 + 8 + 8 + 1;
const STANDBY_STATUS_BODY_BYTES: number = 1 + 8 + 8 + 8 + 8 + 1;
const HOT_STANDBY_FEEDBACK_BODY_BYTES: number = 1 + 8 + 4 + 4 + 4 + 4;

/** What comes before the data of an XLogData or InterpretedWal message, CopyData's own header and all. */
export const XLOG_DATA_HEADER_BYTES: number = MESSAGE_HEADER_BYTES + XLOG_DATA_FIELDS_BYTES;
export const INTERPRETED_WAL_HEADER_BYTES: number = MESSAGE_HEADER_BYTES + INTERPRETED_WAL_FIELDS_BYTES;
/** Whole messages. */
export const KEEPALIVE_BYTES: number = MESSAGE_HEADER_BYTES + KEEPALIVE_BODY_BYTES;
export const STANDBY_STATUS_BYTES: number = MESSAGE_HEADER_BYTES + STANDBY_STATUS_BODY_BYTES;
export const HOT_STANDBY_FEEDBACK_BYTES: number = MESSAGE_HEADER_BYTES + HOT_STANDBY_FEEDBACK_BODY_BYTES;

const COPY_DATA_TAG = 0x64;

/** The tag of the message in a CopyData. Throws a ProtocolError where that is empty. */
export function readReplicationTag(view: DataView, offset: number, length: number): number {
  if (length < 1) throw new ProtocolError('EMPTY_COPY_DATA', 'an empty CopyData within a stream of WAL');
  return view.getUint8(offset);
}

/** For a tag that the receiver has no use for. */
export function refuseReplicationTag(tag: number): never {
  throw new ProtocolError(
    'UNKNOWN_MESSAGE',
    `no message of a stream of WAL has the tag ${formatTag(tag)} here`,
  );
}

function checkBody(view: DataView, offset: number, length: number, tag: number, isLengthGood: boolean): void {
  if (!isLengthGood) {
    throw new ProtocolError('BAD_MESSAGE', `a message ${formatTag(tag)} in CopyData has ${length} bytes`);
  }
  if (view.getUint8(offset) !== tag) refuseReplicationTag(view.getUint8(offset));
}

function readFlag(view: DataView, offset: number): boolean {
  const flag = view.getUint8(offset);
  if (flag > 1) throw new ProtocolError('BAD_MESSAGE', `${flag} is neither yes nor no`, { offset });
  return flag === 1;
}

function writeCopyDataHeader(view: DataView, offset: number, bodyLength: number, tag: number): number {
  view.setUint8(offset, COPY_DATA_TAG);
  view.setInt32(offset + 1, bodyLength + 4);
  view.setUint8(offset + MESSAGE_HEADER_BYTES, tag);
  return offset + MESSAGE_HEADER_BYTES + 1;
}

/** `w`: a piece of WAL. An object to read into again and again. */
export class XLogData {
  /** LSN of the first byte of the data. */
  startLsn: Lsn = INVALID_LSN;
  /** How far the sender could send at that time. */
  serverEndLsn: Lsn = INVALID_LSN;
  sendTimeMicroseconds = 0;
  /** Where the WAL lies in the bytes that were read, and how long it is. */
  dataOffset = 0;
  dataLength = 0;

  /** @throws ProtocolError where it is no such message */
  read(view: DataView, offset: number, length: number): void {
    checkBody(view, offset, length, XLOG_DATA_TAG, length >= XLOG_DATA_FIELDS_BYTES);
    this.startLsn = readWireLsn(view, offset + 1);
    this.serverEndLsn = readWireLsn(view, offset + 9);
    this.sendTimeMicroseconds = readTimestamp(view, offset + 17);
    this.dataOffset = offset + XLOG_DATA_FIELDS_BYTES;
    this.dataLength = length - XLOG_DATA_FIELDS_BYTES;
    if (this.dataLength > XLOG_DATA_BYTES_MAX) {
      throw new ProtocolError('BAD_MESSAGE', `${this.dataLength} bytes of WAL in one message are too many`);
    }
  }
}

/**
 * Writes all of a `w` message but its data, which the caller puts at the returned offset.
 * @param dataLength at most XLOG_DATA_BYTES_MAX
 */
export function writeXLogDataHeader(
  view: DataView,
  offset: number,
  startLsn: number,
  serverEndLsn: number,
  sendTimeMicroseconds: number,
  dataLength: number,
): number {
  if (dataLength > XLOG_DATA_BYTES_MAX) {
    throw new BadRequestError('MESSAGE_TOO_LONG', `${dataLength} bytes of WAL do not go into one message`);
  }
  const at = writeCopyDataHeader(view, offset, XLOG_DATA_FIELDS_BYTES + dataLength, XLOG_DATA_TAG);
  writeWireLsn(view, at, startLsn);
  writeWireLsn(view, at + 8, serverEndLsn);
  writeTimestamp(view, at + 16, sendTimeMicroseconds);
  return at + 24;
}

/** `k`: the sender is there. An object to read into again and again. */
export class Keepalive {
  /** How far the sender has come. */
  serverEndLsn: Lsn = INVALID_LSN;
  sendTimeMicroseconds = 0;
  /** Answer with a status at once, or be taken for dead. */
  isReplyRequested = false;

  /** @throws ProtocolError where it is no such message */
  read(view: DataView, offset: number, length: number): void {
    checkBody(view, offset, length, KEEPALIVE_TAG, length === KEEPALIVE_BODY_BYTES);
    this.serverEndLsn = readWireLsn(view, offset + 1);
    this.sendTimeMicroseconds = readTimestamp(view, offset + 9);
    this.isReplyRequested = readFlag(view, offset + 17);
  }
}

/** Writes a `k` message; returns where it ends. */
export function writeKeepalive(
  view: DataView,
  offset: number,
  serverEndLsn: number,
  sendTimeMicroseconds: number,
  isReplyRequested: boolean,
): number {
  const at = writeCopyDataHeader(view, offset, KEEPALIVE_BODY_BYTES, KEEPALIVE_TAG);
  writeWireLsn(view, at, serverEndLsn);
  writeTimestamp(view, at + 8, sendTimeMicroseconds);
  view.setUint8(at + 16, isReplyRequested ? 1 : 0);
  return at + 17;
}

/** `r`: how far the receiver is. An object to read into again and again. 0 stands for an LSN that is not known. */
export class StandbyStatus {
  writeLsn: Lsn = INVALID_LSN;
  flushLsn: Lsn = INVALID_LSN;
  applyLsn: Lsn = INVALID_LSN;
  sendTimeMicroseconds = 0;
  /** Answer with a keepalive at once. */
  isReplyRequested = false;

  /** @throws ProtocolError where it is no such message */
  read(view: DataView, offset: number, length: number): void {
    checkBody(view, offset, length, STANDBY_STATUS_TAG, length === STANDBY_STATUS_BODY_BYTES);
    this.writeLsn = readWireLsn(view, offset + 1);
    this.flushLsn = readWireLsn(view, offset + 9);
    this.applyLsn = readWireLsn(view, offset + 17);
    this.sendTimeMicroseconds = readTimestamp(view, offset + 25);
    this.isReplyRequested = readFlag(view, offset + 33);
  }
}

/**
 * Writes an `r` message; returns where it ends. A server believes any flush LSN, also one that it never sent: the
 * caller clamps it to what was received.
 */
export function writeStandbyStatus(
  view: DataView,
  offset: number,
  writeLsn: number,
  flushLsn: number,
  applyLsn: number,
  sendTimeMicroseconds: number,
  isReplyRequested: boolean,
): number {
  const at = writeCopyDataHeader(view, offset, STANDBY_STATUS_BODY_BYTES, STANDBY_STATUS_TAG);
  writeWireLsn(view, at, writeLsn);
  writeWireLsn(view, at + 8, flushLsn);
  writeWireLsn(view, at + 16, applyLsn);
  writeTimestamp(view, at + 24, sendTimeMicroseconds);
  view.setUint8(at + 32, isReplyRequested ? 1 : 0);
  return at + 33;
}

/** `h`: which transactions the receiver's readers may still see. 0 stands for none. */
export class HotStandbyFeedback {
  sendTimeMicroseconds = 0;
  xmin = 0;
  xminEpoch = 0;
  catalogXmin = 0;
  catalogXminEpoch = 0;

  /** @throws ProtocolError where it is no such message */
  read(view: DataView, offset: number, length: number): void {
    checkBody(view, offset, length, HOT_STANDBY_FEEDBACK_TAG, length === HOT_STANDBY_FEEDBACK_BODY_BYTES);
    this.sendTimeMicroseconds = readTimestamp(view, offset + 1);
    this.xmin = view.getUint32(offset + 9);
    this.xminEpoch = view.getUint32(offset + 13);
    this.catalogXmin = view.getUint32(offset + 17);
    this.catalogXminEpoch = view.getUint32(offset + 21);
  }
}

/** Writes an `h` message; returns where it ends. */
export function writeHotStandbyFeedback(
  view: DataView,
  offset: number,
  feedback: Readonly<HotStandbyFeedback>,
): number {
  const at = writeCopyDataHeader(view, offset, HOT_STANDBY_FEEDBACK_BODY_BYTES, HOT_STANDBY_FEEDBACK_TAG);
  writeTimestamp(view, at, feedback.sendTimeMicroseconds);
  view.setUint32(at + 8, feedback.xmin);
  view.setUint32(at + 12, feedback.xminEpoch);
  view.setUint32(at + 16, feedback.catalogXmin);
  view.setUint32(at + 20, feedback.catalogXminEpoch);
  return at + 24;
}

/** `0`: WAL that the safekeeper has decoded. An object to read into again and again. */
export class InterpretedWal {
  /** End of the raw WAL that has gone into this and all earlier messages. */
  streamingLsn: Lsn = INVALID_LSN;
  commitLsn: Lsn = INVALID_LSN;
  /** Where the records lie in the bytes that were read. */
  payloadOffset = 0;
  payloadLength = 0;

  /** @throws ProtocolError where it is no such message */
  read(view: DataView, offset: number, length: number): void {
    checkBody(view, offset, length, INTERPRETED_WAL_TAG, length >= INTERPRETED_WAL_FIELDS_BYTES);
    this.streamingLsn = readWireLsn(view, offset + 1);
    this.commitLsn = readWireLsn(view, offset + 9);
    this.payloadOffset = offset + INTERPRETED_WAL_FIELDS_BYTES;
    this.payloadLength = length - INTERPRETED_WAL_FIELDS_BYTES;
  }
}

/** Writes all of a `0` message but its payload, which the caller puts at the returned offset. */
export function writeInterpretedWalHeader(
  view: DataView,
  offset: number,
  streamingLsn: number,
  commitLsn: number,
  payloadLength: number,
): number {
  const at = writeCopyDataHeader(
    view,
    offset,
    INTERPRETED_WAL_FIELDS_BYTES + payloadLength,
    INTERPRETED_WAL_TAG,
  );
  writeWireLsn(view, at, streamingLsn);
  writeWireLsn(view, at + 8, commitLsn);
  return at + 16;
}
