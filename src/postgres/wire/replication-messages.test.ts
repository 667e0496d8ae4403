import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BadRequestError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import {
  HOT_STANDBY_FEEDBACK_BYTES,
  HotStandbyFeedback,
  INTERPRETED_WAL_HEADER_BYTES,
  InterpretedWal,
  KEEPALIVE_BYTES,
  Keepalive,
  readReplicationTag,
  STANDBY_STATUS_BYTES,
  StandbyStatus,
  writeHotStandbyFeedback,
  writeInterpretedWalHeader,
  writeKeepalive,
  writeStandbyStatus,
  writeXLogDataHeader,
  XLOG_DATA_BYTES_MAX,
  XLOG_DATA_HEADER_BYTES,
  XLogData,
} from './replication-messages.ts';
import { ProtocolError } from './wire-error.ts';

/** CopyData's tag and length. */
const HEADER = 5;
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

interface Example {
  readonly bytes: Uint8Array;
  readonly fields: object;
  readonly target: { read(view: DataView, offset: number, length: number): void };
  readonly write: (view: DataView, offset: number) => number;
}

/** Written down from "Streaming Replication Protocol" of PostgreSQL's documentation. */
const EXAMPLES: Record<string, Example> = {
  XLogData: {
    bytes: hex('64 0000001f 77 00000001000000ff 0000000200000001 0002a3b4c5d6e7f8 abcd'),
    fields: {
      startLsn: 0x1_0000_00ff,
      serverEndLsn: 0x2_0000_0001,
      sendTimeMicroseconds: 0x2_a3b4_c5d6_e7f8,
      dataOffset: HEADER + 25,
      dataLength: 2,
    },
    target: new XLogData(),
    write: (view, offset) => {
      const at = writeXLogDataHeader(view, offset, 0x1_0000_00ff, 0x2_0000_0001, 0x2_a3b4_c5d6_e7f8, 2);
      expect(at).toBe(offset + XLOG_DATA_HEADER_BYTES);
      view.setUint16(at, 0xabcd);
      return at + 2;
    },
  },
  Keepalive: {
    bytes: hex('64 00000016 6b 001fffffffffffff ffffffffffffffff 01'),
    fields: { serverEndLsn: Number.MAX_SAFE_INTEGER, sendTimeMicroseconds: -1, isReplyRequested: true },
    target: new Keepalive(),
    write: (view, offset) => writeKeepalive(view, offset, Number.MAX_SAFE_INTEGER, -1, true),
  },
  StandbyStatus: {
    bytes: hex('64 00000026 72 0000000000000003 0000000000000002 0000000000000001 0000000100000000 00'),
    fields: { writeLsn: 3, flushLsn: 2, applyLsn: 1, sendTimeMicroseconds: 2 ** 32, isReplyRequested: false },
    target: new StandbyStatus(),
    write: (view, offset) => writeStandbyStatus(view, offset, 3, 2, 1, 2 ** 32, false),
  },
  HotStandbyFeedback: {
    bytes: hex('64 0000001d 68 0000000000000005 ffffffff 00000001 80000000 00000002'),
    fields: {
      sendTimeMicroseconds: 5,
      xmin: 0xffff_ffff,
      xminEpoch: 1,
      catalogXmin: 0x8000_0000,
      catalogXminEpoch: 2,
    },
    target: new HotStandbyFeedback(),
    write: (view, offset) =>
      writeHotStandbyFeedback(view, offset, {
        ...Object.assign(new HotStandbyFeedback(), { sendTimeMicroseconds: 5, xmin: 0xffff_ffff }),
        ...{ xminEpoch: 1, catalogXmin: 0x8000_0000, catalogXminEpoch: 2 },
        read: () => undefined,
      }),
  },
  InterpretedWal: {
    bytes: hex('64 00000016 30 0000000000000010 0000000000000008 07'),
    fields: { streamingLsn: 16, commitLsn: 8, payloadOffset: HEADER + 17, payloadLength: 1 },
    target: new InterpretedWal(),
    write: (view, offset) => {
      const at = writeInterpretedWalHeader(view, offset, 16, 8, 1);
      expect(at).toBe(offset + INTERPRETED_WAL_HEADER_BYTES);
      view.setUint8(at, 7);
      return at + 1;
    },
  },
};

const VARIABLE = ['XLogData', 'InterpretedWal'];

