import { AssertionError, VarveError } from '../base/errors.ts';
import {
  type AcceptorMessage,
  APPEND_HEADER_BYTES,
  decodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
  writeAppendHeader,
} from '../contracts/acceptor-messages.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../libpq/copy-stream.ts';
import { MESSAGE_HEADER_BYTES } from '../postgres/wire/framing.ts';
import { formatReplicationCommand } from '../postgres/wire/replication-commands.ts';
import type { AppendRange } from './consensus/proposer-effects.ts';
import type { ProposerDoors, ProposerOptions, ProposerSettings } from './options.ts';
import { connectToSafekeeper } from './safekeeper-connection.ts';

const PROTOCOL_VERSION = 3;
const COPY_DATA_TAG = 0x64;
/** An append of less WAL is sent as one piece: a copy costs less than another write to the socket. */
const GATHERED_BYTES_MAX: number = 8 * 1024;

/** Who drives a link. Called one after another, never within a call to the link but for `drop`. */
export interface LinkHandler {
  /** There is a connection, over which nothing has been said yet. */
  onOpen(id: number): void;
  onMessage(id: number, message: AcceptorMessage): void;
  /** The connection is gone; another one is being made. */
  onClosed(id: number): void;
  /** There is room to send again, after `callWhenRoom`. */
  onRoom(id: number): void;
  /** A bug. */
  onFailure(error: Error): void;
}

/** The connection to one safekeeper, made again whenever it is lost, until the link is closed. */
export class SafekeeperLink {
  readonly address: SafekeeperAddress;
  readonly #options: ProposerOptions;
  readonly #settings: ProposerSettings;
  readonly #doors: ProposerDoors;
  readonly #handler: LinkHandler;
  readonly #life = new AbortController();
  readonly #retryDelay: RetryDelay;
  #running: Promise<void> = Promise.resolve();
  #client: ClientConnection | undefined;
  #stream: CopyStream | undefined;
  /** Ends the wait for the stream's end. */
  #ended: ((end: CopyEnd) => void) | undefined;
  /** Something was sent, and nothing has come since. */
  #isAnswerDue = false;
  #answerDueSinceMs = 0;
  #isRoomAwaited = false;
  #isFinished = false;
  #lastReason = '';
  #connections = 0;

  constructor(
    address: SafekeeperAddress,
    options: ProposerOptions,
    settings: ProposerSettings,
    doors: ProposerDoors,
    handler: LinkHandler,
  ) {
    this.address = address;
    this.#options = options;
    this.#settings = settings;
    this.#doors = { ...doors, logger: doors.logger.child({ safekeeperId: address.id }) };
    this.#handler = handler;
    this.#retryDelay = new RetryDelay(settings.reconnect, doors.random);
  }

  start(): void {
    this.#running = this.#run();
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  get unsentBytes(): number {
    return this.#stream?.unsentBytes ?? 0;
  }

  /** Resolves once at most `limitBytes` are unsent, or the connection is gone. */
  drained(limitBytes: number): Promise<void> {
    return this.#stream?.drained(limitBytes) ?? Promise.resolve();
  }

  /** Connections made so far. */
  get connections(): number {
    return this.#connections;
  }

  send(message: ProposerMessage): void {
    this.#noteSent();
    this.#stream?.sendCopyData(encodeProposerMessage(message));
  }

  /** Sends an append. Its WAL is not copied, unless it is short, and must not change any more. */
  sendAppend(range: AppendRange, wal: readonly Uint8Array[]): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#noteSent();
    const walBytes = range.endLsn - range.beginLsn;
    const headBytes = MESSAGE_HEADER_BYTES + APPEND_HEADER_BYTES;
    const isGathered = walBytes <= GATHERED_BYTES_MAX;
    const head = new Uint8Array(headBytes + (isGathered ? walBytes : 0));
    const view = new DataView(head.buffer);
    view.setUint8(0, COPY_DATA_TAG);
    view.setInt32(1, headBytes - 1 + walBytes);
    writeAppendHeader(view, MESSAGE_HEADER_BYTES, range);
    if (isGathered) {
      let at = headBytes;
      for (const piece of wal) {
        head.set(piece, at);
        at += piece.length;
      }
    }
    stream.sendMessages(head);
    if (!isGathered) for (const piece of wal) stream.sendMessages(piece);
  }

