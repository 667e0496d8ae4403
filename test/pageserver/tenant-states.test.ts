import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import type { TenantConfig } from '../../src/contracts/tenant-config.ts';
import { UnreliableObjects } from '../support/unreliable-objects.ts';
import { BadInputWorld, context, errorOf, type Side, VICTIM } from './bad-input-world.ts';

const { signal } = context;
const NOBODY = parseTenantId('f'.repeat(32));
const NO_TIMELINE = parseTimelineId('e'.repeat(32));

/** A world whose bucket can be made to do something else than to work. */
async function openWorld(isAwaited = true) {
  let objects: UnreliableObjects | undefined;
  const made = await BadInputWorld.open({
    isAwaited,
    wrapObjects: (bucket) => {
      objects = new UnreliableObjects(bucket);
      return objects;
    },
  });
  return { made, objects: objects as unknown as UnreliableObjects };
}

const prefixOf = ({ tenantId }: Side): string => `tenants/${tenantId}/`;

test('HT-02: a tenant that exists is never not found, whatever its state', async () => {
  const { made, objects } = await openWorld(false);
  await using _made = made;
  const { victim, others } = made;
  const [, foreign] = others as [Side, Side];
  const { storage } = made.world;
  expect(storage.statusOf(NOBODY)).toBeUndefined();
  expect(await errorOf(() => storage.timeline(NOBODY, VICTIM, signal))).toMatchObject({
    kind: 'not-found',
    code: 'TENANT_NOT_FOUND',
  });
  expect(await errorOf(() => storage.timeline(victim.tenantId, NO_TIMELINE, signal))).toMatchObject({
    kind: 'not-found',
    code: 'TIMELINE_NOT_FOUND',
  });

  // Attaching, while the bucket does not answer for one and answers for the other.
  objects.fate = (_request, key) => (key.startsWith(prefixOf(victim)) ? 'stick' : 'work');
  await made.restart();
  const restarted = made.world.storage;
  expect(restarted.statusOf(victim.tenantId)).toMatchObject({ state: 'attaching', generation: 2 });
  expect(await errorOf(async () => victim.tenant)).toMatchObject({
    kind: 'unavailable',
    code: 'TENANT_NOT_ACTIVE',
  });
  expect(await errorOf(() => restarted.activeTenant(victim.tenantId, signal, 20))).toMatchObject({
    kind: 'unavailable',
    code: 'TENANT_NOT_ACTIVE',
  });
  await restarted.activeTenant(foreign.tenantId, signal);
  expect(restarted.tenants.map(({ tenantId }) => tenantId)).toEqual([foreign.tenantId]);

  // Stopping, while whoever says that it is detached is away.
  const detach = made.world.generations.detach.bind(made.world.generations);
  const { promise, resolve } = Promise.withResolvers<void>();
  made.world.generations.detach = async (...request) => {
    await promise;
    await detach(...request);
  };
  const detaching = restarted.detach(victim.tenantId);
  await expect(restarted.detach(victim.tenantId)).rejects.toMatchObject({
    kind: 'conflict',
    code: 'TENANT_BUSY',
  });
  await expect.poll(() => restarted.statusOf(victim.tenantId)?.state).toBe('stopping');
  expect(await errorOf(async () => victim.tenant)).toMatchObject({ code: 'TENANT_NOT_ACTIVE' });
  const waiting = errorOf(() => restarted.timeline(victim.tenantId, VICTIM, signal));
  resolve();
  await detaching;
  // Now it is gone, and only now it is not found.
  expect(await waiting).toMatchObject({ code: 'TENANT_NOT_FOUND' });
  expect(await errorOf(async () => victim.tenant)).toMatchObject({ code: 'TENANT_NOT_FOUND' });
});

