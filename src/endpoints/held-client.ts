import type { Connection } from '../io/sockets.ts';
import { toErrorFields } from '../libpq/server/sqlstate.ts';
import { writeBackendMessage } from '../postgres/wire/backend-messages.ts';
import { MessageWriter } from '../postgres/wire/message-writer.ts';
import { CANCEL_REQUEST_CODE } from '../postgres/wire/startup.ts';
import { relay } from './relay.ts';

/** A client sends one startup packet, and waits for the answer. What comes beyond waits in the network. */
const HELD_BYTES_MAX = 64 * 1024;
/** A packet's length and its code. */
const HEAD_BYTES = 8;

/** A client that has come while there is no server: what it has sent is kept, and it waits. */
export class HeldClient {
  readonly #connection: Connection;
  readonly #onGone: (client: HeldClient) => void;
  #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #hasEnded = false;
  #isRelayed = false;
  #isWanted = false;

  /**
   * @param onWanted told once, when it has asked for a server: somebody who only connects, as a scanner of ports does, and
   * somebody who cancels a query, of which there is none, do not
   * @param onGone told when it does not wait any more
   */
  constructor(
    connection: Connection,
    onWanted: (client: HeldClient) => void,
    onGone: (client: HeldClient) => void,
  ) {
    this.#connection = connection;
    this.#onGone = onGone;
    connection.receive({
      onBytes: (chunk) => {
        this.#received.push(chunk);
        this.#receivedBytes += chunk.length;
        if (this.#receivedBytes >= HELD_BYTES_MAX) connection.pause();
        if (this.#isWanted || this.#receivedBytes < HEAD_BYTES) return;
        this.#isWanted = true;
        if (this.#isCancelRequest()) connection.close();
        else onWanted(this);
      },
      onEnd: () => {
        this.#hasEnded = true;
        // Nobody ends who has asked for something; whoever has not asks for nothing any more.
        if (!this.#isWanted) connection.close();
      },
      onClosed: () => onGone(this),
    });
  }

  /** Where it comes from. */
  get peer(): string {
    return this.#connection.peer;
  }

  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** Hands it over to the server. Resolves when both connections are gone. */
  async relayTo(server: Connection): Promise<void> {
    if (this.#isRelayed) return;
    this.#isRelayed = true;
    this.#onGone(this);
    if (this.#connection.isClosed) {
      server.close();
      return;
    }
    for (const chunk of this.#received) server.send(chunk);
    this.#received = [];
    if (this.#hasEnded) server.end();
    await relay(this.#connection, server);
  }

  /** Tells it why there is no server, as a server would, and lets it go. */
  refuse(error: unknown): void {
    if (this.#isRelayed) return;
    const writer = new MessageWriter();
    writeBackendMessage(writer, { kind: 'ErrorResponse', fields: toErrorFields(error, 'FATAL') });
    this.#connection.send(writer.take());
    this.#connection.end();
    this.#onGone(this);
  }

  close(): void {
    this.#connection.close();
  }

  #isCancelRequest(): boolean {
    const head = new Uint8Array(HEAD_BYTES);
    let length = 0;
    for (const chunk of this.#received) {
      const part = chunk.subarray(0, HEAD_BYTES - length);
      head.set(part, length);
      length += part.length;
    }
    return new DataView(head.buffer).getInt32(4) === CANCEL_REQUEST_CODE;
  }
}
