/**
 * What proposer and acceptor say to each other: version 3 of Neon's safekeeper protocol, byte for byte. All numbers
 * are in network byte order; a message begins with a tag byte, and is the body of one CopyData.
 */
import { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import type { MembershipConfiguration } from './membership.ts';
import { readMembership, writeMembership } from './membership-codec.ts';
import { type PageserverFeedback, readFeedbackEntries, writeFeedbackEntries } from './pageserver-feedback.ts';
import { checkTermHistory, type TermHistory, type TermStart } from './term-history.ts';

/** Most WAL in one append: 16 pages of 8 KiB. */
export const APPEND_BYTES_MAX: number = 16 * 8192;
/** Longest message: one with a history of 100 000 terms. A timeline gets one more with each start of its compute. */
export const ACCEPTOR_MESSAGE_BYTES_MAX: number = 2 * 1024 * 1024;

const TAG_GREETING = 0x67;
const TAG_VOTE = 0x76;
const TAG_ELECTED = 0x65;
const TAG_APPEND = 0x61;

export interface ProposerGreeting {
  readonly kind: 'greeting';
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly membership: MembershipConfiguration;
  /** Such as 170005; 0 where it is not known. */
  readonly pgVersion: number;
  /** 0 where it is not known. */
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
}

export interface VoteRequest {
  readonly kind: 'vote-request';
  readonly generation: number;
  readonly term: number;
}

export interface Elected {
  readonly kind: 'elected';
  readonly generation: number;
  readonly term: number;
  /** Where this acceptor's WAL will go on: what it has beyond is cut off. */
  readonly startStreamingAt: Lsn;
  readonly termHistory: TermHistory;
}

export interface AppendRequest {
  readonly kind: 'append-request';
  readonly generation: number;
  readonly term: number;
  readonly beginLsn: Lsn;
  readonly endLsn: Lsn;
  readonly commitLsn: Lsn;
  /** Everything below is on all safekeepers. */
  readonly truncateLsn: Lsn;
  /** The WAL from beginLsn to endLsn; when decoded, a part of the message's own buffer. */
  readonly wal: Uint8Array;
}

export type ProposerMessage = ProposerGreeting | VoteRequest | Elected | AppendRequest;

export interface AcceptorGreeting {
  readonly kind: 'greeting';
  readonly nodeId: number;
  readonly membership: MembershipConfiguration;
  readonly term: number;
}

export interface VoteResponse {
  readonly kind: 'vote-response';
  readonly generation: number;
  readonly term: number;
  readonly voteGiven: boolean;
  readonly flushLsn: Lsn;
  readonly truncateLsn: Lsn;
  /** Cut to what has been flushed. */
  readonly termHistory: TermHistory;
}

/** xmin and catalog xmin of hot standbys, as full transaction ids; all 0 where there are none. */
export interface HotStandbyFeedback {
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  readonly xmin: bigint;
  readonly catalogXmin: bigint;
}

export interface AppendResponse {
  readonly kind: 'append-response';
  readonly generation: number;
  readonly term: number;
  readonly flushLsn: Lsn;
  /** As it is on disk. */
  readonly commitLsn: Lsn;
  readonly hotStandbyFeedback: HotStandbyFeedback;
  readonly pageserverFeedback: PageserverFeedback | undefined;
  /**
   * What all standbys that follow this acceptor have applied; not there where there is none. Told only to who has asked for
   * it when it connected: others would take it for a pageserver's feedback.
   */
  readonly standbyApplyLsn?: Lsn | undefined;
}

/** What a proposer writes among its startup options to be told `standbyApplyLsn`. Who does not know it passes over it. */
export const STANDBY_APPLY_OPTION = 'standby_apply';

export type AcceptorMessage = AcceptorGreeting | VoteResponse | AppendResponse;

/** A term and an LSN. */
const TERM_START_BYTES = 8 + 8;

function writeTermHistory(writer: BigEndianWriter, history: TermHistory): void {
  writer.u32(history.length);
  for (const { term, lsn } of history) writer.u64(term).u64(lsn);
}

function readTermHistory(reader: BigEndianReader): TermHistory {
  const count = reader.u32();
  if (count * TERM_START_BYTES > reader.remaining)
    reader.fail(`a term history of ${count} entries is cut off`);
  const history: TermStart[] = [];
  for (let index = 0; index < count; index++) history.push({ term: reader.u64(), lsn: reader.lsn() });
  checkTermHistory(history);
  return history;
}

/** Tag 1, generation 4, term 8, four LSNs of 8. */
export const APPEND_HEADER_BYTES: number = 1 + 4 + 8 + 4 * 8;

/** Writes all of an append but its WAL, which is to follow: for who sends that without a copy. */
export function writeAppendHeader(
  view: DataView,
  offset: number,
  append: Omit<AppendRequest, 'kind' | 'wal'>,
): void {
  view.setUint8(offset, TAG_APPEND);
  view.setUint32(offset + 1, append.generation);
  writeU64(view, offset + 5, append.term);
  writeU64(view, offset + 13, append.beginLsn);
  writeU64(view, offset + 21, append.endLsn);
  writeU64(view, offset + 29, append.commitLsn);
  writeU64(view, offset + 37, append.truncateLsn);
}

function writeU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 0x1_0000_0000));
  view.setUint32(offset + 4, value % 0x1_0000_0000);
}

