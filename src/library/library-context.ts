import type { ControlClient } from '../http/control-client.ts';

/** What all that the library gives speaks through. */
export interface LibraryContext {
  readonly client: ControlClient;
  /** Given when whoever has the system has let go of it: nothing more is asked then. */
  readonly signal: AbortSignal;
}
