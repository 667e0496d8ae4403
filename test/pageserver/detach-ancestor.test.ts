import { expect, test } from 'vitest';
import { parseTimelineId, type TimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { DetachBehavior } from '../../src/contracts/pageserver-api-timeline.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { gcBlocking } from '../../src/pageserver/administration/gc-blocking.ts';
import { KIND_RELATION_SIZE, kindRange, relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { checkAt, context } from '../engine/check-engine.ts';
import { CRASHED, MAIN, timelineIdOf } from '../engine/engine-world.ts';
import { drawRecord } from '../engine/model-records.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import { BUSY, PreparedEngine, QUIET } from '../engine/prepared-engine.ts';
import { runWorkload } from '../oracle/workload.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN as STOCK_MAIN, StorageWorld } from '../support/storage-world.ts';
import { BadInputWorld } from './bad-input-world.ts';

const REPARENT: DetachBehavior = 'no_ancestor_and_reparent';
const MULTI_LEVEL: DetachBehavior = 'multi_level_and_no_reparent';
const [DETACHED, BELOW, BESIDE, ABOVE, CHILD, ABOVE_ALL] = [1, 2, 3, 4, 5, 6].map(timelineIdOf) as [
  TimelineId,
  TimelineId,
  TimelineId,
  TimelineId,
  TimelineId,
  TimelineId,
];

/** A timeline with branches that begin where one does that is to be detached, below, and above; and one of that one. */
class Family {
  readonly engine: PreparedEngine;
  readonly models = new Map<TimelineId, ModelTimeline>();

  private constructor(engine: PreparedEngine) {
    this.engine = engine;
    this.models.set(MAIN, engine.model);
  }

  static async create(seed: number, settings: Partial<TimelineSettings> = BUSY): Promise<Family> {
    const engine = await PreparedEngine.create(seed, settings);
    const family = new Family(engine);
    await engine.write(40);
    await engine.settle();
    await engine.write(60);
    const ends = engine.model.records.map(({ endLsn }) => endLsn);
    await family.branch(BELOW, MAIN, ends[70] as Lsn);
    await family.branch(DETACHED, MAIN, ends[80] as Lsn);
    await family.branch(BESIDE, MAIN, ends[80] as Lsn);
    await family.branch(ABOVE, MAIN, ends[90] as Lsn);
    await family.write(DETACHED, 30);
    await family.branch(CHILD, DETACHED, family.model(DETACHED).lastLsn);
    for (const id of [BELOW, CHILD]) await family.write(id, 10);
    return family;
  }

  get world() {
    return this.engine.world;
  }

  model(id: TimelineId): ModelTimeline {
    return this.models.get(id) as ModelTimeline;
  }

  active(id: TimelineId): ActiveTimeline {
    return this.world.tenant.timeline(id);
  }

  async branch(id: TimelineId, parentId: TimelineId, lsn: Lsn): Promise<void> {
    const parent = this.model(parentId);
    const at = parent.recordBefore(lsn);
    if (at === undefined) throw new Error('there is no such place');
    await this.engine.do(() => this.world.tenant.createBranch(id, parentId, lsn));
    this.models.set(id, new ModelTimeline(id, { parent, ...at }));
  }

  async write(id: TimelineId, records: number): Promise<void> {
    for (let count = 0; count < records; count++) drawRecord(this.engine.random, this.model(id), count);
    await this.engine.do(() => this.world.feed(this.model(id)));
  }

  detach(id: TimelineId, behavior: DetachBehavior = REPARENT): Promise<readonly TimelineId[]> {
    return this.engine.do(async () => {
      const { storage, tenant } = this.world;
      try {
        return await storage.detachAncestor(tenant, id, behavior);
      } finally {
        this.world.forgetIntakes();
      }
    });
  }

  /** Brings all timelines what they lack of their WAL. */
  async feed(): Promise<void> {
    for (const model of this.models.values()) await this.engine.do(() => this.world.feed(model));
  }

  /** All timelines are as their models at LSNs everywhere in their history. */
  async check(): Promise<void> {
    for (const model of this.models.values()) {
      const active = this.active(model.id);
      const { gcCutoffLsn } = active.timeline;
      const lsns = new Set<Lsn>([gcCutoffLsn, model.lastLsn, ...active.timeline.retainedLsns()]);
      if (model.branchPoint !== undefined) {
        const { endLsn } = model.branchPoint;
        for (const lsn of [endLsn, endLsn - 1, endLsn - 8, endLsn - 400, endLsn + 100])
          if (lsn <= model.lastLsn) lsns.add(toLsn(lsn));
      }
      for (let place = 0; place <= 1; place += 0.25) lsns.add(model.pickLsn(place, gcCutoffLsn));
      await this.engine.do(async () => {
        for (const lsn of lsns) await checkAt(active, model, lsn);
      });
    }
  }

  /** What has become of the descent, as the timelines have it. */
  descent(): Record<string, TimelineId | undefined> {
    const entries = this.world.tenant.timelines.map(({ timeline }) => [
      timeline.timelineId,
      timeline.ancestorTimeline?.timelineId,
    ]);
    return Object.fromEntries(entries);
  }

  /** The models know of it, too. */
  adopt(): void {
    this.model(DETACHED).detach(this.active(DETACHED).timeline.gcCutoffLsn);
    for (const id of [BELOW, BESIDE]) this.model(id).moveTo(this.model(DETACHED));
  }

  async tidyUp(): Promise<void> {
    for (const id of this.models.keys()) {
      await this.engine.do(async () => {
        const { timeline, upkeep } = this.active(id);
        await timeline.flush();
        await timeline.remote.waitForUploads(timeline.signal);
        await upkeep.settled();
      });
    }
  }
}

const DESCENT_AFTERWARDS = {
  [MAIN]: undefined,
  [DETACHED]: undefined,
  [BELOW]: DETACHED,
  [BESIDE]: DETACHED,
  [ABOVE]: MAIN,
  [CHILD]: DETACHED,
};

test('a detached timeline has all that its ancestor had for it, and branches below it are its own', async () => {
  const family = await Family.create(3, QUIET);
  const { gcCutoffLsn } = family.active(MAIN).timeline;
  expect(new Set(await family.detach(DETACHED))).toEqual(new Set([BELOW, BESIDE]));
  expect(family.descent()).toEqual(DESCENT_AFTERWARDS);
  expect(family.active(DETACHED).timeline.gcCutoffLsn).toBe(gcCutoffLsn);
  family.adopt();
  await family.feed();
  await family.check();
  // The ancestor is needed by nobody but the branch above.
  await family.engine.do(async () => {
    await family.world.tenant.deleteTimeline(ABOVE);
    await family.world.tenant.deleteTimeline(MAIN);
  });
  for (const id of [ABOVE, MAIN]) family.models.delete(id);
  await family.check();
  await family.world.stop();
  family.world.wipe();
  await family.world.start();
  await family.feed();
  for (const id of [DETACHED, BELOW, CHILD]) await family.write(id, 40);
  await family.tidyUp();
  await family.check();
  expect(new Set(await family.detach(DETACHED))).toEqual(new Set([BELOW, BESIDE]));
});

test('killed at any instant, detaching goes on when it is repeated, and answers the same', async () => {
  const descents = new Set<string>();
  for (const step of [1, 151])
    for (let at = 1, isOver = false; !isOver; at += step) {
      const family = await Family.create(5);
      const { world } = family;
      // Once something has come to the bucket, of which the node never hears; or at what it does on its disk.
      const onPut = step === 1 ? crashAfterPut(family, at) : undefined;
      if (step > 1)
        world.node.crashAtEffect(at, (['before', 'middle', 'after'] as const)[at % 3] as 'before');
      const outcome = await world.attempt(() =>
        world.storage.detachAncestor(world.tenant, DETACHED, REPARENT),
      );
      onPut?.[Symbol.dispose]();
      world.node.plannedCrash = undefined;
      world.forgetIntakes();
      isOver = outcome !== CRASHED;
      if (!isOver) await world.start();
      descents.add(JSON.stringify(family.descent()));
      // What is forgotten meanwhile must not be what others need.
      await family.feed();
      await world.pass(3000);
      await family.tidyUp();
      expect(new Set(await family.detach(DETACHED))).toEqual(new Set([BELOW, BESIDE]));
      expect(family.descent()).toEqual(DESCENT_AFTERWARDS);
      family.adopt();
      await family.feed();
      await family.check();
      for (const id of [MAIN, DETACHED, BELOW]) await family.write(id, 30);
      await family.tidyUp();
      await family.check();
    }
  // As before; without the ancestor; with the branches moved one after the other, which is over by the second at latest.
  expect(descents.size).toBeGreaterThanOrEqual(4);
}, 300_000);

/** The node dies when so many puts from now on have happened, until this is disposed of. */
function crashAfterPut({ world }: Family, puts: number): Disposable {
  const { bucket } = world.cloud;
  const put = bucket.put.bind(bucket);
  let left = puts;
  bucket.put = async (...request) => {
    await put(...request);
    if (--left === 0) world.node.crash({ kind: 'kill' });
  };
  return {
    [Symbol.dispose]: () => {
      left = 0;
    },
  };
}

test('all ancestors are left at once, where that is wanted, and nobody follows', async () => {
  const family = await Family.create(4, QUIET);
  await expect(family.detach(CHILD)).rejects.toMatchObject({
    kind: 'bad-request',
    code: 'TOO_MANY_ANCESTORS',
  });
  expect(await family.detach(CHILD, MULTI_LEVEL)).toEqual([]);
  expect(family.descent()).toMatchObject({ [CHILD]: undefined, [DETACHED]: MAIN, [BELOW]: MAIN });
  const { timeline } = family.active(CHILD);
  expect(timeline.gcCutoffLsn).toBe(family.active(MAIN).timeline.gcCutoffLsn);
  family.model(CHILD).detach(timeline.gcCutoffLsn);
  await family.feed();
  await family.check();
});

test('a branch that begins in what its ancestor was given can be detached, too', async () => {
  const family = await Family.create(3, QUIET);
  const wanted = [family.model(BELOW), family.model(DETACHED)].map(({ branchPoint }) => branchPoint?.endLsn);
  await family.detach(DETACHED);
  family.adopt();
  await family.feed();
  for (const id of [BELOW, DETACHED]) await family.write(id, 5);
  await family.detach(BELOW);
  const { timeline } = family.active(BELOW);
  expect(timeline.edgeLsns).toEqual(wanted.slice(0, 1));
  expect(family.active(DETACHED).timeline.edgeLsns).toEqual(wanted.slice(1));
  family.model(BELOW).detach(timeline.gcCutoffLsn);
  await family.feed();
  for (const id of [BELOW, DETACHED]) await family.write(id, 40);
  await family.tidyUp();
  await family.check();
  await family.world.stop();
  family.world.wipe();
  await family.world.start();
  await family.feed();
  await family.check();
});

test('edges that do not descend, as an index may have them, hide and repeat no record', async () => {
  const family = await Family.create(3, QUIET);
  await family.detach(BELOW);
  family.model(BELOW).detach(family.active(BELOW).timeline.gcCutoffLsn);
  await family.feed();
  const { timeline } = family.active(BELOW);
  const [edge] = timeline.edgeLsns as [Lsn];
  // As of an LSN of its own the list has what the former ancestor had, and more.
  const above = family.model(BELOW).lastLsn;
  await family.write(BELOW, 5);
  for (const edgeLsns of [
    [edge, above],
    [edge, edge],
    [edge, above, edge],
  ]) {
    Object.defineProperty(timeline, 'edgeLsns', { value: edgeLsns, configurable: true });
    await family.check();
    await family.engine.do(async () => {
      family.world.forgetIntakes();
      await family.world.feed(family.model(BELOW));
    });
  }
});

test('the record before the cutoff is found where the cutoff has just left what a timeline was given', async () => {
  const family = await Family.create(3, {
    ...QUIET,
    compactionThreshold: 1,
    bottomThreshold: 2,
    historyMs: 0,
  });
  for (let round = 0; round < 3; round++) {
    await family.write(MAIN, 3);
    await family.tidyUp();
  }
  await family.branch(ABOVE_ALL, MAIN, family.model(MAIN).lastLsn);
  await family.detach(ABOVE_ALL, MULTI_LEVEL);
  const model = family.model(ABOVE_ALL);
  model.detach(family.active(ABOVE_ALL).timeline.gcCutoffLsn);
  await family.feed();
  await family.write(ABOVE_ALL, 20);
  await family.tidyUp();
  await family.world.pass(5000);
  const active = family.active(ABOVE_ALL);
  const { timeline, upkeep } = active;
  const [edge] = timeline.edgeLsns as [Lsn];
  // Within the first record that is the timeline's own.
  timeline.settings = { ...timeline.settings, historyBytes: timeline.lastRecordLsn - (edge + 9) };
  await family.engine.do(async () => {
    await upkeep.collectGarbage();
    while (await upkeep.rewriteBottom());
    await upkeep.collectGarbage();
  });
  expect(timeline.gcCutoffLsn).toBe(edge + 9);
  await family.check();
  await family.engine.do(async () => {
    family.world.forgetIntakes();
    await family.world.feed(model);
  });
  await family.write(ABOVE_ALL, 3);
  await family.check();
});

test('what cannot be detached is refused, and changes nothing', async () => {
  const family = await Family.create(6, QUIET);
  const { tenant, storage } = family.world;
  await expect(family.detach(MAIN)).rejects.toMatchObject({ kind: 'conflict', code: 'NO_ANCESTOR' });
  await expect(family.detach(timelineIdOf(99))).rejects.toMatchObject({ code: 'TIMELINE_NOT_FOUND' });
  await family.engine.do(() => tenant.archiveTimeline(BELOW));
  await expect(family.detach(DETACHED)).rejects.toMatchObject({
    kind: 'bad-request',
    code: 'TIMELINE_ARCHIVED',
  });
  await family.engine.do(() => tenant.unarchiveTimeline(BELOW));
  await family.check();
  await family.engine.do(async () => {
    const first = storage.detachAncestor(tenant, DETACHED, REPARENT);
    await expect(storage.detachAncestor(tenant, ABOVE, REPARENT)).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'DETACH_UNDER_WAY',
    });
    await first;
  });
  expect(family.descent()).toEqual(DESCENT_AFTERWARDS);
});

