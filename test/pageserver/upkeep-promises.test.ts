import { expect, test } from 'vitest';
import { relationBlockKey, relationSizeKey } from '../../src/pageserver/keyspace/keys.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { UpkeepLoop } from '../../src/pageserver/timeline/upkeep-loop.ts';
import { initializePage, PAGE_LOWER, PAGE_UPPER, Page } from '../../src/postgres/page/page.ts';
import * as rm from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { checkAt, context } from '../engine/check-engine.ts';
import { MODEL_DATABASE, MODEL_RELATIONS, MODEL_TABLESPACE, modelRelation } from '../engine/model-cluster.ts';
import { PreparedEngine } from '../engine/prepared-engine.ts';
import { ByteWriter } from '../support/record-builder.ts';

const [FIRST, SECOND] = MODEL_RELATIONS as [number, number];

/** An engine whose upkeep does only what it is asked for. */
async function withUpkeep(seed: number, settings: Partial<TimelineSettings>) {
  const engine = await PreparedEngine.create(seed, {
    openLayerBytes: 2 ** 40,
    isCompressed: false,
    historyBytes: 3000,
    historyMs: 0,
    ...settings,
  });
  const { timeline, reads } = engine.main;
  const upkeep = new UpkeepLoop(timeline, reads);
  const flush = () =>
    engine.do(async () => {
      await engine.world.feed(engine.model);
      await timeline.flush();
      await timeline.remote.waitForUploads(timeline.signal);
    });
  const compact = () =>
    engine.do(async () => {
      while (await upkeep.compact());
    });
  return { engine, timeline, upkeep, flush, compact };
}

test('history is not rewritten at an LSN that is said to be readable', async () => {
  const { engine, timeline, upkeep, flush, compact } = await withUpkeep(1, {
    compactionThreshold: 2,
    imageThreshold: 1000,
    bottomThreshold: 2,
    targetBytes: 8000,
  });
  for (let round = 0; round < 6; round++) {
    engine.draw(15);
    await flush();
    await compact();
  }
  await engine.world.pass(5000);
  expect(await engine.do(() => upkeep.rewriteBottom())).toBe(true);
  expect(timeline.gcCutoffLsn).toBeGreaterThan(timeline.initialLsn);
  await engine.do(async () => {
    for (const { endLsn } of engine.model.records) await checkAt(engine.main, engine.model, endLsn);
  });
});

const block = (relation: number, blockNumber: number) => ({
  blockId: 0,
  tablespace: MODEL_TABLESPACE,
  database: MODEL_DATABASE,
  relation,
  blockNumber,
});

function fullPage(relation: number, blockNumber: number): RecordToWrite {
  const page = new Page();
  initializePage(page, 8);
  page.view.setUint16(PAGE_LOWER, 100, true);
  page.view.setUint16(PAGE_UPPER, 8000, true);
  const bytes = new Uint8Array(292);
  bytes.set(page.bytes.subarray(0, 100));
  bytes.set(page.bytes.subarray(8000), 100);
  const imageInfo = POSTGRES_17.imageHasHole | POSTGRES_17.imageApply;
  const image = { bytes, holeOffset: 100, holeLength: 7900, imageInfo, compressed: false };
  return { resourceManager: rm.RM_XLOG, info: 0xb0, blocks: [{ ...block(relation, blockNumber), image }] };
}

function patch(relation: number, blockNumber: number, byte: number): RecordToWrite {
  const data = new ByteWriter().u16s(8100, 1).bytes([byte]).finish();
  return { resourceManager: rm.RM_GENERIC, info: 0, blocks: [{ ...block(relation, blockNumber), data }] };
}

const message = (lengthBytes: number): RecordToWrite => ({
  resourceManager: rm.RM_LOGICAL_MESSAGE,
  info: 0,
  mainData: new ByteWriter()
    .u32(MODEL_DATABASE)
    .u8(0)
    .zeros(3)
    .u64(2n)
    .u64(BigInt(lengthBytes))
    .bytes([0x78, 0])
    .zeros(lengthBytes)
    .finish(),
});

test('pages outlive the rewriting of their history, also where it is forgotten how many there were then', async () => {
  const { engine, timeline, upkeep, flush, compact } = await withUpkeep(1, {
    compactionThreshold: 2,
    imageThreshold: 3,
    bottomThreshold: 2,
    targetBytes: 1000,
  });
  const { model } = engine;
  const write = (...records: RecordToWrite[]) => {
    for (const record of records) model.append(record);
    return flush();
  };
  const commit = new ByteWriter().u64(1n).u32(0).finish();
  model.append({ resourceManager: rm.RM_XACT, info: 0x80, xid: 5000, mainData: commit });
  // The image of all keys is cut into one for each few.
  for (let round = 0; round < 3; round++) {
    await write(fullPage(FIRST, 0), fullPage(FIRST, 1), fullPage(SECOND, round));
    await write(fullPage(FIRST, 1), fullPage(SECOND, 6 + round));
    await compact();
  }
  await engine.do(() => upkeep.makeImages());
  // Of the relation's size there are soon three layers, of its blocks two: so only the size gets a new image.
  await write(fullPage(FIRST, 4));
  await write(patch(FIRST, 4, 1));
  await compact();
  await write(fullPage(FIRST, 5));
  await write(patch(FIRST, 4, 2));
  await compact();
  await write(fullPage(FIRST, 6));
  await write(patch(SECOND, 0, 3));
  await compact();
  await write(patch(SECOND, 1, 4));
  await engine.do(() => upkeep.makeImages());
  // A layer of blocks that reaches from below this image above the cutoff.
  await write(patch(FIRST, 4, 5), message(6000));
  await compact();
  await engine.world.pass(5000);
  await engine.do(() => upkeep.collectGarbage());
  const layersOf = (key: Parameters<typeof timeline.layers.layersAt>[0]) =>
    timeline.layers.layersAt(key, timeline.initialLsn, Number.MAX_SAFE_INTEGER);
  const blockKey = relationBlockKey(modelRelation(FIRST), 0, 4);
  expect(layersOf(relationSizeKey(modelRelation(FIRST), 0)).map(({ kind }) => kind)).toEqual(['image']);
  expect(layersOf(blockKey).filter(({ kind }) => kind === 'delta')).toHaveLength(3);

  while (await engine.do(() => upkeep.rewriteBottom()));
  expect(layersOf(blockKey)).toHaveLength(2);
  const page = new Page();
  await engine.do(() => engine.main.reads.page(modelRelation(FIRST), 0, 4, model.lastLsn, page, context));
  expect(page.bytes[8100]).toBe(5);
});
