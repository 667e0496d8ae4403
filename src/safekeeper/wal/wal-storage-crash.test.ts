import { expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import {
  drawRecordBytes,
  type MadeWal,
  makeWal,
  TEST_SEGMENT_BYTES,
  TEST_SYSTEM,
} from '../../../test/support/safekeeper-wal.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { VarveError } from '../../base/errors.ts';
import { INVALID_LSN, type Lsn, toLsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import { POSTGRES_17 } from '../../postgres/versions/version.ts';
import { firstRecordPosition } from '../../postgres/wal/page-header.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WalWorkspace } from '../../postgres/wal/workspace.ts';
import { WalStorage } from './wal-storage.ts';

const DIRECTORY = '/tenant/timeline';
const START = toLsn(0x100_0000 + TEST_SEGMENT_BYTES - 200_000);
const workspace = new WalWorkspace();

/** All logs have records of the same lengths: a stale record of one fits into another by position and back link. */
const RECORD_BYTES = drawRecordBytes(new SeededRandom(1), TEST_SEGMENT_BYTES + 500_000);
const FIRST = makeWal({ startLsn: START, recordBytes: RECORD_BYTES });
const ENDS: readonly Lsn[] = [START, ...FIRST.ends];

/** A log like this one up to a record end, and with other records behind it. */
function branch(log: Uint8Array, cut: Lsn, seed: number): Uint8Array {
  const index = ENDS.indexOf(cut);
  if (index === ENDS.length - 1) return log;
  const previousLsn =
    index === 0 ? START - 64 : firstRecordPosition(ENDS[index - 1] as number, TEST_SEGMENT_BYTES);
  const rest = makeWal({ startLsn: cut, recordBytes: RECORD_BYTES.slice(index), seed, previousLsn });
  return new Uint8Array(Buffer.concat([log.subarray(0, cut - START), rest.bytes]));
}

/** What outlives the safekeeper: what it has promised, and what it was told. */
interface World {
  log: Uint8Array;
  isInitialized: boolean;
  /** What it has said is flushed. */
  flushedLsn: Lsn;
  /** As its control file has it. */
  commitLsn: Lsn;
  readonly random: SeededRandom;
  /** To see that all of it has been tried. */
  readonly seen: Map<string, number>;
}

function see(world: World, what: string): void {
  world.seen.set(what, (world.seen.get(what) ?? 0) + 1);
}

function open(files: Files, commitLsn: Lsn): Promise<WalStorage> {
  return WalStorage.open({
    files,
    directory: DIRECTORY,
    version: POSTGRES_17,
    segmentBytes: TEST_SEGMENT_BYTES,
    systemIdentifier: TEST_SYSTEM,
    commitLsn,
    timelineStartLsn: START,
    localStartLsn: START,
    workspace,
  });
}

/** Whether what is found is what was promised, and nothing that was never written. */
async function check(world: World, storage: WalStorage): Promise<void> {
  const { flushLsn } = storage;
  if (flushLsn === 0 && !world.isInitialized) return;
  if (flushLsn < world.flushedLsn) throw new Error(`${flushLsn} is found, ${world.flushedLsn} was flushed`);
  if (!ENDS.includes(flushLsn)) throw new Error(`no record ends at ${flushLsn}`);
  const oldest = (storage.oldestLocalSegment as number) * TEST_SEGMENT_BYTES;
  const target = new Uint8Array(TEST_SEGMENT_BYTES);
  for (let at: number = Math.max(START, oldest); at < flushLsn; ) {
    const count = await storage.read(target, 0, target.length, toLsn(at));
    const wanted = world.log.subarray(at - START, at - START + count);
    if (Buffer.compare(target.subarray(0, count), wanted) !== 0) throw new Error(`other bytes behind ${at}`);
    at += count;
  }
}

async function writeSome(world: World, storage: WalStorage): Promise<void> {
  const { random } = world;
  for (;;) {
    const { writeLsn } = storage;
    const left = START + world.log.length - writeLsn;
    if (left === 0 || random.chance(0.01)) break;
    const draw = random.chance(0.1) ? random.below(200_000) : random.below(3000);
    await storage.write(writeLsn, world.log, writeLsn - START, Math.min(left, draw));
    if (random.chance(0.3)) await storage.flush();
    if (random.chance(0.02)) await storage.sleep();
    // A segment's border flushes too.
    world.flushedLsn = storage.flushLsn;
    if (!random.chance(0.05)) continue;
    world.commitLsn = storage.flushLsn;
    const segment = segmentNumber(world.commitLsn, TEST_SEGMENT_BYTES);
    if ((await storage.removeSegmentsBelow(segment)) > 0) see(world, 'removed');
  }
}

/** Opens, checks, cuts and writes. */
async function useStorage(world: World, files: Files): Promise<void> {
  const { random } = world;
  await using storage = await open(files, world.commitLsn);
  await check(world, storage);
  see(world, 'opened');
  // What is found is told to others at once.
  world.flushedLsn = storage.flushLsn;
  try {
    if (storage.writeLsn === 0) {
      await storage.initialize(START, TEST_SYSTEM);
      world.isInitialized = true;
      world.flushedLsn = START;
    }
    const least = world.commitLsn === 0 ? START : world.commitLsn;
    const possible = ENDS.filter((end) => end >= least && end <= storage.recordLsn);
    // Mostly not far back, or WAL would never get anywhere.
    const cut = possible[random.chance(0.7) ? possible.length - 1 : random.below(possible.length)] as Lsn;
    if (cut < world.flushedLsn) world.flushedLsn = cut;
    if (cut < storage.flushLsn) see(world, 'cut');
    await storage.truncate(cut);
    world.log = branch(world.log, cut, random.next());
    await writeSome(world, storage);
  } catch (error) {
    const again = await storage.flush().catch((reason: unknown) => reason);
    if (storage.isDirty) expect((again as VarveError).code).toBe('WAL_STORAGE_FAILED');
    throw error;
  }
}

/** Does so over and over, whatever fails of the disk. */
async function live(world: World, files: Files): Promise<void> {
  for (let round = 0; round < 4; round++) {
    try {
      await useStorage(world, files);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind !== 'unavailable') throw error;
      see(world, 'failed');
    }
  }
}

test('whatever is lost in crashes, what was flushed is found, and nothing else', async () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 40; seed++) {
    const kernel = new Kernel(seed);
    const random = new SeededRandom(seed);
    const node = kernel.addNode('safekeeper');
    node.disk.provideDirectory(DIRECTORY);
    const world: World = {
      log: FIRST.bytes,
      isInitialized: false,
      flushedLsn: INVALID_LSN,
      commitLsn: INVALID_LSN,
      random,
      seen,
    };
    for (let life = 0; life < 8; life++) {
      node.start(({ files }) => live(world, files));
      node.disk.faults.failChance.sync = random.chance(0.3) ? 0.02 : 0;
      node.disk.faults.failChance.write = random.chance(0.2) ? 0.005 : 0;
      const effects = 1 + random.below(random.chance(0.5) ? 30 : 600);
      const kind = random.chance(0.75) ? 'power' : 'kill';
      node.crashAtEffect(effects, random.pick(['before', 'middle', 'after']), { kind });
      await kernel.run().catch((error: unknown) => {
        throw new Error(`seed ${seed}, life ${life}`, { cause: error });
      });
      if (!node.isAlive) see(world, 'crashed');
      node.crash({ kind: 'power' });
    }
  }
  for (const what of ['opened', 'crashed', 'failed', 'cut', 'removed']) {
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(20);
  }
});