test('what a timeline keeps beside WAL where its branch begins, the branch has without it', async () => {
  await using world = await BadInputWorld.open();
  const side = world.victim;
  await side.fill();
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const put = async (path: string, content: string | undefined): Promise<void> => {
    const { timeline } = side.active;
    await timeline.putAuxiliaryFile(path, content === undefined ? undefined : text(content));
    await timeline.flush();
  };
  await put('pg_stat/a', 'gone');
  await put('pg_stat/b', 'one');
  await side.fill();
  const lsn = side.active.timeline.lastRecordLsn;
  await put('pg_stat/a', undefined);
  await put('pg_stat/b', 'two');
  const branchId = parseTimelineId('b'.repeat(32));
  const filesAt = async (id: TimelineId): Promise<Record<string, string>> => {
    const files = await side.tenant.timeline(id).reads.auxiliaryFiles(lsn, context);
    return Object.fromEntries(files.map(({ path, content }) => [path, new TextDecoder().decode(content)]));
  };
  await side.tenant.createBranch(branchId, side.timelineId);
  expect(await filesAt(branchId)).toEqual({ 'pg_stat/b': 'two' });
  await side.fill();
  await put('pg_stat/b', 'three');
  const { storage } = world.world;
  await storage.detachAncestor(side.tenant, branchId, REPARENT);
  expect(side.tenant.timeline(branchId).timeline.ancestorTimeline).toBeUndefined();
  expect(await filesAt(branchId)).toEqual({ 'pg_stat/b': 'two' });
  // There is still room for its own.
  const { timeline } = side.tenant.timeline(branchId);
  await timeline.putAuxiliaryFile('pg_stat/b', text('own'));
  await timeline.flush();
  expect(await filesAt(branchId)).toEqual({ 'pg_stat/b': 'own' });
  expect(await filesAt(side.timelineId)).toEqual({ 'pg_stat/b': 'two' });
});