describe.each(Object.entries(EXAMPLES))('%s', (name, { bytes, fields, target, write }) => {
  const read = (body: Uint8Array): void => target.read(viewOf(body), 0, body.length);

  test('is written as documented, and nothing around it', () => {
    const buffer = new Uint8Array(bytes.length + 6).fill(0xee);
    expect(write(viewOf(buffer), 3)).toBe(bytes.length + 3);
    expect(buffer.subarray(3, -3)).toEqual(bytes);
    expect([...buffer.subarray(0, 3), ...buffer.subarray(-3)]).toEqual(new Array(6).fill(0xee));
  });

  test('is read as documented', () => {
    expect(readReplicationTag(viewOf(bytes), HEADER, bytes.length - HEADER)).toBe(bytes[HEADER]);
    target.read(viewOf(bytes), HEADER, bytes.length - HEADER);
    expect({ ...target }).toEqual(fields);
  });

  test('is refused if it is cut at any byte or goes on', () => {
    const body = bytes.slice(HEADER);
    const shortest = VARIABLE.includes(name) ? (name === 'XLogData' ? 25 : 17) : body.length;
    for (let length = 0; length < shortest; length++) {
      expect(() => target.read(viewOf(body), 0, length)).toThrow(ProtocolError);
    }
    if (!VARIABLE.includes(name)) expect(() => read(Uint8Array.of(...body, 0))).toThrow(ProtocolError);
  });

  test('any bytes are read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.boolean(), (body, hasTag) => {
        if (hasTag) body[0] = bytes[HEADER] as number;
        const isTag = body[0] === bytes[HEADER];
        try {
          read(body);
          expect(isTag).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});

test('round trips of the hot messages', () => {
  const lsn = fc.maxSafeNat();
  const time = fc.maxSafeInteger();
  const buffer = new Uint8Array(256);
  const view = viewOf(buffer);
  const status = new StandbyStatus();
  const keepalive = new Keepalive();
  const data = new XLogData();
  fc.assert(
    fc.property(lsn, lsn, lsn, time, fc.boolean(), (first, second, third, at, flag) => {
      expect(writeStandbyStatus(view, 0, first, second, third, at, flag)).toBe(STANDBY_STATUS_BYTES);
      status.read(view, HEADER, STANDBY_STATUS_BYTES - HEADER);
      expect({ ...status }).toEqual({
        writeLsn: toLsn(first),
        flushLsn: toLsn(second),
        applyLsn: toLsn(third),
        sendTimeMicroseconds: at,
        isReplyRequested: flag,
      });
      expect(writeKeepalive(view, 0, first, at, flag)).toBe(KEEPALIVE_BYTES);
      keepalive.read(view, HEADER, KEEPALIVE_BYTES - HEADER);
      expect({ ...keepalive }).toEqual({
        serverEndLsn: first,
        sendTimeMicroseconds: at,
        isReplyRequested: flag,
      });
      writeXLogDataHeader(view, 0, first, second, at, 9);
      expect(view.getInt32(1)).toBe(XLOG_DATA_HEADER_BYTES - 1 + 9);
      data.read(view, HEADER, XLOG_DATA_HEADER_BYTES - HEADER + 9);
      expect([data.startLsn, data.serverEndLsn, data.sendTimeMicroseconds, data.dataLength]).toEqual([
        ...[first, second, at, 9],
      ]);
    }),
  );
  expect(writeHotStandbyFeedback(view, 0, new HotStandbyFeedback())).toBe(HOT_STANDBY_FEEDBACK_BYTES);
});

test('refused by name', () => {
  const keepalive = (patch: (view: DataView) => void): void => {
    const body = EXAMPLES['Keepalive']?.bytes.slice(HEADER) as Uint8Array;
    patch(viewOf(body));
    new Keepalive().read(viewOf(body), 0, body.length);
  };
  expect(() => keepalive((view) => view.setUint8(17, 2))).toThrow(/2 is neither yes nor no/);
  expect(() => keepalive((view) => view.setUint8(0, 0x77))).toThrow(/tag "w"/);
  expect(() => keepalive((view) => view.setUint32(1, 0x20_0000))).toThrow(/at or above 2\^53/);
  expect(() => keepalive((view) => view.setInt32(9, 0x20_0000))).toThrow(/285 years/);
  expect(() => keepalive((view) => view.setInt32(9, -0x20_0001))).toThrow(/285 years/);
  expect(() => readReplicationTag(new DataView(new ArrayBuffer(0)), 0, 0)).toThrow(/empty CopyData/);
  const long = new DataView(new ArrayBuffer(XLOG_DATA_BYTES_MAX + 100));
  expect(() => writeXLogDataHeader(long, 0, 1, 1, 1, XLOG_DATA_BYTES_MAX + 1)).toThrow(BadRequestError);
  writeXLogDataHeader(long, 0, 1, 1, 1, XLOG_DATA_BYTES_MAX);
  new XLogData().read(long, HEADER, 25 + XLOG_DATA_BYTES_MAX);
  expect(() => new XLogData().read(long, HEADER, 26 + XLOG_DATA_BYTES_MAX)).toThrow(/too many/);
  expect(() => writeKeepalive(long, 0, 1, 0.5, false)).toThrow(BadRequestError);
});
