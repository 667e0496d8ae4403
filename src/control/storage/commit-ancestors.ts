import type { TimelineId } from '../../base/ids.ts';
import { wholeTenant } from '../../contracts/tenant-shard-id.ts';
import { type HeadDoors, headOf } from './head.ts';
import { readBeginning } from './timeline-rows.ts';

/**
 * Sees to it that the pageserver gets what a timeline reads of its ancestors. Safekeepers that were killed may not know any more
 * how much of their WAL is committed, and give a pageserver nothing beyond. Whoever writes to a timeline tells them again; where
 * nobody does, finding its head does.
 * @throws VarveError ‘unavailable’; what the nodes fail of
 */
export async function commitAncestors(
  doors: HeadDoors,
  timelineId: TimelineId,
  signal: AbortSignal,
): Promise<void> {
  for (let at = await readBeginning(doors.database, timelineId); at !== undefined; ) {
    const { client } = await doors.nodes.pageserverOf(at.tenantId);
    const key = { tenant_shard_id: wholeTenant(at.tenantId), timeline_id: at.ancestorId };
    const { last_record_lsn } = await client.timeline(key, signal);
    if (last_record_lsn < at.lsn) await headOf(doors, at.ancestorId, signal);
    at = await readBeginning(doors.database, at.ancestorId);
  }
}
