import { existsSync, readFileSync } from 'node:fs';
import { MemoryObjects } from '../../src/io/memory-objects.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { PageserverBed, takeWal } from '../support/pageserver-bed.ts';
import type { Recording } from '../support/recording.ts';
import { READ } from './read-bed.ts';

/** What WAL costs on the disk, with a history of an eighth of it. */
export interface StorageCost {
  readonly walBytes: number;
  /** Of all relations, at the end. */
  readonly liveBytes: number;
  /** Of layer files, when all is tidied up; and how many. */
  readonly storedBytes: number;
  readonly layers: number;
  /** By all threads, open layers included. Undefined where the system does not say. */
  readonly writtenBytes: number | undefined;
}

const PARTS = 8;

export async function measureStorageCost(recording: Recording): Promise<StorageCost> {
  const wal = recording.readWal();
  const part = Math.ceil(wal.length / PARTS);
  const settings = {
    openLayerBytes: part,
    targetBytes: part,
    compactionThreshold: 3,
    imageThreshold: 3,
    bottomThreshold: 3,
    historyBytes: part,
    historyMs: 0,
  };
  // What goes to the bucket is not written to this disk.
  await using bed = await PageserverBed.open({ settings, objects: new MemoryObjects(nodeClock) });
  const active = await bed.importRecording(recording);
  const { timeline, reads, upkeep } = active;
  const before = writtenBytes();
  const walBytes = await takeWal(active, recording, wal);
  await timeline.flush();
  await timeline.remote.waitForUploads(READ.signal);
  upkeep.trigger();
  await upkeep.settled();
  const after = writtenBytes();
  const layers = [...timeline.layers];
  return {
    walBytes,
    liveBytes: await reads.logicalSize(timeline.lastRecordLsn, READ),
    storedBytes: layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    layers: layers.length,
    writtenBytes: before === undefined || after === undefined ? undefined : after - before,
  };
}

const IO_FILE = '/proc/self/io';

/** By this process, through any system call. */
function writtenBytes(): number | undefined {
  if (!existsSync(IO_FILE)) return undefined;
  const match = /^wchar: (\d+)$/m.exec(readFileSync(IO_FILE, 'utf8'));
  return match === null ? undefined : Number(match[1]);
}
