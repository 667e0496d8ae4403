import { VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';

/** What is done with a timeline whose name is taken. */
type Purpose = 'created' | 'deleted' | 'moved';

/** Names of timelines that are taken for as long as something is done under them. */
export class TimelineNames {
  readonly #busy = new Map<TimelineId, Purpose>();
  /** Of branches that are being created. */
  readonly #newBranches = new Set<{ readonly parentId: TimelineId }>();

  /** Until `give`. @throws as `refuseBusy` */
  take(timelineId: TimelineId, toBe: Purpose): void {
    this.refuseBusy(timelineId);
    this.#busy.set(timelineId, toBe);
  }

  give(timelineId: TimelineId): void {
    this.#busy.delete(timelineId);
  }

  isTaken(timelineId: TimelineId): boolean {
    return this.#busy.has(timelineId);
  }

  /** @throws VarveError ‘conflict’ / TIMELINE_BEING_CREATED, TIMELINE_BUSY where it is being deleted, or gets another ancestor */
  refuseBusy(timelineId: TimelineId): void {
    const toBe = this.#busy.get(timelineId);
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
