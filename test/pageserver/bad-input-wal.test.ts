// WAL that is not what it should be, and records that cannot be taken in: what came before can be read, and everything
// else goes on.
import { expect, test } from 'vitest';
import type { CorruptionError } from '../../src/base/errors.ts';
import { formatLsn, type Lsn, toLsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { SLRU_NAMES } from '../../src/pageserver/keyspace/keys.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { RM_DBASE, RM_HEAP, RM_XACT, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { ByteWriter } from '../support/record-builder.ts';
import {
  BadInputWorld,
  context,
  errorOf,
  imageRecord,
  MADE_RELATION,
  MADE_SEGMENT_BYTES,
  MADE_START,
  MADE_SYSTEM,
  type Side,
} from './bad-input-world.ts';

const XLOG_SWITCH = 0x40;

/** WAL that goes on where a side's ends, or seems to. */
function wrongWal(
  { active: { timeline } }: Side,
  wrong: Partial<ConstructorParameters<typeof WalWriter>[0]>,
): Uint8Array {
  const startLsn = timeline.lastRecordLsn;
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: MADE_SYSTEM,
    timelineId: 1,
    segmentBytes: MADE_SEGMENT_BYTES,
    startLsn,
    previousLsn: timeline.previousRecordLsn,
    ...wrong,
  });
  for (let count = 0; count < 20; count++) writer.append(imageRecord(0, 77));
  return writer.take().subarray((wrong.startLsn ?? startLsn) - writer.baseLsn);
}

const refused = async (side: Side, bytes: Uint8Array): Promise<unknown> => {
  const intake = await side.intake();
  return await errorOf(() => intake.take(bytes));
};

const WRONG: readonly (readonly [string, (side: Side) => Uint8Array, string])[] = [
  ['of another system', (side) => wrongWal(side, { systemIdentifier: 1n }), 'BAD_WAL'],
  [
    'of another PostgreSQL major',
    (side) => wrongWal(side, { version: { ...POSTGRES_17, walPageMagic: POSTGRES_17.walPageMagic - 1 } }),
    'BAD_WAL',
  ],
  ['of another history', (side) => wrongWal(side, { previousLsn: MADE_START }), 'BAD_WAL'],
  [
    'behind a gap',
    (side) => wrongWal(side, { startLsn: side.active.timeline.lastRecordLsn + 8192 }),
    'BAD_WAL',
  ],
  ['that is zeros', () => new Uint8Array(100_000), 'WAL_DOES_NOT_CONTINUE'],
];

test.each(WRONG)('WAL %s', async (_, make, code) => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  // What comes next begins a segment, whose first page says which system it is of.
  victim.append(3);
  victim.writer.append({ resourceManager: RM_XLOG, info: XLOG_SWITCH });
  victim.writer.fillSegment();
  await victim.take();
  const { lastRecordLsn } = victim.active.timeline;
  const error = await refused(victim, make(victim));
  expect(error).toMatchObject({ kind: 'corruption', code, place: { lsn: expect.any(Number) } });
  const { lsn } = (error as CorruptionError).place;
  expect(lsn).toBeGreaterThanOrEqual(lastRecordLsn);
  expect(lsn).toBeLessThan(lastRecordLsn + 2 * 8192);
  expect(victim.active.timeline.lastRecordLsn).toBe(lastRecordLsn);
  expect(victim.active.timeline.ingestStop).toBeUndefined();
  await victim.verify();
  await made.othersGoOn();
  // Another source has the right one.
  await victim.goesOn();
});

test('WAL with a wrong CRC gives what is before it', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  victim.append(4);
  const good = victim.writer.position;
  victim.append(1);
  const intake = await victim.intake();
  const bytes = victim.walFrom(intake.position).slice();
  const at = bytes.length - 100;
  bytes[at] = (bytes[at] as number) ^ 1;
  expect(await errorOf(() => intake.take(bytes))).toMatchObject({ kind: 'corruption', place: { lsn: good } });
  expect(victim.active.timeline.lastRecordLsn).toBe(good);
  await victim.verify();
  await victim.goesOn();
  await made.othersGoOn();
});

test('when the first WAL after a flush is damaged, there is nothing to flush', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const { timeline } = victim.active;
  await refused(victim, wrongWal(victim, { previousLsn: MADE_START }));
  await timeline.flush();
  // The intake has begun anew meanwhile, and knows from the timeline what came before.
  const error = await refused(victim, wrongWal(victim, { previousLsn: MADE_START }));
  expect(error).toMatchObject({ code: 'WAL_DOES_NOT_CONTINUE', place: { lsn: timeline.lastRecordLsn } });
  timeline.freeze();
  await victim.goesOn();
  expect(timeline.memoryLayers).toHaveLength(0);
  await made.othersGoOn();
});

