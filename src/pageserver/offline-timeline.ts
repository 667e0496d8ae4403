import { CorruptionError, VarveError } from '../base/errors.ts';
import { Gate, type Pass } from '../base/gate.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import type { Files } from '../io/files.ts';
import { FORK_NAMES } from '../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { SLRU_PAGES_PER_SEGMENT, SLRUS, type SlruName, slruSegmentOfPage } from '../postgres/files/slru.ts';
import { Page } from '../postgres/page/page.ts';
import { getPostgresVersion, type PostgresVersion } from '../postgres/versions/version.ts';
import { type InspectedValue, inspectValue } from './inspect/inspected-value.ts';
import {
  type ContainedLayer,
  findContents,
  headerOf,
  type InspectionDoors,
  type TimelineContents,
  type TimelinePlace,
} from './inspect/timeline-contents.ts';
import { type Key, nextKey, readKey } from './keyspace/key.ts';
import type { KeyRange } from './keyspace/key-range.ts';
import { relationBlockKey, relationSizeKey, slruBlockKey, slruSegmentKey } from './keyspace/keys.ts';
import { decodeSize } from './keyspace/stored-values.ts';
import { BlockCache } from './layers/block-cache.ts';
import { LayerCursor } from './layers/format/layer-cursor.ts';
import type { LayerIdentity, LayerOwner } from './layers/format/layer-header.ts';
import { NewestCursor } from './layers/format/newest-cursor.ts';
import type { LayerDescription } from './layers/layer-description.ts';
import { LayerFile } from './layers/layer-file.ts';
import { LayerMap } from './layers/layer-map/layer-map.ts';
import { PageCache } from './layers/page-cache.ts';
import { PageSlots } from './layers/page-slots.ts';
import type { ReadContext } from './layers/read-context.ts';
import { Stems } from './layers/stems.ts';
import { PageReader } from './read/page-reader.ts';
import type { Ancestor, ReadableTimeline, StoredLayer } from './read/readable-timeline.ts';

const MEBIBYTE = 1024 * 1024;
const BLOCK_CACHE_BYTES: number = 32 * MEBIBYTE;
const PAGE_CACHE_BYTES: number = MEBIBYTE;
/** Far above any chain of branches that somebody has made. */
const ANCESTORS_MAX = 1000;

/** A page of a relation or of an SLRU. `page` is counted from the SLRU's beginning. */
export type PageName =
  | {
      readonly kind: 'relation';
      readonly relation: RelationLocator;
      readonly fork: number;
      readonly block: number;
    }
  | { readonly kind: 'slru'; readonly slru: SlruName; readonly page: number };

/**
 * A timeline that is looked at where it lies, beside or without the pageserver that it belongs to: no generation is
 * taken, and nothing is written or removed. Only what is in layer files counts, not what a running pageserver has in
 * memory beside them; and if that replaces layers meanwhile, reading fails for a file that has gone.
 */
export class OfflineTimeline implements ReadableTimeline, AsyncDisposable {
  readonly version: PostgresVersion;
  readonly stems = new Stems();
  readonly memoryLayers = [];
  readonly layers = new LayerMap<OfflineLayer>();
  readonly pages: PageCache;
  readonly ancestor: Ancestor | undefined;
  /** Reading at an LSN below is refused. */
  readonly lowestLsn: Lsn;
  /** What came later is in no layer file. */
  readonly highestLsn: Lsn;
  /** Whether the index says which layers there are, and not just the files that happen to be here. */
  readonly hasIndex: boolean;
  readonly #ancestorTimeline: OfflineTimeline | undefined;
  readonly #pageReader: PageReader;
  readonly #context: ReadContext;

  /** @throws as findContents; VarveError ‘not-found’ / NO_LAYERS; CorruptionError for a damaged header */
  static async open(doors: InspectionDoors, place: TimelinePlace): Promise<OfflineTimeline> {
    return await openWithAncestors(doors, place, new Caches(), 0);
  }

