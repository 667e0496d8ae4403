import type { Connection, Listener, Receiver, SocketAddress, Sockets } from '../../src/io/sockets.ts';

/** Keeps what a connection brings, and lets a test wait for it. */
export class Inbox implements Receiver {
  readonly chunks: Uint8Array[] = [];
  lengthBytes = 0;
  hasEnded = false;
  isClosed = false;
  error: Error | undefined;
  /** Set while a call into the connection runs, which must not call back. */
  mustBeSilent = false;
  #waiters: { isMet: () => boolean; resolve: () => void }[] = [];

  onBytes(chunk: Uint8Array): void {
    this.#noteCall();
    if (chunk.length === 0) throw new Error('a chunk without bytes');
    if (this.hasEnded) throw new Error('bytes after the end');
    this.chunks.push(chunk);
    this.lengthBytes += chunk.length;
    this.#settle();
  }

  onEnd(): void {
    this.#noteCall();
    if (this.hasEnded) throw new Error('a second end');
    this.hasEnded = true;
    this.#settle();
  }

  onClosed(error: Error | undefined): void {
    this.#noteCall();
    this.isClosed = true;
    this.error = error;
    this.#settle();
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  /** Waits until this many bytes have come in all. */
  async bytes(lengthBytes: number): Promise<Uint8Array> {
    await this.#until(() => this.lengthBytes >= lengthBytes || this.isClosed);
    return Buffer.concat(this.chunks);
  }

  /** Waits for this text, which must be all that came. */
  async textOf(lengthBytes: number): Promise<string> {
    return Buffer.from(await this.bytes(lengthBytes)).toString();
  }

  ended(): Promise<void> {
    return this.#until(() => this.hasEnded || this.isClosed);
  }

  async closed(): Promise<Error | undefined> {
    await this.#until(() => this.isClosed);
    return this.error;
  }

  #noteCall(): void {
    if (this.mustBeSilent) throw new Error('called within a call to the connection');
    if (this.isClosed) throw new Error('called after it was closed');
  }

  #until(isMet: () => boolean): Promise<void> {
    if (isMet()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ isMet, resolve });
    });
  }

  #settle(): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ isMet }) => !isMet());
    for (const { isMet, resolve } of waiters) if (isMet()) resolve();
  }
}

/** Both ends of one connection. Disposal closes them and the listener. */
export interface Pair extends AsyncDisposable {
  readonly client: Connection;
  readonly server: Connection;
  readonly listener: Listener;
}

export async function connectPair(sockets: Sockets, address: SocketAddress): Promise<Pair> {
  let accepted: (connection: Connection) => void;
  const accepting = new Promise<Connection>((resolve) => {
    accepted = resolve;
  });
  const listener = await sockets.listen(address, (connection) => accepted(connection));
  const client = await sockets.connect(listener.address, new AbortController().signal);
  const server = await accepting;
  return {
    client,
    server,
    listener,
    async [Symbol.asyncDispose]() {
      client.close();
      server.close();
      await listener.close();
    },
  };
}
