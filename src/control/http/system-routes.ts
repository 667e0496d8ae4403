import { VarveError } from '../../base/errors.ts';
import {
  CONTROL_API,
  operationListSchema,
  operationParamsSchema,
  operationQuerySchema,
  operationSchema,
} from '../../contracts/control-api.ts';
import {
  nodeListSchema,
  nodeParamsSchema,
  nodePutSchema,
  nodeSchema,
  systemStatusSchema,
} from '../../contracts/control-api-status.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import {
  reAttachResultSchema,
  reAttachSchema,
  UPCALL_API,
  validateResultSchema,
  validateSchema,
} from '../../contracts/upcall-api.ts';
import type { HttpApp } from '../../http/app.ts';
import type { Generations } from '../generations.ts';
import { findOperation, listOperations } from '../operations/show-operations.ts';
import { systemStatus } from '../status.ts';
import type { ControlRoutes } from './carry-out.ts';

const access = () => WHOLE_SERVICE;

export function addSystemRoutes(app: HttpApp, { parts, version }: ControlRoutes): void {
  app.addRaw({
    method: 'get',
    path: `${CONTROL_API}/openapi.json`,
    summary: 'This description',
    access: 'open',
    contentType: 'application/json',
    handle: async () => ({
      contentType: 'application/json',
      body: JSON.stringify(app.openApiDocument()),
    }),
  });
  app.addJson({
    method: 'get',
    path: `${CONTROL_API}/operations`,
    summary: 'Operations, the latest first',
    access,
    query: operationQuerySchema,
    answer: operationListSchema,
    handle: async ({ query }) => ({ operations: await listOperations(parts, query.unfinished === 'true') }),
  });
  app.addJson({
    method: 'get',
    path: `${CONTROL_API}/operations/{operation}`,
    summary: 'What has come of an operation',
    access,
    params: operationParamsSchema,
    answer: operationSchema,
    handle: async ({ params: { operation } }) => {
      const found = await findOperation(parts, operation);
      if (found !== undefined) return found;
      throw new VarveError('not-found', 'OPERATION_NOT_FOUND', `there is no operation ${operation}`);
    },
  });
  app.addJson({
    method: 'get',
    path: `${CONTROL_API}/status`,
    summary:
      'How far each part is on each branch, and what would be lost if the bucket were all that is left',
    access,
    answer: systemStatusSchema,
    handle: ({ signal }) => systemStatus(parts, version, signal),
  });
  app.addJson({
    method: 'get',
    path: `${CONTROL_API}/nodes`,
    summary: 'Pageservers and safekeepers',
    access,
    answer: nodeListSchema,
    handle: async () => ({ nodes: [...(await parts.nodes.list())] }),
  });
  app.addJson({
    method: 'put',
    path: `${CONTROL_API}/nodes/{kind}/{node}`,
    summary: 'Says where a node is, or that nothing new is to be placed on it',
    access,
    params: nodeParamsSchema,
    body: nodePutSchema,
    answer: nodeSchema,
    handle: async ({ params, body }) => {
      const node = { kind: params.kind, id: Number(params.node), ...body };
      await parts.nodes.put(node);
      return node;
    },
  });
}

/** What pageservers ask. */
export function addUpcallRoutes(app: HttpApp, generations: Generations): void {
  app.addJson({
    method: 'post',
    path: `${UPCALL_API}/re-attach`,
    summary: 'A pageserver has started: what it is attached to, in new generations',
    access,
    body: reAttachSchema,
    answer: reAttachResultSchema,
    handle: ({ body }) => generations.reAttach(body),
  });
  app.addJson({
    method: 'post',
    path: `${UPCALL_API}/validate`,
    summary: 'Which generations are the newest',
    access,
    body: validateSchema,
    answer: validateResultSchema,
    handle: ({ body }) => generations.validate(body),
  });
}
