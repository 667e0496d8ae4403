import { AssertionError, VarveError } from '../../base/errors.ts';
import { Gate, type Pass } from '../../base/gate.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import { TaskSet } from '../../base/task-set.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Timer } from '../../io/clock.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import { Turn } from '../../io/turn.ts';
import type { JobInput } from '../../io/workers.ts';
import type { Logger } from '../../observe/log.ts';
import { getPostgresVersion, type PostgresVersion } from '../../postgres/versions/version.ts';
import { checkPositions, type TimelinePositions } from '../check-positions.ts';
import type { IntakePositions } from '../ingest/wal-intake.ts';
import type { jobs } from '../jobs.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import { LayerMap } from '../layers/layer-map/layer-map.ts';
import { OpenLayer } from '../layers/open-layer.ts';
import { PageCache } from '../layers/page-cache.ts';
import type { TaskKind } from '../layers/read-context.ts';
import { Stems } from '../layers/stems.ts';
import { LsnQueue } from '../read/lsn-queue.ts';
import { PageReader } from '../read/page-reader.ts';
import { PatientReader } from '../read/patient-reader.ts';
import type { Ancestor, ReadableTimeline } from '../read/readable-timeline.ts';
import { TimelineReader } from '../read/timeline-reader.ts';
import { type RemoteStart, RemoteTimeline } from '../remote/remote-timeline.ts';
import {
  type IndexHead,
  type IndexLayer,
  toIndexLayer,
  toLayerDescription,
} from '../remote/timeline-index.ts';
import type { TimelineSettings } from './settings.ts';
import type { StorageDoors } from './storage-doors.ts';
import { storeAuxiliaryFile } from './store-auxiliary-file.ts';
import { type LayerHome, TimelineLayer } from './timeline-layer.ts';

const OPEN_LAYER_BUFFER_BYTES = 1024 * 1024;
/** What a batch may bring in images beside its records, but for copies of databases, whose images are many more. */
const BATCH_IMAGES_BYTES = 1024 * 1024 * 1024;
const RETRY_TIMING = { minMs: 50, maxMs: 10_000 };
export const OPEN_LAYER_PREFIX = 'open-';

export interface TimelineStart {
  readonly start: RemoteStart;
  /** Of this attachment. */
  readonly generation: number;
  /** Where its local files are; it exists. */
  readonly directory: string;
  readonly settings: TimelineSettings;
  /** The timeline that the index names as ancestor. */
  readonly ancestor: Timeline | undefined;
  /** Layers of the index whose files are here. */
  readonly localLayers: ReadonlySet<string>;
}

/** An open layer that takes no more values. */
interface FrozenLayer {
  readonly layer: OpenLayer;
  readonly lastRecordLsn: Lsn;
  /** Start of its last record. */
  readonly previousRecordLsn: Lsn;
}

/**
 * One timeline of a tenant: what has been taken in of its WAL and can be read at any LSN of its history. It holds the
 * layers and the positions, and sees to it that both change in the right order; what comes in, what is read and what is
 * tidied up is in the files beside.
 */
