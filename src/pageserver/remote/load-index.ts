import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { TenantId } from '../../base/ids.ts';
import type { Clock } from '../../io/clock.ts';
import type { ObjectStore } from '../../io/objects.ts';
import type { Logger } from '../../observe/log.ts';
import { parseGeneration } from './generation.ts';
import {
  indexKey,
  indexPrefix,
  parseObjectName,
  type TimelineName,
  tenantPrefix,
  timelinePrefix,
} from './object-keys.ts';
import type { TimelineIndex } from './timeline-index.ts';
import { decodeTimelineIndex, TIMELINE_INDEX_BYTES_MAX } from './timeline-index-codec.ts';

export interface LoadDoors {
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface LoadedIndex extends TimelineIndex {
  /** Of who wrote it. */
  readonly generation: number;
  /** Generations of older indexes that are still there: to be removed when there is a newer one. */
  readonly olderGenerations: readonly number[];
}

/** Generations of a timeline's indexes in the store, ascending. Other names are passed over, with a note. */
export async function listIndexGenerations(
  { objects, logger }: LoadDoors,
  timeline: TimelineName,
  signal: AbortSignal,
): Promise<number[]> {
  const prefix = timelinePrefix(timeline);
  const generations: number[] = [];
  for await (const { key } of objects.list(indexPrefix(timeline), signal)) {
    const name = parseObjectName(key.slice(prefix.length));
    if (name.kind === 'index') generations.push(name.generation);
    else logger.warn('An object is passed over whose name is unknown', { key });
  }
  return generations.sort((left, right) => left - right);
}

/**
 * Reads the newest index whose writer's generation is at most one's own. Newer ones belong to who has taken over:
 * whoever reads them would go on, in an older generation, from what it has not written.
 *
 * @throws VarveError ‘not-found’ / TIMELINE_INDEX_NOT_FOUND; CorruptionError BAD_TIMELINE_INDEX with the key, also
 *   where an older index is whole, since that one names layers that may be gone; what the store fails with
 */
export async function loadTimelineIndex(
  doors: LoadDoors,
  timeline: TimelineName,
  ownGeneration: number,
  signal: AbortSignal,
): Promise<LoadedIndex> {
  const generations = (await listIndexGenerations(doors, timeline, signal)).filter(
    (generation) => generation <= ownGeneration,
  );
  const newest = generations.pop();
  if (newest === undefined) {
    throw new VarveError(
      'not-found',
      'TIMELINE_INDEX_NOT_FOUND',
      `this timeline has no index of generation ${ownGeneration} or below`,
      { file: indexPrefix(timeline) },
    );
  }
  const index = await readIndex(doors, timeline, newest, signal);
  return { ...index, generation: newest, olderGenerations: generations };
}

async function readIndex(
  { objects, clock }: LoadDoors,
  timeline: TimelineName,
  generation: number,
  signal: AbortSignal,
): Promise<TimelineIndex> {
  const key = indexKey(timeline, generation);
  // One byte more than there may be: what is too large is refused, and not held in memory whole.
  const bytes = await objects.get(key, { signal, end: TIMELINE_INDEX_BYTES_MAX + 1 });
  const index = await decodeTimelineIndex(bytes, key, () => clock.yieldToOthers());
  const { tenantId, timelineId } = index.head;
  const isOfKey =
    tenantId === timeline.tenantId && timelineId === timeline.timelineId && index.generation === generation;
  if (!isOfKey) {
    throw new CorruptionError('BAD_TIMELINE_INDEX', 'the index is of another timeline or generation', {
      file: key,
    });
  }
  return index;
}

/**
 * The highest generation that any object of a tenant has; 0 where there is none. It looks at all objects: for a node
 * that runs alone and has lost its disk, and with it the generations that it has used.
 */
export async function findHighestGeneration(
  objects: ObjectStore,
  tenantId: TenantId,
  signal: AbortSignal,
): Promise<number> {
  let highest = 0;
  for await (const { key } of objects.list(tenantPrefix(tenantId), signal)) {
    const generation = parseGeneration(/-([0-9a-f]{8})$/.exec(key)?.[1] ?? '');
    if (generation !== undefined && generation > highest) highest = generation;
  }
  return highest;
}
