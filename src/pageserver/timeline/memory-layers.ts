import { VarveError } from '../../base/errors.ts';
import type { Pass } from '../../base/gate.ts';
import type { Lsn } from '../../base/lsn.ts';
import { TaskSet } from '../../base/task-set.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Timer } from '../../io/clock.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import { Turn } from '../../io/turn.ts';
import type { JobInput } from '../../io/workers.ts';
import type { Logger } from '../../observe/log.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import type { jobs } from '../jobs.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import { OpenLayer } from '../layers/open-layer.ts';
import type { Stems } from '../layers/stems.ts';
import type { TimelineName } from '../remote/object-keys.ts';
import type { RemoteTimeline } from '../remote/remote-timeline.ts';
import { type IndexLayer, toIndexLayer } from '../remote/timeline-index.ts';
import { removeIfPossible } from './remove-if-possible.ts';
import type { TimelineSettings } from './settings.ts';
import type { StorageDoors } from './storage-doors.ts';

const OPEN_LAYER_BUFFER_BYTES = 1024 * 1024;
/** What a batch may bring in images beside its records, but for copies of databases, whose images are many more. */
const BATCH_IMAGES_BYTES = 1024 * 1024 * 1024;
const RETRY_TIMING = { minMs: 50, maxMs: 10_000 };
export const OPEN_LAYER_PREFIX = 'open-';

/** An open layer that takes no more values. */
interface FrozenLayer {
  readonly layer: OpenLayer;
  readonly lastRecordLsn: Lsn;
  /** Start of its last record. */
  readonly previousRecordLsn: Lsn;
}

/** The timeline, as far as it is needed here. */
interface Owner extends TimelineName {
  readonly doors: StorageDoors;
  readonly settings: TimelineSettings;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly generation: number;
  readonly directory: string;
  readonly version: PostgresVersion;
  readonly stems: Stems;
  readonly remote: RemoteTimeline;
  readonly lastRecordLsn: Lsn;
  readonly previousRecordLsn: Lsn;
  readonly onLayerAdded: () => void;
  readonly onProgress: () => void;
  enter(): Pass;
  addLayer(layer: IndexLayer): void;
  checkPositions(): void;
}

/**
 * What a timeline has taken in and has in no layer file yet: the layer that takes values, and those that are frozen and are
 * being written. Who puts values there does so in turn.
 */
export class MemoryLayers {
  readonly #timeline: Owner;
  readonly doors: StorageDoors;
  readonly #tasks = new TaskSet();
  /** Of whoever puts values into the open layer. */
  readonly #turn: Turn;
  /** Newest first. */
  layers: readonly OpenLayer[] = [];
  #open: OpenLayer | undefined;
  #openTimer: Timer | undefined;
  #openLayersMade = 0;
  #frozen: FrozenLayer[] = [];
  /** No layer that is frozen, or a file, has anything above. */
  #lastStoredLsn: number;
  #diskConsistentLsn: Lsn;
  /** Layers that are in no index, and will be in that of the next flush. */
  namedWithFlush: readonly string[] = [];
  #isFreezeWanted = false;
  #isFlushing = false;
  /** Those who wait for a frozen layer to become a file. */
  #flushWaiters: (() => void)[] = [];

  /** @param lastStoredLsn no layer file has anything above */
  constructor(timeline: Owner, diskConsistentLsn: Lsn, lastStoredLsn: number) {
    this.#timeline = timeline;
    this.doors = timeline.doors;
    this.#turn = new Turn(timeline.signal);
    this.#diskConsistentLsn = diskConsistentLsn;
    this.#lastStoredLsn = lastStoredLsn;
  }

  /** All that was taken in up to here is in layer files. */
  get diskConsistentLsn(): Lsn {
    return this.#diskConsistentLsn;
  }

  /** Why nothing is taken in or flushed any more. */
  get failure(): VarveError | undefined {
    return this.#turn.failure;
  }

  /** Frozen layers that are not files yet. */
  get frozenCount(): number {
    return this.#frozen.length;
  }

