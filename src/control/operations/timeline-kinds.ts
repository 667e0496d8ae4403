import { z } from 'zod';
import { timelineIdSchema } from '../../contracts/api-values.ts';
import type { ControlParts } from '../parts.ts';
import type { Begin, OperationKind } from './operation.ts';

const completeSchema = z.object({ timelineId: timelineIdSchema, safekeeperIds: z.array(z.int()) });
const removeSchema = z.object({ timelineId: timelineIdSchema });

/** A timeline is made on safekeepers that were away when it was made on the others. */
export const completeTimeline = ({
  database,
  effects,
}: ControlParts): OperationKind<typeof completeSchema> => ({
  kind: 'complete-timeline',
  parameters: completeSchema,
  execute: async ({ projectId, parameters: { timelineId, safekeeperIds } }, { signal, step }) => {
    const row = await database.query((queries) =>
      queries
        .selectFrom('timelines')
        .where('timeline_id', '=', timelineId)
        .select('timeline_id')
        .executeTakeFirst(),
    );
    if (row !== undefined) {
      step('safekeepers');
      await effects.makeOnMissing({ tenantId: projectId, timelineId }, safekeeperIds, signal);
    }
    return async () => undefined;
  },
});

/** Begins it where there is something to be done. */
export async function beginCompleting(
  begin: Begin,
  operation: { readonly projectId: Parameters<Begin>[0]['projectId']; readonly branchId: string | null },
  timelineId: string,
  safekeeperIds: readonly number[],
): Promise<void> {
  if (safekeeperIds.length === 0) return;
  await begin({
    kind: 'complete-timeline',
    projectId: operation.projectId,
    ...(operation.branchId === null ? {} : { branchId: operation.branchId }),
    parameters: { timelineId, safekeeperIds },
  });
}

/** A timeline goes that no branch has any more. */
export const removeTimeline = ({ effects }: ControlParts): OperationKind<typeof removeSchema> => ({
  kind: 'remove-timeline',
  parameters: removeSchema,
  execute: async ({ projectId, parameters: { timelineId } }, { signal, step }) => {
    step('storage');
    await effects.remove({ tenantId: projectId, timelineId }, signal);
    return async (change) => {
      await change.deleteFrom('timelines').where('timeline_id', '=', timelineId).execute();
    };
  },
});
