/**
 * What a compute and a page service say to each other within a `pagestream`: versions 2 and 3 of Neon's protocol, byte
 * for byte (its pagestream_api.rs and pagestore_client.h). One message is the body of one CopyData; all numbers are in
 * network byte order.
 *
 *     request   tag, [id of the request u64,] request LSN u64, not-modified-since LSN u64, what is asked for
 *     response  tag, [the rest of the request as it came,] the answer
 *
 * What is in brackets is there in version 3 only. Everything here works by offset and makes no object where a message is
 * what it must be.
 */
import { copyBytes } from '../base/bytes.ts';
import { BadRequestError } from '../base/errors.ts';
import { LSN_HIGH_LIMIT, type Lsn } from '../base/lsn.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { ProtocolError } from '../postgres/wire/wire-error.ts';

export type PageProtocolVersion = 2 | 3;

/** 2^64 − 1 on the wire, above all LSNs: as new as there is. As a number, the one next to it. */
export const LATEST: Lsn = (2 ** 64) as Lsn;

export const REQUEST_EXISTS = 0;
export const REQUEST_NBLOCKS = 1;
export const REQUEST_GET_PAGE = 2;
export const REQUEST_DATABASE_SIZE = 3;
export const REQUEST_SLRU_SEGMENT = 4;

/** A response's tag is that of its request and this much; but for RESPONSE_ERROR, which answers any request. */
const RESPONSE_OF_REQUEST = 100;
export const RESPONSE_EXISTS = 100;
export const RESPONSE_NBLOCKS = 101;
export const RESPONSE_GET_PAGE = 102;
export const RESPONSE_ERROR = 103;
export const RESPONSE_DATABASE_SIZE = 104;
export const RESPONSE_SLRU_SEGMENT = 105;

/** What GetSlruSegment calls the SLRUs. */
export const SLRU_KIND_CLOG = 0;
export const SLRU_KIND_MULTIXACT_MEMBERS = 1;
export const SLRU_KIND_MULTIXACT_OFFSETS = 2;

const TAG_BYTES = 1;
const ID_BYTES = 8;
const LSN_BYTES = 8;
/** Tablespace, database and relation, u32 each, and the fork, u8. */
const FORK_BYTES: number = 3 * 4 + 1;
const FORK_OFFSET_FORK = 12;
const FORK_OFFSET_BLOCK: number = FORK_BYTES;
const COUNT_BYTES = 4;

/** By tag: what a request holds behind its LSNs. */
const REQUEST_BODY_BYTES: readonly number[] = [FORK_BYTES, FORK_BYTES, FORK_BYTES + 4, 4, 1 + 4];
/** By tag of the request: what a response holds behind what it repeats. Of an SLRU's segment, its beginning. */
const RESPONSE_PAYLOAD_BYTES: readonly number[] = [1, 4, BLOCK_BYTES, 8, COUNT_BYTES];

/** No request is longer. */
export const REQUEST_BYTES_MAX: number = TAG_BYTES + ID_BYTES + 2 * LSN_BYTES + FORK_BYTES + 4;
const SLRU_PAGES_MAX = 32;
/** An error's text is cut to this much, in UTF-8. Shorter than a page, so that a page's answer has room for an error. */
export const ERROR_TEXT_BYTES_MAX = 4096;
/** No response is longer. */
export const RESPONSE_BYTES_MAX: number = REQUEST_BYTES_MAX + COUNT_BYTES + SLRU_PAGES_MAX * BLOCK_BYTES;

const TWO_POW_32 = 0x1_0000_0000;
const U32_MAX = 0xffff_ffff;

const idBytes = (version: PageProtocolVersion): number => (version === 3 ? ID_BYTES : 0);
const lsnOffset = (version: PageProtocolVersion): number => TAG_BYTES + idBytes(version);
const bodyOffset = (version: PageProtocolVersion): number => lsnOffset(version) + 2 * LSN_BYTES;

