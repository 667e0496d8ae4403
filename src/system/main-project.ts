import { VarveError } from '../base/errors.ts';
import { connectionStringOf } from '../contracts/connection-string.ts';
import type { Endpoint, Project } from '../contracts/control-api.ts';
import type { ControlClient } from '../http/control-client.ts';
import type { Clock } from '../io/clock.ts';
import { pause } from '../io/retry-delay.ts';
import type { StartSteps } from './start-steps.ts';

/** Of the project that a new system has, and of its first branch. */
export const MAIN = 'main';
/** A restore that takes longer may wait for something that is away. */
const BUSY_TIMEOUT_MS = 30_000;
const BUSY_PAUSE_MS = 50;

export interface MainProjectOptions {
  readonly clock: Clock;
  readonly postgresMajor: number;
  readonly port: number;
  /** Whether somebody has asked for this port by its number: then it counts in a later start, too. */
  readonly isPortGiven: boolean;
  /** Whether the system is new: a project that somebody has deleted is not made again. */
  readonly isNew: boolean;
}

export interface StartedMain {
  /** undefined where somebody has deleted it. */
  readonly endpoint: Endpoint | undefined;
  /** Why its compute does not run. */
  readonly failure: VarveError | undefined;
}

/**
 * Brings the first project's compute up, and makes what there is none of. In a system that is not new there are other branches,
 * and ways to mend this one: there a compute that does not start is no reason to do without these.
 */
export async function startMainProject(
  client: ControlClient,
  options: MainProjectOptions,
  steps: StartSteps,
  signal: AbortSignal,
): Promise<StartedMain> {
  const nothing = { endpoint: undefined, failure: undefined };
  const project = await findProject(client, options, steps, signal);
  if (project === undefined) return nothing;
  const endpoint = await findEndpoint(client, project, options, signal);
  if (endpoint === undefined) return nothing;
  try {
    return await steps.run('compute', async () => {
      const { operationId } = await untilFree(options.clock, signal, () =>
        client.moveEndpoint(project.id, endpoint.id, 'start', signal),
      );
      await client.finished(operationId, signal);
      return { endpoint: await client.endpoint(project.id, endpoint.id, signal), failure: undefined };
    });
  } catch (error) {
    if (options.isNew || !(error instanceof VarveError) || signal.aborted) throw error;
    const now = await client.endpoint(project.id, endpoint.id, signal);
    // Else it is something else that has failed.
    if (now.state !== 'failed' && !isBusy(error)) throw error;
    return { endpoint: now, failure: error };
  }
}

/** What an earlier life was at, such as a restore of the branch, goes on at a start: it is waited for. @throws what stays busy */
async function untilFree<Result>(
  clock: Clock,
  signal: AbortSignal,
  action: () => Promise<Result>,
): Promise<Result> {
  const untilMs = clock.monotonicMs() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!isBusy(error) || signal.aborted || clock.monotonicMs() >= untilMs) throw error;
    }
    await pause(clock, BUSY_PAUSE_MS, signal);
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof VarveError && error.kind === 'conflict' && error.code.endsWith('_BUSY');

async function findProject(
  client: ControlClient,
  { postgresMajor, isNew }: MainProjectOptions,
  steps: StartSteps,
  signal: AbortSignal,
): Promise<Project | undefined> {
  const projects = await client.projects(signal);
  const found = projects.find(({ name }) => name === MAIN);
  if (found !== undefined || projects.length > 0 || !isNew) return found;
  return await steps.run('project main', async () => {
    const body = { name: MAIN, pgMajor: postgresMajor, branchName: MAIN };
    const { project, operationId } = await client.createProject(body, signal);
    await client.finished(operationId, signal);
    return project;
  });
}

async function findEndpoint(
  client: ControlClient,
  { id: project }: Project,
  { port, isPortGiven }: MainProjectOptions,
  signal: AbortSignal,
): Promise<Endpoint | undefined> {
  const branches = await client.branches(project, signal);
  const branch = branches.find(({ isDefault }) => isDefault);
  if (branch === undefined) return undefined;
  const endpoints = await client.endpoints(project, branch.id, signal);
  const found = endpoints.find(({ kind }) => kind === 'primary');
  if (found === undefined) {
    const body = { kind: 'primary', port, start: false } as const;
    const { endpoint, operationId } = await client.createEndpoint(project, branch.id, body, signal);
    await client.finished(operationId, signal);
    return endpoint;
  }
  if (isPortGiven && port !== 0 && found.port !== port) {
    const { endpoint } = await client.changeEndpoint(project, found.id, { port }, signal);
    return endpoint;
  }
  return found;
}

/** How a client connects. @throws VarveError ‘unavailable’ / NO_PORT for one that never ran */
export function connectionString(endpoint: Endpoint): string {
  const url = connectionStringOf(endpoint);
  if (url === undefined) throw new VarveError('unavailable', 'NO_PORT', 'this endpoint has never run');
  return url;
}
