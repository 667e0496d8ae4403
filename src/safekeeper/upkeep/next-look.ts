import type { PartialPlan } from '../backup/upload-plan.ts';
import type { UpkeepSettings } from './settings.ts';

/** Whether somebody else has uploaded is looked at so often. */
const OTHERS_CHECK_MS = 10_000;
/** Somebody came in between: try again after that long. */
const AGAIN_MS = 5000;
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 5 * 60_000;

/** What is left to do for a timeline after a look at it. All moments by the monotonic clock. */
export interface LookView {
  readonly nowMs: number;
  readonly isInUse: boolean;
  /** It is open: in memory, perhaps with files. */
  readonly isOpen: boolean;
  /** When it was last noticed in use. */
  readonly lastUsedMs: number;
  /** Since when the control file is known to be behind. */
  readonly aheadSinceMs: number | undefined;
  readonly partial: PartialPlan;
  /** There is something to upload, and another safekeeper is to do it. */
  readonly isUploadPending: boolean;
  /** When its WAL may be evicted; undefined where it may not. */
  readonly evictableMs: number | undefined;
}

/** When the timeline is to be looked at again; undefined where there is nothing to do until somebody uses it. */
export function nextLookMs(view: LookView, settings: UpkeepSettings): number | undefined {
  const { nowMs, isInUse, isOpen, lastUsedMs, aheadSinceMs, partial, isUploadPending, evictableMs } = view;
  const moments: number[] = [];
  // Some of what changes while it is used is not told, such as what pageservers have made durable.
  if (isInUse) moments.push(nowMs + settings.controlFileSaveIntervalMs);
  if (aheadSinceMs !== undefined) moments.push(aheadSinceMs + settings.controlFileSaveIntervalMs);
  if (partial.kind === 'wait') moments.push(nowMs + partial.waitMs);
  if (isUploadPending) moments.push(nowMs + OTHERS_CHECK_MS);
  if (!isInUse && isOpen) moments.push(soonAfter(lastUsedMs + settings.idleTimeoutMs, nowMs));
  if (!isInUse && evictableMs !== undefined) moments.push(soonAfter(evictableMs, nowMs));
  return moments.length === 0 ? undefined : Math.max(nowMs, Math.min(...moments));
}

/** What was due and is not done was in somebody's way. */
function soonAfter(dueMs: number, nowMs: number): number {
  return dueMs > nowMs ? dueMs : nowMs + AGAIN_MS;
}

/** How long to wait after so many failures in a row. */
export function retryDelayMs(failures: number): number {
  return Math.min(RETRY_FIRST_MS * 2 ** Math.min(failures - 1, 20), RETRY_MAX_MS);
}
