import { MESSAGE_HEADER_BYTES } from '../../postgres/wire/framing.ts';
import { COPY_DATA_TAG } from '../copy-stream.ts';
import type { MessageChannel } from '../message-channel.ts';
import { drainedWithin } from './drained-within.ts';

/** A client that is this far behind is waited for. */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** So long it may take nothing. */
const STALL_TIMEOUT_MS = 600_000;

/** What a service copies to its client, piece by piece. */
export class CopyOut {
  readonly #channel: MessageChannel;
  readonly #signal: AbortSignal;

  constructor(channel: MessageChannel, signal: AbortSignal) {
    this.#channel = channel;
    this.#signal = signal;
  }

  /**
   * Sends a piece as one CopyData, not copied: it must not change any more. Resolves when the next one may come, so that
   * no more than about a megabyte and a piece wait for the client.
   * @throws the reason of the session's signal; ConnectionEndError WRITE_TIMEOUT for a client that takes nothing
   */
  async write(chunk: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    const header = new Uint8Array(MESSAGE_HEADER_BYTES);
    header[0] = COPY_DATA_TAG;
    new DataView(header.buffer).setInt32(1, chunk.length + 4);
    this.#channel.send(header);
    if (chunk.length > 0) this.#channel.send(chunk);
    const { connection, clock } = this.#channel;
    await drainedWithin(connection, UNSENT_BYTES_MAX, STALL_TIMEOUT_MS, clock, this.#signal);
  }
}
