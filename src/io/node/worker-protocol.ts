import type { TransferredError } from '../../base/error-transfer.ts';

/** What a worker thread is started with. */
export interface WorkerSetup {
  /** URL of a module that exports `jobs`. */
  readonly jobsModule: string;
  /** By name, as ./files-engine.ts knows them: the same as in the main thread. */
  readonly filesEngine: string;
}

/** What is posted to a worker thread. */
export interface JobRequest {
  readonly name: string;
  readonly input: unknown;
  /** One Int32 that is no longer zero when the job is to end. */
  readonly isCancelled: SharedArrayBuffer;
}

/** What comes back. Anything else that a thread says or does means that it has failed. */
export type JobReply =
  | { readonly isDone: true; readonly output: unknown }
  | { readonly isDone: false; readonly error: TransferredError };
