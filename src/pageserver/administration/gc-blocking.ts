import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { GcBlocking } from './extensions.ts';

/** Keeps garbage of a timeline from being collected: its index says so. */
export const gcBlocking: GcBlocking = {
  block: (active) => setBlocked(active, true),
  unblock: (active) => setBlocked(active, false),
  isBlocked: (timeline) => timeline.isGcBlocked,
};

async function setBlocked({ timeline, upkeep }: ActiveTimeline, isGcBlocked: boolean): Promise<void> {
  const { remote, signal } = timeline;
  if (timeline.isGcBlocked !== isGcBlocked) remote.scheduleIndexUpdate({ isGcBlocked });
  await remote.waitForUploads(signal);
  if (!isGcBlocked) upkeep.trigger();
}