test('no garbage is collected of a timeline for which that is blocked, also after a restart', async () => {
  const engine = await PreparedEngine.create(1, { ...BUSY, historyBytes: 3000 });
  await engine.do(() => gcBlocking.block(engine.main));
  const go = async (): Promise<void> => {
    await engine.write(40);
    await engine.settle();
    await engine.world.pass(3000);
    await engine.do(() => engine.main.upkeep.settled());
  };
  const { gcCutoffLsn } = engine.main.timeline;
  await go();
  expect(engine.main.timeline.gcCutoffLsn).toBe(gcCutoffLsn);
  await engine.world.stop();
  engine.world.wipe();
  await engine.restart();
  expect(gcBlocking.isBlocked(engine.main.timeline)).toBe(true);
  await go();
  expect(engine.main.timeline.gcCutoffLsn).toBe(gcCutoffLsn);
  await engine.do(() => gcBlocking.unblock(engine.main));
  await go();
  expect(engine.main.timeline.gcCutoffLsn).toBeGreaterThan(gcCutoffLsn);
  await engine.check();
});

/** All pages of relations at an LSN. */
async function pagesAt({ reads }: ActiveTimeline, lsn: Lsn): Promise<Map<string, Buffer>> {
  const pages = new Map<string, Buffer>();
  const page = new Page();
  for (const { key, bytes } of await reads.scan(kindRange(KIND_RELATION_SIZE), lsn, context)) {
    const relation = { tablespace: key.field2, database: key.field3, relation: key.field4 };
    for (let block = 0; block < decodeSize(bytes); block++) {
      const target = relationBlockKey(relation, key.field5, block);
      await reads.pages([{ key: target, lsn, target: page }], context);
      pages.set(`${key.field3}/${key.field4}/${key.field5}/${block}`, Buffer.from(page.bytes));
    }
  }
  return pages;
}

