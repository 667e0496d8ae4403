import { AssertionError, VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import {
  assertIndexHead,
  type DetachedFrom,
  type IndexHead,
  type IndexLayer,
  type TimelineIndex,
} from './timeline-index.ts';

/** The timeline has no ancestor any more: what it saw of it is in layers of its own. */
export interface Detaching extends DetachedFrom {
  readonly initialLsn: Lsn;
  /** May be lower than it was: the ancestor's history is the timeline's own. */
  readonly gcCutoffLsn: Lsn;
}

/** What is to change in the index. What is not said stays. */
export interface IndexChange {
  readonly diskConsistentLsn?: Lsn;
  readonly previousRecordLsn?: Lsn;
  readonly gcCutoffLsn?: Lsn;
  /** All of them. */
  readonly leasedLsns?: readonly Lsn[];
  readonly deletedAtMs?: number;
  /** null: not archived any more. */
  readonly archivedAtMs?: number | null;
  readonly isGcBlocked?: boolean;
  readonly detaching?: Detaching;
  /** The branches that are to be its own after a detaching are. */
  readonly hasItsBranches?: true;
  /** The timeline that has all of the ancestor that this one sees, and is the ancestor in its place from now on. */
  readonly ancestorId?: TimelineId;
  /** Names of layers whose upload has been scheduled. */
  readonly layersAdded?: readonly string[];
  /** Names of layers that the index has, or whose upload has been scheduled. */
  readonly layersRemoved?: readonly string[];
}

/** A layer that is to be uploaded. */
export interface PlannedUpload {
  readonly layer: IndexLayer;
  /** The local file. */
  readonly path: string;
}

interface Upload extends PlannedUpload {
  isRunning: boolean;
  /** Changes that wait for it. */
  readonly changes: Change[];
}

interface Change {
  readonly version: number;
  readonly head: IndexHead;
  readonly added: readonly IndexLayer[];
  /** Layers whose objects nobody will need, when an index with this change is durable. */
  readonly removed: readonly IndexLayer[];
  /** How many uploads it waits for. */
  missing: number;
}

/** An index that is to be put. */
export interface PlannedIndex {
  readonly version: number;
  readonly head: IndexHead;
  readonly layers: readonly IndexLayer[];
}

/**
 * What of a timeline goes to object storage, and in which order. It decides, and does nothing itself.
 *
 * Changes of the index are applied in the order in which they were scheduled, each when all layers that it adds or
 * removes are uploaded. So what is put is always a state that the timeline has been in, whose layers all are there;
 * and however much is scheduled behind, a change waits for its own layers and for older changes only. One index is
 * put at a time; changes that become ready meanwhile go into the next one together.
 */
export class UploadPlan {
  readonly #generation: number;
  readonly #uploadsAtOnce: number;
  /** Not finished, in the order in which they were scheduled. */
  readonly #uploads = new Map<string, Upload>();
  #runningCount = 0;
  /** Scheduled for upload, and so far in no change. */
  readonly #unnamed = new Map<string, IndexLayer>();
  /** Of the own generation, from being scheduled to being handed out as removed: their keys are taken. */
  readonly #ownNames = new Set<string>();
  /** With all scheduled changes. */
  #intendedHead: IndexHead;
  /** By name: what changes that are not applied yet make of a layer, and the last of them; undefined: it goes. */
  readonly #intended = new Map<
    string,
    { readonly version: number; readonly layer: IndexLayer | undefined }
  >();
  /** Not applied yet, oldest first. */
  #changes: Change[] = [];
  /** With all changes whose layers are uploaded. Copied at the start only, since there may be very many. */
  #readyHead: IndexHead;
  readonly #readyLayers: Map<string, IndexLayer>;
  /** Applied, and in no durable index: with the version of the change that removed them. */
  #leaving: { readonly version: number; readonly layer: IndexLayer }[] = [];
  #scheduledVersion = 0;
  #readyVersion = 0;
  #durableVersion = 0;
  #durableHead: IndexHead | undefined;
  #isPutting = false;

  /**
   * @param start what is durable already, or the beginning of a timeline that has no index yet
   * @param uploadsAtOnce how many layers of this timeline may be under way
   */
  constructor(start: TimelineIndex, isDurable: boolean, generation: number, uploadsAtOnce: number) {
    assertIndexHead(start.head);
    this.#generation = generation;
    this.#uploadsAtOnce = uploadsAtOnce;
    this.#intendedHead = start.head;
    this.#readyHead = start.head;
    this.#readyLayers = new Map(start.layers);
    this.#durableHead = isDurable ? start.head : undefined;
    for (const { name, generation: own } of start.layers.values()) {
      if (own === generation) this.#ownNames.add(name);
    }
  }

  /** Layers whose upload has not finished. */
  get waitingLayers(): number {
    return this.#uploads.size;
  }

  /** What the index is to be when all that is scheduled is done. */
  get intendedHead(): IndexHead {
    return this.#intendedHead;
  }

  /** The layer that the index is to name then; undefined where it is to have none of this name. */
  findIntended(name: string): IndexLayer | undefined {
    const intended = this.#intended.get(name);
    return intended === undefined ? this.#readyLayers.get(name) : intended.layer;
  }

  /** What the newest index that is durable says; undefined while there is none. */
  get durableHead(): IndexHead | undefined {
    return this.#durableHead;
  }

  /** Rises with each scheduled change. */
  get scheduledVersion(): number {
    return this.#scheduledVersion;
  }

  /** All changes up to this one are in a durable index. */
  get durableVersion(): number {
    return this.#durableVersion;
  }

  /** Nothing is under way or waits. */
  get isSettled(): boolean {
    return this.#uploads.size === 0 && this.#durableVersion === this.#scheduledVersion && !this.#isPutting;
  }

  isUploading(name: string): boolean {
    return this.#uploads.has(name);
  }

  /** Layers whose upload has not finished, in the order in which they were scheduled. */
  uploadingNames(): string[] {
    return [...this.#uploads.keys()];
  }

  /**
   * Schedules the upload of a layer: in the step that makes it visible to others, who may remove it again.
   * @throws VarveError ‘conflict’ / LAYER_EXISTS where this attachment has an object of this name: it must not be
   *   overwritten while an index may name it, nor be removed with the one before; TIMELINE_DELETED
   */
  scheduleUpload(layer: IndexLayer, path: string): void {
    this.#refuseDeleted();
    if (layer.generation !== this.#generation) {
      throw new AssertionError(
        `a layer of generation ${layer.generation} is uploaded in ${this.#generation}`,
      );
    }
    if (this.#ownNames.has(layer.name)) {
      throw new VarveError('conflict', 'LAYER_EXISTS', 'this attachment has a layer of this name', {
        file: layer.name,
      });
    }
    this.#ownNames.add(layer.name);
    this.#unnamed.set(layer.name, layer);
    this.#uploads.set(layer.name, { layer, path, isRunning: false, changes: [] });
  }

  /** Schedules a change of the index, and returns its version. Positions never go back. */
  scheduleChange(change: IndexChange): number {
    this.#refuseDeleted();
    const head = this.#changedHead(change);
    const version = this.#scheduledVersion + 1;
    const added = (change.layersAdded ?? []).map((name) => this.#takeUnnamed(name));
    const removed: IndexLayer[] = [];
    for (const name of change.layersRemoved ?? []) removed.push(this.#takeLayer(name, version));
    for (const layer of added) {
      // A layer that an earlier attachment wrote is replaced: its object has another key.
      const replaced = this.findIntended(layer.name);
      if (replaced !== undefined) removed.push(replaced);
      this.#intended.set(layer.name, { version, layer });
    }
    this.#scheduledVersion = version;
    const planned: Change = { version, head, added, removed, missing: 0 };
    for (const { name, generation } of [...added, ...removed]) {
      const upload = generation === this.#generation ? this.#uploads.get(name) : undefined;
      if (upload === undefined) continue;
      planned.missing++;
      upload.changes.push(planned);
    }
    this.#intendedHead = head;
    this.#changes.push(planned);
    this.#applyReady();
    return version;
  }

  /** The next layer that may be uploaded now; it counts as begun. It goes on, with retries, until it has finished. */
  beginUpload(): PlannedUpload | undefined {
    if (this.#runningCount >= this.#uploadsAtOnce) return undefined;
    // Those that run are among the oldest, and few.
    for (const upload of this.#uploads.values()) {
      if (upload.isRunning) continue;
      upload.isRunning = true;
      this.#runningCount++;
      return upload;
    }
    return undefined;
  }

  /** The layer's object is durable. */
  finishUpload(name: string): void {
    const upload = this.#uploads.get(name);
    if (!upload?.isRunning)
      throw new AssertionError('an upload has finished that had not begun', { file: name });
    this.#uploads.delete(name);
    this.#runningCount--;
    for (const change of upload.changes) change.missing--;
    this.#applyReady();
  }

  /** The index that is to be put now, if there is one; it counts as begun, and goes on, with retries, until it is. */
  beginIndexPut(): PlannedIndex | undefined {
    if (this.#isPutting || this.#readyVersion === this.#durableVersion) return undefined;
    this.#isPutting = true;
    return { version: this.#readyVersion, head: this.#readyHead, layers: [...this.#readyLayers.values()] };
  }

  /** The index is durable. Returns the layers that no index of this attachment names from now on. */
  finishIndexPut({ version, head }: PlannedIndex): IndexLayer[] {
    if (!this.#isPutting || version <= this.#durableVersion) {
      throw new AssertionError('an index was put that had not begun');
    }
    this.#isPutting = false;
    this.#durableVersion = version;
    this.#durableHead = head;
    const gone = this.#leaving.filter((leaving) => leaving.version <= version).map(({ layer }) => layer);
    this.#leaving = this.#leaving.filter((leaving) => leaving.version > version);
    for (const { name, generation } of gone) if (generation === this.#generation) this.#ownNames.delete(name);
    return gone;
  }

  #refuseDeleted(): void {
    if (this.#intendedHead.deletedAtMs === undefined) return;
    throw new VarveError('conflict', 'TIMELINE_DELETED', 'this timeline is being deleted');
  }

  #changedHead(change: IndexChange): IndexHead {
    const before = changedDescent(this.#intendedHead, change);
    const archivedAtMs =
      change.archivedAtMs === null ? undefined : (change.archivedAtMs ?? before.archivedAtMs);
    const head: IndexHead = {
      ...before,
      diskConsistentLsn: change.diskConsistentLsn ?? before.diskConsistentLsn,
      previousRecordLsn: change.previousRecordLsn ?? before.previousRecordLsn,
      gcCutoffLsn: change.gcCutoffLsn ?? before.gcCutoffLsn,
      leasedLsns: change.leasedLsns ?? before.leasedLsns,
      deletedAtMs: change.deletedAtMs,
      archivedAtMs,
      isGcBlocked: change.isGcBlocked ?? before.isGcBlocked,
    };
    const goesBack =
      head.diskConsistentLsn < before.diskConsistentLsn ||
      head.previousRecordLsn < before.previousRecordLsn ||
      head.gcCutoffLsn < before.gcCutoffLsn;
    if (goesBack) throw new AssertionError('a position of an index would go back');
    assertIndexHead(head);
    return head;
  }

  #takeUnnamed(name: string): IndexLayer {
    const layer = this.#unnamed.get(name);
    if (layer === undefined) {
      throw new AssertionError('an index would name a layer whose upload is not scheduled', { file: name });
    }
    this.#unnamed.delete(name);
    return layer;
  }

  #takeLayer(name: string, version: number): IndexLayer {
    if (this.#unnamed.has(name)) return this.#takeUnnamed(name);
    const layer = this.findIntended(name);
    if (layer === undefined) throw new AssertionError('a layer is removed that is not there', { file: name });
    this.#intended.set(name, { version, layer: undefined });
    return layer;
  }

  #applyReady(): void {
    let count = 0;
    for (const change of this.#changes) {
      if (change.missing > 0) break;
      count++;
      this.#apply(change);
    }
    if (count > 0) this.#changes = this.#changes.slice(count);
  }

  #apply({ version, head, added, removed }: Change): void {
    for (const layer of removed) {
      if (this.#readyLayers.get(layer.name) === layer) this.#readyLayers.delete(layer.name);
      this.#leaving.push({ version, layer });
    }
    for (const layer of added) this.#readyLayers.set(layer.name, layer);
    for (const { name } of [...removed, ...added]) {
      if (this.#intended.get(name)?.version === version) this.#intended.delete(name);
    }
    this.#readyHead = head;
    this.#readyVersion = version;
  }
}

/** @throws AssertionError where the timeline has no ancestor, or was not detached */
function changedDescent(head: IndexHead, { detaching, hasItsBranches, ancestorId }: IndexChange): IndexHead {
  const { ancestor, detachedFrom } = head;
  if (detaching !== undefined) {
    if (ancestor === undefined) throw new AssertionError('a timeline is detached that has no ancestor');
    const { initialLsn, gcCutoffLsn, ...from } = detaching;
    const leasedLsns = head.leasedLsns.filter((lsn) => lsn < gcCutoffLsn);
    return { ...head, ancestor: undefined, initialLsn, gcCutoffLsn, leasedLsns, detachedFrom: from };
  }
  if (hasItsBranches !== undefined) {
    if (detachedFrom === undefined)
      throw new AssertionError('a timeline gets branches, and was not detached');
    return { ...head, detachedFrom: { ...detachedFrom, isComplete: true } };
  }
  if (ancestorId === undefined) return head;
  if (ancestor === undefined) throw new AssertionError('a timeline without an ancestor gets another one');
  return { ...head, ancestor: { ...ancestor, timelineId: ancestorId } };
}
