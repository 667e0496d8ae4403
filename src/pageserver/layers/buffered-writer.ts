import { AssertionError, VarveError } from '../../base/errors.ts';
import type { Pass } from '../../base/gate.ts';
import { cancelledError } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import type { UpdatableFile } from '../../io/files.ts';
import { pause, type RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import { copyBytes, type FixedBuffer, giveBuffer, takeBuffer } from './fixed-buffer.ts';

/** What the cap is a multiple of: a whole write suits every disk. */
export const WRITE_UNIT_BYTES = 4096;

/** Where a test may hold a write. In production there are none, and nothing is called. */
export interface FlushControl {
  /** Before each attempt. */
  beforeWrite(position: number, lengthBytes: number): Promise<void>;
  /** When the bytes are in the file, and the writer has not taken notice of it. */
  afterWrite(position: number, lengthBytes: number): Promise<void>;
}

export interface BufferedWriterOptions {
  /** Empty. The writer alone writes to it until `finish`; closing it stays with the caller. */
  readonly file: UpdatableFile;
  /** Size of one write: a multiple of WRITE_UNIT_BYTES. */
  readonly capBytes: number;
  /** The timeline's cancellation. */
  readonly signal: AbortSignal;
  /** In the timeline's gate. The writer leaves it when no write is under way and none will be. */
  readonly pass: Pass;
  readonly clock: Clock;
  readonly retryDelay: RetryDelay;
  /** With the tenant and the timeline in its fields. */
  readonly log: Logger;
  readonly control?: FlushControl;
}

/**
 * Appends to a file in writes of one size, and lets read what it has accepted from that moment on.
 *
 * Two buffers: one is being filled while the other is written; when both are full, writing waits. So the accepted bytes
 * are in three places, one behind the other: in the file, in the buffer in flight, in the buffer being filled. There is
 * no other buffer before one has been full.
 *
 * A write that fails is done again until it succeeds or the timeline is cancelled: whoever wrote has let go of the
 * bytes, and could do nothing better. Cancellation is therefore the only error there is, VarveError ‘cancelled’ /
 * CANCELLED, and it is final: nothing more is written, as what is in the file behind the last success is unknown. Reading
 * goes on, from the buffers as well. One caller writes at a time; any number may read.
 *
 * Nothing is synced. A bug in a file's implementation is not retried: it is raised by the run time.
 */
export class BufferedWriter {
  readonly file: UpdatableFile;
  readonly capBytes: number;
  readonly #options: BufferedWriterOptions;
  #filling: FixedBuffer | undefined;
  /** The other buffer: while it is written it is in flight, else it is clean. */
  #other: FixedBuffer | undefined;
  #isInFlight = false;
  #isFinished = false;
  /** The signal was given. It is asked for with every small write, and the signal itself is slow to ask. */
  #isCancelled = false;
  #isWriting = false;
  /** All below is in the file; always a multiple of the cap until `finish`. */
  #fileBytes = 0;
  /** The part of the buffer being filled that `flush` has brought into the file, as a position in the file. */
  #tailEnd = 0;
  /** How far somebody wants the file to reach. */
  #wantedEnd = 0;
  #isFlushing = false;
  #waiters: (() => void)[] = [];

  constructor(options: BufferedWriterOptions) {
    const { capBytes, signal } = options;
    if (capBytes <= 0 || capBytes % WRITE_UNIT_BYTES !== 0) {
      throw new AssertionError(`a cap of ${capBytes} bytes is no multiple of ${WRITE_UNIT_BYTES}`);
    }
    this.file = options.file;
    this.capBytes = capBytes;
    this.#options = options;
    this.#filling = takeBuffer(capBytes);
    signal.addEventListener('abort', this.#onCancel);
    if (signal.aborted) this.#onCancel();
  }

  /** How much was accepted: the file's length in the end. */
  get lengthBytes(): number {
    return this.bytesSubmitted + (this.#filling?.lengthBytes ?? 0);
  }

  /** How much was given to be written, in whole buffers. It says nothing about being in the file, or durable. */
  get bytesSubmitted(): number {
    return this.#fileBytes + (this.#isInFlight ? this.capBytes : 0);
  }

  /** Below this all is in the file; from here to `lengthBytes` all is in memory. It only grows. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  /**
   * Appends `source[start, end)` if there is room for all of it now. Returns the position of its first byte, or -1:
   * then `write` does it.
   * @throws VarveError ‘cancelled’
   */
  tryWrite(source: Uint8Array, start: number, end: number): number {
    const filling = this.#getFilling();
    if (this.#isWriting) return -1;
    const roomBytes = filling.roomBytes + (this.#isInFlight ? 0 : this.capBytes);
    if (end - start > roomBytes) return -1;
    const position = this.lengthBytes;
    this.#accept(source, start, end);
    return position;
  }

  /**
   * Appends `source[start, end)`, as soon as there is room. Returns the position of its first byte.
   * @throws VarveError ‘cancelled’: then nobody knows how much of it was accepted
   */
  async write(source: Uint8Array, start: number, end: number): Promise<number> {
    this.#getFilling();
    if (this.#isWriting) throw new AssertionError('two write at once', { file: this.file.path });
    const position = this.lengthBytes;
    let at = this.#accept(source, start, end);
    if (at === end) return position;
    this.#isWriting = true;
    try {
      while (at < end) {
        await this.#nextProgress();
        this.#getFilling();
        at = this.#accept(source, at, end);
      }
    } finally {
      this.#isWriting = false;
    }
    return position;
  }

  /**
   * Copies what is in memory of the range into `target` at `start`: all of it from `fileBytes` on. Returns how many
   * bytes there were: fewer than `length` only where the accepted bytes end before. What lies before `fileBytes` is not
   * here, and asking for it is a bug.
   */
  readMemory(target: Uint8Array, start: number, length: number, position: number): number {
    if (position < this.#fileBytes) {
      throw new AssertionError('what is read from memory is in the file', {
        file: this.file.path,
        offset: position,
      });
    }
    const flightEnd = this.bytesSubmitted;
    const end = Math.min(position + length, this.lengthBytes);
    let done = 0;
    if (position < flightEnd && position < end) {
      done = Math.min(end, flightEnd) - position;
      copyBytes(getBuffer(this.#other).bytes, position - this.#fileBytes, done, target, start);
    }
    const from = position + done;
    if (from >= end) return done;
    copyBytes(getBuffer(this.#filling).bytes, from - flightEnd, end - from, target, start + done);
    return end - position;
  }

  /**
   * Reads from the file and from memory. Returns how many bytes there were: fewer than `length` only where the accepted
   * bytes end before; or -1, if the file cannot be read without waiting.
   * @throws what the file fails of
   */
  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    if (position >= this.#fileBytes) return this.readMemory(target, start, length, position);
    const inFileBytes = Math.min(length, this.#fileBytes - position);
    const count = this.file.readNow(target, start, inFileBytes, position);
    if (count === -1) return -1;
    this.#assertRead(count, inFileBytes, position);
    if (count === length) return count;
    return count + this.readMemory(target, start + count, length - count, position + count);
  }

  /** As `readNow`, without holding up the event loop. It reads what had been accepted before the call. */
  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    if (position >= this.#fileBytes) return this.readMemory(target, start, length, position);
    const inFileBytes = Math.min(length, this.#fileBytes - position);
    // Memory first: while the file is read, what is in memory moves on. What is in the file stays there.
    const restBytes = length - inFileBytes;
    const inMemoryBytes =
      restBytes === 0 ? 0 : this.readMemory(target, start + inFileBytes, restBytes, this.#fileBytes);
    const count = await this.file.read(target, start, inFileBytes, position);
    this.#assertRead(count, inFileBytes, position);
    return count + inMemoryBytes;
  }

  /**
   * On return all that had been accepted before the call is in the file, not synced.
   * @throws VarveError ‘cancelled’
   */
  async flush(): Promise<void> {
    this.#getFilling();
    const end = this.lengthBytes;
    this.#wantedEnd = end;
    this.#startFlushing();
    while (this.#writtenEnd < end) await this.#nextProgress();
  }

  /**
   * Brings all into the file, not synced, and ends the writer: its memory is let go, and the timeline's gate left. The
   * file may be read on through the writer. Returns the file's length. Without this call the tail is never written.
   * @throws VarveError ‘cancelled’
   */
  async finish(): Promise<number> {
    if (this.#isWriting) throw new AssertionError('finished within a write', { file: this.file.path });
    await this.flush();
    const { signal, pass } = this.#options;
    const lengthBytes = this.lengthBytes;
    if (lengthBytes !== this.#writtenEnd) throw new AssertionError('written to while it was finished');
    this.#fileBytes = lengthBytes;
    for (const buffer of [this.#filling, this.#other]) if (buffer !== undefined) giveBuffer(buffer);
    this.#filling = undefined;
    this.#other = undefined;
    this.#isFinished = true;
    signal.removeEventListener('abort', this.#onCancel);
    pass.leave();
    return lengthBytes;
  }

  get #writtenEnd(): number {
    return Math.max(this.#fileBytes, this.#tailEnd);
  }

  /** Takes as much as there is room for. Returns the index behind it. */
  #accept(source: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      const filling = getBuffer(this.#filling);
      if (filling.roomBytes === 0) break;
      const pieceEnd = Math.min(end, at + filling.roomBytes);
      filling.append(source, at, pieceEnd);
      at = pieceEnd;
      if (filling.roomBytes === 0) this.#submit();
    }
    return at;
  }

  /** Exchanges the buffers if the one is full and the other clean: readers see all of it in the same moment. */
  #submit(): void {
    const full = getBuffer(this.#filling);
    if (full.roomBytes > 0 || this.#isInFlight) return;
    this.#filling = this.#other ?? takeBuffer(this.capBytes);
    this.#other = full;
    this.#isInFlight = true;
    this.#startFlushing();
  }

  #startFlushing(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    void this.#flushLoop();
  }

  /** Writes one after another until there is nothing to write. */
  async #flushLoop(): Promise<void> {
    while (this.#isInFlight || this.#writtenEnd < this.#wantedEnd) {
      const position = this.#fileBytes;
      const isWhole = this.#isInFlight;
      // A part of the buffer that is being filled will be written again with the whole of it, so that every whole write
      // begins at a multiple of the cap. Bytes may be added to it meanwhile, behind the part.
      const buffer = getBuffer(isWhole ? this.#other : this.#filling);
      const { lengthBytes } = buffer;
      if (!(await this.#writeUntilDone(buffer.bytes, lengthBytes, position))) break;
      if (isWhole) {
        this.#fileBytes += lengthBytes;
        buffer.clear();
        this.#isInFlight = false;
        this.#submit();
      } else {
        this.#tailEnd = position + lengthBytes;
      }
      this.#tellWaiters();
    }
    this.#isFlushing = false;
    if (this.#options.signal.aborted) this.#onCancel();
  }

  /** Returns false when it was cancelled before it succeeded. A write that is under way is awaited all the same. */
  async #writeUntilDone(bytes: Uint8Array, lengthBytes: number, position: number): Promise<boolean> {
    const { signal, control, clock, retryDelay, log } = this.#options;
    for (let attempt = 1; ; attempt++) {
      if (control !== undefined) await control.beforeWrite(position, lengthBytes);
      if (signal.aborted) return false;
      try {
        await this.file.write(bytes, 0, lengthBytes, position);
        if (control !== undefined) await control.afterWrite(position, lengthBytes);
        const fields = { file: this.file.path, position, attempt };
        if (attempt > 1) log.info('a write to a layer file succeeded after retries', fields);
        retryDelay.reset();
        return true;
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        const delayMs = retryDelay.nextMs();
        const fields = { file: this.file.path, position, attempt, delayMs, error: error.message };
        log.warn('a write to a layer file failed, and is retried', fields);
        await pause(clock, delayMs, signal);
      }
    }
  }

  readonly #onCancel = (): void => {
    this.#isCancelled = true;
    this.#tellWaiters();
    if (!this.#isFlushing) this.#options.pass.leave();
  };

  #nextProgress(): Promise<void> {
    const { signal } = this.#options;
    if (signal.aborted) return Promise.reject(cancelledError(signal));
    return new Promise((resolve, reject) => {
      this.#waiters.push(() => {
        if (signal.aborted) reject(cancelledError(signal));
        else resolve();
      });
    });
  }

  #tellWaiters(): void {
    if (this.#waiters.length > 0) for (const tell of this.#waiters.splice(0)) tell();
  }

  /** @throws VarveError ‘cancelled’ */
  #getFilling(): FixedBuffer {
    if (this.#isFinished) throw new AssertionError('a finished writer is used', { file: this.file.path });
    if (this.#isCancelled) throw cancelledError(this.#options.signal);
    return getBuffer(this.#filling);
  }

  #assertRead(count: number, length: number, position: number): void {
    if (count === length) return;
    throw new VarveError('unavailable', 'FILE_IO', 'the file is shorter than what was written to it', {
      file: this.file.path,
      offset: position + count,
    });
  }
}

function getBuffer(buffer: FixedBuffer | undefined): FixedBuffer {
  if (buffer === undefined) throw new AssertionError('a buffer of a finished writer is used');
  return buffer;
}
