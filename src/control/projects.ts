import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import type { Project, ProjectCreate, ProjectPatch } from '../contracts/control-api.ts';
import { SEGMENT_BYTES_DEFAULT } from '../contracts/safekeeper-api.ts';
import { randomName } from '../io/random-name.ts';
import type { Started } from './database/tables.ts';
import { newBranchId } from './decisions/names.ts';
import { getProject, requireReady, toProject } from './find-rows.ts';
import { noteStarted, type RepeatableRequest } from './idempotency.ts';
import type { ControlParts } from './parts.ts';
import { insertTenant, insertTimeline } from './storage/timeline-rows.ts';

const MAJOR_DEFAULT = 17;
const BRANCH_DEFAULT = 'main';

/** Projects: a tenant each, with branches of one history. */
export class Projects {
  readonly #parts: ControlParts;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  async list(): Promise<Project[]> {
    const rows = await this.#parts.database.query((queries) =>
      queries.selectFrom('projects').selectAll().orderBy('created_at').orderBy('id').execute(),
    );
    return rows.map(toProject);
  }

  /** @throws VarveError ‘not-found’ / PROJECT_NOT_FOUND */
  async get(reference: string): Promise<Project> {
    return toProject(await this.#parts.database.query((queries) => getProject(queries, reference)));
  }

  /** @throws VarveError ‘conflict’ / PROJECT_EXISTS; ‘unavailable’ / NO_NODE */
  async create(wanted: ProjectCreate, request?: RepeatableRequest): Promise<Started> {
    const { random, settings, runner } = this.#parts;
    const projectId = parseTenantId(randomName(random));
    const timelineId = parseTimelineId(randomName(random));
    const branchId = newBranchId(random);
    const { name, pgMajor = MAJOR_DEFAULT, branchName = BRANCH_DEFAULT } = wanted;
    return await runner.change(async (change, begin) => {
      await change
        .insertInto('projects')
        .values({
          id: projectId,
          name,
          pg_major: pgMajor,
          wal_segment_bytes: SEGMENT_BYTES_DEFAULT,
          system_identifier: null,
          state: 'creating',
        })
        .execute();
      await insertTenant(change, projectId);
      const { safekeepersPerTimeline: safekeepers } = settings;
      await insertTimeline(change, { tenantId: projectId, timelineId, ancestorId: null, safekeepers });
      await change
        .insertInto('branches')
        .values({
          id: branchId,
          project_id: projectId,
          name: branchName,
          timeline_id: timelineId,
          is_default: true,
          is_protected: false,
          expires_at: null,
          state: 'creating',
        })
        .execute();
      const parameters = { timelineId, pgMajor };
      const operationId = await begin({ kind: 'create-project', projectId, branchId, parameters });
      const started = { projectId, branchId, operationId };
      await noteStarted(change, request, started);
      return started;
    });
  }

  /** @throws VarveError ‘not-found’ / PROJECT_NOT_FOUND; ‘conflict’ / PROJECT_EXISTS */
  async patch(reference: string, { name }: ProjectPatch, request?: RepeatableRequest): Promise<Started> {
    return await this.#parts.runner.change(async (change) => {
      const { id } = await getProject(change, reference);
      if (name !== undefined)
        await change.updateTable('projects').set({ name }).where('id', '=', id).execute();
      const started = { projectId: id, operationId: null };
      await noteStarted(change, request, started);
      return started;
    });
  }

  /** @throws VarveError ‘not-found’ / PROJECT_NOT_FOUND; ‘conflict’ / PROJECT_BUSY; ‘precondition’ / BRANCH_PROTECTED */
  async delete(reference: string, request?: RepeatableRequest): Promise<Started> {
    return await this.#parts.runner.change(async (change, begin) => {
      const found = await getProject(change, reference);
      const project = await change
        .selectFrom('projects')
        .selectAll()
        .where('id', '=', found.id)
        .forUpdate()
        .executeTakeFirst();
      requireReady('project', project ?? { ...found, state: 'deleting' });
      const { id } = found;
      const branches = await change
        .selectFrom('branches')
        .selectAll()
        .where('project_id', '=', id)
        .forUpdate()
        .execute();
      const kept = branches.find(({ is_protected }) => is_protected);
      if (kept !== undefined) {
        throw new VarveError('precondition', 'BRANCH_PROTECTED', `branch ${kept.name} of it is protected`);
      }
      const busy = branches.find(({ state }) => state !== 'ready');
      if (busy !== undefined) {
        throw new VarveError('conflict', 'PROJECT_BUSY', `branch ${busy.name} of it is being changed`);
      }
      await change.updateTable('projects').set({ state: 'deleting' }).where('id', '=', id).execute();
      await change.updateTable('branches').set({ state: 'deleting' }).where('project_id', '=', id).execute();
      await change.updateTable('endpoints').set({ state: 'deleting' }).where('project_id', '=', id).execute();
      const operationId = await begin({ kind: 'delete-project', projectId: id, parameters: {} });
      const started = { projectId: id, operationId };
      await noteStarted(change, request, started);
      return started;
    });
  }
}
