import { BadRequestError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type {
  AuxiliaryFiles,
  GcResult,
  Keyspace,
  LayerMapInfo,
  PageValue,
} from '../../contracts/pageserver-api-layers.ts';
import type { ShardTimelineKey } from '../../contracts/pageserver-api-timeline.ts';
import { Page } from '../../postgres/page/page.ts';
import { formatKey, type Key, parseKey } from '../keyspace/key.ts';
import {
  isPageKey,
  KIND_RECORD_POSITIONS,
  KIND_RELATION_BLOCK,
  KIND_RELATION_SIZE,
  KIND_SLRU_BLOCK,
  KIND_SLRU_SEGMENT,
  kindRange,
} from '../keyspace/keys.ts';
import { decodeSize } from '../keyspace/stored-values.ts';
import { formatLayerFileName, formatLayerName } from '../layers/layer-name.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { TimelineLayer } from '../timeline/timeline-layer.ts';
import type { CheckpointOptions, LayerAdministration } from './administration.ts';
import type { TenantAccess } from './tenant-access.ts';

const never: AbortSignal = new AbortController().signal;

/** What timelines are stored in, for the HTTP API. */
export class StorageLayerAdministration implements LayerAdministration {
  readonly #access: TenantAccess;

  constructor(access: TenantAccess) {
    this.#access = access;
  }

  async map(key: ShardTimelineKey): Promise<LayerMapInfo> {
    const { timeline } = await this.#access.timeline(key, never);
    const level0 = new Set(timeline.layers.level0);
    return {
      in_memory_layers: timeline.memoryLayers.map((layer) =>
        layer.isFrozen
          ? { kind: 'Frozen', lsn_start: layer.lsnStart, lsn_end: layer.lsnEnd }
          : { kind: 'Open', lsn_start: layer.lsnStart },
      ),
      historic_layers: [...timeline.layers].map((layer) => describeLayer(layer, level0.has(layer))),
    };
  }

  async fetch(key: ShardTimelineKey, name: string, signal: AbortSignal): Promise<boolean> {
    const { timeline } = await this.#access.timeline(key, signal);
    for (const layer of timeline.layers) {
      if (formatLayerName(layer) !== name && formatLayerFileName(layer) !== name) continue;
      if (layer.isLocal) return false;
      using _hold = layer.hold();
      await layer.makeLocal(signal);
      return true;
    }
    throw new BadRequestError('UNKNOWN_LAYER', `the timeline has no layer ${name}`);
  }

  async collectGarbage(key: ShardTimelineKey, horizonBytes: number | undefined): Promise<GcResult> {
    const { timeline, upkeep } = await this.#access.timeline(key, never);
    const { clock } = timeline.doors;
    const startMs = clock.monotonicMs();
    const count = timeline.layers.size;
    const removed = await upkeep.collectGarbage(horizonBytes);
    const elapsed = Math.round(clock.monotonicMs() - startMs);
    return { layers_total: count, layers_removed: removed, elapsed };
  }

  async compact(
    key: ShardTimelineKey,
    options: { readonly rewritesBottom: boolean; readonly waitsForUpload: boolean },
  ): Promise<void> {
    const active = await this.#access.timeline(key, never);
    await compact(active);
    if (options.rewritesBottom) while (await active.upkeep.rewriteBottom());
    if (options.waitsForUpload) await active.timeline.remote.waitForUploads(active.timeline.signal);
  }

  async checkpoint(
    key: ShardTimelineKey,
    { compacts, waitsForFlush, waitsForUpload }: CheckpointOptions,
  ): Promise<void> {
    const active = await this.#access.timeline(key, never);
    const { timeline } = active;
    if (waitsForFlush || waitsForUpload) await timeline.flush();
    else timeline.freeze();
    if (compacts) await compact(active);
    if (waitsForUpload) await timeline.remote.waitForUploads(timeline.signal);
  }

  async keyspace(key: ShardTimelineKey, at: Lsn | undefined, signal: AbortSignal): Promise<Keyspace> {
    const { timeline, reads } = await this.#access.timeline(key, signal);
    const context: ReadContext = { task: 'administration', signal };
    const lsn = at ?? timeline.lastRecordLsn;
    const keys: [string, string][] = [];
    const add = (first: Key, pages: number): void => {
      if (pages > 0) keys.push([formatKey(first), formatKey({ ...first, index: first.index + pages })]);
    };
    for (const { key: size, bytes } of await reads.scan(kindRange(KIND_RELATION_SIZE), lsn, context)) {
      add({ ...size, kind: KIND_RELATION_BLOCK }, decodeSize(bytes));
    }
    for (const { key: segment, bytes } of await reads.scan(kindRange(KIND_SLRU_SEGMENT), lsn, context)) {
      add({ ...segment, kind: KIND_SLRU_BLOCK, field3: 1 }, decodeSize(bytes));
    }
    const { start } = kindRange(KIND_RELATION_SIZE);
    const { end } = kindRange(KIND_RECORD_POSITIONS);
    return { keys, sparse_keys: [[formatKey(start), formatKey(end)]], at_lsn: lsn };
  }

  async value(
    key: ShardTimelineKey,
    keyText: string,
    at: Lsn | undefined,
    signal: AbortSignal,
  ): Promise<PageValue> {
    const active = await this.#access.timeline(key, signal);
    const lsn = at ?? active.timeline.lastRecordLsn;
    const storedKey = parseKey(keyText);
    const bytes = await readValue(active, storedKey, lsn, { task: 'administration', signal });
    return { key: formatKey(storedKey), lsn, img: bytes === undefined ? null : toBase64(bytes) };
  }

  async auxiliaryFiles(key: ShardTimelineKey, lsn: Lsn, signal: AbortSignal): Promise<AuxiliaryFiles> {
    const { reads } = await this.#access.timeline(key, signal);
    const files = await reads.auxiliaryFiles(lsn, { task: 'administration', signal });
    return Object.fromEntries(files.map(({ path, content }) => [path, toBase64(content)]));
  }
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

async function compact({ upkeep }: ActiveTimeline): Promise<void> {
  while (await upkeep.compact());
  await upkeep.makeImages();
}

function describeLayer(layer: TimelineLayer, isLevel0: boolean): LayerMapInfo['historic_layers'][number] {
  const common = {
    layer_file_name: formatLayerName(layer),
    layer_file_size: layer.sizeBytes,
    lsn_start: layer.lsnStart,
    remote: !layer.isLocal,
    generation: layer.generation,
  };
  return layer.kind === 'image'
    ? { kind: 'Image', ...common }
    : { kind: 'Delta', ...common, lsn_end: layer.lsnEnd, l0: isLevel0 };
}

/** undefined where there is no such thing. */
async function readValue(
  { reads }: ActiveTimeline,
  key: Key,
  lsn: Lsn,
  context: ReadContext,
): Promise<Uint8Array | undefined> {
  if (!isPageKey(key)) return await reads.value(key, lsn, context);
  // Of pages that do not exist something may be stored all the same.
  const size = await reads.value(sizeKeyOf(key), lsn, context);
  if (size === undefined || key.index >= decodeSize(size)) return undefined;
  const target = new Page();
  await reads.pages([{ key, lsn, target }], context);
  return target.bytes;
}

const sizeKeyOf = (key: Key): Key =>
  key.kind === KIND_RELATION_BLOCK
    ? { ...key, kind: KIND_RELATION_SIZE, index: 0 }
    : { ...key, kind: KIND_SLRU_SEGMENT, field3: 0, index: 0 };