test('each step of making the first segment, of a border and of a cut can be the last', async () => {
  const border = toLsn(0x100_0000 + TEST_SEGMENT_BYTES);
  const cut = ENDS.findLast((end) => end < border - 1000) as Lsn;
  for (const moment of ['before', 'middle', 'after'] as const) {
    for (let effect = 1; effect <= 40; effect++) {
      const kernel = new Kernel(effect);
      const node = kernel.addNode('safekeeper');
      node.disk.provideDirectory(DIRECTORY);
      let flushed: Lsn = INVALID_LSN;
      let isDone = false;
      const main = async ({ files }: { files: Files }): Promise<void> => {
        const storage = await open(files, INVALID_LSN);
        if (storage.writeLsn === 0) {
          await storage.initialize(START, TEST_SYSTEM);
          flushed = START;
        }
        await storage.truncate(storage.flushLsn);
        while (storage.writeLsn < border + 100_000) {
          const { writeLsn } = storage;
          await storage.write(writeLsn, FIRST.bytes, writeLsn - START, 60_000);
          flushed = storage.flushLsn;
        }
        await storage.flush();
        flushed = cut;
        await storage.truncate(cut);
        isDone = true;
      };
      node.start(main);
      node.crashAtEffect(effect, moment, { kind: 'power' });
      await kernel.run();
      if (isDone) break;
      expect(node.isAlive, 'more effects than steps').toBe(false);
      node.start(async ({ files }) => {
        const storage = await open(files, INVALID_LSN);
        expect(storage.flushLsn).toBeGreaterThanOrEqual(flushed);
        if (storage.writeLsn === 0) return;
        const { flushLsn } = storage;
        expect(ENDS).toContain(flushLsn);
        await storage.truncate(flushLsn);
        expect((await files.list(DIRECTORY)).filter((name) => name.endsWith('.partial')).length).toBe(1);
      });
      await kernel.run();
      node.crash();
    }
  }
});

