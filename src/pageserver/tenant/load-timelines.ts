import { isId, parseTimelineId, type TimelineId } from '../../base/ids.ts';
import { type LoadedIndex, loadTimelineIndex } from '../remote/load-index.ts';
import { tenantPrefix } from '../remote/object-keys.ts';
import type { IndexHead } from '../remote/timeline-index.ts';
import { isFault } from './is-fault.ts';
import { findLocalLayers, removeUnknownDirectories } from './local-files.ts';
import type { TenantTimelines } from './tenant-timelines.ts';

/**
 * Loads all timelines that the store has of a tenant. What is here that no index names is removed. A timeline whose index
 * is damaged or unknown, whose ancestor is missing, or whose directory cannot be used is broken, and so are its branches.
 * @returns those that are to be deleted: their names are taken until they are gone
 * @throws what the tenant's directory or the store fail of
 */
export async function loadTimelines(timelines: TenantTimelines, signal: AbortSignal): Promise<TimelineId[]> {
  const { doors, options } = timelines;
  const { tenantId, generation, directory } = options;
  await doors.files.makeDirectory(directory);
  const indexes = new Map<TimelineId, LoadedIndex>();
  const deleted: TimelineId[] = [];
  const remoteDoors = { ...doors, objects: doors.remote.objects };
  for (const timelineId of await findTimelines(timelines, signal)) {
    const index = await orBreak(timelines, timelineId, undefined, () =>
      loadTimelineIndex(remoteDoors, { tenantId, timelineId }, generation, signal),
    );
    if (index === undefined) continue;
    if (index.head.deletedAtMs === undefined) indexes.set(timelineId, index);
    else deleted.push(timelineId);
  }
  await removeUnknownDirectories(doors, directory, new Set([...indexes.keys(), ...timelines.broken.keys()]));
  for (const index of ancestorsFirst(indexes)) {
    const { head } = index;
    await orBreak(timelines, head.timelineId, head, () => loadTimeline(timelines, index));
  }
  timelines.holdForBroken();
  return deleted;
}

/** Does something for one timeline, which is broken if that fails for good: undefined then. */
async function orBreak<Result>(
  { doors, options, broken }: TenantTimelines,
  timelineId: TimelineId,
  head: IndexHead | undefined,
  action: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await action();
  } catch (error) {
    if (!isFault(error)) throw error;
    const { tenantId } = options;
    doors.logger.error('A timeline cannot be served', { tenantId, timelineId, error });
    broken.set(timelineId, { timelineId, error, head });
    return undefined;
  }
}

/** Timelines that have an index in the store. */
async function findTimelines(
  { doors, options }: TenantTimelines,
  signal: AbortSignal,
): Promise<TimelineId[]> {
  const prefix = `${tenantPrefix(options.tenantId)}timelines/`;
  const found = new Set<TimelineId>();
  for await (const { key } of doors.remote.objects.list(prefix, signal)) {
    const [name = '', object = ''] = key.slice(prefix.length).split('/');
    if (isId(name) && object.startsWith('timeline-index-')) found.add(parseTimelineId(name));
  }
  return [...found];
}

async function loadTimeline(timelines: TenantTimelines, index: LoadedIndex): Promise<void> {
  const { timelineId, ancestor } = index.head;
  const directory = timelines.directoryOf(timelineId);
  const { files } = timelines.doors;
  const parent = ancestor === undefined ? undefined : timelines.ancestorOf(timelineId, ancestor.timelineId);
  await files.makeDirectory(directory);
  const local = await findLocalLayers(timelines.doors, index, directory);
  timelines.active.set(timelineId, timelines.activate(index, directory, parent, local));
}

/** Each timeline behind its ancestor, as far as that is there. Where timelines descend from each other, in any order. */
function ancestorsFirst(indexes: ReadonlyMap<TimelineId, LoadedIndex>): LoadedIndex[] {
  const sorted = new Set<LoadedIndex>();
  for (const index of indexes.values()) {
    const chain: LoadedIndex[] = [];
    let at: LoadedIndex | undefined = index;
    while (at !== undefined && !sorted.has(at) && !chain.includes(at)) {
      chain.push(at);
      const parentId: TimelineId | undefined = at.head.ancestor?.timelineId;
      at = parentId === undefined ? undefined : indexes.get(parentId);
    }
    for (const each of chain.toReversed()) sorted.add(each);
  }
  return [...sorted];
}
