/** Records as servers write them, drawn from a seed, and what they do to a ModelTimeline. */

import type { Lsn } from '../../src/base/lsn.ts';
import { changeAuxiliaryFiles } from '../../src/pageserver/keyspace/auxiliary-file.ts';
import { CHECKPOINT_BYTES, encodeCheckPoint } from '../../src/postgres/files/checkpoint.ts';
import { initializePage, lineCount, PAGE_LOWER, PAGE_UPPER, Page } from '../../src/postgres/page/page.ts';
import { truncateVisibilityMapPage } from '../../src/postgres/page/visibility-map.ts';
import * as rm from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { FORK_VISIBILITY_MAP } from '../../src/postgres/wal/record-header.ts';
import type { BlockToWrite, RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { effectsOf } from '../../src/redo/effects/effects-of.ts';
import { applySlruPageEffect } from '../../src/redo/effects/slru-pages.ts';
import { redo } from '../../src/redo/redo.ts';
import { findVisibilityClears, redoVisibilityClears, VisibilityClears } from '../../src/redo/visibility.ts';
import { walTuple } from '../support/heap-pages.ts';
import { ByteWriter } from '../support/record-builder.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import {
  MODEL_BLOCKS,
  MODEL_CONTROL,
  MODEL_DATABASE,
  MODEL_RELATIONS,
  MODEL_TABLESPACE,
  MODEL_XID,
  modelPage,
  modelRelation,
} from './model-cluster.ts';
import type { ModelTimeline } from './model-timeline.ts';

export const pageName = (relation: number, block: number): string => `page ${relation} ${block}`;
export const sizeName = (relation: number): string => `size ${relation}`;
/** Of the only page of the visibility map, and how many there are. */
export const mapName = (relation: number): string => `map ${relation}`;
export const mapSizeName = (relation: number): string => `map size ${relation}`;
export const fileName = (path: string): string => `file ${path}`;
export const CLOG = 'clog';
export const MODEL_PATHS: readonly string[] = ['pg_logical/a', 'pg_stat/b'];
/** What a compute keeps beside WAL, by no record; and how it is said that it may have been kept or not. */
export const BESIDE_PATH = 'base/5/16384_fsm';
export const BESIDE: string = fileName(BESIDE_PATH);
export const UNCERTAIN = -1;

const XID = 'xid';
const BLOCKS_MAX = 24;
const HINTS = { hintBitsAreLogged: false };

/** What the cluster has before its first record, and the checkpoint's record, which changes nothing. */
export function beginModel(model: ModelTimeline): void {
  const [first] = MODEL_RELATIONS as [number];
  model.set(sizeName(first), MODEL_BLOCKS);
  for (let block = 0; block < MODEL_BLOCKS; block++) model.set(pageName(first, block), modelPage(block));
  model.set(CLOG, new Uint8Array(8192));
  model.set(XID, MODEL_XID);
  const mainData = new Uint8Array(CHECKPOINT_BYTES);
  encodeCheckPoint(POSTGRES_17, MODEL_CONTROL.checkPointCopy, new DataView(mainData.buffer), 0);
  model.append({ resourceManager: rm.RM_XLOG, info: 0, mainData });
}

/** Appends one record to the model's WAL, and does what it does. @param nowMicros since 2000 */
export function drawRecord(random: SeededRandom, model: ModelTimeline, nowMicros: number): void {
  const relation = random.pick(MODEL_RELATIONS);
  const dice = random.below(100);
  if (dice < 25) changePages(model, fullPages(random, model, relation));
  else if (dice < 45) patch(random, model, relation);
  else if (dice < 70) insert(random, model, relation);
  else if (dice < 78) truncate(random, model, relation);
  else if (dice < 81) create(model, relation);
  else if (dice < 85) setVisible(model, relation);
  else if (dice < 92) commit(random, model, nowMicros);
  else if (dice < 96) message(random, model, `varve-file:${random.pick(MODEL_PATHS)}`, 200);
  else message(random, model, 'nothing', 6000);
}

const block = (blockId: number, relation: number, blockNumber: number): BlockToWrite => ({
  blockId,
  tablespace: MODEL_TABLESPACE,
  database: MODEL_DATABASE,
  relation,
  blockNumber,
});

