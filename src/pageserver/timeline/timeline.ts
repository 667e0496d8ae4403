import { isDeepStrictEqual } from 'node:util';
import { AssertionError, VarveError } from '../../base/errors.ts';
import { Gate, type Pass } from '../../base/gate.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { Logger } from '../../observe/log.ts';
import { getPostgresVersion, type PostgresVersion } from '../../postgres/versions/version.ts';
import { firstRecordPosition } from '../../postgres/wal/page-header.ts';
import { checkPositions, type TimelinePositions } from '../check-positions.ts';
import type { IntakePositions } from '../ingest/wal-intake.ts';
import { LayerMap } from '../layers/layer-map/layer-map.ts';
import type { OpenLayer } from '../layers/open-layer.ts';
import { PageCache } from '../layers/page-cache.ts';
import type { TaskKind } from '../layers/read-context.ts';
import { Stems } from '../layers/stems.ts';
import { ForkSizes } from '../read/fork-sizes.ts';
import { LsnQueue } from '../read/lsn-queue.ts';
import { PageReader } from '../read/page-reader.ts';
import { PatientReader } from '../read/patient-reader.ts';
import type { Ancestor, ReadableTimeline } from '../read/readable-timeline.ts';
import { TimelineReader } from '../read/timeline-reader.ts';
import { mayUpload } from '../remote/attached-mode.ts';
import { type RemoteStart, RemoteTimeline } from '../remote/remote-timeline.ts';
import {
  type IndexHead,
  type IndexLayer,
  toIndexLayer,
  toLayerDescription,
} from '../remote/timeline-index.ts';
import { MemoryLayers } from './memory-layers.ts';
import { removeIfPossible } from './remove-if-possible.ts';
import type { TimelineSettings } from './settings.ts';
import type { StorageDoors } from './storage-doors.ts';
import { storeAuxiliaryFile } from './store-auxiliary-file.ts';
import { type LayerHome, TimelineLayer } from './timeline-layer.ts';

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
  /** May be replaced at any time: whoever uses one looks it up anew. */
  settings: TimelineSettings;
  /** It was made in this attachment: nobody can have anything of it from an earlier one. */
  readonly isNew: boolean;
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
  readonly forkSizes: ForkSizes;
  previousRecordLsn: Lsn;
  readonly #home: LayerHome;
  readonly #gate: Gate;
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  readonly #memory: MemoryLayers;
  #gcCutoffLsn: Lsn;
  #poisonedRecords = 0;
  #ingestStop: VarveError | undefined;
  /** Below the cutoff, these are promised: where timelines branch off, and what somebody has a lease of. */
  retainedLsns: () => readonly Lsn[] = () => [];
  /** Rises whenever a layer file comes or goes. */
  layersVersion = 0;
  /** Called when an open layer has become a file. */
  onLayerAdded: () => void = () => undefined;
  /** Called when the disk, or the bucket for sure, has more of the WAL than before. Must be quick and not throw. */
  onProgress: () => void = () => undefined;

  constructor(doors: StorageDoors, options: TimelineStart) {
    const { head, layers } = options.start;
    this.doors = doors;
    this.tenantId = head.tenantId;
    this.timelineId = head.timelineId;
    this.generation = options.generation;
    this.directory = options.directory;
    this.settings = options.settings;
    this.isNew = options.start.generation === 'new';
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
    this.#gcCutoffLsn = head.gcCutoffLsn;
    this.remote = new RemoteTimeline(doors.remote, options.start, options.generation);
    this.remote.onValidated = () => this.onProgress();
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
    let lastStoredLsn: number = head.diskConsistentLsn;
    for (const { lsnEnd } of this.layers) lastStoredLsn = Math.max(lastStoredLsn, lsnEnd - 1);
    this.#memory = new MemoryLayers(this, head.diskConsistentLsn, lastStoredLsn);
    this.pageReader = new PageReader(this);
    this.forkSizes = new ForkSizes(this);
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
    return this.#memory.diskConsistentLsn;
  }

  /** Nothing is promised to be readable below it, but branch points and leases. */
  get gcCutoffLsn(): Lsn {
    return this.#gcCutoffLsn;
  }

  get positions(): IntakePositions {
    return {
      lastRecordLsn: this.lastRecordLsn,
      diskConsistentLsn: this.#memory.diskConsistentLsn,
      // Whoever takes the tenant over may have begun with less than what is in the store by now.
      remoteConsistentLsn: mayUpload(this.remote.mode) ? this.remote.visibleRemoteConsistentLsn : INVALID_LSN,
    };
  }

  get allPositions(): TimelinePositions {
    return {
      gcCutoff: this.#gcCutoffLsn,
      remoteConsistentVisible: this.remote.visibleRemoteConsistentLsn,
      remoteConsistentProjected: this.remote.projectedRemoteConsistentLsn,
      diskConsistent: this.#memory.diskConsistentLsn,
      lastRecord: this.lastRecordLsn,
    };
  }

  /** Milliseconds since 1970; undefined: it is not archived. */
  get archivedAtMs(): number | undefined {
    return this.remote.intendedHead.archivedAtMs;
  }

  /** Somebody wants all history to be kept. */
  get isGcBlocked(): boolean {
    return this.remote.intendedHead.isGcBlocked;
  }

  /** Where its history changes from what it made itself to what it was given of former ancestors; descending. */
  get edgeLsns(): readonly Lsn[] {
    return this.remote.intendedHead.detachedFrom?.edgeLsns ?? [];
  }

  /** It was detached from its ancestor, and branches of that need its history which do not yet say so. */
  get isGettingBranches(): boolean {
    return this.remote.intendedHead.detachedFrom?.isComplete === false;
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

  /** What has been taken in and is in no layer file yet, newest first. */
  get memoryLayers(): readonly OpenLayer[] {
    return this.#memory.layers;
  }

  /** Frozen layers that are not files yet. */
  get frozenLayers(): number {
    return this.#memory.frozenCount;
  }

  /** What has been taken in and is in no layer file yet: by what still takes values, and what does not. */
  get memoryLayerBytes(): { readonly open: number; readonly frozen: number } {
    return this.#memory.bytes;
  }

  /** Whether an LSN below the cutoff can be read all the same. */
  isRetained(lsn: Lsn): boolean {
    const retained = this.retainedLsns();
    if (retained.includes(lsn)) return true;
    // Where a page ends there is what there is where the next record begins, by which name leases are kept.
    const isEndOfRecord = lsn % 8 === 0;
    return isEndOfRecord && retained.includes(firstRecordPosition(lsn, this.walSegmentBytes) as Lsn);
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
  beginBatch(endLsn: Lsn, lengthBytes: number): Promise<OpenLayer> {
    return this.#memory.beginBatch(endLsn, lengthBytes);
  }

  /**
   * Stores an auxiliary object beside WAL: right behind the last record for whoever reads. Durable with the layer that it
   * goes into (`flush`), and not to be had again from WAL if it is lost before.
   * @param lsn where its content began to hold, at or below the last record; the last record itself, unless said otherwise.
   *   An object that is there with a later one stays
   * @throws BadRequestError, as changeAuxiliaryFiles; VarveError ‘unavailable’ / NO_ROOM_BESIDE_WAL, until there is more
   *   WAL; ‘cancelled’
   */
  async putAuxiliaryFile(path: string, content: Uint8Array | undefined, lsn?: Lsn): Promise<void> {
    using _pass = this.enter();
    await this.#memory.putBesideWal((layerFor) => storeAuxiliaryFile(this, { path, content, lsn }, layerFor));
  }

  /** What was put up to `lsn` can be read from now on. @param recordStartLsn of the record that ends there */
  publish(lsn: Lsn, recordStartLsn: Lsn): void {
    if (lsn <= this.lastRecordLsn) return;
    this.previousRecordLsn = recordStartLsn;
    this.lsns.advance(lsn);
  }

  /** All of the batch has been published. */
  endBatch(): void {
    this.#memory.endBatch();
  }

  /**
   * The batch broke off in its middle, by a bug: what of it is in the open layer nobody can say. Nothing is taken in or
   * flushed any more before the timeline is loaded anew; whoever waits for that is told why.
   */
  failBatch(error: unknown): void {
    if (this.signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    const failure = new VarveError(
      'unavailable',
      'INGEST_FAILED',
      `taking WAL in has failed: ${reason}`,
      {},
      error,
    );
    this.#memory.fail(failure);
    this.stopIngest(failure);
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
    if (this.#ingestStop === undefined || this.#memory.failure !== undefined || this.signal.aborted) return;
    this.#ingestStop = undefined;
    this.lsns.recover();
  }

  /** What has been taken in so far goes into a layer file. Resolves when it is one. @throws VarveError ‘cancelled’; INGEST_FAILED */
  flush(): Promise<void> {
    return this.#memory.flush();
  }

  /** The open layer takes no more values, from the end of the batch on that is being taken in. */
  freeze(): void {
    this.#memory.freeze();
  }

  /** Takes a layer file in that was written here. It can be read, and its upload is scheduled, from now on. */
  addLayer(layer: IndexLayer): TimelineLayer {
    const added = this.#makeLayer(layer, new Set([layer.name]));
    this.remote.scheduleLayerUpload(added, added.path);
    this.layers.insert(added);
    this.layersVersion++;
    return added;
  }

  /** Takes layers in as addLayer does; no index names them before the one that names what is flushed next. */
  addFirstLayers(layers: readonly IndexLayer[]): void {
    for (const layer of layers) this.addLayer(layer);
    this.#memory.namedWithFlush = layers.map((layer) => layer.name);
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

  /**
   * From now on nothing below is promised but what is leased, and where timelines branch off. It is in the index before
   * anything is removed on the strength of it.
   * @param leasedLsns below the cutoff, ascending
   */
  advanceGcCutoff(cutoff: Lsn, leasedLsns: readonly Lsn[] = this.remote.intendedHead.leasedLsns): void {
    const isSame = isDeepStrictEqual(leasedLsns, this.remote.intendedHead.leasedLsns);
    if (cutoff <= this.#gcCutoffLsn && isSame) return;
    this.#gcCutoffLsn = Math.max(cutoff, this.#gcCutoffLsn) as Lsn;
    this.remote.scheduleIndexUpdate({ gcCutoffLsn: this.#gcCutoffLsn, leasedLsns });
    this.checkPositions();
  }

  /** Whoever works in the timeline gives up. May be called again. */
  cancel(): void {
    if (this.#ending.signal.aborted) return;
    const error = new VarveError('cancelled', 'CLOSING', `timeline ${this.timelineId} is closing`);
    this.#ending.abort(error);
    this.#memory.cancel();
    this.lsns.fail(error);
  }

  /**
   * Ends all that is under way and waits for it. What is not in a layer file is forgotten, and comes from WAL again.
   * May be called again.
   */
  async close(): Promise<void> {
    this.cancel();
    await this.remote.shutdown();
    await this.#memory.settled();
    await this.#tasks.settled();
    await this.#gate.close();
    for (const layer of this.memoryLayers) await layer.close();
    for (const layer of this.layers) await layer.close();
    this.pages.drop();
  }

  #noteMissing(path: string): void {
    this.doors.metrics.refetchedLayers.increment();
    this.log.error('A layer file is gone from the disk and is fetched again', { file: path });
  }

  #makeLayer(layer: IndexLayer, local: ReadonlySet<string>): TimelineLayer {
    return new TimelineLayer(toLayerDescription(layer), this.#home, local.has(layer.name));
  }

  /** Nobody needs it any more: its file goes when the last read of it and its upload are over. */
  async #removeLayer(layer: TimelineLayer): Promise<void> {
    await removeIfPossible(this, `the layer ${layer.path}`, async () => {
      await layer.close();
      await this.remote.whenUploaded(toIndexLayer(layer).name, this.signal);
      await layer.remove();
    });
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
