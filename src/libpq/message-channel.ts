import { AssertionError, VarveError } from '../base/errors.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Connection, Receiver } from '../io/sockets.ts';
import { FrameCutter, type FrameCutterOptions } from '../postgres/wire/framing.ts';
import { ProtocolError } from '../postgres/wire/wire-error.ts';

/** Who takes messages as they come, without a promise for each. */
export interface MessageSink {
  /** The cutter shows the message, which is valid during this call. What this throws ends the channel. */
  onMessage(cutter: FrameCutter): void;
  /** Called once: no further message comes. Without an error if the other side ended in order. */
  onOver(error: Error | undefined): void;
}

export interface MessageChannelOptions {
  readonly clock: Clock;
  readonly frames: FrameCutterOptions;
  /** Called once, when no further message can come: with the sink, and also while nobody reads. */
  readonly onOver: (error: Error | undefined) => void;
  /**
   * Called while nobody reads: the first bytes of a message have come, after all that were read, or the other side has
   * ended its half (undefined). Whoever reads next hears of it, too.
   */
  readonly onUnread?: (bytes: Uint8Array | undefined) => void;
}

interface Waiting {
  readonly resolve: (isMessage: boolean) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Messages of one connection. They are pulled one after another with `next`, or pushed to a sink; in between, at most
 * one chunk is kept and the other side is held back. While nobody reads, a lost connection is still noticed.
 */
export class MessageChannel implements Receiver {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly #onOver: (error: Error | undefined) => void;
  readonly #onUnread: MessageChannelOptions['onUnread'];
  #cutter: FrameCutter;
  /** The cutter has given all that it was fed. */
  #isCut = true;
  /** Came while nobody read. */
  #pending: Uint8Array | undefined;
  #sink: MessageSink | undefined;
  #waiting: Waiting | undefined;
  #isPaused = false;
  /** We have paused the connection. */
  #isHeld = false;
  #isPumping = false;
  /** The other side sends nothing more. */
  #isEnded = false;
  #isOver = false;
  #isClosing = false;
  #failure: Error | undefined;
  #wakeOnClosed: (() => void) | undefined;
  #readTimeoutMs = 0;
  #readTimer: Timer | undefined;
  #lastReadMs = 0;

  constructor(connection: Connection, options: MessageChannelOptions) {
    this.connection = connection;
    this.clock = options.clock;
    this.#onOver = options.onOver;
    this.#onUnread = options.onUnread;
    this.#cutter = new FrameCutter(options.frames);
    connection.receive(this);
  }

  /** Shows the message that `next` has found, until it is called again. */
  get cutter(): FrameCutter {
    return this.#cutter;
  }

  /** Why no further message comes, unless the other side ended in order. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Fails the channel once somebody has waited this long for any bytes. */
  setReadTimeout(timeoutMs: number): void {
    this.#readTimeoutMs = timeoutMs;
    this.#lastReadMs = this.clock.monotonicMs();
    this.#readTimer?.cancel();
    this.#armReadTimer(timeoutMs);
  }

  /** As Connection.send. Does nothing once this side is closing. */
  send(bytes: Uint8Array, sent?: () => void): void {
    if (!this.#isClosing) this.connection.send(bytes, sent);
  }

  /** Goes to the next message. False: the other side has ended in order. Rejects with what the channel failed of. */
  next(): Promise<boolean> {
    if (this.#sink !== undefined || this.#waiting !== undefined) {
      throw new AssertionError('two read from one connection');
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#isOver) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#lastReadMs = this.clock.monotonicMs();
      this.#pump();
    });
  }

