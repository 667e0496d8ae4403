import { z } from 'zod';
import { VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { timelineIdSchema } from '../../contracts/api-values.ts';
import type { EndpointState, OperationError } from '../../contracts/control-api.ts';
import { type EndpointManager, mayPass, type RunningEndpoint } from '../../contracts/endpoint-manager.ts';
import type { Queries } from '../database/database.ts';
import { describeFailure } from '../decisions/after-failure.ts';
import { addressOfEndpoint, rolesOf, specOf } from '../endpoints/endpoint-spec.ts';
import { startUnlessLost } from '../endpoints/lost-wal.ts';
import type { EndpointRow } from '../find-rows.ts';
import type { ControlParts } from '../parts.ts';
import { makeTimeline, noteTimeline, pointSchema } from './branch-kinds.ts';
import type { EndChange, OperationKind } from './operation.ts';

const startSchema = z.object({ isRestart: z.boolean().optional() });
const noParameters = z.object({});
const createSchema = z.object({
  timelineId: timelineIdSchema,
  point: pointSchema,
  starts: z.boolean(),
});

const nothing: EndChange = async () => undefined;

/** What is said of an endpoint that runs. */
export async function noteRunning(
  queries: Queries,
  id: string,
  running: RunningEndpoint,
  nowMs: number,
): Promise<void> {
  await queries
    .updateTable('endpoints')
    .set({
      state: 'active',
      port: running.port,
      error: null,
      start_steps: JSON.stringify(running.steps),
      last_active_at: new Date(nowMs),
    })
    .where('id', '=', id)
    .where('state', '=', 'starting')
    .execute();
}

/** What is said of one that has ended against our will. */
export async function noteFailed(
  queries: Queries,
  id: string,
  error: OperationError,
  states: readonly EndpointState[],
): Promise<void> {
  await queries
    .updateTable('endpoints')
    .set({ state: 'failed', error: JSON.stringify(error) })
    .where('id', '=', id)
    .where('state', 'in', [...states])
    .execute();
}

/** A compute is started. That fails at once where it fails: whoever asked decides what is next. */
export const startEndpoint = (parts: ControlParts): OperationKind<typeof startSchema> => ({
  kind: 'start-endpoint',
  parameters: startSchema,
  isRetried: false,
  execute: async ({ endpointId, parameters }, { signal, step, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    if ((await stateOf(parts, id)) !== 'starting') return nothing;
    const endpoints = managerOf(parts);
    if (parameters.isRestart === true) {
      step('stop');
      await endpoints.stop(id, signal);
    }
    step('start');
    const running = await startUnlessLost(parts, endpoints, await specOf(parts, id), signal);
    return (change) => noteRunning(change, id, running, parts.clock.wallMs());
  },
  undo: async ({ id: operationId, endpointId }, { signal, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    const row = await rowOf(parts, id);
    if (row?.state !== 'starting') return nothing;
    await parts.endpoints?.stop(id, signal);
    const port = await listenIfPassing(parts, operationId, row, signal);
    return async (change) => {
      await noteFailedOf(change, operationId, id, 'starting');
      if (port !== undefined)
        await change.updateTable('endpoints').set({ port }).where('id', '=', id).execute();
    };
  },
});

export const stopEndpoint = (parts: ControlParts): OperationKind<typeof noParameters> => ({
  kind: 'stop-endpoint',
  parameters: noParameters,
  execute: async ({ endpointId }, { signal, step, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    step('stop');
    await parts.endpoints?.stop(id, signal);
    return (change) => moveOn(change, id, 'stopping', { state: 'stopped' });
  },
});

export const suspendEndpoint = (parts: ControlParts): OperationKind<typeof noParameters> => ({
  kind: 'suspend-endpoint',
  parameters: noParameters,
  isRetried: false,
  execute: async ({ endpointId }, { signal, step, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    const row = await rowOf(parts, id);
    if (row?.state !== 'suspending') return nothing;
    step('suspend');
    const { port } = await managerOf(parts).suspend(addressOfEndpoint(row, parts), signal);
    return (change) => moveOn(change, id, 'suspending', { state: 'suspended', port, error: null });
  },
  // Such as a port that somebody else has taken.
  undo: async ({ id: operationId, endpointId }, { signal, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    await parts.endpoints?.stop(id, signal);
    return (change) => noteFailedOf(change, operationId, id, 'suspending');
  },
});

/** A read-only endpoint of an LSN or a time: a timeline that begins there keeps it readable, for as long as there is the endpoint. */
export const createEndpoint = (parts: ControlParts): OperationKind<typeof createSchema> => ({
  kind: 'create-endpoint',
  parameters: createSchema,
  execute: async (operation, context) => {
    const { projectId, branchId, parameters } = operation;
    const id = operation.endpointId as string;
    await context.lockEndpoint(id);
    if ((await stateOf(parts, id)) !== 'creating') return nothing;
    const { startLsn } = await makeTimeline(parts, projectId, parameters, context);
    return async (change, begin) => {
      await noteTimeline(change, parameters.timelineId, startLsn);
      const { starts } = parameters;
      await moveOn(change, id, 'creating', {
        state: starts ? 'starting' : 'stopped',
        lsn: formatLsn(startLsn),
      });
      if (!starts) return;
      await begin({
        kind: 'start-endpoint',
        projectId,
        ...(branchId === null ? {} : { branchId }),
        endpointId: id,
        parameters: {},
      });
    };
  },
  undo: async ({ projectId, endpointId, parameters: { timelineId } }, { signal, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    // Where the branch is being deleted meanwhile, that takes it along.
    if ((await stateOf(parts, id)) !== 'creating') return nothing;
    await parts.effects.remove({ tenantId: projectId, timelineId }, signal);
    return (change) => deleteRows(change, id, timelineId);
  },
});

export const deleteEndpoint = (parts: ControlParts): OperationKind<typeof noParameters> => ({
  kind: 'delete-endpoint',
  parameters: noParameters,
  execute: async ({ projectId, endpointId }, { signal, step, lockEndpoint }) => {
    const id = endpointId as string;
    await lockEndpoint(id);
    const row = await rowOf(parts, id);
    if (row === undefined) return nothing;
    step('stop');
    await parts.endpoints?.stop(id, signal);
    await parts.endpoints?.remove(id, signal);
    const { timeline_id: timelineId } = row;
    if (timelineId !== null) {
      step('storage');
      await parts.effects.remove({ tenantId: projectId, timelineId }, signal);
    }
    return (change) => deleteRows(change, id, timelineId);
  },
});

/** Roles become so in all primaries of a project that run; the others get them when they start. */
export const applyRoles = (parts: ControlParts): OperationKind<typeof noParameters> => ({
  kind: 'apply-roles',
  parameters: noParameters,
  execute: async ({ projectId }, { signal, step }) => {
    const { ids, roles } = await parts.database.query(async (queries) => ({
      ids: await queries
        .selectFrom('endpoints')
        .select('id')
        .where('project_id', '=', projectId)
        .where('kind', '=', 'primary')
        .where('state', '=', 'active')
        .execute(),
      roles: await rolesOf(queries, projectId),
    }));
    for (const { id } of ids) {
      step(`endpoint ${id}`);
      await parts.endpoints?.applyRoles(id, roles, signal);
    }
    return nothing;
  },
});

/** @throws VarveError ‘precondition’ / NO_COMPUTES */
export function managerOf({ endpoints }: Pick<ControlParts, 'endpoints'>): EndpointManager {
  if (endpoints !== undefined) return endpoints;
  throw new VarveError(
    'precondition',
    'NO_COMPUTES',
    'this control plane runs no computes: start one of the branch with “varve compute”',
  );
}

async function rowOf({ database }: ControlParts, id: string): Promise<EndpointRow | undefined> {
  return await database.query((queries) =>
    queries.selectFrom('endpoints').selectAll().where('id', '=', id).executeTakeFirst(),
  );
}

/** With what the operation that is undone has failed of. */
async function noteFailedOf(
  queries: Queries,
  operationId: string,
  id: string,
  state: EndpointState,
): Promise<void> {
  const { error } = await queries
    .selectFrom('operations')
    .select('error')
    .where('id', '=', operationId)
    .executeTakeFirstOrThrow();
  await noteFailed(queries, id, error ?? describeFailure(undefined), [state]);
}

/**
 * Of what may pass: a client that comes makes it start again.
 * @returns the port that is listened at
 */
async function listenIfPassing(
  parts: ControlParts,
  operationId: string,
  row: EndpointRow,
  signal: AbortSignal,
): Promise<number | undefined> {
  const operation = await parts.database.query((queries) =>
    queries.selectFrom('operations').select('error').where('id', '=', operationId).executeTakeFirst(),
  );
  const error = operation?.error ?? null;
  if (error === null || !mayPass(error)) return undefined;
  try {
    return (await parts.endpoints?.suspend(addressOfEndpoint(row, parts), signal))?.port;
  } catch (error) {
    if (signal.aborted || !(error instanceof VarveError) || error.kind === 'assertion') throw error;
    parts.logger.warn('An endpoint that has failed cannot be listened for', { endpointId: row.id, error });
    return undefined;
  }
}

async function stateOf(parts: ControlParts, id: string): Promise<EndpointState | undefined> {
  return (await rowOf(parts, id))?.state;
}

async function moveOn(
  queries: Queries,
  id: string,
  from: EndpointState,
  to: { state: EndpointState; port?: number; lsn?: string; error?: null },
): Promise<void> {
  await queries.updateTable('endpoints').set(to).where('id', '=', id).where('state', '=', from).execute();
}

async function deleteRows(
  queries: Queries,
  id: string,
  timelineId: NonNullable<EndpointRow['timeline_id']> | null,
): Promise<void> {
  await queries.deleteFrom('endpoints').where('id', '=', id).execute();
  if (timelineId !== null)
    await queries.deleteFrom('timelines').where('timeline_id', '=', timelineId).execute();
}
