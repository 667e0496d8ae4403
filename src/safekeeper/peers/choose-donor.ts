import { isMember } from '../../contracts/membership.ts';
import type { TimelineState } from '../../contracts/status-stream.ts';
import type { Acceptor } from '../consensus/acceptor.ts';

/** What another safekeeper has told. */
export interface ToldState {
  readonly nodeId: number;
  readonly state: TimelineState;
}

/** The part of an acceptor that decides whether, and from whom, it takes what it lacks. */
export type Receiver = Pick<
  Acceptor,
  'nodeId' | 'membership' | 'term' | 'lastLogTerm' | 'flushLsn' | 'persistent'
>;

/**
 * Who of those that were heard lately is to give its WAL to this acceptor, which no compute feeds; undefined where
 * nobody is ahead. A donor must have WAL of its own term: then that term's proposer was elected, and what the donor
 * has is a beginning of that proposer's log. It must be of the same generation, since its followers are only those
 * whom that generation names, and of no lower term, since this acceptor may have promised not to follow such a one.
 */
export function chooseDonor(own: Receiver, heard: readonly ToldState[]): ToldState | undefined {
  const { membership } = own;
  if (membership.generation === 0) return undefined;
  let best: ToldState | undefined;
  for (const told of heard) {
    const { nodeId, state } = told;
    if (nodeId === own.nodeId || !isMember(membership, nodeId)) continue;
    if (state.generation !== membership.generation) continue;
    if (state.term !== state.lastLogTerm || state.term < own.term) continue;
    if (!isAhead(state, own)) continue;
    // It has to have WAL from where this log ends.
    const neededLsn = Math.max(own.flushLsn, own.persistent.timelineStartLsn);
    if (state.localStartLsn === 0 || (neededLsn > 0 && state.localStartLsn > neededLsn)) continue;
    if (best === undefined || isAhead(state, best.state)) best = told;
  }
  return best;
}

type LogEnd = Pick<TimelineState, 'lastLogTerm' | 'flushLsn'>;

function isAhead(one: LogEnd, other: LogEnd): boolean {
  if (one.lastLogTerm !== other.lastLogTerm) return one.lastLogTerm > other.lastLogTerm;
  return one.flushLsn > other.flushLsn;
}
