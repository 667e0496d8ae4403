import type { Clock } from '../../io/clock.ts';
import type { Connection } from '../../io/sockets.ts';
import { ConnectionEndError } from './sqlstate.ts';

/**
 * Resolves once at most `limitBytes` are unsent, or the connection is closed.
 * @throws the signal’s reason; ConnectionEndError WRITE_TIMEOUT where that takes longer than `timeoutMs`
 */
export async function drainedWithin(
  connection: Pick<Connection, 'unsentBytes' | 'drained'>,
  limitBytes: number,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (connection.unsentBytes <= limitBytes) return;
  const waiting = Promise.withResolvers<void>();
  const wake = (): void => waiting.resolve();
  const onAbort = (): void => waiting.reject(signal.reason);
  const timer = clock.setTimer(timeoutMs, () => waiting.reject(ConnectionEndError.stalled(timeoutMs)));
  signal.addEventListener('abort', onAbort, { once: true });
  void connection.drained(limitBytes).then(wake);
  try {
    await waiting.promise;
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
  }
}
