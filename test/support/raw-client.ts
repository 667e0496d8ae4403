import type { Connection } from '../../src/io/sockets.ts';

/** A client that sends any bytes, and keeps all that comes. */
export class RawClient {
  readonly connection: Connection;
  received: Buffer = Buffer.alloc(0);
  isEnded = false;
  isClosed = false;
  #waiters: (() => void)[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
    connection.receive({
      onBytes: (chunk) => {
        this.received = Buffer.concat([this.received, chunk]);
        this.#wake();
      },
      onEnd: () => {
        this.isEnded = true;
        this.connection.end();
        this.#wake();
      },
      onClosed: () => {
        this.isEnded = true;
        this.isClosed = true;
        this.#wake();
      },
    });
  }

  send(...parts: (string | number[] | Uint8Array)[]): void {
    this.connection.send(Buffer.concat(parts.map((part) => Buffer.from(part as string))));
  }

  /** `3.0` with these parameters. */
  sendStartup(parameters: Record<string, string> = { user: 'varve' }): void {
    const text = Object.entries(parameters).flat();
    const body = Buffer.from(`${text.map((word) => `${word}\0`).join('')}\0`);
    this.send(int32(body.length + 8), [0, 3, 0, 0], body);
  }

  /** A message with a tag. */
  sendMessage(tag: string, body: string | Uint8Array = ''): void {
    const bytes = Buffer.from(body as string);
    this.send(tag, int32(bytes.length + 4), bytes);
  }

  /** Waits until this holds of what has been received, or no more can come. */
  async until(isEnough: () => boolean): Promise<void> {
    while (!isEnough() && !this.isEnded) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** The tags of all messages received so far, in their order. */
  get tags(): string {
    return this.messages.map(({ tag }) => tag).join('');
  }

  get messages(): { tag: string; body: Buffer }[] {
    const messages: { tag: string; body: Buffer }[] = [];
    let at = 0;
    while (at + 5 <= this.received.length) {
      const end = at + 1 + this.received.readInt32BE(at + 1);
      if (end > this.received.length) break;
      messages.push({
        tag: this.received.toString('latin1', at, at + 1),
        body: this.received.subarray(at + 5, end),
      });
      at = end;
    }
    return messages;
  }

  /** The fields of the ErrorResponses so far: SQLSTATE and text. */
  get errors(): string[] {
    return this.messages
      .filter(({ tag }) => tag === 'E')
      .map(({ body }) => {
        const fields = body.toString('utf8').split('\0');
        const field = (letter: string): string =>
          fields.find((text) => text.startsWith(letter))?.slice(1) ?? '';
        return `${field('S')} ${field('C')}: ${field('M')}`;
      });
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}

export function int32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
