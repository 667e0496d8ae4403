import {
  branchParamsSchema,
  CONTROL_API,
  deletionAnswerSchema,
  type EndpointState,
  endpointAnswerSchema,
  endpointCreateSchema,
  endpointListSchema,
  endpointParamsSchema,
  endpointPatchSchema,
  endpointSchema,
} from '../../contracts/control-api.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { Started } from '../database/tables.ts';
import { type ControlRoutes, carryOut, isOver } from './carry-out.ts';
import { deletionStatus } from './project-routes.ts';

const access = () => WHOLE_SERVICE;
const OF_BRANCH = `${CONTROL_API}/projects/{project}/branches/{branch}/endpoints`;
const ENDPOINT = `${CONTROL_API}/projects/{project}/endpoints/{endpoint}`;

const SUMMARIES = {
  start: 'Starts the compute, and answers when a client can connect',
  stop: 'Stops the compute: nothing is listened at then',
  suspend: 'Stops the compute; the first client that comes makes it start',
  restart: 'Stops the compute and starts it anew',
} as const;

const isMoving = ({ endpoint: { state } }: { endpoint: { state: EndpointState } }): boolean =>
  state.endsWith('ing');

export function addEndpointRoutes(app: HttpApp, routes: ControlRoutes): void {
  const { endpoints, parts } = routes;
  const answer = async ({ projectId, endpointId, operationId }: Started) => ({
    endpoint: await endpoints.get(projectId, endpointId as string),
    operationId,
  });
  app.addJson({
    method: 'get',
    path: OF_BRANCH,
    summary: 'The endpoints of a branch',
    access,
    params: branchParamsSchema,
    answer: endpointListSchema,
    handle: async ({ params }) => ({ endpoints: await endpoints.list(params.project, params.branch) }),
  });
  app.addJson({
    method: 'post',
    path: OF_BRANCH,
    summary: 'Makes an endpoint: the primary, or a read-only one that follows it or shows an LSN or a time',
    access,
    params: branchParamsSchema,
    body: endpointCreateSchema,
    isBodyOptional: true,
    answer: endpointAnswerSchema,
    status: { all: [201, 202], of: (value) => (isMoving(value) ? 202 : 201) },
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'create endpoint', asked, (request) =>
          endpoints.create(asked.params.project, asked.params.branch, asked.body, request),
        ),
      ),
  });
  app.addJson({
    method: 'get',
    path: ENDPOINT,
    summary: 'An endpoint',
    access,
    params: endpointParamsSchema,
    answer: endpointSchema,
    handle: ({ params }) => endpoints.get(params.project, params.endpoint),
  });
  app.addJson({
    method: 'patch',
    path: ENDPOINT,
    summary: 'Changes what holds from the next start on',
    access,
    params: endpointParamsSchema,
    body: endpointPatchSchema,
    answer: endpointAnswerSchema,
    handle: async (asked) => {
      const { project, endpoint } = asked.params;
      return answer(
        await carryOut(routes, 'patch endpoint', asked, (request) =>
          endpoints.patch(project, endpoint, asked.body, request),
        ),
      );
    },
  });
  app.addJson({
    method: 'delete',
    path: ENDPOINT,
    summary: 'Deletes an endpoint; its branch stays',
    access,
    params: endpointParamsSchema,
    answer: deletionAnswerSchema,
    status: deletionStatus,
    handle: async (asked) => {
      const { project, endpoint } = asked.params;
      const { operationId } = await carryOut(routes, 'delete endpoint', asked, (request) =>
        endpoints.request(project, endpoint, 'delete', request),
      );
      // null: it is being deleted already, by what has been told to delete more than it.
      const id = operationId ?? '';
      return { operationId: id, isGone: await isOver(parts, id) };
    },
  });
  for (const action of ['start', 'stop', 'suspend', 'restart'] as const) {
    app.addJson({
      method: 'post',
      path: `${ENDPOINT}/${action}`,
      summary: SUMMARIES[action],
      access,
      params: endpointParamsSchema,
      answer: endpointAnswerSchema,
      status: { all: [200, 202], of: (value) => (isMoving(value) ? 202 : 200) },
      handle: async (asked) => {
        const { project, endpoint } = asked.params;
        return answer(
          await carryOut(routes, `${action} endpoint`, asked, (request) =>
            endpoints.request(project, endpoint, action, request),
          ),
        );
      },
    });
  }
}
