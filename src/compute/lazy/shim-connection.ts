import { BadRequestError } from '../../base/errors.ts';
import type { Connection, Receiver } from '../../io/sockets.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { FileKey } from './file-list.ts';
import {
  FORMAT_VERSION,
  LIST_ENTRY_BYTES,
  makeReply,
  REPLY_BYTES,
  REPLY_FAILED,
  REPLY_NONE,
  REPLY_OK,
  REQUEST_BYTES,
  REQUEST_FIND,
  REQUEST_HELLO,
  REQUEST_LIST,
  REQUEST_PREFETCH,
  REQUEST_READ,
  RUN_BLOCKS_MAX,
} from './format.ts';

/** Who answers. What rejects is answered as a failure. */
export interface ShimRequests {
  onHello(pid: number): void;
  /** The entry of a file, once it is known, or known not to be in the list. */
  find(key: FileKey, signal: AbortSignal): Promise<Uint8Array | undefined>;
  untilListed(signal: AbortSignal): Promise<void>;
  read(number: number, block: number, count: number, target: Uint8Array, signal: AbortSignal): Promise<void>;
  prefetch(number: number, block: number, count: number): void;
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
    if (kind === REQUEST_PREFETCH) {
      this.#requests.prefetch(this.#word(1), this.#word(2), Math.min(this.#word(3), RUN_BLOCKS_MAX));
      return true;
    }
    if (this.#isAnswering) return this.#refuse('a second request before the first was answered');
    if (kind < REQUEST_HELLO || kind > REQUEST_READ) return this.#refuse(`a request of kind ${kind}`);
    this.#isAnswering = true;
    void this.#answer(kind, [this.#word(1), this.#word(2), this.#word(3), this.#word(4)]);
    return true;
  }

  #word(index: number): number {
    return this.#view.getUint32(index * 4, true);
  }

  #refuse(what: string): false {
    this.#requests.onFailed(new BadRequestError('BAD_REQUEST', `the server's shim has sent ${what}`));
    this.#connection.close();
    return false;
  }

  async #answer(kind: number, words: FileKey): Promise<void> {
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

  async #replyTo(kind: number, words: FileKey): Promise<Uint8Array> {
    const { signal } = this.#life;
    switch (kind) {
      case REQUEST_HELLO:
        if (words[0] !== FORMAT_VERSION)
          throw new BadRequestError('BAD_VERSION', `the server's shim is of version ${words[0]}`);
        this.#requests.onHello(words[1]);
        return makeReply(kind, REPLY_OK, 0);
      case REQUEST_FIND: {
        const entry = await this.#requests.find(words, signal);
        if (entry === undefined) return makeReply(kind, REPLY_NONE, 0);
        const reply = makeReply(kind, REPLY_OK, LIST_ENTRY_BYTES);
        reply.set(entry, REPLY_BYTES);
        return reply;
      }
      case REQUEST_LIST:
        await this.#requests.untilListed(signal);
        return makeReply(kind, REPLY_OK, 0);
      default: {
        const [number, block, count] = words;
        if (count < 1 || count > RUN_BLOCKS_MAX)
          throw new BadRequestError('BAD_REQUEST', `${count} blocks are asked for at once`);
        const reply = makeReply(kind, REPLY_OK, count * BLOCK_BYTES);
        await this.#requests.read(number, block, count, reply.subarray(REPLY_BYTES), signal);
        return reply;
      }
    }
  }
}
