import { checkRequest } from '../../contracts/page-messages.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../../libpq/copy-stream.ts';
import { ProtocolError } from '../../postgres/wire/wire-error.ts';
import { Executor, type ExecutorOptions } from './executor.ts';
import { FoldingQueue } from './folding-queue.ts';
import { TimelineGoneError } from './timeline-handle.ts';

export type PageStreamOptions = Omit<ExecutorOptions, 'signal'>;

/**
 * One `pagestream`: requests for pages of one timeline, answered in their order. Reading and answering are two stages with
 * a queue between them; reading stops while the queue is full, and the end of either stage ends the other. Nothing waits
 * for the client but the stream itself.
 */
export class PageStream implements CopyReceiver {
  readonly #options: PageStreamOptions;
  readonly #queue: FoldingQueue;
  readonly #life = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  #copy: CopyStream | undefined;
  #executor: Executor | undefined;
  /** An answer is being made that has to be awaited. */
  #isBusy = false;
  #isPaused = false;
  #isTurnDue = false;
  /** The client has said that it asks for nothing more. */
  #isDone = false;
  #isEnded = false;
  #failure: unknown;

  constructor(options: PageStreamOptions) {
    this.#options = options;
    this.#queue = new FoldingQueue(options.version, options.clock);
  }

  /**
   * Serves the stream to its end.
   * @param copyBoth begins to copy, with this receiver
   * @throws TimelineGoneError; ConnectionEndError WRITE_TIMEOUT
   */
  async run(copyBoth: (receiver: CopyReceiver) => CopyStream): Promise<void> {
    const { handle } = this.#options;
    this.#copy = copyBoth(this);
    this.#executor = new Executor({ ...this.#options, signal: this.#life.signal }, this.#copy);
    handle.onShutDown = () => this.#end(new TimelineGoneError());
    if (!handle.isOpen) this.#end(new TimelineGoneError());
    await this.#over.promise;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    if (this.#isEnded) return;
    const tag = checkRequest(this.#options.version, view, offset, length);
    this.#queue.add(tag, bytes, view, offset, length);
    if (this.#queue.isReady) this.#turn();
    if (this.#queue.isBlocked) this.#hold();
    else if (!this.#isTurnDue && !this.#isBusy && !this.#queue.isEmpty) {
      // More may come in the same chunk, to be answered together.
      this.#isTurnDue = true;
      queueMicrotask(this.#onTurn);
    }
  }

  onCopyEnd(end: CopyEnd): void {
    if (end.kind === 'done') {
      this.#isDone = true;
      this.#turn();
    } else {
      if (end.kind === 'failed' && end.error instanceof ProtocolError) this.#noteViolation(end.error);
      this.#end(undefined);
    }
  }

  /** The connection ends of it, and who ends it knows of no timeline. */
  #noteViolation({ code, message }: ProtocolError): void {
    this.#options.logger.warn('A stream of pages was ended: the client keeps to no protocol', {
      code,
      error: message,
    });
  }

  readonly #onTurn = (): void => {
    this.#isTurnDue = false;
    this.#turn();
  };

  /** Answers what is queued, for as long as nothing has to be awaited. */
  #turn(): void {
    try {
      while (!this.#isBusy && !this.#isEnded) {
        const batch = this.#queue.take();
        if (batch === undefined) break;
        const work = this.#executor?.execute(batch);
        if (work === undefined) continue;
        this.#isBusy = true;
        work.then(this.#onAnswered, this.#onFailed);
      }
      if (this.#isDone && !this.#isBusy && this.#queue.isEmpty) this.#end(undefined);
      else this.#goOn();
    } catch (error) {
      this.#end(error);
    }
  }

  readonly #onAnswered = (): void => {
    this.#isBusy = false;
    if (this.#isEnded) this.#settle();
    else this.#turn();
  };

  readonly #onFailed = (error: unknown): void => {
    this.#isBusy = false;
    this.#end(error);
    this.#settle();
  };

  #hold(): void {
    if (this.#isPaused || this.#isEnded) return;
    this.#isPaused = true;
    this.#copy?.pause();
  }

  #goOn(): void {
    if (!this.#isPaused || this.#queue.isBlocked) return;
    this.#isPaused = false;
    this.#copy?.resume();
  }

  /** Ends both stages. The first reason counts. */
  #end(failure: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#failure = failure;
    this.#options.handle.onShutDown = undefined;
    this.#life.abort(failure);
    if (!this.#isBusy) this.#settle();
  }

  #settle(): void {
    if (this.#failure === undefined) this.#over.resolve();
    else this.#over.reject(this.#failure);
  }
}
