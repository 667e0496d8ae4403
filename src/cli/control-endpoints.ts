import { VarveError } from '../base/errors.ts';
import { connectionStringOf } from '../contracts/connection-string.ts';
import type { Branch, Endpoint } from '../contracts/control-api.ts';
import { type ControlSession, PROJECT_DEFAULT } from './control-session.ts';

/** An endpoint that nobody can connect to in this state, and that no client wakes. */
const DOWN: readonly Endpoint['state'][] = ['stopped', 'stopping', 'failed', 'deleting'];

/**
 * The endpoint through which clients use a branch: its primary, else a read-only one that follows it.
 * @throws VarveError ‘precondition’ / NO_ENDPOINT, ENDPOINT_STOPPED, ENDPOINT_FAILED, which say what to do
 */
export async function findUsable(
  session: ControlSession,
  project: string,
  branch: string,
): Promise<{ readonly endpoint: Endpoint; readonly url: string }> {
  const endpoints = await session.client.endpoints(project, branch, session.signal);
  const candidates = [
    ...endpoints.filter(({ kind }) => kind === 'primary'),
    ...endpoints.filter(({ kind, lsn }) => kind === 'read-only' && lsn === null),
  ];
  const options = optionsOf(session, project);
  const [first] = candidates;
  if (first === undefined) {
    const advice = `make one with ‘varve endpoint create ${branch}${options}’`;
    throw new VarveError('precondition', 'NO_ENDPOINT', `the branch ${branch} has no endpoint: ${advice}`);
  }
  for (const endpoint of candidates) {
    const url = connectionStringOf(endpoint);
    if (url !== undefined && !DOWN.includes(endpoint.state)) return { endpoint, url };
  }
  throw down(first, options);
}

/** @throws VarveError ‘unavailable’ / ENDPOINT_FAILED, with why */
export function checkStarted(session: ControlSession, project: string, endpoint: Endpoint): Endpoint {
  if (endpoint.state === 'failed') throw down(endpoint, optionsOf(session, project));
  return endpoint;
}

const optionsOf = ({ sameOptions }: ControlSession, project: string): string =>
  `${project === PROJECT_DEFAULT ? '' : ` --project ${project}`}${sameOptions}`;

function down({ id, state, error }: Endpoint, options: string): VarveError {
  if (state === 'failed') {
    const why = error === null ? '' : `: ${error.message}`;
    const advice = `see ‘varve logs computes’, and try ‘varve endpoint restart ${id}${options}’`;
    return new VarveError(
      'unavailable',
      'ENDPOINT_FAILED',
      `the endpoint ${id} did not start${why} (${advice})`,
    );
  }
  const reason = `the endpoint ${id} is ${state}: start it with ‘varve endpoint start ${id}${options}’`;
  return new VarveError('precondition', 'ENDPOINT_STOPPED', reason);
}

/** @returns the new primary, which runs, and how a client connects to it */
export async function createPrimary(
  session: ControlSession,
  project: string,
  { id, name }: Branch,
): Promise<{ readonly endpoint: Endpoint; readonly url: string | null }> {
  const { client, signal } = session;
  try {
    const { endpoint, operationId } = await client.createEndpoint(project, id, {}, signal);
    await client.finished(operationId, signal);
    const started = checkStarted(session, project, await client.endpoint(project, endpoint.id, signal));
    return { endpoint: started, url: connectionStringOf(started) ?? null };
  } catch (error) {
    if (!(error instanceof VarveError) || signal.aborted) throw error;
    const reason = `the branch ${name} is made, but its endpoint is not running: ${error.reason}`;
    throw new VarveError(error.kind, error.code, reason, {}, error);
  }
}

/** What a person calls an endpoint by: its id, or the branch whose only endpoint, or primary, it is. */
export async function findEndpointId(
  { client, signal }: ControlSession,
  project: string,
  reference: string,
): Promise<string> {
  if (/^ep-[0-9a-f]{16}$/.test(reference)) return reference;
  const endpoints = await client.endpoints(project, reference, signal);
  const primary = endpoints.find(({ kind }) => kind === 'primary');
  const found = primary ?? (endpoints.length === 1 ? endpoints[0] : undefined);
  if (found !== undefined) return found.id;
  if (endpoints.length === 0) {
    throw new VarveError('not-found', 'ENDPOINT_NOT_FOUND', `the branch ${reference} has no endpoint`);
  }
  const reason = `the branch ${reference} has several: name one of ${endpoints.map(({ id }) => id).join(', ')}`;
  throw new VarveError('bad-request', 'ENDPOINT_AMBIGUOUS', reason);
}
