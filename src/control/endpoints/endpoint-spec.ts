import { VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { parseLsn } from '../../base/lsn.ts';
import type {
  EndpointAddress,
  EndpointMode,
  EndpointRole,
  EndpointSpec,
} from '../../contracts/endpoint-manager.ts';
import type { Queries } from '../database/database.ts';
import { type EndpointRow, getEndpoint, requireReady } from '../find-rows.ts';
import type { ControlParts } from '../parts.ts';

/** Of the cluster that every timeline begins with. */
const SUPERUSER = 'postgres';

/** Where clients of an endpoint come. */
export function addressOfEndpoint(
  { id, port, is_port_fixed }: Pick<EndpointRow, 'id' | 'port' | 'is_port_fixed'>,
  { settings }: Pick<ControlParts, 'settings'>,
): EndpointAddress {
  return {
    endpointId: id,
    listen: { host: settings.endpointHost, port: port ?? 0, mayMove: !is_port_fixed },
  };
}

/** What an endpoint's compute needs, as things are now. @throws VarveError ‘conflict’ / BRANCH_BUSY; ‘not-found’ */
export async function specOf(parts: ControlParts, endpointId: string): Promise<EndpointSpec> {
  const { row, branch, project, roles } = await parts.database.query(async (queries) => {
    const endpoint = await getEndpoint(queries, endpointId);
    return {
      row: endpoint,
      branch: await queries
        .selectFrom('branches')
        .select(['name', 'state', 'timeline_id'])
        .where('id', '=', endpoint.branch_id)
        .executeTakeFirstOrThrow(),
      project: await queries
        .selectFrom('projects')
        .selectAll()
        .where('id', '=', endpoint.project_id)
        .executeTakeFirstOrThrow(),
      roles: await rolesOf(queries, endpoint.project_id),
    };
  });
  requireReady('branch', branch);
  const tenantId = row.project_id;
  const timelineId = row.timeline_id ?? branch.timeline_id;
  seeToAncestors(parts, timelineId);
  const { node } = await parts.nodes.pageserverOf(tenantId);
  const { issueToken } = parts;
  return {
    ...addressOfEndpoint(row, parts),
    tenantId,
    timelineId,
    mode: modeOf(row),
    membership: await parts.nodes.membershipOf(timelineId),
    pageserver: { host: node.pgHost, port: node.pgPort },
    ...(issueToken === undefined
      ? {}
      : { storageToken: () => issueToken({ scope: 'tenant', tenantId, timelineId }) }),
    pgMajor: project.pg_major,
    walSegmentBytes: project.wal_segment_bytes,
    settings: row.settings,
    roles,
    suspendAfterSeconds: row.suspend_after_seconds,
  };
}

/** A start waits for what storage needs for it, and this for nothing: so it goes on beside the start. */
function seeToAncestors({ effects, runner, logger }: ControlParts, timelineId: TimelineId): void {
  effects.commitAncestors(timelineId, runner.signal).catch((error: unknown) => {
    if (runner.signal.aborted) return;
    logger.warn('It is not sure that all is there that a branch began with', { timelineId, error });
  });
}

function modeOf(row: EndpointRow): EndpointMode {
  if (row.kind === 'primary') return { kind: 'primary' };
  if (row.timeline_id === null) return { kind: 'standby' };
  if (row.lsn !== null) return { kind: 'read-only', lsn: parseLsn(row.lsn) };
  throw new VarveError('conflict', 'ENDPOINT_BUSY', 'the endpoint is being made');
}

/** Of a project's primaries: those that were deleted may not log in any more. */
export async function rolesOf(queries: Queries, projectId: TenantId): Promise<EndpointRole[]> {
  const rows = await queries
    .selectFrom('roles')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('name')
    .execute();
  return rows.map((row) => {
    // The compute itself works as this one, whatever is said of it.
    if (row.name === SUPERUSER) return { name: row.name, password: row.verifier, login: true };
    return row.is_deleted
      ? { name: row.name, password: null, login: false }
      : {
          name: row.name,
          password: row.verifier,
          login: true,
          superuser: row.is_superuser,
          createdb: row.may_create_databases,
          createrole: row.may_create_roles,
        };
  });
}
