import { expect, test } from 'vitest';
import { toLsn } from '../../src/base/lsn.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { checkAt, context } from './check-engine.ts';
import { CRASHED, EngineWorld, MAIN, TENANT, timelineIdOf } from './engine-world.ts';
import { MODEL_RELATIONS, modelRelation } from './model-cluster.ts';
import { pageName, sizeName } from './model-records.ts';
import { type ModelRecord, ModelTimeline } from './model-timeline.ts';
import { BUSY, PreparedEngine, QUIET } from './prepared-engine.ts';

/** More: VARVE_ENGINE_SEEDS=10000. */
const SEEDS = Number(process.env.VARVE_ENGINE_SEEDS ?? 40);
const BRANCH = timelineIdOf(1);

test(
  'IX-01: the index never names an object that was not uploaded, however flushes and compactions come together',
  async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const engine = await PreparedEngine.create(seed, BUSY);
      const { world, random } = engine;
      for (let round = 0; round < 3; round++) {
        world.setMode(random.pick(['work', 'slow', 'flaky', 'flaky']));
        const { timeline, upkeep } = engine.main;
        engine.draw(15);
        await engine.do(() =>
          Promise.all([
            world.feed(engine.model, () => 1 + random.below(9000)),
            timeline.flush(),
            ...[upkeep.compact(), upkeep.makeImages(), upkeep.collectGarbage(), upkeep.rewriteBottom()],
          ]),
        );
        // The bucket looks at each index as it comes.
        await world.pass(random.below(300));
      }
      world.heal();
      await engine.settle();
      world.wipe();
      await engine.restart();
      await engine.check(1);
    }
  },
  20_000 + SEEDS * 1000,
);

test('IX-02: layers that the index does not name are removed at the start, and come from WAL again', async () => {
  const engine = await PreparedEngine.create(2);
  const { world } = engine;
  await engine.write(20);
  await engine.settle();
  const named = await world.localFiles(MAIN);
  world.setMode('stuck');
  await engine.write(20);
  const { timeline } = engine.main;
  await engine.do(() => timeline.flush());
  const extra = (await world.localFiles(MAIN)).filter((name) => !named.includes(name));
  expect(extra.length).toBeGreaterThan(0);
  world.node.crash({ kind: 'kill' });
  world.heal();
  await world.start();
  expect(await world.localFiles(MAIN)).toEqual(named.filter((name) => !name.startsWith('open-')));
  expect(engine.main.timeline.lastRecordLsn).toBeLessThan(engine.model.lastLsn);
  await engine.restart();
  await engine.check();
});

test.each(['wiped', 'cut', 'stale'])('IX-03: local files that are %s change nothing', async (what) => {
  const engine = await PreparedEngine.create(3, { ...BUSY, historyBytes: 2 ** 40 });
  const { world } = engine;
  for (let round = 0; round < 4; round++) {
    await engine.write(20);
    await engine.settle();
  }
  const last = engine.main.timeline.lastRecordLsn;
  const names = await world.localFiles(MAIN);
  await world.stop();
  if (what === 'wiped') world.wipe();
  const directory = `tenants/${TENANT}/${MAIN}`;
  for (const name of names) {
    const stale = name.replace(/[0-9a-f]{8}$/, '00000000');
    if (what === 'cut') await world.litter(`${directory}/${name}`, new Uint8Array(100));
    if (what === 'stale') await world.litter(`${directory}/${stale}`, new Uint8Array(5000));
  }
  await world.start();
  expect(engine.main.timeline.lastRecordLsn).toBe(last);
  await engine.check();
});

test('IX-04: a timeline that was created, or branched off, outlives the disk', async () => {
  const engine = await PreparedEngine.create(4);
  const { world, model } = engine;
  await engine.write(20);
  await engine.do(() => world.tenant.createBranch(BRANCH, MAIN));
  world.wipe();
  await engine.restart();
  const last = model.records.at(-1) as ModelRecord;
  const branch = new ModelTimeline(BRANCH, { parent: model, ...last });
  await engine.do(() => checkAt(world.tenant.timeline(BRANCH), branch, branch.lastLsn));
});

