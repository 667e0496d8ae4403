import { MESSAGE_HEADER_BYTES } from '../../postgres/wire/framing.ts';
import { writeFrontendMessage } from '../../postgres/wire/frontend-messages.ts';
import { MessageWriter } from '../../postgres/wire/message-writer.ts';
import { COPY_DATA_TAG } from '../copy-stream.ts';
import type { MessageChannel } from '../message-channel.ts';

/** What may wait to leave: the server takes it as fast as it stores it. */
const UNSENT_BYTES_MAX = 512 * 1024;
/** Of one CopyData. The server has to hold a whole one. */
const MESSAGE_BYTES_MAX = 64 * 1024;

/** What a COPY that has ended says: `COPY 3`. */
interface CopyResult {
  readonly commandTag: string;
}

/** The client's half of COPY FROM STDIN. It has to come to an end by `finish` or `fail`. */
export class CopyIn {
  readonly #channel: MessageChannel;
  readonly #result: Promise<CopyResult>;
  #isOver = false;

  /** @param result of the command, which may be there before all is sent, where it fails */
  constructor(channel: MessageChannel, result: Promise<CopyResult>) {
    this.#channel = channel;
    this.#result = result;
    const over = (): void => {
      this.#isOver = true;
    };
    // Whoever ends the copying hears of what it failed of.
    result.then(over, over);
  }

  /** The server has refused what came so far: nothing more needs to be sent. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends the next bytes, which must not change any more, and waits until the server has taken most of what was sent. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#isOver; at += MESSAGE_BYTES_MAX) {
      const part = bytes.subarray(at, at + MESSAGE_BYTES_MAX);
      const header = new Uint8Array(MESSAGE_HEADER_BYTES);
      header[0] = COPY_DATA_TAG;
      new DataView(header.buffer).setInt32(1, part.length + 4);
      this.#channel.send(header);
      this.#channel.send(part);
      const { connection } = this.#channel;
      if (connection.unsentBytes > UNSENT_BYTES_MAX) await connection.drained(UNSENT_BYTES_MAX);
    }
  }

  /** All is sent. @throws what the command failed of: as ClientConnection.query */
  finish(): Promise<CopyResult> {
    if (!this.#isOver) this.#channel.send(encode({ kind: 'CopyDone' }));
    return this.#result;
  }

  /** Has the command fail. Resolves when it has. */
  async fail(reason: string): Promise<void> {
    if (!this.#isOver) this.#channel.send(encode({ kind: 'CopyFail', reason }));
    // It fails of our reason, or has failed of another that nobody asks for any more.
    await this.#result.catch(() => undefined);
  }
}

function encode(message: Parameters<typeof writeFrontendMessage>[1]): Uint8Array {
  const writer = new MessageWriter();
  writeFrontendMessage(writer, message);
  return writer.take();
}