/** Runs one life after another on one disk, each ended by a loss of all that is not durable, or by what `ends` says. */
async function liveThrough(
  lives: readonly ((files: Files) => Promise<void>)[],
  ends: readonly ('kill' | 'power')[] = [],
): Promise<void> {
  const kernel = new Kernel(3);
  const node = kernel.addNode('safekeeper');
  node.disk.provideDirectory(DIRECTORY);
  for (const [index, life] of lives.entries()) {
    node.start(({ files }) => life(files));
    await kernel.run();
    node.crash({ kind: ends[index] ?? 'power', survival: 'nothing' });
  }
}

async function writeTo(storage: WalStorage, wal: MadeWal, endLsn: number): Promise<void> {
  while (storage.writeLsn < endLsn) {
    const { writeLsn } = storage;
    await storage.write(writeLsn, wal.bytes, writeLsn - wal.startLsn, Math.min(60_000, endLsn - writeLsn));
  }
}

test('the names of new segments are durable before anything in them is flushed', async () => {
  const beforeSwitch = makeWal({ startLsn: START, recordBytes: [100, 200], endsWithSwitch: true });
  const border = beforeSwitch.ends.at(-1) as Lsn;
  const { previousLsn } = beforeSwitch;
  const next = makeWal({ startLsn: border, recordBytes: [300, 400], previousLsn });
  const end = next.ends.at(-1) as Lsn;
  await liveThrough([
    async (files) => {
      const storage = await open(files, INVALID_LSN);
      await storage.initialize(START, TEST_SYSTEM);
      await writeTo(storage, beforeSwitch, border);
      await writeTo(storage, next, end);
      await storage.flush();
    },
    // The segment behind the border goes, and is made once more by the next write.
    async (files) => {
      const storage = await open(files, INVALID_LSN);
      expect(storage.flushLsn).toBe(end);
      await storage.truncate(border);
      await writeTo(storage, next, end);
      await storage.flush();
    },
    async (files) => {
      const storage = await open(files, INVALID_LSN);
      expect(storage.flushLsn).toBe(end);
    },
  ]);
});

test('what a process has written that was killed before its sync is durable once it has been found', async () => {
  const end = ENDS.findLast((lsn) => lsn < START + 50_000) as Lsn;
  await liveThrough(
    [
      async (files) => {
        const storage = await open(files, INVALID_LSN);
        await storage.initialize(START, TEST_SYSTEM);
        await writeTo(storage, FIRST, end);
      },
      async (files) => {
        expect((await open(files, INVALID_LSN)).flushLsn).toBe(end);
      },
      async (files) => {
        expect((await open(files, INVALID_LSN)).flushLsn).toBe(end);
      },
    ],
    ['kill', 'power'],
  );
});

test('a full disk is an error that passes: nothing is promised, and a new storage goes on', async () => {
  const kernel = new Kernel(9);
  const node = kernel.addNode('safekeeper');
  node.disk.provideDirectory(DIRECTORY);
  const { files } = node.start(() => undefined).doors;
  await kernel.perform(async () => {
    const storage = await open(files, INVALID_LSN);
    await storage.initialize(START, TEST_SYSTEM);
    const write = async (target: WalStorage): Promise<void> => {
      const { writeLsn } = target;
      const left = START + FIRST.bytes.length - writeLsn;
      await target.write(writeLsn, FIRST.bytes, writeLsn - START, Math.min(left, 1000));
    };
    await write(storage);
    await storage.flush();
    node.disk.capacityBytes = node.disk.usedBytes + 200_000;
    let error: unknown;
    while (error === undefined) {
      await write(storage).catch((reason: unknown) => {
        error = reason;
      });
    }
    expect(error).toMatchObject({ kind: 'unavailable', code: 'FILE_IO' });
    const { flushLsn } = storage;
    const failed = { kind: 'unavailable', code: 'WAL_STORAGE_FAILED' };
    await expect(storage.flush()).rejects.toMatchObject(failed);
    await expect(storage.truncate(flushLsn)).rejects.toMatchObject(failed);
    await expect(storage.read(new Uint8Array(9), 0, 9, START)).rejects.toMatchObject(failed);
    await expect(write(storage)).rejects.toMatchObject(failed);
    expect(storage.flushLsn).toBe(flushLsn);
    await storage.close();
    node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    const again = await open(files, flushLsn);
    expect(again.flushLsn).toBeGreaterThanOrEqual(flushLsn);
    await again.truncate(again.flushLsn);
    while (again.writeLsn < START + FIRST.bytes.length) await write(again);
    await again.flush();
    expect(again.flushLsn).toBe(ENDS.at(-1));
    await again.close();
  });
});