test('IX-04: as long as it is not in the bucket, it is not there for anybody', async () => {
  const engine = await PreparedEngine.create(4);
  const { world } = engine;
  world.setMode('stuck');
  let isOver = false;
  await engine.do(async () => {
    const creating = world.tenant.createBranch(BRANCH, MAIN).then(() => {
      isOver = true;
    });
    await world.node.incarnation?.doors.clock.yieldToOthers();
    expect(world.find(BRANCH)).toBeUndefined();
    await expect(world.tenant.createBranch(BRANCH, MAIN)).rejects.toMatchObject({
      code: 'TIMELINE_BEING_CREATED',
    });
    expect(isOver).toBe(false);
    world.heal();
    await creating;
  });
  expect(world.find(BRANCH)).toBeDefined();
});

test.each(['kill', 'power'] as const)(
  'IX-05: what a %s leaves of a creation is not there afterwards',
  async (kind) => {
    const engine = await PreparedEngine.create(5);
    const { world } = engine;
    await engine.write(5);
    await engine.settle();
    for (let effect = 1; effect <= 3; effect++) {
      world.setMode('stuck');
      world.node.crashAtEffect(effect, 'after', { kind });
      // It waits for the bucket, if it comes so far.
      const late = world.cloud.kernel.after(undefined, 5e6, () => world.node.crash({ kind }));
      expect(await world.attempt(() => world.tenant.createBranch(BRANCH, MAIN))).toBe(CRASHED);
      late.action = undefined;
      world.node.plannedCrash = undefined;
      world.heal();
      await engine.restart();
      expect(world.find(BRANCH)).toBeUndefined();
    }
    await engine.do(() => world.tenant.createBranch(BRANCH, MAIN));
    await engine.check(1);
  },
);

test('IX-10: a compaction that is killed anywhere and runs again changes no page and overwrites nothing', async () => {
  let crashes = 0;
  for (let effect = 1; effect <= 48; effect += 1 + (effect >> 3)) {
    const engine = await PreparedEngine.create(effect, {
      ...QUIET,
      compactionThreshold: 3,
      targetBytes: 8000,
    });
    const { world } = engine;
    for (let layer = 0; layer < 2; layer++) {
      await engine.write(12);
      await engine.settle();
    }
    await engine.write(12);
    const moment = (['before', 'middle', 'after'] as const)[effect % 3] as 'before';
    world.node.crashAtEffect(effect, moment, { kind: effect % 2 === 0 ? 'power' : 'kill' });
    const { timeline, upkeep } = engine.main;
    const outcome = await world.attempt(async () => {
      await timeline.flush();
      await upkeep.compact();
      await timeline.remote.waitForUploads(timeline.signal);
    });
    if (outcome === CRASHED) crashes++;
    world.node.plannedCrash = undefined;
    await engine.restart();
    await engine.settle();
    await engine.do(() => engine.main.upkeep.compact());
    await engine.settle();
    await engine.check(3);
    world.wipe();
    await engine.restart();
    await engine.check(3);
  }
  expect(crashes).toBeGreaterThan(8);
});

test('a compaction that fails, and whose first layers cannot be removed, says why it failed', async () => {
  const engine = await PreparedEngine.create(11, { ...QUIET, compactionThreshold: 2, targetBytes: 4000 });
  const { faults } = engine.world.node.disk;
  // No turn of upkeep comes but the one that is asked for.
  engine.main.upkeep.trigger = () => undefined;
  for (let layer = 0; layer < 2; layer++) {
    await engine.write(30);
    await engine.do(() => engine.main.timeline.flush());
  }
  faults.failNext('write', 'upkeep-1-1');
  faults.failNext('names', '-v1-', 10);
  await expect(engine.do(() => engine.main.upkeep.compact())).rejects.toMatchObject({ kind: 'unavailable' });
  engine.world.heal();
  expect(await engine.do(() => engine.main.upkeep.compact())).toBe(true);
  await engine.check();
});

