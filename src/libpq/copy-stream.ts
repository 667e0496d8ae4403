import { AssertionError } from '../base/errors.ts';
import { type FrameCutter, MESSAGE_HEADER_BYTES } from '../postgres/wire/framing.ts';
import { MessageWriter } from '../postgres/wire/message-writer.ts';
import type { MessageChannel, MessageSink } from './message-channel.ts';

export const COPY_DATA_TAG: number = 0x64;
const COPY_DONE_TAG = 0x63;

/** How the other side's half of a COPY ended. */
export type CopyEnd =
  /** With CopyDone. */
  | { readonly kind: 'done' }
  /** Without that, but in order: the other side has left. */
  | { readonly kind: 'closed' }
  /** A CopyFail, an ErrorResponse, bytes that are no messages, a lost connection, a time-out or a shutdown. */
  | { readonly kind: 'failed'; readonly error: Error };

/** Who takes what the other side copies. The methods are called one after another, never within a call to the stream. */
export interface CopyReceiver {
  /**
   * The body of one CopyData, valid during this call: see CopyStream.takeBody. `view` is over the same memory as
   * `bytes`. What this throws is the error of the connection, which ends of it.
   */
  onCopyData(bytes: Uint8Array, offset: number, length: number, view: DataView): void;
  /** Called once, last. */
  onCopyEnd(end: CopyEnd): void;
}

/** What one side does with a message that is no CopyData. Gives how the copying ends by it, if it does. */
export type OtherMessage = (cutter: FrameCutter) => CopyEnd | undefined;

/** COPY BOTH, of either side. Sending on a connection that is gone does nothing. */
export class CopyStream {
  readonly #channel: MessageChannel;
  #receiver: CopyReceiver;
  #isDoneSent = false;
  #end: CopyEnd | undefined;

  constructor(channel: MessageChannel, receiver: CopyReceiver, onOther: OtherMessage) {
    this.#channel = channel;
    this.#receiver = receiver;
    const sink: MessageSink = {
      onMessage: (cutter) => {
        if (cutter.tag === COPY_DATA_TAG) {
          this.#receiver.onCopyData(cutter.bytes, cutter.bodyOffset, cutter.bodyLength, cutter.view);
          return;
        }
        const end = onOther(cutter);
        if (end === undefined) return;
        channel.push(undefined);
        this.#onEnd(end);
      },
      onOver: (error) => this.#onEnd(error === undefined ? { kind: 'closed' } : { kind: 'failed', error }),
    };
    channel.push(sink);
  }

  /** The other side may still send. False from `onCopyEnd` on. */
  get isReceiving(): boolean {
    return this.#end === undefined;
  }

  get isClosed(): boolean {
    return this.#channel.connection.isClosed;
  }

  /** Bytes that have not left yet. Whoever sends keeps this within a bound: see `drained`. */
  get unsentBytes(): number {
    return this.#channel.connection.unsentBytes;
  }

  /** Resolves once at most `limitBytes` are unsent, or the connection is gone. */
  drained(limitBytes: number): Promise<void> {
    return this.#channel.connection.drained(limitBytes);
  }

  /** No `onCopyData` until `resume`: the other side is held back. Its end is not seen either, but a lost connection is. */
  pause(): void {
    if (this.isReceiving) this.#channel.pause();
  }

  resume(): void {
    if (this.isReceiving) this.#channel.resume();
  }

  /**
   * Within `onCopyData`, once: its body for good, without a copy (FrameCutter.takeBody). It may be a view of a larger
   * chunk, which lives as long: short bodies that are to be kept are better copied.
   */
  takeBody(): Uint8Array {
    return this.#channel.cutter.takeBody();
  }

  /** A body that was taken, or a part of it, is not looked at any more (FrameCutter.giveBackBody). */
  giveBackBody(part: Uint8Array): void {
    this.#channel.cutter.giveBackBody(part);
  }

  /** Sends a CopyData with a copy of this body. */
  sendCopyData(body: Uint8Array): void {
    const message = new Uint8Array(MESSAGE_HEADER_BYTES + body.length);
    message[0] = COPY_DATA_TAG;
    new DataView(message.buffer).setInt32(1, body.length + 4);
    message.set(body, MESSAGE_HEADER_BYTES);
    this.sendMessages(message);
  }

  /** Sends whole CopyData messages, as replication-messages.ts writes them. They must not change until `sent` is called. */
  sendMessages(messages: Uint8Array, sent?: () => void): void {
    this.#checkNotDone();
    this.#channel.send(messages, sent);
  }

  /**
   * Sends one CopyData whose beginning, CopyData's own header and all, is in `header`, such as that of
   * writeXLogDataHeader, and the rest in `payload`. Neither is copied: they must not change until `sent` is called.
   */
  sendWithPayload(header: Uint8Array, payload: Uint8Array, sent?: () => void): void {
    this.#checkNotDone();
    this.#channel.send(header, payload.length === 0 ? sent : undefined);
    if (payload.length > 0) this.#channel.send(payload, sent);
  }

  /** Nothing more comes from this side. The other side may go on. May be called again. */
  sendCopyDone(): void {
    if (this.#isDoneSent) return;
    this.#isDoneSent = true;
    this.#channel.send(new MessageWriter().begin(COPY_DONE_TAG).end().take());
  }

  /**
   * Ends this side's half. What the other one still copies is thrown away: from here on, the receiver is not called any
   * more. Resolves with how that half ended.
   */
  finish(): Promise<CopyEnd> {
    this.sendCopyDone();
    if (this.#end !== undefined) return Promise.resolve(this.#end);
    return new Promise((resolve) => {
      this.#receiver = { onCopyData: () => undefined, onCopyEnd: resolve };
      this.#channel.resume();
    });
  }

  #onEnd(end: CopyEnd): void {
    this.#end = end;
    this.#receiver.onCopyEnd(end);
  }

  #checkNotDone(): void {
    if (this.#isDoneSent) throw new AssertionError('CopyData after CopyDone');
  }
}
