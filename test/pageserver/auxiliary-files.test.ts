import { expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { MAIN, timelineIdOf } from '../engine/engine-world.ts';
import { drawRecord } from '../engine/model-records.ts';
import { type ModelRecord, ModelTimeline } from '../engine/model-timeline.ts';
import { PreparedEngine } from '../engine/prepared-engine.ts';
import { BadInputWorld, context } from './bad-input-world.ts';

const text = (content: string): Uint8Array => new TextEncoder().encode(content);

async function filesAt({ reads }: ActiveTimeline, lsn: Lsn): Promise<Record<string, string>> {
  const files = await reads.auxiliaryFiles(lsn, context);
  return Object.fromEntries(files.map(({ path, content }) => [path, new TextDecoder().decode(content)]));
}

test('what is put beside WAL is there at the record that it was put behind, and not before', async () => {
  await using world = await BadInputWorld.open();
  const side = world.victim;
  await side.fill();
  const { timeline } = side.active;
  const first = timeline.lastRecordLsn;
  await timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text('one'));
  await timeline.putAuxiliaryFile('base/5/16384_fsm', text('map'));
  await timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text('two'));
  expect(timeline.lastRecordLsn).toBe(first);
  expect(await filesAt(side.active, first)).toEqual({
    'base/5/16384_fsm': 'map',
    'pg_stat/pgstat.stat': 'two',
  });
  await side.fill();
  const second = timeline.lastRecordLsn;
  // In a layer of its own, and once more behind a layer that has just been frozen.
  await timeline.flush();
  await timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text('three'));
  await timeline.flush();
  await timeline.putAuxiliaryFile('base/5/16384_fsm', undefined);
  await timeline.flush();
  expect(timeline.diskConsistentLsn).toBe(second);
  await side.verify();

  const branchId = parseTimelineId('b'.repeat(32));
  const branch = await side.tenant.createBranch(branchId, side.timelineId);
  expect(await filesAt(branch, second)).toEqual({ 'pg_stat/pgstat.stat': 'three' });
  await timeline.remote.waitForUploads(context.signal);
  await world.restart();
  for (const again of [side.active, side.tenant.timeline(branchId)]) {
    expect(await filesAt(again, second)).toEqual({ 'pg_stat/pgstat.stat': 'three' });
  }
  expect(await filesAt(side.active, first)).toEqual({
    'base/5/16384_fsm': 'map',
    'pg_stat/pgstat.stat': 'two',
  });
  await side.active.timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text('four'));
  expect(await filesAt(side.active, second)).toEqual({ 'pg_stat/pgstat.stat': 'four' });
  await side.fill();
  await side.verify();
});

test('only so much has room beside one record, and a path that cannot be is refused', async () => {
  await using world = await BadInputWorld.open();
  const side = world.victim;
  await side.fill();
  const { timeline } = side.active;
  await expect(timeline.putAuxiliaryFile('', text('x'))).rejects.toMatchObject({
    code: 'BAD_AUXILIARY_PATH',
  });
  const putAndFlush = async (content: string): Promise<void> => {
    await timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text(content));
    await timeline.flush();
  };
  for (let round = 0; round < 7; round++) await putAndFlush(`round ${round}`);
  await expect(putAndFlush('one too many')).rejects.toMatchObject({ code: 'NO_ROOM_BESIDE_WAL' });
  await side.fill();
  await putAndFlush('again');
  expect(await filesAt(side.active, timeline.lastRecordLsn)).toEqual({ 'pg_stat/pgstat.stat': 'again' });
});

