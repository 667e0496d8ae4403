import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import type { Limiter } from '../../io/limiter.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { Backup } from '../backup/backup.ts';
import { evict, evictionViewOf, removeEvictedWal } from '../backup/evict.ts';
import { isAllUploaded } from '../backup/eviction-plan.ts';
import type { PartialPosition } from '../backup/object-names.ts';
import { firstSegmentToKeep } from '../backup/removal-horizon.ts';
import type { PartialPlan } from '../backup/upload-plan.ts';
import type { Acceptor } from '../consensus/acceptor.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import type { SafekeeperMetrics } from '../metrics.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { PeerTable } from '../timeline/peer-info.ts';
import type { ResidentTimeline, Timeline } from '../timeline/timeline.ts';
import { carryOut, planBackup } from './backup-step.ts';
import { nextLookMs } from './next-look.ts';
import type { UpkeepSettings } from './settings.ts';

export interface CareDoors {
  readonly nodeId: number;
  readonly clock: Clock;
  readonly metrics: SafekeeperMetrics;
  readonly settings: UpkeepSettings;
  readonly peers: PeerTable;
  /** undefined: there is no object store. */
  readonly backup: Backup | undefined;
  /** Of all timelines, so many at once do something to the disk. */
  readonly diskWork: Limiter;
  /** No WAL of the timeline may be removed now. */
  readonly isRemovalHeld: (timeline: Timeline) => boolean;
  /** Something has come up; also while a look is under way. */
  readonly onWork: (care: TimelineCare) => void;
}

/** What came of a look. */
export interface LookOutcome {
  /** When to look again; undefined where nothing is left to do. */
  readonly nextMs: number | undefined;
  /** What could not be uploaded. All else has been done. */
  readonly failure: unknown;
}

interface BackupOutcome {
  readonly isUploadPending: boolean;
  readonly partial: PartialPlan;
  readonly failure?: unknown;
}

const NOTHING_TO_UPLOAD: BackupOutcome = { isUploadPending: false, partial: { kind: 'nothing' } };

/**
 * The upkeep of one timeline, as long as there is something to do for it: uploads, removal of what is not needed any
 * more, saving of the control file, eviction, and letting go.
 */
export class TimelineCare {
  readonly timeline: Timeline;
  readonly #doors: CareDoors;
  /** This safekeeper is the one that uploads the timeline's WAL. */
  isUploader = false;
  #lastUsedMs: number;
  /** By somebody else. */
  #isInUse = false;
  #isOwnCall = false;
  /** The position when it was last looked at, and since when it is known to be that. */
  #position: PartialPosition | undefined;
  #positionSinceMs = 0;
  #aheadSinceMs: number | undefined;
  #residentSinceMs: number | undefined;
  #isSwept = false;
  #watch: { readonly acceptor: DurableAcceptor; readonly handle: Disposable } | undefined;
  /** A commit LSN from here on means work. */
  #workLsn = Number.POSITIVE_INFINITY;
  #seenState: PersistentState | undefined;
  #keptSegment = 0;

  constructor(timeline: Timeline, doors: CareDoors) {
    this.timeline = timeline;
    this.#doors = doors;
    this.#lastUsedMs = doors.clock.monotonicMs();
  }

