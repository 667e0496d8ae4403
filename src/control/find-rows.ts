import { VarveError } from '../base/errors.ts';
import type { TenantId } from '../base/ids.ts';
import { parseLsn } from '../base/lsn.ts';
import type { Branch, Endpoint, Project, SubjectState } from '../contracts/control-api.ts';
import type { Queries } from './database/database.ts';

/** Looking for what a request names, and how it is shown. */

type ProjectRow = Awaited<ReturnType<typeof getProject>>;

/** @param reference id or name. @throws VarveError ‘not-found’ / PROJECT_NOT_FOUND */
export async function getProject(queries: Queries, reference: string) {
  const row = await queries
    .selectFrom('projects')
    .selectAll()
    .where(({ eb, or }) => or([eb('id', '=', reference as TenantId), eb('name', '=', reference)]))
    .executeTakeFirst();
  if (row !== undefined) return row;
  throw new VarveError('not-found', 'PROJECT_NOT_FOUND', `there is no project “${shown(reference)}”`);
}

/** Without its lock another change may come in between. */
const branchQuery = (queries: Queries) =>
  queries
    .selectFrom('branches')
    .innerJoin('timelines', 'timelines.timeline_id', 'branches.timeline_id')
    .leftJoin('branches as parents', 'parents.timeline_id', 'timelines.ancestor_timeline_id')
    .selectAll('branches')
    .select(['timelines.ancestor_timeline_id', 'timelines.ancestor_lsn', 'parents.id as parent_id']);

export type BranchRow = Awaited<ReturnType<typeof getBranch>>;

/** @param reference id or name. @throws VarveError ‘not-found’ / BRANCH_NOT_FOUND */
export async function getBranch(queries: Queries, projectId: TenantId, reference: string) {
  const row = await branchQuery(queries)
    .where('branches.project_id', '=', projectId)
    .where(({ eb, or }) => or([eb('branches.id', '=', reference), eb('branches.name', '=', reference)]))
    .executeTakeFirst();
  if (row !== undefined) return row;
  throw new VarveError('not-found', 'BRANCH_NOT_FOUND', `there is no branch “${shown(reference)}”`);
}

/** As getBranch; nobody else changes it, or begins something that rests on it, until this transaction is over. */
export async function lockBranch(
  change: Queries,
  projectId: TenantId,
  reference: string,
): Promise<BranchRow> {
  await change
    .selectFrom('branches')
    .select('id')
    .where('project_id', '=', projectId)
    .where(({ eb, or }) => or([eb('id', '=', reference), eb('name', '=', reference)]))
    .forUpdate()
    .execute();
  return await getBranch(change, projectId, reference);
}

export async function listBranches(queries: Queries, projectId: TenantId): Promise<BranchRow[]> {
  return await branchQuery(queries)
    .where('branches.project_id', '=', projectId)
    .orderBy('branches.created_at')
    .orderBy('branches.id')
    .execute();
}

export type EndpointRow = Awaited<ReturnType<typeof getEndpoint>>;

/** @throws VarveError ‘not-found’ / ENDPOINT_NOT_FOUND */
export async function getEndpoint(queries: Queries, id: string, projectId?: TenantId) {
  const row = await queries.selectFrom('endpoints').selectAll().where('id', '=', id).executeTakeFirst();
  if (row !== undefined && (projectId === undefined || row.project_id === projectId)) return row;
  throw new VarveError('not-found', 'ENDPOINT_NOT_FOUND', `there is no endpoint “${shown(id)}”`);
}

/** As getEndpoint; nobody else changes the row until this transaction is over. */
export async function lockEndpointRow(
  change: Queries,
  id: string,
  projectId: TenantId,
): Promise<EndpointRow> {
  await change.selectFrom('endpoints').select('id').where('id', '=', id).forUpdate().execute();
  return await getEndpoint(change, id, projectId);
}

/** @throws VarveError ‘conflict’ / PROJECT_BUSY, BRANCH_BUSY */
export function requireReady(kind: 'project' | 'branch', row: { name: string; state: SubjectState }): void {
  if (row.state === 'ready') return;
  const doing = { creating: 'made', replacing: 'reset or restored', deleting: 'deleted' }[row.state];
  throw new VarveError(
    'conflict',
    kind === 'project' ? 'PROJECT_BUSY' : 'BRANCH_BUSY',
    `the ${kind} ${row.name} is being ${doing}`,
  );
}

export const toProject = (row: ProjectRow): Project => ({
  id: row.id,
  name: row.name,
  pgMajor: row.pg_major,
  walSegmentBytes: row.wal_segment_bytes,
  state: row.state,
  createdAt: row.created_at.getTime(),
});

export const toBranch = (row: BranchRow): Branch => ({
  id: row.id,
  projectId: row.project_id,
  name: row.name,
  timelineId: row.timeline_id,
  parentId: row.parent_id,
  ancestorLsn: row.ancestor_lsn === null ? null : parseLsn(row.ancestor_lsn),
  isDefault: row.is_default,
  isProtected: row.is_protected,
  expiresAt: row.expires_at?.getTime() ?? null,
  state: row.state,
  createdAt: row.created_at.getTime(),
});

export const toEndpoint = (row: EndpointRow, host: string): Endpoint => ({
  id: row.id,
  projectId: row.project_id,
  branchId: row.branch_id,
  kind: row.kind,
  lsn: row.lsn === null ? null : parseLsn(row.lsn),
  time: row.at_time?.getTime() ?? null,
  host,
  port: row.port,
  suspendAfterSeconds: row.suspend_after_seconds,
  settings: row.settings,
  state: row.state,
  error: row.error,
  startSteps: [...row.start_steps],
  lastActiveAt: row.last_active_at?.getTime() ?? null,
  createdAt: row.created_at.getTime(),
});

/** What somebody has written may be anything. */
const shown = (text: string): string => text.slice(0, 80).replaceAll(/\p{Cc}/gu, '?');