  /**
   * From now on the sink gets all messages, the first one not before all that is ready to run has run. Without a sink,
   * messages are pulled again.
   */
  push(sink: MessageSink | undefined): void {
    if (this.#waiting !== undefined) throw new AssertionError('two read from one connection');
    this.#sink = sink;
    this.#isPaused = false;
    if (sink === undefined) return;
    this.#lastReadMs = this.clock.monotonicMs();
    void this.clock.yieldToOthers().then(() => {
      if (!this.#isOver) this.#pump();
      else if (this.#sink === sink) {
        this.#sink = undefined;
        sink.onOver(this.#failure);
      }
    });
  }

  /** No further message to the sink. */
  pause(): void {
    this.#isPaused = true;
    this.#hold();
  }

  /** The sink's messages go on, after the caller has returned. */
  resume(): void {
    this.#isPaused = false;
    this.#lastReadMs = this.clock.monotonicMs();
    if (this.#isCut && this.#pending === undefined && !this.#isEnded) this.#release();
    else queueMicrotask(() => this.#pump());
  }

  /** The channel is unusable from here on: whoever reads gets this error, and what still comes is thrown away. */
  fail(error: Error): void {
    if (this.#isOver) return;
    this.#failure = error;
    this.#becomeOver();
  }

  /** Bytes that have come and are not cut yet are those of a TLS handshake, and messages begin anew after it. */
  takeHandshake(frames: FrameCutterOptions): Uint8Array {
    const { bytes, restOffset, restLength } = this.#cutter;
    const rest = bytes.subarray(restOffset, restOffset + restLength);
    const pending = this.#pending ?? new Uint8Array(0);
    const handshake = new Uint8Array(rest.length + pending.length);
    handshake.set(rest);
    handshake.set(pending, rest.length);
    this.#pending = undefined;
    this.#cutter = new FrameCutter(frames);
    this.#isCut = true;
    this.#release();
    return handshake;
  }

  /** As FrameCutter.refuseRest, with what was not given to the cutter yet. */
  refuseRest(): void {
    this.#cutter.refuseRest();
    if (this.#pending === undefined) return;
    throw new ProtocolError(
      'UNENCRYPTED_DATA',
      `${this.#pending.length} unencrypted bytes came with the request for encryption`,
    );
  }

  /**
   * Sends what is unsent, ends our side, throws away what still comes, and resolves when the connection is gone. The
   * other side has `lingerMs` for that.
   */
  async close(lingerMs: number): Promise<void> {
    this.fail(new VarveError('cancelled', 'CONNECTION_CLOSED', 'this side has closed the connection'));
    const { connection } = this;
    if (connection.isClosed || this.#isClosing) return;
    this.#isClosing = true;
    const timer = this.clock.setTimer(lingerMs, () => connection.close());
    await new Promise<void>((resolve) => {
      this.#wakeOnClosed = resolve;
      connection.end();
    });
    timer.cancel();
  }

  onBytes(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#lastReadMs = this.clock.monotonicMs();
    if (this.#pending !== undefined) throw new AssertionError('a connection brings bytes while it is paused');
    this.#pending = chunk;
    if (this.#isReading()) {
      this.#pump();
      return;
    }
    this.#hold();
    if (this.#cutter.restLength === 0) this.#onUnread?.(chunk);
  }

  /** Who pulls messages may still look at the one that it was shown; a sink does not. */
  get isChunkFree(): boolean {
    return this.#sink !== undefined && this.#isCut && !this.#cutter.isChunkTaken;
  }

  onEnd(): void {
    this.#isEnded = true;
    if (this.#isReading()) this.#pump();
    else if (!this.#isOver) this.#onUnread?.(undefined);
  }

  onClosed(error: Error | undefined): void {
    this.#wakeOnClosed?.();
    if (error !== undefined) {
      this.fail(error instanceof VarveError ? error : connectionLost(error));
    } else if (!this.#isEnded) {
      this.fail(new VarveError('cancelled', 'CONNECTION_CLOSED', 'this side has closed the connection'));
    }
  }

  #isReading(): boolean {
    return this.#waiting !== undefined || (this.#sink !== undefined && !this.#isPaused);
  }

  #hold(): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    this.connection.pause();
  }

  #release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.connection.resume();
  }

  /** Hands messages out while there are some and somebody reads. */
  #pump(): void {
    if (this.#isPumping || this.#isOver) return;
    this.#isPumping = true;
    try {
      while (this.#isReading()) {
        if (!this.#isCut && this.#cutter.next()) {
          this.#handOut();
        } else if (this.#pending !== undefined) {
          this.#cutter.feed(this.#pending);
          this.#pending = undefined;
          this.#isCut = false;
        } else {
          this.#isCut = true;
          if (this.#isEnded) this.#finish();
          else this.#release();
          return;
        }
      }
    } catch (error) {
      this.fail(error instanceof Error ? error : new AssertionError('something was thrown that is no error'));
    } finally {
      this.#isPumping = false;
    }
  }

  #handOut(): void {
    if (this.#sink !== undefined) {
      this.#sink.onMessage(this.#cutter);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(true);
  }

  #finish(): void {
    const { restLength } = this.#cutter;
    if (restLength > 0) {
      // So it ends with a peer that is killed while it sends: what it sent is not wrong, and it may be asked again.
      this.#failure = new VarveError(
        'unavailable',
        'TRUNCATED_MESSAGE',
        `the connection ended ${restLength} bytes into a message`,
      );
    }
    this.#becomeOver();
  }

  #becomeOver(): void {
    this.#isOver = true;
    this.#readTimer?.cancel();
    this.#pending = undefined;
    this.#release();
    const sink = this.#sink;
    const waiting = this.#waiting;
    this.#sink = undefined;
    this.#waiting = undefined;
    if (this.#failure === undefined) waiting?.resolve(false);
    else waiting?.reject(this.#failure);
    sink?.onOver(this.#failure);
    this.#onOver(this.#failure);
  }

  #armReadTimer(delayMs: number): void {
    this.#readTimer = this.clock.setTimer(delayMs, () => {
      if (this.#isOver) return;
      const idleMs = this.clock.monotonicMs() - this.#lastReadMs;
      const timeoutMs = this.#readTimeoutMs;
      if (!this.#isReading()) this.#armReadTimer(timeoutMs);
      else if (idleMs < timeoutMs) this.#armReadTimer(timeoutMs - idleMs);
      else
        this.fail(new VarveError('unavailable', 'READ_TIMEOUT', `nothing was received for ${timeoutMs} ms`));
    });
  }
}

function connectionLost(cause: Error): VarveError {
  return new VarveError('unavailable', 'CONNECTION_LOST', 'the connection is lost', {}, cause);
}
