import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Project, projectAnswerSchema } from '../../src/contracts/control-api.ts';
import { wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import { ControlWorld, signal } from './control-world.ts';

let world: ControlWorld;
let project: Project;

beforeAll(async () => {
  world = await ControlWorld.start();
  ({ project } = await world.must(projectAnswerSchema, 'POST', 'projects', { name: 'g' }));
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const validate = async (gens: number[], id: string = project.id): Promise<boolean[]> => {
  const tenants = gens.map((gen) => ({ id, gen }));
  const { json } = await world.ask<{ tenants: { valid: boolean }[] }>('POST', '/upcall/v1/validate', {
    tenants,
  });
  return json.tenants.map(({ valid }) => valid);
};

const attachedIn = async (): Promise<number | null | undefined> =>
  (await world.pageserverClient.tenant(wholeTenant(project.id), signal())).generation;

test('GN-01, GN-04: each start of a pageserver has generations that nobody had before, and only the newest is valid', async () => {
  expect(await world.generationOf(project.id)).toBe(1);
  expect(await attachedIn()).toBe(1);
  expect(await validate([1])).toEqual([true]);
  for (const generation of [2, 3, 4]) {
    await world.pageserver.close();
    // Whatever becomes of the control plane meanwhile.
    if (generation === 3) await world.restart();
    await world.startPageserver();
    expect(await attachedIn()).toBe(generation);
    expect(await world.generationOf(project.id)).toBe(generation);
  }
  expect(await validate([1, 2, 3, 4, 5])).toEqual([false, false, false, true, false]);
  expect(await validate([1], '0'.repeat(32))).toEqual([]);
  const branch = await world.ask('POST', 'projects/g/branches', { name: 'after' });
  expect(branch.status).toBe(201);
});

test('GN-01: of many that ask at once no two get the same', async () => {
  const first = await world.generationOf(project.id);
  const given = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { json } = await world.ask<{ tenants: { gen: number }[] }>('POST', '/upcall/v1/re-attach', {
        node_id: 1,
      });
      return json.tenants[0]?.gen;
    }),
  );
  expect(given.sort((left, right) => Number(left) - Number(right))).toEqual(
    Array.from({ length: 20 }, (_, index) => first + 1 + index),
  );
  // Another node is attached to nothing.
  expect((await world.ask('POST', '/upcall/v1/re-attach', { node_id: 2 })).json).toEqual({ tenants: [] });
  await world.pageserver.close();
  await world.startPageserver();
  expect(await attachedIn()).toBe(first + 21);
});

test('GN-03: with a control plane nothing is attached without a generation', async () => {
  const tenant = wholeTenant('9'.repeat(32) as Project['id']);
  const location = { mode: 'AttachedSingle', shard_number: 0, shard_count: 0, tenant_conf: {} } as const;
  await expect(world.pageserverClient.setLocation(tenant, location, 0, signal())).rejects.toMatchObject({
    kind: 'bad-request',
  });
});

test('GN-07: a tenant that was made while its pageserver was away is there when that is', async () => {
  await world.pageserver.close();
  const answer = world.ask<{ project: Project }>('POST', 'projects', { name: 'late' });
  await expect
    .poll(() => world.rows("SELECT FROM varve_control.operations WHERE attempts > 0 AND state = 'running'"))
    .toHaveLength(1);
  await world.startPageserver();
  expect(await answer).toMatchObject({ status: 201, json: { project: { state: 'ready' } } });
});

test('GN-08: a control plane that is away is waited for, and counted', async () => {
  await world.pageserver.close();
  await world.life.service.close();
  let hasStarted = false;
  const starting = world.startPageserver().then(() => {
    hasStarted = true;
  });
  await expect
    .poll(() =>
      world.logger.lines.filter(({ message }) => message.includes('cannot be asked what is attached')),
    )
    .not.toEqual([]);
  expect(hasStarted).toBe(false);
  await world.open();
  await starting;
  const { port } = world.pageserver.addresses.http;
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`, { signal: signal() })).text();
  expect(Number(/^pageserver_control_plane_errors_total (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);
});

test('GN-02: a tenant that the control plane does not name is not served any more', async () => {
  const { project: doomed } = await world.must(projectAnswerSchema, 'POST', 'projects', { name: 'doomed' });
  const directory = join(world.pageserver.directory, 'tenants', doomed.id);
  expect(existsSync(directory)).toBe(true);
  await world.pageserver.close();
  await world.rows('UPDATE varve_control.tenants SET pageserver_id = 7 WHERE tenant_id = $1', [doomed.id]);
  await world.startPageserver();
  expect(existsSync(directory)).toBe(false);
  await expect(world.pageserverClient.tenant(wholeTenant(doomed.id), signal())).rejects.toMatchObject({
    code: 'TENANT_NOT_FOUND',
  });
});
