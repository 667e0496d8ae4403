import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { fromTransferredError } from '../../base/error-transfer.ts';
import { VarveError } from '../../base/errors.ts';
import { Admission } from '../admission.ts';
import { cancelledError, throwIfCancelled } from '../cancelled.ts';
import { type JobInput, type JobOutput, type JobTable, resolveModule, type Workers } from '../workers.ts';
import { nodeClock } from './clock.ts';
import type { JobReply, JobRequest, WorkerSetup } from './worker-protocol.ts';

export interface WorkersOptions extends WorkerSetup {
  /** Threads at most. They start when they are needed. */
  readonly threadsMax?: number;
  /** Jobs that may wait for a thread. */
  readonly waitingMax?: number;
  /** A thread that had nothing to do for so long ends. */
  readonly idleTimeoutMs?: number;
  /** A cancelled job that has not ended by itself after so long is ended with its thread. */
  readonly graceMs?: number;
}

/** One core is left to whoever asks for the jobs. */
const threadsByDefault = (): number => Math.min(4, Math.max(1, availableParallelism() - 1));

/** The real side of the workers door: threads, kept by Piscina. */
export class NodeWorkers<Table extends JobTable> implements Workers<Table> {
  readonly #pool: Piscina<JobRequest, JobReply>;
  readonly #admission: Admission;
  readonly #graceMs: number;
  /** Ends the jobs that are under way, by their pool's failure. */
  readonly #failing = new Set<(error: Error) => void>();
  #closed: Promise<void> | undefined;

  constructor({ jobsModule, filesEngine, ...options }: WorkersOptions) {
    const threadsMax = options.threadsMax ?? threadsByDefault();
    this.#graceMs = options.graceMs ?? 5000;
    this.#admission = new Admission({ runningMax: threadsMax, waitingMax: options.waitingMax ?? 256 });
    this.#pool = new Piscina({
      filename: resolveModule('./worker-entry.ts', import.meta.url).href,
      name: 'runJob',
      minThreads: 0,
      maxThreads: threadsMax,
      idleTimeout: options.idleTimeoutMs ?? 10_000,
      // Else a thread waits where its own event loop cannot go on, and with it what a job left to be closed.
      atomics: 'disabled',
      recordTiming: false,
      workerData: { jobsModule, filesEngine } satisfies WorkerSetup,
    });
    // A thread that fails while it has no job has nobody else to say it to: one that could not even start.
    this.#pool.on('error', (error: Error) => {
      for (const fail of this.#failing) fail(error);
    });
  }

  /** Threads that there are now. */
  get threads(): number {
    return this.#pool.threads.length;
  }

  async run<Name extends keyof Table & string>(
    name: Name,
    input: JobInput<Table[Name]>,
    signal: AbortSignal,
  ): Promise<JobOutput<Table[Name]>> {
    const reply = await this.#admission.run(signal, (either) => this.#runOne(name, input, either));
    if (!reply.isDone) throw fromTransferredError(reply.error);
    return reply.output as JobOutput<Table[Name]>;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#admission.close();
    await this.#pool.destroy();
  }

  async #runOne(name: string, input: unknown, signal: AbortSignal): Promise<JobReply> {
    throwIfCancelled(signal);
    const isCancelled = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const ending = new AbortController();
    let ended: Promise<unknown> | undefined;
    let failure: unknown;
    const end = (reason?: unknown): void => {
      failure ??= reason;
      ended ??= this.#endThreadOf(ending);
    };
    let grace: { cancel(): void } | undefined;
    const cancel = (): void => {
      Atomics.store(new Int32Array(isCancelled), 0, 1);
      grace = nodeClock.setTimer(this.#graceMs, end);
    };
    signal.addEventListener('abort', cancel, { once: true });
    this.#failing.add(end);
    try {
      return await this.#pool.run({ name, input, isCancelled }, { signal: ending.signal });
    } catch (error) {
      await ended;
      if (signal.aborted) throw cancelledError(signal);
      throw describeFailure(name, failure ?? error);
    } finally {
      this.#failing.delete(end);
      grace?.cancel();
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Resolves when the thread is gone. */
  async #endThreadOf(ending: AbortController): Promise<void> {
    const before: Worker[] = this.#pool.threads;
    ending.abort();
    const left = new Set(this.#pool.threads);
    await Promise.all(before.filter((thread) => !left.has(thread)).map((thread) => thread.terminate()));
  }
}

/** What a thread fails of, other than what its job throws. */
function describeFailure(name: string, error: unknown): Error {
  // Input that is no plain data: a bug of the caller's, which did not even reach the thread.
  if (error instanceof Error && error.name === 'DataCloneError') return error;
  return new VarveError('unavailable', 'WORKER_DIED', `the worker of a job ${name} ended early`, {}, error);
}
