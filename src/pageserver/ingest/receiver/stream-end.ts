import { AssertionError, VarveError } from '../../../base/errors.ts';
import { PostgresError } from '../../../libpq/client/postgres-error.ts';
import type { CopyEnd } from '../../../libpq/copy-stream.ts';

/**
 * - `ended`: the safekeeper has ended it in order, since everything was told
 * - `stopped`: this side has left
 * - `closed`: the intake takes nothing any more
 */
export type ReceiverStreamEnd = 'ended' | 'stopped' | 'closed';

/**
 * Whether a safekeeper has nothing more to say, and knows that we have heard all (safekeeper/src/send_wal.rs).
 * @throws what it was otherwise
 */
export function judgeEnd(end: CopyEnd): 'ended' {
  if (end.kind !== 'failed') {
    throw new VarveError('unavailable', 'SOURCE_ENDED', 'the safekeeper gives no more WAL');
  }
  const { error } = end;
  const isOrderly =
    error instanceof PostgresError && error.sqlState === '00000' && /ending streaming/.test(error.message);
  if (isOrderly) return 'ended';
  throw error;
}

export function isBug(error: unknown): boolean {
  return !(error instanceof VarveError) || error instanceof AssertionError;
}
