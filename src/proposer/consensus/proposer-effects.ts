import type { Lsn } from '../../base/lsn.ts';
import type { Elected, ProposerGreeting, VoteRequest } from '../../contracts/acceptor-messages.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';

/** What the proposer wants done. Safekeepers are named by their ids. */
export type ProposerEffect =
  | { readonly kind: 'send'; readonly to: number; readonly message: ProposerGreeting | VoteRequest | Elected }
  /** Ask `nextAppend` for this safekeeper: there may be something for it. */
  | { readonly kind: 'pump'; readonly to: number }
  /** End the connection: what came over it cannot be right. */
  | { readonly kind: 'disconnect'; readonly from: number; readonly reason: Error }
  /** The election is won: the log goes on at `startLsn`. */
  | { readonly kind: 'elected'; readonly term: number; readonly startLsn: Lsn }
  /** A quorum has made all below durable. */
  | { readonly kind: 'committed'; readonly commitLsn: Lsn }
  /** A quorum knows, durably, that all up to the start of this term is committed. */
  | { readonly kind: 'start-committed' }
  /** Others were faster in this election: it is lost, and a new one may be tried with a new machine. */
  | { readonly kind: 'outvoted'; readonly term: number }
  /** A successor has taken over, or somebody wants us to stop: nothing may be written any more. */
  | { readonly kind: 'fenced'; readonly reason: Error }
  /** A safekeeper has a newer configuration: an election in it is needed, by a new machine. */
  | { readonly kind: 'membership-changed'; readonly membership: MembershipConfiguration };

/** An append without its WAL, which whoever sends it has at hand. */
export interface AppendRange {
  readonly kind: 'append';
  readonly generation: number;
  readonly term: number;
  readonly beginLsn: Lsn;
  /** As `beginLsn` where there is only news of the commit LSN, or a heartbeat. */
  readonly endLsn: Lsn;
  readonly commitLsn: Lsn;
  readonly truncateLsn: Lsn;
}

/** A safekeeper lacks WAL that is no longer at hand: it is to be read from the donor. */
export interface FetchRange {
  readonly kind: 'fetch';
  readonly beginLsn: Lsn;
  /** From here on it is at hand. */
  readonly endLsn: Lsn;
}