/** A record of the heap's that no server writes, which names a block. */
const unknownOfHeap = (block: number): RecordToWrite => ({
  resourceManager: RM_HEAP,
  info: 0x60,
  mainData: new Uint8Array(3),
  blocks: [{ blockId: 0, ...MADE_RELATION, blockNumber: block, data: Uint8Array.of(1) }],
});

test('a record that cannot be taken in poisons its blocks, until an image heals them', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  // A block that is named twice cannot be taken in.
  const { startLsn, endLsn } = victim.writer.append({
    ...unknownOfHeap(3),
    blocks: [
      { blockId: 0, ...MADE_RELATION, blockNumber: 3, data: Uint8Array.of(1) },
      { blockId: 1, ...MADE_RELATION, blockNumber: 3, data: Uint8Array.of(1) },
    ],
  });
  await victim.take();
  expect(victim.active.timeline.lastRecordLsn).toBe(endLsn);
  expect(victim.active.timeline.poisonedRecords).toBe(1);
  expect(await made.metric('pageserver_poisoned_records_total')).toBe(1);
  expect(await errorOf(() => victim.markOf(3))).toMatchObject({
    kind: 'corruption',
    code: 'PAGE_POISONED',
    place: { lsn: endLsn, page: expect.stringContaining('blk 3') },
  });
  expect(await victim.markOf(3, startLsn)).toBe(11);
  for (const block of [0, 1, 2, 4, 5, 6, 7]) await victim.markOf(block);
  await made.othersGoOn();
  // An image of the block, as after the next checkpoint.
  await victim.goesOn();
});

const STOPPING: readonly (readonly [string, RecordToWrite])[] = [
  ['of an unknown resource manager', { resourceManager: 99, info: 0, mainData: Uint8Array.of(1) }],
  [
    'of a known one, of an unknown kind',
    { resourceManager: RM_DBASE, info: 0x70, mainData: Uint8Array.of(1) },
  ],
  ['that is cut off', { resourceManager: RM_XACT, info: 0, mainData: Uint8Array.of(1, 2) }],
];

test.each(STOPPING)(
  'a record %s, that names no block, stops its timeline, and reads go on',
  async (_, record) => {
    await using made = await BadInputWorld.open();
    const { victim } = made;
    await victim.fill();
    victim.append(3);
    const goodLsn = victim.writer.position;
    const { startLsn } = victim.writer.append(record);
    victim.append(3);
    const { timeline } = victim.active;
    const waiting = errorOf(() => victim.markOf(1, victim.writer.position));
    const error = await errorOf(() => victim.take());
    expect(error).toMatchObject({ kind: 'corruption', place: { lsn: startLsn } });
    expect(timeline.ingestStop).toBe(error);
    expect(await waiting).toBe(error);
    const labels = `tenant_id="${victim.tenantId}",shard_id="0000",timeline_id="${victim.timelineId}"`;
    expect(await made.metric(`pageserver_timeline_ingest_stopped{${labels}}`)).toBe(1);
    expect(timeline.lastRecordLsn).toBe(goodLsn);
    await victim.verify();
    // It is not tried again and again: nothing is appended any more.
    const { open } = timeline.memoryLayerBytes;
    expect(await errorOf(() => victim.take())).toBe(error);
    expect(timeline.memoryLayerBytes.open).toBe(open);
    await timeline.flush();
    await timeline.remote.waitForUploads(context.signal);
    await made.restart();
    expect(victim.active.timeline.lastRecordLsn).toBe(goodLsn);
    expect(victim.active.timeline.ingestStop).toBeUndefined();
    expect(await errorOf(() => victim.take())).toMatchObject({ place: { lsn: startLsn } });
    expect(victim.active.timeline.ingestStop).toBeDefined();
    await victim.verify();
    await made.othersGoOn();
  },
);

test('a stop is forgotten when ingest is started again', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  victim.writer.append({ resourceManager: 99, info: 0, mainData: Uint8Array.of(1) });
  await errorOf(() => victim.take());
  const { timeline } = victim.active;
  expect(timeline.ingestStop).toBeDefined();
  await TimelineIntake.start(timeline);
  expect(timeline.ingestStop).toBeUndefined();
  expect(await errorOf(() => victim.markOf(1, toLsn(timeline.lastRecordLsn + 8)))).toMatchObject({
    code: 'LSN_NOT_REACHED',
  });
});

