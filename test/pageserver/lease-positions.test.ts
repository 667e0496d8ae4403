import { expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { firstRecordPosition, WAL_PAGE_BYTES } from '../../src/postgres/wal/page-header.ts';
import { BadInputWorld, MADE_SEGMENT_BYTES, type Side } from './bad-input-world.ts';

const XLOG_NOOP = 0x20;
/** Header of the record, and of main data that is longer than 255 bytes. */
const HEADERS_BYTES: number = 24 + 5;

/** Takes in a record that ends where a page does. Returns where that is. */
async function endPage(side: Side): Promise<Lsn> {
  const start = firstRecordPosition(side.writer.position, MADE_SEGMENT_BYTES);
  const boundary = Math.ceil((start + 512) / WAL_PAGE_BYTES) * WAL_PAGE_BYTES;
  const page = boundary - WAL_PAGE_BYTES;
  const lengthBytes = boundary - Math.max(start, page) - HEADERS_BYTES;
  side.writer.append({ resourceManager: RM_XLOG, info: XLOG_NOOP, mainData: new Uint8Array(lengthBytes) });
  await side.take();
  return toLsn(boundary);
}

test('a lease can be had of the last record, also where it ends with a page, by either name of that LSN', async () => {
  await using made = await BadInputWorld.open();
  const side = made.victim;
  await side.fill();
  const boundary = await endPage(side);
  const { timeline, upkeep } = side.active;
  expect(timeline.lastRecordLsn).toBe(boundary);
  const after = firstRecordPosition(boundary, MADE_SEGMENT_BYTES) as Lsn;
  expect(upkeep.leaseLsn(after).lsn).toBe(after);
  expect(upkeep.leaseLsn(boundary, 60_000).lsn).toBe(after);
  expect(() => upkeep.leaseLsn(toLsn(after + 8))).toThrow(/still to come/);
  // It is readable by both, also when it is below the cutoff.
  await side.fill();
  timeline.advanceGcCutoff(timeline.lastRecordLsn);
  for (const lsn of [boundary, after]) expect(await side.markOf(0, lsn)).toBeGreaterThan(0);
  await expect(side.markOf(0, toLsn(boundary - 8))).rejects.toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
  await expect(side.markOf(0, toLsn(after + 8))).rejects.toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
});

test('leases of one timeline are so many at most, and those that are held can be renewed', async () => {
  await using made = await BadInputWorld.open();
  const side = made.victim;
  await side.fill();
  const { timeline, upkeep } = side.active;
  while (timeline.lastRecordLsn - timeline.initialLsn < 4 * WAL_PAGE_BYTES) await side.fill();
  const last = timeline.lastRecordLsn;
  const lease = (number: number): void => {
    upkeep.leaseLsn(toLsn(last - 8 * number), 60_000);
  };
  let held = 0;
  expect(() => {
    for (; held < 3000; held++) lease(held);
  }).toThrow(/leased already/);
  expect(held).toBeGreaterThanOrEqual(1000);
  lease(1);
});
