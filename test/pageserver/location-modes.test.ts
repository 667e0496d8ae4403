import { expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { AttachedMode } from '../../src/contracts/pageserver-api-config.ts';
import { layerKey } from '../../src/pageserver/remote/object-keys.ts';
import {
  type IndexLayer,
  toIndexLayer,
  toLayerDescription,
} from '../../src/pageserver/remote/timeline-index.ts';
import { UnreliableObjects } from '../support/unreliable-objects.ts';
import { BadInputWorld, context, errorOf, type Side, VICTIM } from './bad-input-world.ts';

const BRANCH = parseTimelineId('5'.repeat(32));
const { signal } = context;
const stale = { kind: 'unavailable', code: 'TENANT_STALE' };

async function openWorld() {
  let objects: UnreliableObjects | undefined;
  const made = await BadInputWorld.open({
    settings: { compactionThreshold: 2, isCompacting: false, historyBytes: 0 },
    wrapObjects: (bucket) => {
      objects = new UnreliableObjects(bucket);
      return objects;
    },
  });
  const bucket = objects as unknown as UnreliableObjects;
  const setMode = (mode: AttachedMode, generation: number, flushMs = 0) =>
    made.world.storage.attach(made.victim.tenantId, { generation, mode, flushMs });
  /** What was asked of the bucket since the last call that changes what the victim has there. */
  let seen = 0;
  const changes = (): string[] => {
    const since = bucket.requests.slice(seen);
    seen = bucket.requests.length;
    return since
      .filter(({ request, key }) => ['put', 'remove'].includes(request) && key.includes(made.victim.tenantId))
      .map(({ request }) => request);
  };
  return { made, victim: made.victim, bucket, setMode, changes };
}

const layersOf = ({ active }: Side): IndexLayer[] => [...active.timeline.layers].map(toIndexLayer);
const keysOf = (side: Side, layers: readonly IndexLayer[]): string[] =>
  layers.map((layer) => layerKey(side.active.timeline, layer));

test('attached to several nodes, a tenant is read, takes WAL in and stores it, and removes nothing before it is alone', async () => {
  const { made, victim, bucket, setMode } = await openWorld();
  await using _made = made;
  await victim.fill();
  const before = victim.tenant;
  expect(await setMode('AttachedMulti', 1)).toBe(before);
  expect(made.world.storage.statusOf(victim.tenantId)).toMatchObject({
    mode: 'AttachedMulti',
    generation: 1,
  });
  await victim.goesOn();
  const { timeline, upkeep } = victim.active;
  const replaced = layersOf(victim);
  expect(await upkeep.compact()).toBe(true);
  await timeline.remote.waitForUploads(signal);
  const gone = replaced.filter(({ name }) => !layersOf(victim).some((layer) => layer.name === name));
  expect(gone.length).toBeGreaterThan(1);
  for (const key of keysOf(victim, gone)) expect(timeline.doors.remote.deletions.isPending(key)).toBe(false);
  expect(await upkeep.collectGarbage()).toBe(0);
  expect(await upkeep.rewriteBottom()).toBe(false);
  await victim.tenant.createBranch(BRANCH, VICTIM);
  for (const refused of [
    victim.tenant.deleteTimeline(BRANCH),
    made.world.storage.deleteTenant(victim.tenantId),
  ]) {
    await expect(refused).rejects.toMatchObject({ kind: 'unavailable', code: 'TENANT_NOT_SINGLE' });
  }
  expect(victim.active.timeline.positions.remoteConsistentLsn).toBeGreaterThan(0);
  expect(await bucket.keys()).toEqual(expect.arrayContaining(keysOf(victim, gone)));
  // A layer of that name would be removed with what is held.
  const [held] = gone as [IndexLayer];
  expect(() =>
    timeline.remote.scheduleLayerUpload(toLayerDescription(held), `${timeline.directory}/none`),
  ).toThrow('about to be removed');

  expect(await setMode('AttachedSingle', 1)).toBe(before);
  for (const key of keysOf(victim, gone)) expect(timeline.doors.remote.deletions.isPending(key)).toBe(true);
  await victim.tenant.deleteTimeline(BRANCH);
  // That has flushed the queue.
  const left = await bucket.keys();
  for (const key of keysOf(victim, gone)) expect(left).not.toContain(key);
  await victim.goesOn();
  await made.othersGoOn();
});

test('a stale tenant is read and takes WAL in, and puts nothing into the store and removes nothing from it, until it is not', async () => {
  const { made, victim, bucket, setMode, changes } = await openWorld();
  await using _made = made;
  await victim.fill();
  const { timeline, upkeep, reads } = victim.active;
  const stored = timeline.remote.visibleRemoteConsistentLsn;
  victim.append(8);
  await victim.take();
  // What has been taken in goes to the store first.
  await setMode('AttachedStale', 1, 30_000);
  expect(timeline.remote.projectedRemoteConsistentLsn).toBe(victim.writer.position);
  expect(timeline.positions.remoteConsistentLsn).toBe(0);
  changes();
  victim.append(16);
  await victim.take();
  await timeline.flush();
  await victim.verify();
  expect(timeline.diskConsistentLsn).toBe(victim.writer.position);
  expect(await errorOf(() => timeline.remote.waitForUploads(signal))).toMatchObject(stale);
  expect(await upkeep.compact()).toBe(false);
  expect(await upkeep.makeImages()).toBe(0);
  expect(await upkeep.collectGarbage()).toBe(0);
  const { tenant } = victim;
  for (const refused of [
    tenant.createBranch(BRANCH, VICTIM),
    tenant.archiveTimeline(VICTIM),
    tenant.deleteTimeline(VICTIM),
    made.world.storage.deleteTenant(victim.tenantId),
  ]) {
    await expect(refused).rejects.toMatchObject(stale);
  }
  await tenant.setConfig({ gc_horizon: 77 });
  expect(tenant.settings.historyBytes).toBe(77);
  await reads.logicalSize(timeline.lastRecordLsn, context);
  expect(timeline.positions.remoteConsistentLsn).toBe(0);
  expect(changes()).toEqual([]);
  // It may be said again, and be taken back.
  await setMode('AttachedStale', 1, 30_000);
  await setMode('AttachedSingle', 1);
  await timeline.remote.waitForUploads(signal);
  await expect.poll(() => timeline.positions.remoteConsistentLsn).toBe(victim.writer.position);
  expect(timeline.remote.visibleRemoteConsistentLsn).toBeGreaterThan(stored);
  expect(changes()).toContain('put');
  await victim.goesOn();
  expect((await bucket.keys()).length).toBeGreaterThan(0);
});

test('whoever waits for the store is told when the tenant becomes stale, and a deletion that was submitted is dropped', async () => {
  const { made, victim, bucket, setMode } = await openWorld();
  await using _made = made;
  await victim.fill();
  await victim.fill();
  const { timeline, upkeep } = victim.active;
  const replaced = layersOf(victim);
  await upkeep.compact();
  await timeline.remote.waitForUploads(signal);
  const gone = keysOf(
    victim,
    replaced.filter(({ name }) => !layersOf(victim).some((layer) => layer.name === name)),
  );
  expect(gone.length).toBeGreaterThan(1);
  for (const key of gone) expect(timeline.doors.remote.deletions.isPending(key)).toBe(true);
  bucket.fate = (request) => (request === 'put' ? 'fail' : 'work');
  victim.append(8);
  await victim.take();
  await timeline.flush();
  const waiting = errorOf(() => timeline.remote.waitForUploads(signal));
  const creating = errorOf(() => victim.tenant.createBranch(BRANCH, VICTIM));
  await expect
    .poll(() => bucket.requests.filter(({ request }) => request === 'put').length)
    .toBeGreaterThan(4);
  await setMode('AttachedStale', 1, 50);
  expect(await waiting).toMatchObject(stale);
  expect(await creating).toMatchObject(stale);
  bucket.fate = () => 'work';
  await made.world.stop();
  await made.world.start();
  expect(await bucket.keys()).toEqual(expect.arrayContaining(gone));
});

test('a stale tenant is stale after a restart, in its generation, in which nothing more is stored', async () => {
  const { made, victim, setMode, changes } = await openWorld();
  await using _made = made;
  await victim.fill();
  await setMode('AttachedStale', 1, 30_000);
  changes();
  await made.restart();
  expect(made.world.storage.statusOf(victim.tenantId)).toMatchObject({
    state: 'active',
    mode: 'AttachedStale',
    generation: 1,
  });
  await victim.verify();
  expect(victim.active.timeline.positions.remoteConsistentLsn).toBe(0);
  victim.append(8);
  await victim.take();
  await victim.active.timeline.flush();
  for (const mode of ['AttachedMulti', 'AttachedSingle'] as const) {
    await expect(setMode(mode, 1)).rejects.toMatchObject({ kind: 'bad-request', code: 'GENERATION_SPENT' });
  }
  await setMode('AttachedStale', 1);
  expect(changes()).toEqual([]);
  await setMode('AttachedMulti', 2);
  await victim.goesOn();
  await made.restart();
  expect(made.world.storage.statusOf(victim.tenantId)).toMatchObject({
    mode: 'AttachedMulti',
    generation: 3,
  });
  await setMode('AttachedSingle', 3);
  await victim.goesOn();
  await made.restart();
  expect(made.world.storage.statusOf(victim.tenantId)).toMatchObject({
    mode: 'AttachedSingle',
    generation: 4,
  });
  await victim.goesOn();
});

test('a deletion that was interrupted goes on where the tenant is alone, and nowhere else', async () => {
  const { made, victim, bucket, setMode } = await openWorld();
  await using _made = made;
  await victim.fill();
  bucket.fate = (request) => (request === 'remove' ? 'fail' : 'work');
  const deleting = errorOf(() => victim.tenant.deleteTimeline(VICTIM));
  await expect.poll(() => bucket.requests.some(({ request }) => request === 'remove')).toBe(true);
  await setMode('AttachedMulti', 1);
  bucket.fate = () => 'work';
  expect(await deleting).toMatchObject({ kind: 'fenced' });
  await made.restart();
  const ofVictim = async () =>
    (await bucket.keys()).filter((key) => key.startsWith(`tenants/${victim.tenantId}/timelines/${VICTIM}/`));
  expect((await ofVictim()).length).toBeGreaterThan(0);
  await expect(victim.tenant.createBranch(VICTIM, BRANCH)).rejects.toMatchObject({ code: 'TIMELINE_BUSY' });
  await setMode('AttachedSingle', 2);
  await expect.poll(async () => (await ofVictim()).length).toBe(0);
});
