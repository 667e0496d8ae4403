import { parseTimelineId, type TenantId } from '../../base/ids.ts';
import { formatLsn } from '../../base/lsn.ts';
import type { Endpoint, EndpointCreate, EndpointPatch, EndpointState } from '../../contracts/control-api.ts';
import { randomName } from '../../io/random-name.ts';
import { pointOf } from '../branches.ts';
import type { Change } from '../database/database.ts';
import type { Started } from '../database/tables.ts';
import { afterRequest, type EndpointRequest } from '../decisions/endpoint-states.ts';
import { newEndpointId } from '../decisions/names.ts';
import {
  type BranchRow,
  type EndpointRow,
  getBranch,
  getEndpoint,
  getProject,
  lockBranch,
  lockEndpointRow,
  requireReady,
  toEndpoint,
} from '../find-rows.ts';
import { noteStarted, type RepeatableRequest } from '../idempotency.ts';
import { managerOf } from '../operations/endpoint-kinds.ts';
import type { Begin } from '../operations/operation.ts';
import type { ControlParts } from '../parts.ts';
import { insertTimeline } from '../storage/timeline-rows.ts';

const KIND_OF_REQUEST = {
  start: 'start-endpoint',
  restart: 'start-endpoint',
  stop: 'stop-endpoint',
  suspend: 'suspend-endpoint',
  delete: 'delete-endpoint',
} as const;

/** Endpoints: what clients connect to. A branch has one primary at most, and any number that only read. */
export class Endpoints {
  readonly #parts: ControlParts;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /** Of a branch. @throws VarveError ‘not-found’ */
  async list(project: string, branch: string): Promise<Endpoint[]> {
    return await this.#parts.database.query(async (queries) => {
      const { id: projectId } = await getProject(queries, project);
      const { id } = await getBranch(queries, projectId, branch);
      const rows = await queries
        .selectFrom('endpoints')
        .selectAll()
        .where('branch_id', '=', id)
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map((row) => toEndpoint(row, this.#parts.settings.endpointHost));
    });
  }

