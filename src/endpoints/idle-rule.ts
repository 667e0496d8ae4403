/** What a look at a server has found. */
export interface ActivityLook {
  /** When, in milliseconds of a clock that never goes back. */
  readonly atMs: number;
  /** A session does something, or keeps something that its end would take away. */
  readonly isBusy: boolean;
  /** Since the youngest of the sessions that do nothing has done something; undefined where there is none. */
  readonly youngestIdleMs: number | undefined;
  /** Sessions that there ever were, without the agent's own. */
  readonly sessions: number;
}

/** What is known of a server's activity. */
export interface Activity {
  readonly lastActiveAtMs: number;
  readonly sessions: number | undefined;
}

const LOOKS_PER_SUSPENSION = 4;
const LOOK_INTERVAL_MS = { min: 250, max: 30_000 };

/** What is known after another look. A session that came and went between two looks was active at the second one. */
export function learn({ lastActiveAtMs, sessions }: Activity, look: ActivityLook): Activity {
  const hasComeAndGone = sessions !== undefined && look.sessions > sessions;
  const seenAtMs =
    look.isBusy || hasComeAndGone
      ? look.atMs
      : look.youngestIdleMs === undefined
        ? lastActiveAtMs
        : look.atMs - look.youngestIdleMs;
  return { lastActiveAtMs: Math.max(lastActiveAtMs, seenAtMs), sessions: look.sessions };
}

export const isIdle = ({ lastActiveAtMs }: Activity, atMs: number, suspendAfterMs: number): boolean =>
  atMs - lastActiveAtMs >= suspendAfterMs;

/** Until the next look: it is a query, so there are few. */
export function untilNextLookMs(activity: Activity, atMs: number, suspendAfterMs: number): number {
  const { min, max } = LOOK_INTERVAL_MS;
  const interval = Math.min(max, suspendAfterMs / LOOKS_PER_SUSPENSION);
  return Math.max(min, Math.min(interval, activity.lastActiveAtMs + suspendAfterMs - atMs));
}