test('BW-15: while the disk is full, what is there is read, what comes is waited for, and nothing is started again', async () => {
  const engine = await PreparedEngine.create(15, { ...QUIET, openLayerBytes: 8000, frozenLayersMax: 1 });
  const { world, model } = engine;
  await engine.write(30);
  await engine.settle();
  const { storage } = world;
  const before = engine.main.timeline.lastRecordLsn;
  const { kernel } = world.cloud;
  world.node.disk.capacityBytes = world.node.disk.usedBytes;
  engine.draw(200);
  const startMs = kernel.nowUs / 1000;
  await engine.do(async () => {
    const feeding = world.feed(model);
    const later = readLast(engine).then(() => kernel.nowUs / 1000);
    for (let second = 0; second < 30; second++) {
      await new Promise<void>((resolve) => kernel.after(undefined, 1e6, resolve));
      const { lastRecordLsn } = engine.main.timeline;
      expect(lastRecordLsn).toBeLessThan(model.lastLsn);
      for (const lsn of [before, lastRecordLsn]) await checkAt(engine.main, model, lsn);
    }
    world.node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    await feeding;
    expect((await later) - startMs).toBeGreaterThan(30_000);
  });
  expect(world.storage).toBe(storage);
  await engine.settle();
  await engine.check();
});

/** The first page that there is as of the last record. */
async function readLast({ main, model }: PreparedEngine): Promise<void> {
  const relation = MODEL_RELATIONS.find((number) => (model.numberAt(sizeName(number)) ?? 0) > 0) as number;
  const page = new Page();
  await main.reads.page(modelRelation(relation), 0, 0, model.lastLsn, page, context);
  expect(Buffer.compare(page.bytes, model.bytesAt(pageName(relation, 0)) as Uint8Array)).toBe(0);
}

test('GN-04 GN-06: two nodes that are both attached never write the same key, and only the newer one removes', async () => {
  const engine = await PreparedEngine.create(6, BUSY);
  const old = engine.world;
  await engine.write(30);
  await engine.settle();
  const newer = new EngineWorld(old.cloud, 2, { settings: BUSY });
  await newer.start();
  await newer.attempt(() => newer.storage.attach(TENANT));
  const removedBefore = removedBy(old).length;
  for (let round = 0; round < 4; round++) {
    engine.draw(20);
    for (const world of [old, newer]) {
      await world.attempt(async () => {
        const { timeline, upkeep } = world.tenant.timeline(MAIN);
        await world.feed(engine.model);
        await timeline.flush();
        await upkeep.compact();
        await upkeep.collectGarbage();
        await timeline.remote.waitForUploads(timeline.signal);
      });
      await world.pass(20_000);
    }
  }
  const keysOf = (world: EngineWorld): string[] =>
    world.objects.requests.filter(({ request }) => request === 'put').map(({ key }) => key);
  const keysOfOld = new Set(keysOf(old));
  expect(keysOf(newer).length).toBeGreaterThan(10);
  expect(keysOf(newer).filter((key) => keysOfOld.has(key))).toEqual([]);
  expect(removedBy(old).length).toBe(removedBefore);
  expect(old.tenant.timeline(MAIN).timeline.positions.remoteConsistentLsn).toBeLessThan(engine.model.lastLsn);
  for (const world of [old, newer]) {
    const active = world.tenant.timeline(MAIN);
    await world.attempt(() => checkAt(active, engine.model, toLsn(engine.model.lastLsn)));
  }
  expect(old.cloud.attachments.given.size).toBe(2);
});

const removedBy = (world: EngineWorld): string[] =>
  world.objects.requests.filter(({ request }) => request === 'remove').map(({ key }) => key);
