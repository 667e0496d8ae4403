import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { TaskSet } from '../../base/task-set.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import { firstRecordPosition } from '../../postgres/wal/page-header.ts';
import type { StorageOperation } from '../metrics.ts';
import { mayRemove, mayUpload } from '../remote/attached-mode.ts';
import { type CutoffDecision, gcCutoff, type LsnLease } from '../upkeep/gc-cutoff.ts';
import type { Timeline } from './timeline.ts';
import { hasReached, type TimelineReads } from './timeline-reads.ts';
import { TimelineUpkeep } from './upkeep.ts';

/** Each is looked at when something below the cutoff is read. */
const LEASES_MAX = 1000;
const RETRY_TIMING = { minMs: 1000, maxMs: 60_000 };
/** 2000-01-01 UTC, from which PostgreSQL counts, in milliseconds since 1970. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** Keeps an LSN readable until it is released. */
export interface Retention {
  release(): void;
}

/**
 * Sees to it that a timeline is tidied up whenever there is something to do: after layers have been written, and when
 * asked. While nothing happens it has no timer.
 */
export class UpkeepLoop {
  readonly #timeline: Timeline;
  readonly #reads: TimelineReads;
  readonly #upkeep: TimelineUpkeep;
  readonly #tasks = new TaskSet();
  /** LSNs that stay readable whatever their age, with how many want each. */
  readonly #retained = new Map<Lsn, number>();
  #leases: LsnLease[] = [];
  /** Whoever had a lease in an earlier attachment has asked for it anew by then. By the monotonic clock. */
  readonly #leasesKnownAtMs: number;
  #isRunning = false;
  #isWanted = false;
  #isStarted = false;
  /** Those of whom nobody knows which LSNs they need. */
  #historyHolders = 0;
  /** One at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(timeline: Timeline, reads: TimelineReads) {
    this.#timeline = timeline;
    this.#reads = reads;
    this.#upkeep = new TimelineUpkeep(timeline, reads);
    const graceMs = timeline.isNew ? 0 : timeline.settings.leaseMs;
    this.#leasesKnownAtMs = timeline.doors.clock.monotonicMs() + graceMs;
    // Whoever has them knows until when, and nobody here does: for as long as a lease lasts they can be read and renewed.
    const validUntilMs = timeline.doors.clock.wallMs() + graceMs;
    this.#leases = timeline.remote.intendedHead.leasedLsns.map((lsn) => ({ lsn, validUntilMs }));
    timeline.retainedLsns = () => this.#retainedLsns();
    timeline.onLayerAdded = () => this.trigger();
  }

  /** Nothing is tidied before: first all branches must have said what they need. */
  start(): void {
    this.#isStarted = true;
    this.trigger();
  }

  /**
   * Keeps `lsn` readable, which it still is.
   * @throws VarveError ‘precondition’ / LSN_BELOW_CUTOFF
   */
  retain(lsn: Lsn): Retention {
    // In the same step: what is retained counts as promised from then on, whatever has become of it before.
    this.#reads.checkPromised(lsn);
    return this.retainBranchPoint(lsn);
  }

