/**
 * What safekeepers tell of their timelines, to each other and to pageservers: docs/formats/status-stream.md. All numbers
 * are in network byte order; a message begins with a tag byte, and is the body of one CopyData.
 */
import { Buffer } from 'node:buffer';
import { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';

export const STATUS_STREAM_VERSION = 1;
/** Most timelines that one message names. */
export const STATUS_TIMELINES_MAX = 1000;
/** The server says something at least this often. */
export const STATUS_KEEPALIVE_MS = 2000;
/** Who was not heard for longer may be gone. */
export const STATUS_SILENCE_MAX_MS = 5000;

const ID_BYTES = 16;
const KEY_BYTES: number = 2 * ID_BYTES;
/** The key, generation u32, two terms, six LSNs, flags u8. */
const STATE_BYTES: number = KEY_BYTES + 4 + 2 * 8 + 6 * 8 + 1;
/** Longest message: a full one of states. */
export const STATUS_MESSAGE_BYTES_MAX: number = 1 + 4 + STATUS_TIMELINES_MAX * STATE_BYTES;

const FLAG_ACTIVE = 1;

const TAG_ADD = 0x61;
const TAG_REMOVE = 0x72;
const TAG_ASK = 0x71;
const TAG_IN_COMMON = 0x63;
const TAG_HELLO = 0x68;
const TAG_STATES = 0x73;
const TAG_MISSING = 0x6d;
const TAG_KEEPALIVE = 0x6b;

export interface StatusKey {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** Where one timeline is on one safekeeper, as its memory knows it. */
export interface TimelineState extends StatusKey {
  /** Of the membership configuration. */
  readonly generation: number;
  readonly term: number;
  /** Term of the last WAL that is flushed; 0 where there is none. */
  readonly lastLogTerm: number;
  readonly flushLsn: Lsn;
  readonly commitLsn: Lsn;
  readonly backupLsn: Lsn;
  readonly remoteConsistentLsn: Lsn;
  readonly peerHorizonLsn: Lsn;
  /** Where the WAL of this safekeeper begins; 0 while it has none. */
  readonly localStartLsn: Lsn;
  /** A compute is connected. */
  readonly isActive: boolean;
}

/** What a subscriber says. */
export type StatusRequest =
  /** Tell of these from now on, and first where they are now. */
  | { readonly kind: 'add'; readonly keys: readonly StatusKey[] }
  | { readonly kind: 'remove'; readonly keys: readonly StatusKey[] }
  /** Tell once where these are, of those that are in use. */
  | { readonly kind: 'ask'; readonly keys: readonly StatusKey[] }
  /** Tell of all timelines of which this safekeeper is a member too. */
  | { readonly kind: 'in-common'; readonly nodeId: number }
  | { readonly kind: 'keepalive' };

/** What the safekeeper says. */
export type StatusNews =
  /** First of all: who this is. */
  | { readonly kind: 'hello'; readonly nodeId: number }
  | { readonly kind: 'states'; readonly states: readonly TimelineState[] }
  /** These were added and are not here. If they come, their states follow. */
  | { readonly kind: 'missing'; readonly keys: readonly StatusKey[] }
  | { readonly kind: 'keepalive' };

const REQUEST_TAGS = { add: TAG_ADD, remove: TAG_REMOVE, ask: TAG_ASK } as const;

export function encodeStatusRequest(request: StatusRequest): Uint8Array {
  switch (request.kind) {
    case 'add':
    case 'remove':
    case 'ask':
      return keysMessage(REQUEST_TAGS[request.kind], request.keys);
    case 'in-common':
      return new BigEndianWriter(9).u8(TAG_IN_COMMON).u64(request.nodeId).take();
    case 'keepalive':
      return Uint8Array.of(TAG_KEEPALIVE);
  }
}

/** @throws CorruptionError for a message that is unknown, cut off, too long, or names too many timelines */
export function decodeStatusRequest(bytes: Uint8Array, offset: number, length: number): StatusRequest {
  const reader = new BigEndianReader(bytes, 'request of a status stream', offset, offset + length);
  const request = readRequest(reader);
  reader.expectEnd();
  return request;
}

function readRequest(reader: BigEndianReader): StatusRequest {
  const tag = reader.u8();
  switch (tag) {
    case TAG_ADD:
      return { kind: 'add', keys: readKeys(reader) };
    case TAG_REMOVE:
      return { kind: 'remove', keys: readKeys(reader) };
    case TAG_ASK:
      return { kind: 'ask', keys: readKeys(reader) };
    case TAG_IN_COMMON:
      return { kind: 'in-common', nodeId: reader.u64() };
    case TAG_KEEPALIVE:
      return { kind: 'keepalive' };
    default:
      return reader.fail(`there is no message ${tag}`);
  }
}

export function encodeStatusNews(news: StatusNews): Uint8Array {
  switch (news.kind) {
    case 'hello':
      return new BigEndianWriter(9).u8(TAG_HELLO).u64(news.nodeId).take();
    case 'states': {
      const writer = new BigEndianWriter(1 + 4 + news.states.length * STATE_BYTES);
      writer.u8(TAG_STATES).u32(news.states.length);
      for (const state of news.states) writeState(writer, state);
      return writer.take();
    }
    case 'missing':
      return keysMessage(TAG_MISSING, news.keys);
    case 'keepalive':
      return Uint8Array.of(TAG_KEEPALIVE);
  }
}

/** @throws CorruptionError as decodeStatusRequest */
export function decodeStatusNews(bytes: Uint8Array, offset: number, length: number): StatusNews {
  const reader = new BigEndianReader(bytes, 'news of a status stream', offset, offset + length);
  const news = readNews(reader);
  reader.expectEnd();
  return news;
}

function readNews(reader: BigEndianReader): StatusNews {
  const tag = reader.u8();
  switch (tag) {
    case TAG_HELLO:
      return { kind: 'hello', nodeId: reader.u64() };
    case TAG_STATES: {
      const states: TimelineState[] = [];
      for (let count = readCount(reader); count > 0; count--) states.push(readState(reader));
      return { kind: 'states', states };
    }
    case TAG_MISSING:
      return { kind: 'missing', keys: readKeys(reader) };
    case TAG_KEEPALIVE:
      return { kind: 'keepalive' };
    default:
      return reader.fail(`there is no message ${tag}`);
  }
}

function keysMessage(tag: number, keys: readonly StatusKey[]): Uint8Array {
  const writer = new BigEndianWriter(1 + 4 + keys.length * KEY_BYTES).u8(tag).u32(keys.length);
  for (const key of keys) writeKey(writer, key);
  return writer.take();
}

function readCount(reader: BigEndianReader): number {
  const count = reader.u32();
  if (count > STATUS_TIMELINES_MAX) {
    reader.fail(`it names ${count} timelines, ${STATUS_TIMELINES_MAX} at most are allowed`);
  }
  return count;
}

function readKeys(reader: BigEndianReader): StatusKey[] {
  const keys: StatusKey[] = [];
  for (let count = readCount(reader); count > 0; count--) keys.push(readKey(reader));
  return keys;
}

function writeKey(writer: BigEndianWriter, { tenantId, timelineId }: StatusKey): void {
  writer.put(Buffer.from(tenantId, 'hex')).put(Buffer.from(timelineId, 'hex'));
}

function readKey(reader: BigEndianReader): StatusKey {
  return {
    tenantId: parseTenantId(toHex(reader.bytes(ID_BYTES))),
    timelineId: parseTimelineId(toHex(reader.bytes(ID_BYTES))),
  };
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

function writeState(writer: BigEndianWriter, state: TimelineState): void {
  writeKey(writer, state);
  writer.u32(state.generation).u64(state.term).u64(state.lastLogTerm);
  writer.u64(state.flushLsn).u64(state.commitLsn).u64(state.backupLsn);
  writer.u64(state.remoteConsistentLsn).u64(state.peerHorizonLsn).u64(state.localStartLsn);
  writer.u8(state.isActive ? FLAG_ACTIVE : 0);
}

function readState(reader: BigEndianReader): TimelineState {
  return {
    ...readKey(reader),
    generation: reader.u32(),
    term: reader.u64(),
    lastLogTerm: reader.u64(),
    flushLsn: reader.lsn(),
    commitLsn: reader.lsn(),
    backupLsn: reader.lsn(),
    remoteConsistentLsn: reader.lsn(),
    peerHorizonLsn: reader.lsn(),
    localStartLsn: reader.lsn(),
    isActive: readFlags(reader),
  };
}

function readFlags(reader: BigEndianReader): boolean {
  const flags = reader.u8();
  if (flags > FLAG_ACTIVE) reader.fail(`the flags ${flags} are not known`);
  return flags === FLAG_ACTIVE;
}
