import { z } from 'zod';
import { formatLsn } from '../../base/lsn.ts';
import { timelineIdSchema } from '../../contracts/api-values.ts';
import type { Change } from '../database/database.ts';
import type { ControlParts } from '../parts.ts';
import type { EndChange, OperationKind, OperationRow } from './operation.ts';
import { beginCompleting } from './timeline-kinds.ts';

const createSchema = z.object({ timelineId: timelineIdSchema, pgMajor: z.int() });
const deleteSchema = z.object({});

/** A tenant with its first timeline. */
export const createProject = (parts: ControlParts): OperationKind<typeof createSchema> => ({
  kind: 'create-project',
  parameters: createSchema,
  execute: async (operation, { signal, step }) => {
    const { projectId, branchId, parameters } = operation;
    const { effects } = parts;
    const key = { tenantId: projectId, timelineId: parameters.timelineId };
    step('attach');
    await effects.attach(projectId, signal);
    step('cluster');
    const info = await effects.makeFirst(key, parameters.pgMajor, signal);
    step('safekeepers');
    // Nobody writes to it before it is said to be ready: here its WAL begins.
    const startLsn = info.last_record_lsn;
    const missing = await effects.makeOnSafekeepers(key, info, startLsn, signal);
    return async (change, begin) => {
      await change
        .updateTable('timelines')
        .set({ start_lsn: formatLsn(startLsn) })
        .where('timeline_id', '=', key.timelineId)
        .execute();
      await change
        .updateTable('projects')
        .set({
          state: 'ready',
          system_identifier: String(info.system_identifier),
          wal_segment_bytes: info.wal_segment_size,
        })
        .where('id', '=', projectId)
        .execute();
      await change
        .updateTable('branches')
        .set({ state: 'ready' })
        .where('project_id', '=', projectId)
        .where('state', '=', 'creating')
        .execute();
      await beginCompleting(begin, { projectId, branchId }, key.timelineId, missing);
    };
  },
  undo: (operation, { signal, step }) => removeProject(parts, operation, signal, step),
});

/** A tenant goes with all that it has. */
export const deleteProject = (parts: ControlParts): OperationKind<typeof deleteSchema> => ({
  kind: 'delete-project',
  parameters: deleteSchema,
  execute: async (operation, { signal, step, lockEndpoint }) => {
    const { projectId } = operation;
    const endpoints = await parts.database.query((queries) =>
      queries
        .selectFrom('endpoints')
        .select('id')
        .where('project_id', '=', projectId)
        .orderBy('id')
        .execute(),
    );
    step('endpoints');
    for (const { id } of endpoints) {
      await lockEndpoint(id);
      await parts.endpoints?.stop(id, signal);
      await parts.endpoints?.remove(id, signal);
    }
    return await removeProject(parts, operation, signal, step);
  },
});

async function removeProject(
  { database, effects }: ControlParts,
  { projectId }: Pick<OperationRow<unknown>, 'projectId'>,
  signal: AbortSignal,
  step: (name: string) => void,
): Promise<EndChange> {
  const timelines = await database.query((queries) =>
    queries.selectFrom('timelines').select('safekeeper_ids').where('tenant_id', '=', projectId).execute(),
  );
  // No timelines: all of it has gone already.
  if (timelines.length > 0) {
    step('storage');
    const safekeeperIds = new Set(timelines.flatMap(({ safekeeper_ids }) => safekeeper_ids));
    await effects.removeTenant(projectId, [...safekeeperIds], signal);
  }
  return (change) => deleteProjectRows(change, projectId);
}

async function deleteProjectRows(
  change: Change,
  projectId: OperationRow<unknown>['projectId'],
): Promise<void> {
  await change.deleteFrom('endpoints').where('project_id', '=', projectId).execute();
  await change.deleteFrom('branches').where('project_id', '=', projectId).execute();
  // In one statement, at whose end the references among them are checked.
  await change.deleteFrom('timelines').where('tenant_id', '=', projectId).execute();
  await change.deleteFrom('tenants').where('tenant_id', '=', projectId).execute();
  await change.deleteFrom('roles').where('project_id', '=', projectId).execute();
  await change.deleteFrom('projects').where('id', '=', projectId).execute();
}