test('the pages of a branch of a stock server are the same without the ancestor, which can go', {
  timeout: 240_000,
}, async () => {
  await using server = await StockPostgres.create({ major: 17 });
  const workload = await runWorkload({ server, seconds: 1, seed: 5, onProgress: () => undefined });
  const { initialDirectory: directory, walDirectory } = workload;
  await using world = await StorageWorld.open({
    settings: {
      openLayerBytes: 2 * 1024 * 1024,
      targetBytes: 1024 * 1024,
      compactionThreshold: 3,
      imageThreshold: 2,
      historyBytes: 2 ** 40,
      historyMs: 0,
    },
  });
  const tenant = await world.storage.attach(world.tenantId);
  const main = await tenant.createTimeline(STOCK_MAIN, { files: nodeFiles, directory, version: POSTGRES_17 });
  await feedWal(main, walDirectory);
  await main.timeline.flush();
  const { initialLsn, lastRecordLsn } = main.timeline;
  const at = (part: number): Lsn => toLsn(Math.floor(initialLsn + part * (lastRecordLsn - initialLsn)));
  const branch = await tenant.createBranch(DETACHED, STOCK_MAIN, at(0.6));
  await feedWal(branch, walDirectory);
  const lsn = branch.timeline.ancestor?.lsn as Lsn;
  const before = new Map<Lsn, Map<string, Buffer>>();
  for (const below of [at(0.4)]) before.set(below, await pagesAt(main, below));
  for (const above of [lsn, at(0.8)]) before.set(above, await pagesAt(branch, above));
  const compare = async (): Promise<void> => {
    const active = world.tenant.timeline(DETACHED);
    for (const [each, pages] of before) {
      const found = await pagesAt(active, each);
      expect([...found.keys()]).toEqual([...pages.keys()]);
      expect(
        [...pages].filter(([name, bytes]) => !found.get(name)?.equals(bytes)).map(([name]) => name),
      ).toEqual([]);
    }
  };
  expect(await world.storage.detachAncestor(tenant, DETACHED, REPARENT)).toEqual([]);
  await feedWal(world.tenant.timeline(DETACHED), walDirectory);
  await compare();
  await world.tenant.deleteTimeline(STOCK_MAIN);
  await world.stop();
  await world.start();
  await feedWal(world.tenant.timeline(DETACHED), walDirectory);
  await compare();
});
