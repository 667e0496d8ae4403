import { afterAll, beforeAll, expect, test } from 'vitest';
import { HttpWorld } from './http-world.ts';

const NOBODY = 'f'.repeat(32);
let world: HttpWorld;
let path = '';

beforeAll(async () => {
  world = await HttpWorld.open();
  path = `/v1/tenant/${world.made.victim.tenantId}`;
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const put = (mode: string, generation?: number, query = '') =>
  world.ask('PUT', `${path}/location_config${query}`, {
    mode,
    tenant_conf: {},
    ...(generation === undefined ? {} : { generation }),
  });

const shown = async () =>
  (await world.ask('GET', `/v1/location_config/${world.made.victim.tenantId}`)).body as {
    mode: string;
    generation: number;
  };

test('the mode changes in place in the generation that there is, and anew in a higher one', async () => {
  const { victim } = world.made;
  const { tenant } = victim;
  expect(await shown()).toMatchObject({ mode: 'AttachedSingle', generation: 1 });
  for (const mode of ['AttachedMulti', 'AttachedStale', 'AttachedStale', 'AttachedSingle', 'AttachedMulti']) {
    expect((await put(mode, 1)).status).toBe(200);
    expect(await shown()).toMatchObject({ mode, generation: 1 });
    expect(victim.tenant).toBe(tenant);
    await victim.verify();
  }
  expect((await put('AttachedMulti', 2)).status).toBe(200);
  expect(victim.tenant).not.toBe(tenant);
  expect((await put('AttachedSingle', 2)).status).toBe(200);
  expect(await put('AttachedStale', 1)).toMatchObject({ status: 400, body: { code: 'GENERATION_TOO_LOW' } });
  await victim.goesOn();
});

test('what cannot be is refused by name', async () => {
  expect(await put('Secondary')).toMatchObject({ status: 400, body: { code: 'MODE_NOT_SUPPORTED' } });
  for (const mode of ['AttachedStale', 'AttachedMulti']) {
    const location = { mode, tenant_conf: {} };
    expect(await world.ask('PUT', `/v1/tenant/${NOBODY}/location_config`, location)).toMatchObject({
      status: 400,
      body: { code: 'BAD_LOCATION', msg: expect.stringContaining('needs a generation') },
    });
  }
  expect(world.made.world.storage.statusOf(NOBODY as never)).toBeUndefined();
});

test('PS-09: while a tenant becomes stale, requests for it are told to come again, and succeed later; reads go on', async () => {
  const { victim } = world.made;
  const { generation } = await shown();
  victim.append(8);
  await victim.take();
  const held = Promise.withResolvers<void>();
  world.objects.before = (request) => (request === 'put' ? held.promise : Promise.resolve());
  const first = put('AttachedStale', generation, '?flush_ms=60000');
  await expect.poll(() => victim.active.timeline.remote.waitingLayers).toBeGreaterThan(0);
  for (const again of [
    put('AttachedStale', generation),
    put('AttachedSingle', generation),
    put('Detached'),
  ]) {
    expect(await again).toMatchObject({
      status: 409,
      body: { code: 'TENANT_BUSY', msg: expect.stringContaining('is being') },
    });
  }
  await victim.verify();
  held.resolve();
  expect((await first).status).toBe(200);
  expect(victim.active.timeline.remote.projectedRemoteConsistentLsn).toBe(victim.writer.position);
  world.objects.before = async () => undefined;

  const created = { new_timeline_id: '9'.repeat(32), ancestor_timeline_id: victim.timelineId };
  const refused = await world.ask('POST', `${path}/timeline`, created);
  expect(refused).toMatchObject({ status: 503, body: { kind: 'unavailable', code: 'TENANT_STALE' } });
  expect(refused.headers.get('retry-after')).toBe('1');
  expect((await put('AttachedSingle', generation)).status).toBe(200);
  expect((await world.ask('POST', `${path}/timeline`, created)).status).toBe(201);
  expect((await put('Detached')).status).toBe(200);
  expect((await put('Detached')).status).toBe(200);
});
