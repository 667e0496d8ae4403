import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { ComputeDirectory } from './compute-directory.ts';
import { connectToServer } from './connect-to-server.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import type { StepTimes } from './step-times.ts';

/** What the parts of one start share. */
export interface StartContext {
  readonly options: ComputeOptions;
  readonly doors: ComputeDoors;
  readonly directory: ComputeDirectory;
  readonly times: StepTimes;
  /** Ends the start. */
  readonly signal: AbortSignal;
  /** What was begun, and has to be ended: by a start that fails, and by the end of the server. */
  readonly undo: AsyncDisposableStack;
}

/** A connection of the superuser's to the server that was started. The caller closes it. @throws as connectToServer */
export function connectToStarted(
  { options, doors, directory, signal }: StartContext,
  database = 'postgres',
  given: AbortSignal = signal,
): Promise<ClientConnection> {
  return connectToServer(directory, options, doors, database, given);
}
