import { AssertionError, BadRequestError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Connection, Receiver } from '../../io/sockets.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { FileKey } from './file-list.ts';
import {
  FORMAT_VERSION,
  GIVE_BEHIND,
  GIVE_NO_HOLES,
  GIVE_SHORT,
  LIST_ENTRY_BYTES,
  makeReply,
  PERMISSION_BYTES,
  REPLY_BYTES,
  REPLY_FAILED,
  REPLY_NONE,
  REPLY_OK,
  REQUEST_BYTES,
  REQUEST_FIND,
  REQUEST_GIVE,
  REQUEST_HELLO,
  REQUEST_LIST,
  REQUEST_PREFETCH,
  REQUEST_PREFETCH_AGAIN,
  REQUEST_READ,
  REQUEST_READ_AGAIN,
  RUN_BLOCKS_MAX,
  writeReplyHeader,
} from './format.ts';

const KIB = 1024;
const TWO_POW_32: number = 2 ** 32;
const U32_MAX = 0xffff_ffff;
/** Blocks that are read ahead of those that were given back. */
const AHEAD_MAX = 256;

/** What the evictor has found. */
export interface GiveReport {
  /** That the local directory takes. */
  readonly usedBytes: number;
  /** Since it asked last. */
  readonly givenBytes: number;
  /** It could not give back as much as it was asked for then. */
  readonly isShort: boolean;
  /** For blocks were newer than what storage was said to have. */
  readonly isBehind: boolean;
  /** The file system cannot give back any part of a file. */
  readonly hasNoHoles: boolean;
}

/** What the evictor may do. */
export interface GivePermission {
  /** Up to where storage has what it gives back; nothing is read at a lower LSN from then on. */
  readonly lsn: Lsn;
  readonly giveBytes: number;
  /** It looks again when so much was brought or written. */
  readonly wakeBytes: number;
  /** It looks again soon in any case. */
  readonly isPressed: boolean;
}

/** Who answers. What rejects is answered as a failure. */
export interface ShimRequests {
  onHello(pid: number): void;
  /** The entry of a file, once it is known, or known not to be in the list. */
  find(key: FileKey, signal: AbortSignal): Promise<Uint8Array | undefined>;
  untilListed(signal: AbortSignal): Promise<void>;
  read(number: number, block: number, count: number, target: Uint8Array, signal: AbortSignal): Promise<void>;
  prefetch(number: number, block: number, count: number): void;
  /** Blocks that were given back; as many behind them may be wanted. */
  readAgain(
    key: FileKey,
    block: number,
    count: number,
    aheadCount: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void>;
  prefetchAgain(key: FileKey, block: number, count: number): void;
  give(report: GiveReport): Promise<GivePermission>;
  onFailed(error: Error): void;
}

/** One process of the server. It waits for an answer before it asks again, but for hints. */
export class ShimConnection implements Receiver {
  readonly isChunkFree = true;
  readonly #connection: Connection;
  readonly #requests: ShimRequests;
  readonly #onClosed: (connection: ShimConnection) => void;
  readonly #life = new AbortController();
  /** Of a request that has not come whole. */
  readonly #rest = new Uint8Array(REQUEST_BYTES);
  readonly #view = new DataView(this.#rest.buffer);
  #restLength = 0;
  #isAnswering = false;
  /** The last reply with blocks: before it asks again the shim has all of it. */
  #blocksReply = new Uint8Array(0);

  constructor(
    connection: Connection,
    requests: ShimRequests,
    onClosed: (connection: ShimConnection) => void,
  ) {
    this.#connection = connection;
    this.#requests = requests;
    this.#onClosed = onClosed;
    connection.receive(this);
  }

  close(): void {
    this.#connection.close();
  }