export function encodeProposerMessage(message: ProposerMessage): Uint8Array {
  switch (message.kind) {
    case 'greeting': {
      const writer = new BigEndianWriter()
        .u8(TAG_GREETING)
        .cString(message.tenantId)
        .cString(message.timelineId);
      writeMembership(writer, message.membership);
      return writer.u32(message.pgVersion).bigU64(message.systemIdentifier).u32(message.segmentBytes).take();
    }
    case 'vote-request':
      return new BigEndianWriter().u8(TAG_VOTE).u32(message.generation).u64(message.term).take();
    case 'elected': {
      const writer = new BigEndianWriter().u8(TAG_ELECTED).u32(message.generation).u64(message.term);
      writeTermHistory(writer.u64(message.startStreamingAt), message.termHistory);
      return writer.take();
    }
    case 'append-request': {
      const bytes = new Uint8Array(APPEND_HEADER_BYTES + message.wal.length);
      writeAppendHeader(new DataView(bytes.buffer), 0, message);
      bytes.set(message.wal, APPEND_HEADER_BYTES);
      return bytes;
    }
  }
}

/** @throws CorruptionError for a message that is unknown, cut off, too long, or contradicts itself. */
export function decodeProposerMessage(bytes: Uint8Array): ProposerMessage {
  const reader = new BigEndianReader(bytes, 'message of a proposer');
  const message = readProposerMessage(reader);
  reader.expectEnd();
  return message;
}

function readProposerMessage(reader: BigEndianReader): ProposerMessage {
  const tag = reader.u8();
  switch (tag) {
    case TAG_GREETING:
      return {
        kind: 'greeting',
        tenantId: parseTenantId(reader.cString()),
        timelineId: parseTimelineId(reader.cString()),
        membership: readMembership(reader),
        pgVersion: reader.u32(),
        systemIdentifier: reader.bigU64(),
        segmentBytes: reader.u32(),
      };
    case TAG_VOTE:
      return { kind: 'vote-request', generation: reader.u32(), term: reader.u64() };
    case TAG_ELECTED:
      return {
        kind: 'elected',
        generation: reader.u32(),
        term: reader.u64(),
        startStreamingAt: reader.lsn(),
        termHistory: readTermHistory(reader),
      };
    case TAG_APPEND:
      return readAppendRequest(reader);
    default:
      return reader.fail(`there is no message ${tag}`);
  }
}

function readAppendRequest(reader: BigEndianReader): AppendRequest {
  const header = {
    kind: 'append-request',
    generation: reader.u32(),
    term: reader.u64(),
    beginLsn: reader.lsn(),
    endLsn: reader.lsn(),
    commitLsn: reader.lsn(),
    truncateLsn: reader.lsn(),
  } as const;
  const length = header.endLsn - header.beginLsn;
  if (length < 0 || length > APPEND_BYTES_MAX) reader.fail(`an append of ${length} bytes`);
  return { ...header, wal: reader.bytes(length) };
}

export function encodeAcceptorMessage(message: AcceptorMessage): Uint8Array {
  switch (message.kind) {
    case 'greeting': {
      const writer = new BigEndianWriter().u8(TAG_GREETING).u64(message.nodeId);
      writeMembership(writer, message.membership);
      return writer.u64(message.term).take();
    }
    case 'vote-response': {
      const writer = new BigEndianWriter().u8(TAG_VOTE).u32(message.generation).u64(message.term);
      writer
        .u8(message.voteGiven ? 1 : 0)
        .u64(message.flushLsn)
        .u64(message.truncateLsn);
      writeTermHistory(writer, message.termHistory);
      return writer.take();
    }
    case 'append-response': {
      const { time, xmin, catalogXmin } = message.hotStandbyFeedback;
      const writer = new BigEndianWriter().u8(TAG_APPEND).u32(message.generation).u64(message.term);
      writer.u64(message.flushLsn).u64(message.commitLsn).i64(time).bigU64(xmin).bigU64(catalogXmin);
      const { pageserverFeedback: pageserver, standbyApplyLsn } = message;
      if (pageserver !== undefined || standbyApplyLsn !== undefined)
        writeFeedbackEntries(writer, { pageserver, standbyApplyLsn });
      return writer.take();
    }
  }
}

/** @throws CorruptionError as decodeProposerMessage. */
export function decodeAcceptorMessage(bytes: Uint8Array): AcceptorMessage {
  const reader = new BigEndianReader(bytes, 'message of an acceptor');
  const message = readAcceptorMessage(reader);
  reader.expectEnd();
  return message;
}

function readAcceptorMessage(reader: BigEndianReader): AcceptorMessage {
  const tag = reader.u8();
  switch (tag) {
    case TAG_GREETING:
      return {
        kind: 'greeting',
        nodeId: reader.u64(),
        membership: readMembership(reader),
        term: reader.u64(),
      };
    case TAG_VOTE:
      return {
        kind: 'vote-response',
        generation: reader.u32(),
        term: reader.u64(),
        voteGiven: reader.bool(),
        flushLsn: reader.lsn(),
        truncateLsn: reader.lsn(),
        termHistory: readTermHistory(reader),
      };
    case TAG_APPEND:
      return readAppendResponse(reader);
    default:
      return reader.fail(`there is no message ${tag}`);
  }
}

function readAppendResponse(reader: BigEndianReader): AppendResponse {
  const positions = {
    kind: 'append-response',
    generation: reader.u32(),
    term: reader.u64(),
    flushLsn: reader.lsn(),
    commitLsn: reader.lsn(),
    hotStandbyFeedback: { time: reader.i64(), xmin: reader.bigU64(), catalogXmin: reader.bigU64() },
  } as const;
  if (reader.remaining === 0) return { ...positions, pageserverFeedback: undefined };
  const { pageserver, standbyApplyLsn } = readFeedbackEntries(reader);
  return {
    ...positions,
    pageserverFeedback: pageserver,
    ...(standbyApplyLsn === undefined ? {} : { standbyApplyLsn }),
  };
}
