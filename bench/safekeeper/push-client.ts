import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import {
  type AcceptorMessage,
  APPEND_BYTES_MAX,
  APPEND_HEADER_BYTES,
  decodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
  writeAppendHeader,
} from '../../src/contracts/acceptor-messages.ts';
import { NO_MEMBERSHIP } from '../../src/contracts/membership.ts';
import type { Clock } from '../../src/io/clock.ts';
import type { Random } from '../../src/io/random.ts';
import type { Sockets } from '../../src/io/sockets.ts';
import { connect } from '../../src/libpq/client/connect.ts';
import type { CopyStream } from '../../src/libpq/copy-stream.ts';
import { formatReplicationCommand } from '../../src/postgres/wire/replication-commands.ts';
import type { GivenWal, Push, PushResult, WalToPush } from './host-messages.ts';
import { makeWal, SEGMENT_BYTES, SYSTEM_IDENTIFIER } from './made-wal.ts';

const TERM = 1;
const COPY_DATA_TAG = 0x64;
const COPY_HEADER_BYTES = 5;
/** As the proposer has it by default. */
const UNSENT_BYTES_MAX = 1024 * 1024;

export interface PushDoors {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
}

/** WAL in the messages that bring it to a safekeeper; it may be pushed again and again, to one at a time. */
export interface PreparedWal {
  readonly appends: readonly Append[];
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
}

export function prepareWal(wanted: WalToPush | GivenWal): PreparedWal {
  if ('bytes' in wanted) {
    const { bytes, systemIdentifier, segmentBytes } = wanted;
    const startLsn = toLsn(wanted.startLsn);
    const endLsn = toLsn(startLsn + bytes.length);
    return { appends: makeAppends(bytes, startLsn), startLsn, endLsn, systemIdentifier, segmentBytes };
  }
  const { bytes, startLsn, endLsn } = makeWal(wanted);
  const system = { systemIdentifier: SYSTEM_IDENTIFIER, segmentBytes: SEGMENT_BYTES };
  return { appends: makeAppends(bytes, startLsn), startLsn, endLsn, ...system };
}

/**
 * Is elected as the proposer of a new timeline, pushes WAL as fast as it is taken, and tells what it commits as a
 * proposer does. The time is from the first append to the answer that all is durable.
 */
export async function pushWal(push: Push, wal: PreparedWal, doors: PushDoors): Promise<PushResult> {
  const pusher = await Pusher.begin(push, doors, wal);
  return pusher.push(wal.appends, wal.endLsn);
}

/** One append, as the CopyData that it is sent in. */
interface Append {
  readonly message: Uint8Array;
  readonly view: DataView;
  readonly beginLsn: Lsn;
  readonly endLsn: Lsn;
}

function makeAppends(wal: Uint8Array, startLsn: Lsn): Append[] {
  const appends: Append[] = [];
  for (let at = 0; at < wal.length; at += APPEND_BYTES_MAX) {
    appends.push(makeAppend(wal.subarray(at, at + APPEND_BYTES_MAX), toLsn(startLsn + at)));
  }
  return appends;
}

function makeAppend(piece: Uint8Array, beginLsn: Lsn): Append {
  const message = new Uint8Array(COPY_HEADER_BYTES + APPEND_HEADER_BYTES + piece.length);
  const view = new DataView(message.buffer);
  view.setUint8(0, COPY_DATA_TAG);
  view.setInt32(1, message.length - 1);
  message.set(piece, COPY_HEADER_BYTES + APPEND_HEADER_BYTES);
  return { message, view, beginLsn, endLsn: toLsn(beginLsn + piece.length) };
}

class Pusher {
  #stream: CopyStream | undefined;
  #flushLsn = 0;
  #answers = 0;
  #onAnswer: ((message: AcceptorMessage) => void) | undefined;
  #onEnd: ((error: Error) => void) | undefined;
  #startLsn = 0;

