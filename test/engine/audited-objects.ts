import { VarveError } from '../../src/base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { MemoryObjects } from '../../src/io/memory-objects.ts';
import { bodyPieces } from '../../src/io/object-body.ts';
import type { ObjectStore, PutOptions } from '../../src/io/objects.ts';
import { layerKey, parseObjectName, type TimelineName } from '../../src/pageserver/remote/object-keys.ts';
import type { TimelineIndex } from '../../src/pageserver/remote/timeline-index.ts';
import { decodeTimelineIndex } from '../../src/pageserver/remote/timeline-index-codec.ts';

interface Placed {
  readonly timeline: TimelineName;
  readonly name: ReturnType<typeof parseObjectName>;
}

const never = new AbortController().signal;

/**
 * The bucket of all nodes of a test, which sees to it that they keep its rules: the newest index of a timeline names no
 * layer that is not there, nothing is put in the place of other content but an index of its writer's, and nothing is
 * removed that the newest index names.
 */
export class AuditedObjects extends MemoryObjects {
  readonly #onViolation: (error: Error) => void;
  /** By timeline and generation: what the last index says. */
  readonly #indexes = new Map<string, Map<number, TimelineIndex>>();
  /** Requests that changed something. */
  changes = 0;

  constructor(clock: ConstructorParameters<typeof MemoryObjects>[0], onViolation: (error: Error) => void) {
    super(clock, 'audited');
    this.#onViolation = onViolation;
  }

  /** What the newest index of each timeline says. */
  newestIndexes(): TimelineIndex[] {
    return [...this.#indexes.keys()].flatMap((prefix) => this.#newest(prefix) ?? []);
  }

  override async put(
    key: string,
    body: Parameters<ObjectStore['put']>[1],
    options: PutOptions,
  ): Promise<void> {
    const pieces: Uint8Array[] = [];
    for await (const piece of bodyPieces(body, options.signal)) pieces.push(piece.slice());
    const bytes = new Uint8Array(Buffer.concat(pieces));
    const placed = placeOf(key);
    const before = await this.#find(key);
    if (placed?.name.kind === 'layer' && before !== undefined && Buffer.compare(before, bytes) !== 0)
      this.#violated(`${key} is put in the place of other content`);
    let index: TimelineIndex | undefined;
    if (placed?.name.kind === 'index') {
      index = await decodeTimelineIndex(bytes, key, () => Promise.resolve());
      for (const layer of index.layers.values()) {
        const found = await this.head(layerKey(placed.timeline, layer), never);
        if (found?.sizeBytes !== layer.sizeBytes && this.#isNewest(placed, placed.name.generation))
          this.#violated(`${key} names ${layer.name} of ${layer.generation}, which is not there`);
      }
    }
    await super.put(key, bytes, options);
    this.changes++;
    if (index !== undefined && placed?.name.kind === 'index')
      this.#ofTimeline(placed).set(placed.name.generation, index);
  }

  override async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    for (const key of keys) this.#checkRemoval(key);
    await super.remove(keys, signal);
    this.changes++;
  }

  #checkRemoval(key: string): void {
    const placed = placeOf(key);
    if (placed === undefined) return;
    const { name } = placed;
    const newest = this.#newest(prefixOf(key));
    if (name.kind === 'index') {
      this.#ofTimeline(placed).delete(name.generation);
      return;
    }
    if (name.kind !== 'layer' || newest === undefined || newest.head.deletedAtMs !== undefined) return;
    if (newest.layers.get(name.name)?.generation === name.generation)
      this.#violated(`${key} is removed, and the newest index names it`);
  }

  #isNewest(placed: Placed, generation: number): boolean {
    return [...this.#ofTimeline(placed).keys()].every((other) => other <= generation);
  }

  #ofTimeline({ timeline }: Placed): Map<number, TimelineIndex> {
    const prefix = `tenants/${timeline.tenantId}/timelines/${timeline.timelineId}/`;
    const known = this.#indexes.get(prefix) ?? new Map<number, TimelineIndex>();
    this.#indexes.set(prefix, known);
    return known;
  }

  #newest(prefix: string): TimelineIndex | undefined {
    const indexes = this.#indexes.get(prefix);
    if (indexes === undefined || indexes.size === 0) return undefined;
    return indexes.get(Math.max(...indexes.keys()));
  }

  async #find(key: string): Promise<Uint8Array | undefined> {
    try {
      return await this.get(key, { signal: never });
    } catch (error) {
      if (error instanceof VarveError && error.code === 'OBJECT_NOT_FOUND') return undefined;
      throw error;
    }
  }

  #violated(what: string): void {
    this.#onViolation(new Error(`the bucket: ${what}`));
  }
}

const prefixOf = (key: string): string => key.slice(0, key.lastIndexOf('/') + 1);

/** Undefined for what is no timeline's. */
function placeOf(key: string): Placed | undefined {
  const found = /^tenants\/([0-9a-f]{32})\/timelines\/([0-9a-f]{32})\/([^/]+)$/.exec(key);
  if (found === null) return undefined;
  const [, tenant = '', timeline = '', name = ''] = found;
  return {
    timeline: { tenantId: parseTenantId(tenant), timelineId: parseTimelineId(timeline) },
    name: parseObjectName(name),
  };
}