function fullPages(random: SeededRandom, model: ModelTimeline, relation: number): RecordToWrite {
  const size = model.numberAt(sizeName(relation)) ?? 0;
  const far = random.chance(0.2) ? 5 : 1;
  const numbers = new Set<number>();
  for (let count = 1 + random.below(2); count > 0; count--)
    numbers.add(Math.min(BLOCKS_MAX, random.below(size + far)));
  const blocks = [...numbers].map((number, index): BlockToWrite => {
    const page = new Page();
    initializePage(page, 8);
    const holeOffset = 24 + random.below(400);
    page.view.setUint16(PAGE_LOWER, holeOffset, true);
    const holeLength = 8192 - holeOffset - 100 - random.below(500);
    page.view.setUint16(PAGE_UPPER, holeOffset + holeLength, true);
    page.bytes.fill(random.below(256), 24, holeOffset);
    page.bytes.fill(random.below(256), holeOffset + holeLength);
    const bytes = new Uint8Array(8192 - holeLength);
    bytes.set(page.bytes.subarray(0, holeOffset));
    bytes.set(page.bytes.subarray(holeOffset + holeLength), holeOffset);
    const imageInfo = POSTGRES_17.imageHasHole | POSTGRES_17.imageApply;
    return {
      ...block(index, relation, number),
      image: { bytes, holeOffset, holeLength, imageInfo, compressed: false },
    };
  });
  return { resourceManager: rm.RM_XLOG, info: 0xb0, blocks };
}

/** Generic: some bytes of one page or two, which have been written before. */
function patch(random: SeededRandom, model: ModelTimeline, relation: number): void {
  const size = model.numberAt(sizeName(relation)) ?? 0;
  const usable = Array.from({ length: size }, (_, number) => number).filter((number) => {
    const page = model.bytesAt(pageName(relation, number));
    return page !== undefined && new DataView(page.buffer, page.byteOffset).getUint16(PAGE_UPPER, true) > 0;
  });
  if (usable.length === 0) {
    changePages(model, fullPages(random, model, relation));
    return;
  }
  const chosen = [...new Set([random.pick(usable), random.pick(usable)])];
  const blocks = chosen.map((number, index) => {
    const bytes = Array.from({ length: 1 + random.below(8) }, () => random.below(256));
    const data = new ByteWriter()
      .u16s(8100 + random.below(80), bytes.length)
      .bytes(bytes)
      .finish();
    return { ...block(index, relation, number), data };
  });
  changePages(model, { resourceManager: rm.RM_GENERIC, info: 0, blocks });
}

/** Heap INSERT: into a page that is made anew, or behind its last tuple. Every other one ends the page's visibility. */
function insert(random: SeededRandom, model: ModelTimeline, relation: number): void {
  const size = model.numberAt(sizeName(relation)) ?? 0;
  const number = Math.min(BLOCKS_MAX, random.below(size + 1));
  const bytes = number < size ? model.bytesAt(pageName(relation, number)) : undefined;
  const page = new Page(bytes ?? new Uint8Array(8192));
  const lower = page.view.getUint16(PAGE_LOWER, true);
  const free = page.view.getUint16(PAGE_UPPER, true) - lower;
  const length = 10 + random.below(300);
  const isNew = bytes === undefined || free < 400 || (lower - 24) % 4 !== 0 || random.chance(0.1);
  const line = isNew ? 1 : lineCount(page) + 1;
  const xid = model.numberAt(XID) as number;
  changePages(model, {
    resourceManager: rm.RM_HEAP,
    info: isNew ? 0x80 : 0,
    xid,
    mainData: new ByteWriter()
      .u16(line)
      .u8(length % 2)
      .finish(),
    blocks: [
      {
        ...block(0, relation, number),
        willInitialize: isNew,
        data: walTuple(
          2,
          0x0800,
          Array.from({ length }, () => random.below(256)),
        ),
      },
    ],
  });
}

/** Replay of a record of pages: forks become as long as it needs them, with zeros in between. */
function changePages(model: ModelTimeline, parts: RecordToWrite): void {
  const record = model.append(parts);
  for (const { relation, blockNumber, blockId } of parts.blocks ?? []) {
    const size = model.numberAt(sizeName(relation));
    if (blockNumber >= (size ?? 0)) {
      for (let between = size ?? 0; between <= blockNumber; between++)
        model.set(pageName(relation, between), new Uint8Array(8192));
      model.set(sizeName(relation), blockNumber + 1);
    }
    const page = new Page((model.bytesAt(pageName(relation, blockNumber)) as Uint8Array).slice());
    redo(page, record, blockId, HINTS);
    model.set(pageName(relation, blockNumber), page.bytes);
    clearVisible(model, relation, record);
  }
}

