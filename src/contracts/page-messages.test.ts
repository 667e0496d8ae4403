import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VarveError } from '../base/errors.ts';
import { type Lsn, toLsn } from '../base/lsn.ts';
import {
  checkRequest,
  checkResponse,
  ERROR_TEXT_BYTES_MAX,
  isResponseTo,
  LATEST,
  type PageProtocolVersion,
  REQUEST_BYTES_MAX,
  REQUEST_DATABASE_SIZE,
  REQUEST_EXISTS,
  REQUEST_GET_PAGE,
  REQUEST_NBLOCKS,
  REQUEST_SLRU_SEGMENT,
  readBlock,
  readDatabase,
  readDatabaseOfSize,
  readDatabaseSize,
  readErrorText,
  readFork,
  readNotModifiedSince,
  readRelation,
  readRequestLsn,
  readResponseId,
  readSlruKind,
  readSlruSegment,
  readTablespace,
  requestBytes,
  responseBytes,
  SLRU_KIND_MULTIXACT_OFFSETS,
  writeDatabaseSize,
  writeErrorResponse,
  writeFork,
  writeNumber,
  writeRequestHeader,
  writeResponseHeader,
  writeSlruSegment,
} from './page-messages.ts';

const GOLDEN = new URL('../../test/golden/page-messages-1.txt', import.meta.url);
const VERSIONS = [2, 3] as const;
const TAGS = [
  REQUEST_EXISTS,
  REQUEST_NBLOCKS,
  REQUEST_GET_PAGE,
  REQUEST_DATABASE_SIZE,
  REQUEST_SLRU_SEGMENT,
] as const;
const ID = 0x0012_3456_0000_0007;
const NOT_MODIFIED_SINCE = toLsn(0x1_0000_2008);

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** A request at offset 3 of more bytes, as it lies in a chunk. */
function makeRequest(version: PageProtocolVersion, tag: number, lsn: Lsn = LATEST): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES_MAX);
  const view = viewOf(bytes);
  let end = writeRequestHeader(version, view, 0, tag, ID, lsn, NOT_MODIFIED_SINCE);
  if (tag === REQUEST_DATABASE_SIZE) end = writeNumber(view, end, 5);
  else if (tag === REQUEST_SLRU_SEGMENT) end = writeSlruSegment(view, end, SLRU_KIND_MULTIXACT_OFFSETS, 0x12);
  else {
    end = writeFork(view, end, 1663, 5, 0x8000_4001, 2);
    if (tag === REQUEST_GET_PAGE) end = writeNumber(view, end, 0xffff_fffe);
  }
  return bytes.slice(0, end);
}

function makeResponse(version: PageProtocolVersion, tag: number): Uint8Array {
  const pages = tag === REQUEST_SLRU_SEGMENT ? 2 : 0;
  const bytes = new Uint8Array(responseBytes(version, tag) + pages * 8192);
  const view = viewOf(bytes);
  const request = makeRequest(version, tag);
  const at = writeResponseHeader(version, bytes, view, 0, request, viewOf(request), 0);
  if (tag === REQUEST_EXISTS) view.setUint8(at, 1);
  else if (tag === REQUEST_NBLOCKS) writeNumber(view, at, 77);
  else if (tag === REQUEST_DATABASE_SIZE) writeDatabaseSize(view, at, 0x12_3456_789a_bcde);
  else if (tag === REQUEST_SLRU_SEGMENT) writeNumber(view, at, pages);
  return bytes;
}

function makeError(version: PageProtocolVersion, tag: number, text: string): Uint8Array {
  const bytes = new Uint8Array(100 + ERROR_TEXT_BYTES_MAX);
  const request = makeRequest(version, tag);
  return bytes.slice(
    0,
    writeErrorResponse(version, bytes, viewOf(bytes), 0, request, viewOf(request), 0, text),
  );
}

test('the bytes are those of Neon’s protocol', () => {
  const lines: string[] = [];
  for (const version of VERSIONS) {
    for (const tag of TAGS) {
      lines.push(`v${version} request ${tag} ${Buffer.from(makeRequest(version, tag)).toString('hex')}`);
      const response = Buffer.from(makeResponse(version, tag));
      const head = response.subarray(0, Math.min(response.length, 64));
      lines.push(`v${version} response ${tag} ${response.length} bytes ${head.toString('hex')}`);
    }
    lines.push(
      `v${version} error ${Buffer.from(makeError(version, REQUEST_GET_PAGE, 'no, ß')).toString('hex')}`,
    );
  }
  expect(readFileSync(GOLDEN, 'utf8')).toBe(`${lines.join('\n')}\n`);
});