  /** As `retain`, of an LSN that has been retained for as long as the branch is there, or is so by somebody else now. */
  retainBranchPoint(lsn: Lsn): Retention {
    this.#retained.set(lsn, (this.#retained.get(lsn) ?? 0) + 1);
    let isReleased = false;
    return {
      release: () => {
        if (isReleased) return;
        isReleased = true;
        const left = (this.#retained.get(lsn) ?? 1) - 1;
        if (left === 0) this.#retained.delete(lsn);
        else this.#retained.set(lsn, left);
      },
    };
  }

  /** No history is removed until it is released: somebody may need it of whom nobody knows from where on. */
  holdHistory(): Retention {
    this.#historyHolders++;
    let isReleased = false;
    return {
      release: () => {
        if (!isReleased) this.#historyHolders--;
        isReleased = true;
      },
    };
  }

  /**
   * Keeps `lsn` readable until a moment, in milliseconds since 1970, or until a later one that somebody else has asked for.
   * @throws VarveError ‘precondition’ / LSN_BELOW_CUTOFF
   */
  lease(lsn: Lsn, validUntilMs: number): LsnLease {
    this.#reads.checkPromised(lsn);
    return this.#keepLease(lsn, validUntilMs);
  }

  /**
   * Keeps `lsn` readable for as long as the tenant's leases last, or makes a lease last that much longer. It never shortens
   * one. Of an earlier attachment, leases of what is below the cutoff are those that the index names; as long as one of
   * what is above may be renewed, the cutoff stays.
   * @param lengthMs as settings.leaseMs, if not given
   * @throws VarveError ‘precondition’ / LSN_BELOW_CUTOFF; ‘unavailable’ / LSN_NOT_REACHED
   */
  leaseLsn(asked: Lsn, lengthMs?: number): LsnLease {
    const timeline = this.#timeline;
    const { walSegmentBytes } = timeline;
    // Where a page ends and where the next record begins are two names of one LSN. The last record may end with a page.
    const lsn = firstRecordPosition(asked, walSegmentBytes) as Lsn;
    if (lsn > firstRecordPosition(timeline.lastRecordLsn, walSegmentBytes)) {
      throw new VarveError(
        'unavailable',
        'LSN_NOT_REACHED',
        'an LSN that is still to come cannot be leased',
        {
          lsn,
        },
      );
    }
    this.#reads.checkPromised(lsn);
    return this.#keepLease(lsn, timeline.doors.clock.wallMs() + (lengthMs ?? timeline.settings.leaseMs));
  }

  #keepLease(lsn: Lsn, validUntilMs: number): LsnLease {
    const nowMs = this.#timeline.doors.clock.wallMs();
    const valid = this.#leases.filter((lease) => lease.validUntilMs > nowMs);
    if (valid.length >= LEASES_MAX && !valid.some((lease) => lease.lsn === lsn)) {
      throw new VarveError('unavailable', 'TOO_MANY_LEASES', `${LEASES_MAX} LSNs are leased already`, {
        lsn,
      });
    }
    const known = valid.find((lease) => lease.lsn === lsn)?.validUntilMs ?? 0;
    const lease = { lsn, validUntilMs: Math.max(known, validUntilMs) };
    this.#leases = [...valid.filter((other) => other.lsn !== lsn), lease];
    const { gcCutoffLsn, remote } = this.#timeline;
    const { leasedLsns } = remote.intendedHead;
    // It was readable for another reason, such as a branch, which may go.
    if (lsn < gcCutoffLsn && !leasedLsns.includes(lsn)) {
      const both = [...leasedLsns, lsn].sort((left, right) => left - right);
      this.#timeline.advanceGcCutoff(gcCutoffLsn, both);
    }
    return lease;
  }