/** XLOG FPI of a page of the visibility map: all blocks there are, and more, are visible and frozen. */
function setVisible(model: ModelTimeline, relation: number): void {
  if (model.numberAt(sizeName(relation)) === undefined) {
    create(model, relation);
    return;
  }
  const page = new Page();
  initializePage(page, 0);
  page.bytes.fill(0xff, 24, 24 + BLOCKS_MAX);
  const holeOffset = 24 + BLOCKS_MAX;
  const image = {
    bytes: page.bytes.slice(0, holeOffset),
    holeOffset,
    holeLength: 8192 - holeOffset,
    imageInfo: POSTGRES_17.imageHasHole | POSTGRES_17.imageApply,
    compressed: false,
  };
  const blocks = [{ ...block(0, relation, 0), fork: FORK_VISIBILITY_MAP, image }];
  const record = model.append({ resourceManager: rm.RM_XLOG, info: 0xb0, blocks });
  const map = new Page();
  redo(map, record, 0, HINTS);
  model.set(mapName(relation), map.bytes);
  model.set(mapSizeName(relation), 1);
}

function clearVisible(model: ModelTimeline, relation: number, record: DecodedRecord): void {
  if (findVisibilityClears(record, new VisibilityClears()) === 0) return;
  const hasMap = model.numberAt(mapSizeName(relation)) === 1;
  const map = new Page(hasMap ? model.bytesAt(mapName(relation))?.slice() : new Uint8Array(8192));
  redoVisibilityClears(map, record, 0);
  model.set(mapName(relation), map.bytes);
  if (!hasMap) model.set(mapSizeName(relation), 1);
}

function truncate(random: SeededRandom, model: ModelTimeline, relation: number): void {
  const size = model.numberAt(sizeName(relation));
  if (size === undefined) {
    create(model, relation);
    return;
  }
  const blocks = random.below(size + 1);
  const mainData = new ByteWriter().u32(blocks).relation(modelRelation(relation)).u32(7).finish();
  model.append({ resourceManager: rm.RM_SMGR, info: 0x20, mainData });
  if (blocks < size) model.set(sizeName(relation), blocks);
  if (model.numberAt(mapSizeName(relation)) !== 1) return;
  if (blocks === 0) model.set(mapSizeName(relation), 0);
  else {
    const map = new Page((model.bytesAt(mapName(relation)) as Uint8Array).slice());
    truncateVisibilityMapPage(map, blocks);
    model.set(mapName(relation), map.bytes);
  }
}

function create(model: ModelTimeline, relation: number): void {
  const mainData = new ByteWriter().relation(modelRelation(relation)).u32(0).finish();
  model.append({ resourceManager: rm.RM_SMGR, info: 0x10, mainData });
  if (model.numberAt(sizeName(relation)) === undefined) model.set(sizeName(relation), 0);
}

/** COMMIT, now and then with relations that go. */
function commit(random: SeededRandom, model: ModelTimeline, nowMicros: number): void {
  const xid = model.numberAt(XID) as number;
  const last = model.allCommits().at(-1)?.micros ?? 0;
  const micros = Math.max(nowMicros, last + 2000);
  const dropped = random.chance(0.25) ? [random.pick(MODEL_RELATIONS)] : [];
  const writer = new ByteWriter().u64(BigInt(micros)).u32(dropped.length === 0 ? 0 : 0x004);
  if (dropped.length > 0) writer.u32(dropped.length);
  for (const relation of dropped) writer.relation(modelRelation(relation));
  const record = model.append({
    resourceManager: rm.RM_XACT,
    info: 0x80,
    xid,
    mainData: writer.finish(),
  });
  for (const relation of dropped) {
    model.set(sizeName(relation), undefined);
    model.set(mapSizeName(relation), undefined);
  }
  setClog(model, record);
  model.set(XID, xid + 1);
  model.commits.push({ endLsn: record.endLsn as Lsn, micros });
}

function setClog(model: ModelTimeline, record: DecodedRecord): void {
  const page = new Page((model.bytesAt(CLOG) as Uint8Array).slice());
  for (const effect of effectsOf(record)) {
    if (effect.kind === 'transaction-status') applySlruPageEffect(page, effect);
  }
  model.set(CLOG, page.bytes);
}

function message(random: SeededRandom, model: ModelTimeline, prefix: string, bytesMax: number): void {
  const content = new Uint8Array(random.chance(0.2) ? 0 : random.below(bytesMax)).fill(random.below(256));
  const zeroEnded = new TextEncoder().encode(`${prefix}\0`);
  const mainData = new ByteWriter()
    .u32(MODEL_DATABASE)
    .u8(0)
    .zeros(3)
    .u64(BigInt(zeroEnded.length))
    .u64(BigInt(content.length))
    .bytes(zeroEnded)
    .bytes(content)
    .finish();
  const record = model.append({ resourceManager: rm.RM_LOGICAL_MESSAGE, info: 0, mainData });
  const path = prefix.split(':')[1];
  if (path === undefined) return;
  const before = model.bytesAt(fileName(path));
  const file = { path, lsn: record.endLsn as Lsn, content: content.length === 0 ? undefined : content };
  const after = changeAuxiliaryFiles(before, file);
  if (after !== before) model.set(fileName(path), after.length === 0 ? undefined : after);
}
