import type { TenantId, TimelineId } from '../../base/ids.ts';
import { wholeTenant } from '../../contracts/tenant-shard-id.ts';
import type { Database } from '../database/database.ts';
import type { StorageNodes } from './storage-nodes.ts';
import type { BranchPoint } from './timeline-effects.ts';
import { readBeginning, type TimelineBeginning } from './timeline-rows.ts';

export interface PointOwnerDoors {
  readonly database: Database;
  readonly nodes: StorageNodes;
}

/**
 * The timeline that a new one of a row is to begin on. What a timeline was before it left its ancestor is in that one's history:
 * where the point lies there, the row says so from now on, and this may be repeated. Nobody deletes the ancestor: the timeline
 * that began on it is there until the row has it, and the row from then on.
 */
export async function moveToPointOwner(
  doors: PointOwnerDoors,
  { tenantId, timelineId }: { readonly tenantId: TenantId; readonly timelineId: TimelineId },
  point: BranchPoint,
  signal: AbortSignal,
): Promise<TimelineId> {
  const first = await readAncestor(doors.database, timelineId);
  let ownerId = first;
  for (;;) {
    const beginning = await readBeginning(doors.database, ownerId);
    if (beginning === undefined) break;
    if (!(await isBefore(doors, tenantId, ownerId, beginning, point, signal))) break;
    ownerId = beginning.ancestorId;
  }
  if (ownerId !== first) {
    await doors.database.query((queries) =>
      queries
        .updateTable('timelines')
        .set({ ancestor_timeline_id: ownerId })
        .where('timeline_id', '=', timelineId)
        .execute(),
    );
  }
  return ownerId;
}

async function isBefore(
  { nodes }: PointOwnerDoors,
  tenantId: TenantId,
  timelineId: TimelineId,
  { lsn }: TimelineBeginning,
  point: BranchPoint,
  signal: AbortSignal,
): Promise<boolean> {
  if (point.kind === 'head') return false;
  if (point.kind === 'lsn') return point.lsn < lsn;
  const { client } = await nodes.pageserverOf(tenantId);
  const key = { tenant_shard_id: wholeTenant(tenantId), timeline_id: timelineId };
  const found = await client.lsnByTimestamp(key, point.timeMs, false, signal);
  // Where garbage was collected since it began, the ancestor does not know either what was at that time.
  return found.kind === 'past' && found.lsn <= lsn;
}

async function readAncestor(database: Database, timelineId: TimelineId): Promise<TimelineId> {
  const row = await database.query((queries) =>
    queries
      .selectFrom('timelines')
      .where('timeline_id', '=', timelineId)
      .where('ancestor_timeline_id', 'is not', null)
      .select('ancestor_timeline_id')
      .executeTakeFirstOrThrow(),
  );
  return row.ancestor_timeline_id as TimelineId;
}
