import { join } from 'node:path';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { RM_SMGR, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_SMGR_CREATE } from '../../src/postgres/rmgr/smgr.ts';
import { XLOG_FPI } from '../../src/postgres/rmgr/xlog.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import type { ImageToWrite, RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { feedWal } from '../../test/support/storage-world.ts';

const FIRST_RELATION = 100_000;
const DATABASE = 5;
const TABLESPACE = 1663;
const RECORDS_A_PIECE = 2000;
/** All behind it is a hole: so a block costs as little WAL as may be. */
const PAGE_HEADER_BYTES = 24;

/** Relations as CREATE TABLE makes them, without anything else: their WAL behind that of a cluster that was just made. */
export async function createRelations(
  active: ActiveTimeline,
  dataDirectory: string,
  count: number,
): Promise<void> {
  await feedWal(active, join(dataDirectory, 'pg_wal'));
  await takeRecords(active, count, (index) => ({
    resourceManager: RM_SMGR,
    info: XLOG_SMGR_CREATE,
    mainData: createData(index),
  }));
}

/** Makes the first of these relations so many blocks long, one after another: its size has a value for each. */
export async function growRelation(active: ActiveTimeline, blocks: number): Promise<void> {
  const { imageHasHole, imageApply } = active.timeline.version;
  const image: ImageToWrite = {
    bytes: new Uint8Array(PAGE_HEADER_BYTES),
    holeOffset: PAGE_HEADER_BYTES,
    holeLength: BLOCK_BYTES - PAGE_HEADER_BYTES,
    imageInfo: imageHasHole | imageApply,
    compressed: false,
  };
  const place = { blockId: 0, tablespace: TABLESPACE, database: DATABASE, relation: FIRST_RELATION };
  await takeRecords(active, blocks, (blockNumber) => ({
    resourceManager: RM_XLOG,
    info: XLOG_FPI,
    blocks: [{ ...place, blockNumber, image }],
  }));
}

/** Takes records in behind the last one. */
async function takeRecords(
  active: ActiveTimeline,
  count: number,
  makeRecord: (index: number) => RecordToWrite,
): Promise<void> {
  const { timeline } = active;
  const intake = await TimelineIntake.start(timeline);
  const { version, systemIdentifier, walSegmentBytes } = timeline;
  let { lastRecordLsn: startLsn, previousRecordLsn: previousLsn } = timeline;
  for (let done = 0; done < count; done += RECORDS_A_PIECE) {
    const writer = new WalWriter({
      version,
      systemIdentifier,
      timelineId: 1,
      segmentBytes: walSegmentBytes,
      startLsn,
      previousLsn,
    });
    const given = startLsn - writer.baseLsn;
    for (let index = done; index < Math.min(count, done + RECORDS_A_PIECE); index++) {
      writer.append(makeRecord(index));
    }
    await intake.take(writer.take().subarray(given));
    startLsn = writer.position;
    previousLsn = writer.previousLsn;
  }
}

/** xl_smgr_create: where, and which fork. */
function createData(index: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, TABLESPACE, true);
  view.setUint32(4, DATABASE, true);
  view.setUint32(8, FIRST_RELATION + index, true);
  return bytes;
}
