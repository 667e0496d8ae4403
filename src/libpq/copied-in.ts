import { VarveError } from '../base/errors.ts';
import { cancelledError } from '../io/cancelled.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from './copy-stream.ts';

/** While more than so much is not taken yet, the other side is held back. */
const WAITING_BYTES_MAX: number = 256 * 1024;

/** What the other side copies, waiting to be taken. */
class CopiedIn implements CopyReceiver {
  readonly #copy: CopyStream;
  readonly #chunks: Uint8Array[] = [];
  #waitingBytes = 0;
  #end: CopyEnd | undefined;
  #wake: () => void = () => undefined;

  constructor(begin: (receiver: CopyReceiver) => CopyStream) {
    this.#copy = begin(this);
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number): void {
    this.#chunks.push(bytes.slice(offset, offset + length));
    this.#waitingBytes += length;
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.#copy.pause();
    this.#wake();
  }

  onCopyEnd(end: CopyEnd): void {
    this.#end = end;
    this.#wake();
  }

  /** undefined at the end of it. */
  async next(signal: AbortSignal): Promise<Uint8Array | undefined> {
    for (;;) {
      if (signal.aborted) throw cancelledError(signal);
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#waitingBytes -= chunk.length;
        if (this.#chunks.length === 0) this.#copy.resume();
        return chunk;
      }
      if (this.#end !== undefined) return endOf(this.#end);
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = (): void => resolve();
      this.#wake = wake;
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      signal.removeEventListener('abort', wake);
    }
  }
}

/**
 * Begins to copy, and gives what the other side copies, piece by piece, until it says CopyDone. Not more than about a
 * quarter of a megabyte waits to be taken.
 * @throws VarveError ‘cancelled’ when the signal is given, or the other side has left; what the copy failed of
 */
export async function* copiedIn(
  begin: (receiver: CopyReceiver) => CopyStream,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const copied = new CopiedIn(begin);
  for (;;) {
    const chunk = await copied.next(signal);
    if (chunk === undefined) return;
    yield chunk;
  }
}

function endOf(end: CopyEnd): undefined {
  if (end.kind === 'failed') throw end.error;
  if (end.kind === 'closed') {
    throw new VarveError(
      'cancelled',
      'CLIENT_LEFT',
      'the other side has left before the end of what it copies',
    );
  }
}
