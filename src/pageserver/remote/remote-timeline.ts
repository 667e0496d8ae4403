import { VarveError } from '../../base/errors.ts';
import { Gate } from '../../base/gate.ts';
import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';
import { cancelledError, throwIfCancelled } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import { withDeadline } from '../../io/deadline.ts';
import type { Files } from '../../io/files.ts';
import type { Limiter } from '../../io/limiter.ts';
import type { ObjectBody, ObjectStore } from '../../io/objects.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { mayRemove, mayUpload, tenantStale } from './attached-mode.ts';
import type { DeletionQueue } from './deletion-queue.ts';
import type { GenerationValidator } from './generation-validator.ts';
import { downloadLayer, layerBody } from './layer-transfer.ts';
import { indexKey, indexObjectName, layerKey, layerObjectName, type TimelineName } from './object-keys.ts';
import type { RemoteMetrics } from './remote-metrics.ts';
import { type IndexHead, type IndexLayer, type TimelineIndex, toIndexLayer } from './timeline-index.ts';
import { encodeTimelineIndex } from './timeline-index-codec.ts';
import { type IndexChange, type PlannedIndex, type PlannedUpload, UploadPlan } from './upload-plan.ts';

const RETRY_TIMING = { minMs: 100, maxMs: 30_000 };
/** A put that takes longer hangs: it is broken off, gives its permit to others, and is tried again. */
const PUT_LIMIT_MS = 60_000;
const PUT_BYTES_PER_MS_MIN = 256;
const putLimitMs = (sizeBytes: number): number => PUT_LIMIT_MS + Math.ceil(sizeBytes / PUT_BYTES_PER_MS_MIN);
/** With more layers than this waiting for their upload, ingest is to go slower. */
export const LAYERS_WAITING_MAX = 200;

export interface RemoteDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly objects: ObjectStore;
  /** How many layers a node uploads at once. */
  readonly uploads: Limiter;
  /** LAYERS_WAITING_MAX, if not given. */
  readonly layersWaitingMax?: number;
  readonly deletions: Pick<DeletionQueue, 'enqueue' | 'isPending' | 'isBehind'>;
  readonly validator: Pick<GenerationValidator, 'isCurrent'>;
  readonly logger: Logger;
  readonly metrics: RemoteMetrics;
}

/** What a timeline begins with: an index that was loaded, or that of a new timeline. */
export interface RemoteStart extends TimelineIndex {
  /** Of the index, or `new` where there is none in the store yet. */
  readonly generation: number | 'new';
  /** See LoadedIndex. */
  readonly olderGenerations: readonly number[];
}

interface Waiter {
  /** It waits for what is put nowhere while the tenant is stale. */
  readonly needsUploads: boolean;
  readonly isDone: () => boolean;
  readonly settle: (error?: VarveError) => void;
}

/**
 * What object storage has of one timeline in one attachment, and what is to get there. Scheduling is synchronous; what
 * is scheduled goes there in the order that UploadPlan says, with retries for ever, until `shutdown`. Layers that are no
 * longer named go to the deletion queue when an index without them is durable.
 *
 * A layer that waits for its upload is a file on the disk and a few words here. They have no hard bound, since a layer is
 * visible already when it is scheduled: `isBehind` says when whoever makes layers has to wait.
 */
export class RemoteTimeline {
  readonly generation: number;
  readonly #doors: RemoteDoors;
  readonly #name: TimelineName;
  readonly #plan: UploadPlan;
  readonly #gate: Gate;
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  readonly #waiters = new Set<Waiter>();
  /** Indexes of earlier attachments, to be removed when there is one of this attachment. */
  #olderIndexes: readonly number[];
  #visibleLsn: Lsn;
  #isValidating = false;
  #isStale = false;
  #mode: AttachedMode = 'AttachedSingle';
  /** Uploads that go on when they may. */
  readonly #parked = new Set<() => void>();
  /** Names of objects that no index names any more, and that are not removed before the mode allows it. */
  readonly #heldNames = new Set<string>();
  #isIndexHeld = false;
  /** Called when `visibleRemoteConsistentLsn` has risen. Must be quick and not throw. */
  onValidated: () => void = () => undefined;

