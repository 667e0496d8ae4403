import { VarveError } from '../base/errors.ts';

/** What whoever waits gets to know when the signal was given. */
export const cancelledError = (signal: AbortSignal): VarveError =>
  new VarveError('cancelled', 'CANCELLED', 'this was cancelled', {}, signal.reason);

/** @throws VarveError ‘cancelled’ / CANCELLED if the signal has been given */
export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelledError(signal);
}

/**
 * Waits for something that does not obey the signal itself, and may be waited for by others too: it goes on.
 * @throws VarveError ‘cancelled’ / CANCELLED when the signal is given first
 */
export async function untilCancelled<Result>(signal: AbortSignal, promise: Promise<Result>): Promise<Result> {
  throwIfCancelled(signal);
  const { promise: cancelled, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(cancelledError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, cancelled]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
