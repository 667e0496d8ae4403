import { expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { parseTenantId, type TenantId } from '../../src/base/ids.ts';
import { type Endpoint, endpointsOf } from './http-endpoints.ts';
import { CountedExtensions, HttpWorld } from './http-world.ts';

const ABSENT = parseTenantId('b'.repeat(32));
const ATTACHING = parseTenantId('c'.repeat(32));
const BROKEN = parseTenantId('d'.repeat(32));
const STOPPING = parseTenantId('e'.repeat(32));

type State = 'active' | 'attaching' | 'broken' | 'stopping' | 'absent';

/** What of a tenant in a state is answered. 404 is for what is not here, and for nothing else. */
function expected(state: State, { kind, status, method }: Endpoint): number {
  if (kind === 'service' || state === 'active') return status;
  if (kind === 'tenant-state') return state === 'absent' ? 404 : 200;
  if (kind === 'tenant') return { absent: 404, broken: 502, attaching: 503, stopping: 503 }[state];
  // Somebody else is changing how it is attached; whoever deletes is to come again.
  if (state === 'attaching' || state === 'stopping') return method === 'DELETE' ? 503 : 409;
  return state === 'broken' && method === 'PUT' ? 502 : 200;
}

/** One tenant in each state, beside the active one. */
async function makeTenants(world: HttpWorld): Promise<AsyncDisposable> {
  const { storage, generations } = world.made.world;
  world.objects.fate = (_, key) => (key.includes(ATTACHING) ? 'stick' : 'work');
  const attaching = storage.attach(ATTACHING);
  // It is stuck until the storage closes, and is cancelled then.
  attaching.catch(() => undefined);

  // By something that is not there: whoever passes that on says that the tenant is not.
  world.objects.before = async (_, key) => {
    if (key.includes(BROKEN))
      throw new VarveError('not-found', 'OBJECT_NOT_FOUND', 'there is no such object');
  };
  await expect(storage.attach(BROKEN)).rejects.toThrow();

  await storage.attach(STOPPING);
  const detached = Promise.withResolvers<void>();
  const detach = generations.detach.bind(generations);
  generations.detach = async (tenantId: TenantId, signal: AbortSignal) => {
    if (tenantId === STOPPING) await detached.promise;
    await detach(tenantId, signal);
  };
  const stopping = storage.detach(STOPPING);
  await expect.poll(() => storage.statusOf(STOPPING)?.state).toBe('stopping');
  await expect.poll(() => storage.statusOf(ATTACHING)?.state).toBe('attaching');
  return {
    [Symbol.asyncDispose]: async () => {
      detached.resolve();
      await stopping;
    },
  };
}

test('HT-01, HT-02: every endpoint answers for a tenant in every state as it should', {
  timeout: 60_000,
}, async () => {
  await using world = await HttpWorld.open({ extensions: new CountedExtensions() });
  await using _tenants = await makeTenants(world);
  const tenants: readonly (readonly [State, TenantId])[] = [
    ['attaching', ATTACHING],
    ['stopping', STOPPING],
    ['broken', BROKEN],
    ['active', world.made.world.tenantId],
    ['absent', ABSENT],
  ];
  const table: string[] = [];
  const wanted: string[] = [];
  for (const [state, tenantId] of tenants) {
    for (const endpoint of endpointsOf(tenantId)) {
      const { method, path, body, kind } = endpoint;
      // These are asked once, while there are tenants in all states.
      if (kind === 'service' && state !== 'active') continue;
      if (state === 'broken' && kind === 'attachment' && method === 'DELETE')
        world.objects.before = async () => undefined;
      const answer = await world.ask(method, path, body);
      const line = `${state} ${method} ${path.replace(tenantId, 'T')}`;
      table.push(`${line}: ${answer.status}`);
      wanted.push(`${line}: ${expected(state, endpoint)}`);
      checkError(line, answer);
    }
  }
  expect(table).toEqual(wanted);
  const routes = world.app.routes.map(({ method, path }) => `${method} ${path}`);
  expect(routes).toHaveLength(endpointsOf(ABSENT).length);
});

/** What passes says when to come again; tenants and timelines that are not there are told apart; nothing is a bug. */
function checkError(line: string, { status, headers, body }: Awaited<ReturnType<HttpWorld['ask']>>): void {
  if (status < 400) return;
  expect(body, line).toMatchObject({
    msg: expect.stringMatching(/./),
    kind: expect.stringMatching(/./),
    code: expect.stringMatching(/^[A-Z_]+$/),
    type: expect.stringMatching(/^urn:varve:error:/),
    title: expect.stringMatching(/./),
    detail: expect.stringMatching(/./),
    status,
  });
  if (status === 503) expect(headers.get('retry-after'), line).toBe('1');
  if (status === 404) expect(body, line).toMatchObject({ code: 'TENANT_NOT_FOUND' });
  if (status === 502) expect(body, line).toMatchObject({ code: 'TENANT_BROKEN' });
}

test('HT-02: a tenant that is not here and a timeline that is not there are worded differently', async () => {
  await using world = await HttpWorld.open();
  const { tenantId } = world.made.world;
  const nowhere = '9'.repeat(32);
  const tenant = await world.ask('GET', `/v1/tenant/${ABSENT}/timeline/${nowhere}`);
  const timeline = await world.ask('GET', `/v1/tenant/${tenantId}/timeline/${nowhere}`);
  expect(tenant).toMatchObject({
    status: 404,
    body: { code: 'TENANT_NOT_FOUND', msg: expect.stringMatching(/^NotFound: tenant /) },
  });
  expect(timeline).toMatchObject({
    status: 404,
    body: { code: 'TIMELINE_NOT_FOUND', msg: expect.stringMatching(/^NotFound: .*timeline/) },
  });
});

test('a pageserver is ready when the tenants of its start are loaded, and says what it waits for', async () => {
  let missing: { part: string; reason: string }[] = [
    { part: 'front door', reason: 'it does not listen yet' },
  ];
  await using world = await HttpWorld.open({ extensions: { missing: () => missing } });
  const { tenantId } = world.made.world;
  const held = Promise.withResolvers<void>();
  await world.restart(() => {
    world.objects.before = (_, key) => (key.includes(tenantId) ? held.promise : Promise.resolve());
  });
  const ready = (): ReturnType<HttpWorld['ask']> => world.ask('GET', '/ready');
  const tenant = { part: `tenant ${tenantId}`, reason: 'it is being loaded' };
  await expect
    .poll(async () => (await ready()).body)
    .toEqual({ is_ready: false, missing: [tenant, ...missing] });
  const { status, headers } = await ready();
  expect([status, headers.get('retry-after')]).toEqual([503, '1']);
  expect((await world.ask('GET', '/live')).status).toBe(200);
  held.resolve();
  await expect.poll(async () => (await ready()).body).toEqual({ is_ready: false, missing });
  missing = [];
  expect(await ready()).toMatchObject({ status: 200, body: { is_ready: true, missing: [] } });
});