export class Timeline implements ReadableTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly generation: number;
  readonly directory: string;
  readonly settings: TimelineSettings;
  readonly version: PostgresVersion;
  readonly walSegmentBytes: number;
  readonly systemIdentifier: bigint;
  readonly hasDataChecksums: boolean;
  readonly initialLsn: Lsn;
  readonly ancestorTimeline: Timeline | undefined;
  readonly ancestor: Ancestor | undefined;
  readonly doors: StorageDoors;
  readonly log: Logger;
  readonly stems = new Stems();
  readonly pages: PageCache;
  readonly layers = new LayerMap<TimelineLayer>();
  readonly remote: RemoteTimeline;
  /** The end of the last record that can be read, and those who wait for later ones. */
  readonly lsns: LsnQueue;
  readonly pageReader: PageReader;
  memoryLayers: readonly OpenLayer[] = [];
  previousRecordLsn: Lsn;
  readonly #home: LayerHome;
  readonly #gate: Gate;
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  #open: OpenLayer | undefined;
  #openTimer: Timer | undefined;
  #openLayersMade = 0;
  #frozen: FrozenLayer[] = [];
  /** Of whoever puts values into the open layer. */
  readonly #batchTurn = new Turn(this.#ending.signal);
  /** No layer that is frozen, or a file, has anything above. */
  #lastStoredLsn: number;
  #isFreezeWanted = false;
  #isFlushing = false;
  #diskConsistentLsn: Lsn;
  #gcCutoffLsn: Lsn;
  #poisonedRecords = 0;
  #ingestStop: VarveError | undefined;
  /** Those who wait for a frozen layer to become a file. */
  #flushWaiters: (() => void)[] = [];
  /** Below the cutoff, these are promised: where timelines branch off, and what somebody has a lease of. */
  retainedLsns: () => readonly Lsn[] = () => [];
  /** Rises whenever a layer file comes or goes. */
  layersVersion = 0;
  /** Called when an open layer has become a file. */
  onLayerAdded: () => void = () => undefined;

  constructor(doors: StorageDoors, options: TimelineStart) {
    const { head, layers } = options.start;
    this.doors = doors;
    this.tenantId = head.tenantId;
    this.timelineId = head.timelineId;
    this.generation = options.generation;
    this.directory = options.directory;
    this.settings = options.settings;
    this.version = getPostgresVersion(head.postgresMajor);
    this.walSegmentBytes = head.walSegmentBytes;
    this.systemIdentifier = head.systemIdentifier;
    this.hasDataChecksums = head.hasDataChecksums;
    this.initialLsn = head.initialLsn;
    this.log = doors.logger.child({ tenantId: head.tenantId, timelineId: head.timelineId });
    this.pages = new PageCache(doors.pages);
    this.#gate = new Gate(`timeline ${head.timelineId}`);
    this.ancestorTimeline = options.ancestor;
    this.ancestor = ancestorOf(head, options.ancestor);
    this.previousRecordLsn = head.previousRecordLsn;
    this.#diskConsistentLsn = head.diskConsistentLsn;
    this.#gcCutoffLsn = head.gcCutoffLsn;
    this.remote = new RemoteTimeline(doors.remote, options.start, options.generation);
    this.lsns = new LsnQueue(doors.clock, head.diskConsistentLsn);
    this.#home = {
      tenantId: head.tenantId,
      timelineId: head.timelineId,
      files: doors.files,
      directory: options.directory,
      blocks: doors.blocks,
      fetch: (layer, path) => this.remote.downloadLayer(toIndexLayer(layer), path, this.#ending.signal),
      onMissing: (path) => this.#noteMissing(path),
    };
    for (const layer of layers.values()) this.layers.insert(this.#makeLayer(layer, options.localLayers));
    this.#lastStoredLsn = head.diskConsistentLsn;
    for (const { lsnEnd } of this.layers) this.#lastStoredLsn = Math.max(this.#lastStoredLsn, lsnEnd - 1);
    this.pageReader = new PageReader(this);
    this.checkPositions();
  }

  /** Given when the timeline ends: whoever waits inside obeys it. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get lastRecordLsn(): Lsn {
    return this.lsns.lsn as Lsn;
  }

  get diskConsistentLsn(): Lsn {
    return this.#diskConsistentLsn;
  }

  /** Nothing is promised to be readable below it, but branch points and leases. */
  get gcCutoffLsn(): Lsn {
    return this.#gcCutoffLsn;
  }

  get positions(): IntakePositions {
    return {
      lastRecordLsn: this.lastRecordLsn,
      diskConsistentLsn: this.#diskConsistentLsn,
      remoteConsistentLsn: this.remote.visibleRemoteConsistentLsn,
    };
  }

  get allPositions(): TimelinePositions {
    return {
      gcCutoff: this.#gcCutoffLsn,
      remoteConsistentVisible: this.remote.visibleRemoteConsistentLsn,
      remoteConsistentProjected: this.remote.projectedRemoteConsistentLsn,
      diskConsistent: this.#diskConsistentLsn,
      lastRecord: this.lastRecordLsn,
    };
  }

  /** Records that could not be taken in. Pages that they would have changed cannot be read from there on. */
  get poisonedRecords(): number {
    return this.#poisonedRecords;
  }

  /**
   * Why no WAL is taken in any more: a record could not be taken in and names no page that could be poisoned, or what is
   * stored is damaged where ingest has to know it. Reads up to the last record go on. undefined: WAL is taken in.
   */
  get ingestStop(): VarveError | undefined {
    return this.#ingestStop;
  }

  /** Frozen layers that are not files yet. */
  get frozenLayers(): number {
    return this.#frozen.length;
  }

  /** What has been taken in and is in no layer file yet: by what still takes values, and what does not. */
  get memoryLayerBytes(): { readonly open: number; readonly frozen: number } {
    const frozen = this.#frozen.reduce((sum, { layer }) => sum + layer.fileBytes, 0);
    return { open: this.#open?.fileBytes ?? 0, frozen };
  }

  /** Whether an LSN below the cutoff can be read all the same. */
  isRetained(lsn: Lsn): boolean {
    return this.retainedLsns().includes(lsn);
  }

  /** @throws VarveError ‘cancelled’ / CLOSING */
  enter(): Pass {
    return this.#gate.enter();
  }

  yieldToOthers(): Promise<void> {
    return this.doors.clock.yieldToOthers();
  }

  /** Reads on behalf of a task of the timeline's own, which ends with it. */
  readerFor(task: TaskKind): TimelineReader {
    return new TimelineReader(this, this.pageReader, { task, signal: this.#ending.signal });
  }

  /** As readerFor, for ingest, which cannot go on without an answer: what is not available is waited for. */
  readerForIngest(): TimelineReader {
    const { clock, random, metrics } = this.doors;
    const doors = { clock, random, log: this.log, onFailure: (error: Error) => metrics.noteReadError(error) };
    return new PatientReader(doors, this, this.pageReader, { task: 'ingest', signal: this.#ending.signal });
  }

  checkPositions(): void {
    const positions = this.allPositions;
    // A timeline that has no index yet has nothing that is remotely consistent.
    if (positions.remoteConsistentProjected === 0) return;
    checkPositions({
      ...positions,
      gcCutoff: Math.min(positions.gcCutoff, positions.remoteConsistentVisible) as Lsn,
    });
  }

  /**
   * The layer into which the next batch goes. Waits while there is no room: too many frozen layers, uploads too far
   * behind, or no file can be made.
   * @param endLsn above all LSNs of the batch
   * @throws VarveError ‘cancelled’
   */
  async beginBatch(endLsn: Lsn, lengthBytes: number): Promise<OpenLayer> {
    await this.#batchTurn.take();
    try {
      return await this.#layerFor(endLsn, lengthBytes);
    } catch (error) {
      this.#batchTurn.give();
      throw error;
    }
  }

  /**
   * Stores an auxiliary object as of the last record, beside WAL: right behind that record for whoever reads. Durable
   * with the layer that it goes into (`flush`), and not to be had again from WAL if it is lost before.
   * @throws BadRequestError, as changeAuxiliaryFiles; VarveError ‘unavailable’ / NO_ROOM_BESIDE_WAL, until there is more
   *   WAL; ‘cancelled’
   */
  async putAuxiliaryFile(path: string, content: Uint8Array | undefined): Promise<void> {
    using _pass = this.enter();
    await this.#batchTurn.take();
    try {
      const endLsn = lastLsnBeside(this.lastRecordLsn) + 1;
      const layerFor = (lengthBytes: number): Promise<OpenLayer> =>
        this.#layerFor(endLsn as Lsn, lengthBytes);
      const lsn = await storeAuxiliaryFile(this, path, content, layerFor);
      this.#lastStoredLsn = Math.max(this.#lastStoredLsn, lsn);
    } finally {
      this.endBatch();
    }
  }

  async #layerFor(endLsn: Lsn, lengthBytes: number): Promise<OpenLayer> {
    if (this.#open !== undefined && this.#isFull(this.#open, endLsn, lengthBytes)) this.#freezeNow();
    if (this.#open === undefined) await this.#waitForRoom();
    throwIfCancelled(this.signal);
    this.#open ??= await this.#createOpenLayer();
    return this.#open;
  }

  /** What was put up to `lsn` can be read from now on. @param recordStartLsn of the record that ends there */
  publish(lsn: Lsn, recordStartLsn: Lsn): void {
    if (lsn <= this.lastRecordLsn) return;
    this.previousRecordLsn = recordStartLsn;
    this.lsns.advance(lsn);
  }

  /** All of the batch has been published. */
  endBatch(): void {
    this.#batchTurn.give();
    this.checkPositions();
    if (this.#isFreezeWanted) this.#freezeNow();
  }

  notePoison(lsn: Lsn, error: unknown): void {
    this.#poisonedRecords++;
    this.doors.metrics.poisonedRecords.increment();
    this.log.error('A record could not be taken in: pages that it changes cannot be read', { lsn, error });
  }

  /** No WAL is taken in from now on. Who waits for a later LSN is told why. */
  stopIngest(error: VarveError): void {
    this.#ingestStop = error;
    this.log.error('No more WAL is taken in', { lsn: this.lastRecordLsn, error });
    if (!this.signal.aborted) this.lsns.fail(error);
  }

  /** It is tried again. */
  resumeIngest(): void {
    if (this.#ingestStop === undefined || this.signal.aborted) return;
    this.#ingestStop = undefined;
    this.lsns.recover();
  }

  /** What has been taken in so far goes into a layer file. Resolves when it is one. @throws VarveError ‘cancelled’ */
  async flush(): Promise<void> {
    const lsn = this.lastRecordLsn;
    this.freeze();
    const last = this.#frozen.at(-1);
    const isFrozen = (): boolean => last !== undefined && this.#frozen.includes(last);
    while (this.#diskConsistentLsn < lsn || isFrozen()) await this.#nextFlush();
  }

  /** The open layer takes no more values, from the end of the batch on that is being taken in. */
  freeze(): void {
    if (this.#batchTurn.isTaken) this.#isFreezeWanted = true;
    else this.#freezeNow();
  }

  /** Takes a layer file in that was written here. It can be read, and its upload is scheduled, from now on. */
  addLayer(layer: IndexLayer): TimelineLayer {
    const added = this.#makeLayer(layer, new Set([layer.name]));
    this.remote.scheduleLayerUpload(added, added.path);
    this.layers.insert(added);
    this.layersVersion++;
    return added;
  }

  /**
   * Puts layers in the place of others, in one step. The files of those that go are removed when nobody needs them.
   * @param added written here
   */
  replaceLayers(removed: readonly TimelineLayer[], added: readonly IndexLayer[]): void {
    for (const layer of added) this.addLayer(layer);
    for (const layer of removed) this.layers.remove(layer);
    this.layersVersion++;
    this.remote.scheduleIndexUpdate({
      layersAdded: added.map((layer) => layer.name),
      layersRemoved: removed.map((layer) => toIndexLayer(layer).name),
    });
    for (const layer of removed) this.#tasks.run(() => this.#removeLayer(layer));
  }

  /** From now on nothing below is promised. It is in the index before anything is removed on the strength of it. */
  advanceGcCutoff(lsn: Lsn): void {
    if (lsn <= this.#gcCutoffLsn) return;
    this.#gcCutoffLsn = lsn;
    this.remote.scheduleIndexUpdate({ gcCutoffLsn: lsn });
    this.checkPositions();
  }

  /** Whoever works in the timeline gives up. May be called again. */
  cancel(): void {
    if (this.#ending.signal.aborted) return;
    const error = new VarveError('cancelled', 'CLOSING', `timeline ${this.timelineId} is closing`);
    this.#ending.abort(error);
    this.#openTimer?.cancel();
    this.lsns.fail(error);
    this.#wakeFlushWaiters();
  }

  /**
   * Ends all that is under way and waits for it. What is not in a layer file is forgotten, and comes from WAL again.
   * May be called again.
   */
  async close(): Promise<void> {
    this.cancel();
    await this.remote.shutdown();
    await this.#tasks.settled();
    await this.#gate.close();
    for (const layer of this.memoryLayers) await layer.close();
    for (const layer of this.layers) await layer.close();
    this.pages.drop();
  }

  #isFull(layer: OpenLayer, endLsn: Lsn, lengthBytes: number): boolean {
    return (
      layer.fileBytes >= this.settings.openLayerBytes || !layer.fits(endLsn, lengthBytes + BATCH_IMAGES_BYTES)
    );
  }

  async #waitForRoom(): Promise<void> {
    const { clock, metrics } = this.doors;
    const isCrowded = (): boolean => this.#frozen.length >= this.settings.frozenLayersMax;
    while (isCrowded() || this.remote.isBehind) {
      if (isCrowded()) await metrics.measure(clock, 'layer flush delay', () => this.#nextFlush());
      else await metrics.measure(clock, 'upload delay', () => this.remote.whenCaughtUp(this.signal));
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
        throwIfCancelled(this.signal);
        this.log.warn('The file for what is taken in could not be made and will be tried again', { error });
        await pause(this.doors.clock, retryDelay.nextMs(), this.signal);
        throwIfCancelled(this.signal);
      }
    }
  }

  async #tryCreateOpenLayer(): Promise<OpenLayer> {
    const pass = this.#gate.enter();
    try {
      const layer = await OpenLayer.create({
        files: this.doors.files,
        path: `${this.directory}/${OPEN_LAYER_PREFIX}${++this.#openLayersMade}`,
        lsnStart: (Math.max(this.lastRecordLsn, this.#lastStoredLsn) + 1) as Lsn,
        stems: this.stems,
        cache: this.doors.blocks,
        capBytes: OPEN_LAYER_BUFFER_BYTES,
        signal: this.signal,
        pass,
        clock: this.doors.clock,
        retryDelay: new RetryDelay(RETRY_TIMING, this.doors.random),
        log: this.log,
      });
      if (!this.signal.aborted) {
        this.#openTimer = this.doors.clock.setTimer(this.settings.openLayerAgeMs, () => this.freeze());
      }
      this.memoryLayers = [layer, ...this.memoryLayers];
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
    this.#lastStoredLsn = Math.max(this.lastRecordLsn, this.#lastStoredLsn);
    layer.freeze((this.#lastStoredLsn + 1) as Lsn);
    if (layer.lsnEnd <= layer.lsnStart) {
      // Nothing of it has ever been published: WAL that was appended to it was damaged from its first record on.
      this.memoryLayers = this.memoryLayers.filter((other) => other !== layer);
      this.#tasks.run(() => this.#removeOpenLayer(layer));
      return;
    }
    const { lastRecordLsn, previousRecordLsn } = this;
    this.#frozen.push({ layer, lastRecordLsn, previousRecordLsn });
    if (!this.#isFlushing) this.#tasks.run(() => this.#flushAll());
  }

  async #flushAll(): Promise<void> {
    this.#isFlushing = true;
    const retryDelay = new RetryDelay(RETRY_TIMING, this.doors.random);
    while (this.#frozen.length > 0 && !this.signal.aborted) {
      try {
        const oldest = this.#frozen[0] as FrozenLayer;
        await this.doors.metrics.measure(this.doors.clock, 'layer flush', () => this.#flushOldest(oldest));
        retryDelay.reset();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        if (this.signal.aborted) break;
        this.log.warn('A layer could not be written and will be tried again', { error });
        await pause(this.doors.clock, retryDelay.nextMs(), this.signal);
      }
    }
    this.#isFlushing = false;
  }

  async #flushOldest({ layer, lastRecordLsn, previousRecordLsn }: FrozenLayer): Promise<void> {
    await layer.finishWriting();
    const written = await this.doors.workers.run('flushOpenLayer', this.#flushInput(layer), this.signal);
    throwIfCancelled(this.signal);
    // One step: what reads see, what is uploaded, and what the index will say.
    const indexLayer = toIndexLayer(written);
    this.addLayer(indexLayer);
    this.#frozen.shift();
    this.memoryLayers = this.memoryLayers.filter((other) => other !== layer);
    this.#diskConsistentLsn = lastRecordLsn;
    this.remote.scheduleIndexUpdate({
      layersAdded: [indexLayer.name],
      diskConsistentLsn: this.#diskConsistentLsn,
      previousRecordLsn,
    });
    this.checkPositions();
    this.#tasks.run(() => this.#removeOpenLayer(layer));
    this.#wakeFlushWaiters();
    this.onLayerAdded();
  }

  #flushInput(layer: OpenLayer): JobInput<(typeof jobs)['flushOpenLayer']> {
    return {
      tenantId: this.tenantId,
      timelineId: this.timelineId,
      layer: layer.share(),
      directory: this.directory,
      temporaryName: 'flushed',
      postgresMajor: this.version.major,
      lsnStart: layer.lsnStart,
      lsnEnd: layer.lsnEnd,
      generation: this.generation,
      compression: this.settings.isCompressed ? 'zstd' : 'none',
    };
  }

  /** Resolves when another frozen layer has become a file. @throws VarveError ‘cancelled’ */
  async #nextFlush(): Promise<void> {
    throwIfCancelled(this.signal);
    await new Promise<void>((resolve) => this.#flushWaiters.push(resolve));
    throwIfCancelled(this.signal);
  }

  #noteMissing(path: string): void {
    this.doors.metrics.refetchedLayers.increment();
    this.log.error('A layer file is gone from the disk and is fetched again', { file: path });
  }

  #wakeFlushWaiters(): void {
    for (const resolve of this.#flushWaiters.splice(0)) resolve();
  }

  #makeLayer(layer: IndexLayer, local: ReadonlySet<string>): TimelineLayer {
    return new TimelineLayer(toLayerDescription(layer), this.#home, local.has(layer.name));
  }

  /** Nobody needs it any more: its file goes when the last read of it and its upload are over. */
  async #removeLayer(layer: TimelineLayer): Promise<void> {
    await this.#tidy(`the layer ${layer.path}`, async () => {
      await layer.close();
      await this.remote.whenUploaded(toIndexLayer(layer).name, this.signal);
      await layer.remove();
    });
  }

  async #removeOpenLayer(layer: OpenLayer): Promise<void> {
    await this.#tidy(`the open layer ${layer.path}`, async () => {
      await layer.finishWriting();
      await layer.remove();
    });
  }

  /** What fails here is done at the next start. */
  async #tidy(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (!this.signal.aborted)
        this.log.warn('A file that is not needed stays until the next start', { what, error });
    }
  }
}

function ancestorOf(head: IndexHead, timeline: Timeline | undefined): Ancestor | undefined {
  if (head.ancestor === undefined) return undefined;
  if (timeline?.timelineId !== head.ancestor.timelineId) {
    throw new AssertionError(
      `timeline ${head.timelineId} is to be loaded after its ancestor ${head.ancestor.timelineId}`,
    );
  }
  return { timeline, lsn: head.ancestor.lsn };
}
