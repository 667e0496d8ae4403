import { AssertionError } from '../base/errors.ts';
import { connectionStringOf } from '../contracts/connection-string.ts';
import type { Endpoint, EndpointCreate } from '../contracts/control-api.ts';
import type { LibraryContext } from './library-context.ts';

/** Makes an endpoint, and waits until clients can connect to it. */
export async function makeEndpoint(
  { client, signal }: LibraryContext,
  project: string,
  branch: string,
  wanted: EndpointCreate,
): Promise<Endpoint> {
  const { endpoint, operationId } = await client.createEndpoint(project, branch, wanted, signal);
  await client.finished(operationId, signal);
  return await client.endpoint(project, endpoint.id, signal);
}

/** The primary of a branch, which is made or started where need be. One that is suspended is woken by whoever connects. */
export async function openPrimary(
  context: LibraryContext,
  project: string,
  branch: string,
): Promise<Endpoint> {
  const { client, signal } = context;
  const endpoints = await client.endpoints(project, branch, signal);
  const found = endpoints.find(({ kind }) => kind === 'primary');
  if (found === undefined) return await makeEndpoint(context, project, branch, {});
  if (found.state === 'active' || found.state === 'suspended') return found;
  const { operationId } = await client.moveEndpoint(project, found.id, 'start', signal);
  await client.finished(operationId, signal);
  return await client.endpoint(project, found.id, signal);
}

/** How a client connects to an endpoint that has run. */
export function urlOf(endpoint: Endpoint): string {
  const url = connectionStringOf(endpoint);
  if (url === undefined) throw new AssertionError('an endpoint that has been started has a port');
  return url;
}
