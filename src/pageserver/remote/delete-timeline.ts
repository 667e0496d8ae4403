import { AssertionError, VarveError } from '../../base/errors.ts';
import type { ObjectStore } from '../../io/objects.ts';
import type { DeletionQueue } from './deletion-queue.ts';
import type { GenerationValidator } from './generation-validator.ts';
import { type LoadDoors, loadTimelineIndex } from './load-index.ts';
import { indexObjectName, parseObjectName, type TimelineName, timelinePrefix } from './object-keys.ts';

export interface DeleteDoors extends LoadDoors {
  readonly objects: ObjectStore;
  readonly deletions: Pick<DeletionQueue, 'enqueue' | 'flush'>;
  readonly validator: Pick<GenerationValidator, 'isCurrent'>;
}

/**
 * Removes all that the store has of a timeline whose index says that it is to be deleted: layers and whatever else lies
 * below its prefix first, indexes of older generations with them, the newest index last. So a crash in between leaves a
 * timeline that knows what is to become of it, and this may be called again, also on another node. It goes by the
 * list of what is there, not by what names are known.
 *
 * Nobody may upload to the timeline meanwhile: its RemoteTimeline has been shut down.
 *
 * @returns whether there was anything
 * @throws VarveError ‘conflict’ / TIMELINE_NOT_DELETED where the index does not say so; ‘fenced’ / STALE_GENERATION where
 *   another node has taken over, which then has to do this; what the store or the signal fail with
 */
export async function deleteRemoteTimeline(
  doors: DeleteDoors,
  timeline: TimelineName,
  generation: number,
  signal: AbortSignal,
): Promise<boolean> {
  let names = await listNames(doors.objects, timeline, signal);
  if (names.length === 0) return false;
  while (names.length > 0) {
    const newest = newestIndex(names);
    if (newest > generation) throw stale(timeline);
    if (newest > 0) await checkIntent(doors, timeline, generation, signal);
    const last = newest === 0 ? undefined : indexObjectName(newest);
    const others = names.filter((name) => name !== last);
    // One more round, with a new list, before the index goes: an upload of an earlier attachment may have come in late.
    const next = others.length > 0 || last === undefined ? others : [last];
    doors.deletions.enqueue(timeline, generation, next);
    await doors.deletions.flush(signal);
    names = await listNames(doors.objects, timeline, signal);
    const submitted = new Set(next);
    const isLeft = names.some((name) => submitted.has(name));
    if (isLeft && !(await doors.validator.isCurrent({ tenantId: timeline.tenantId, generation }, signal))) {
      throw stale(timeline);
    }
  }
  return true;
}

async function listNames(
  objects: ObjectStore,
  timeline: TimelineName,
  signal: AbortSignal,
): Promise<string[]> {
  const prefix = timelinePrefix(timeline);
  const names: string[] = [];
  for await (const { key } of objects.list(prefix, signal)) {
    if (!key.startsWith(prefix))
      throw new AssertionError('a store lists what was not asked for', { file: key });
    names.push(key.slice(prefix.length));
  }
  return names;
}

/** 0 where there is none. */
function newestIndex(names: readonly string[]): number {
  let newest = 0;
  for (const objectName of names) {
    const name = parseObjectName(objectName);
    if (name.kind === 'index' && name.generation > newest) newest = name.generation;
  }
  return newest;
}

async function checkIntent(
  doors: LoadDoors,
  timeline: TimelineName,
  generation: number,
  signal: AbortSignal,
): Promise<void> {
  const { head } = await loadTimelineIndex(doors, timeline, generation, signal);
  if (head.deletedAtMs !== undefined) return;
  throw new VarveError(
    'conflict',
    'TIMELINE_NOT_DELETED',
    'the index does not say that this timeline is to go',
    {
      file: timelinePrefix(timeline),
    },
  );
}

const stale = (timeline: TimelineName): VarveError =>
  new VarveError('fenced', 'STALE_GENERATION', 'another node has taken this tenant over', {
    file: timelinePrefix(timeline),
  });
