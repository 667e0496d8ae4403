import type { Lsn } from '../base/lsn.ts';
import type { AppendResponse, HotStandbyFeedback } from '../contracts/acceptor-messages.ts';
import type { PageserverFeedback } from '../contracts/pageserver-feedback.ts';

export const NO_HOT_STANDBY_FEEDBACK: HotStandbyFeedback = { time: 0n, xmin: 0n, catalogXmin: 0n };

/** Positions that all shards of the pageserver have reached. */
export interface PageserverProgress {
  readonly currentTimelineSizeBytes: number;
  readonly lastReceivedLsn: Lsn;
  readonly diskConsistentLsn: Lsn;
  readonly remoteConsistentLsn: Lsn;
  /** Some shard has found something damaged. */
  readonly corruptionDetected: boolean;
}

const lowest = (one: bigint, other: bigint): bigint =>
  one === 0n || (other !== 0n && other < one) ? other : one;

/** Gathers what safekeepers pass on from pageservers and hot standbys. */
export class FeedbackAggregate {
  readonly #shards = new Map<number, PageserverFeedback>();
  readonly #standbys = new Map<number, HotStandbyFeedback>();
  #hotStandby = NO_HOT_STANDBY_FEEDBACK;
  readonly #applied = new Map<number, Lsn>();

  /** @returns whether what is asked of hot standbys has changed */
  update(
    safekeeperId: number,
    { pageserverFeedback, hotStandbyFeedback, standbyApplyLsn }: AppendResponse,
  ): boolean {
    if (standbyApplyLsn === undefined) this.#applied.delete(safekeeperId);
    else this.#applied.set(safekeeperId, standbyApplyLsn);
    if (pageserverFeedback !== undefined) this.#updateShard(pageserverFeedback);
    const before = this.#standbys.get(safekeeperId) ?? NO_HOT_STANDBY_FEEDBACK;
    const { xmin, catalogXmin, time } = hotStandbyFeedback;
    if (before.time === time && before.xmin === xmin && before.catalogXmin === catalogXmin) return false;
    this.#standbys.set(safekeeperId, hotStandbyFeedback);
    return this.#combine();
  }

  /** A safekeeper is gone, and the standbys behind it follow another one, or none. */
  forget(safekeeperId: number): boolean {
    this.#applied.delete(safekeeperId);
    return this.#standbys.delete(safekeeperId) && this.#combine();
  }

  /** The lowest xmins of all, and the latest time. */
  get hotStandby(): HotStandbyFeedback {
    return this.#hotStandby;
  }

  /** What all hot standbys have applied; undefined while there is none. */
  get standbyApplyLsn(): Lsn | undefined {
    return this.#applied.size === 0 ? undefined : (Math.min(...this.#applied.values()) as Lsn);
  }

  /** undefined while no pageserver has said anything. */
  get pageserver(): PageserverProgress | undefined {
    if (this.#shards.size === 0) return undefined;
    const shards = [...this.#shards.values()];
    const least = (lsnOf: (shard: PageserverFeedback) => Lsn): Lsn => Math.min(...shards.map(lsnOf)) as Lsn;
    return {
      currentTimelineSizeBytes: Math.max(...shards.map((shard) => shard.currentTimelineSizeBytes)),
      lastReceivedLsn: least((shard) => shard.lastReceivedLsn),
      diskConsistentLsn: least((shard) => shard.diskConsistentLsn),
      remoteConsistentLsn: least((shard) => shard.remoteConsistentLsn),
      corruptionDetected: shards.some((shard) => shard.corruptionDetected),
    };
  }

  /** The same feedback comes by several safekeepers, by some later than by others. */
  #updateShard(feedback: PageserverFeedback): void {
    const known = this.#shards.get(feedback.shardNumber);
    if (known === undefined || feedback.replyTime >= known.replyTime) {
      this.#shards.set(feedback.shardNumber, feedback);
    }
  }

  #combine(): boolean {
    let combined = NO_HOT_STANDBY_FEEDBACK;
    for (const { time, xmin, catalogXmin } of this.#standbys.values()) {
      combined = {
        time: time > combined.time ? time : combined.time,
        xmin: lowest(combined.xmin, xmin),
        catalogXmin: lowest(combined.catalogXmin, catalogXmin),
      };
    }
    const { xmin, catalogXmin } = this.#hotStandby;
    this.#hotStandby = combined;
    return combined.xmin !== xmin || combined.catalogXmin !== catalogXmin;
  }
}