test('PS-10: whoever comes while a tenant is being attached gets it when it is active', async () => {
  const { made, objects } = await openWorld(false);
  await using _made = made;
  const { victim } = made;
  await victim.fill();
  objects.fate = () => 'stick';
  await made.restart(async () => undefined);
  const { storage } = made.world;
  const early = storage.timeline(victim.tenantId, VICTIM, signal);
  const given = new AbortController();
  const impatient = errorOf(() => storage.timeline(victim.tenantId, VICTIM, given.signal));
  given.abort();
  expect(await impatient).toMatchObject({ kind: 'cancelled' });
  // A failure of the bucket passes: it is tried again.
  objects.fate = () => 'fail';
  await made.world.stop();
  expect(await errorOf(() => early)).toMatchObject({ kind: 'cancelled' });
  await made.world.start();
  const late = made.world.storage.timeline(victim.tenantId, VICTIM, signal);
  await expect
    .poll(() => objects.requests.filter(({ request }) => request === 'list').length)
    .toBeGreaterThan(4);
  expect(made.world.storage.statusOf(victim.tenantId)?.state).toBe('attaching');
  objects.fate = () => 'work';
  expect((await late).timeline.timelineId).toBe(VICTIM);
  await made.world.storage.loaded;
  await victim.goesOn();
  await made.othersGoOn();
});

test('HT-01: a tenant that was attached can be used at once', async () => {
  const { made } = await openWorld(false);
  await using _made = made;
  const tenant = await made.world.storage.attach(NOBODY);
  expect(tenant.timelines).toEqual([]);
  expect(made.world.storage.statusOf(NOBODY)).toMatchObject({ state: 'active', generation: 1 });
});

test('a tenant is attached in the generation that is given, and anew in a higher one', async () => {
  const { made } = await openWorld();
  await using _made = made;
  const { victim } = made;
  await victim.fill();
  const { storage } = made.world;
  const first = victim.tenant;
  await expect(storage.attach(victim.tenantId)).rejects.toMatchObject({ code: 'TENANT_ATTACHED' });
  expect(await storage.attach(victim.tenantId, { generation: 1 })).toBe(first);
  const second = await storage.attach(victim.tenantId, { generation: 7, config: { gc_horizon: 12 } });
  expect(second).not.toBe(first);
  expect(second).toMatchObject({ generation: 7, config: { gc_horizon: 12 } });
  await expect(storage.attach(victim.tenantId, { generation: 6 })).rejects.toMatchObject({
    kind: 'bad-request',
    code: 'GENERATION_TOO_LOW',
  });
  await victim.goesOn();
  // The node's own numbers go on behind.
  await made.restart();
  expect(victim.tenant.generation).toBe(8);
  await storage.close();
  await victim.goesOn();
  await made.world.storage.detach(victim.tenantId, { flushMs: 10_000 });
  expect(await readdir(join(victim.localDirectory, '../..'))).not.toContain(victim.tenantId);
  await expect(made.world.storage.attach(victim.tenantId, { generation: 8 })).resolves.toMatchObject({
    generation: 8,
  });
  await victim.goesOn();
});

test('detaching waits for what is under way, as long as it is told to', async () => {
  const { made } = await openWorld();
  await using _made = made;
  const { victim } = made;
  victim.append(8);
  await victim.take();
  const { position } = victim.writer;
  await made.world.storage.detach(victim.tenantId, { flushMs: 30_000 });
  await made.world.storage.attach(victim.tenantId);
  expect(victim.active.timeline.lastRecordLsn).toBe(position);
});

test("a tenant's configuration holds at once, outlives restarts, and needs nothing but the bucket", async () => {
  const { made } = await openWorld();
  await using _made = made;
  const { victim } = made;
  const config: TenantConfig = {
    pitr_interval: '1h 30m',
    checkpoint_distance: 1024 * 1024,
    gc_period: '0s',
    heatmap_period: '5m',
  };
  await victim.tenant.setConfig(config);
  const check = (): void => {
    const { timeline } = victim.active;
    expect(victim.tenant.config).toEqual(config);
    expect(victim.tenant.effectiveConfig).toMatchObject({ ...config, compaction_threshold: 1_000_000 });
    expect(timeline.settings).toMatchObject({
      historyMs: 5_400_000,
      openLayerBytes: 1024 * 1024,
      isCollecting: false,
      isCompacting: true,
    });
  };
  check();
  await made.restart(() => rm(join(made.world.directory, 'local/tenants'), { recursive: true }));
  check();
  await expect(victim.tenant.setConfig({ compaction_threshold: 0 })).rejects.toMatchObject({
    code: 'BAD_SETTING',
  });
  check();
  // One of this attachment takes the place of the one before.
  await victim.tenant.setConfig({});
  expect(victim.active.timeline.settings.historyMs).toBe(0);
  const directory = join(victim.bucketDirectory, '../..');
  expect((await readdir(directory)).filter((name) => name.startsWith('tenant-'))).toEqual([
    'tenant-config-00000002',
  ]);
  // One that is damaged breaks the tenant: nobody knows how long its history is to be kept.
  await made.restart(() => writeFile(join(directory, 'tenant-config-00000002'), 'nothing'));
  expect(made.world.storage.statusOf(victim.tenantId)).toMatchObject({
    state: 'broken',
    error: { code: 'BAD_TENANT_CONFIG' },
  });
  await made.others[1]?.goesOn();
});

