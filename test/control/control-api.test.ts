import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import {
  type Branch,
  branchAnswerSchema,
  branchListSchema,
  deletionAnswerSchema,
  endpointAnswerSchema,
  operationSchema,
  projectAnswerSchema,
} from '../../src/contracts/control-api.ts';
import { systemStatusSchema } from '../../src/contracts/control-api-status.ts';
import { ControlWorld } from './control-world.ts';

let world: ControlWorld;

beforeAll(async () => {
  world = await ControlWorld.start();
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const branchesOf = async (project: string): Promise<Branch[]> =>
  (await world.must(branchListSchema, 'GET', `projects/${project}/branches`)).branches;

test('a project with branches, endpoints and roles, from its beginning to its end', async () => {
  const { project, operationId } = await world.must(projectAnswerSchema, 'POST', 'projects', {
    name: 'story',
  });
  expect(project).toMatchObject({ name: 'story', pgMajor: 17, state: 'ready' });
  expect(await world.must(operationSchema, 'GET', `operations/${operationId}`)).toMatchObject({
    kind: 'create-project',
    state: 'done',
    error: null,
  });
  const [main] = await branchesOf('story');
  expect(main).toMatchObject({ name: 'main', isDefault: true, parentId: null, state: 'ready' });

  const made = await world.must(branchAnswerSchema, 'POST', 'projects/story/branches', { name: 'pr/1' });
  expect(made.branch).toMatchObject({ name: 'pr/1', parentId: main?.id, state: 'ready' });
  expect(made.branch.ancestorLsn).toBeGreaterThan(0);
  const path = `projects/story/branches/${encodeURIComponent('pr/1')}`;

  const { endpoint } = await world.must(endpointAnswerSchema, 'POST', `${path}/endpoints`, {});
  expect(endpoint).toMatchObject({ kind: 'primary', state: 'active', suspendAfterSeconds: 300 });
  expect(world.life.endpoints.running.get(endpoint.id)).toMatchObject({
    timelineId: made.branch.timelineId,
    membership: { generation: 1, members: [{ id: 1 }, { id: 2 }, { id: 3 }] },
    mode: { kind: 'primary' },
  });

  const reset = await world.must(branchAnswerSchema, 'POST', `${path}/reset`, {});
  expect(reset.branch.id).toBe(made.branch.id);
  expect(reset.branch.timelineId).not.toBe(made.branch.timelineId);
  await world.settled();
  expect(world.life.endpoints.running.get(endpoint.id)?.timelineId).toBe(reset.branch.timelineId);
  expect((await world.stored()).pageserver).not.toContain(made.branch.timelineId);

  const restored = await world.must(branchAnswerSchema, 'POST', `${path}/restore`, {
    lsn: lsnText(reset.branch.ancestorLsn as number),
    keepAs: 'before',
  });
  expect(restored.branch.timelineId).not.toBe(reset.branch.timelineId);
  const before = (await branchesOf('story')).find(({ name }) => name === 'before');
  expect(before).toMatchObject({ timelineId: reset.branch.timelineId, parentId: main?.id });
  expect(restored.branch.parentId).toBe(before?.id);

  const readOnly = await world.must(endpointAnswerSchema, 'POST', 'projects/story/branches/main/endpoints', {
    kind: 'read-only',
    lsn: lsnText(made.branch.ancestorLsn as number),
  });
  expect(readOnly.endpoint).toMatchObject({ state: 'active', lsn: made.branch.ancestorLsn });
  expect(world.life.endpoints.running.get(readOnly.endpoint.id)?.mode).toEqual({
    kind: 'read-only',
    lsn: made.branch.ancestorLsn,
  });

  const role = await world.ask<{ password: string }>('POST', 'projects/story/roles', { name: 'app' });
  expect(role).toMatchObject({ status: 201, json: { role: { name: 'app', hasPassword: true } } });
  expect(role.json.password).toHaveLength(24);
  const [applied] = world.life.endpoints.roles.get(endpoint.id) ?? [];
  expect(applied).toMatchObject({ name: 'app', login: true });
  expect(applied?.password).toMatch(/^SCRAM-SHA-256\$4096:/);
  await world.must(deletionAnswerSchema, 'DELETE', 'projects/story/roles/app');
  expect(world.life.endpoints.roles.get(endpoint.id)).toEqual([
    { name: 'app', password: null, login: false },
  ]);

  const status = await world.must(systemStatusSchema, 'GET', 'status');
  expect(status.nodes.map(({ kind, isReachable }) => [kind, isReachable])).toEqual([
    ['pageserver', true],
    ...[1, 2, 3].map(() => ['safekeeper', true]),
  ]);
  const shown = status.branches.find(({ branch }) => branch === 'main');
  expect(shown?.safekeepers.map(({ error }) => error)).toEqual([null, null, null]);
  expect(shown?.bytesBeyondBucket).toBe(0);
  const running = status.branches.flatMap(({ endpoints }) => endpoints).find(({ id }) => id === endpoint.id);
  expect(running).toMatchObject({ state: 'active', error: null, startSteps: [{ step: 'election', ms: 1 }] });

  expect(await world.must(deletionAnswerSchema, 'DELETE', 'projects/story')).toMatchObject({ isGone: true });
  expect(await world.stored()).toEqual({ pageserver: [], safekeepers: [[], [], []] });
  expect(world.life.endpoints.running.size).toBe(0);
  expect((await world.ask('GET', 'projects/story')).status).toBe(404);
});

test('an endpoint is suspended, woken, restarted, fails and is stopped', async () => {
  await world.must(projectAnswerSchema, 'POST', 'projects', { name: 'sleepy' });
  const { endpoint } = await world.must(
    endpointAnswerSchema,
    'POST',
    'projects/sleepy/branches/main/endpoints',
    {
      suspendAfterSeconds: 7,
      settings: { work_mem: '8MB' },
    },
  );
  const path = `projects/sleepy/endpoints/${endpoint.id}`;
  const { endpoints } = world.life;
  const stateOf = async (): Promise<string> => (await world.ask<{ state: string }>('GET', path)).json.state;
  const act = async (action: string): Promise<string> =>
    (await world.must(endpointAnswerSchema, 'POST', `${path}/${action}`)).endpoint.state;

  expect(await act('suspend')).toBe('suspended');
  expect(endpoints.listening.get(endpoint.id)?.listen.port).toBe(endpoint.port);
  const spec = await endpoints.wake(endpoint.id);
  expect(spec).toMatchObject({ settings: { work_mem: '8MB' }, suspendAfterSeconds: 7 });
  expect(await stateOf()).toBe('active');
  await endpoints.events.onSuspended(endpoint.id);
  expect(await stateOf()).toBe('suspended');
  expect(await act('restart')).toBe('active');
  await endpoints.events.onFailed(endpoint.id, new Error('it has crashed too often'));
  expect(await stateOf()).toBe('failed');
  endpoints.failure = new Error('it cannot start');
  const failed = await world.ask('POST', `${path}/start`);
  expect(failed.status).toBe(500);
  expect(await stateOf()).toBe('failed');
  expect(endpoints.listening.size).toBe(0);
  // What may pass is tried again by the next client.
  endpoints.failure = new VarveError('unavailable', 'STORAGE_TIMEOUT', 'storage is away');
  expect((await world.ask('POST', `${path}/start`)).status).toBe(503);
  expect(await stateOf()).toBe('failed');
  await endpoints.wake(endpoint.id);
  expect(await stateOf()).toBe('active');
  expect(await act('start')).toBe('active');
  expect(await act('start')).toBe('active');
  expect(await act('stop')).toBe('stopped');
  expect(endpoints.running.size + endpoints.listening.size).toBe(0);

  const second = await world.ask('POST', 'projects/sleepy/branches/main/endpoints', {});
  expect(second).toMatchObject({ status: 409, json: { code: 'PRIMARY_EXISTS' } });
  expect(await act('start')).toBe('active');
  // What was active when the control plane ended is listened for; what is never to be suspended is started.
  const never = await world.must(endpointAnswerSchema, 'POST', 'projects/sleepy/branches/main/endpoints', {
    kind: 'read-only',
    suspendAfterSeconds: 0,
  });
  await world.restart();
  await world.settled();
  expect([...world.life.endpoints.listening.keys()]).toEqual([endpoint.id]);
  expect([...world.life.endpoints.running.keys()]).toEqual([never.endpoint.id]);
  await world.must(deletionAnswerSchema, 'DELETE', 'projects/sleepy');
});

const lsnText = (lsn: number): string =>
  `${Math.floor(lsn / 2 ** 32).toString(16)}/${(lsn % 2 ** 32).toString(16)}`.toUpperCase();
