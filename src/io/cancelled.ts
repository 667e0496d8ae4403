import { VarveError } from '../base/errors.ts';

/** What whoever waits gets to know when the signal was given. */
export const cancelledError = (signal: AbortSignal): VarveError =>
  new VarveError('cancelled', 'CANCELLED', 'this was cancelled', {}, signal.reason);

/** @throws VarveError ‘cancelled’ / CANCELLED if the signal has been given */
export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelledError(signal);
}
