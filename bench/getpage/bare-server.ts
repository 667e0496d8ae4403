import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { Connection, Listener, Receiver } from '../../src/io/sockets.ts';
import { writeBackendMessage } from '../../src/postgres/wire/backend-messages.ts';
import { MessageWriter } from '../../src/postgres/wire/message-writer.ts';

const PAGE_BYTES = 8192;
/** A getpage request of pagestream_v3 in its CopyData, and where its block number is. */
const REQUEST_BYTES = 47;
const BLOCK_OFFSET = 43;
/** What an answer echoes of the request, behind CopyData's header and the tag. */
const ECHO_OFFSET = 6;
const RESPONSE_BYTES: number = REQUEST_BYTES + PAGE_BYTES;
const GETPAGE_RESPONSE_TAG = 102;
const COPY_DATA_TAG = 0x64;
const STORED_PAGES: number = 32 * 1024;
/** Answers that are sent together. */
const BATCH = 64;
const POOLED_MAX = 256;

/**
 * A page service with nothing behind it: no history, no timelines, no checks. It knows requests by their length, and
 * answers each with a page out of memory, in the way that a socket of Node.js brings most.
 */
export class BareServer implements AsyncDisposable {
  readonly #listener: Listener;
  readonly #connections: Set<Connection>;

  private constructor(listener: Listener, connections: Set<Connection>) {
    this.#listener = listener;
    this.#connections = connections;
  }

  static async start(): Promise<BareServer> {
    const pages = new Uint8Array(STORED_PAGES * PAGE_BYTES);
    for (let page = 0; page < STORED_PAGES; page++)
      pages.fill(page & 0xff, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    const sockets = nodeSockets((error) => {
      throw error;
    });
    const connections = new Set<Connection>();
    const pool: Uint8Array[] = [];
    const listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      connections.add(connection);
      connection.receive(new BareConnection(connection, pages, pool, () => connections.delete(connection)));
    });
    return new BareServer(listener, connections);
  }

  get port(): number {
    return (this.#listener.address as { port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
    for (const connection of this.#connections) connection.close();
  }
}

class BareConnection implements Receiver {
  readonly isChunkFree = true;
  readonly #connection: Connection;
  readonly #pages: Uint8Array;
  readonly #pool: Uint8Array[];
  readonly #onOver: () => void;
  #phase: 'startup' | 'command' | 'requests' = 'startup';
  /** The beginning of a request whose end has not come. */
  readonly #rest = new Uint8Array(REQUEST_BYTES);
  #restLength = 0;
  #batch: Uint8Array | undefined;
  #batched = 0;

  constructor(connection: Connection, pages: Uint8Array, pool: Uint8Array[], onOver: () => void) {
    this.#connection = connection;
    this.#pages = pages;
    this.#pool = pool;
    this.#onOver = onOver;
  }

  onBytes(chunk: Uint8Array): void {
    if (this.#phase !== 'requests') {
      this.#begin();
      return;
    }
    let at = 0;
    if (this.#restLength > 0) {
      at = Math.min(REQUEST_BYTES - this.#restLength, chunk.length);
      this.#rest.set(chunk.subarray(0, at), this.#restLength);
      this.#restLength += at;
      if (this.#restLength < REQUEST_BYTES) return;
      this.#answer(this.#rest, 0);
      this.#restLength = 0;
    }
    // A farewell is shorter than a request: what it leaves behind is never looked at.
    for (; at + REQUEST_BYTES <= chunk.length; at += REQUEST_BYTES) this.#answer(chunk, at);
    this.#rest.set(chunk.subarray(at));
    this.#restLength = chunk.length - at;
    this.#flush();
  }

  onEnd(): void {
    this.#connection.close();
  }

  onClosed(): void {
    this.#onOver();
  }

  /** The startup packet and the command each come in a chunk of their own: the client waits for what they are answered. */
  #begin(): void {
    const writer = new MessageWriter();
    if (this.#phase === 'startup') {
      writeBackendMessage(writer, { kind: 'Authentication', request: { method: 'Ok' } });
      writeBackendMessage(writer, { kind: 'ReadyForQuery', status: 'idle' });
      this.#phase = 'command';
    } else {
      writeBackendMessage(writer, { kind: 'CopyBothResponse', format: 'text', columnFormats: [] });
      this.#phase = 'requests';
    }
    this.#connection.send(writer.take());
  }

  #answer(request: Uint8Array, offset: number): void {
    const batch = this.#batch ?? this.#pool.pop() ?? new Uint8Array(BATCH * RESPONSE_BYTES);
    this.#batch = batch;
    const at = this.#batched * RESPONSE_BYTES;
    const length = RESPONSE_BYTES - 1;
    batch[at] = COPY_DATA_TAG;
    batch[at + 1] = 0;
    batch[at + 2] = 0;
    batch[at + 3] = length >> 8;
    batch[at + 4] = length & 0xff;
    batch[at + 5] = GETPAGE_RESPONSE_TAG;
    const echo = at - offset;
    for (let from = offset + ECHO_OFFSET; from < offset + REQUEST_BYTES; from++) {
      batch[from + echo] = request[from] as number;
    }
    const low = request[offset + BLOCK_OFFSET + 3] as number;
    const block = low + (request[offset + BLOCK_OFFSET + 2] as number) * 256;
    const page = (block % STORED_PAGES) * PAGE_BYTES;
    batch.set(this.#pages.subarray(page, page + PAGE_BYTES), at + REQUEST_BYTES);
    if (++this.#batched === BATCH) this.#flush();
  }

  #flush(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#connection.send(batch.subarray(0, this.#batched * RESPONSE_BYTES), () => {
      if (this.#pool.length < POOLED_MAX) this.#pool.push(batch);
    });
    this.#batch = undefined;
    this.#batched = 0;
  }
}
