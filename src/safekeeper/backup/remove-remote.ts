import { AssertionError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { ObjectStore } from '../../io/objects.ts';
import { timelinePrefix } from './object-names.ts';

const KEYS_AT_ONCE = 1000;

/**
 * Removes all that the bucket has of a timeline, and nothing else; whoever made it. May be called again, after a
 * failure or for a timeline that has nothing there. Nobody may upload to the timeline meanwhile: this safekeeper's
 * uploads have ended when it is closed.
 *
 * @returns how many objects there were
 * @throws what the store fails with, after it has tried for a while; some objects may be gone then
 */
export async function removeRemote(
  objects: ObjectStore,
  tenantId: TenantId,
  timelineId: TimelineId,
  signal: AbortSignal,
): Promise<number> {
  const prefix = timelinePrefix({ tenantId, timelineId });
  let removed = 0;
  let keys: string[] = [];
  const remove = async (): Promise<void> => {
    await objects.remove(keys, signal);
    removed += keys.length;
    keys = [];
  };
  for await (const { key } of objects.list(prefix, signal)) {
    if (!key.startsWith(prefix))
      throw new AssertionError('a store lists what was not asked for', { file: key });
    keys.push(key);
    if (keys.length === KEYS_AT_ONCE) await remove();
  }
  if (keys.length > 0) await remove();
  return removed;
}
