import { VarveError } from '../base/errors.ts';
import type { Clock } from './clock.ts';

/**
 * Does something that obeys its signal, for so long at most.
 * @throws VarveError ‘unavailable’ / DEADLINE when the time was over first; what the action throws
 */
export async function withDeadline<Result>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
  action: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const isOver = new AbortController();
  const timer = clock.setTimer(limitMs, () => isOver.abort());
  try {
    return await action(AbortSignal.any([signal, isOver.signal]));
  } catch (error) {
    if (!isOver.signal.aborted || signal.aborted) throw error;
    throw new VarveError('unavailable', 'DEADLINE', `this took longer than ${limitMs} ms`, {}, error);
  } finally {
    timer.cancel();
  }
}
