import { expect, test } from 'vitest';
import { NO_FORK, SIZE_LACKING } from '../../src/pageserver/read/fork-sizes.ts';
import { RM_XACT } from '../../src/postgres/rmgr/resource-manager.ts';
import type { RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { ByteWriter } from '../support/record-builder.ts';
import { BadInputWorld, context, imageRecord, MADE_RELATION, type Side } from './bad-input-world.ts';

/** A commit that drops the relation (xactdesc.c, ParseCommitRecord). */
const drop = (): RecordToWrite => ({
  resourceManager: RM_XACT,
  info: 0x80,
  xid: 900,
  mainData: new ByteWriter().u64(1n).u32(0x004).u32(1).relation(MADE_RELATION).finish(),
});

/** The size at the last record, as those who ask for pages find it. */
async function sizeNow({ active: { timeline, reads } }: Side): Promise<number> {
  const { tablespace, database, relation } = MADE_RELATION;
  const { lastRecordLsn } = timeline;
  const read = () => timeline.forkSizes.readNow(tablespace, database, relation, 0, lastRecordLsn, context);
  if (read() === SIZE_LACKING) await reads.relationSize(MADE_RELATION, 0, lastRecordLsn, context);
  return read();
}

/** All that has been taken in becomes layers above level 0, and these become images. */
async function makeImages(side: Side): Promise<void> {
  const { timeline, upkeep } = side.active;
  timeline.settings = { ...timeline.settings, compactionThreshold: 1, imageThreshold: 1 };
  await timeline.flush();
  upkeep.trigger();
  await upkeep.settled();
  const { layers, diskConsistentLsn } = timeline;
  expect([...layers].some(({ kind, lsnStart }) => kind === 'image' && lsnStart === diskConsistentLsn)).toBe(
    true,
  );
}

test('PS-01: a fork whose size was known is gone once it was dropped, also where only images are left of that', async () => {
  await using made = await BadInputWorld.open();
  const side = made.victim;
  await side.fill();
  const { reads } = side.active;
  expect(await sizeNow(side)).toBe(8);
  side.writer.append(drop());
  await side.take();
  await makeImages(side);
  // What is asked for lies behind the images.
  side.writer.append(imageRecord(0, 1, { ...MADE_RELATION, relation: 99_999 }));
  await side.take();

  expect(await reads.relationSize(MADE_RELATION, 0, side.writer.position, context)).toBeUndefined();
  expect(await sizeNow(side)).toBe(NO_FORK);
});

test('PS-01: a size that is known stays so where images of it are older', async () => {
  await using made = await BadInputWorld.open();
  const side = made.victim;
  await side.fill();
  await makeImages(side);
  expect(await sizeNow(side)).toBe(8);
  side.writer.append(imageRecord(0, 1, { ...MADE_RELATION, relation: 99_999 }));
  await side.take();
  expect(await sizeNow(side)).toBe(8);
});

test('PS-01: a fork whose size was known is gone once it was dropped, also where history has been rewritten since', async () => {
  await using made = await BadInputWorld.open();
  const side = made.victim;
  const { timeline, reads, upkeep } = side.active;
  timeline.settings = { ...timeline.settings, compactionThreshold: 1, bottomThreshold: 2, historyBytes: 0 };
  await side.fill();
  await upkeep.settled();
  const lsn = timeline.lastRecordLsn;
  expect(await sizeNow(side)).toBe(8);
  side.writer.append(drop());
  await side.take();
  for (let round = 0; round < 3; round++) {
    side.writer.append(imageRecord(0, 1, { ...MADE_RELATION, relation: 99_999 }));
    await side.take();
    await timeline.flush();
    await timeline.remote.waitForUploads(context.signal);
    upkeep.trigger();
    await upkeep.settled();
  }
  expect(timeline.gcCutoffLsn).toBeGreaterThan(lsn);
  expect(await reads.relationSize(MADE_RELATION, 0, side.writer.position, context)).toBeUndefined();
  expect(await sizeNow(side)).toBe(NO_FORK);
});