/** Bytes of a request with this tag, which must be one of a request. */
export function requestBytes(version: PageProtocolVersion, tag: number): number {
  return bodyOffset(version) + (REQUEST_BODY_BYTES[tag] as number);
}

/**
 * The tag of the request in `length` bytes from `offset` on, which are exactly one.
 * @throws ProtocolError UNKNOWN_PAGE_REQUEST; BAD_PAGE_REQUEST for another length than that of its kind
 */
export function checkRequest(
  version: PageProtocolVersion,
  view: DataView,
  offset: number,
  length: number,
): number {
  if (length < TAG_BYTES) throw new ProtocolError('BAD_PAGE_REQUEST', 'a request for pages is empty');
  const tag = view.getUint8(offset);
  if (tag >= REQUEST_BODY_BYTES.length) {
    throw new ProtocolError('UNKNOWN_PAGE_REQUEST', `there is no request ${tag} for pages`);
  }
  const wanted = requestBytes(version, tag);
  if (length !== wanted) {
    throw new ProtocolError('BAD_PAGE_REQUEST', `request ${tag} has ${length} bytes and not ${wanted}`);
  }
  return tag;
}

/** Reads an LSN. @throws BadRequestError LSN_TOO_LARGE for one from 2^53 on that is not LATEST */
function readWireLsn(view: DataView, offset: number): Lsn {
  const high = view.getUint32(offset);
  const low = view.getUint32(offset + 4);
  if (high < LSN_HIGH_LIMIT) return (high * TWO_POW_32 + low) as Lsn;
  if (high === U32_MAX && low === U32_MAX) return LATEST;
  throw new BadRequestError(
    'LSN_TOO_LARGE',
    `the LSN ${high.toString(16).toUpperCase()}/${low.toString(16).toUpperCase()} is at or above 2^53 bytes`,
  );
}

/** The LSN as of which is asked. @throws BadRequestError LSN_TOO_LARGE */
export function readRequestLsn(version: PageProtocolVersion, view: DataView, offset: number): Lsn {
  return readWireLsn(view, offset + lsnOffset(version));
}

/** The LSN since which the client knows of no change. @throws BadRequestError LSN_TOO_LARGE */
export function readNotModifiedSince(version: PageProtocolVersion, view: DataView, offset: number): Lsn {
  return readWireLsn(view, offset + lsnOffset(version) + LSN_BYTES);
}

// Exists, Nblocks and GetPage.

export function readTablespace(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint32(offset + bodyOffset(version));
}

export function readDatabase(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint32(offset + bodyOffset(version) + 4);
}

export function readRelation(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint32(offset + bodyOffset(version) + 8);
}

/** Any byte: whether there is such a fork is for the reader to say. */
export function readFork(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint8(offset + bodyOffset(version) + FORK_OFFSET_FORK);
}

/** Of GetPage. */
export function readBlock(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint32(offset + bodyOffset(version) + FORK_OFFSET_BLOCK);
}

/** Of a request for a database's size. */
export function readDatabaseOfSize(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint32(offset + bodyOffset(version));
}

/** Of a request for a segment: any byte, see SLRU_KIND_CLOG. */
export function readSlruKind(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint8(offset + bodyOffset(version));
}

export function readSlruSegment(version: PageProtocolVersion, view: DataView, offset: number): number {
  return view.getUint32(offset + bodyOffset(version) + 1);
}

/**
 * Writes all of a request but what it asks for. Returns where that goes.
 * @param requestId whole, below 2^53; any number in version 2, which does not send it
 */
export function writeRequestHeader(
  version: PageProtocolVersion,
  view: DataView,
  offset: number,
  tag: number,
  requestId: number,
  requestLsn: Lsn,
  notModifiedSince: Lsn,
): number {
  view.setUint8(offset, tag);
  if (version === 3) writeU64(view, offset + TAG_BYTES, requestId);
  writeU64(view, offset + lsnOffset(version), requestLsn);
  writeU64(view, offset + lsnOffset(version) + LSN_BYTES, notModifiedSince);
  return offset + bodyOffset(version);
}

