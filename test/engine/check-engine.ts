/** Compares what a timeline answers with its model. */
import { VarveError } from '../../src/base/errors.ts';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import { auxiliaryFileKey } from '../../src/pageserver/keyspace/auxiliary-file.ts';
import { KIND_RELATION_SIZE, kindRange } from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { NO_FORK, SIZE_LACKING } from '../../src/pageserver/read/fork-sizes.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { FORK_VISIBILITY_MAP } from '../../src/postgres/wal/record-header.ts';
import { MODEL_DATABASE, MODEL_RELATIONS, MODEL_TABLESPACE, modelRelation } from './model-cluster.ts';
import {
  BESIDE,
  BESIDE_PATH,
  CLOG,
  fileName,
  MODEL_PATHS,
  mapName,
  mapSizeName,
  pageName,
  sizeName,
  UNCERTAIN,
} from './model-records.ts';
import type { ModelTimeline } from './model-timeline.ts';

export const context: ReadContext = { task: 'administration', signal: new AbortController().signal };

/** Something that the engine says is not so. */
export class EngineMismatch extends Error {}

function mismatch(model: ModelTimeline, lsn: number, what: string): never {
  throw new EngineMismatch(`timeline ${model.id} at ${formatLsn(lsn as Lsn)}: ${what}`);
}

/** Reads all there is at an LSN. What is not promised any more must be refused; what is must be as the model has it. */
export async function checkAt(
  active: ActiveTimeline,
  model: ModelTimeline,
  lsn: Lsn,
  mayFail = false,
): Promise<void> {
  const { timeline, reads } = active;
  const wasPromised = lsn >= timeline.gcCutoffLsn || timeline.isRetained(lsn);
  try {
    await checkSizes(active, model, lsn);
    await checkPages(reads, model, lsn);
    await checkValues(reads, model, lsn);
    const found = await reads.recordBefore(lsn, context);
    const wanted = model.recordBefore(lsn);
    if (found?.endLsn !== wanted?.endLsn || found?.startLsn !== wanted?.startLsn)
      mismatch(model, lsn, `the record before is ${found?.endLsn}, not ${wanted?.endLsn}`);
    if (!wasPromised) mismatch(model, lsn, 'it is below the cutoff and was not refused');
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    const isPromised = lsn >= timeline.gcCutoffLsn || timeline.isRetained(lsn);
    if (error.code === 'LSN_BELOW_CUTOFF' && !isPromised) return;
    if (mayFail && error.kind === 'unavailable') return;
    throw new EngineMismatch(`timeline ${model.id} at ${formatLsn(lsn)}: ${error.message}`, { cause: error });
  }
}

async function checkSizes(
  { timeline, reads }: ActiveTimeline,
  model: ModelTimeline,
  lsn: Lsn,
): Promise<void> {
  const scanned = await reads.scan(kindRange(KIND_RELATION_SIZE), lsn, context);
  const found = scanned.map(({ key, bytes }) => `${key.field4}/${key.field5}: ${decodeSize(bytes)}`).join();
  const wanted = MODEL_RELATIONS.flatMap((relation) => {
    const sizes = [0, FORK_VISIBILITY_MAP].map((fork) => {
      const name = fork === 0 ? sizeName(relation) : mapSizeName(relation);
      return { fork, size: model.numberAt(name, lsn) };
    });
    return sizes.flatMap(({ fork, size }) => (size === undefined ? [] : [`${relation}/${fork}: ${size}`]));
  });
  if (found !== wanted.join()) mismatch(model, lsn, `relations are ${found}, not ${wanted}`);
  let blocks = 0;
  for (const relation of MODEL_RELATIONS) {
    const size = await reads.relationSize(modelRelation(relation), 0, lsn, context);
    if (size !== model.numberAt(sizeName(relation), lsn))
      mismatch(model, lsn, `relation ${relation} has ${size} blocks`);
    const { tablespace, database } = modelRelation(relation);
    const sizeNow = timeline.forkSizes.readNow(tablespace, database, relation, 0, lsn, context);
    if (sizeNow !== SIZE_LACKING && sizeNow !== (size ?? NO_FORK))
      mismatch(model, lsn, `relation ${relation} has ${size} blocks, not ${sizeNow} as it was remembered`);
    blocks += size ?? 0;
  }
  const bytes = await reads.databaseSize(MODEL_TABLESPACE, MODEL_DATABASE, lsn, context);
  if (bytes !== blocks * 8192) mismatch(model, lsn, `the database has ${bytes} bytes`);
}

