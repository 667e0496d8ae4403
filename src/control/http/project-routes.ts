import {
  CONTROL_API,
  deletionAnswerSchema,
  projectAnswerSchema,
  projectCreateSchema,
  projectListSchema,
  projectParamsSchema,
  projectPatchSchema,
  projectSchema,
  roleAnswerSchema,
  roleCreateSchema,
  roleListSchema,
  roleParamsSchema,
  rolePatchSchema,
  roleSchema,
} from '../../contracts/control-api.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { Started } from '../database/tables.ts';
import type { StartedRole } from '../roles.ts';
import { type ControlRoutes, carryOut, isOver } from './carry-out.ts';

const access = () => WHOLE_SERVICE;
const PATH = `${CONTROL_API}/projects`;

export const deletionStatus = {
  all: [200, 202],
  of: ({ isGone }: { isGone: boolean }) => (isGone ? 200 : 202),
} as const;

export function addProjectRoutes(app: HttpApp, routes: ControlRoutes): void {
  const { projects, parts } = routes;
  const answer = async ({ projectId, operationId }: Started) => ({
    project: await projects.get(projectId),
    operationId,
  });
  app.addJson({
    method: 'get',
    path: PATH,
    summary: 'All projects',
    access,
    answer: projectListSchema,
    handle: async () => ({ projects: await projects.list() }),
  });
  app.addJson({
    method: 'post',
    path: PATH,
    summary: 'Makes a project, with a first branch',
    access,
    body: projectCreateSchema,
    answer: projectAnswerSchema,
    status: { all: [201, 202], of: ({ project }) => (project.state === 'ready' ? 201 : 202) },
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'create project', asked, (request) => projects.create(asked.body, request)),
      ),
  });
  app.addJson({
    method: 'get',
    path: `${PATH}/{project}`,
    summary: 'A project, by its id or name',
    access,
    params: projectParamsSchema,
    answer: projectSchema,
    handle: ({ params }) => projects.get(params.project),
  });
  app.addJson({
    method: 'patch',
    path: `${PATH}/{project}`,
    summary: 'Renames a project',
    access,
    params: projectParamsSchema,
    body: projectPatchSchema,
    answer: projectAnswerSchema,
    handle: async (asked) =>
      answer(
        await carryOut(routes, 'patch project', asked, (request) =>
          projects.patch(asked.params.project, asked.body, request),
        ),
      ),
  });
  app.addJson({
    method: 'delete',
    path: `${PATH}/{project}`,
    summary: 'Deletes a project with all of its branches',
    access,
    params: projectParamsSchema,
    answer: deletionAnswerSchema,
    status: deletionStatus,
    handle: async (asked) => {
      const { operationId } = await carryOut(routes, 'delete project', asked, (request) =>
        projects.delete(asked.params.project, request),
      );
      const id = operationId as string;
      return { operationId: id, isGone: await isOver(parts, id) };
    },
  });
}

export function addRoleRoutes(app: HttpApp, routes: ControlRoutes): void {
  const { roles } = routes;
  const path = `${PATH}/{project}/roles`;
  app.addJson({
    method: 'get',
    path,
    summary: 'The roles of a project',
    access,
    params: projectParamsSchema,
    answer: roleListSchema,
    handle: async ({ params }) => ({ roles: await roles.list(params.project) }),
  });
  app.addJson({
    method: 'post',
    path,
    summary: 'Makes a role, in all primaries of the project',
    access,
    params: projectParamsSchema,
    body: roleCreateSchema,
    answer: roleAnswerSchema,
    status: 201,
    handle: (asked) =>
      answerOfRole(routes, 'create role', asked, (request) =>
        roles.create(asked.params.project, asked.body, request),
      ),
  });
  app.addJson({
    method: 'get',
    path: `${path}/{role}`,
    summary: 'A role',
    access,
    params: roleParamsSchema,
    answer: roleSchema,
    handle: ({ params }) => roles.get(params.project, params.role),
  });
  app.addJson({
    method: 'patch',
    path: `${path}/{role}`,
    summary: 'Gives a role a new password',
    access,
    params: roleParamsSchema,
    body: rolePatchSchema,
    answer: roleAnswerSchema,
    handle: (asked) =>
      answerOfRole(routes, 'patch role', asked, (request) =>
        roles.patch(asked.params.project, asked.params.role, asked.body, request),
      ),
  });
  app.addJson({
    method: 'delete',
    path: `${path}/{role}`,
    summary: 'Lets a role log in no more; what it owns stays',
    access,
    params: roleParamsSchema,
    answer: deletionAnswerSchema,
    status: deletionStatus,
    handle: async (asked) => {
      const { operationId } = await carryOut(routes, 'delete role', asked, (request) =>
        roles.delete(asked.params.project, asked.params.role, request),
      );
      const id = operationId as string;
      return { operationId: id, isGone: await isOver(routes.parts, id) };
    },
  });
}

type Asked = Parameters<typeof carryOut>[2];
type BeginRole = (request: Parameters<Parameters<typeof carryOut>[3]>[0]) => Promise<StartedRole>;

async function answerOfRole(routes: ControlRoutes, name: string, asked: Asked, begin: BeginRole) {
  // Of a request that is repeated it is not known any more.
  let password: string | null = null;
  const { projectId, role } = await carryOut(routes, name, asked, async (request) => {
    const begun = await begin(request);
    password = begun.password;
    return begun.started;
  });
  return { role: await routes.roles.get(projectId, role as string), password };
}