/** What Exists and Nblocks ask about, and GetPage asks about first. Returns the offset behind. */
export function writeFork(
  view: DataView,
  offset: number,
  tablespace: number,
  database: number,
  relation: number,
  fork: number,
): number {
  view.setUint32(offset, tablespace);
  view.setUint32(offset + 4, database);
  view.setUint32(offset + 8, relation);
  view.setUint8(offset + FORK_OFFSET_FORK, fork);
  return offset + FORK_BYTES;
}

/** What follows the fork in GetPage, and what a request for a database's size asks about. Returns the offset behind. */
export function writeNumber(view: DataView, offset: number, number: number): number {
  view.setUint32(offset, number);
  return offset + 4;
}

/** What a request for a segment of an SLRU asks about. Returns the offset behind. */
export function writeSlruSegment(view: DataView, offset: number, kind: number, segment: number): number {
  view.setUint8(offset, kind);
  return writeNumber(view, offset + 1, segment);
}

function writeU64(view: DataView, offset: number, value: number): void {
  if (value === LATEST) {
    view.setUint32(offset, U32_MAX);
    view.setUint32(offset + 4, U32_MAX);
    return;
  }
  view.setUint32(offset, Math.floor(value / TWO_POW_32));
  view.setUint32(offset + 4, value % TWO_POW_32);
}

/** Where in the response to a request with this tag the answer itself begins, counted from the response's first byte. */
export function payloadOffset(version: PageProtocolVersion, requestTag: number): number {
  return version === 3 ? requestBytes(3, requestTag) : TAG_BYTES;
}

/** Where in an error its text begins, which ends with a zero byte. */
export function errorTextOffset(version: PageProtocolVersion): number {
  return version === 3 ? bodyOffset(3) : TAG_BYTES;
}

/**
 * Bytes of the response to a request with this tag, unless it is an error; of an SLRU's segment without its pages.
 */
export function responseBytes(version: PageProtocolVersion, requestTag: number): number {
  return payloadOffset(version, requestTag) + (RESPONSE_PAYLOAD_BYTES[requestTag] as number);
}

/**
 * Begins the response to the request at `requestOffset`: the tag, and what is repeated, before any rule about LSNs has
 * changed it. Returns where the answer goes.
 */
export function writeResponseHeader(
  version: PageProtocolVersion,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  request: Uint8Array,
  requestView: DataView,
  requestOffset: number,
): number {
  const requestTag = requestView.getUint8(requestOffset);
  const end = payloadOffset(version, requestTag);
  if (version === 3) copyBytes(bytes, view, offset, request, requestView, requestOffset, end);
  view.setUint8(
    offset,
    requestTag < 3 ? requestTag + RESPONSE_OF_REQUEST : requestTag + RESPONSE_OF_REQUEST + 1,
  );
  return offset + end;
}

const utf8 = new TextEncoder();

/** Writes an error as the response to a request. Its text is cut where it is too long. Returns the offset behind. */
export function writeErrorResponse(
  version: PageProtocolVersion,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  request: Uint8Array,
  requestView: DataView,
  requestOffset: number,
  text: string,
): number {
  const textOffset = offset + errorTextOffset(version);
  if (version === 3) {
    copyBytes(bytes, view, offset, request, requestView, requestOffset, errorTextOffset(version));
  }
  view.setUint8(offset, RESPONSE_ERROR);
  const room = bytes.subarray(textOffset, textOffset + ERROR_TEXT_BYTES_MAX);
  const { written } = utf8.encodeInto(text.replaceAll('\0', ''), room);
  bytes[textOffset + written] = 0;
  return textOffset + written + 1;
}

/** Bytes of a database: 64 bits, of which 53 are used. */
export function writeDatabaseSize(view: DataView, offset: number, sizeBytes: number): void {
  writeU64(view, offset, sizeBytes);
}