test('what was put beside the record that a branch begins behind stays, whatever is forgotten', async () => {
  for (const flushesBefore of [false, true]) {
    const settings = { compactionThreshold: 2, imageThreshold: 1, bottomThreshold: 2, targetBytes: 80_000 };
    const engine = await PreparedEngine.create(1, { ...settings, historyBytes: 0, historyMs: 0 });
    const put = (content: string) =>
      engine.do(() => engine.main.timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text(content)));
    await engine.write(20);
    await put('early');
    await engine.settle();
    await engine.write(20);
    if (flushesBefore) await engine.settle();
    const lsn = engine.model.lastLsn;
    await put('at the branch');
    await engine.settle();
    const branch = await engine.do(() => engine.world.tenant.createBranch(timelineIdOf(1), MAIN));
    for (let round = 0; round < 3; round++) {
      await engine.write(20);
      await put(`later ${round}`);
      await engine.settle();
      await engine.world.pass(1000);
      await engine.do(() => engine.main.upkeep.settled());
    }
    expect(engine.main.timeline.gcCutoffLsn).toBeGreaterThan(lsn);
    expect((await engine.do(() => filesAt(branch, lsn)))['pg_stat/pgstat.stat']).toBe('at the branch');
    expect((await engine.do(() => filesAt(engine.main, lsn)))['pg_stat/pgstat.stat']).toBe('at the branch');
  }
});

/** A branch that begins where its parent is, behind whose last record the parent has put something. */
async function branchBeside(flushes: boolean, settings: Partial<TimelineSettings>) {
  const always = { compactionThreshold: 1, bottomThreshold: 2, historyBytes: 0, historyMs: 0 };
  const engine = await PreparedEngine.create(1, { ...always, ...settings });
  const { world, main, model: parent } = engine;
  for (let round = 0; round < 4; round++) {
    await engine.write(20);
    await engine.settle();
    await world.pass(1000);
    await engine.do(() => main.upkeep.settled());
  }
  await engine.do(async () => {
    await main.timeline.putAuxiliaryFile('pg_stat/pgstat.stat', text('of the parent'));
    if (flushes) await main.timeline.flush();
    await main.upkeep.settled();
  });
  const branch = await engine.do(() => world.tenant.createBranch(timelineIdOf(1), MAIN));
  const model = new ModelTimeline(timelineIdOf(1), { parent, ...(parent.records.at(-1) as ModelRecord) });
  const go = async (): Promise<void> => {
    for (let count = 0; count < 20; count++) drawRecord(engine.random, model, count);
    await engine.do(() => world.feed(model));
    await world.pass(1000);
  };
  const tidyUp = (): Promise<void> =>
    engine.do(async () => {
      await branch.timeline.flush();
      await branch.timeline.remote.waitForUploads(context.signal);
      branch.upkeep.trigger();
      await branch.upkeep.settled();
    });
  const put = (content: string | undefined): Promise<void> =>
    engine.do(() =>
      branch.timeline.putAuxiliaryFile(
        'pg_stat/pgstat.stat',
        content === undefined ? undefined : text(content),
      ),
    );
  const found = async (): Promise<string | undefined> =>
    (await engine.do(() => filesAt(branch, branch.timeline.lastRecordLsn)))['pg_stat/pgstat.stat'];
  return { branch, go, tidyUp, put, found };
}

test('what a branch sees beside the last record of its parent gets into its images, also where it is no file yet', async () => {
  const { go, tidyUp, found } = await branchBeside(false, { imageThreshold: 1 });
  for (let round = 0; round < 3; round++) {
    await go();
    await tidyUp();
    expect(await found()).toBe('of the parent');
  }
});

test('what a branch has removed stays so, also where its parent has only put it beside the last record', async () => {
  const { branch, go, tidyUp, put, found } = await branchBeside(true, {
    // A layer for each key, and no image that would hide the parent.
    targetBytes: 1,
    imageThreshold: 1000,
  });
  for (const content of [undefined, 'own', undefined]) {
    await go();
    await put(content);
    await tidyUp();
    expect(await found()).toBe(content);
  }
  await go();
  await tidyUp();
  expect(branch.timeline.gcCutoffLsn).toBeGreaterThan(branch.timeline.initialLsn);
  expect(await found()).toBeUndefined();
});
