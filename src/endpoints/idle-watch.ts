import { VarveError } from '../base/errors.ts';
import type { Compute } from '../compute/compute.ts';
import type { Clock } from '../io/clock.ts';
import { pause } from '../io/retry-delay.ts';
import type { Logger } from '../observe/log.ts';
import { type Activity, type ActivityLook, isIdle, learn, untilNextLookMs } from './idle-rule.ts';

/**
 * Clients come by TCP, the agent by a socket in a directory that nobody else can enter: it has no address. What keeps a
 * server: a session that runs something or is within a transaction, one that holds an advisory lock (others rely on it for
 * as long as it lasts), a copy of the cluster that is being taken, and a vacuum. A session that is open and does nothing
 * does not, though its temporary tables, prepared statements and LISTENs go with it.
 */
const LOOK = `SELECT
  (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE
    (backend_type = 'client backend' AND client_addr IS NOT NULL AND state IS DISTINCT FROM 'idle')
    OR backend_type = 'autovacuum worker' OR (backend_type = 'walsender' AND client_addr IS NOT NULL))
  + (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted),
  (SELECT extract(epoch FROM min(clock_timestamp() - state_change)) FROM pg_catalog.pg_stat_activity
    WHERE backend_type = 'client backend' AND client_addr IS NOT NULL AND state = 'idle'),
  (SELECT coalesce(sum(sessions), 0) FROM pg_catalog.pg_stat_database)`;

/** What is watched, as far as it matters here. */
export type WatchedCompute = Pick<Compute, 'connect' | 'agentSessions'>;

/**
 * Waits until a server has idled for long enough.
 * @returns whether it has; false: the signal was given
 */
export async function untilIdle(
  compute: WatchedCompute,
  suspendAfterMs: number,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  signal: AbortSignal,
): Promise<boolean> {
  let activity: Activity = { lastActiveAtMs: clock.monotonicMs(), sessions: undefined };
  while (!signal.aborted) {
    await pause(clock, untilNextLookMs(activity, clock.monotonicMs(), suspendAfterMs), signal);
    if (signal.aborted) break;
    try {
      const look = await lookAt(compute, clock, signal);
      activity = learn(activity, look);
      if (isIdle(activity, look.atMs, suspendAfterMs)) return true;
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (signal.aborted) break;
      // Whoever has taken its last connection uses it.
      logger.debug('A server could not be asked who uses it', { error });
      activity = { ...activity, lastActiveAtMs: clock.monotonicMs() };
    }
  }
  return false;
}

async function lookAt(compute: WatchedCompute, clock: Clock, signal: AbortSignal): Promise<ActivityLook> {
  const client = await compute.connect('postgres', signal);
  try {
    const { rows } = await client.query(LOOK);
    const [busy, idleSeconds, sessions] = rows[0] ?? [];
    return {
      atMs: clock.monotonicMs(),
      isBusy: Number(busy) > 0,
      youngestIdleMs:
        idleSeconds === null || idleSeconds === undefined ? undefined : Number(idleSeconds) * 1000,
      sessions: Number(sessions) - compute.agentSessions,
    };
  } finally {
    await client.close();
  }
}