/**
 * The tag of the response in `length` bytes from `offset` on, which are exactly one.
 * @throws ProtocolError UNKNOWN_PAGE_RESPONSE; BAD_PAGE_RESPONSE for a length that contradicts the tag
 */
export function checkResponse(
  version: PageProtocolVersion,
  view: DataView,
  offset: number,
  length: number,
): number {
  if (length < TAG_BYTES)
    throw new ProtocolError('BAD_PAGE_RESPONSE', 'a response of a page service is empty');
  const tag = view.getUint8(offset);
  if (tag < RESPONSE_EXISTS || tag > RESPONSE_SLRU_SEGMENT) {
    throw new ProtocolError('UNKNOWN_PAGE_RESPONSE', `there is no response ${tag} of a page service`);
  }
  if (!hasResponseLength(version, tag, view, offset, length)) {
    throw new ProtocolError('BAD_PAGE_RESPONSE', `a response ${tag} of ${length} bytes contradicts itself`);
  }
  return tag;
}

function hasResponseLength(
  version: PageProtocolVersion,
  tag: number,
  view: DataView,
  offset: number,
  length: number,
): boolean {
  if (tag === RESPONSE_ERROR) {
    return length > errorTextOffset(version) && view.getUint8(offset + length - 1) === 0;
  }
  const requestTag = requestTagOf(tag);
  const least = responseBytes(version, requestTag);
  if (tag !== RESPONSE_SLRU_SEGMENT) return length === least;
  if (length < least) return false;
  const pages = view.getUint32(offset + least - COUNT_BYTES);
  return pages <= SLRU_PAGES_MAX && length === least + pages * BLOCK_BYTES;
}

/** The tag of the requests that have responses with this tag, which must not be RESPONSE_ERROR. */
export function requestTagOf(responseTag: number): number {
  return responseTag < RESPONSE_ERROR
    ? responseTag - RESPONSE_OF_REQUEST
    : responseTag - RESPONSE_OF_REQUEST - 1;
}

/**
 * Whether a response, which has been checked, repeats this request. In version 2 responses repeat nothing: whether it is
 * of the right kind.
 */
export function isResponseTo(
  version: PageProtocolVersion,
  view: DataView,
  offset: number,
  requestView: DataView,
  requestOffset: number,
): boolean {
  const tag = view.getUint8(offset);
  const isError = tag === RESPONSE_ERROR;
  const requestTag = requestView.getUint8(requestOffset);
  if (!isError && requestTagOf(tag) !== requestTag) return false;
  if (version === 2) return true;
  const end = isError ? bodyOffset(3) : requestBytes(3, requestTag);
  for (let index = TAG_BYTES; index < end; index++) {
    if (view.getUint8(offset + index) !== requestView.getUint8(requestOffset + index)) return false;
  }
  return true;
}

/** The id of the request that a response of version 3 is for. One from 2^53 on, which is not ours, is inexact. */
export function readResponseId(view: DataView, offset: number): number {
  return view.getUint32(offset + TAG_BYTES) * TWO_POW_32 + view.getUint32(offset + TAG_BYTES + 4);
}

/** The size that a response tells. @throws ProtocolError BAD_PAGE_RESPONSE for a negative one, or one from 2^53 on */
export function readDatabaseSize(version: PageProtocolVersion, view: DataView, offset: number): number {
  const at = offset + payloadOffset(version, REQUEST_DATABASE_SIZE);
  const high = view.getUint32(at);
  if (high >= LSN_HIGH_LIMIT)
    throw new ProtocolError('BAD_PAGE_RESPONSE', 'a database of 2^53 bytes or more');
  return high * TWO_POW_32 + view.getUint32(at + 4);
}

const text = new TextDecoder();

/** The text of an error, which has been checked and has `length` bytes in all. */
export function readErrorText(
  version: PageProtocolVersion,
  bytes: Uint8Array,
  offset: number,
  length: number,
): string {
  return text.decode(bytes.subarray(offset + errorTextOffset(version), offset + length - 1));
}
