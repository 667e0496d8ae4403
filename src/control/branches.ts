import { BadRequestError, VarveError } from '../base/errors.ts';
import { parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import type {
  Branch,
  BranchCreate,
  BranchPatch,
  BranchReset,
  BranchRestore,
} from '../contracts/control-api.ts';
import { randomName } from '../io/random-name.ts';
import type { Change, Queries } from './database/database.ts';
import type { Started } from './database/tables.ts';
import { backupName, newBranchId, newBranchName } from './decisions/names.ts';
import {
  type BranchRow,
  getBranch,
  getProject,
  listBranches,
  lockBranch,
  requireReady,
  toBranch,
} from './find-rows.ts';
import { noteStarted, type RepeatableRequest } from './idempotency.ts';
import type { StoredPoint } from './operations/branch-kinds.ts';
import type { Begin } from './operations/operation.ts';
import type { ControlParts } from './parts.ts';
import { insertTimeline } from './storage/timeline-rows.ts';

/** How far somebody else's clock may be ahead of ours. */
const CLOCK_SKEW_MS = 5000;

interface Replacement {
  readonly ancestorId: TimelineId;
  readonly point: StoredPoint;
  /** undefined: what was on the branch goes. */
  readonly keepAs: string | undefined;
}

/** Branches: names that point to timelines. */
export class Branches {
  readonly #parts: ControlParts;
  /** Told when a branch has got a time at which it expires. */
  readonly #onExpiry: () => void;

  constructor(parts: ControlParts, onExpiry: () => void) {
    this.#parts = parts;
    this.#onExpiry = onExpiry;
  }

  /** @throws VarveError ‘not-found’ / PROJECT_NOT_FOUND */
  async list(project: string): Promise<Branch[]> {
    return await this.#parts.database.query(async (queries) => {
      const { id } = await getProject(queries, project);
      return (await listBranches(queries, id)).map(toBranch);
    });
  }

  /** @throws VarveError ‘not-found’ / PROJECT_NOT_FOUND, BRANCH_NOT_FOUND */
  async get(project: string, reference: string): Promise<Branch> {
    return await this.#parts.database.query(async (queries) => {
      const { id } = await getProject(queries, project);
      return toBranch(await getBranch(queries, id, reference));
    });
  }

  /**
   * @throws VarveError ‘not-found’; ‘conflict’ / BRANCH_EXISTS, PROJECT_BUSY, BRANCH_BUSY; BadRequestError TIME_IN_FUTURE,
   *   BAD_EXPIRY. That the history does not go there is known when the operation fails: ‘precondition’ / BAD_BRANCH_POINT
   */
  async create(project: string, wanted: BranchCreate, request?: RepeatableRequest): Promise<Started> {
    const { random, runner, settings } = this.#parts;
    const point = this.#point(wanted);
    const expiresAt = this.#expiry(wanted.expiresAt);
    const branchId = newBranchId(random);
    const timelineId = parseTimelineId(randomName(random));
    const started = await runner.change(async (change, begin) => {
      const owner = await getProject(change, project);
      requireReady('project', owner);
      const projectId = owner.id;
      const parent = await lockBranch(
        change,
        projectId,
        wanted.parent ?? (await defaultBranch(change, projectId)),
      );
      requireReady('branch', parent);
      const ancestorId = parent.timeline_id;
      const { safekeepersPerTimeline: safekeepers } = settings;
      await insertTimeline(change, { tenantId: projectId, timelineId, ancestorId, safekeepers });
      await insertBranch(change, {
        id: branchId,
        projectId,
        name: wanted.name ?? newBranchName(random),
        timelineId,
        isProtected: wanted.protected ?? false,
        expiresAt,
      });
      const parameters = { timelineId, point };
      const operationId = await begin({ kind: 'create-branch', projectId, branchId, parameters });
      const begun = { projectId, branchId, operationId };
      await noteStarted(change, request, begun);
      return begun;
    });
    if (expiresAt !== null) this.#onExpiry();
    return started;
  }

  /** @throws VarveError ‘not-found’; ‘conflict’ / BRANCH_EXISTS; BadRequestError BAD_EXPIRY */
  async patch(
    project: string,
    reference: string,
    patch: BranchPatch,
    request?: RepeatableRequest,
  ): Promise<Started> {
    const expiresAt = patch.expiresAt === undefined ? undefined : this.#expiry(patch.expiresAt ?? undefined);
    const started = await this.#parts.runner.change(async (change) => {
      const { id: projectId } = await getProject(change, project);
      const branch = await lockBranch(change, projectId, reference);
      if (branch.state === 'deleting') requireReady('branch', branch);
      const isRoot = branch.is_default || branch.parent_id === null;
      if (isRoot && expiresAt !== undefined && expiresAt !== null) throw isRootError(branch);
      const set = {
        ...(patch.name === undefined ? {} : { name: patch.name }),
        ...(patch.protected === undefined ? {} : { is_protected: patch.protected }),
        ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
      };
      if (Object.keys(set).length > 0) {
        await change.updateTable('branches').set(set).where('id', '=', branch.id).execute();
      }
      const begun = { projectId, branchId: branch.id, operationId: null };
      await noteStarted(change, request, begun);
      return begun;
    });
    if (expiresAt instanceof Date) this.#onExpiry();
    return started;
  }

  /**
   * What its parent has now takes the place of what is on the branch.
   * @throws VarveError ‘not-found’; ‘conflict’ / BRANCH_BUSY, BRANCH_EXISTS; ‘precondition’ / BRANCH_IS_ROOT, BRANCH_PROTECTED,
   *   BRANCH_HAS_CHILDREN
   */
  async reset(
    project: string,
    reference: string,
    { keepAs }: BranchReset,
    request?: RepeatableRequest,
  ): Promise<Started> {
    return await this.#replace(project, reference, request, async (change, branch) => {
      if (branch.parent_id === null || branch.ancestor_timeline_id === null) throw noParentError(branch);
      if (branch.is_protected) throw isProtectedError(branch);
      if (keepAs === undefined)
        await refuseChildren(change, branch, 'give “keepAs”, so that they stay', true);
      return { ancestorId: branch.ancestor_timeline_id, point: { kind: 'head' }, keepAs };
    });
  }

  /**
   * The branch becomes what it was; what is on it now is kept as another branch.
   * @throws as create, and as reset but for what is about parents and children
   */
  async restore(
    project: string,
    reference: string,
    wanted: BranchRestore,
    request?: RepeatableRequest,
  ): Promise<Started> {
    const point = this.#point(wanted);
    const { clock, random } = this.#parts;
    return await this.#replace(project, reference, request, async (_change, branch) => ({
      ancestorId: branch.timeline_id,
      point,
      keepAs: wanted.keepAs ?? backupName(branch.name, clock.wallMs(), random),
    }));
  }

  async #replace(
    project: string,
    reference: string,
    request: RepeatableRequest | undefined,
    plan: (change: Change, branch: BranchRow) => Promise<Replacement>,
  ): Promise<Started> {
    const { runner } = this.#parts;
    return await runner.change(async (change, begin) => {
      const owner = await getProject(change, project);
      requireReady('project', owner);
      const branch = await lockBranch(change, owner.id, reference);
      requireReady('branch', branch);
      const operationId = await this.#beginReplacing(change, begin, branch, await plan(change, branch));
      const begun = { projectId: owner.id, branchId: branch.id, operationId };
      await noteStarted(change, request, begun);
      return begun;
    });
  }

  async #beginReplacing(
    change: Change,
    begin: Begin,
    branch: BranchRow,
    { ancestorId, point, keepAs }: Replacement,
  ): Promise<string> {
    const { random, settings } = this.#parts;
    const { id: branchId, project_id: projectId } = branch;
    const timelineId = parseTimelineId(randomName(random));
    const { safekeepersPerTimeline: safekeepers } = settings;
    await insertTimeline(change, { tenantId: projectId, timelineId, ancestorId, safekeepers });
    const backupId = keepAs === undefined ? null : newBranchId(random);
    if (backupId !== null && keepAs !== undefined) {
      // It holds the name, and the new timeline until that takes the old one's place.
      const held = { id: backupId, projectId, name: keepAs, timelineId, isProtected: false, expiresAt: null };
      await insertBranch(change, held);
    }
    await change.updateTable('branches').set({ state: 'replacing' }).where('id', '=', branchId).execute();
    const parameters = { timelineId, point, oldTimelineId: branch.timeline_id, backupId };
    return await begin({ kind: 'replace-branch', projectId, branchId, parameters });
  }

  /** @throws VarveError ‘not-found’; ‘conflict’ / BRANCH_BUSY; ‘precondition’ / BRANCH_IS_ROOT, BRANCH_PROTECTED, BRANCH_HAS_CHILDREN */
  async delete(project: string, reference: string, request?: RepeatableRequest): Promise<Started> {
    return await this.#parts.runner.change(async (change, begin) => {
      const { id: projectId } = await getProject(change, project);
      const branch = await lockBranch(change, projectId, reference);
      requireReady('branch', branch);
      if (branch.is_protected) throw isProtectedError(branch);
      if (branch.is_default || branch.parent_id === null) throw isRootError(branch);
      await refuseChildren(change, branch, 'delete them first');
      const branchId = branch.id;
      await change.updateTable('branches').set({ state: 'deleting' }).where('id', '=', branchId).execute();
      await change
        .updateTable('endpoints')
        .set({ state: 'deleting' })
        .where('branch_id', '=', branchId)
        .execute();
      const parameters = { timelineId: branch.timeline_id };
      const operationId = await begin({ kind: 'delete-branch', projectId, branchId, parameters });
      const begun = { projectId, branchId, operationId };
      await noteStarted(change, request, begun);
      return begun;
    });
  }

  #point(wanted: { readonly lsn?: Lsn | undefined; readonly time?: number | undefined }): StoredPoint {
    return pointOf(wanted, this.#parts.clock.wallMs());
  }

  /** @throws BadRequestError BAD_EXPIRY */
  #expiry(timeMs: number | undefined): Date | null {
    if (timeMs === undefined) return null;
    if (timeMs > this.#parts.clock.wallMs()) return new Date(timeMs);
    throw new BadRequestError('BAD_EXPIRY', `${new Date(timeMs).toISOString()} is over already`);
  }
}