  /** @throws VarveError ‘not-found’ */
  async get(project: string, id: string): Promise<Endpoint> {
    return await this.#parts.database.query(async (queries) => {
      const { id: projectId } = await getProject(queries, project);
      return toEndpoint(await getEndpoint(queries, id, projectId), this.#parts.settings.endpointHost);
    });
  }

  /** @throws VarveError ‘not-found’; ‘conflict’ / PRIMARY_EXISTS, PORT_TAKEN, BRANCH_BUSY; ‘precondition’ / NO_COMPUTES */
  async create(
    project: string,
    branch: string,
    wanted: EndpointCreate,
    request?: RepeatableRequest,
  ): Promise<Started> {
    const { random, runner, clock } = this.#parts;
    const endpointId = newEndpointId(random);
    const starts = wanted.start ?? true;
    if (starts) managerOf(this.#parts);
    const point = pointOf(wanted, clock.wallMs());
    return await runner.change(async (change, begin) => {
      const { id: projectId } = await getProject(change, project);
      const parent = await lockBranch(change, projectId, branch);
      requireReady('branch', parent);
      const operationId =
        point.kind === 'head'
          ? await this.#createOnBranch(change, begin, parent, endpointId, wanted, starts)
          : await this.#createAtPoint(change, begin, parent, endpointId, wanted, { point, starts });
      const started = { projectId, branchId: parent.id, endpointId, operationId };
      await noteStarted(change, request, started);
      return started;
    });
  }

  async #createOnBranch(
    change: Change,
    begin: Begin,
    branch: BranchRow,
    endpointId: string,
    wanted: EndpointCreate,
    starts: boolean,
  ): Promise<string | null> {
    await this.#insert(change, branch, endpointId, wanted, starts ? 'starting' : 'stopped', null);
    if (!starts) return null;
    return await begin({
      kind: 'start-endpoint',
      projectId: branch.project_id,
      branchId: branch.id,
      endpointId,
      parameters: {},
    });
  }

  async #createAtPoint(
    change: Change,
    begin: Begin,
    branch: BranchRow,
    endpointId: string,
    wanted: EndpointCreate,
    { point, starts }: { readonly point: ReturnType<typeof pointOf>; readonly starts: boolean },
  ): Promise<string> {
    const timelineId = parseTimelineId(randomName(this.#parts.random));
    const { project_id: projectId, timeline_id: ancestorId } = branch;
    await insertTimeline(change, { tenantId: projectId, timelineId, ancestorId, safekeepers: 0 });
    await this.#insert(change, branch, endpointId, wanted, 'creating', timelineId);
    return await begin({
      kind: 'create-endpoint',
      projectId,
      branchId: branch.id,
      endpointId,
      parameters: { timelineId, point, starts },
    });
  }

  async #insert(
    change: Change,
    branch: BranchRow,
    id: string,
    wanted: EndpointCreate,
    state: EndpointState,
    timelineId: EndpointRow['timeline_id'],
  ): Promise<void> {
    const port = wanted.port ?? 0;
    await change
      .insertInto('endpoints')
      .values({
        id,
        project_id: branch.project_id,
        branch_id: branch.id,
        kind: wanted.kind ?? 'primary',
        lsn: wanted.lsn === undefined ? null : formatLsn(wanted.lsn),
        at_time: wanted.time === undefined ? null : new Date(wanted.time),
        timeline_id: timelineId,
        port: port === 0 ? null : port,
        is_port_fixed: port !== 0,
        suspend_after_seconds: wanted.suspendAfterSeconds ?? this.#parts.settings.suspendAfterSeconds,
        settings: JSON.stringify(wanted.settings ?? {}),
        state,
        error: null,
        start_steps: '[]',
        last_active_at: null,
      })
      .execute();
  }

  /** It holds from the next start on. @throws VarveError ‘not-found’; ‘conflict’ / PORT_TAKEN */
  async patch(
    project: string,
    id: string,
    patch: EndpointPatch,
    request?: RepeatableRequest,
  ): Promise<Started> {
    return await this.#parts.runner.change(async (change) => {
      const { id: projectId } = await getProject(change, project);
      const row = await lockEndpointRow(change, id, projectId);
      const { port, settings, suspendAfterSeconds } = patch;
      const set = {
        ...(port === undefined ? {} : { port: port === 0 ? null : port, is_port_fixed: port !== 0 }),
        ...(settings === undefined ? {} : { settings: JSON.stringify(settings) }),
        ...(suspendAfterSeconds === undefined ? {} : { suspend_after_seconds: suspendAfterSeconds }),
      };
      if (Object.keys(set).length > 0) {
        await change.updateTable('endpoints').set(set).where('id', '=', id).execute();
      }
      const started = { projectId, branchId: row.branch_id, endpointId: id, operationId: null };
      await noteStarted(change, request, started);
      return started;
    });
  }

  /** @throws VarveError ‘not-found’; ‘conflict’ / ENDPOINT_BUSY, BRANCH_BUSY; ‘precondition’ / NO_COMPUTES */
  async request(
    project: string,
    id: string,
    asked: keyof typeof KIND_OF_REQUEST,
    request?: RepeatableRequest,
  ): Promise<Started> {
    const { runner } = this.#parts;
    if (asked === 'start' || asked === 'restart' || asked === 'suspend') managerOf(this.#parts);
    return await runner.change(async (change, begin) => {
      const { id: projectId } = await getProject(change, project);
      const { branch_id: branchId } = await getEndpoint(change, id, projectId);
      // The branch first, as everybody locks them.
      const branch = await lockBranch(change, projectId, branchId);
      if (branch.state === 'replacing') requireReady('branch', branch);
      const row = await lockEndpointRow(change, id, projectId);
      const operationId = await this.#act(change, begin, row, asked);
      const started = { projectId, branchId, endpointId: id, operationId };
      await noteStarted(change, request, started);
      return started;
    });
  }

  async #act(
    change: Change,
    begin: Begin,
    row: EndpointRow,
    asked: keyof typeof KIND_OF_REQUEST,
  ): Promise<string | null> {
    const next = afterRequest(asked satisfies EndpointRequest, row.state);
    if (next === 'nothing') return this.#unfinished(row.project_id, row.id);
    await change
      .updateTable('endpoints')
      .set({ state: next, error: null })
      .where('id', '=', row.id)
      .execute();
    return await begin({
      kind: KIND_OF_REQUEST[asked],
      projectId: row.project_id,
      branchId: row.branch_id,
      endpointId: row.id,
      parameters: asked === 'restart' ? { isRestart: true } : {},
    });
  }

  /** What brings about what is asked for already. */
  #unfinished(projectId: TenantId, endpointId: string): string | null {
    const found = this.#parts.runner.find(
      (row) => row.projectId === projectId && row.endpointId === endpointId,
    );
    return found.at(-1) ?? null;
  }
}
