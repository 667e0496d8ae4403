import { AssertionError } from '../base/errors.ts';
import type { Files } from './files.ts';

/** What a job has of the world. */
export interface JobContext {
  readonly files: Files;
  /** Is given, at the latest, within a `step`. */
  readonly signal: AbortSignal;
  /**
   * To be awaited between pieces of work of some milliseconds: others who run in the same thread get their turn.
   * @throws VarveError ‘cancelled’ / CANCELLED if whoever asked for the job has given up
   */
  step(): Promise<void>;
}

/**
 * Heavy work that needs nothing but its input and files. Input and output are plain data that can be cloned, of any
 * size that fits in memory twice; SharedArrayBuffers in them are shared.
 */
export type Job<Input, Output> = (input: Input, context: JobContext) => Promise<Output>;

/** Jobs by name. The doors do not know which there are: whoever composes a program says it. */
// biome-ignore lint/suspicious/noExplicitAny: a job takes what it takes; JobInput and JobOutput find it out
export type JobTable = Readonly<Record<string, Job<any, any>>>;

export type JobInput<Entry> = Entry extends Job<infer Input, infer _Output> ? Input : never;
export type JobOutput<Entry> = Entry extends Job<infer _Input, infer Output> ? Output : never;

/** The door to work that would hold up the event loop. */
export interface Workers<Table extends JobTable> {
  /**
   * Does a job, as soon as a worker is free. When the signal is given, the job ends at its next `step` (or is made to
   * end, a while later), and only then does this reject: nothing of the job goes on behind the caller's back.
   *
   * @throws what the job throws, with kind, code, reason, place and causes
   * @throws VarveError ‘cancelled’ / CANCELLED, or CLOSING once `close` has been called
   * @throws VarveError ‘unavailable’ / WORKERS_BUSY if too many wait already
   * @throws VarveError ‘unavailable’ / WORKER_DIED if the worker ended before the job did. The next gets a new one
   */
  run<Name extends keyof Table & string>(
    name: Name,
    input: JobInput<Table[Name]>,
    signal: AbortSignal,
  ): Promise<JobOutput<Table[Name]>>;
  /** Lets no job in any more, cancels those that run or wait, and resolves when no worker is left. May be repeated. */
  close(): Promise<void>;
}

/** @throws AssertionError for a name that the table does not have */
export function getJob(jobs: JobTable, name: string): Job<unknown, unknown> {
  const job = Object.hasOwn(jobs, name) ? jobs[name] : undefined;
  if (job === undefined) throw new AssertionError(`there is no job ${name}`);
  return job;
}

/**
 * The URL of a module that is given as it is named in the sources, seen from the module `from` (its import.meta.url):
 * where the sources were compiled, the compiled one.
 */
export function resolveModule(name: string, from: string): URL {
  return new URL(from.endsWith('.js') ? name.replace(/\.ts$/, '.js') : name, from);
}