test('a tenant is deleted, all of it, also where this is interrupted', async () => {
  const { made, objects } = await openWorld();
  await using _made = made;
  const { victim, others } = made;
  const [, foreign] = others as [Side, Side];
  await victim.fill();
  await victim.tenant.setConfig({ gc_horizon: 1 });
  objects.fate = (request, key) =>
    request === 'remove' && key.startsWith(prefixOf(victim)) ? 'fail' : 'work';
  await expect(made.world.storage.deleteTenant(victim.tenantId)).rejects.toMatchObject({
    kind: 'unavailable',
  });
  expect(made.world.storage.statusOf(victim.tenantId)?.state).toBe('stopping');
  await made.world.stop();
  objects.fate = () => 'work';
  await made.world.start();
  expect(made.world.storage.statusOf(victim.tenantId)).toBeUndefined();
  const ofVictim = async (): Promise<string[]> =>
    (await objects.keys()).filter((key) => key.startsWith(prefixOf(victim)));
  expect(await ofVictim()).toEqual([]);
  expect(await readdir(join(made.world.directory, 'local/tenants'))).toEqual([foreign.tenantId]);
  // The other tenant, detached before.
  await foreign.goesOn();
  await made.world.storage.detach(foreign.tenantId);
  expect((await objects.keys()).length).toBeGreaterThan(0);
  await made.world.storage.deleteTenant(foreign.tenantId);
  expect(await objects.keys()).toEqual([]);
});

test('a deletion that the start could not end is ended by who asks for it', async () => {
  const { made, objects } = await openWorld();
  await using _made = made;
  const { victim } = made;
  await victim.fill();
  objects.fate = (request, key) => (request === 'list' && key.endsWith(`/${VICTIM}/`) ? 'fail' : 'work');
  await expect(victim.tenant.deleteTimeline(VICTIM)).rejects.toMatchObject({ code: 'OBJECT_STORE' });
  objects.requests.length = 0;
  await made.restart();
  const failed = (): boolean =>
    objects.requests.some(({ request, key }) => request === 'list' && key.endsWith(`/${VICTIM}/`));
  await expect.poll(failed).toBe(true);
  await expect(victim.tenant.deleteTimeline(VICTIM)).rejects.toMatchObject({ code: 'OBJECT_STORE' });
  objects.fate = () => 'work';
  await victim.tenant.deleteTimeline(VICTIM);
  expect((await objects.keys()).filter((key) => key.includes(`/${VICTIM}/`))).toEqual([]);
  expect(await errorOf(() => victim.tenant.deleteTimeline(VICTIM))).toMatchObject({
    code: 'TIMELINE_NOT_FOUND',
  });
});

test('a tenant whose directory is in the way is broken, and loaded again in its generation when it is not', async () => {
  const { made } = await openWorld();
  await using _made = made;
  const [, foreign] = made.others as [Side, Side];
  await foreign.fill();
  const directory = join(foreign.localDirectory, '..');
  await made.restart(async () => {
    await rm(directory, { recursive: true });
    await writeFile(directory, 'in the way');
  });
  const { storage } = made.world;
  expect(storage.statusOf(foreign.tenantId)).toMatchObject({ state: 'broken', generation: 2 });
  await rm(directory);
  await mkdir(directory);
  await storage.attach(foreign.tenantId, { generation: 2 });
  await foreign.goesOn();
});
