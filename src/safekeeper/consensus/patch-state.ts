import { AssertionError, BadRequestError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import type { Acceptor } from './acceptor.ts';
import type { PersistentState } from './persistent-state.ts';
import { checkPositions } from './positions.ts';

/** What may be changed by hand. Never the term, its history or the members: those are promises. */
export type StatePatch = Partial<
  Pick<
    PersistentState,
    | 'timelineStartLsn'
    | 'localStartLsn'
    | 'commitLsn'
    | 'backupLsn'
    | 'peerHorizonLsn'
    | 'remoteConsistentLsn'
    | 'partialSegments'
    | 'evictedAtLsn'
  >
>;

/**
 * The acceptor's present state with some of it changed by hand.
 * @throws BadRequestError / BAD_PATCH where positions would be out of order, or what is committed would not be any more
 */
export function patchState(acceptor: Acceptor, patch: StatePatch): PersistentState {
  const state = { ...acceptor.current, ...patch };
  const { timelineStartLsn, localStartLsn, commitLsn } = state;
  if (commitLsn < acceptor.commitLsn) {
    refuse(`the commit LSN is ${formatLsn(acceptor.commitLsn)}, and can not go back`);
  }
  if (localStartLsn === 0 && commitLsn !== 0) refuse('WAL is committed, and would begin nowhere');
  if ((timelineStartLsn === 0) !== (localStartLsn === 0)) {
    refuse('of the starts of the timeline and of its WAL here, only one would be known');
  }
  // What is not evicted goes as far as the disk says.
  const { evictedAtLsn } = state;
  const log =
    evictedAtLsn === undefined
      ? acceptor.log
      : { writeLsn: evictedAtLsn, recordLsn: evictedAtLsn, flushLsn: evictedAtLsn };
  try {
    checkPositions({ timelineStartLsn, localStartLsn, persistedCommitLsn: commitLsn, commitLsn, log });
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    refuse(error.reason);
  }
  return state;
}

function refuse(reason: string): never {
  throw new BadRequestError('BAD_PATCH', reason);
}