  onBytes(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const length = Math.min(REQUEST_BYTES - this.#restLength, chunk.length - at);
      this.#rest.set(chunk.subarray(at, at + length), this.#restLength);
      this.#restLength += length;
      at += length;
      if (this.#restLength < REQUEST_BYTES) continue;
      this.#restLength = 0;
      if (!this.#take()) return;
    }
  }

  onEnd(): void {
    this.#connection.close();
  }

  onClosed(): void {
    this.#life.abort();
    this.#onClosed(this);
  }

  /** False: the connection is over. */
  #take(): boolean {
    const kind = this.#word(0);
    if (kind === REQUEST_PREFETCH || kind === REQUEST_PREFETCH_AGAIN) return this.#hint(kind);
    if (this.#isAnswering) return this.#refuse('a second request before the first was answered');
    if (kind < REQUEST_HELLO || kind > REQUEST_GIVE) return this.#refuse(`a request of kind ${kind}`);
    this.#isAnswering = true;
    const words = Array.from({ length: REQUEST_BYTES / 4 - 1 }, (_, index) => this.#word(index + 1));
    void this.#answer(kind, words);
    return true;
  }

  /** What nobody waits for. */
  #hint(kind: number): boolean {
    if (kind === REQUEST_PREFETCH) {
      this.#requests.prefetch(this.#word(1), this.#word(2), Math.min(this.#word(3), RUN_BLOCKS_MAX));
      return true;
    }
    const [block, count] = [this.#word(5), Math.min(this.#word(6), RUN_BLOCKS_MAX)];
    if (this.#word(1) === 0 || count < 1) return this.#refuse('a hint of no blocks');
    this.#requests.prefetchAgain(this.#key(), block, count);
    return true;
  }

  #key(): FileKey {
    return [this.#word(1), this.#word(2), this.#word(3), this.#word(4)];
  }

  #word(index: number): number {
    return this.#view.getUint32(index * 4, true);
  }

  #refuse(what: string): false {
    this.#requests.onFailed(new BadRequestError('BAD_REQUEST', `the server's shim has sent ${what}`));
    this.#connection.close();
    return false;
  }

  async #answer(kind: number, words: readonly number[]): Promise<void> {
    let reply: Uint8Array;
    try {
      reply = await this.#replyTo(kind, words);
    } catch (error) {
      // Whoever asked has gone, and with it why.
      if (this.#life.signal.aborted) return;
      this.#requests.onFailed(error as Error);
      reply = makeReply(kind, REPLY_FAILED, 0);
    }
    this.#isAnswering = false;
    this.#connection.send(reply);
  }

  async #replyTo(kind: number, words: readonly number[]): Promise<Uint8Array> {
    const { signal } = this.#life;
    const [first = 0, second = 0, third = 0, fourth = 0] = words;
    const key = [first, second, third, fourth] as const;
    switch (kind) {
      case REQUEST_HELLO:
        if (first !== FORMAT_VERSION)
          throw new BadRequestError('BAD_VERSION', `the server's shim is of version ${first}`);
        this.#requests.onHello(second);
        return makeReply(kind, REPLY_OK, 0);
      case REQUEST_FIND: {
        const entry = await this.#requests.find(key, signal);
        if (entry === undefined) return makeReply(kind, REPLY_NONE, 0);
        const reply = makeReply(kind, REPLY_OK, LIST_ENTRY_BYTES);
        reply.set(entry, REPLY_BYTES);
        return reply;
      }
      case REQUEST_LIST:
        await this.#requests.untilListed(signal);
        return makeReply(kind, REPLY_OK, 0);
      case REQUEST_READ: {
        const { reply, target } = this.#makeBlocksReply(kind, third);
        await this.#requests.read(first, second, third, target, signal);
        return reply;
      }
      case REQUEST_READ_AGAIN: {
        const [block = 0, count = 0, aheadCount = 0] = words.slice(4);
        const { reply, target } = this.#makeBlocksReply(kind, count);
        await this.#requests.readAgain(key, block, count, Math.min(aheadCount, AHEAD_MAX), target, signal);
        return reply;
      }
      case REQUEST_GIVE:
        return encodePermission(kind, await this.#requests.give(parseReport(first, second, third)));
      default:
        throw new AssertionError(`a request of kind ${kind} is taken, and not answered`);
    }
  }

  /** @throws BadRequestError for more than is asked for at once */
  #makeBlocksReply(kind: number, count: number): { reply: Uint8Array; target: Uint8Array } {
    if (count < 1 || count > RUN_BLOCKS_MAX)
      throw new BadRequestError('BAD_REQUEST', `${count} blocks are asked for at once`);
    const payloadBytes = count * BLOCK_BYTES;
    if (this.#blocksReply.length < REPLY_BYTES + payloadBytes)
      this.#blocksReply = new Uint8Array(REPLY_BYTES + payloadBytes);
    const reply = this.#blocksReply.subarray(0, REPLY_BYTES + payloadBytes);
    writeReplyHeader(reply, kind, REPLY_OK, payloadBytes);
    return { reply, target: reply.subarray(REPLY_BYTES) };
  }
}

const parseReport = (usedKib: number, givenKib: number, flags: number): GiveReport => ({
  usedBytes: usedKib * KIB,
  givenBytes: givenKib * KIB,
  isShort: (flags & GIVE_SHORT) !== 0,
  isBehind: (flags & GIVE_BEHIND) !== 0,
  hasNoHoles: (flags & GIVE_NO_HOLES) !== 0,
});

function encodePermission(kind: number, permission: GivePermission): Uint8Array {
  const { lsn, giveBytes, wakeBytes, isPressed } = permission;
  const reply = makeReply(kind, REPLY_OK, PERMISSION_BYTES);
  const view = new DataView(reply.buffer, REPLY_BYTES);
  view.setUint32(0, Math.floor(lsn / TWO_POW_32), true);
  view.setUint32(4, lsn % TWO_POW_32, true);
  view.setUint32(8, Math.min(Math.ceil(giveBytes / KIB), U32_MAX), true);
  view.setUint32(12, Math.min(Math.ceil(wakeBytes / KIB), U32_MAX), true);
  view.setUint32(16, isPressed ? 1 : 0, true);
  return reply;
}
