import type { Socket } from 'node:net';
import { AssertionError, VarveError } from '../../base/errors.ts';
import type { Connection, Receiver, ServerIdentity, ServerTrust } from '../sockets.ts';
import { toConnectionError } from './network-errors.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import { type SecureChannel, startAsClient, startAsServer } from './secure-channel.ts';

interface DrainWaiter {
  readonly limitBytes: number;
  readonly resolve: () => void;
}

/**
 * A connection over a socket of Node.js. Its events come from the event loop or from the queue of next ticks, so
 * that no receiver is ever called within a call to the connection.
 *
 * The first bytes that are sent in a turn of the event loop go to the kernel at once; what is sent after them in the
 * same turn is gathered, and goes out as one writev at the turn's end.
 */
export class NodeConnection implements Connection {
  readonly peer: string;
  #socket: Socket;
  #receiver: Receiver | undefined;
  #isPaused = false;
  #isSecuring = false;
  #isFlowing = false;
  /** Bytes come through a ReceiveBuffer, not as events. */
  #isBuffered: boolean;
  #isGathering = false;
  #hasSentEnd = false;
  /** Whether the other side has ended, and whether a receiver has been told. */
  #received: 'more' | 'end' | 'end-told' = 'more';
  #isClosedHere = false;
  #isGone = false;
  #error: VarveError | undefined;
  #drainWaiters: DrainWaiter[] = [];

  /**
   * @param socket connected, half-open allowed, without a listener of anybody else
   * @param buffer what the socket reads into, if it was made with that; it is read nothing yet
   */
  constructor(socket: Socket, peer: string, buffer?: ReceiveBuffer) {
    this.#socket = socket;
    this.peer = peer;
    this.#isBuffered = buffer !== undefined;
    if (buffer !== undefined) buffer.take = this.#onChunk;
    this.#attach();
  }

  get unsentBytes(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  get isClosed(): boolean {
    return this.#isGone || this.#socket.destroyed;
  }

  receive(receiver: Receiver): void {
    const isOther = receiver !== this.#receiver;
    this.#receiver = receiver;
    if (this.#isGone) {
      if (isOther) process.nextTick(this.#tellClosed);
      return;
    }
    this.#flow();
  }

  pause(): void {
    this.#isPaused = true;
    if (!this.#isSecuring) this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#flow();
  }

  send(bytes: Uint8Array, sent?: () => void): void {
    if (this.isClosed) return;
    if (this.#hasSentEnd) throw new AssertionError(`${this.peer}: something is sent after the end`);
    this.#socket.write(bytes, sent === undefined ? this.#onWritten : this.#onWrittenThen(sent));
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#socket.cork();
    process.nextTick(this.#stopGathering);
  }

  drained(limitBytes: number): Promise<void> {
    if (this.unsentBytes <= limitBytes) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drainWaiters.push({ limitBytes, resolve });
    });
  }

  end(): void {
    if (this.#hasSentEnd || this.isClosed) return;
    this.#hasSentEnd = true;
    this.#socket.end();
  }

  close(): void {
    if (this.isClosed) return;
    this.#isClosedHere = true;
    this.#socket.destroy();
  }

  async secureAsServer(identity: ServerIdentity, received?: Uint8Array): Promise<void> {
    await this.#secure((socket) => startAsServer(socket, identity), received);
  }

  async secureAsClient(trust: ServerTrust): Promise<void> {
    await this.#secure((socket) => startAsClient(socket, trust));
  }

  #attach(): void {
    this.#socket.on('error', this.#onError);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('close', this.#onClose);
  }

  #detach(): void {
    this.#socket.off('error', this.#onError);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onClose);
    this.#socket.off('data', this.#onData);
    this.#isFlowing = false;
  }

  /** Lets bytes come if there is somebody who wants them. */
  #flow(): void {
    if (this.#receiver === undefined || this.#isPaused || this.#isSecuring || this.isClosed) return;
    if (!this.#isFlowing) {
      this.#isFlowing = true;
      if (!this.#isBuffered) this.#socket.on('data', this.#onData);
    }
    this.#socket.resume();
    if (this.#received === 'end') process.nextTick(this.#tellEnd);
  }

  /** Each chunk is memory of its own, which nobody else uses; a plain array, for a Buffer's `slice` would share it. */
  readonly #onData = (chunk: Buffer): void => {
    this.#receiver?.onBytes(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  };

  readonly #onChunk = (chunk: Uint8Array): boolean => {
    const receiver = this.#receiver;
    receiver?.onBytes(chunk);
    return receiver?.isChunkFree === true;
  };

  readonly #onEnd = (): void => {
    this.#received = 'end';
    this.#tellEnd();
  };

  readonly #tellEnd = (): void => {
    if (this.#received !== 'end' || this.#receiver === undefined || this.#isPaused || this.isClosed) return;
    this.#received = 'end-told';
    this.#receiver.onEnd();
  };

  readonly #onError = (error: Error): void => {
    if (!this.#isClosedHere) this.#error ??= toConnectionError(this.peer, error);
  };

  readonly #onClose = (): void => {
    this.#isGone = true;
    this.#detach();
    this.#settleDrainWaiters();
    this.#tellClosed();
  };

  readonly #tellClosed = (): void => {
    this.#receiver?.onClosed(this.#error);
  };