/** @throws BadRequestError TIME_IN_FUTURE */
export function pointOf(
  { lsn, time }: { readonly lsn?: Lsn | undefined; readonly time?: number | undefined },
  nowMs: number,
): StoredPoint {
  if (lsn !== undefined) return { kind: 'lsn', lsn: formatLsn(lsn) };
  if (time === undefined) return { kind: 'head' };
  if (time <= nowMs + CLOCK_SKEW_MS) return { kind: 'time', timeMs: time };
  throw new BadRequestError('TIME_IN_FUTURE', `${new Date(time).toISOString()} is still to come`);
}

async function defaultBranch(queries: Queries, projectId: TenantId): Promise<string> {
  const { id } = await queries
    .selectFrom('branches')
    .select('id')
    .where('project_id', '=', projectId)
    .where('is_default', '=', true)
    .executeTakeFirstOrThrow();
  return id;
}

interface NewBranch {
  readonly id: string;
  readonly projectId: TenantId;
  readonly name: string;
  readonly timelineId: TimelineId;
  readonly isProtected: boolean;
  readonly expiresAt: Date | null;
}

async function insertBranch(change: Change, branch: NewBranch): Promise<void> {
  await change
    .insertInto('branches')
    .values({
      id: branch.id,
      project_id: branch.projectId,
      name: branch.name,
      timeline_id: branch.timelineId,
      is_default: false,
      is_protected: branch.isProtected,
      expires_at: branch.expiresAt,
      state: 'creating',
    })
    .execute();
}

