import { expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import { checkAt, context } from '../engine/check-engine.ts';
import { MAIN, timelineIdOf } from '../engine/engine-world.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import { BUSY, PreparedEngine, QUIET } from '../engine/prepared-engine.ts';

const BRANCH = timelineIdOf(1);

test('a timeline of which a branch is being made is not deleted, and of one that is being deleted none is made', async () => {
  const engine = await PreparedEngine.create(1, QUIET);
  await engine.write(20);
  const { tenant } = engine.world;
  await engine.do(async () => {
    const branching = tenant.createBranch(BRANCH, MAIN);
    await expect(tenant.deleteTimeline(MAIN)).rejects.toMatchObject({ code: 'TIMELINE_HAS_BRANCHES' });
    await branching;
    await tenant.deleteTimeline(BRANCH);
    const deleting = tenant.deleteTimeline(MAIN);
    await expect(tenant.createBranch(BRANCH, MAIN)).rejects.toMatchObject({ code: 'TIMELINE_BUSY' });
    await deleting;
  });
});

test('an LSN that is not promised any more cannot be leased', async () => {
  const engine = await PreparedEngine.create(1, { ...BUSY, historyBytes: 3000 });
  for (let round = 0; round < 3; round++) {
    await engine.write(20);
    await engine.settle();
    await engine.world.pass(3000);
    await engine.do(() => engine.main.upkeep.settled());
  }
  const { timeline, upkeep } = engine.main;
  const lost = engine.model.records[3]!.endLsn;
  expect(lost).toBeLessThan(timeline.gcCutoffLsn);
  expect(() => upkeep.lease(lost, Number.MAX_SAFE_INTEGER)).toThrow('can be read from');
  expect(() => upkeep.retain(lost)).toThrow('can be read from');
  expect(timeline.isRetained(lost)).toBe(false);
});

test('of leases that the cutoff has passed a restart forgets none, and believes in no other', async () => {
  const engine = await PreparedEngine.create(1, { ...BUSY, historyBytes: 3000, leaseMs: 60_000 });
  await engine.write(20);
  const { model, world } = engine;
  const [leased, over, lost] = [5, 9, 13].map((index) => model.records[index]!.endLsn) as [Lsn, Lsn, Lsn];
  engine.main.upkeep.leaseLsn(leased);
  engine.main.upkeep.leaseLsn(over, 2000);
  for (let round = 0; round < 3; round++) {
    await engine.write(20);
    await engine.settle();
    await world.pass(3000);
    await engine.do(() => engine.main.upkeep.settled());
  }
  expect(engine.main.timeline.gcCutoffLsn).toBeGreaterThan(lost);
  await engine.settle();
  expect(engine.main.timeline.remote.durableHead?.leasedLsns).toEqual([leased]);
  await world.stop();
  await engine.restart();
  const { timeline, upkeep } = engine.main;
  expect(timeline.isNew).toBe(false);
  for (const lsn of [over, lost, (leased + 8) as Lsn, timeline.initialLsn]) {
    expect(() => upkeep.leaseLsn(lsn)).toThrow('can be read from');
    expect(() => upkeep.retain(lsn)).toThrow('can be read from');
  }
  // It can be read before it is renewed, and for as long as it could be renewed.
  await engine.do(() => checkAt(engine.main, model, leased));
  upkeep.leaseLsn(timeline.gcCutoffLsn);
  await world.pass(50_000);
  await engine.do(() => checkAt(engine.main, model, leased));
  expect(await engine.do(() => upkeep.collectGarbage())).toBe(0);
  await world.pass(11_000);
  expect(timeline.isRetained(leased)).toBe(false);
  expect(() => upkeep.leaseLsn(leased)).toThrow('can be read from');
  await engine.do(() => upkeep.collectGarbage());
  await engine.settle();
  expect(timeline.remote.durableHead?.leasedLsns).not.toContain(leased);
});

test('a branch sees what there was, also where the cutoff passes its LSN while it is being made', async () => {
  const engine = await PreparedEngine.create(1, { ...BUSY, historyBytes: 3000, openLayerBytes: 2 ** 40 });
  await engine.write(20);
  await engine.settle();
  await engine.write(60);
  const { world, model } = engine;
  const { timeline, upkeep, reads } = engine.main;
  const point = model.records[6]!;
  const recordBefore = reads.recordBefore.bind(reads);
  // Looking up the record takes its time.
  reads.recordBefore = async (lsn, readContext) => {
    const found = await recordBefore(lsn, readContext);
    if (readContext.task !== 'administration') return found;
    for (let round = 0; round < 5; round++) {
      engine.draw(20);
      await world.feed(model);
      await timeline.flush();
      await timeline.remote.waitForUploads(timeline.signal);
      await new Promise<void>((resolve) => world.cloud.kernel.after(undefined, 3e6, resolve));
      await upkeep.settled();
    }
    return found;
  };
  await engine.do(async () => {
    const branch = await world.tenant.createBranch(BRANCH, MAIN, point.endLsn);
    expect(timeline.gcCutoffLsn).toBeGreaterThan(point.endLsn);
    await checkAt(branch, new ModelTimeline(BRANCH, { parent: model, ...point }), point.endLsn);
  });
});

test('whatever can be read, a branch can begin there', async () => {
  const engine = await PreparedEngine.create(2, QUIET);
  engine.draw(80);
  const { timeline, reads } = engine.main;
  const found: Promise<[Lsn, Lsn | undefined]>[] = [];
  const publish = timeline.publish.bind(timeline);
  timeline.publish = (lsn, recordStartLsn) => {
    publish(lsn, recordStartLsn);
    found.push(reads.recordBefore(lsn, context).then((record) => [lsn, record?.endLsn]));
  };
  await engine.do(() => engine.world.feed(engine.model));
  expect(found.length).toBeGreaterThan(2);
  for (const [lsn, endLsn] of await engine.do(() => Promise.all(found))) expect(endLsn).toBe(lsn);
});

test('a timeline that a node makes whose tenant is elsewhere by now is refused', async () => {
  const engine = await PreparedEngine.create(1, QUIET);
  await engine.write(5);
  const { attachments } = engine.world.cloud;
  const { signal } = new AbortController();
  await attachments.forNode(2).attach(engine.world.tenant.tenantId, signal);
  await expect(engine.do(() => engine.world.tenant.createBranch(BRANCH, MAIN))).rejects.toMatchObject({
    code: 'STALE_GENERATION',
  });
});