  /** Calls `onRoom` once at most half of what may be unsent is. */
  callWhenRoom(): void {
    const stream = this.#stream;
    if (this.#isRoomAwaited || stream === undefined) return;
    this.#isRoomAwaited = true;
    void stream.drained(this.#settings.unsentBytesMax / 2).then(() => {
      this.#isRoomAwaited = false;
      if (this.#stream !== undefined) this.#handler.onRoom(this.address.id);
    });
  }

  /** Gives up a connection over which an answer has been due for too long. */
  checkIdle(nowMs: number): void {
    const { idleTimeoutMs } = this.#settings;
    if (!this.#isAnswerDue || nowMs - this.#answerDueSinceMs < idleTimeoutMs) return;
    this.drop(new VarveError('unavailable', 'SAFEKEEPER_SILENT', `no answer came for ${idleTimeoutMs} ms`));
  }

  /** Ends the connection. Another one is made after a while. */
  drop(reason: Error): void {
    this.#isAnswerDue = false;
    this.#client?.abort(
      reason instanceof VarveError ? reason : new VarveError('unavailable', 'DROPPED', reason.message),
    );
  }

  /**
   * Says that nothing more comes, and waits until the safekeeper says the same, which it does when it has worked on all
   * that was sent. No message is given to the handler any more.
   * @returns whether it did; then the link is closed
   */
  async finish(): Promise<boolean> {
    const stream = this.#stream;
    if (stream === undefined) return false;
    const end = await stream.finish();
    if (end.kind !== 'done') {
      // The connection's life waits for an end that this has taken.
      this.#client?.abort(new VarveError('unavailable', 'CONNECTION_LOST', 'the safekeeper has left'));
      this.#ended?.(end);
      return false;
    }
    this.#isFinished = true;
    this.#life.abort();
    this.#ended?.(end);
    return true;
  }

  async close(): Promise<void> {
    this.#life.abort();
    this.drop(new VarveError('cancelled', 'CLOSING', 'the proposer is closing'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#doors;
    const { signal } = this.#life;
    while (!signal.aborted) {
      try {
        await this.#connectOnce(signal);
      } catch (error) {
        if (!signal.aborted) this.#note(error as Error);
      }
      await pause(clock, this.#retryDelay.nextMs(), signal);
    }
  }

  /** One connection, from its beginning to its end. */
  async #connectOnce(signal: AbortSignal): Promise<void> {
    const { connectTimeoutMs } = this.#settings;
    const client = await connectToSafekeeper(
      this.address,
      this.#options,
      connectTimeoutMs,
      this.#doors,
      signal,
    );
    this.#client = client;
    this.#connections++;
    let isOpen = false;
    try {
      this.#noteSent();
      const ended = Promise.withResolvers<CopyEnd>();
      this.#ended = ended.resolve;
      const receiver: CopyReceiver = {
        onCopyData: (bytes, offset, length) => this.#take(bytes.subarray(offset, offset + length)),
        onCopyEnd: ended.resolve,
      };
      this.#stream = await client.copyBoth(
        formatReplicationCommand({
          kind: 'StartWalPush',
          protocolVersion: PROTOCOL_VERSION,
          allowTimelineCreation: this.#options.allowTimelineCreation,
        }),
        receiver,
      );
      isOpen = true;
      this.#handler.onOpen(this.address.id);
      const end = await ended.promise;
      if (end.kind === 'failed') throw end.error;
      if (!this.#isFinished) {
        throw new VarveError('unavailable', 'CONNECTION_LOST', 'the safekeeper has ended the connection');
      }
    } finally {
      this.#stream = undefined;
      this.#client = undefined;
      this.#ended = undefined;
      this.#isAnswerDue = false;
      client.abort(
        new VarveError('cancelled', 'CONNECTION_CLOSED', 'this connection is not needed any more'),
      );
      if (isOpen) this.#handler.onClosed(this.address.id);
    }
  }

  #take(body: Uint8Array): void {
    this.#isAnswerDue = false;
    const message = decodeAcceptorMessage(body);
    if (message.kind === 'append-response') this.#retryDelay.reset();
    this.#handler.onMessage(this.address.id, message);
  }

  #noteSent(): void {
    if (this.#isAnswerDue) return;
    this.#isAnswerDue = true;
    this.#answerDueSinceMs = this.#doors.clock.monotonicMs();
  }

  /** The same reason is told once, however often it is met. */
  #note(error: Error): void {
    if (error instanceof AssertionError || !(error instanceof VarveError)) this.#handler.onFailure(error);
    if (error.message === this.#lastReason) return;
    this.#lastReason = error.message;
    this.#doors.logger.warn('a safekeeper is not connected', { reason: error.message });
  }
}
