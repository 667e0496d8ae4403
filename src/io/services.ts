import type { Clock } from './clock.ts';

/**
 * The door to services of our own that run beside this thread: in a thread, or in a process. None of them outlives this
 * process, however that ends.
 */
export interface RunningService<Answer> {
  /** What it said when it served. */
  readonly answer: Answer;
  /** Resolves when it has ended: with why, or with undefined where it was told to. */
  readonly ended: Promise<Error | undefined>;
  /** The start is over: it may give back memory that it does not need any more. */
  tidy(): void;
  /** Ends it in order. May be called again. @throws what its end fails of */
  close(): Promise<void>;
  /** Ends it at once. */
  kill(): Promise<void>;
}

/** What a service in a thread is given beside its options, all of the machine that it cannot have by itself. */
export interface ServiceContext {
  readonly clock: Clock;
  /** Takes a line of a log, by the name of the log. */
  writeLog(name: string, line: string): void;
}

export interface ServiceInThread<Answer> {
  readonly answer: Answer;
  close(): Promise<void>;
}

/**
 * What a module for a thread exports as `startService`. Options and answer are plain data that can be cloned.
 */
export type StartService<Options, Answer> = (
  options: Options,
  context: ServiceContext,
) => Promise<ServiceInThread<Answer>>;
