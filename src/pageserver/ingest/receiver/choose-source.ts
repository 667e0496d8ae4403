import type { Lsn } from '../../../base/lsn.ts';
import type { TimelineState } from '../../../contracts/status-stream.ts';

export interface SourceRules {
  /** A connection on which nothing comes for so long, not even a keepalive, is given up: `walreceiver_connect_timeout`. */
  readonly silenceMaxMs: number;
  /** One that brings no WAL for so long although somebody else has some: `lagging_wal_timeout`. */
  readonly lagTimeoutMs: number;
  /** One whose safekeeper is so far behind another one: `max_lsn_wal_lag`. */
  readonly lagBytesMax: number;
  /** Who was not heard for longer is nobody to connect to. */
  readonly newsAgeMaxMs: number;
}

export const SOURCE_RULES_DEFAULT: SourceRules = {
  silenceMaxMs: 10_000,
  lagTimeoutMs: 10_000,
  lagBytesMax: 1024 ** 3,
  newsAgeMaxMs: 10_000,
};

/** Where a timeline is on a safekeeper, which it has told in the status stream that there is now. */
export interface SourceNews {
  readonly nodeId: number;
  /** When that stream brought anything last. */
  readonly heardMs: number;
  readonly state: TimelineState;
}

/** The WAL connection that there is. */
export interface SourceConnection {
  readonly nodeId: number;
  /** When anything came last; at first, when it was begun. */
  readonly heardMs: number;
  /** Since when it waits for further WAL; undefined: what has come is still being taken. */
  readonly waitingSinceMs: number | undefined;
  /** How far the safekeeper has said on it that it could send. */
  readonly serverEndLsn: Lsn;
}

/** All that the choice depends on. Times are the clock's monotonic ones. */
export interface SourceSituation {
  readonly nowMs: number;
  /** LSN of the byte that comes next. */
  readonly position: Lsn;
  readonly remoteConsistentLsn: Lsn;
  /** The timeline's safekeepers; of equal ones the first is preferred. */
  readonly memberIds: readonly number[];
  readonly news: readonly SourceNews[];
  readonly connection: SourceConnection | undefined;
  /** Who is not to be tried before then, by node. */
  readonly retryAtMs: ReadonlyMap<number, number>;
}

export type LeaveReason = 'not-a-member' | 'silent' | 'far-behind' | 'no-progress';

export type SourceChoice =
  /** Leave things as they are. */
  | { readonly kind: 'stay' }
  | { readonly kind: 'connect'; readonly nodeId: number }
  | { readonly kind: 'change'; readonly nodeId: number; readonly reason: LeaveReason }
  | { readonly kind: 'disconnect'; readonly reason: LeaveReason };

export interface SourceDecision {
  readonly choice: SourceChoice;
  /** Decide anew then, if nothing happens before; undefined: only time passes, and that changes nothing. */
  readonly againAtMs: number | undefined;
}

/**
 * From whom a timeline takes its WAL (walreceiver/connection_manager.rs, next_connection_candidate). What is committed is
 * the same on all safekeepers, so terms play no part, and any of them may be left for any other at any byte.
 */
export function chooseSource(situation: SourceSituation, rules: SourceRules): SourceDecision {
  const { connection } = situation;
  return connection === undefined ? chooseFirst(situation, rules) : chooseNext(situation, connection, rules);
}

function chooseFirst(situation: SourceSituation, rules: SourceRules): SourceDecision {
  const { nowMs, retryAtMs } = situation;
  const useful = candidates(situation, rules).filter((told) => isUseful(told, situation));
  const best = furthest(useful.filter(({ nodeId }) => (retryAtMs.get(nodeId) ?? 0) <= nowMs));
  if (best !== undefined) return decide({ kind: 'connect', nodeId: best.nodeId });
  const retries = useful.map(({ nodeId }) => retryAtMs.get(nodeId) ?? nowMs);
  return decide({ kind: 'stay' }, retries.length === 0 ? undefined : Math.min(...retries));
}

function chooseNext(
  situation: SourceSituation,
  connection: SourceConnection,
  rules: SourceRules,
): SourceDecision {
  const { nowMs, position, memberIds, retryAtMs, news } = situation;
  const others = candidates(situation, rules).filter(
    ({ nodeId }) => nodeId !== connection.nodeId && (retryAtMs.get(nodeId) ?? 0) <= nowMs,
  );
  const best = furthest(others.filter(({ state }) => state.commitLsn > position));
  const leave = (reason: LeaveReason): SourceDecision =>
    decide(
      best === undefined ? { kind: 'disconnect', reason } : { kind: 'change', nodeId: best.nodeId, reason },
    );
  if (!memberIds.includes(connection.nodeId)) return leave('not-a-member');
  const { waitingSinceMs, heardMs } = connection;
  // It is we who hold it up. What it says meanwhile may not even be looked at.
  if (waitingSinceMs === undefined) return decide({ kind: 'stay' }, nowMs + rules.silenceMaxMs);
  const silentAtMs = Math.max(heardMs, waitingSinceMs) + rules.silenceMaxMs;
  if (nowMs >= silentAtMs) return leave('silent');
  if (best === undefined) return decide({ kind: 'stay' }, silentAtMs);
  const told = news.find(({ nodeId }) => nodeId === connection.nodeId)?.state.commitLsn ?? 0;
  const commitLsn = Math.max(told, connection.serverEndLsn);
  if (best.state.commitLsn - commitLsn >= rules.lagBytesMax) return leave('far-behind');
  const lagAtMs = waitingSinceMs + rules.lagTimeoutMs;
  if (nowMs >= lagAtMs) return leave('no-progress');
  return decide({ kind: 'stay' }, Math.min(silentAtMs, lagAtMs));
}

/** Members that were heard lately and have WAL, in the order of preference. */
function candidates({ nowMs, memberIds, news }: SourceSituation, rules: SourceRules): SourceNews[] {
  return memberIds.flatMap((id) =>
    news.filter(
      ({ nodeId, heardMs, state }) =>
        nodeId === id &&
        nowMs - heardMs <= rules.newsAgeMaxMs &&
        state.commitLsn !== 0 &&
        state.localStartLsn !== 0,
    ),
  );
}

/**
 * There is WAL to get, or something to tell: how far the bucket has all, which no safekeeper has heard of yet, and
 * without which it keeps its WAL.
 */
function isUseful({ state }: SourceNews, { position, remoteConsistentLsn, news }: SourceSituation): boolean {
  if (state.commitLsn > position) return true;
  const isKnown = news.some((told) => told.state.remoteConsistentLsn >= remoteConsistentLsn);
  return !isKnown && state.remoteConsistentLsn < Math.min(remoteConsistentLsn, state.commitLsn);
}

function furthest(told: readonly SourceNews[]): SourceNews | undefined {
  let best: SourceNews | undefined;
  for (const one of told) {
    if (best === undefined || one.state.commitLsn > best.state.commitLsn) best = one;
  }
  return best;
}

function decide(choice: SourceChoice, againAtMs?: number): SourceDecision {
  return { choice, againAtMs };
}
