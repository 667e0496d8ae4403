import { expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
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
