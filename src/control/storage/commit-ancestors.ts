import type { TimelineId } from '../../base/ids.ts';
import { type Lsn, parseLsn } from '../../base/lsn.ts';
import { wholeTenant } from '../../contracts/tenant-shard-id.ts';
import { type HeadDoors, headOf } from './head.ts';

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
  for (let at = await readBeginning(doors, timelineId); at !== undefined; ) {
    const { client } = await doors.nodes.pageserverOf(at.tenantId);
    const key = { tenant_shard_id: wholeTenant(at.tenantId), timeline_id: at.ancestorId };
    const { last_record_lsn } = await client.timeline(key, signal);
    if (last_record_lsn < at.lsn) await headOf(doors, at.ancestorId, signal);
    at = await readBeginning(doors, at.ancestorId);
  }
}

interface Beginning {
  readonly tenantId: Parameters<typeof wholeTenant>[0];
  readonly ancestorId: TimelineId;
  readonly lsn: Lsn;
}

/** undefined for the first timeline of a project. */
async function readBeginning(
  { database }: HeadDoors,
  timelineId: TimelineId,
): Promise<Beginning | undefined> {
  const row = await database.query((queries) =>
    queries
      .selectFrom('timelines')
      .where('timeline_id', '=', timelineId)
      .select(['tenant_id', 'ancestor_timeline_id', 'ancestor_lsn'])
      .executeTakeFirst(),
  );
  if (row === undefined || row.ancestor_timeline_id === null || row.ancestor_lsn === null) return undefined;
  return {
    tenantId: row.tenant_id,
    ancestorId: row.ancestor_timeline_id,
    lsn: parseLsn(row.ancestor_lsn),
  };
}