  readonly #stopGathering = (): void => {
    this.#isGathering = false;
    this.#socket.uncork();
  };

  /** A failed write needs no word here: the socket has an error event as well. */
  readonly #onWritten = (): void => {
    if (this.#drainWaiters.length > 0) this.#settleDrainWaiters();
  };

  #onWrittenThen(sent: () => void): (error?: Error | null) => void {
    return (error) => {
      if (!error && !this.#isClosedHere) sent();
      this.#onWritten();
    };
  }

  #settleDrainWaiters(): void {
    const unsentBytes = this.unsentBytes;
    const waiters = this.#drainWaiters;
    this.#drainWaiters = waiters.filter(({ limitBytes }) => limitBytes < unsentBytes);
    for (const { limitBytes, resolve } of waiters) if (limitBytes >= unsentBytes) resolve();
  }

  async #secure(start: (socket: Socket) => SecureChannel, received?: Uint8Array): Promise<void> {
    if (this.#isSecuring) throw new AssertionError(`${this.peer}: the channel is made secure twice`);
    this.#isSecuring = true;
    try {
      const plain = this.#socket;
      plain.pause();
      // What has been received goes back, as a copy: the chunk is the receiver's.
      if (received !== undefined && received.length > 0 && !this.isClosed) plain.unshift(received.slice());
      await this.drained(0);
      if (this.isClosed || this.#received !== 'more') throw this.#lostWhileSecuring();
      this.#detach();
      const channel = this.#start(start, plain);
      await this.#becomeReady(channel);
    } catch (error) {
      const failure = this.#error ?? toConnectionError(this.peer, error);
      if (!this.#isClosedHere) this.#error = failure;
      this.#socket.destroy();
      throw failure;
    } finally {
      this.#isSecuring = false;
    }
    this.#flow();
  }

  #start(start: (socket: Socket) => SecureChannel, plain: Socket): SecureChannel {
    try {
      const channel = start(plain);
      this.#socket = channel.socket;
      this.#isBuffered = false;
      plain.on('error', (error) => channel.socket.destroy(error));
      return channel;
    } finally {
      this.#attach();
    }
  }

  #becomeReady({ socket, readyEvent }: SecureChannel): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        socket.off(readyEvent, onReady);
        socket.off('end', onLost);
        socket.off('close', onLost);
      };
      const onReady = (): void => {
        settle();
        resolve();
      };
      const onLost = (): void => {
        settle();
        reject(this.#error ?? this.#lostWhileSecuring());
      };
      socket.on(readyEvent, onReady);
      socket.on('end', onLost);
      socket.on('close', onLost);
    });
  }

  #lostWhileSecuring(): VarveError {
    const reason = `${this.peer}: the connection has ended before it was secure`;
    return new VarveError('unavailable', 'CONNECTION_LOST', reason);
  }
}