  /** @returns whether it was somebody else than this */
  noteUse(isInUse: boolean): boolean {
    if (this.#isOwnCall) return false;
    this.#isInUse = isInUse;
    this.#lastUsedMs = this.#doors.clock.monotonicMs();
    return true;
  }

  /** The timeline's WAL has come back from the bucket. */
  noteRestored(): void {
    this.#residentSinceMs = this.#doors.clock.monotonicMs();
  }

  /** Whether the timeline's WAL is in the bucket only; undefined where it was not looked at. */
  get isEvicted(): boolean | undefined {
    return this.#seenState && this.#seenState.evictedAtLsn !== undefined;
  }

  /**
   * Does all that is due.
   * @throws what the disk fails with; ‘cancelled’ when the signal is given or the timeline closes
   */
  async look(signal: AbortSignal): Promise<LookOutcome> {
    const resident = await this.#stay();
    let uploads = NOTHING_TO_UPLOAD;
    try {
      const both = AbortSignal.any([signal, resident.signal]);
      this.#watchOver(resident.acceptor);
      await this.#doors.diskWork.run(both, () => this.#tidy(resident));
      if (this.#doors.backup !== undefined) uploads = await this.#backUp(resident, this.#doors.backup, both);
    } finally {
      this.#leave(resident);
    }
    const evictableMs = this.#evictableMs();
    await this.#rest(evictableMs, signal);
    const { timeline } = this;
    const nextMs = nextLookMs(
      {
        nowMs: this.#doors.clock.monotonicMs(),
        isInUse: timeline.isInUse,
        isOpen: timeline.acceptor !== undefined,
        lastUsedMs: this.#lastUsedMs,
        aheadSinceMs: timeline.acceptor === undefined ? undefined : this.#aheadSinceMs,
        partial: uploads.partial,
        isUploadPending: uploads.isUploadPending,
        evictableMs: this.isEvicted === true ? undefined : evictableMs,
      },
      this.#doors.settings,
    );
    return { nextMs, failure: uploads.failure };
  }

  /** Listens to the timeline no longer. */
  stop(): void {
    this.#watch?.handle[Symbol.dispose]();
    this.#watch = undefined;
  }

  async #stay(): Promise<ResidentTimeline> {
    this.#isOwnCall = true;
    let staying: Promise<ResidentTimeline>;
    try {
      staying = this.timeline.stay('state');
    } finally {
      this.#isOwnCall = false;
    }
    return await staying;
  }

  #leave(resident: ResidentTimeline): void {
    this.#isOwnCall = true;
    resident[Symbol.dispose]();
    this.#isOwnCall = false;
    this.#isInUse = this.timeline.isInUse;
    if (this.#isInUse) this.#lastUsedMs = this.#doors.clock.monotonicMs();
  }

  /** Looks, after each decision of the acceptor, whether a segment has become committed or may go. */
  #watchOver(acceptor: DurableAcceptor): void {
    if (this.#watch?.acceptor === acceptor) return;
    this.stop();
    const handle = acceptor.listen(() => {
      const { commitLsn, persistent } = acceptor.acceptor;
      const mayRemove = persistent !== this.#seenState && this.#hasNewSurplus(acceptor.acceptor);
      if (commitLsn < this.#workLsn && !mayRemove) return;
      this.#workLsn = Number.POSITIVE_INFINITY;
      this.#doors.onWork(this);
    });
    this.#watch = { acceptor, handle };
  }

  #hasNewSurplus(acceptor: Acceptor): boolean {
    this.#seenState = acceptor.persistent;
    return this.#firstSegmentToKeep(acceptor) > this.#keptSegment;
  }

  #firstSegmentToKeep({ persistent, flushLsn }: Acceptor): number {
    const sent = this.timeline.senders.list().map(({ sentLsn }) => sentLsn);
    const slowestReaderLsn =
      sent.length === 0 ? undefined : sent.reduce((low, lsn) => (lsn < low ? lsn : low));
    const hasObjectStore = this.#doors.backup !== undefined;
    return firstSegmentToKeep({ persistent, flushLsn, hasObjectStore, slowestReaderLsn });
  }

  /** Saves the control file when it is time, and removes WAL that nobody needs here. */
  async #tidy({ acceptor: durable }: ResidentTimeline): Promise<void> {
    const { metrics, isRemovalHeld } = this.#doors;
    this.#notePosition(durable);
    if (this.#isSaveDue(durable)) {
      await durable.run((acceptor) => acceptor.save());
      this.#aheadSinceMs = undefined;
    }
    const { acceptor, wal } = durable;
    this.#seenState = acceptor.persistent;
    this.#keptSegment = this.#firstSegmentToKeep(acceptor);
    const { segmentBytes } = acceptor.persistent.server;
    if (this.#doors.backup !== undefined) {
      this.#workLsn = (segmentNumber(acceptor.commitLsn, segmentBytes) + 1) * segmentBytes;
    }
    if (wal === undefined || isRemovalHeld(this.timeline)) return;
    metrics.removedWalSegments.add(await wal.removeSegmentsBelow(this.#keptSegment));
  }

  #notePosition({ acceptor, wal }: DurableAcceptor): void {
    const nowMs = this.#doors.clock.monotonicMs();
    const { flushLsn, commitLsn, lastLogTerm: term } = acceptor;
    const known = this.#position;
    const isSame = known?.flushLsn === flushLsn && known.commitLsn === commitLsn && known.term === term;
    if (!isSame) {
      this.#position = { flushLsn, commitLsn, term };
      this.#positionSinceMs = nowMs;
    }
    if (wal === undefined) this.#residentSinceMs = undefined;
    else this.#residentSinceMs ??= nowMs;
  }

