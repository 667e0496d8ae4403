import { VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';

/** What is done with a timeline whose name is taken. */
type Purpose = 'created' | 'deleted' | 'moved';
/** `half-deleted`: a deletion has failed, and is to be gone on with. */
type Business = Purpose | 'half-deleted';

/** Names of timelines that are taken for as long as something is done under them. */
export class TimelineNames {
  readonly #busy = new Map<TimelineId, Business>();
  /** Of branches that are being created. */
  readonly #newBranches = new Set<{ readonly parentId: TimelineId }>();

  /** Until `give`. @throws as `refuseBusy` */
  take(timelineId: TimelineId, toBe: Purpose): void {
    this.refuseBusy(timelineId, toBe);
    this.#busy.set(timelineId, toBe);
  }

  /** The deletion that has the name has failed. Nobody can take it but for another deletion. */
  leaveHalfDeleted(timelineId: TimelineId): void {
    this.#busy.set(timelineId, 'half-deleted');
  }

  isHalfDeleted(timelineId: TimelineId): boolean {
    return this.#busy.get(timelineId) === 'half-deleted';
  }

  give(timelineId: TimelineId): void {
    this.#busy.delete(timelineId);
  }

  isTaken(timelineId: TimelineId): boolean {
    return this.#busy.has(timelineId);
  }

  /**
   * @param wanted what the name is wanted for, where it is to be taken
   * @throws VarveError ‘conflict’ / TIMELINE_BEING_CREATED; TIMELINE_BUSY where it is being deleted, gets another ancestor,
   *   or is deleted in part
   */
  refuseBusy(timelineId: TimelineId, wanted?: Purpose): void {
    const toBe = this.#busy.get(timelineId);
    if (toBe === 'half-deleted' && wanted !== 'deleted') {
      const reason = `timeline ${timelineId} is deleted in part, since that failed: delete it once more`;
      throw new VarveError('conflict', 'TIMELINE_BUSY', reason);
    }
    if (toBe === 'created') {
      throw new VarveError(
        'conflict',
        'TIMELINE_BEING_CREATED',
        `creation of timeline with the given ID is in progress: ${timelineId}`,
      );
    }
    if (toBe === 'deleted') {
      throw new VarveError('conflict', 'TIMELINE_BUSY', `timeline ${timelineId} is being deleted`);
    }
    if (toBe === 'moved') {
      const reason = `timeline ${timelineId} is getting another ancestor, or none`;
      throw new VarveError('conflict', 'TIMELINE_BUSY', reason);
    }
  }

  /** A branch of the timeline is being created, until this is disposed of. */
  branchOff(parentId: TimelineId): Disposable {
    const branch = { parentId };
    this.#newBranches.add(branch);
    return { [Symbol.dispose]: () => this.#newBranches.delete(branch) };
  }

  hasNewBranches(timelineId: TimelineId): boolean {
    return [...this.#newBranches].some(({ parentId }) => parentId === timelineId);
  }
}