  /** What has been taken in and is in no layer file yet: by what still takes values, and what does not. */
  get bytes(): { readonly open: number; readonly frozen: number } {
    const frozen = this.#frozen.reduce((sum, { layer }) => sum + layer.fileBytes, 0);
    return { open: this.#open?.fileBytes ?? 0, frozen };
  }

  /**
   * The layer into which the next batch goes. Waits while there is no room: too many frozen layers, uploads too far
   * behind, or no file can be made.
   * @param endLsn above all LSNs of the batch
   * @throws VarveError ‘cancelled’
   */
  async beginBatch(endLsn: Lsn, lengthBytes: number): Promise<OpenLayer> {
    await this.#turn.take();
    try {
      return await this.#layerFor(endLsn, lengthBytes);
    } catch (error) {
      this.#turn.give();
      throw error;
    }
  }

  /** Puts something beside the last record. @param put does it, and returns the LSN that it got */
  async putBesideWal(
    put: (layerFor: (lengthBytes: number) => Promise<OpenLayer>) => Promise<number>,
  ): Promise<void> {
    await this.#turn.take();
    try {
      const endLsn = lastLsnBeside(this.#timeline.lastRecordLsn) + 1;
      const lsn = await put((lengthBytes) => this.#layerFor(endLsn as Lsn, lengthBytes));
      this.#lastStoredLsn = Math.max(this.#lastStoredLsn, lsn);
    } finally {
      this.endBatch();
    }
  }

  /** All of the batch has been published. */
  endBatch(): void {
    this.#turn.give();
    this.#timeline.checkPositions();
    if (this.#isFreezeWanted) this.#freezeNow();
  }

  /** What of the batch is in the open layer nobody can say: nobody puts anything there, or flushes it, any more. */
  fail(error: VarveError): void {
    this.#turn.fail(error);
    this.#wakeFlushWaiters();
  }

  /** What has been taken in so far goes into a layer file. Resolves when it is one. @throws VarveError ‘cancelled’; INGEST_FAILED */
  async flush(): Promise<void> {
    const lsn = this.#timeline.lastRecordLsn;
    this.freeze();
    const last = this.#frozen.at(-1);
    const isFrozen = (): boolean => last !== undefined && this.#frozen.includes(last);
    while (this.#diskConsistentLsn < lsn || isFrozen()) await this.#nextFlush();
  }

  /** The open layer takes no more values, from the end of the batch on that is being taken in. */
  freeze(): void {
    if (this.#turn.isTaken) this.#isFreezeWanted = true;
    else this.#freezeNow();
  }

  /** The timeline has been cancelled: whoever waits here learns of it. */
  cancel(): void {
    this.#openTimer?.cancel();
    this.#wakeFlushWaiters();
  }

  /** The timeline has been cancelled. Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    await this.#tasks.settled();
  }

  async #layerFor(endLsn: Lsn, lengthBytes: number): Promise<OpenLayer> {
    if (this.#open !== undefined && this.#isFull(this.#open, endLsn, lengthBytes)) this.#freezeNow();
    if (this.#open === undefined) await this.#waitForRoom();
    throwIfCancelled(this.#timeline.signal);
    this.#open ??= await this.#createOpenLayer();
    return this.#open;
  }

  #isFull(layer: OpenLayer, endLsn: Lsn, lengthBytes: number): boolean {
    return (
      layer.fileBytes >= this.#timeline.settings.openLayerBytes ||
      !layer.fits(endLsn, lengthBytes + BATCH_IMAGES_BYTES)
    );
  }

  async #waitForRoom(): Promise<void> {
    const { clock, metrics } = this.doors;
    const isCrowded = (): boolean => this.#frozen.length >= this.#timeline.settings.frozenLayersMax;
    while (isCrowded() || this.#timeline.remote.isBehind) {
      if (isCrowded()) await metrics.measure(clock, 'layer flush delay', () => this.#nextFlush());
      else
        await metrics.measure(clock, 'upload delay', () =>
          this.#timeline.remote.whenCaughtUp(this.#timeline.signal),
        );
    }
  }

  /** Tries until it works: a full disk passes. @throws VarveError ‘cancelled’ */
  async #createOpenLayer(): Promise<OpenLayer> {
    const retryDelay = new RetryDelay(RETRY_TIMING, this.doors.random);
    for (;;) {
      try {
        return await this.#tryCreateOpenLayer();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        throwIfCancelled(this.#timeline.signal);
        this.#timeline.log.warn('The file for what is taken in could not be made and will be tried again', {
          error,
        });
        await pause(this.doors.clock, retryDelay.nextMs(), this.#timeline.signal);
        throwIfCancelled(this.#timeline.signal);
      }
    }
  }

  async #tryCreateOpenLayer(): Promise<OpenLayer> {
    const pass = this.#timeline.enter();
    try {
      const layer = await OpenLayer.create({
        files: this.doors.files,
        path: `${this.#timeline.directory}/${OPEN_LAYER_PREFIX}${++this.#openLayersMade}`,
        lsnStart: (Math.max(this.#timeline.lastRecordLsn, this.#lastStoredLsn) + 1) as Lsn,
        stems: this.#timeline.stems,
        cache: this.doors.blocks,
        capBytes: OPEN_LAYER_BUFFER_BYTES,
        signal: this.#timeline.signal,
        pass,
        clock: this.doors.clock,
        retryDelay: new RetryDelay(RETRY_TIMING, this.doors.random),
        log: this.#timeline.log,
      });
      if (!this.#timeline.signal.aborted) {
        this.#openTimer = this.doors.clock.setTimer(this.#timeline.settings.openLayerAgeMs, () =>
          this.freeze(),
        );
      }
      this.layers = [layer, ...this.layers];
      return layer;
    } catch (error) {
      pass.leave();
      throw error;
    }
  }

  #freezeNow(): void {
    this.#isFreezeWanted = false;
    const layer = this.#open;
    if (layer === undefined) return;
    this.#open = undefined;
    this.#openTimer?.cancel();
    this.#lastStoredLsn = Math.max(this.#timeline.lastRecordLsn, this.#lastStoredLsn);
    layer.freeze((this.#lastStoredLsn + 1) as Lsn);
    if (layer.lsnEnd <= layer.lsnStart) {
      // Nothing of it has ever been published: WAL that was appended to it was damaged from its first record on.
      this.layers = this.layers.filter((other) => other !== layer);
      this.#tasks.run(() => this.#removeOpenLayer(layer));
      return;
    }
    const { lastRecordLsn, previousRecordLsn } = this.#timeline;
    this.#frozen.push({ layer, lastRecordLsn, previousRecordLsn });
    if (!this.#isFlushing) this.#tasks.run(() => this.#flushAll());
  }

  async #flushAll(): Promise<void> {
    this.#isFlushing = true;
    const retryDelay = new RetryDelay(RETRY_TIMING, this.doors.random);
    while (this.#frozen.length > 0 && !this.#timeline.signal.aborted) {
      try {
        const oldest = this.#frozen[0] as FrozenLayer;
        await this.doors.metrics.measure(this.doors.clock, 'layer flush', () => this.#flushOldest(oldest));
        retryDelay.reset();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        if (this.#timeline.signal.aborted) break;
        this.#timeline.log.warn('A layer could not be written and will be tried again', { error });
        await pause(this.doors.clock, retryDelay.nextMs(), this.#timeline.signal);
      }
    }
    this.#isFlushing = false;
  }

  async #flushOldest({ layer, lastRecordLsn, previousRecordLsn }: FrozenLayer): Promise<void> {
    await layer.finishWriting();
    const written = await this.doors.workers.run(
      'flushOpenLayer',
      this.#flushInput(layer),
      this.#timeline.signal,
    );
    throwIfCancelled(this.#timeline.signal);
    // One step: what reads see, what is uploaded, and what the index will say.
    const indexLayer = toIndexLayer(written);
    this.#timeline.addLayer(indexLayer);
    this.#frozen.shift();
    this.layers = this.layers.filter((other) => other !== layer);
    this.#diskConsistentLsn = lastRecordLsn;
    this.#timeline.remote.scheduleIndexUpdate({
      layersAdded: [...this.namedWithFlush, indexLayer.name],
      diskConsistentLsn: this.#diskConsistentLsn,
      previousRecordLsn,
    });
    this.namedWithFlush = [];
    this.#timeline.checkPositions();
    this.#tasks.run(() => this.#removeOpenLayer(layer));
    this.#wakeFlushWaiters();
    this.#timeline.onLayerAdded();
    this.#timeline.onProgress();
  }

  #flushInput(layer: OpenLayer): JobInput<(typeof jobs)['flushOpenLayer']> {
    return {
      tenantId: this.#timeline.tenantId,
      timelineId: this.#timeline.timelineId,
      layer: layer.share(),
      directory: this.#timeline.directory,
      temporaryName: 'flushed',
      postgresMajor: this.#timeline.version.major,
      lsnStart: layer.lsnStart,
      lsnEnd: layer.lsnEnd,
      generation: this.#timeline.generation,
      compression: this.#timeline.settings.isCompressed ? 'zstd' : 'none',
    };
  }

  /** Resolves when another frozen layer has become a file. @throws VarveError ‘cancelled’; INGEST_FAILED */
  async #nextFlush(): Promise<void> {
    this.#refuseFlush();
    await new Promise<void>((resolve) => this.#flushWaiters.push(resolve));
    this.#refuseFlush();
  }

  #refuseFlush(): void {
    throwIfCancelled(this.#timeline.signal);
    if (this.#turn.failure !== undefined) throw this.#turn.failure;
  }

  #wakeFlushWaiters(): void {
    for (const resolve of this.#flushWaiters.splice(0)) resolve();
  }

  async #removeOpenLayer(layer: OpenLayer): Promise<void> {
    await removeIfPossible(this.#timeline, `the open layer ${layer.path}`, async () => {
      await layer.finishWriting();
      await layer.remove();
    });
  }
}