  #isSaveDue({ acceptor }: DurableAcceptor): boolean {
    if (!acceptor.isAheadOfDisk) {
      this.#aheadSinceMs = undefined;
      return false;
    }
    const nowMs = this.#doors.clock.monotonicMs();
    this.#aheadSinceMs ??= nowMs;
    return (
      this.#isIdle(nowMs) || nowMs - this.#aheadSinceMs >= this.#doors.settings.controlFileSaveIntervalMs
    );
  }

  #isIdle(nowMs: number): boolean {
    return !this.#isInUse && nowMs - this.#lastUsedMs >= this.#doors.settings.idleTimeoutMs;
  }

  /** Uploads what is to be uploaded by this safekeeper, until nothing is left. A failure is part of the outcome. */
  async #backUp(resident: ResidentTimeline, backup: Backup, signal: AbortSignal): Promise<BackupOutcome> {
    try {
      for (;;) {
        const { nodeId, clock, settings, peers } = this.#doors;
        const step = planBackup({
          nodeId,
          durable: resident.acceptor,
          peers,
          nowMs: clock.monotonicMs(),
          unchangedMs: clock.monotonicMs() - this.#positionSinceMs,
          timeoutMs: settings.partialBackupTimeoutMs,
        });
        this.isUploader = step.isUploader;
        if (!(await carryOut(step, resident, backup, signal))) return step;
        await this.#doors.diskWork.run(signal, () => this.#tidy(resident));
      }
    } catch (failure) {
      throwIfCancelled(signal);
      return { ...NOTHING_TO_UPLOAD, failure };
    }
  }

  /** When the WAL may go, if the bucket has all of it. */
  #evictableMs(): number | undefined {
    const acceptor = this.timeline.acceptor?.acceptor;
    if (this.#doors.backup === undefined || acceptor === undefined || this.#residentSinceMs === undefined) {
      return undefined;
    }
    if (!isAllUploaded(evictionViewOf(acceptor))) return undefined;
    return this.#residentSinceMs + this.#doors.settings.evictionMinResidentMs;
  }

  /** Evicts the timeline and lets go of it, where it is time and nobody uses it. */
  async #rest(evictableMs: number | undefined, signal: AbortSignal): Promise<void> {
    const { clock, backup, isRemovalHeld } = this.#doors;
    const { timeline } = this;
    if (timeline.isInUse) return;
    const nowMs = clock.monotonicMs();
    const mayEvict = evictableMs !== undefined && evictableMs <= nowMs && !isRemovalHeld(timeline);
    if (backup !== undefined && mayEvict && (await evict(timeline, backup, signal))) {
      this.#seenState = timeline.acceptor?.acceptor.persistent;
      this.#residentSinceMs = undefined;
    }
    if (backup !== undefined && this.isEvicted === true && !this.#isSwept) await this.#sweep(backup);
    if (!this.#isIdle(nowMs) || timeline.acceptor === undefined) return;
    if (await this.#doors.diskWork.run(signal, () => timeline.letGo())) this.stop();
  }

  /** An eviction may have been broken off before all files were gone. */
  async #sweep(backup: Backup): Promise<void> {
    this.#isSwept = await this.timeline.whileUnused(async (acceptor) => {
      if (acceptor !== undefined && acceptor.failure === undefined) {
        await removeEvictedWal(this.timeline, acceptor, backup);
      }
    });
  }
}
