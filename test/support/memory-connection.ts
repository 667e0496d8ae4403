import type { Clock, Timer } from '../../src/io/clock.ts';
import type { Connection, Receiver } from '../../src/io/sockets.ts';

/** Runs after everything that is ready: each event of a connection has a turn of its own, as with real sockets. */
const later = (callback: () => void): void => void setImmediate(callback);

/** One end of a connection within this process, as the sockets door describes it, without TLS and without delay. */
export class MemoryConnection implements Connection {
  readonly peer: string;
  isClosed = false;
  unsentBytes = 0;
  #other: MemoryConnection | undefined;
  #receiver: Receiver | undefined;
  #isPaused = false;
  #isTurnDue = false;
  #isEndSent = false;
  #isEndTold = false;
  #isClosedTold = false;
  #error: Error | undefined;
  readonly #incoming: { chunk: Uint8Array; sent: (() => void) | undefined }[] = [];
  #isEndDue = false;
  #drainWaiters: { limitBytes: number; resolve: () => void }[] = [];

  private constructor(peer: string) {
    this.peer = peer;
  }

  static pair(): [MemoryConnection, MemoryConnection] {
    const left = new MemoryConnection('right');
    const right = new MemoryConnection('left');
    left.#other = right;
    right.#other = left;
    return [left, right];
  }

  receive(receiver: Receiver): void {
    this.#receiver = receiver;
    this.#scheduleTurn();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#scheduleTurn();
  }

  send(bytes: Uint8Array, sent?: () => void): void {
    if (this.isClosed) return;
    if (this.#isEndSent) throw new Error('something is sent after the end');
    const other = this.#other as MemoryConnection;
    if (other.isClosed) {
      this.lose(new Error('reset'));
      return;
    }
    this.unsentBytes += bytes.length;
    other.#incoming.push({ chunk: bytes, sent });
    other.#scheduleTurn();
  }

  async drained(limitBytes: number): Promise<void> {
    if (this.unsentBytes <= limitBytes || this.isClosed) return;
    await new Promise<void>((resolve) => this.#drainWaiters.push({ limitBytes, resolve }));
  }

  end(): void {
    if (this.#isEndSent || this.isClosed) return;
    this.#isEndSent = true;
    const other = this.#other as MemoryConnection;
    other.#isEndDue = true;
    other.#scheduleTurn();
    this.#scheduleTurn();
  }

  close(): void {
    if (this.isClosed) return;
    this.lose(undefined);
    (this.#other as MemoryConnection).lose(this.#isEndSent ? undefined : new Error('reset'));
  }

  /** The connection breaks, for this end. */
  lose(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#error = error;
    this.unsentBytes = 0;
    this.#wakeDrainWaiters();
    this.#scheduleTurn();
  }

  secureAsServer(): Promise<void> {
    return Promise.reject(new Error('there is no TLS within memory'));
  }

  secureAsClient(): Promise<void> {
    return Promise.reject(new Error('there is no TLS within memory'));
  }

  #scheduleTurn(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    later(() => {
      this.#isTurnDue = false;
      this.#turn();
    });
  }

  /** One event for the receiver, and another turn if there may be more. */
  #turn(): void {
    const receiver = this.#receiver;
    if (receiver === undefined || this.#isClosedTold) return;
    const other = this.#other as MemoryConnection;
    if (this.isClosed) {
      this.#isClosedTold = true;
      receiver.onClosed(this.#error);
    } else if (this.#isPaused) {
      return;
    } else if (this.#incoming.length > 0) {
      const { chunk, sent } = this.#incoming.shift() as { chunk: Uint8Array; sent: (() => void) | undefined };
      other.unsentBytes = Math.max(0, other.unsentBytes - chunk.length);
      receiver.onBytes(chunk.slice());
      sent?.();
      other.#wakeDrainWaiters();
      this.#scheduleTurn();
    } else if (this.#isEndDue && !this.#isEndTold) {
      this.#isEndTold = true;
      receiver.onEnd();
      this.#scheduleTurn();
    } else if (this.#isEndTold && this.#isEndSent) {
      this.isClosed = true;
      this.#scheduleTurn();
    }
  }

  #wakeDrainWaiters(): void {
    const ready = this.#drainWaiters.filter(
      ({ limitBytes }) => this.unsentBytes <= limitBytes || this.isClosed,
    );
    this.#drainWaiters = this.#drainWaiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }
}

/** A clock that stands still until it is told otherwise. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ dueMs: number; callback: () => void }>();

  /** Timers that have been set and neither called nor cancelled. */
  get timerCount(): number {
    return this.#timers.size;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  yieldToOthers(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets time pass, and calls what is due in its order. */
  advance(milliseconds: number): void {
    const endMs = this.#nowMs + milliseconds;
    for (;;) {
      const [next] = [...this.#timers]
        .filter(({ dueMs }) => dueMs <= endMs)
        .sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = endMs;
  }
}
