import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import { toLsn } from '../base/lsn.ts';
import {
  type AcceptorMessage,
  APPEND_BYTES_MAX,
  decodeAcceptorMessage,
  decodeProposerMessage,
  encodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
} from './acceptor-messages.ts';
import { NO_MEMBERSHIP } from './membership.ts';

const tenantId = parseTenantId('000102030405060708090A0B0C0D0E0F');
const timelineId = parseTimelineId('f0'.repeat(16));
const membership = {
  generation: 7,
  members: [{ id: 1, host: 'sk-1', pgPort: 5454 }],
  newMembers: [{ id: 2, host: 'sk-2', pgPort: 6000 }],
};
const termHistory = [
  { term: 1, lsn: toLsn(0x10) },
  { term: 5, lsn: toLsn(0x1_0000_0020) },
];
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const proposerMessages: [ProposerMessage, string][] = [
  [
    {
      kind: 'greeting',
      tenantId,
      timelineId,
      membership,
      pgVersion: 170_010,
      systemIdentifier: 2n ** 63n,
      segmentBytes: 0x100_0000,
    },
    `67${Buffer.from('000102030405060708090a0b0c0d0e0f\0').toString('hex')}${Buffer.from(`${timelineId}\0`).toString('hex')}` +
      '00000007' +
      '00000001' +
      '0000000000000001' +
      '736b2d3100' +
      '154e' +
      '00000001' +
      '0000000000000002' +
      '736b2d3200' +
      '1770' +
      '0002981a' +
      '8000000000000000' +
      '01000000',
  ],
  [{ kind: 'vote-request', generation: 7, term: 3 }, '76' + '00000007' + '0000000000000003'],
  [
    { kind: 'elected', generation: 7, term: 5, startStreamingAt: toLsn(0x30), termHistory },
    '65' +
      '00000007' +
      '0000000000000005' +
      '0000000000000030' +
      '00000002' +
      '0000000000000001' +
      '0000000000000010' +
      '0000000000000005' +
      '0000000100000020',
  ],
  [
    {
      kind: 'append-request',
      generation: 7,
      term: 5,
      beginLsn: toLsn(0x30),
      endLsn: toLsn(0x33),
      commitLsn: toLsn(0x20),
      truncateLsn: toLsn(0x10),
      wal: new Uint8Array([1, 2, 3]),
    },
    '61' +
      '00000007' +
      '0000000000000005' +
      '0000000000000030' +
      '0000000000000033' +
      '0000000000000020' +
      '0000000000000010' +
      '010203',
  ],
];

const acceptorMessages: [AcceptorMessage, string][] = [
  [
    { kind: 'greeting', nodeId: 3, membership: NO_MEMBERSHIP, term: 4 },
    '67' + '0000000000000003' + '00000000' + '00000000' + '00000000' + '0000000000000004',
  ],
  [
    {
      kind: 'vote-response',
      generation: 7,
      term: 5,
      voteGiven: true,
      flushLsn: toLsn(0x40),
      truncateLsn: toLsn(0x10),
      termHistory: [],
    },
    '76' + '00000007' + '0000000000000005' + '01' + '0000000000000040' + '0000000000000010' + '00000000',
  ],
  [
    {
      kind: 'append-response',
      generation: 7,
      term: 5,
      flushLsn: toLsn(0x40),
      commitLsn: toLsn(0x20),
      hotStandbyFeedback: { time: -1n, xmin: 2n ** 40n, catalogXmin: 0n },
      pageserverFeedback: {
        currentTimelineSizeBytes: 8192,
        lastReceivedLsn: toLsn(0x40),
        diskConsistentLsn: toLsn(0x30),
        remoteConsistentLsn: toLsn(0x20),
        replyTime: 5n,
        shardNumber: 2,
        corruptionDetected: true,
      },
    },
    '61' +
      '00000007' +
      '0000000000000005' +
      '0000000000000040' +
      '0000000000000020' +
      'ffffffffffffffff' +
      '0000010000000000' +
      '0000000000000000' +
      '07' +
      `${Buffer.from('current_timeline_size\0').toString('hex')}00000008` +
      '0000000000002000' +
      `${Buffer.from('ps_writelsn\0').toString('hex')}00000008` +
      '0000000000000040' +
      `${Buffer.from('ps_flushlsn\0').toString('hex')}00000008` +
      '0000000000000030' +
      `${Buffer.from('ps_applylsn\0').toString('hex')}00000008` +
      '0000000000000020' +
      `${Buffer.from('ps_replytime\0').toString('hex')}00000008` +
      '0000000000000005' +
      `${Buffer.from('shard_number\0').toString('hex')}00000004` +
      '00000002' +
      `${Buffer.from('corruption_detected\0').toString('hex')}00000001` +
      '01',
  ],
  [
    {
      kind: 'append-response',
      generation: 7,
      term: 5,
      flushLsn: toLsn(0x40),
      commitLsn: toLsn(0x20),
      hotStandbyFeedback: { time: 0n, xmin: 0n, catalogXmin: 0n },
      pageserverFeedback: undefined,
      standbyApplyLsn: toLsn(0x18),
    },
    '61' +
      '00000007' +
      '0000000000000005' +
      '0000000000000040' +
      '0000000000000020' +
      '0000000000000000'.repeat(3) +
      '01' +
      `${Buffer.from('standby_applylsn\0').toString('hex')}00000008` +
      '0000000000000018',
  ],
];

