import { z } from 'zod';
import { AssertionError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { formatLsn, type Lsn, parseLsn } from '../../base/lsn.ts';
import { timelineIdSchema } from '../../contracts/api-values.ts';
import type { Change } from '../database/database.ts';
import type { ControlParts } from '../parts.ts';
import { moveToPointOwner } from '../storage/point-owner.ts';
import type { BranchPoint } from '../storage/timeline-effects.ts';
import type { Begin, OperationContext, OperationKind } from './operation.ts';
import { beginCompleting } from './timeline-kinds.ts';

/** Where a branch begins, as an operation keeps it. */
export const pointSchema = z.union([
  z.object({ kind: z.literal('head') }),
  z.object({ kind: z.literal('lsn'), lsn: z.string() }),
  z.object({ kind: z.literal('time'), timeMs: z.number() }),
]);
export type StoredPoint = z.output<typeof pointSchema>;

const toPoint = (stored: StoredPoint): BranchPoint =>
  stored.kind === 'lsn' ? { kind: 'lsn', lsn: parseLsn(stored.lsn) } : stored;

const createSchema = z.object({
  timelineId: timelineIdSchema,
  point: pointSchema,
});

const replaceSchema = z.object({
  timelineId: timelineIdSchema,
  point: pointSchema,
  /** The branch's until then. */
  oldTimelineId: timelineIdSchema,
  /** A branch that has the new timeline meanwhile, and the old one from then on. */
  backupId: z.string().nullable(),
});

const deleteSchema = z.object({ timelineId: timelineIdSchema });

interface MadeTimeline {
  readonly startLsn: Lsn;
  /** Safekeepers that have not got it. */
  readonly missing: readonly number[];
}

/** Makes a timeline that begins on another one, on the pageserver and on its safekeepers. */
export async function makeTimeline(
  { effects, database, nodes }: ControlParts,
  projectId: TenantId,
  parameters: { readonly timelineId: TimelineId; readonly point: StoredPoint },
  { signal, step, isRepeated }: OperationContext,
): Promise<MadeTimeline> {
  const key = { tenantId: projectId, timelineId: parameters.timelineId };
  const point = toPoint(parameters.point);
  step('pageserver');
  const ancestorId = await moveToPointOwner({ database, nodes }, key, point, signal);
  const info = await effects.makeBranch(key, ancestorId, point, isRepeated, signal);
  const startLsn = info.ancestor_lsn;
  if (typeof startLsn !== 'number') throw new AssertionError('a branch has no place where it begins');
  step('safekeepers');
  return { startLsn, missing: await effects.makeOnSafekeepers(key, info, startLsn, signal) };
}

/** What is known of a timeline once it is made. */
export async function noteTimeline(change: Change, timelineId: TimelineId, startLsn: Lsn): Promise<void> {
  const lsn = formatLsn(startLsn);
  await change
    .updateTable('timelines')
    .set({ ancestor_lsn: lsn, start_lsn: lsn })
    .where('timeline_id', '=', timelineId)
    .execute();
}

export const createBranch = (parts: ControlParts): OperationKind<typeof createSchema> => ({
  kind: 'create-branch',
  parameters: createSchema,
  execute: async (operation, context) => {
    const { projectId, branchId, parameters } = operation;
    const { timelineId } = parameters;
    const { startLsn, missing } = await makeTimeline(parts, projectId, parameters, context);
    return async (change, begin) => {
      await noteTimeline(change, timelineId, startLsn);
      await change
        .updateTable('branches')
        .set({ state: 'ready' })
        .where('id', '=', branchId as string)
        .where('state', '=', 'creating')
        .execute();
      await beginCompleting(begin, { projectId, branchId }, timelineId, missing);
    };
  },
  undo: async ({ projectId, branchId, parameters: { timelineId } }, { signal, step }) => {
    step('undo');
    await parts.effects.remove({ tenantId: projectId, timelineId }, signal);
    return async (change) => {
      await change
        .deleteFrom('branches')
        .where('id', '=', branchId as string)
        .execute();
      await change.deleteFrom('timelines').where('timeline_id', '=', timelineId).execute();
    };
  },
});

/**
 * A branch gets a new timeline: of its parent's head, or of its own history. What is on the old one stays readable until the new
 * one is there; then computes are stopped, the timelines change places, and the computes start again.
 */
export const replaceBranch = (parts: ControlParts): OperationKind<typeof replaceSchema> => ({
  kind: 'replace-branch',
  parameters: replaceSchema,
  execute: async (operation, context) => {
    const { projectId, parameters } = operation;
    const branchId = operation.branchId as string;
    const { timelineId, oldTimelineId, backupId } = parameters;
    const { startLsn, missing } = await makeTimeline(parts, projectId, parameters, context);
    context.step('endpoints');
    const running = await stopEndpoints(parts, branchId, context);
    return async (change, begin) => {
      await noteTimeline(change, timelineId, startLsn);
      await swapTimelines(change, branchId, parameters);
      if (backupId === null) {
        await begin({
          kind: 'remove-timeline',
          projectId,
          branchId,
          parameters: { timelineId: oldTimelineId },
        });
      }
      await restart(change, begin, projectId, branchId, running);
      await beginCompleting(begin, { projectId, branchId }, timelineId, missing);
    };
  },
  undo: async (operation, context) => {
    const { projectId, parameters } = operation;
    const branchId = operation.branchId as string;
    const { timelineId, backupId } = parameters;
    context.step('undo');
    const running = await lockEndpoints(parts, branchId, context);
    await parts.effects.remove({ tenantId: projectId, timelineId }, context.signal);
    return async (change, begin) => {
      if (backupId !== null) await change.deleteFrom('branches').where('id', '=', backupId).execute();
      await change.deleteFrom('timelines').where('timeline_id', '=', timelineId).execute();
      await change.updateTable('branches').set({ state: 'ready' }).where('id', '=', branchId).execute();
      await restart(change, begin, projectId, branchId, running);
    };
  },
});

async function swapTimelines(
  change: Change,
  branchId: string,
  { timelineId, oldTimelineId, backupId }: z.output<typeof replaceSchema>,
): Promise<void> {
  if (backupId === null) {
    await change
      .updateTable('branches')
      .set({ timeline_id: timelineId, state: 'ready' })
      .where('id', '=', branchId)
      .execute();
    return;
  }
  await change
    .updateTable('branches')
    .set(({ eb }) => ({
      timeline_id: eb
        .case()
        .when('id', '=', branchId)
        .then<TimelineId>(timelineId)
        .else<TimelineId>(oldTimelineId)
        .end(),
      state: 'ready' as const,
    }))
    .where('id', 'in', [branchId, backupId])
    .execute();
}

/** States in which a compute runs, or may. */
const RUNNING = ['active', 'starting', 'suspending'] as const;

/** @returns those of a branch that are to run */
async function lockEndpoints(
  { database }: ControlParts,
  branchId: string,
  { lockEndpoint }: OperationContext,
): Promise<string[]> {
  const readAll = () =>
    database.query((queries) =>
      queries
        .selectFrom('endpoints')
        .select(['id', 'state'])
        .where('branch_id', '=', branchId)
        // One that shows a fixed LSN has a timeline of its own.
        .where('timeline_id', 'is', null)
        .orderBy('id')
        .execute(),
    );
  for (const { id } of await readAll()) await lockEndpoint(id);
  // What they are is sure only now.
  return (await readAll())
    .filter(({ state }) => RUNNING.some((other) => other === state))
    .map(({ id }) => id);
}

async function stopEndpoints(
  parts: ControlParts,
  branchId: string,
  context: OperationContext,
): Promise<string[]> {
  const running = await lockEndpoints(parts, branchId, context);
  for (const id of running) await parts.endpoints?.stop(id, context.signal);
  return running;
}

async function restart(
  change: Change,
  begin: Begin,
  projectId: TenantId,
  branchId: string,
  endpointIds: readonly string[],
): Promise<void> {
  for (const endpointId of endpointIds) {
    await change.updateTable('endpoints').set({ state: 'starting' }).where('id', '=', endpointId).execute();
    await begin({ kind: 'start-endpoint', projectId, branchId, endpointId, parameters: {} });
  }
}

/** A branch goes with its endpoints. It has no children, and gets none meanwhile. */
export const deleteBranch = (parts: ControlParts): OperationKind<typeof deleteSchema> => ({
  kind: 'delete-branch',
  parameters: deleteSchema,
  execute: async (operation, { signal, step, lockEndpoint }) => {
    const { projectId, parameters } = operation;
    const branchId = operation.branchId as string;
    const { database, effects } = parts;
    const endpoints = await database.query((queries) =>
      queries
        .selectFrom('endpoints')
        .select(['id', 'timeline_id'])
        .where('branch_id', '=', branchId)
        .orderBy('id')
        .execute(),
    );
    for (const { id, timeline_id } of endpoints) {
      step(`endpoint ${id}`);
      await lockEndpoint(id);
      await parts.endpoints?.stop(id, signal);
      await parts.endpoints?.remove(id, signal);
      if (timeline_id !== null)
        await effects.remove({ tenantId: projectId, timelineId: timeline_id }, signal);
    }
    step('storage');
    if (await isKnown(parts, parameters.timelineId)) {
      await effects.remove({ tenantId: projectId, timelineId: parameters.timelineId }, signal);
    }
    const own = endpoints.flatMap(({ timeline_id }) => (timeline_id === null ? [] : [timeline_id]));
    return async (change) => {
      await change.deleteFrom('endpoints').where('branch_id', '=', branchId).execute();
      await change.deleteFrom('branches').where('id', '=', branchId).execute();
      await change
        .deleteFrom('timelines')
        .where('timeline_id', 'in', [...own, parameters.timelineId])
        .execute();
    };
  },
});

async function isKnown({ database }: ControlParts, timelineId: TimelineId): Promise<boolean> {
  const row = await database.query((queries) =>
    queries
      .selectFrom('timelines')
      .select('timeline_id')
      .where('timeline_id', '=', timelineId)
      .executeTakeFirst(),
  );
  return row !== undefined;
}
