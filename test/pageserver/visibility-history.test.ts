import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodeFiles } from '../../src/io/node/files.ts';
import { relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { BlockPins } from '../../src/pageserver/layers/blocks.ts';
import { FoundValues } from '../../src/pageserver/layers/found-values.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { VALUE_RECORD, VALUE_VISIBILITY_CLEARS } from '../../src/pageserver/layers/value.ts';
import { collectValues } from '../../src/pageserver/read/collect-values.ts';
import type { Timeline } from '../../src/pageserver/timeline/timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { initializePage, Page } from '../../src/postgres/page/page.ts';
import { RM_HEAP, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { FORK_VISIBILITY_MAP } from '../../src/postgres/wal/record-header.ts';
import type { BlockToWrite, RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { redoVisibilityClears } from '../../src/redo/visibility.ts';
import {
  CLUSTER_DIRECTORIES,
  MODEL_DATABASE,
  MODEL_RELATIONS,
  MODEL_TABLESPACE,
  modelPage,
  modelRelation,
  writeCluster,
} from '../engine/model-cluster.ts';
import { beginModel } from '../engine/model-records.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import { walTuple } from '../support/heap-pages.ts';
import { ByteWriter } from '../support/record-builder.ts';
import { MAIN, StorageWorld } from '../support/storage-world.ts';

const CLEARS = 50_000;
/** So many heap blocks, each of which is no longer visible again and again. */
const HEAP_BLOCKS = 2000;
const IMAGE_EVERY = 8;
const CLEAR_BYTES = 5;

const [relation] = MODEL_RELATIONS as [number];
const mapKey = relationBlockKey(modelRelation(relation), FORK_VISIBILITY_MAP, 0);
const context: ReadContext = { task: 'administration', signal: new AbortController().signal };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-visibility-'));
  for (const name of CLUSTER_DIRECTORIES) await nodeFiles.makeDirectory(`${directory}/${name}`);
});
afterAll(() => rm(directory, { recursive: true }));

const block = (blockNumber: number): BlockToWrite => ({
  blockId: 0,
  tablespace: MODEL_TABLESPACE,
  database: MODEL_DATABASE,
  relation,
  blockNumber,
});

const imageOf = (bytes: Uint8Array): NonNullable<BlockToWrite['image']> => ({
  bytes,
  holeOffset: 0,
  holeLength: 0,
  imageInfo: POSTGRES_17.imageApply,
  compressed: false,
});

/** Heap INSERT into a page that was visible to all: it is made anew, or the record brings all of it. */
function insertVisible(number: number): RecordToWrite {
  const named = block(number % HEAP_BLOCKS);
  const data = walTuple(2, 0x0800, [1, 2, 3, 4]);
  const mainData = new ByteWriter().u16(1).u8(1).finish();
  if (number % IMAGE_EVERY !== 0)
    return {
      resourceManager: RM_HEAP,
      info: 0x80,
      xid: 5000,
      mainData,
      blocks: [{ ...named, willInitialize: true, data }],
    };
  const blocks = [{ ...named, image: imageOf(modelPage(number & 0x7f)) }];
  return { resourceManager: RM_HEAP, info: 0, xid: 5000, mainData, blocks };
}

/** All that is found of the map's page, newest first: what kinds, and how many bytes. */
async function historyOf(timeline: Timeline): Promise<{ kinds: number[]; bytes: number }> {
  const found = new FoundValues();
  const pins = new BlockPins();
  while (!collectValues(timeline, mapKey, timeline.lastRecordLsn, -1, found, pins, context))
    await pins.load(context);
  const kinds = [...found.flags.subarray(0, found.count)].map((flags) => flags & 3);
  const bytes = found.lengths.subarray(0, found.count).reduce((sum, length) => sum + length, 0);
  return { kinds, bytes };
}

test('the history of a page of the visibility map is small, is read, and becomes an image', async () => {
  await writeCluster(nodeFiles, directory);
  const settings = { isCompacting: false, isCollecting: false, compactionThreshold: 1, imageThreshold: 1 };
  await using world = await StorageWorld.open({ settings, pageCacheBytes: 0 });
  const tenant = await world.storage.attach(world.tenantId);
  const { timeline, reads, upkeep } = await tenant.createTimeline(MAIN, {
    files: nodeFiles,
    directory,
    version: POSTGRES_17,
  });
  const model = new ModelTimeline(MAIN);
  beginModel(model);
  const intake = await TimelineIntake.start(timeline);
  const take = () => intake.take(model.walFrom(intake.position).slice());
  const map = new Page();
  initializePage(map, 0);
  map.bytes.fill(0xff, 24);
  const visible = model.append({
    resourceManager: RM_XLOG,
    info: 0xb0,
    blocks: [{ ...block(0), fork: FORK_VISIBILITY_MAP, image: imageOf(map.bytes.slice()) }],
  });
  const expected = new Page(map.bytes.slice());
  expected.view.setUint32(4, visible.endLsn, true);
  for (let number = 0; number < CLEARS; number++) {
    const record: DecodedRecord = model.append(insertVisible(number));
    redoVisibilityClears(expected, record, 0);
  }
  await take();
  expect(timeline.poisonedRecords).toBe(0);

  const readMap = async (): Promise<void> => {
    const page = new Page();
    await reads.page(modelRelation(relation), FORK_VISIBILITY_MAP, 0, timeline.lastRecordLsn, page, context);
    expect(Buffer.compare(page.bytes, expected.bytes)).toBe(0);
  };
  const check = async (): Promise<void> => {
    const { kinds, bytes } = await historyOf(timeline);
    expect(kinds.filter((kind) => kind === VALUE_VISIBILITY_CLEARS)).toHaveLength(CLEARS);
    expect(kinds.filter((kind) => kind === VALUE_RECORD)).toHaveLength(1);
    expect(bytes).toBe(CLEARS * CLEAR_BYTES + visible.totalLength);
    await readMap();
  };
  await check();
  await timeline.flush();
  await check();
  while (await upkeep.compact());
  await check();
  expect(await upkeep.makeImages()).toBeGreaterThan(0);
  const { kinds, bytes } = await historyOf(timeline);
  expect([kinds, bytes]).toEqual([[0], 8192]);
  await readMap();
}, 120_000);