  /** @internal */
  constructor(
    contents: TimelineContents,
    owner: LayerOwner,
    postgresMajor: number,
    parent: OfflineTimeline | undefined,
    caches: Caches,
    signal: AbortSignal,
  ) {
    const { index } = contents;
    const head = index?.head;
    this.version = getPostgresVersion(postgresMajor);
    this.pages = new PageCache(caches.pages);
    this.hasIndex = index !== undefined;
    this.#context = { task: 'administration', signal };
    for (const layer of contents.layers) this.layers.insert(new OfflineLayer(layer, owner, caches.blocks));
    const descriptions = contents.layers.map((layer) => layer.description);
    this.lowestLsn =
      head === undefined
        ? (lowestBase(descriptions) as Lsn)
        : (Math.max(head.initialLsn, head.gcCutoffLsn) as Lsn);
    this.highestLsn =
      head?.diskConsistentLsn ??
      (descriptions.reduce((max, each) => Math.max(max, each.lsnEnd - 1), 0) as Lsn);
    this.#ancestorTimeline = parent;
    this.ancestor =
      parent === undefined || head?.ancestor === undefined
        ? undefined
        : { timeline: parent, lsn: head.ancestor.lsn };
    this.#pageReader = new PageReader(this);
  }

  /** There are none. */
  yieldToOthers(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * A page as it was when the record that ends at `lsn`, and all before it, had been replayed.
   * @throws VarveError ‘not-found’ / NO_SUCH_RELATION, NO_SUCH_BLOCK, NO_SUCH_PAGE; ‘precondition’ / LSN_BELOW_CUTOFF;
   *   ‘unavailable’ / LSN_NOT_REACHED; CorruptionError where what is stored is damaged
   */
  async readPage(name: PageName, lsn: Lsn): Promise<Page> {
    this.#checkLsn(lsn);
    await this.#checkExists(name, lsn);
    const page = new Page();
    await this.#pageReader.readPage(keyOf(name), lsn, page, this.#context);
    return page;
  }

  /** What was stored for a page by WAL with an LSN above `fromLsn`, up to `toLsn`, oldest first. @throws as readPage */
  async changesOf(name: PageName, fromLsn: Lsn, toLsn: Lsn): Promise<InspectedValue[]> {
    this.#checkLsn(fromLsn);
    this.#checkLsn(toLsn);
    const key = keyOf(name);
    const found = new Map<number, InspectedValue>();
    let end = toLsn as number;
    for (let at: OfflineTimeline | undefined = this; at !== undefined && end > fromLsn; ) {
      await at.#collectChanges(key, fromLsn, end, found);
      end = Math.min(end, at.ancestor?.lsn ?? end);
      at = at.#ancestorTimeline;
    }
    return [...found.values()].sort((left, right) => left.lsn - right.lsn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const layer of this.layers) await layer.close();
    await this.#ancestorTimeline?.[Symbol.asyncDispose]();
  }

  #checkLsn(lsn: Lsn): void {
    if (lsn < this.lowestLsn) {
      const reason = `this timeline can be read from ${formatLsn(this.lowestLsn)} on`;
      throw new VarveError('precondition', 'LSN_BELOW_CUTOFF', reason, { lsn });
    }
    if (lsn > this.highestLsn) {
      const reason = `the layer files go up to ${formatLsn(this.highestLsn)}`;
      throw new VarveError('unavailable', 'LSN_NOT_REACHED', reason, { lsn });
    }
  }

  async #checkExists(name: PageName, lsn: Lsn): Promise<void> {
    const missing = (code: string, reason: string): never => {
      throw new VarveError('not-found', code, reason, { lsn });
    };
    if (name.kind === 'relation') {
      const { relation, fork, block } = name;
      const blocks = await this.#size(relationSizeKey(relation, fork), lsn);
      const text = `${relation.tablespace}/${relation.database}/${relation.relation}`;
      const forkText = FORK_NAMES[fork] ?? fork;
      if (blocks === undefined)
        missing('NO_SUCH_RELATION', `there is no ${forkText} fork of relation ${text}`);
      else if (block >= blocks) {
        missing(
          'NO_SUCH_BLOCK',
          `the ${forkText} fork of ${text} has ${blocks} blocks, and no block ${block}`,
        );
      }
      return;
    }
    const { slru, page } = name;
    const pages =
      page > SLRUS[slru].lastPage
        ? undefined
        : await this.#size(slruSegmentKey(slru, slruSegmentOfPage(page)), lsn);
    if (pages === undefined || page % SLRU_PAGES_PER_SEGMENT >= pages) {
      missing('NO_SUCH_PAGE', `${slru} has no page ${page}`);
    }
  }

  async #size(key: Key, lsn: Lsn): Promise<number | undefined> {
    const value = await this.#pageReader.readValue(key, lsn, this.#context);
    return value === undefined ? undefined : decodeSize(value);
  }

  async #collectChanges(
    key: Key,
    fromLsn: Lsn,
    toLsn: number,
    found: Map<number, InspectedValue>,
  ): Promise<void> {
    const keys = { start: key, end: nextKey(key) };
    for (const layer of this.layers.layersAt(key, (fromLsn + 1) as Lsn, toLsn + 1)) {
      // What an image layer has was made out of what delta layers have.
      if (layer.kind === 'image') continue;
      await using cursor = await layer.scan(keys, this.#context);
      while (cursor.advance() || (await cursor.next())) {
        const { lsn } = cursor;
        if (lsn <= fromLsn || lsn > toLsn || found.has(lsn)) continue;
        found.set(lsn, inspectValue(readKey(cursor.keyView, cursor.keyOffset), cursor));
      }
    }
  }
}

