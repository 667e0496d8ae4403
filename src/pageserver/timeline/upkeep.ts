import type { Lsn } from '../../base/lsn.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import { type KeyRange, rangesOverlap } from '../keyspace/key-range.ts';
import {
  KIND_RELATION_BLOCK,
  KIND_RELATION_SIZE,
  KIND_SLRU_BLOCK,
  KIND_SLRU_SEGMENT,
  kindRange,
} from '../keyspace/keys.ts';
import { decodeSize } from '../keyspace/stored-values.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import { stretchOf } from '../layers/record-positions.ts';
import { findVisibleLayers, type VisibleLayer } from '../read/visible-layers.ts';
import { toIndexLayer } from '../remote/timeline-index.ts';
import type { CutoffDecision } from '../upkeep/gc-cutoff.ts';
import type { LayerInput } from '../upkeep/layer-inputs.ts';
import type { OutputTarget } from '../upkeep/layer-outputs.ts';
import { joinPages, type Liveness, type LivePages, makeLiveness } from '../upkeep/liveness.ts';
import { pickBottom } from '../upkeep/pick-bottom.ts';
import { pickCompaction } from '../upkeep/pick-compaction.ts';
import { pickGarbage } from '../upkeep/pick-garbage.ts';
import { type ImageTask, pickImages } from '../upkeep/pick-images.ts';
import type { Slices } from '../upkeep/slices.ts';
import type { Timeline } from './timeline.ts';
import type { TimelineLayer } from './timeline-layer.ts';
import type { TimelineReads } from './timeline-reads.ts';

/** Decisions are made in slices of about so long. */
const SLICE_MS = 1;
/** Level-0 layers that are compacted at once are at most so many times the wanted size. */
const COMPACTION_INPUT_TARGETS = 20;

/**
 * What keeps a timeline's layers few and its reads short. One thing at a time; each can be interrupted at any instant,
 * and is then done again from the layers that the index names.
 */
export class TimelineUpkeep {
  readonly #timeline: Timeline;
  readonly #reads: TimelineReads;
  #temporaryFiles = 0;
  /** Of what images were made last, and as of which LSN. */
  #imaged: { readonly lsn: Lsn; readonly ranges: KeyRange[] } | undefined;

  constructor(timeline: Timeline, reads: TimelineReads) {
    this.#timeline = timeline;
    this.#reads = reads;
  }

