import {
  branchAnswerSchema,
  branchCreateSchema,
  branchListSchema,
  branchParamsSchema,
  branchPatchSchema,
  branchResetSchema,
  branchRestoreSchema,
  branchSchema,
  CONTROL_API,
  deletionAnswerSchema,
  projectParamsSchema,
} from '../../contracts/control-api.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { Started } from '../database/tables.ts';
import { type ControlRoutes, carryOut, isOver } from './carry-out.ts';
import { deletionStatus } from './project-routes.ts';

const access = () => WHOLE_SERVICE;
const PATH = `${CONTROL_API}/projects/{project}/branches`;
const BRANCH = `${PATH}/{branch}`;

const changeStatus = {
  all: [200, 202],
  of: ({ branch }: { branch: { state: string } }) => (branch.state === 'ready' ? 200 : 202),
} as const;

export function addBranchRoutes(app: HttpApp, routes: ControlRoutes): void {
  const { branches, parts } = routes;
  const answer = async ({ projectId, branchId, operationId }: Started) => ({
    branch: await branches.get(projectId, branchId as string),
    operationId,
  });
  app.addJson({
    method: 'get',
    path: PATH,
    summary: 'The branches of a project',
    access,
    params: projectParamsSchema,
    answer: branchListSchema,
    handle: async ({ params }) => ({ branches: await branches.list(params.project) }),
  });
  app.addJson({
    method: 'post',
    path: PATH,
    summary: 'Makes a branch, at the head of its parent, an LSN or a time',
    access,
    params: projectParamsSchema,
    body: branchCreateSchema,
    answer: branchAnswerSchema,
    status: { all: [201, 202], of: ({ branch }) => (branch.state === 'ready' ? 201 : 202) },
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'create branch', asked, (request) =>
          branches.create(asked.params.project, asked.body, request),
        ),
      ),
  });
  app.addJson({
    method: 'get',
    path: BRANCH,
    summary: 'A branch, by its id or name',
    access,
    params: branchParamsSchema,
    answer: branchSchema,
    handle: ({ params }) => branches.get(params.project, params.branch),
  });
  app.addJson({
    method: 'patch',
    path: BRANCH,
    summary: 'Renames a branch, protects it, or says when it expires',
    access,
    params: branchParamsSchema,
    body: branchPatchSchema,
    answer: branchAnswerSchema,
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'patch branch', asked, (request) =>
          branches.patch(asked.params.project, asked.params.branch, asked.body, request),
        ),
      ),
  });
  app.addJson({
    method: 'delete',
    path: BRANCH,
    summary: 'Deletes a branch without children',
    access,
    params: branchParamsSchema,
    answer: deletionAnswerSchema,
    status: deletionStatus,
    handle: async (asked) => {
      const { operationId } = await carryOut(routes, 'delete branch', asked, (request) =>
        branches.delete(asked.params.project, asked.params.branch, request),
      );
      const id = operationId as string;
      return { operationId: id, isGone: await isOver(parts, id) };
    },
  });
  app.addJson({
    method: 'post',
    path: `${BRANCH}/reset`,
    summary: 'What the parent has now takes the place of what is on the branch',
    access,
    params: branchParamsSchema,
    body: branchResetSchema,
    isBodyOptional: true,
    answer: branchAnswerSchema,
    status: changeStatus,
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'reset branch', asked, (request) =>
          branches.reset(asked.params.project, asked.params.branch, asked.body, request),
        ),
      ),
  });
  app.addJson({
    method: 'post',
    path: `${BRANCH}/restore`,
    summary: 'The branch becomes what it was; what is on it now is kept as another branch',
    access,
    params: branchParamsSchema,
    body: branchRestoreSchema,
    answer: branchAnswerSchema,
    status: changeStatus,
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'restore branch', asked, (request) =>
          branches.restore(asked.params.project, asked.params.branch, asked.body, request),
        ),
      ),
  });
}
