import { VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type {
  PullTimelineRequest,
  PullTimelineResult,
  SafekeeperTimelineInfo,
  TimelineKey,
  TimelineStatus,
} from '../../contracts/safekeeper-api.ts';

/** Copies timelines from safekeeper to safekeeper. Its methods are those of SafekeeperAdministration. */
export interface TimelineTransfer {
  pullTimeline(request: PullTimelineRequest, signal: AbortSignal): Promise<PullTimelineResult>;
  snapshot(key: TimelineKey, destinationId: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** What is known of a timeline's other safekeepers. */
export interface PeerNews {
  /** Takes news by hand. Throws not-found where there is no such timeline. */
  record(key: TimelineKey, info: SafekeeperTimelineInfo): Promise<void>;
  /** Those that were heard of not long ago. */
  peersOf(key: TimelineKey): TimelineStatus['peers'];
}

/** What of timelines is in the bucket. */
export interface WalBackup {
  /** The lag in bytes up to which a safekeeper goes on uploading, though another one could do it sooner. */
  readonly offloaderLagBytesMax: number;
  /** This safekeeper uploads the timeline's WAL at present. */
  isUploading(key: TimelineKey): boolean;
  /** Removes all that the bucket has of a timeline whose use here has ended. May be repeated. */
  removeRemote(key: TimelineKey): Promise<void>;
  /** As SafekeeperAdministration.resetPartialBackup. */
  resetPartial(key: TimelineKey): Promise<string[]>;
  /**
   * Makes the whole segments below an LSN, a segment's border, another timeline's too. They are there on return.
   * Throws `unavailable` where the bucket does not have them.
   */
  copyWholeSegments(
    source: TimelineKey,
    targetTimelineId: TimelineId,
    belowLsn: Lsn,
    signal: AbortSignal,
  ): Promise<void>;
}

/** The parts that a safekeeper may be run without. */
export interface AdministrationExtensions {
  readonly transfer?: TimelineTransfer;
  readonly peers?: PeerNews;
  readonly backup?: WalBackup;
}

/** What is asked for is done by a part that this safekeeper runs without. */
export function notConfigured(what: string): VarveError {
  return new VarveError('unavailable', 'NOT_CONFIGURED', `${what} is not configured on this safekeeper`);
}