test('a copy of a database whose pages cannot be read stops the timeline, and what is there is flushed', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  victim.writer.append({
    resourceManager: RM_HEAP,
    info: 0x10,
    mainData: new Uint8Array(8),
    blocks: [
      { blockId: 0, ...MADE_RELATION, blockNumber: 5, data: Uint8Array.of(1) },
      { blockId: 1, ...MADE_RELATION, blockNumber: 5, data: Uint8Array.of(1) },
    ],
  });
  const goodLsn = victim.writer.position;
  const mainData = new ByteWriter().u32s(777, 1663, 5, 1663).finish();
  const { startLsn } = victim.writer.append({ resourceManager: RM_DBASE, info: 0, mainData });
  expect(await errorOf(() => victim.take())).toMatchObject({ code: 'PAGE_POISONED' });
  const { timeline, reads } = victim.active;
  expect(timeline.ingestStop).toBeDefined();
  expect(timeline.lastRecordLsn).toBe(goodLsn);
  await timeline.flush();
  await timeline.remote.waitForUploads(context.signal);
  expect(await reads.databaseSize(1663, 777, goodLsn, context)).toBe(0);
  await made.restart();
  expect(victim.active.timeline.lastRecordLsn).toBe(goodLsn);
  expect(await victim.active.reads.databaseSize(1663, 777, goodLsn, context)).toBe(0);
  expect(startLsn).toBeGreaterThanOrEqual(goodLsn);
  await made.othersGoOn();
});

test('an LSN that is still to come is waited for, then refused; cancellation ends the wait', async () => {
  await using made = await BadInputWorld.open({ settings: { lsnWaitMs: 60_000 } });
  const { victim } = made;
  await victim.fill();
  victim.append(1);
  const mark = victim.markOf(1, victim.writer.position);
  await victim.take();
  expect(await mark).toBe(17);
  const abort = new AbortController();
  const beyond = toLsn(victim.writer.position + 8);
  const page = new Page();
  const reading = errorOf(() =>
    victim.active.reads.page(MADE_RELATION, 0, 1, beyond, page, {
      task: 'page-request',
      signal: abort.signal,
    }),
  );
  await nodeClock.yieldToOthers();
  abort.abort();
  expect(await reading).toMatchObject({ kind: 'cancelled' });
  await made.othersGoOn();
});

test('an LSN that does not come is refused, by name', async () => {
  await using made = await BadInputWorld.open({ settings: { lsnWaitMs: 20 } });
  const { victim } = made;
  await victim.fill();
  const lsn = toLsn(victim.writer.position + 8);
  expect(await errorOf(() => victim.markOf(1, lsn))).toMatchObject({
    kind: 'unavailable',
    code: 'LSN_NOT_REACHED',
    place: { lsn },
  });
  expect(await made.metric('pageserver_read_errors_total{kind="unavailable",code="LSN_NOT_REACHED"}')).toBe(
    1,
  );
});

test('an LSN below the cutoff, or below the beginning, is refused', async () => {
  await using made = await BadInputWorld.open({ settings: { historyBytes: 0, historyMs: 0 } });
  const { victim } = made;
  const { timeline } = victim.active;
  await victim.fill();
  for (const lsn of [0, 8, timeline.initialLsn - 8] as Lsn[]) {
    expect(await errorOf(() => victim.markOf(1, lsn))).toMatchObject({
      kind: 'precondition',
      code: 'LSN_BELOW_CUTOFF',
      place: { lsn },
    });
  }
  const old = timeline.lastRecordLsn;
  await victim.fill();
  timeline.advanceGcCutoff(timeline.remote.visibleRemoteConsistentLsn);
  while (timeline.gcCutoffLsn <= old) {
    await nodeClock.yieldToOthers();
    timeline.advanceGcCutoff(timeline.remote.visibleRemoteConsistentLsn);
  }
  expect(await errorOf(() => victim.markOf(1, old))).toMatchObject({
    code: 'LSN_BELOW_CUTOFF',
    place: { lsn: old },
  });
  expect(formatLsn(timeline.gcCutoffLsn)).toMatch(/^0\//);
  await made.othersGoOn();
});

test('what does not exist: a block behind the end, a relation, a fork, a segment of an SLRU', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const { reads, timeline } = victim.active;
  const lsn = timeline.lastRecordLsn;
  const page = new Page();
  const nowhere = { ...MADE_RELATION, relation: 99_999 };
  for (const [relation, fork, block] of [
    [MADE_RELATION, 0, 8],
    [MADE_RELATION, 0, 0xffff_fffe],
    [MADE_RELATION, 2, 0],
    [nowhere, 0, 0],
  ] as const) {
    expect(await errorOf(() => reads.page(relation, fork, block, lsn, page, context))).toMatchObject({
      kind: 'corruption',
      code: 'PAGE_WITHOUT_BASE',
      place: { lsn, page: expect.stringContaining(`fork ${fork} blk ${block}`) },
    });
  }
  expect(await reads.relationSize(nowhere, 0, lsn, context)).toBeUndefined();
  expect(await reads.relationExists(MADE_RELATION, 2, lsn, context)).toBe(false);
  for (const slru of SLRU_NAMES) expect(await reads.slruSegment(slru, 12_345, lsn, context)).toBeUndefined();
  await victim.goesOn();
});
