import { VarveError } from '../../base/errors.ts';
import { Gate, type Pass } from '../../base/gate.ts';
import type { Lsn } from '../../base/lsn.ts';
import { throwIfCancelled, untilCancelled } from '../../io/cancelled.ts';
import type { Files } from '../../io/files.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { BlockCache } from '../layers/block-cache.ts';
import type { Block, BlockPins } from '../layers/blocks.ts';
import { LayerCursor } from '../layers/format/layer-cursor.ts';
import type { LayerIdentity, LayerOwner } from '../layers/format/layer-header.ts';
import { NewestCursor } from '../layers/format/newest-cursor.ts';
import type { FoundValues } from '../layers/found-values.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { LayerFile } from '../layers/layer-file.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { LAYER_RETIRED } from '../layers/retired-layer.ts';
import type { StoredLayer } from '../read/readable-timeline.ts';

/** What a layer needs of its timeline. */
export interface LayerHome extends LayerOwner {
  readonly files: Files;
  readonly directory: string;
  readonly blocks: BlockCache;
  /** Brings the layer's file from the bucket, whole and durable, under its path. */
  readonly fetch: (layer: LayerDescription, path: string) => Promise<void>;
  /** A file that was here is gone, though nobody of ours has removed it. */
  readonly onMissing: (path: string) => void;
}

/** A layer file of a timeline: read where it is, fetched where it is not, removed when nobody reads it any more. */
export class TimelineLayer implements StoredLayer {
  readonly kind: 'delta' | 'image';
  readonly keys: KeyRange;
  readonly lsnStart: Lsn;
  readonly lsnEnd: Lsn;
  readonly generation: number;
  readonly sizeBytes: number;
  /** All of that as plain data. */
  readonly description: LayerDescription;
  readonly path: string;
  readonly #home: LayerHome;
  readonly #gate: Gate;
  readonly #file: GatedLayerFile;
  #isLocal: boolean;
  #fetching: Promise<void> | undefined;

  constructor(description: LayerDescription, home: LayerHome, isLocal: boolean) {
    this.description = description;
    this.kind = description.kind;
    this.keys = description.keys;
    this.lsnStart = description.lsnStart;
    this.lsnEnd = description.lsnEnd;
    this.generation = description.generation;
    this.sizeBytes = description.sizeBytes;
    this.path = `${home.directory}/${formatLayerFileName(description)}`;
    this.#home = home;
    this.#isLocal = isLocal;
    this.#gate = new Gate(`layer ${this.path}`);
    const { tenantId, timelineId, blocks } = home;
    this.#file = new GatedLayerFile(
      {
        tenantId,
        timelineId,
        description,
        path: this.path,
        cache: blocks,
        open: (context) => this.#open(context.signal),
      },
      () => this.hold(),
      () => this.#noteMissing(),
    );
  }

  /** Whether its file is here: what is in the bucket only is fetched when it is read. */
  get isLocal(): boolean {
    return this.#isLocal;
  }

  search(
    key: Key,
    lsnStart: number,
    lsnEnd: number,
    pins: BlockPins,
    found: FoundValues,
    context: ReadContext,
  ): boolean {
    return this.#file.search(key, lsnStart, lsnEnd, pins, found, context);
  }

  scan(keys: KeyRange, { signal }: ReadContext): Promise<LayerCursor> {
    const { files } = this.#home;
    return this.#withFile(signal, () => LayerCursor.open(files, this.path, this.#identity, { keys, signal }));
  }

  scanNewest(keys: KeyRange, lsnEnd: number, { signal }: ReadContext): Promise<NewestCursor> {
    const { files } = this.#home;
    const options = { keys, lsnEnd, signal };
    return this.#withFile(signal, () => NewestCursor.open(files, this.path, this.#identity, options));
  }

  /**
   * Keeps the file from being removed, until the pass is left.
   * @throws VarveError ‘unavailable’ / LAYER_RETIRED
   */
  hold(): Pass {
    if (this.#gate.isClosed) {
      throw new VarveError('unavailable', LAYER_RETIRED, 'the layer has been replaced', { file: this.path });
    }
    return this.#gate.enter();
  }

  /** As makeLocal, for who hands the path on: looks whether the file is where it should be. */
  async makeSurelyLocal(signal: AbortSignal): Promise<void> {
    await this.#withFile(signal, () => this.#home.files.stat(this.path));
  }

  /**
   * Resolves when the file is here. Whoever gives up does not wait any longer; what is being fetched comes all the same.
   * @throws what fetching fails of; VarveError ‘cancelled’
   */
  async makeLocal(signal: AbortSignal): Promise<void> {
    if (this.#isLocal) return;
    throwIfCancelled(signal);
    this.#fetching ??= this.#fetch();
    await untilCancelled(signal, this.#fetching);
  }

  /** No read will come to it any more. Resolves when those that are under way are over and its file is closed. */
  async close(): Promise<void> {
    await this.#gate.close();
    await this.#file.close();
  }

  /** As `close`, and its file is gone. The object in the bucket is the remote side's business. */
  async remove(): Promise<void> {
    await this.close();
    if (this.#isLocal) await this.#home.files.remove(this.path);
  }

  get #identity(): LayerIdentity {
    const { tenantId, timelineId } = this.#home;
    return { tenantId, timelineId, description: this.description };
  }

  async #fetch(): Promise<void> {
    try {
      await this.#home.fetch(this, this.path);
      this.#isLocal = true;
    } finally {
      this.#fetching = undefined;
    }
  }

  #open(signal: AbortSignal): ReturnType<Files['open']> {
    return this.#withFile(signal, () => this.#home.files.open(this.path));
  }

  /** Does something with the file, which is fetched where it is not here. */
  async #withFile<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    await this.makeLocal(signal);
    try {
      return await action();
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    this.#noteMissing();
    await this.makeLocal(signal);
    return await action();
  }

  #noteMissing(): void {
    if (!this.#isLocal) return;
    this.#isLocal = false;
    this.#home.onMissing(this.path);
  }
}

const isMissing = (error: unknown): boolean => error instanceof VarveError && error.code === 'FILE_NOT_FOUND';

class GatedLayerFile extends LayerFile {
  readonly #hold: () => Pass;
  readonly #noteMissing: () => void;

  constructor(
    options: ConstructorParameters<typeof LayerFile>[0],
    hold: () => Pass,
    noteMissing: () => void,
  ) {
    super(options);
    this.#hold = hold;
    this.#noteMissing = noteMissing;
  }

  override async load(blocks: readonly number[], context: ReadContext): Promise<Block[]> {
    using _pass = this.#hold();
    try {
      return await super.load(blocks, context);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    // The file was open, and its descriptor was given back meanwhile.
    this.#noteMissing();
    await this.letGo();
    return await super.load(blocks, context);
  }
}