  /** @param generation of this attachment */
  constructor(doors: RemoteDoors, start: RemoteStart, generation: number) {
    const { tenantId, timelineId } = start.head;
    this.generation = generation;
    this.#doors = { ...doors, logger: doors.logger.child({ tenantId, timelineId, generation }) };
    this.#name = { tenantId, timelineId };
    const isDurable = start.generation !== 'new';
    // One timeline never has all permits of the node.
    const share = Math.max(1, doors.uploads.limit - 1);
    this.#plan = new UploadPlan(start, isDurable, generation, share);
    this.#gate = new Gate(`the remote side of timeline ${timelineId}`);
    this.#olderIndexes = [...start.olderGenerations, start.generation].filter(
      (older): older is number => older !== 'new' && older < generation,
    );
    // What was durable before this attachment began needs no validation: later ones begin with it too, or with more. What
    // this attachment itself has put before the timeline was loaded anew may not have been validated yet.
    const isOwn = start.generation === generation;
    this.#visibleLsn = isDurable && !isOwn ? start.head.diskConsistentLsn : INVALID_LSN;
    if (isOwn) this.#tasks.run(() => this.#validate());
  }

  /** All WAL below is in layers that a durable index names; nobody has yet checked that this node is still the one. */
  get projectedRemoteConsistentLsn(): Lsn {
    return this.#plan.durableHead?.diskConsistentLsn ?? INVALID_LSN;
  }

  /** As above, and the generation was current after that index was put: what safekeepers may be told. Never goes back. */
  get visibleRemoteConsistentLsn(): Lsn {
    return this.#visibleLsn;
  }

  /**
   * How the tenant is attached. Where nothing may be uploaded, all that is scheduled stays so, but for what is under way in
   * that moment; where nothing may be removed, it is when that changes, or never.
   */
  get mode(): AttachedMode {
    return this.#mode;
  }

  set mode(mode: AttachedMode) {
    this.#mode = mode;
    if (this.#ending.signal.aborted) return;
    if (mayRemove(mode)) this.#removeNames([...this.#heldNames]);
    if (!mayUpload(mode)) {
      for (const { needsUploads, settle } of this.#waiters) if (needsUploads) settle(this.#staleError());
      return;
    }
    for (const wake of this.#parked) wake();
    this.#proceed();
    // What was put last has perhaps not been validated.
    if (!this.#isValidating && this.#plan.durableVersion > 0) this.#tasks.run(() => this.#validate());
  }

  /** Another node has taken over: nothing that this one puts will be read by anybody else. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** So many layers wait for their upload that no more should be made for now. */
  get isBehind(): boolean {
    return this.#plan.waitingLayers > (this.#doors.layersWaitingMax ?? LAYERS_WAITING_MAX);
  }

  /** Layers whose upload has not finished. */
  get waitingLayers(): number {
    return this.#plan.waitingLayers;
  }

  /** What the index is to say when all that is scheduled is done. */
  get intendedHead(): IndexHead {
    return this.#plan.intendedHead;
  }

  /** The layer that the index is to name then; undefined where it is to have none of this name. */
  findIntended(name: string): IndexLayer | undefined {
    return this.#plan.findIntended(name);
  }

  /** What the newest durable index says; undefined where there is none. */
  get durableHead(): IndexHead | undefined {
    return this.#plan.durableHead;
  }

  /**
   * Schedules the upload of a layer whose local file is whole and durable. To be called in the very step that makes the
   * layer visible to others (reads, compaction), with nothing awaited in between: who removes it then finds it here.
   * The file must stay until `isUploading` says no.
   *
   * @throws VarveError ‘conflict’ / LAYER_EXISTS where this attachment has, or is about to remove, an object of this
   *   name, TIMELINE_DELETED; ‘cancelled’ after `shutdown`
   */
  scheduleLayerUpload(layer: LayerDescription, path: string): void {
    this.#refuseClosed();
    const indexLayer = toIndexLayer(layer);
    const isHeld = this.#heldNames.has(layerObjectName(indexLayer.name, indexLayer.generation));
    if (isHeld || this.#doors.deletions.isPending(layerKey(this.#name, indexLayer))) {
      throw new VarveError('conflict', 'LAYER_EXISTS', 'an object of this name is about to be removed', {
        file: indexLayer.name,
      });
    }
    this.#plan.scheduleUpload(indexLayer, path);
    this.#doors.metrics.layersWaiting.add(1);
    this.#proceed();
  }

  /**
   * Schedules a change of the index, which is put when all layers that it names are there.
   * @throws VarveError ‘conflict’ / TIMELINE_DELETED; ‘cancelled’ after `shutdown`
   */
  scheduleIndexUpdate(change: IndexChange): void {
    this.#refuseClosed();
    this.#plan.scheduleChange(change);
    this.#proceed();
  }

  /**
   * Puts no index until `releaseIndex`, while layers are uploaded: nobody else is to know of a timeline before it is whole.
   */
  holdIndex(): void {
    this.#isIndexHeld = true;
  }

  /** @throws VarveError ‘cancelled’ after `shutdown` */
  releaseIndex(): void {
    this.#refuseClosed();
    this.#isIndexHeld = false;
    this.#proceed();
  }

  /** Whether the local file of this layer is still needed for its upload. */
  isUploading(name: string): boolean {
    return this.#plan.isUploading(name);
  }

  /** Resolves when the layer's upload, if there is one, has finished, so that its local file may go. */
  whenUploaded(name: string, signal: AbortSignal): Promise<void> {
    return this.#wait(() => !this.#plan.isUploading(name), signal);
  }

  /**
   * Resolves when all that has been scheduled so far is durable in the store.
   * @throws VarveError ‘cancelled’ when the signal is given or `shutdown` is called first; ‘unavailable’ / TENANT_STALE
   */
  waitForUploads(signal: AbortSignal): Promise<void> {
    const version = this.#plan.scheduledVersion;
    // Layers that no change names so far are waited for too: they are uploaded in the order of their scheduling.
    const layers = this.#plan.uploadingNames();
    return this.#wait(
      () => {
        while (layers.length > 0 && !this.#plan.isUploading(layers[layers.length - 1] as string))
          layers.pop();
        return layers.length === 0 && this.#plan.durableVersion >= version;
      },
      signal,
      true,
    );
  }

  /** Resolves when `isBehind` says no. @throws VarveError ‘cancelled’, as waitForUploads */
  whenCaughtUp(signal: AbortSignal): Promise<void> {
    return this.#wait(() => !this.isBehind, signal);
  }

  /** Fetches a layer that an index names. See layer-transfer.ts. */
  async downloadLayer(layer: IndexLayer, toPath: string, signal: AbortSignal): Promise<void> {
    using _pass = this.#gate.enter();
    const { metrics } = this.#doors;
    const either = AbortSignal.any([signal, this.#ending.signal]);
    try {
      await downloadLayer(this.#doors, this.#name, layer, toPath, either);
    } catch (error) {
      if (!either.aborted) metrics.layerDownloadErrors.increment();
      throw error;
    }
    metrics.layerDownloads.increment();
    metrics.layerDownloadBytes.add(layer.sizeBytes);
  }

  /** Ends all that is under way. What is not durable then is not; who waits for it is cancelled. */
  async shutdown(): Promise<void> {
    if (!this.#ending.signal.aborted) {
      this.#doors.metrics.layersWaiting.subtract(this.#plan.waitingLayers);
      this.#ending.abort();
      for (const { settle } of this.#waiters) settle(cancelledError(this.#ending.signal));
      for (const wake of this.#parked) wake();
    }
    await this.#tasks.settled();
    await this.#gate.close();
  }

  #refuseClosed(): void {
    throwIfCancelled(this.#ending.signal);
  }

  /** Starts all that may start now. */
  #proceed(): void {
    for (let upload = this.#plan.beginUpload(); upload !== undefined; upload = this.#plan.beginUpload()) {
      const begun = upload;
      this.#tasks.run(() => this.#upload(begun));
    }
    const index = this.#isIndexHeld ? undefined : this.#plan.beginIndexPut();
    if (index !== undefined) this.#tasks.run(() => this.#putIndex(index));
    for (const waiter of this.#waiters) if (waiter.isDone()) waiter.settle();
  }

  async #upload({ layer, path }: PlannedUpload): Promise<void> {
    const { files, uploads, metrics } = this.#doors;
    const { signal } = this.#ending;
    const body = layerBody(files, path, layer.sizeBytes);
    const key = layerKey(this.#name, layer);
    const isDone = await this.#untilItWorks('layer', key, metrics.layerUploadErrors, () =>
      // A permit is held for one try, never while it waits for the next.
      uploads.run(signal, () => this.#put(key, body, signal)),
    );
    // After `shutdown` nothing is scheduled or counted any more, whatever has come to the store.
    if (!isDone || signal.aborted) return;
    metrics.layerUploads.increment();
    metrics.layerUploadBytes.add(layer.sizeBytes);
    metrics.layersWaiting.subtract(1);
    this.#plan.finishUpload(layer.name);
    this.#proceed();
  }

  async #putIndex(index: PlannedIndex): Promise<void> {
    const { clock, metrics } = this.#doors;
    const { signal } = this.#ending;
    const key = indexKey(this.#name, this.generation);
    const pieces = await encodeTimelineIndex(index.head, index.layers, this.generation, () =>
      clock.yieldToOthers(),
    );
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const body = { sizeBytes, pieces: () => eachOf(pieces) };
    const isDone = await this.#untilItWorks('index', key, metrics.indexUploadErrors, () =>
      this.#put(key, body, signal),
    );
    if (!isDone || signal.aborted) return;
    metrics.indexUploads.increment();
    this.#removeGone(this.#plan.finishIndexPut(index));
    if (!this.#isValidating) this.#tasks.run(() => this.#validate());
    this.#proceed();
  }

  #removeGone(gone: readonly IndexLayer[]): void {
    const names = gone.map(({ name, generation }) => layerObjectName(name, generation));
    for (const generation of this.#olderIndexes) names.push(indexObjectName(generation));
    this.#olderIndexes = [];
    for (const name of names) this.#heldNames.add(name);
    if (mayRemove(this.#mode)) this.#removeNames(names);
  }

  #removeNames(names: readonly string[]): void {
    if (names.length > 0) this.#doors.deletions.enqueue(this.#name, this.generation, names);
    for (const name of names) this.#heldNames.delete(name);
  }

  #staleError(): VarveError {
    return tenantStale(this.#name.tenantId);
  }

  /** Whether it was tried: not, where nothing may be uploaded. */
  async #put(key: string, body: Exclude<ObjectBody, Uint8Array>, signal: AbortSignal): Promise<boolean> {
    if (!mayUpload(this.#mode)) return false;
    const { clock, objects } = this.#doors;
    await withDeadline(clock, putLimitMs(body.sizeBytes), signal, (limited) =>
      objects.put(key, body, { signal: limited }),
    );
    return true;
  }

  async #whenItMayUpload(): Promise<void> {
    while (!mayUpload(this.#mode) && !this.#ending.signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#parked.delete(wake);
          resolve();
        };
        this.#parked.add(wake);
      });
    }
  }

  /** Asks whether this node was still the one after the index was put, until no newer one has been put meanwhile. */
  async #validate(): Promise<void> {
    const { validator, logger, metrics } = this.#doors;
    const claim = { tenantId: this.#name.tenantId, generation: this.generation };
    this.#isValidating = true;
    try {
      for (let version = -1; version !== this.#plan.durableVersion; ) {
        version = this.#plan.durableVersion;
        const lsn = this.projectedRemoteConsistentLsn;
        const isCurrent = await validator.isCurrent(claim, this.#ending.signal);
        // Nobody listens to this node any more, whatever the generation source thinks.
        if (!mayUpload(this.#mode)) return;
        if (isCurrent) {
          if (lsn > this.#visibleLsn) {
            this.#visibleLsn = lsn;
            this.onValidated();
          }
          continue;
        }
        metrics.staleIndexUploads.increment();
        if (!this.#isStale) logger.warn('Another node has taken this tenant over');
        this.#isStale = true;
      }
    } catch (error) {
      // The node, or this timeline, is closing.
      if (!(error instanceof VarveError) || error.kind !== 'cancelled') throw error;
    } finally {
      this.#isValidating = false;
    }
  }

  /** Whether it has worked; not, where `shutdown` came first. */
  async #untilItWorks(
    what: string,
    key: string,
    errors: { increment(): void },
    action: () => Promise<boolean>,
  ): Promise<boolean> {
    const { clock, random, logger } = this.#doors;
    const { signal } = this.#ending;
    const retry = new RetryDelay(RETRY_TIMING, random);
    for (;;) {
      await this.#whenItMayUpload();
      if (signal.aborted) return false;
      try {
        if (await action()) return true;
        continue;
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        if (signal.aborted) return false;
        errors.increment();
        logger.warn('An upload failed and will be tried again', { what, key, error });
      }
      await pause(clock, retry.nextMs(), signal);
      if (signal.aborted) return false;
    }
  }

  async #wait(isDone: () => boolean, signal: AbortSignal, needsUploads = false): Promise<void> {
    if (isDone()) return;
    this.#refuseClosed();
    throwIfCancelled(signal);
    if (needsUploads && !mayUpload(this.#mode)) throw this.#staleError();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => waiter.settle(cancelledError(signal));
      const waiter: Waiter = {
        needsUploads,
        isDone,
        settle: (error) => {
          this.#waiters.delete(waiter);
          signal.removeEventListener('abort', onAbort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

async function* eachOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}