describe('messages between proposer and acceptor', () => {
  test.each(proposerMessages.map(([message, bytes]) => [message.kind, message, bytes] as const))(
    'proposer %s',
    (_kind, message, bytes) => {
      expect(hex(encodeProposerMessage(message))).toBe(bytes);
      expect(decodeProposerMessage(Buffer.from(bytes, 'hex'))).toEqual({
        ...message,
        ...(message.kind === 'append-request' ? { wal: Buffer.from(message.wal) } : {}),
      });
    },
  );

  test.each(acceptorMessages.map(([message, bytes]) => [message.kind, message, bytes] as const))(
    'acceptor %s',
    (_kind, message, bytes) => {
      expect(hex(encodeAcceptorMessage(message))).toBe(bytes);
      expect(decodeAcceptorMessage(Buffer.from(bytes, 'hex'))).toEqual(message);
    },
  );

  test('are refused when cut, too long or unknown', () => {
    const all = [
      ...proposerMessages.map(([, bytes]) => [decodeProposerMessage, bytes] as const),
      ...acceptorMessages.map(([, bytes]) => [decodeAcceptorMessage, bytes] as const),
    ];
    // A response without its feedback is whole.
    const optionalFrom = 1 + 4 + 8 + 8 + 8 + 8 + 8 + 8;
    for (const [decode, text] of all) {
      const bytes = Buffer.from(text, 'hex');
      for (let length = 0; length < bytes.length; length++) {
        if (decode === decodeAcceptorMessage && bytes[0] === 0x61 && length === optionalFrom) continue;
        expect(() => decode(bytes.subarray(0, length)), `${text} cut to ${length}`).toThrow(VarveError);
      }
      expect(() => decode(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(/too many|malformed/);
    }
    expect(() => decodeProposerMessage(Buffer.from('7a', 'hex'))).toThrow(/no message 122/);
  });

  test('are refused when they contradict themselves', () => {
    const append = proposerMessages[3]?.[0];
    if (append?.kind !== 'append-request') throw new Error('the fourth message is an append');
    const backwards = encodeProposerMessage({ ...append, endLsn: toLsn(0x2f), wal: new Uint8Array(0) });
    expect(() => decodeProposerMessage(backwards)).toThrow(/an append of -1 bytes/);
    const huge = encodeProposerMessage({
      ...append,
      endLsn: toLsn(0x31 + APPEND_BYTES_MAX),
      wal: new Uint8Array(APPEND_BYTES_MAX + 1),
    });
    expect(() => decodeProposerMessage(huge)).toThrow(/an append of 131073 bytes/);
    const elected = {
      kind: 'elected',
      generation: 0,
      term: 5,
      startStreamingAt: toLsn(0),
      termHistory: termHistory.toReversed(),
    } as const;
    expect(() => decodeProposerMessage(encodeProposerMessage(elected))).toThrow(/term 1 stands after term 5/);
    const greeting = {
      kind: 'greeting',
      nodeId: 1,
      term: 1,
      membership: { ...NO_MEMBERSHIP, generation: 2 },
    } as const;
    expect(() => decodeAcceptorMessage(encodeAcceptorMessage(greeting))).toThrow(
      /generation 2 has no members/,
    );
  });

  test('are refused when a text is not UTF-8', () => {
    const greeting = { kind: 'greeting', nodeId: 1, term: 1, membership } as const;
    const bytes = encodeAcceptorMessage(greeting).slice();
    bytes[bytes.indexOf('s'.charCodeAt(0), 9)] = 0xff;
    expect(() => decodeAcceptorMessage(bytes)).toThrow(/not UTF-8/);
  });

  test('any bytes give a message or a typed error', () => {
    const tag = fc.constantFrom(0x67, 0x76, 0x65, 0x61, 0x00);
    fc.assert(
      fc.property(tag, fc.uint8Array({ maxLength: 200 }), (first, rest) => {
        const bytes = Uint8Array.from([first, ...rest]);
        for (const decode of [decodeProposerMessage, decodeAcceptorMessage]) {
          try {
            decode(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(VarveError);
          }
        }
      }),
      { numRuns: 3000 },
    );
  });
});
