import { VarveError } from '../base/errors.ts';
import { connectionStringOf } from '../contracts/connection-string.ts';
import type { Endpoint, Project } from '../contracts/control-api.ts';
import type { ControlClient } from '../http/control-client.ts';
import type { StartSteps } from './start-steps.ts';

/** Of the project that a new system has, and of its first branch. */
export const MAIN = 'main';

export interface MainProjectOptions {
  readonly postgresMajor: number;
  readonly port: number;
  /** Whether somebody has asked for this port by its number: then it counts in a later start, too. */
  readonly isPortGiven: boolean;
  /** Whether the system is new: a project that somebody has deleted is not made again. */
  readonly isNew: boolean;
}

/**
 * Brings the first project's compute up, and makes what there is none of.
 * @returns its endpoint; undefined where somebody has deleted it
 */
export async function startMainProject(
  client: ControlClient,
  options: MainProjectOptions,
  steps: StartSteps,
  signal: AbortSignal,
): Promise<Endpoint | undefined> {
  const project = await findProject(client, options, steps, signal);
  if (project === undefined) return undefined;
  const endpoint = await findEndpoint(client, project, options, signal);
  if (endpoint === undefined) return undefined;
  return await steps.run('compute', async () => {
    const { operationId } = await client.moveEndpoint(project.id, endpoint.id, 'start', signal);
    await client.finished(operationId, signal);
    return await client.endpoint(project.id, endpoint.id, signal);
  });
}

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
