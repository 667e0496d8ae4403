import { expect, test } from 'vitest';
import { PageserverUnderFire, TIMELINE, VICTIM } from '../../fuzz/ports/pageserver-under-fire.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { streamBackup } from '../../src/pageserver/backup/stream-backup.ts';
import { streamStartSet } from '../../src/pageserver/start-set/stream-start-set.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { firstRecordPosition, WAL_PAGE_BYTES } from '../../src/postgres/wal/page-header.ts';
import { context } from './bad-input-world.ts';

/** Both ways to start from an LSN. */
const STARTS: readonly ((active: ActiveTimeline, lsn: Lsn) => AsyncIterable<Uint8Array>)[] = [
  (active, lsn) => streamStartSet(active, { lsn, form: 'primary' }, context),
  (active, lsn) =>
    streamBackup(
      active,
      { kind: 'full', lsn, previousRecordLsn: undefined, isReplica: false, compression: 'none' },
      context,
    ),
];

/** A timeline all of which the bucket has. */
async function storedTimeline(world: PageserverUnderFire): Promise<ActiveTimeline> {
  const active = world.service.storage.tenant(VICTIM).timeline(TIMELINE);
  await active.timeline.flush();
  await active.timeline.remote.waitForUploads(context.signal);
  return active;
}

async function contentOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test.for(STARTS)(
  'a start is to be had at every LSN that is promised, also where no record ends',
  async (start) => {
    await using world = await PageserverUnderFire.open();
    const active = await storedTimeline(world);
    const { timeline, reads } = active;
    const record = await reads.recordBefore(toLsn(timeline.lastRecordLsn - 8), context);
    const endLsn = record?.endLsn as Lsn;
    const before = await contentOf(start(active, endLsn));
    // The cutoff is where the window of history begins, whatever there is.
    timeline.advanceGcCutoff(toLsn(endLsn + 64));
    expect(await contentOf(start(active, toLsn(endLsn + 64)))).toEqual(before);
    await expect(contentOf(start(active, endLsn))).rejects.toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
  },
);

test.for(STARTS)('a start is to be had where there is a lease, also of the end of a page', async (start) => {
  await using world = await PageserverUnderFire.open();
  const active = await storedTimeline(world);
  const { timeline, upkeep } = active;
  const boundary = toLsn(Math.floor(timeline.lastRecordLsn / WAL_PAGE_BYTES - 1) * WAL_PAGE_BYTES);
  const before = await contentOf(start(active, boundary));
  const leased = firstRecordPosition(boundary, timeline.walSegmentBytes) as Lsn;
  upkeep.lease(leased, Date.now() + 60_000);
  timeline.advanceGcCutoff(timeline.lastRecordLsn);
  expect(await contentOf(start(active, boundary))).toEqual(before);
  expect(await contentOf(start(active, leased))).toEqual(before);
});

test.for(STARTS)('what a start reads is not collected meanwhile', async (start) => {
  await using world = await PageserverUnderFire.open();
  const active = await storedTimeline(world);
  const { timeline, reads } = active;
  const record = await reads.recordBefore(toLsn(timeline.lastRecordLsn - 8), context);
  const endLsn = record?.endLsn as Lsn;
  const whole = await contentOf(start(active, endLsn));
  const chunks: Uint8Array[] = [];
  for await (const chunk of start(active, endLsn)) {
    chunks.push(chunk);
    timeline.advanceGcCutoff(timeline.lastRecordLsn);
  }
  expect(Buffer.concat(chunks)).toEqual(whole);
  expect(timeline.isRetained(endLsn)).toBe(false);
});
