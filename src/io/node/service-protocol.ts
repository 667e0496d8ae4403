import type { TransferredError } from '../../base/error-transfer.ts';

/** What a thread for a service is started with. */
export interface ServiceSetup {
  /** URL of a module that exports `startService`. */
  readonly module: string;
  readonly options: unknown;
  readonly logs: { readonly directory: string; readonly bytesMax: number };
  /** Where compiled code is kept; undefined: nowhere. */
  readonly compileCache: string | undefined;
}

/** What is posted to it: end in order; give back memory that is not needed. */
export type ServiceRequest = 'close' | 'tidy';

/** What it posts. Anything else that it says or does means that it has failed. */
export type ServiceNews =
  | { readonly kind: 'serves'; readonly answer: unknown }
  | { readonly kind: 'failed'; readonly error: TransferredError }
  | { readonly kind: 'closed'; readonly error: TransferredError | undefined };
