import type { Lsn } from '../../../base/lsn.ts';
import type { SourceFailure } from './source-record.ts';

export type WalReceiverStatus =
  /** Nobody has anything that this timeline lacks. */
  | 'idle'
  /** Somebody is ahead, and not to be tried yet. */
  | 'waiting'
  | 'connecting'
  | 'streaming';

/** A WAL connection. */
export interface WalConnectionState {
  readonly nodeId: number;
  /** As `host:port`. */
  readonly address: string;
  /** When it was begun: milliseconds since 1970. */
  readonly sinceMs: number;
  /** End of what has come. */
  readonly streamedLsn: Lsn;
  /** How far the safekeeper has said that it could send. */
  readonly serverEndLsn: Lsn;
}

export interface WalSourceState {
  readonly nodeId: number;
  /** As it has told; undefined for one that is not heard. */
  readonly commitLsn: Lsn | undefined;
  /** Since it last brought WAL. */
  readonly failures: number;
  readonly lastFailure: SourceFailure | undefined;
}

/** What there is to see of a receiver. */
export interface WalReceiverState {
  readonly status: WalReceiverStatus;
  /** The connection that there is, else the last one. */
  readonly connection: WalConnectionState | undefined;
  /** WAL that has come and is not taken yet. */
  readonly waitingBytes: number;
  /** Without a node: of this pageserver or the timeline itself, which no safekeeper can help with. */
  readonly lastFailure: (SourceFailure & { readonly nodeId: number | undefined }) | undefined;
  /** Several safekeepers give WAL for this place that cannot be taken. */
  readonly isDamaged: boolean;
  readonly sources: readonly WalSourceState[];
}