  get #mayLeasesBeUnknown(): boolean {
    return this.#timeline.doors.clock.monotonicMs() < this.#leasesKnownAtMs;
  }

  get #isHistoryHeld(): boolean {
    const { isGcBlocked, isGettingBranches, remote } = this.#timeline;
    // Another node may be reading there.
    if (!mayRemove(remote.mode)) return true;
    return this.#historyHolders > 0 || this.#mayLeasesBeUnknown || isGcBlocked || isGettingBranches;
  }

  /** There may be something to do. */
  trigger(): void {
    this.#isWanted = true;
    if (this.#isRunning || !this.#isStarted || this.#timeline.signal.aborted) return;
    this.#tasks.run(() => this.#run());
  }

  /** Merges level-0 layers now, unless what comes of it could not be stored. @throws what it fails of */
  async compact(): Promise<boolean> {
    if (!mayUpload(this.#timeline.remote.mode)) return false;
    return await this.#inTurn('compact', () => this.#upkeep.compact());
  }

  /** As `compact`. @throws what it fails of */
  async makeImages(): Promise<number> {
    if (!mayUpload(this.#timeline.remote.mode)) return 0;
    return await this.#inTurn('create images', () => this.#upkeep.makeImages());
  }

  /**
   * Moves the cutoff to where the history window begins, and removes what nobody may read any more.
   * @param horizonBytes as settings.historyBytes, if not given
   */
  async collectGarbage(horizonBytes?: number): Promise<number> {
    if (this.#isHistoryHeld || !hasReached(this.#timeline, this.#timeline.lastRecordLsn)) return 0;
    // What is garbage already is to go first.
    if (this.#timeline.doors.remote.deletions.isBehind) return 0;
    const historyStart = await this.#historyStart();
    return this.#inTurn('gc', async () => {
      // It may have come to be held meanwhile.
      if (this.#isHistoryHeld) return 0;
      return this.#upkeep.collectGarbage(this.#promised(historyStart, horizonBytes));
    });
  }

  /** @throws what it fails of */
  async rewriteBottom(): Promise<boolean> {
    if (this.#isHistoryHeld || !hasReached(this.#timeline, this.#timeline.lastRecordLsn)) return false;
    const historyStart = await this.#historyStart();
    return this.#inTurn('rewrite bottom', async () => {
      if (this.#isHistoryHeld) return false;
      return this.#upkeep.rewriteBottom(this.#promised(historyStart));
    });
  }

  /** Resolves when there is nothing to tidy up for now. */
  async settled(): Promise<void> {
    await this.#tasks.settled();
  }

  /** The timeline has been cancelled. Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.#tasks.settled();
    await this.#turn;
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#timeline.doors;
    const { signal, log } = this.#timeline;
    const retryDelay = new RetryDelay(RETRY_TIMING, random);
    this.#isRunning = true;
    while (this.#isWanted && !signal.aborted) {
      this.#isWanted = false;
      try {
        await this.#tidyUp();
        retryDelay.reset();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        if (signal.aborted) break;
        log.warn('Layers could not be tidied up; it will be tried again', { error });
        this.#isWanted = true;
        await pause(clock, retryDelay.nextMs(), signal);
      }
    }
    this.#isRunning = false;
  }

  /** What fails keeps nothing else from being done. @throws the first that failed */
  async #tidyUp(): Promise<void> {
    const { settings, remote } = this.#timeline;
    const isCompacting = settings.isCompacting && mayUpload(remote.mode);
    const isCollecting = settings.isCollecting && mayRemove(remote.mode);
    const steps = [
      () => isCompacting && this.compact(),
      () => isCompacting && this.makeImages().then(() => false),
      () => isCollecting && this.collectGarbage().then(() => false),
      () => isCollecting && isCompacting && this.rewriteBottom(),
    ];
    const errors: unknown[] = [];
    for (const step of steps) {
      try {
        while (await step());
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        errors.push(error);
        if (this.#timeline.signal.aborted) break;
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Does one thing at a time for this timeline, and as many for all timelines as the limiter allows. */
  async #inTurn<Result>(operation: StorageOperation, action: () => Promise<Result>): Promise<Result> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    try {
      await before;
      const { signal, doors } = this.#timeline;
      return await doors.background.run(signal, async () => {
        using _pass = this.#timeline.enter();
        return await doors.metrics.measure(doors.clock, operation, action);
      });
    } finally {
      resolve();
    }
  }

  /** Where the timeline was when the part of its history began that is kept for its age; undefined if nobody knows. */
  async #historyStart(): Promise<Lsn | undefined> {
    const timeline = this.#timeline;
    const startMs = timeline.doors.clock.wallMs() - timeline.settings.historyMs - POSTGRES_EPOCH_MS;
    const context = { task: 'garbage-collection', signal: timeline.signal } as const;
    // When a pageserver starts all its timelines want to know at once.
    const found = await timeline.doors.background.run(timeline.signal, () =>
      this.#reads.lsnByTimestamp(BigInt(Math.floor(startMs * 1000)), context),
    );
    return found.kind === 'nodata' ? undefined : found.lsn;
  }

  /** What is retained is looked up in the very step in which the cutoff moves. */
  #promised(lsnAtHistoryStart: Lsn | undefined, horizonBytes?: number): CutoffDecision {
    const timeline = this.#timeline;
    return gcCutoff({
      previousCutoff: timeline.gcCutoffLsn,
      lastRecordLsn: timeline.lastRecordLsn,
      remoteConsistentVisible: timeline.remote.visibleRemoteConsistentLsn,
      lsnAtHistoryStart,
      horizonBytes: horizonBytes ?? timeline.settings.historyBytes,
      branchPoints: this.#branchPoints(),
      leases: this.#leases,
      nowMs: timeline.doors.clock.wallMs(),
    });
  }

  /** With edges of the history below which something is retained: records are looked up as of these. */
  #branchPoints(): Lsn[] {
    const points = [...this.#retained.keys()];
    const { edgeLsns } = this.#timeline;
    if (edgeLsns.length === 0) return points;
    const lowest = Math.min(...points, ...this.#leases.map(({ lsn }) => lsn));
    return [...points, ...edgeLsns.filter((lsn) => lsn > lowest)];
  }

  #retainedLsns(): readonly Lsn[] {
    const nowMs = this.#timeline.doors.clock.wallMs();
    const leased = this.#leases.filter((lease) => lease.validUntilMs > nowMs).map((lease) => lease.lsn);
    return [...this.#branchPoints(), ...leased];
  }
}