  /** Merges level-0 layers, and cuts what comes of them by key. Returns whether there was something to do. */
  async compact(): Promise<boolean> {
    const timeline = this.#timeline;
    const { compactionThreshold, targetBytes } = timeline.settings;
    const plan = pickCompaction(timeline.layers, {
      level0Threshold: compactionThreshold,
      inputBytesMax: targetBytes * COMPACTION_INPUT_TARGETS,
      targetBytes,
    });
    if (plan === undefined) return false;
    const { inputs } = plan;
    using _holds = await this.#hold(inputs);
    const written = await timeline.doors.workers.run(
      'compactDeltas',
      { layers: inputs.map((layer) => this.#input(layer)), target: this.#target() },
      timeline.signal,
    );
    throwIfCancelled(timeline.signal);
    timeline.replaceLayers(inputs, written.map(toIndexLayer));
    return true;
  }

  /** Makes image layers where reads have many layers to visit. Returns how many ranges of keys. */
  async makeImages(): Promise<number> {
    const timeline = this.#timeline;
    if (!this.#areAncestorsWritten()) return 0;
    const { imageThreshold, targetBytes } = timeline.settings;
    const tasks = await this.#decide(() =>
      pickImages(timeline.layers, { imageThreshold, targetBytes }, timeline.diskConsistentLsn),
    );
    const [first] = tasks;
    if (first === undefined) return 0;
    const liveness = await this.#liveness([first.lsn]);
    const wanted = tasks.filter((task) => !this.#isImaged(task));
    for (const task of wanted) await this.#makeImagesOf(task, liveness);
    return wanted.length;
  }

  /**
   * Whether images of these keys were made as of the same LSN before. Where reads are deep again without anything having come
   * since, which happens when history was rewritten or a key's image could not be made, the same once more would not
   * help, and could not be uploaded under its name.
   */
  #isImaged({ keys, lsn }: ImageTask): boolean {
    if (this.#imaged?.lsn !== lsn) this.#imaged = { lsn, ranges: [] };
    return this.#imaged.ranges.some((range) => rangesOverlap(range, keys));
  }

  async #makeImagesOf({ keys, lsn }: ImageTask, liveness: Liveness): Promise<void> {
    const timeline = this.#timeline;
    const { stored } = findVisibleLayers(timeline, keys, lsn);
    using _holds = await this.#hold(stored.map(({ layer }) => layer as TimelineLayer));
    const { layers, failedKeys } = await timeline.doors.workers.run(
      'makeImages',
      { layers: stored.map(toInput), keys, lsn, liveness, target: this.#target() },
      timeline.signal,
    );
    throwIfCancelled(timeline.signal);
    if (failedKeys.length > 0)
      timeline.log.error('Pages could not be made for an image layer', { failedKeys });
    timeline.replaceLayers([], layers.map(toIndexLayer));
    if (this.#imaged?.lsn === lsn) this.#imaged.ranges.push(keys);
  }

  /** Removes layers that no promised read visits. Returns how many. */
  async collectGarbage(promised: CutoffDecision): Promise<number> {
    const timeline = this.#timeline;
    timeline.advanceGcCutoff(promised.cutoff, promised.leasedLsns);
    const garbage = await this.#decide(() => pickGarbage(timeline.layers, promised));
    if (garbage.length > 0) timeline.replaceLayers(garbage, []);
    return garbage.length;
  }

  /** Rewrites history that is no longer promised, where it is deep. Returns whether there was something to do. */
  async rewriteBottom(promised: CutoffDecision): Promise<boolean> {
    const timeline = this.#timeline;
    if (!this.#areAncestorsWritten()) return false;
    timeline.advanceGcCutoff(promised.cutoff, promised.leasedLsns);
    const plan = await this.#decide(() =>
      pickBottom(timeline.layers, { deltaThreshold: timeline.settings.bottomThreshold }, promised),
    );
    if (plan === undefined) return false;
    const { keys, cutoff, retainedLsns, inputs } = plan;
    const below = this.#layersBelow(keys);
    using _holds = await this.#hold([...inputs, ...below.map(({ layer }) => layer as TimelineLayer)]);
    const liveness: Liveness[] = [];
    for (const lsn of retainedLsns) liveness.push(await this.#liveness([lsn]));
    // The plan's cutoff may be below the promised one, and what existed there be forgotten. All that is promised from there
    // on may need what is kept as of it.
    const above = promised.retainedLsns.filter((lsn) => lsn >= cutoff);
    liveness.push(await this.#liveness([...above, promised.cutoff]));
    const { layers, failedKeys } = await timeline.doors.workers.run(
      'rewriteBottom',
      {
        layers: inputs.map((layer) => this.#input(layer)),
        below: below.map(toInput),
        mayExistBelow: timeline.ancestor !== undefined,
        keys,
        cutoff,
        retainedLsns,
        liveness,
        target: this.#target(),
      },
      timeline.signal,
    );
    throwIfCancelled(timeline.signal);
    if (failedKeys.length > 0) timeline.log.error('Pages could not be made for a layer', { failedKeys });
    timeline.replaceLayers(inputs, layers.map(toIndexLayer));
    return true;
  }

  /** Layers of ancestors that hold what the keys were where the timeline begins. */
  #layersBelow(keys: KeyRange): VisibleLayer[] {
    const { ancestor } = this.#timeline;
    if (ancestor === undefined) return [];
    return [...findVisibleLayers(ancestor.timeline, keys, ancestor.lsn).stored];
  }

  /** Jobs read files only: what a branch sees of its ancestors must not be in their memory any more. */
  #areAncestorsWritten(): boolean {
    for (let at = this.#timeline; at.ancestor !== undefined; ) {
      const parent = at.ancestorTimeline;
      if (parent === undefined || !isWritten(parent, at.ancestor.lsn)) return false;
      at = parent;
    }
    return true;
  }

  /**
   * The stretch of WAL from which on it may still be asked where records begin and end: that of the last record before
   * all LSNs that can be read.
   */
  async #firstStretch(): Promise<number> {
    const timeline = this.#timeline;
    const lowest = Math.min(timeline.gcCutoffLsn, ...timeline.retainedLsns()) as Lsn;
    const context = { task: 'compaction', signal: timeline.signal } as const;
    const record = await this.#reads.recordBefore(lowest, context);
    return record === undefined ? 0 : stretchOf(record.startLsn);
  }

  /** What existed at any of these LSNs, and is still wanted. */
  async #liveness(lsns: readonly Lsn[]): Promise<Liveness> {
    const reader = this.#timeline.readerFor('compaction');
    const pages: LivePages[] = [];
    for (const lsn of lsns) {
      for (const { key, bytes } of await reader.scan(kindRange(KIND_RELATION_SIZE), lsn)) {
        pages.push({ firstKey: { ...key, kind: KIND_RELATION_BLOCK }, blocks: decodeSize(bytes) });
      }
      for (const { key, bytes } of await reader.scan(kindRange(KIND_SLRU_SEGMENT), lsn)) {
        pages.push({ firstKey: { ...key, kind: KIND_SLRU_BLOCK, field3: 1 }, blocks: decodeSize(bytes) });
      }
    }
    return makeLiveness(lsns.length > 1 ? joinPages(pages) : pages, await this.#firstStretch());
  }

  /** Keeps layers from being removed, and sees to it that their files are here. */
  async #hold(layers: readonly TimelineLayer[]): Promise<DisposableStack> {
    using holds = new DisposableStack();
    for (const layer of layers) holds.use(layer.hold());
    for (const layer of layers) await layer.makeSurelyLocal(this.#timeline.signal);
    return holds.move();
  }

  /** Decides in slices, and anew where the layers have changed meanwhile. */
  async #decide<Result>(begin: () => Slices<Result>): Promise<Result> {
    const timeline = this.#timeline;
    const { clock } = timeline.doors;
    for (;;) {
      const { layersVersion } = timeline;
      const slices = begin();
      let sliceStart = clock.monotonicMs();
      while (timeline.layersVersion === layersVersion) {
        const step = slices.next();
        if (step.done === true) return step.value;
        if (clock.monotonicMs() - sliceStart < SLICE_MS) continue;
        await clock.yieldToOthers();
        throwIfCancelled(timeline.signal);
        sliceStart = clock.monotonicMs();
      }
    }
  }

  #input(layer: TimelineLayer): LayerInput {
    const { tenantId, timelineId } = this.#timeline;
    const { path, lsnStart, lsnEnd } = layer;
    return { path, layer: { tenantId, timelineId, description: layer.description }, lsnStart, lsnEnd };
  }

  #target(): OutputTarget {
    const { tenantId, timelineId, version, directory, generation, settings } = this.#timeline;
    return {
      tenantId,
      timelineId,
      postgresMajor: version.major,
      directory,
      temporaryName: `upkeep-${++this.#temporaryFiles}`,
      generation,
      compression: settings.isCompressed ? 'zstd' : 'none',
      targetBytes: settings.targetBytes,
    };
  }
}

function toInput({ timeline, layer, lsnEnd }: VisibleLayer): LayerInput {
  const { tenantId, timelineId } = timeline as Timeline;
  const { path, description, lsnStart } = layer as TimelineLayer;
  const end = Math.min(description.lsnEnd, lsnEnd) as Lsn;
  return { path, layer: { tenantId, timelineId, description }, lsnStart, lsnEnd: end };
}

/** Whether all up to an LSN is in layer files, with what is kept beside the record that ends there. */
function isWritten({ diskConsistentLsn, memoryLayers }: Timeline, lsn: number): boolean {
  return diskConsistentLsn >= lsn && memoryLayers.every((layer) => layer.lsnStart > lastLsnBeside(lsn));
}
