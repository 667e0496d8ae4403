import { pause } from '../../io/retry-delay.ts';
import type { Branches } from '../branches.ts';
import type { Started } from '../database/tables.ts';
import type { Endpoints } from '../endpoints/endpoints.ts';
import { findStarted, type RepeatableRequest, repeatableRequest } from '../idempotency.ts';
import type { ControlParts } from '../parts.ts';
import type { Projects } from '../projects.ts';
import type { Roles } from '../roles.ts';

/** A request waits for so long for what it has begun; what takes longer goes on. */
const WAIT_MS = 25_000;
const POLL_MS = 25;

/** What routes have of the control plane. */
export interface ControlRoutes {
  readonly parts: ControlParts;
  readonly projects: Projects;
  readonly branches: Branches;
  readonly endpoints: Endpoints;
  readonly roles: Roles;
  /** Of the program. */
  readonly version: string;
}

interface Asked {
  readonly params: unknown;
  readonly body: unknown;
  readonly headers: Headers;
}

/**
 * Begins what is asked for, once, however often it is asked with one idempotency key; and waits until it is over, or the wait is.
 * @param name of the route, for telling requests apart
 * @throws what it has failed of; as repeatableRequest, findStarted
 */
export async function carryOut(
  { parts }: ControlRoutes,
  name: string,
  { params, body, headers }: Asked,
  begin: (request: RepeatableRequest | undefined) => Promise<Started>,
): Promise<Started> {
  const key = headers.get('idempotency-key');
  const request = key === null ? undefined : repeatableRequest(key, name, JSON.stringify(params), body);
  const earlier = request === undefined ? undefined : await findStarted(parts.database, request);
  const started = earlier ?? (await begin(request));
  await untilOver(parts, started);
  return started;
}

async function untilOver({ runner, clock, database }: ControlParts, started: Started): Promise<void> {
  const untilMs = clock.monotonicMs() + WAIT_MS;
  const leftMs = (): number => Math.max(0, untilMs - clock.monotonicMs());
  const { operationId, branchId, endpointId } = started;
  if (operationId !== null && !(await runner.wait(operationId, leftMs()))) return;
  if (endpointId === undefined) {
    // Computes that start anew, on what the branch is now: that one fails is said of it, and not of the branch.
    const starts = runner.find((row, kind) => row.branchId === branchId && kind === 'start-endpoint');
    await Promise.allSettled(starts.map((id) => runner.wait(id, leftMs())));
    return;
  }
  for (const id of runner.find((row) => row.endpointId === endpointId)) await runner.wait(id, leftMs());
  // One that starts for a client has no operation.
  while (leftMs() > 0 && !runner.signal.aborted) {
    const row = await database.query((queries) =>
      queries.selectFrom('endpoints').select('state').where('id', '=', endpointId).executeTakeFirst(),
    );
    if (row?.state !== 'starting') return;
    await pause(clock, POLL_MS, runner.signal);
  }
}

/** Whether an operation is over that has not failed. */
export async function isOver({ runner }: ControlParts, operationId: string): Promise<boolean> {
  return await runner.wait(operationId, 0);
}