  /** Up to where the safekeeper waits for WAL. */
  static async begin(push: Push, doors: PushDoors, wal: PreparedWal): Promise<Pusher> {
    const { startLsn, systemIdentifier, segmentBytes } = wal;
    const pusher = new Pusher();
    pusher.#startLsn = startLsn;
    const { tenantId, timelineId, port } = push;
    const client = await connect(
      doors.sockets,
      { host: '127.0.0.1', port },
      {
        user: 'bench',
        parameters: { options: `-c tenant_id=${tenantId} timeline_id=${timelineId}` },
        clock: doors.clock,
        random: doors.random,
        connectTimeoutMs: 10_000,
        signal: new AbortController().signal,
      },
    );
    pusher.#stream = await client.copyBoth(
      formatReplicationCommand({ kind: 'StartWalPush', protocolVersion: 3, allowTimelineCreation: true }),
      {
        onCopyData: (bytes, offset, length) =>
          pusher.#take(decodeAcceptorMessage(bytes.subarray(offset, offset + length))),
        onCopyEnd: (end) =>
          pusher.#onEnd?.(end.kind === 'failed' ? end.error : new Error(`COPY is ${end.kind}`)),
      },
    );
    const [tenant, timeline] = [parseTenantId(tenantId), parseTimelineId(timelineId)];
    await pusher.#ask({
      kind: 'greeting',
      tenantId: tenant,
      timelineId: timeline,
      membership: NO_MEMBERSHIP,
      pgVersion: 170_000,
      systemIdentifier,
      segmentBytes,
    });
    await pusher.#ask({ kind: 'vote-request', generation: 0, term: TERM });
    pusher.#send({
      kind: 'elected',
      generation: 0,
      term: TERM,
      startStreamingAt: startLsn,
      termHistory: [{ term: TERM, lsn: startLsn }],
    });
    return pusher;
  }

  async push(appends: readonly Append[], endLsn: Lsn): Promise<PushResult> {
    const stream = this.#stream as CopyStream;
    const failed = new Promise<never>((_, reject) => {
      this.#onEnd = reject;
    });
    const durable = new Promise<void>((resolve) => {
      this.#onAnswer = () => {
        if (this.#flushLsn >= endLsn) resolve();
      };
    });
    this.#answers = 0;
    const startMs = performance.now();
    for (const append of appends) {
      if (stream.unsentBytes >= UNSENT_BYTES_MAX) {
        await Promise.race([stream.drained(UNSENT_BYTES_MAX / 2), failed]);
      }
      this.#append(append);
    }
    await Promise.race([durable, failed]);
    const ms = performance.now() - startMs;
    // All is committed now, which is told with a last append, of nothing.
    this.#append(makeAppend(new Uint8Array(0), endLsn));
    // From now on the end of the stream is what is waited for.
    failed.catch(() => undefined);
    const bytes = endLsn - this.#startLsn;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    this.#onEnd = () => resolve();
    void stream.finish().then(() => resolve());
    await over;
    return { bytes, ms, answers: this.#answers };
  }

  #append({ message, view, beginLsn, endLsn }: Append): void {
    const commitLsn = this.#flushLsn as Lsn;
    writeAppendHeader(view, COPY_HEADER_BYTES, {
      generation: 0,
      term: TERM,
      beginLsn,
      endLsn,
      commitLsn,
      truncateLsn: commitLsn,
    });
    this.#stream?.sendMessages(message);
  }

  #send(message: ProposerMessage): void {
    this.#stream?.sendCopyData(encodeProposerMessage(message));
  }

  #ask(message: ProposerMessage): Promise<AcceptorMessage> {
    return new Promise((resolve, reject) => {
      this.#onAnswer = resolve;
      this.#onEnd = reject;
      this.#send(message);
    });
  }

  #take(message: AcceptorMessage): void {
    if (message.kind === 'append-response' && message.flushLsn > this.#flushLsn) {
      this.#flushLsn = message.flushLsn;
      this.#answers++;
    }
    this.#onAnswer?.(message);
  }
}
