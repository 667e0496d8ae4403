// PostgreSQL's own reader accepts what our writer makes: a server starts on WAL of which we have written every byte.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toLsn } from '../../src/base/lsn.ts';
import { giveTo } from '../../src/io/node/unprivileged-account.ts';
import { CHECKPOINT_BYTES, encodeCheckPoint } from '../../src/postgres/files/checkpoint.ts';
import {
  CONTROL_FILE_PATH,
  decodeControlFile,
  encodeControlFile,
} from '../../src/postgres/files/control-file.ts';
import { RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { WAL_PAGE_BYTES, writeWalPageHeader } from '../../src/postgres/wal/page-header.ts';
import { formatSegmentName, isSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { StockPostgres } from '../support/stock-postgres.ts';

const XLOG_CHECKPOINT_SHUTDOWN = 0x00;
const SEGMENT_BYTES = 1024 * 1024;
/** Header 24, fragment header 2, CheckPoint 88. */
const RECORD_BYTES = 24 + 2 + CHECKPOINT_BYTES;

let server: StockPostgres;

beforeAll(async () => {
  server = await StockPostgres.create({ major: 17, segmentSizeMiB: 1, settings: { fsync: false } });
  await server.start();
  await server.query('create table kept as select generate_series(1, 1000) as n');
  await server.stop('fast');
}, 60_000);

afterAll(async () => {
  await server.dispose();
});

/** Replaces all WAL by a shutdown checkpoint at the first possible place at or after `from`, and points to it. */
async function writeCheckpoint(from: number): Promise<number> {
  const controlPath = join(server.dataDirectory, CONTROL_FILE_PATH);
  const control = decodeControlFile(POSTGRES_17, readFileSync(controlPath));
  const walDirectory = join(server.dataDirectory, 'pg_wal');
  const page = {
    version: POSTGRES_17,
    timelineId: 1,
    segmentBytes: SEGMENT_BYTES,
    systemIdentifier: control.systemIdentifier,
  };
  const writer = new WalWriter({ ...page, startLsn: from, previousLsn: control.checkPoint });
  const checkPoint = toLsn(writer.nextLsn);
  const body = new Uint8Array(CHECKPOINT_BYTES);
  const copy = { ...control.checkPointCopy, redo: checkPoint };
  encodeCheckPoint(POSTGRES_17, copy, new DataView(body.buffer), 0);
  const written = writer.append({ resourceManager: RM_XLOG, info: XLOG_CHECKPOINT_SHUTDOWN, mainData: body });
  expect(written.startLsn).toBe(checkPoint);
  for (const name of readdirSync(walDirectory)) {
    if (isSegmentName(name)) rmSync(join(walDirectory, name));
  }
  const first = Math.floor(checkPoint / SEGMENT_BYTES);
  const last = Math.floor((written.endLsn - 1) / SEGMENT_BYTES);
  const wal = new Uint8Array((last - first + 1) * SEGMENT_BYTES);
  writeWalPageHeader(new DataView(wal.buffer), 0, {
    ...page,
    pageLsn: first * SEGMENT_BYTES,
    flags: 0,
    remainingLength: 0,
  });
  const bytes = writer.take();
  wal.set(
    bytes.subarray(Math.max(0, first * SEGMENT_BYTES - writer.baseLsn)),
    Math.max(0, writer.baseLsn - first * SEGMENT_BYTES),
  );
  for (let segment = first; segment <= last; segment++) {
    const start = (segment - first) * SEGMENT_BYTES;
    const path = join(walDirectory, formatSegmentName(1, segment, SEGMENT_BYTES));
    writeFileSync(path, wal.subarray(start, start + SEGMENT_BYTES), { mode: 0o600 });
    await giveTo(server.account, path);
  }
  writeFileSync(
    controlPath,
    encodeControlFile(POSTGRES_17, { ...control, checkPoint, checkPointCopy: copy }),
  );
  return checkPoint;
}

const places: [string, (end: number) => number][] = [
  ['right after the last record', (end) => end],
  ['at a page boundary', (end) => end + WAL_PAGE_BYTES - (end % WAL_PAGE_BYTES)],
  ['with its header cut by a page', (end) => end + 2 * WAL_PAGE_BYTES - (end % WAL_PAGE_BYTES) - 16],
  ['with its body cut by a page', (end) => end + 2 * WAL_PAGE_BYTES - (end % WAL_PAGE_BYTES) - 64],
  ['cut by a segment', (end) => end + 2 * SEGMENT_BYTES - (end % SEGMENT_BYTES) - 40],
  ['at a segment boundary', (end) => end + SEGMENT_BYTES - (end % SEGMENT_BYTES)],
];

test.each(places)('a server starts on a checkpoint that we wrote %s', async (_name, place) => {
  const control = decodeControlFile(POSTGRES_17, readFileSync(join(server.dataDirectory, CONTROL_FILE_PATH)));
  const checkPoint = await writeCheckpoint(place(control.checkPoint + RECORD_BYTES + 6));
  await server.start();
  const [row] = await server.query<{ sum: string; lsn: string }>(
    "select (select sum(n) from kept) as sum, checkpoint_lsn - '0/0' as lsn from pg_control_checkpoint()",
  );
  expect(row).toEqual({ sum: '500500', lsn: String(checkPoint) });
  expect(await server.log()).not.toMatch(/redo starts|not properly shut down|PANIC|invalid/);
  await server.query('insert into kept values (0), (0)');
  await server.stop('fast');
});
