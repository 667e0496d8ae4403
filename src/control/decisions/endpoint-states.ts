import { VarveError } from '../../base/errors.ts';
import type { EndpointState, OperationError } from '../../contracts/control-api.ts';
import { mayPass } from '../../contracts/endpoint-manager.ts';

/** What somebody wants of an endpoint. */
export type EndpointRequest = 'start' | 'stop' | 'suspend' | 'restart' | 'delete' | 'wake';

/** Nothing is to be done: it is so already, or becomes so. */
type Answer = EndpointState | 'nothing';

/**
 * From which state what is asked for leads where. What is not in it is refused. A state whose name ends in -ing has an
 * operation that brings it to its end; `starting` after `wake` has none: the client's start does.
 */
const NEXT: Readonly<Record<EndpointRequest, Partial<Record<EndpointState, Answer>>>> = {
  start: {
    stopped: 'starting',
    suspended: 'starting',
    failed: 'starting',
    starting: 'nothing',
    active: 'nothing',
  },
  stop: {
    active: 'stopping',
    starting: 'stopping',
    suspended: 'stopping',
    failed: 'stopping',
    stopping: 'nothing',
    stopped: 'nothing',
  },
  suspend: {
    active: 'suspending',
    stopped: 'suspending',
    failed: 'suspending',
    suspending: 'nothing',
    suspended: 'nothing',
  },
  restart: {
    active: 'starting',
    stopped: 'starting',
    suspended: 'starting',
    failed: 'starting',
  },
  delete: {
    stopped: 'deleting',
    active: 'deleting',
    starting: 'deleting',
    suspended: 'deleting',
    suspending: 'deleting',
    stopping: 'deleting',
    failed: 'deleting',
    deleting: 'nothing',
  },
  wake: { suspended: 'starting', failed: 'starting' },
};

/** @throws VarveError ‘conflict’ / ENDPOINT_BUSY where it is being changed, and this is not possible meanwhile */
export function afterRequest(request: EndpointRequest, state: EndpointState): Answer {
  const next = NEXT[request][state];
  if (next !== undefined) return next;
  throw new VarveError(
    'conflict',
    'ENDPOINT_BUSY',
    `the endpoint is ${state}: it cannot be told to ${request} until that is over`,
  );
}

/**
 * What is to be done for an endpoint when the control plane starts: no compute runs then, whatever was written down. What has
 * an operation that is not finished is that operation's.
 * @param suspendAfterSeconds 0: it is never to be suspended
 * @param error why it is failed: what may have passed meanwhile keeps nobody out
 */
export function afterStart(
  state: EndpointState,
  suspendAfterSeconds: number,
  error: Pick<OperationError, 'kind'> | null,
): 'start' | 'suspend' | 'none' {
  switch (state) {
    case 'failed':
      return error !== null && mayPass(error) ? 'suspend' : 'none';
    case 'active':
    case 'starting':
    case 'suspending':
    case 'suspended':
      // A client that comes makes it start. Those that nobody has used for long cost nothing so.
      return suspendAfterSeconds === 0 && state !== 'suspended' ? 'start' : 'suspend';
    default:
      return 'none';
  }
}
