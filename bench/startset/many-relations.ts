import { join } from 'node:path';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { RM_SMGR } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_SMGR_CREATE } from '../../src/postgres/rmgr/smgr.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { feedWal } from '../../test/support/storage-world.ts';

const FIRST_RELATION = 100_000;
const DATABASE = 5;
const TABLESPACE = 1663;
const RECORDS_A_PIECE = 2000;

/** Relations as CREATE TABLE makes them, without anything else: their WAL behind that of a cluster that was just made. */
export async function createRelations(
  active: ActiveTimeline,
  dataDirectory: string,
  count: number,
): Promise<void> {
  const { timeline } = active;
  await feedWal(active, join(dataDirectory, 'pg_wal'));
  const intake = await TimelineIntake.start(timeline);
  const writer = new WalWriter({
    version: timeline.version,
    systemIdentifier: timeline.systemIdentifier,
    timelineId: 1,
    segmentBytes: timeline.walSegmentBytes,
    startLsn: timeline.lastRecordLsn,
    previousLsn: timeline.previousRecordLsn,
  });
  let given = timeline.lastRecordLsn - writer.baseLsn;
  for (let done = 0; done < count; done += RECORDS_A_PIECE) {
    for (let index = done; index < Math.min(count, done + RECORDS_A_PIECE); index++) {
      writer.append({ resourceManager: RM_SMGR, info: XLOG_SMGR_CREATE, mainData: createData(index) });
    }
    const bytes = writer.take();
    await intake.take(bytes.subarray(given));
    given = bytes.length;
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
