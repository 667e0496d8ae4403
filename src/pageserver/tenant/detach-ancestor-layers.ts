import { AssertionError, VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import { compareKeys, KEY_BYTES, type Key, nextKey, writeKey } from '../keyspace/key.ts';
import type { LayerOwner } from '../layers/format/layer-header.ts';
import { LayerWriter } from '../layers/format/layer-writer.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerFileName, formatLayerName, type NamedLayer } from '../layers/layer-name.ts';
import { isRetired } from '../layers/retired-layer.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { TimelineLayer } from '../timeline/timeline-layer.ts';
import type { EdgeValue } from '../upkeep/cut-layer.ts';
import { copyLayer } from './detach-ancestor-copy.ts';
import type { SeenAncestor } from './detach-ancestor-edge.ts';

const RETRY_TIMING = { minMs: 100, maxMs: 30_000 };
/** So many layers wait for their upload at most. */
const UPLOADS_WAITING_MAX = 8;
/** Others get their turn after so many layers have been looked at. */
const LAYERS_A_TURN = 500;

/** A layer that the timeline is to be given. */
interface WantedLayer {
  readonly named: NamedLayer;
  readonly ancestor: SeenAncestor;
  /** undefined: no layer has these keys at the LSN at which the ancestor is cut. */
  readonly source: TimelineLayer | undefined;
  /** It has what the timeline does not see, or these are to be put into it. */
  readonly isCut: boolean;
  readonly edgeValues: readonly EdgeValue[];
}

interface MadeLayer {
  readonly description: LayerDescription;
  readonly path: string;
  /** Its file stays here when it has been uploaded. */
  readonly isKept: boolean;
}

/** All that is wanted, as the ancestors' layers were. */
interface Plan {
  readonly wanted: ReadonlyMap<string, WantedLayer>;
  readonly versions: readonly number[];
}

/**
 * The layers that a timeline sees of its ancestors, made its own: in its directory and on their way into the bucket. No
 * read and no index knows of them yet. Ancestors go on meanwhile: what is replaced there is wanted no more.
 */
export class GivenLayers {
  readonly #into: Timeline;
  readonly #ancestors: readonly SeenAncestor[];
  readonly #edges: ReadonlyMap<Lsn, readonly EdgeValue[]>;
  readonly #signal: AbortSignal;
  /** By their names; undefined: there is nothing in it. */
  readonly #made = new Map<string, MadeLayer | undefined>();
  readonly #uploading: string[] = [];
  #temporaryFiles = 0;

  constructor(
    into: Timeline,
    ancestors: readonly SeenAncestor[],
    edges: ReadonlyMap<Lsn, readonly EdgeValue[]>,
    signal: AbortSignal,
  ) {
    this.#into = into;
    this.#ancestors = ancestors;
    this.#edges = edges;
    this.#signal = signal;
  }

  /** Makes all that is lacking. @throws what reading or writing fails of for good; ‘cancelled’ */
  async make(): Promise<Plan> {
    for (;;) {
      const plan = await this.#plan();
      const lacking = [...plan.wanted].filter(([name]) => !this.#made.has(name));
      if (lacking.length === 0) return plan;
      for (const [name, wanted] of lacking) await this.#makePatiently(name, wanted);
    }
  }

  /** Whether the ancestors' layers are still those of the plan. */
  isCurrent({ versions }: Plan): boolean {
    return this.#ancestors.every(({ timeline }, index) => timeline.layersVersion === versions[index]);
  }

  /** Layers for the timeline's index, and those that were made and are wanted no more. */
  choose({ wanted }: Plan): { readonly layersAdded: string[]; readonly layersRemoved: string[] } {
    const names = this.#namesMade();
    return {
      layersAdded: names.filter((name) => wanted.has(name)),
      layersRemoved: names.filter((name) => !wanted.has(name)),
    };
  }

  /** The index that has them is durable: removes files that would not be here if nothing had been copied. */
  async tidy({ wanted }: Plan): Promise<void> {
    for (const [name, made] of this.#made) {
      if (made !== undefined && !(made.isKept && wanted.has(name)))
        await this.#into.doors.files.remove(made.path);
    }
  }

  /** Nothing comes of it: all that was made goes. Does nothing where the timeline has ended, as the next start does it. */
  async giveUp(): Promise<void> {
    const { remote, signal, doors } = this.#into;
    const names = this.#namesMade();
    if (signal.aborted || names.length === 0) return;
    remote.scheduleIndexUpdate({ layersRemoved: names });
    for (const [name, made] of this.#made) {
      if (made === undefined) continue;
      await remote.whenUploaded(name, signal);
      await doors.files.remove(made.path);
    }
    this.#made.clear();
  }

  #namesMade(): string[] {
    return [...this.#made].flatMap(([name, made]) => (made === undefined ? [] : [name]));
  }

  async #plan(): Promise<Plan> {
    for (;;) {
      const versions = this.#ancestors.map(({ timeline }) => timeline.layersVersion);
      const layers = await this.#wanted();
      const plan: Plan = { wanted: new Map(layers), versions };
      if (!this.isCurrent(plan)) continue;
      this.#refuseSameNames(plan, layers.length);
      return plan;
    }
  }

  /** Of two layers with one name only one could be given, and a layer of the timeline's own must stay. */
  #refuseSameNames({ wanted }: Plan, count: number): void {
    const { layers, timelineId } = this.#into;
    const edge = (this.#ancestors[0] as SeenAncestor).lsn;
    let isSame = wanted.size < count;
    for (const layer of layers) isSame ||= layer.lsnStart <= edge && wanted.has(formatLayerName(layer));
    if (isSame) throw new AssertionError(`two layers of timeline ${timelineId} would have the same name`);
  }

  async #wanted(): Promise<[string, WantedLayer][]> {
    const wanted: [string, WantedLayer][] = [];
    const add = (each: WantedLayer): void => void wanted.push([formatLayerName(each.named), each]);
    let looked = 0;
    for (const ancestor of this.#ancestors) {
      for (const layer of ancestor.timeline.layers) {
        if (++looked % LAYERS_A_TURN === 0) await this.#into.yieldToOthers();
        throwIfCancelled(this.#signal);
        if (layer.lsnStart <= ancestor.lsn) add(this.#wantedOf(ancestor, layer));
      }
    }
    for (const [lsn, values] of this.#edges) {
      const here = this.#ancestors.filter((ancestor) => ancestor.lsn === lsn);
      for (const value of values) {
        const isIn = here.some(
          ({ timeline }) => timeline.layers.layersAt(value.key, lsn, lsn + 1).length > 0,
        );
        if (!isIn) add(this.#edgeLayer(here[0] as SeenAncestor, value));
      }
    }
    return wanted;
  }

  #wantedOf(ancestor: SeenAncestor, source: TimelineLayer): WantedLayer {
    const { kind, keys, lsnStart } = source;
    const lsnEnd = Math.min(source.lsnEnd, ancestor.lsn + 1) as Lsn;
    const edgeValues =
      lsnEnd <= ancestor.lsn
        ? []
        : (this.#edges.get(ancestor.lsn) ?? []).filter(
            ({ key }) => compareKeys(keys.start, key) <= 0 && compareKeys(key, keys.end) < 0,
          );
    const isCut = lsnEnd < source.lsnEnd || edgeValues.length > 0;
    return { named: { kind, keys, lsnStart, lsnEnd }, ancestor, source, isCut, edgeValues };
  }

  #edgeLayer(ancestor: SeenAncestor, value: EdgeValue): WantedLayer {
    const keys = { start: value.key, end: nextKey(value.key) };
    const named = { kind: 'delta', keys, lsnStart: ancestor.lsn, lsnEnd: (ancestor.lsn + 1) as Lsn } as const;
    return { named, ancestor, source: undefined, isCut: false, edgeValues: [value] };
  }

  /** Tries until it works, or the layer is wanted no more. */
  async #makePatiently(name: string, wanted: WantedLayer): Promise<void> {
    const { doors, log } = this.#into;
    const retry = new RetryDelay(RETRY_TIMING, doors.random);
    await this.#waitForUploads();
    for (;;) {
      throwIfCancelled(this.#signal);
      try {
        await doors.background.run(this.#signal, () => this.#make(name, wanted));
        return;
      } catch (error) {
        const { source, ancestor } = wanted;
        const isReplaced = source !== undefined && !ancestor.timeline.layers.has(source);
        if (isRetired(error) || (isReplaced && error instanceof VarveError && error.kind !== 'assertion'))
          return;
        if (!(error instanceof VarveError) || error.kind !== 'unavailable') throw error;
        log.warn('A layer of an ancestor could not be copied and will be tried again', { name, error });
      }
      await pause(doors.clock, retry.nextMs(), this.#signal);
    }
  }

  async #waitForUploads(): Promise<void> {
    while (this.#uploading.length >= UPLOADS_WAITING_MAX) {
      await this.#into.remote.whenUploaded(this.#uploading.shift() as string, this.#signal);
    }
  }

  async #make(name: string, wanted: WantedLayer): Promise<void> {
    const { source, isCut } = wanted;
    using _hold = source?.hold();
    const wasLocal = source?.isLocal ?? true;
    const description = await (source === undefined
      ? this.#writeEdge(wanted)
      : isCut
        ? this.#cut(source, wanted)
        : copyLayer(wanted.ancestor.timeline, source, this.#into, this.#temporaryName(), this.#signal));
    throwIfCancelled(this.#signal);
    if (description === undefined) {
      this.#made.set(name, undefined);
      return;
    }
    const path = `${this.#into.directory}/${formatLayerFileName(description)}`;
    this.#into.remote.scheduleLayerUpload(description, path);
    this.#made.set(name, { description, path, isKept: wasLocal || isCut });
    this.#uploading.push(name);
  }

  async #cut(
    source: TimelineLayer,
    { ancestor, edgeValues, named }: WantedLayer,
  ): Promise<LayerDescription | undefined> {
    const { timeline, lsn } = ancestor;
    const into = this.#into;
    await source.makeSurelyLocal(this.#signal);
    const { description, path, lsnStart } = source;
    const { tenantId, timelineId } = timeline;
    return await into.doors.workers.run(
      'cutLayer',
      {
        layer: { path, layer: { tenantId, timelineId, description }, lsnStart, lsnEnd: named.lsnEnd },
        cutLsn: lsn,
        edgeValues,
        target: { ...this.#target(), targetBytes: Number.MAX_SAFE_INTEGER },
      },
      this.#signal,
    );
  }

  /** A layer of one value. */
  async #writeEdge({ named, edgeValues }: WantedLayer): Promise<LayerDescription> {
    const { files } = this.#into.doors;
    await using writer = await LayerWriter.create({ ...this.#target(), ...named, files });
    for (const { key, bytes } of edgeValues) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      writer.add(encode(key), 0, named.lsnStart, VALUE_IMAGE, bytes, view, 0, bytes.length);
    }
    return await writer.finish(named.keys);
  }

  #target(): LayerOwner & {
    readonly postgresMajor: number;
    readonly directory: string;
    readonly temporaryName: string;
    readonly generation: number;
    readonly compression: 'zstd' | 'none';
  } {
    const { tenantId, timelineId, version, directory, generation, settings } = this.#into;
    return {
      tenantId,
      timelineId,
      postgresMajor: version.major,
      directory,
      temporaryName: this.#temporaryName(),
      generation,
      compression: settings.isCompressed ? 'zstd' : 'none',
    };
  }

  #temporaryName(): string {
    return `given-${++this.#temporaryFiles}`;
  }
}

function encode(key: Key): DataView {
  const view = new DataView(new ArrayBuffer(KEY_BYTES));
  writeKey(view, 0, key);
  return view;
}
