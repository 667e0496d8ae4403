import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import type { ClientConnection } from '../../src/libpq/client/client-connection.ts';
import { XLOG_DATA_TAG, XLogData } from '../../src/postgres/wire/replication-messages.ts';
import { drawRecordBytes, makeWal, TEST_SEGMENT_BYTES } from '../support/safekeeper-wal.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { connectToSafekeeper } from '../support/wal-pusher.ts';
import { KEY, START_LSN, signal, TENANT, TestSafekeeper, TIMELINE } from './running-safekeeper.ts';

const WAL = makeWal({
  startLsn: START_LSN,
  recordBytes: drawRecordBytes(new SeededRandom(3), 2.2 * TEST_SEGMENT_BYTES),
});
const END = WAL.ends.at(-1) as Lsn;
const IMPATIENT = { partialBackupTimeoutMs: 0, evictionMinResidentMs: 0, idleTimeoutMs: 0 };
const soon = { timeout: 15_000, interval: 20 };

/** Streams from the beginning until all has come, and stays connected. */
async function readAll(safekeeper: TestSafekeeper): Promise<{ client: ClientConnection; bytes: Uint8Array }> {
  const address = safekeeper.service.addresses.pg;
  const client = await connectToSafekeeper({ address, tenantId: TENANT, timelineId: TIMELINE });
  const bytes = new Uint8Array(END - START_LSN);
  const done = Promise.withResolvers<void>();
  let position: number = START_LSN;
  const data = new XLogData();
  await client.copyBoth(`START_REPLICATION PHYSICAL ${formatLsn(START_LSN)}`, {
    onCopyData: (body, offset, length, view) => {
      if (body[offset] !== XLOG_DATA_TAG) return;
      data.read(view, offset, length);
      expect(data.startLsn).toBe(position);
      bytes.set(body.subarray(data.dataOffset, data.dataOffset + data.dataLength), position - START_LSN);
      position += data.dataLength;
      if (position === END) done.resolve();
    },
    onCopyEnd: (end) => done.reject(new Error(`the stream has ended: ${end.kind}`)),
  });
  await done.promise;
  return { client, bytes };
}

test('a safekeeper evicts what nobody uses, and serves it from the bucket to who comes', async () => {
  const bucket = await mkdtemp(join(tmpdir(), 'varve-bucket-'));
  try {
    await using safekeeper = await TestSafekeeper.start({
      objectStore: { kind: 'directory', path: bucket },
      upkeep: IMPATIENT,
    });
    await safekeeper.fill(WAL);
    const directory = join(safekeeper.directory, TENANT, TIMELINE);
    const isEvicted = async (): Promise<void> => {
      expect((await readdir(directory)).filter((name) => name !== 'safekeeper.control')).toEqual([]);
    };
    await vi.waitFor(isEvicted, soon);
    const objects = (await readdir(join(bucket, TENANT, TIMELINE))).length;
    expect(objects).toBe(4);

    const { client, bytes } = await readAll(safekeeper);
    expect(Buffer.compare(bytes, WAL.bytes)).toBe(0);
    expect((await readdir(directory)).filter((name) => name.endsWith('.partial')).length).toBe(1);
    await client.close();
    await vi.waitFor(isEvicted, soon);

    await safekeeper.restart();
    const again = await readAll(safekeeper);
    expect(Buffer.compare(again.bytes, WAL.bytes)).toBe(0);
    await again.client.close();
    await safekeeper.client().deleteTimeline(KEY, { isLocalOnly: false }, signal());
    expect(await readdir(join(bucket, TENANT, TIMELINE))).toEqual([]);
  } finally {
    await rm(bucket, { recursive: true });
  }
}, 60_000);