/**
 * @param countsOwn also the timelines of its own endpoints, which go with it where it is deleted
 * @throws VarveError ‘precondition’ / BRANCH_HAS_CHILDREN
 */
async function refuseChildren(
  change: Change,
  branch: BranchRow,
  remedy: string,
  countsOwn = false,
): Promise<void> {
  const children = await change
    .selectFrom('timelines')
    .leftJoin('branches', 'branches.timeline_id', 'timelines.timeline_id')
    .leftJoin('endpoints', 'endpoints.timeline_id', 'timelines.timeline_id')
    .select(['branches.name', 'endpoints.id as endpoint_id', 'endpoints.branch_id'])
    .where('ancestor_timeline_id', '=', branch.timeline_id)
    .execute();
  const others = children.filter(({ branch_id }) => countsOwn || branch_id !== branch.id);
  if (others.length === 0) return;
  const names = others.map(({ name, endpoint_id }) => name ?? endpoint_id ?? 'one that is being deleted');
  throw new VarveError(
    'precondition',
    'BRANCH_HAS_CHILDREN',
    `the branch ${branch.name} has children (${names.slice(0, 5).join(', ')}): ${remedy}`,
  );
}

const noParentError = ({ name }: BranchRow): VarveError =>
  new VarveError('precondition', 'BRANCH_IS_ROOT', `the branch ${name} has no parent to be reset to`);

const isRootError = ({ name, is_default }: BranchRow): VarveError =>
  new VarveError(
    'precondition',
    'BRANCH_IS_ROOT',
    is_default
      ? `${name} is the project's default branch: it goes with the project`
      : `the branch ${name} is a root: it goes with the project`,
  );

const isProtectedError = ({ name }: BranchRow): VarveError =>
  new VarveError('precondition', 'BRANCH_PROTECTED', `the branch ${name} is protected`);
