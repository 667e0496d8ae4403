import type { TenantId, TimelineId } from '../../base/ids.ts';
import { type Lsn, parseLsn } from '../../base/lsn.ts';
import type { Database, Queries } from '../database/database.ts';
import { type Candidate, place } from '../decisions/placement.ts';

/** Of a timeline whose safekeepers have never changed. */
const FIRST_MEMBERSHIP = 1;
/** The first attachment's. */
const FIRST_GENERATION = 1;

/** @throws VarveError ‘unavailable’ / NO_NODE */
export async function pickPageserver(queries: Queries): Promise<number> {
  const candidates = await queries
    .selectFrom('nodes')
    .leftJoin('tenants', 'tenants.pageserver_id', 'nodes.id')
    .where('nodes.kind', '=', 'pageserver')
    .groupBy(['nodes.id', 'nodes.is_schedulable'])
    .select(({ fn }) => [
      'nodes.id',
      'nodes.is_schedulable',
      fn.count<number>('tenants.tenant_id').as('count'),
    ])
    .execute();
  return place('pageserver', candidates.map(toCandidate), 1)[0] as number;
}

/** @throws VarveError ‘unavailable’ / NO_NODE */
export async function pickSafekeepers(queries: Queries, wanted: number): Promise<number[]> {
  const candidates = await queries
    .selectFrom('nodes')
    .leftJoin('timelines', (join) =>
      join.on(({ eb, ref }) => eb(ref('nodes.id'), '=', eb.fn.any('timelines.safekeeper_ids'))),
    )
    .where('nodes.kind', '=', 'safekeeper')
    .groupBy(['nodes.id', 'nodes.is_schedulable'])
    .select(({ fn }) => [
      'nodes.id',
      'nodes.is_schedulable',
      fn.count<number>('timelines.timeline_id').as('count'),
    ])
    .execute();
  return place('safekeeper', candidates.map(toCandidate), wanted);
}

const toCandidate = (row: { id: number; is_schedulable: boolean; count: number }): Candidate => ({
  id: row.id,
  count: row.count,
  isSchedulable: row.is_schedulable,
});

/** A tenant is attached for the first time: its generation is written down before any pageserver sees it. */
export async function insertTenant(change: Queries, tenantId: TenantId): Promise<void> {
  const pageserverId = await pickPageserver(change);
  await change
    .insertInto('tenants')
    .values({ tenant_id: tenantId, generation: FIRST_GENERATION, pageserver_id: pageserverId })
    .execute();
}

export interface NewTimelineRow {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly ancestorId: TimelineId | null;
  /** 0: nobody is to write to it. */
  readonly safekeepers: number;
}

/** What is to be made: that it is, an operation sees to. @throws VarveError ‘unavailable’ / NO_NODE */
export async function insertTimeline(change: Queries, timeline: NewTimelineRow): Promise<void> {
  const { tenantId, timelineId, ancestorId, safekeepers } = timeline;
  await change
    .insertInto('timelines')
    .values({
      tenant_id: tenantId,
      timeline_id: timelineId,
      ancestor_timeline_id: ancestorId,
      ancestor_lsn: null,
      start_lsn: null,
      membership_generation: FIRST_MEMBERSHIP,
      safekeeper_ids: safekeepers === 0 ? [] : await pickSafekeepers(change, safekeepers),
    })
    .execute();
}

/** Where a timeline begins on another one. */
export interface TimelineBeginning {
  readonly tenantId: TenantId;
  readonly ancestorId: TimelineId;
  readonly lsn: Lsn;
}

/** undefined for the first timeline of a project, and for one that is not made yet. */
export async function readBeginning(
  database: Database,
  timelineId: TimelineId,
): Promise<TimelineBeginning | undefined> {
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
