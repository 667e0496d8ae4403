import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { toLsn } from '../../src/base/lsn.ts';
import { DirectoryObjects } from '../../src/io/directory-objects.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import { openS3Objects } from '../../src/io/s3/open.ts';
import { BucketReader } from '../../src/safekeeper/backup/bucket-reader.ts';
import { evict } from '../../src/safekeeper/backup/evict.ts';
import { uploadPartial } from '../../src/safekeeper/backup/partial-backup.ts';
import { firstSegmentToKeep } from '../../src/safekeeper/backup/removal-horizon.ts';
import { planPartial, segmentsToUpload } from '../../src/safekeeper/backup/upload-plan.ts';
import { uploadSegments } from '../../src/safekeeper/backup/upload-segments.ts';
import {
  BackupWorld,
  borderOf,
  END,
  endBelow,
  NODE_ID,
  START,
  TENANT,
  TIMELINE,
  WAL,
} from '../support/backup-world.ts';
import { S3_CREDENTIALS, startS3Server } from '../support/s3-server.ts';
import { TEST_SEGMENT_BYTES } from '../support/safekeeper-wal.ts';

const life = new AbortController().signal;

async function listKeys(objects: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list('', life)) keys.push(key);
  return keys;
}

/** Reads as a sender does, from the beginning of the timeline's first segment. */
async function readAll(world: BackupWorld, objects: ObjectStore): Promise<Uint8Array> {
  using resident = await world.timeline.stay('wal');
  const reader = new BucketReader(objects, life);
  const first = borderOf(0);
  const end = resident.acceptor.acceptor.commitLsn;
  const bytes = new Uint8Array(end - first);
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(128 * 1024, bytes.length - at);
    const count = await reader.read(resident, bytes, at, length, toLsn(first + at));
    expect(count).toBeGreaterThan(0);
    at += count;
  }
  return bytes.subarray(START - first);
}

async function upload(world: BackupWorld): Promise<void> {
  using resident = await world.timeline.stay('wal');
  const { acceptor } = resident.acceptor;
  const view = (): Parameters<typeof planPartial>[0] => ({
    nodeId: NODE_ID,
    persistent: acceptor.persistent,
    position: { term: acceptor.lastLogTerm, flushLsn: acceptor.flushLsn, commitLsn: acceptor.commitLsn },
    hasLocalWal: true,
    unchangedMs: 1,
    timeoutMs: 0,
  });
  for (;;) {
    const range = segmentsToUpload(acceptor.backupLsn, acceptor.commitLsn, TEST_SEGMENT_BYTES);
    if (range === undefined) break;
    await uploadSegments(resident, range, world.backup, life);
  }
  const plan = planPartial(view());
  if (plan.kind === 'upload') await uploadPartial(resident, plan.segment, world.backup, life);
}

const isSame = (bytes: Uint8Array, length: number): boolean =>
  Buffer.compare(bytes, WAL.bytes.subarray(0, length)) === 0;

/** The whole way of WAL, with a directory on the machine's disk. */
async function goTheWholeWay(objects: ObjectStore): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-backup-'));
  try {
    const doors = { files: nodeFiles, clock: nodeClock, directory, objects };
    const middle = endBelow(borderOf(3) + 300_000);
    await using world = await BackupWorld.open(doors);
    await world.feed(middle);
    await upload(world);
    expect(world.acceptor.persistent.backupLsn).toBe(borderOf(3));
    expect((await listKeys(objects)).length).toBe(4);

    using resident = await world.timeline.stay('wal');
    await resident.acceptor.run((acceptor) => acceptor.save());
    const { persistent, flushLsn } = world.acceptor;
    const kept = firstSegmentToKeep({
      persistent,
      flushLsn,
      hasObjectStore: true,
      slowestReaderLsn: undefined,
    });
    expect(await resident.acceptor.wal?.removeSegmentsBelow(kept)).toBe(3);
    expect(isSame(await readAll(world, objects), middle - START)).toBe(true);
    resident[Symbol.dispose]();

    expect(await evict(world.timeline, world.backup, life)).toBe(true);
    expect(await nodeFiles.list(world.timeline.directory)).toEqual(['safekeeper.control']);
    expect(isSame(await readAll(world, objects), middle - START)).toBe(true);
    expect(world.acceptor.persistent.evictedAtLsn).toBe(undefined);

    await world.feed(END);
    await upload(world);
    expect(isSame(await readAll(world, objects), END - START)).toBe(true);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('WAL goes to a directory, is trimmed, served, evicted, brought back, and goes on', async () => {
  const root = await mkdtemp(join(tmpdir(), 'varve-bucket-'));
  try {
    const objects = await DirectoryObjects.open(
      { files: nodeFiles, clock: nodeClock, random: nodeRandom },
      root,
    );
    await goTheWholeWay(objects);
    const prefix = `${TENANT}/${TIMELINE}/`;
    expect((await listKeys(objects)).every((key) => key.startsWith(prefix))).toBe(true);
  } finally {
    await rm(root, { recursive: true });
  }
});

test('WAL goes to S3, is trimmed, served, evicted, brought back, and goes on', async () => {
  await using server = await startS3Server();
  const { endpoint, bucket } = server;
  const location = {
    kind: 's3',
    bucket,
    prefix: 'wal',
    endpoint,
    region: undefined,
    isPathStyle: true,
  } as const;
  const objects = await openS3Objects(location, {
    clock: nodeClock,
    random: nodeRandom,
    credentials: S3_CREDENTIALS,
  });
  try {
    await goTheWholeWay(objects);
  } finally {
    objects.close();
  }
});