describe.each(VERSIONS)('version %i', (version) => {
  test.each(TAGS)('request %i is read back', (tag) => {
    const message = makeRequest(version, tag, toLsn(0x1f_ffff_ffff_fff8));
    const chunk = new Uint8Array(message.length + 9);
    chunk.set(message, 3);
    const view = viewOf(chunk);
    expect(checkRequest(version, view, 3, message.length)).toBe(tag);
    expect(requestBytes(version, tag)).toBe(message.length);
    expect(readRequestLsn(version, view, 3)).toBe(0x1f_ffff_ffff_fff8);
    expect(readNotModifiedSince(version, view, 3)).toBe(NOT_MODIFIED_SINCE);
    if (tag === REQUEST_DATABASE_SIZE) {
      expect(readDatabaseOfSize(version, view, 3)).toBe(5);
    } else if (tag === REQUEST_SLRU_SEGMENT) {
      expect([readSlruKind(version, view, 3), readSlruSegment(version, view, 3)]).toEqual([2, 0x12]);
    } else {
      const read = [readTablespace, readDatabase, readRelation, readFork];
      expect(read.map((one) => one(version, view, 3))).toEqual([1663, 5, 0x8000_4001, 2]);
      if (tag === REQUEST_GET_PAGE) expect(readBlock(version, view, 3)).toBe(0xffff_fffe);
    }
  });

  test.each(TAGS)('the response to %i is one, and no other’s', (tag) => {
    const response = makeResponse(version, tag);
    const view = viewOf(response);
    checkResponse(version, view, 0, response.length);
    const error = makeError(version, tag, 'x'.repeat(10_000));
    checkResponse(version, viewOf(error), 0, error.length);
    expect(readErrorText(version, error, 0, error.length)).toBe('x'.repeat(ERROR_TEXT_BYTES_MAX));
    const request = viewOf(makeRequest(version, tag));
    expect(isResponseTo(version, view, 0, request, 0)).toBe(true);
    expect(isResponseTo(version, viewOf(error), 0, request, 0)).toBe(true);
    expect(isResponseTo(version, view, 0, viewOf(makeRequest(version, (tag + 1) % 5)), 0)).toBe(false);
    const other = viewOf(makeRequest(version, tag, toLsn(8)));
    expect(isResponseTo(version, view, 0, other, 0)).toBe(version === 2);
    expect(isResponseTo(version, viewOf(error), 0, other, 0)).toBe(version === 2);
    if (version === 3) expect(readResponseId(view, 0)).toBe(ID);
    if (tag === REQUEST_DATABASE_SIZE) expect(readDatabaseSize(version, view, 0)).toBe(0x12_3456_789a_bcde);
  });

  test.each(TAGS)('another length than that of request %i, or of its response, is refused', (tag) => {
    const request = makeRequest(version, tag);
    const response = makeResponse(version, tag);
    for (const change of [-1, 1]) {
      const badRequest = expect.objectContaining({ code: 'BAD_PAGE_REQUEST' });
      expect(() => checkRequest(version, viewOf(request), 0, request.length + change)).toThrow(badRequest);
      const badResponse = expect.objectContaining({ code: 'BAD_PAGE_RESPONSE' });
      expect(() => checkResponse(version, viewOf(response), 0, response.length + change)).toThrow(
        badResponse,
      );
    }
  });

  test('any bytes are a message or a ProtocolError, whose LSNs are good or refused', () => {
    const anything = fc.uint8Array({ maxLength: 60 });
    const almost = fc
      .tuple(fc.constantFrom(...TAGS), fc.nat(41), fc.nat(255))
      .map(([tag, index, value]) =>
        makeRequest(version, tag).with(Math.min(index, requestBytes(version, tag) - 1), value),
      );
    fc.assert(
      fc.property(fc.oneof(anything, almost), (bytes) => {
        const view = viewOf(bytes);
        for (const attempt of [
          () => {
            const tag = checkRequest(version, view, 0, bytes.length);
            expect(TAGS).toContain(tag);
            const lsn = readRequestLsn(version, view, 0);
            expect(lsn === LATEST || Number.isSafeInteger(lsn)).toBe(true);
            readNotModifiedSince(version, view, 0);
          },
          () => void checkResponse(version, view, 0, bytes.length),
        ]) {
          try {
            attempt();
          } catch (error) {
            if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

test('PS-13: a Test message is refused, as every other unknown one', () => {
  for (const version of VERSIONS) {
    for (const tag of [5, 98, 99, 100, 255]) {
      const bytes = new Uint8Array(REQUEST_BYTES_MAX).fill(tag, 0, 1);
      expect(() => checkRequest(version, viewOf(bytes), 0, bytes.length)).toThrow(
        expect.objectContaining({ code: 'UNKNOWN_PAGE_REQUEST' }),
      );
    }
    expect(() => checkResponse(version, viewOf(Uint8Array.of(199)), 0, 1)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_PAGE_RESPONSE' }),
    );
  }
});

test('LSNs from 2^53 on are refused but for the highest of all', () => {
  const request = makeRequest(3, REQUEST_GET_PAGE);
  const view = viewOf(request);
  expect(readRequestLsn(3, view, 0)).toBe(LATEST);
  view.setUint32(13, 0xffff_fffe);
  expect(() => readRequestLsn(3, view, 0)).toThrow(expect.objectContaining({ code: 'LSN_TOO_LARGE' }));
  view.setUint32(9, 0x20_0000);
  expect(() => readRequestLsn(3, view, 0)).toThrow(expect.objectContaining({ code: 'LSN_TOO_LARGE' }));
  view.setUint32(17, 0x20_0000);
  expect(() => readNotModifiedSince(3, view, 0)).toThrow(expect.objectContaining({ code: 'LSN_TOO_LARGE' }));
});
