import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import { toLsn } from '../base/lsn.ts';
import {
  decodeStatusNews,
  decodeStatusRequest,
  encodeStatusNews,
  encodeStatusRequest,
  STATUS_MESSAGE_BYTES_MAX,
  STATUS_TIMELINES_MAX,
  type StatusNews,
  type StatusRequest,
  type TimelineState,
} from './status-stream.ts';

const GOLDEN = new URL('../../test/golden/status-stream-1.txt', import.meta.url);
const KEY = { tenantId: parseTenantId('0f'.repeat(16)), timelineId: parseTimelineId('a1'.repeat(16)) };
const OTHER = { tenantId: KEY.tenantId, timelineId: parseTimelineId('b2'.repeat(16)) };
const STATE: TimelineState = {
  ...KEY,
  generation: 3,
  term: 7,
  lastLogTerm: 6,
  flushLsn: toLsn(0x1_0000_2000),
  commitLsn: toLsn(0x1_0000_1000),
  backupLsn: toLsn(0x1_0000_0000),
  remoteConsistentLsn: toLsn(0xff00_0000),
  peerHorizonLsn: toLsn(0xfe00_0000),
  localStartLsn: toLsn(0x100_0028),
  isActive: true,
};
const REQUESTS: readonly StatusRequest[] = [
  { kind: 'add', keys: [KEY, OTHER] },
  { kind: 'remove', keys: [KEY] },
  { kind: 'ask', keys: [] },
  { kind: 'in-common', nodeId: 12 },
  { kind: 'keepalive' },
];
const NEWS: readonly StatusNews[] = [
  { kind: 'hello', nodeId: 2 ** 53 - 1 },
  { kind: 'states', states: [STATE, { ...STATE, ...OTHER, isActive: false }] },
  { kind: 'missing', keys: [OTHER] },
  { kind: 'keepalive' },
];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const decodeRequest = (bytes: Uint8Array): StatusRequest => decodeStatusRequest(bytes, 0, bytes.length);
const decodeNews = (bytes: Uint8Array): StatusNews => decodeStatusNews(bytes, 0, bytes.length);

test('all messages are written as version 1 of the format says, and read back', () => {
  const lines = [
    ...REQUESTS.map((request) => `request ${request.kind} ${hex(encodeStatusRequest(request))}`),
    ...NEWS.map((news) => `news ${news.kind} ${hex(encodeStatusNews(news))}`),
  ];
  expect(`${lines.join('\n')}\n`).toBe(readFileSync(GOLDEN, 'utf8'));
  for (const request of REQUESTS) expect(decodeRequest(encodeStatusRequest(request))).toEqual(request);
  for (const news of NEWS) expect(decodeNews(encodeStatusNews(news))).toEqual(news);
});

test('a message within a larger buffer is read where it lies', () => {
  const message = encodeStatusRequest(REQUESTS[0] as StatusRequest);
  const buffer = new Uint8Array(message.length + 20).fill(0xff);
  buffer.set(message, 11);
  expect(decodeStatusRequest(buffer, 11, message.length)).toEqual(REQUESTS[0]);
});

test('whatever is cut off, too long or unknown is refused', () => {
  for (const [decode, messages] of [
    [decodeRequest, REQUESTS.map(encodeStatusRequest)],
    [decodeNews, NEWS.map(encodeStatusNews)],
  ] as const) {
    for (const message of messages) {
      for (let length = 0; length < message.length; length++) {
        expect(() => decode(message.slice(0, length))).toThrow(/malformed/);
      }
      const longer = new Uint8Array(message.length + 1);
      longer.set(message);
      expect(() => decode(longer)).toThrow('1 bytes too many');
    }
    expect(() => decode(Uint8Array.of(0x7a))).toThrow('there is no message 122');
  }
});

test('more timelines than one message may name, and flags that are not known, are refused', () => {
  const many = Uint8Array.of(0x61, 0, 0, 0x03, 0xe9);
  expect(() => decodeRequest(many)).toThrow(/1001 timelines/);
  const states = encodeStatusNews({ kind: 'states', states: [STATE] });
  states[states.length - 1] = 2;
  expect(() => decodeNews(states)).toThrow('the flags 2 are not known');
});

test('a full message has the length that both sides allow', () => {
  const states = new Array<TimelineState>(STATUS_TIMELINES_MAX).fill(STATE);
  expect(encodeStatusNews({ kind: 'states', states })).toHaveLength(STATUS_MESSAGE_BYTES_MAX);
});
