import { VarveError } from '../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../base/lsn.ts';
import { cancelledError, untilCancelled } from '../io/cancelled.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import { Compute } from './compute.ts';
import type { FillProgress } from './fill-pages.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';

const RESTART_DELAY = { minMs: 100, maxMs: 30_000 };
/** A server that has run for so long has not failed at its start: the next start comes at once. */
const STEADY_MS = 60_000;

/** What whoever runs an agent is told. */
export interface AgentEvents {
  /** Clients are let in already. */
  onReady(compute: Compute): Promise<void>;
  onRestart(reason: Error, delayMs: number): void;
  readonly onFill?: FillProgress;
}

/** When to end: in order, and at once. */
export interface AgentSignals {
  readonly stop: AbortSignal;
  readonly kill: AbortSignal;
}

/**
 * Keeps a compute running: a crash of any of the server's processes ends it, and it is started anew from storage. Resolves
 * with the last commit LSN when it was stopped in order.
 * @throws VarveError ‘fenced’ when a later compute of the branch has taken over; ‘precondition’, ‘bad-request’ and the like for
 * what no other start would mend; ‘cancelled’ if it was killed
 */
export async function runComputeAgent(
  options: ComputeOptions,
  doors: ComputeDoors,
  { stop, kill }: AgentSignals,
  events: AgentEvents,
): Promise<Lsn> {
  const { clock, random, logger } = doors;
  const retry = new RetryDelay(RESTART_DELAY, random);
  for (let isFirst = true; ; isFirst = false) {
    if (stop.aborted) return INVALID_LSN;
    const beganAtMs = clock.monotonicMs();
    let failure: Error;
    try {
      const compute = await Compute.start(options, doors, AbortSignal.any([stop, kill]), events.onFill);
      await events.onReady(compute);
      const onStop = (): void => void compute.stop(kill);
      stop.addEventListener('abort', onStop);
      if (stop.aborted) onStop();
      const end = await compute.ended;
      stop.removeEventListener('abort', onStop);
      if (end.kind === 'stopped') return end.commitLsn;
      failure = end.error;
      logger.error('The compute has ended', {
        reason: failure.message,
        commitLsn: formatLsn(compute.commitLsn),
      });
    } catch (error) {
      if (stop.aborted && !kill.aborted) return INVALID_LSN;
      // Whoever starts the first one sees what is wrong.
      if (isFirst) throw error;
      failure = error as Error;
    }
    if (kill.aborted) throw cancelledError(kill);
    if (!isPassing(failure)) throw failure;
    if (clock.monotonicMs() - beganAtMs >= STEADY_MS) retry.reset();
    const delayMs = retry.nextMs();
    events.onRestart(failure, delayMs);
    await untilCancelled(kill, pause(clock, delayMs, AbortSignal.any([stop, kill])));
  }
}

/** Whoever took the port in between may go again, too. */
const isPassing = (error: Error): boolean =>
  error instanceof VarveError && (error.kind === 'unavailable' || error.code === 'PORT_IN_USE');
