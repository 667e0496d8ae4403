import type { VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { type PageProtocolVersion, REQUEST_GET_PAGE } from '../../contracts/page-messages.ts';
import type { Clock } from '../../io/clock.ts';
import type { CopyStream } from '../../libpq/copy-stream.ts';
import { drainedWithin } from '../../libpq/server/drained-within.ts';
import type { Logger } from '../../observe/log.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { answerOther } from './other-requests.ts';
import type { PageBatch } from './page-batch.ts';
import { PageReading, refuseToAnswer } from './page-reading.ts';
import type { PageServiceMetrics } from './page-service-metrics.ts';
import { errorResponse, type ResponseBuffer, type ResponseBuffers } from './response-buffers.ts';
import type { TimelineHandle } from './timeline-handle.ts';

/** With more unsent than this, nothing is read for a client. A batch's answers may come on top. */
const UNSENT_BYTES_MAX = 512 * 1024;

export interface ExecutorOptions {
  readonly version: PageProtocolVersion;
  readonly handle: TimelineHandle;
  readonly buffers: ResponseBuffers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PageServiceMetrics;
  /** So long a client may take nothing of what it has asked for. */
  readonly stallTimeoutMs: number;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/**
 * Answers batches, one after another. It is in the timeline's gate while it reads, and never while it waits for the
 * client or sends.
 */
export class Executor {
  readonly #options: ExecutorOptions;
  readonly #context: ReadContext;
  readonly #reading: PageReading;
  readonly #copy: CopyStream;
  #errors = 0;

  constructor(options: ExecutorOptions, copy: CopyStream) {
    this.#options = options;
    this.#copy = copy;
    this.#context = { task: 'page-request', signal: options.signal };
    this.#reading = new PageReading(options.version, this.#context, (error, lsn) =>
      this.#noteError(error, lsn),
    );
  }

  /**
   * Answers a batch. Returns nothing where that is done: all was in memory, and the client takes its answers. Else the
   * next batch may come when the promise resolves.
   * @throws TimelineGoneError; VarveError ‘cancelled’; ConnectionEndError WRITE_TIMEOUT; the same as rejections
   */
  execute(batch: PageBatch): Promise<void> | undefined {
    this.#options.metrics.noteStarted(batch.tag, batch.count);
    if (this.#copy.unsentBytes > UNSENT_BYTES_MAX) return this.#executeAfterDrain(batch);
    return batch.tag === REQUEST_GET_PAGE ? this.#answerPages(batch) : this.#answerOther(batch);
  }

  async #executeAfterDrain(batch: PageBatch): Promise<void> {
    const { clock, stallTimeoutMs, signal } = this.#options;
    await drainedWithin(this.#copy, UNSENT_BYTES_MAX, stallTimeoutMs, clock, signal);
    await (batch.tag === REQUEST_GET_PAGE ? this.#answerPages(batch) : this.#answerOther(batch));
  }

  #answerPages(batch: PageBatch): Promise<void> | undefined {
    const { buffers, metrics, version } = this.#options;
    metrics.batchSizes.observe(batch.count);
    const buffer = buffers.take(version, batch.count);
    const end = this.#readNow(batch, buffer, 0);
    if (end < batch.count || this.#reading.isMissing) return this.#answerPagesSlowly(batch, buffer, end);
    this.#send(batch, buffer, 0, end);
    return undefined;
  }

  /** Returns up to which request. */
  #readNow(batch: PageBatch, buffer: ResponseBuffer, from: number): number {
    const { handle } = this.#options;
    const pass = handle.enter();
    try {
      return this.#reading.readNow(handle.active, batch, buffer, from);
    } finally {
      pass.leave();
    }
  }

  /** What was asked for before something that has to be waited for is sent before. */
  async #answerPagesSlowly(batch: PageBatch, buffer: ResponseBuffer, readTo: number): Promise<void> {
    const { handle } = this.#options;
    let from = 0;
    let end = readTo;
    for (;;) {
      if (this.#reading.isMissing) await this.#reading.readMissing(handle.active, batch, buffer);
      if (end > from) this.#send(batch, buffer, from, end);
      if (end === batch.count) return;
      from = end;
      const isThere = await this.#reading.waitFor(handle.active, batch, buffer, from);
      end = this.#readNow(batch, buffer, isThere ? from : from + 1);
    }
  }

  async #answerOther(batch: PageBatch): Promise<void> {
    const { handle } = this.#options;
    let message: Uint8Array;
    try {
      message = await answerOther(handle.active, batch, this.#context);
    } catch (error) {
      const reason = refuseToAnswer(error);
      this.#noteError(reason, reason.place.lsn);
      message = errorResponse(batch, reason.message);
    }
    this.#copy.sendMessages(message);
    this.#noteAnswered(batch);
  }

  /** Nobody is in the timeline's gate any more: the client may take its time. */
  #send(batch: PageBatch, buffer: ResponseBuffer, from: number, to: number): void {
    const isLast = to === batch.count;
    const { buffers } = this.#options;
    const messages = buffer.join(from, to);
    if (!isLast) this.#copy.sendMessages(messages);
    else {
      this.#copy.sendMessages(messages, () => buffers.give(buffer));
      this.#noteAnswered(batch);
    }
  }

  #noteAnswered(batch: PageBatch): void {
    const { clock, metrics } = this.#options;
    metrics.noteAnswered(batch.tag, (clock.monotonicMs() - batch.startMs) / 1000);
  }

  /** A stream of errors makes a line when there are twice as many as at the last one. */
  #noteError(error: VarveError, lsn: number | undefined): void {
    const count = ++this.#errors;
    if ((count & (count - 1)) !== 0) return;
    this.#options.logger.warn('A request for pages was refused', {
      ...(lsn === undefined ? {} : { lsn: formatLsn(lsn) }),
      code: error.code,
      error: error.message,
      errorsOfStream: count,
    });
  }
}