async function checkPages(reads: ActiveTimeline['reads'], model: ModelTimeline, lsn: Lsn): Promise<void> {
  for (const relation of MODEL_RELATIONS) {
    const size = model.numberAt(sizeName(relation), lsn) ?? 0;
    for (let block = 0; block < size; block++) {
      const page = new Page(new Uint8Array(8192).fill(0xee));
      await reads.page(modelRelation(relation), 0, block, lsn, page, context);
      const wanted = model.bytesAt(pageName(relation, block), lsn) as Uint8Array;
      if (Buffer.compare(page.bytes, wanted) !== 0) {
        const at = wanted.findIndex((byte, index) => byte !== page.bytes[index]);
        mismatch(model, lsn, `block ${block} of ${relation} differs from byte ${at} on`);
      }
    }
    if (model.numberAt(mapSizeName(relation), lsn) !== 1) continue;
    const map = new Page(new Uint8Array(8192).fill(0xee));
    await reads.page(modelRelation(relation), FORK_VISIBILITY_MAP, 0, lsn, map, context);
    if (Buffer.compare(map.bytes, model.bytesAt(mapName(relation), lsn) as Uint8Array) !== 0)
      mismatch(model, lsn, `the visibility map of ${relation} differs`);
  }
}

async function checkValues(reads: ActiveTimeline['reads'], model: ModelTimeline, lsn: Lsn): Promise<void> {
  const clog = await reads.slruSegment('clog', 0, lsn, context);
  if (Buffer.compare(clog ?? new Uint8Array(0), model.bytesAt(CLOG, lsn) as Uint8Array) !== 0)
    mismatch(model, lsn, 'the transactions that have ended are others');
  for (const path of MODEL_PATHS) {
    const found = await reads.value(auxiliaryFileKey(path), lsn, context);
    const wanted = model.bytesAt(fileName(path), lsn);
    if (Buffer.compare(found ?? new Uint8Array(0), wanted ?? new Uint8Array(0)) !== 0)
      mismatch(model, lsn, `the file ${path} is another`);
  }
  const kept = model.at(BESIDE, lsn);
  if (kept === UNCERTAIN || lsn !== model.recordBefore(lsn)?.endLsn) return;
  const files = await reads.auxiliaryFiles(lsn, context);
  const found = files.find(({ path }) => path === BESIDE_PATH)?.content;
  if (Buffer.compare(found ?? new Uint8Array(0), (kept as Uint8Array | undefined) ?? new Uint8Array(0)) !== 0)
    mismatch(model, lsn, `what is kept beside the record has ${found?.length} bytes, and is another`);
}

/** Positions are in order, and none says more than is so. @param nowMs since 1970 */
export function checkTimeline({ timeline }: ActiveTimeline, model: ModelTimeline, nowMs: number): void {
  const { gcCutoffLsn, lastRecordLsn, diskConsistentLsn, settings } = timeline;
  const { remoteConsistentLsn } = timeline.positions;
  timeline.checkPositions();
  if (timeline.poisonedRecords > 0) mismatch(model, lastRecordLsn, 'records were poisoned');
  if (lastRecordLsn < model.remoteConsistentLsn)
    mismatch(
      model,
      lastRecordLsn,
      `it was said that WAL up to ${model.remoteConsistentLsn} is not needed any more`,
    );
  model.remoteConsistentLsn = Math.max(model.remoteConsistentLsn, remoteConsistentLsn);
  if (diskConsistentLsn > model.lastLsn) mismatch(model, diskConsistentLsn, 'it has what was never written');
  if (gcCutoffLsn <= Math.max(model.initialLsn, model.forgottenLsn)) return;
  if (gcCutoffLsn > model.lastLsn - settings.historyBytes)
    mismatch(model, gcCutoffLsn, 'the cutoff leaves less WAL than is to be kept');
  const startMicros = (nowMs - settings.historyMs - 946_684_800_000) * 1000;
  const first = model.allCommits().find(({ micros }) => micros > startMicros);
  if (first !== undefined && gcCutoffLsn >= first.endLsn)
    mismatch(model, gcCutoffLsn, 'the cutoff leaves less time than is to be kept');
}

/** The LSN of a moment: nothing that was committed later is there, all before is. */
export async function checkMoment(
  { timeline, reads }: ActiveTimeline,
  model: ModelTimeline,
  place: number,
): Promise<void> {
  const commits = model.allCommits();
  const chosen = commits[Math.floor(place * commits.length)];
  if (chosen === undefined || timeline.lastRecordLsn < model.lastLsn) return;
  const found = await reads.lsnByTimestamp(BigInt(chosen.micros), context);
  const later = commits[commits.indexOf(chosen) + 1];
  if (found.kind === 'future' && later !== undefined) mismatch(model, found.lsn, 'a commit is later');
  if (found.kind !== 'present') return;
  const isAtEnd = later === undefined || found.lsn + 8 === later.endLsn;
  if (!isAtEnd || found.lsn < chosen.endLsn)
    mismatch(model, found.lsn, `the moment of ${chosen.endLsn} is not before ${later?.endLsn}`);
}