class Caches {
  readonly blocks = new BlockCache(BLOCK_CACHE_BYTES);
  readonly pages = new PageSlots(PAGE_CACHE_BYTES);
}

async function openWithAncestors(
  doors: InspectionDoors,
  place: TimelinePlace,
  caches: Caches,
  depth: number,
): Promise<OfflineTimeline> {
  const contents = await findContents(doors, place);
  const head = contents.index?.head;
  const [first] = contents.layers;
  if (head !== undefined) {
    if (depth > ANCESTORS_MAX) {
      throw new CorruptionError('BAD_ANCESTOR', `timeline ${head.timelineId} has no end of ancestors`);
    }
    const parent =
      head.ancestor === undefined
        ? undefined
        : await openWithAncestors(
            doors,
            { ...place, timelineId: head.ancestor.timelineId },
            caches,
            depth + 1,
          );
    return new OfflineTimeline(contents, head, head.postgresMajor, parent, caches, doors.signal);
  }
  if (first === undefined) {
    throw new VarveError('not-found', 'NO_LAYERS', 'there is no layer file, and without a bucket no index', {
      ...(place.directory === undefined ? {} : { file: place.directory }),
    });
  }
  const header = await headerOf(first);
  return new OfflineTimeline(contents, header, header.postgresMajor, undefined, caches, doors.signal);
}

/** Without an index: the oldest image layer is where the history begins, as far as it is here. */
function lowestBase(layers: readonly LayerDescription[]): number {
  const images = layers.filter(({ kind }) => kind === 'image');
  return (images.length === 0 ? layers : images).reduce(
    (min, { lsnStart }) => Math.min(min, lsnStart),
    Number.MAX_SAFE_INTEGER,
  );
}

const keyOf = (name: PageName): Key =>
  name.kind === 'relation'
    ? relationBlockKey(name.relation, name.fork, name.block)
    : slruBlockKey(name.slru, name.page);

/** A layer that is read where it lies. Nobody replaces it here. */
class OfflineLayer extends LayerFile implements StoredLayer {
  readonly kind: 'delta' | 'image';
  readonly keys: KeyRange;
  readonly lsnStart: Lsn;
  readonly lsnEnd: Lsn;
  readonly generation: number;
  readonly sizeBytes: number;
  readonly #layer: ContainedLayer;
  readonly #owner: LayerOwner;
  readonly #gate: Gate;

  constructor(layer: ContainedLayer, owner: LayerOwner, cache: BlockCache) {
    const { description, place } = layer;
    const { tenantId, timelineId } = owner;
    super({ tenantId, timelineId, description, path: place, cache, open: () => layer.open() });
    this.kind = description.kind;
    this.keys = description.keys;
    this.lsnStart = description.lsnStart;
    this.lsnEnd = description.lsnEnd;
    this.generation = description.generation;
    this.sizeBytes = description.sizeBytes;
    this.#layer = layer;
    this.#owner = owner;
    this.#gate = new Gate(`layer ${place}`);
  }

  hold(): Pass {
    return this.#gate.enter();
  }

  scan(keys: KeyRange, { signal }: ReadContext): Promise<LayerCursor> {
    return LayerCursor.open(this.#files, this.#layer.place, this.#identity, { keys, signal });
  }

  scanNewest(keys: KeyRange, lsnEnd: number, { signal }: ReadContext): Promise<NewestCursor> {
    return NewestCursor.open(this.#files, this.#layer.place, this.#identity, { keys, lsnEnd, signal });
  }

  get #files(): Pick<Files, 'open'> {
    return { open: () => this.#layer.open() };
  }

  get #identity(): LayerIdentity {
    const { tenantId, timelineId } = this.#owner;
    return { tenantId, timelineId, description: this.#layer.description };
  }
}
