import type { Files } from '../io/files.ts';

/** What a command gets from the process that it runs in. */
export interface CliContext {
  /** Version of Varve, from package.json. */
  readonly version: string;
  /** Of the Node.js that runs it: `v24.…`, and `linux-x64` or the like. */
  readonly runtime: { readonly version: string; readonly platform: string };
  /** Whether `--json` was given: standard output then holds JSON only, standard error at most an error object. */
  readonly isJson: boolean;
  readonly output: Output;
  readonly diagnostics: Diagnostics;
  readonly files: Files;
  /** Variables of the process's environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The command has worked, and its answer is no: the process is to end with status 1. */
  answerNo(): void;
}

export interface Output {
  /** Whether a person sees what is written, as it is written. */
  readonly isTerminal: boolean;
  /** Writes to standard output. To be awaited by who writes much: it waits until the reader has taken enough of it. */
  write(text: string): Promise<void>;
  /** Writes a value as one line of JSON. */
  writeJson(value: unknown): Promise<void>;
}

/** Standard error, for what is said beside the result. */
export interface Diagnostics {
  readonly isTerminal: boolean;
  write(text: string): void;
  /** Milliseconds on a clock that never goes back. */
  nowMs(): number;
}
