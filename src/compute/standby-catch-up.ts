import { formatLsn } from '../base/lsn.ts';
import { throwIfCancelled } from '../io/cancelled.ts';
import { pause } from '../io/retry-delay.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { askCommittedLsn } from './committed-lsn.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';

const POLL_MS = 5;
/** A branch may end within a record, which nobody replays. */
const WAIT_MS = 10_000;

/**
 * Waits until a standby follows a safekeeper, and has replayed what was committed then: nobody who connects to it from now on
 * sees less than what was acknowledged before. It does not wait for ever.
 * @throws what the connection and all safekeepers fail of; ‘cancelled’
 */
export async function untilCaughtUp(
  options: ComputeOptions,
  client: ClientConnection,
  doors: ComputeDoors,
  signal: AbortSignal,
): Promise<void> {
  const { clock, logger } = doors;
  const deadlineMs = clock.monotonicMs() + WAIT_MS;
  const poll = async (question: string): Promise<boolean> => {
    while (clock.monotonicMs() < deadlineMs) {
      throwIfCancelled(signal);
      if ((await client.query(`SELECT ${question}`)).rows[0]?.[0] === 't') return true;
      await pause(clock, POLL_MS, signal);
    }
    return false;
  };
  const isFollowing = await poll("EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')");
  const committedLsn = formatLsn(await askCommittedLsn(options, doors, signal));
  if (isFollowing && (await poll(`pg_last_wal_replay_lsn() >= '${committedLsn}'`))) return;
  logger.warn('The standby is not where its branch is', { committedLsn });
}
