// Blocks that are given back, and read again: the shim's evictor against readers, writers and those who cut.
import { constants, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import type { GivePermission, GiveReport } from '../../src/compute/lazy/shim-connection.ts';
import { forkOf, hasCompiler, ShimWorld, type Worker } from '../shim/shim-world.ts';

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC } = constants;
/** Of the worker's ledger. */
const CLOCK_OFFSET = 4096 * 4;
const MOVE_MS = 100;
const MIB = 1024 * 1024;
/** A worker's page has its relation as the high half of its LSN, and its block as the low one. */
const lsnOf = (relation: number, block: number): Lsn => (relation * 2 ** 32 + block) as Lsn;
const PG_CLASS = 1259;
const ALL: Lsn = lsnOf(0xffff, 0);
const BY_BLOCK = (_relation: number, block: number): number => block;
const CHECKSUMS = { hasChecksums: true };

/** An evictor that gives back what it is let. */
class Evictor {
  lsn: () => Lsn = () => ALL;
  /** Of each permission. */
  giveBytes = 0;
  /** Of the next one alone. */
  #onceBytes = 0;
  isPressed = true;
  readonly reports: GiveReport[] = [];
  readonly #process: Worker;

  constructor(world: ShimWorld) {
    world.lazy.answerEvictor(async (report): Promise<GivePermission> => {
      this.reports.push(report);
      const giveBytes = this.giveBytes + this.#onceBytes;
      this.#onceBytes = 0;
      const { isPressed } = this;
      return { lsn: this.lsn(), giveBytes, wakeBytes: isPressed ? 1024 : 1024 * MIB, isPressed };
    });
    this.#process = world.start(world.lazy.evictorEnvironment);
  }

  get errors(): string {
    return this.#process.errors;
  }

  /** Of all processors. */
  get usedMs(): number {
    const fields = readFileSync(`/proc/${this.#process.child.pid}/stat`, 'latin1').split(') ')[1]?.split(' ');
    const [user, system] = fields?.slice(11, 13).map(Number) ?? [];
    return ((user as number) + (system as number)) * 10;
  }

  get givenBlocks(): number {
    return this.reports.reduce((sum, { givenBytes }) => sum + givenBytes / 8192, 0);
  }

  /** A sweep that has begun from here on is over, and as many others. */
  async sweeps(count = 2): Promise<void> {
    const until = this.reports.length + count + 1;
    while (this.reports.length < until) await delay(2);
  }

  async giveOnce(blocks: number): Promise<void> {
    this.#onceBytes = blocks * 8192;
    await this.sweeps(1);
  }

  /** Gives back all that may go, and then nothing more. */
  async giveAll(): Promise<void> {
    this.giveBytes = 1024 * MIB;
    await this.sweeps(3);
    this.giveBytes = 0;
    await this.sweeps(1);
  }
}

/** A relation whose blocks are all written. */
async function written(worker: Worker, relation: number, blocks: number): Promise<number> {
  const file = await worker.number(`open base/5/${relation} ${O_RDWR | O_CREAT}`);
  expect(await worker.number(`fill ${file} ${relation} 0 ${blocks}`)).toBe(blocks);
  return file;
}

/** Storage has what the ledger says. */
function storeLedger(world: ShimWorld, indexOf: (relation: number, block: number) => number): void {
  world.pages.versionOf = (relation, block) =>
    readFileSync(world.ledgerPath).readUInt32LE(indexOf(relation, block) * 4);
}

describe.runIf(hasCompiler)('giving blocks back', () => {
  test('what was read, written or made later goes, and comes again', async () => {
    await using world = await ShimWorld.open(CHECKSUMS);
    storeLedger(world, BY_BLOCK);
    const { versionOf } = world.pages;
    world.pages.versionOf = (relation, block) =>
      relation === 100 && block < 5 ? 0 : versionOf(relation, block);
    await world.lazy.addForks([forkOf(100, 10)]);
    await world.lazy.finishForks();
    const worker = world.start();
    const evictor = new Evictor(world);
    const listed = await worker.number(`open base/5/100 ${O_RDWR}`);
    // Some are of the start, some behind it; some read, some written.
    expect(await worker.ask(`page ${listed} 100 3`)).toBe('version 0');
    expect(await worker.number(`fill ${listed} 100 5 10`)).toBe(10);
    const made = await written(worker, 200, 20);
    expect(await worker.number(`blocks ${made}`)).toBe(20);
    await evictor.giveAll();
    expect(evictor.givenBlocks).toBe(31);
    for (const file of [listed, made]) expect(await worker.number(`blocks ${file}`)).toBe(0);
    expect(await worker.number(`size ${listed}`)).toBe(15 * 8192);
    world.pages.reads.length = 0;
    const second = world.start();
    const other = await second.number(`open base/5/200 ${O_RDONLY}`);
    expect(await second.ask(`page ${other} 200 19`)).toBe('version 1');
    expect(await worker.ask(`page ${made} 200 5`)).toBe('version 2');
    expect(await worker.ask(`page ${listed} 100 3`)).toBe('version 0');
    expect(await worker.ask(`page ${listed} 100 14`)).toBe('version 2');
    expect(world.pages.reads).toEqual([
      { relation: 200, fork: 0, block: 19, count: 1, history: 'given-back' },
      { relation: 200, fork: 0, block: 5, count: 1, history: 'given-back' },
      { relation: 100, fork: 0, block: 3, count: 1, history: 'given-back' },
      { relation: 100, fork: 0, block: 14, count: 1, history: 'given-back' },
    ]);
    // Blocks that were never read are as of the start.
    expect(await worker.ask(`page ${listed} 100 4`)).toBe('version 0');
    expect(world.pages.reads.at(-1)).toEqual({ relation: 100, fork: 0, block: 4, count: 1 });
    expect(await worker.number(`write ${made} 200 7 9`)).toBe(8192);
    expect(await second.ask(`page ${other} 200 7`)).toBe('version 9');
    expect(evictor.errors).toBe('');
    expect(world.failures).toEqual([]);
  });

  test('what storage may not have, or has otherwise, stays', async () => {
    await using world = await ShimWorld.open(CHECKSUMS);
    await world.lazy.addForks([
      ...[forkOf(100, 4), forkOf(100, 2, 2)],
      forkOf(101, 4, 0, 3),
      forkOf(101, 4, 3),
    ]);
    await world.lazy.finishForks();
    const worker = world.start();
    const evictor = new Evictor(world);
    // As of an LSN below that of block 2.
    evictor.lsn = () => lsnOf(200, 1);
    const late = await written(worker, 200, 4);
    const map = await worker.number(`open base/5/100_vm ${O_RDWR}`);
    expect(await worker.ask(`page ${map} 100 1`)).toBe('version 0');
    const unlogged = await worker.number(`open base/5/101 ${O_RDWR}`);
    expect(await worker.ask(`page ${unlogged} 101 1`)).toBe('version 0');
    const reset = await written(worker, 150, 4);
    const init = await worker.number(`open base/5/150_init ${O_RDWR | O_CREAT}`);
    expect(await worker.number(`write ${init} 150 0 1`)).toBe(8192);
    const space = await worker.number(`open base/5/160_fsm ${O_RDWR | O_CREAT}`);
    expect(await worker.number(`write ${space} 160 0 1`)).toBe(8192);
    // A page of an LSN that no record has, and one of zeros.
    const building = await worker.number(`open base/5/170 ${O_RDWR | O_CREAT}`);
    expect(await worker.number(`write ${building} 0 5 1`)).toBe(8192);
    expect(await worker.number(`part ${building} 0`)).toBe(4);
    const copy = await worker.number(`open base/5/180 ${O_RDWR | O_CREAT}`);
    expect(await worker.number(`copied ${copy} 180 0 1`)).toBe(8192);
    const streamed = await written(worker, 190, 2);
    expect(await worker.ask('stream base/5/190 190')).toBe('0?');
    await evictor.giveAll();
    expect(evictor.givenBlocks).toBe(2);
    expect(evictor.reports.some(({ isShort, isBehind }) => isShort && isBehind)).toBe(true);
    const kept = { late: 2, map: 1, unlogged: 1, reset: 4, init: 1, space: 1, copy: 1, streamed: 2 };
    const files = { late, map, unlogged, reset, init, space, copy, streamed };
    for (const [name, blocks] of Object.entries(kept))
      expect([name, await worker.number(`blocks ${files[name as keyof typeof files]}`)]).toEqual([
        name,
        blocks,
      ]);
    expect(await worker.number(`blocks ${building}`)).toBeGreaterThan(0);
    evictor.lsn = () => ALL;
    await evictor.giveAll();
    expect(await worker.number(`blocks ${late}`)).toBe(0);
    expect(evictor.givenBlocks).toBe(4);
  });

  test('what was used since the hand has passed stays for a turn', async () => {
    await using world = await ShimWorld.open(CHECKSUMS);
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await written(worker, 200, 40);
    storeLedger(world, BY_BLOCK);
    const evictor = new Evictor(world);
    await evictor.giveOnce(8);
    // A turn to see that all were used, and another one for as many as were asked for.
    expect(await worker.number(`blocks ${file}`)).toBe(32);
    for (let block = 8; block < 24; block++)
      expect(await worker.ask(`page ${file} 200 ${block}`)).toBe('version 1');
    expect(world.pages.reads).toEqual([]);
    await evictor.giveOnce(8);
    expect(await worker.number(`blocks ${file}`)).toBe(24);
    for (let block = 8; block < 24; block++)
      expect(await worker.ask(`page ${file} 200 ${block}`)).toBe('version 1');
    expect(world.pages.reads).toEqual([]);
  });

  test('what is cut off or removed does not come back', async () => {
    await using world = await ShimWorld.open(CHECKSUMS);
    storeLedger(world, BY_BLOCK);
    await world.lazy.addForks([forkOf(100, 8)]);
    await world.lazy.finishForks();
    const worker = world.start();
    const evictor = new Evictor(world);
    for (const relation of [100, 200]) {
      const file = await written(worker, relation, 16);
      await evictor.giveAll();
      expect(await worker.number(`blocks ${file}`)).toBe(0);
      expect(await worker.number(`ftruncate ${file} ${5 * 8192 + 4}`)).toBe(0);
      expect(await worker.number(`ftruncate ${file} ${16 * 8192}`)).toBe(0);
      expect(await worker.number(`word ${file} ${5 * 8192}`)).toBe(relation);
      expect(await worker.number(`word ${file} ${5 * 8192 + 4}`)).toBe(0);
      for (const block of [6, 9, 15])
        expect(await worker.ask(`page ${file} ${relation} ${block}`)).toBe('version -1');
      expect(await worker.ask(`page ${file} ${relation} 4`)).toMatch(/version \d/);
      await evictor.giveAll();
      expect(await worker.number(`truncate base/5/${relation} ${2 * 8192}`)).toBe(0);
      expect(await worker.number(`ftruncate ${file} ${16 * 8192}`)).toBe(0);
      expect(await worker.ask(`page ${file} ${relation} 3`)).toBe('version -1');
      expect(await worker.ask(`page ${file} ${relation} 1`)).toMatch(/version \d/);
      await evictor.giveAll();
      expect(await worker.number(`close ${file}`)).toBe(0);
      expect(await worker.number(`unlink base/5/${relation}`)).toBe(0);
      const again = await worker.number(`open base/5/${relation} ${O_RDWR | O_CREAT | O_EXCL}`);
      expect(await worker.number(`ftruncate ${again} ${16 * 8192}`)).toBe(0);
      for (const block of [0, 1, 9])
        expect(await worker.ask(`page ${again} ${relation} ${block}`)).toBe('version -1');
      expect(await worker.number(`fill ${again} ${relation} 0 16`)).toBe(16);
      await evictor.giveAll();
      expect(await worker.number(`blocks ${again}`)).toBe(0);
      const cut = await worker.number(`open base/5/${relation} ${O_RDWR | O_TRUNC}`);
      expect(await worker.number(`ftruncate ${cut} 8192`)).toBe(0);
      expect(await worker.ask(`page ${cut} ${relation} 0`)).toBe('version -1');
      expect(await worker.number(`rename base/5/${relation} base/5/300`)).toBe(-1);
    }
  });

  test('where nothing happens it rests', async () => {
    await using world = await ShimWorld.open(CHECKSUMS);
    await world.lazy.finishForks();
    const worker = world.start();
    await written(worker, 200, 20);
    const evictor = new Evictor(world);
    await evictor.sweeps(1);
    evictor.isPressed = false;
    await evictor.sweeps(0);
    const before = { usedMs: evictor.usedMs, reports: evictor.reports.length };
    // Longer than it waits for at once.
    await delay(2500);
    expect(evictor.usedMs - before.usedMs).toBeLessThanOrEqual(100);
    expect(evictor.reports.length - before.reports).toBeLessThanOrEqual(1);
    expect(evictor.errors).toBe('');
  });

  test('without an agent it ends, and so does the reader with an error', async () => {
    await using world = await ShimWorld.open(CHECKSUMS);
    await world.lazy.finishForks();
    const worker = world.start();
    const evictor = new Evictor(world);
    const file = await written(worker, 200, 4);
    await evictor.giveAll();
    const process = world.start(world.lazy.evictorEnvironment);
    await world.lazy.close();
    expect(await process.end()).toBe(1);
    expect(await worker.ask(`page ${file} 200 1`)).toBe('-5');
    expect(await worker.number(`write ${file} 200 2 4`)).toBe(8192);
    expect(await worker.ask(`page ${file} 200 2`)).toBe('version 4');
  });

  test('what says that a page is all-visible is not lost without checksums', async () => {
    const FLAGS = 10;
    for (const hasChecksums of [false, true]) {
      await using world = await ShimWorld.open({ hasChecksums });
      storeLedger(world, BY_BLOCK);
      await world.lazy.finishForks();
      const worker = world.start();
      const evictor = new Evictor(world);
      const file = await written(worker, 200, 3);
      // Word 2 of a page is where the flags are in its upper half.
      expect(await worker.number(`flag ${file} ${8192 + FLAGS} 4`)).toBe(1);
      await evictor.giveAll();
      expect(await worker.number(`blocks ${file}`)).toBe(0);
      const flags: number[] = [];
      for (const block of [0, 1, 2])
        flags.push((await worker.number(`word ${file} ${block * 8192 + 8}`)) >>> 16);
      expect(flags).toEqual(hasChecksums ? [0, 0, 0] : [0, 4, 0]);
    }
  });
});

describe.runIf(hasCompiler)('giving blocks back under stress', () => {
  const parse = (line: string): Record<string, number> =>
    Object.fromEntries(
      [...line.matchAll(/(\w+) (\d+)/g)].map(([, name, value]) => [name as string, Number(value)]),
    );

  /** A worker whose pages have LSNs, by the order in which they are written. */
  async function startWithClock(world: ShimWorld): Promise<Worker> {
    const worker = world.start();
    world.pages.hasClock = true;
    await worker.ask('clock 1');
    return worker;
  }

  /** An evictor that never stops. */
  async function stressed(
    world: ShimWorld,
    worker: Worker,
    line: string,
    indexOf: (relation: number, block: number) => number,
  ): Promise<{ result: Record<string, number>; evictor: Evictor }> {
    const evictor = new Evictor(world);
    evictor.giveBytes = 1024 * MIB;
    // Storage has what was written up to the last permission, and tells of nothing later.
    let storage = readFileSync(world.ledgerPath);
    world.pages.versionOf = (relation, block) => storage.readUInt32LE(indexOf(relation, block) * 4);
    let lsn = lsnOf(1, 1);
    let movedAtMs = 0;
    evictor.lsn = () => {
      // Rarely, so that what should not have gone is not there again before anybody looks.
      if (performance.now() - movedAtMs < MOVE_MS) return lsn;
      movedAtMs = performance.now();
      lsn = lsnOf(1, readFileSync(world.ledgerPath).readUInt32LE(CLOCK_OFFSET));
      storage = readFileSync(world.ledgerPath);
      return lsn;
    };
    const result = parse(await worker.ask(line));
    await evictor.sweeps(1);
    expect(worker.errors).toBe('');
    expect(evictor.errors).toBe('');
    expect(result['faults']).toBe(0);
    expect(world.failures).toEqual([]);
    return { result, evictor };
  }

  test.each([1, 2, 3])('readers and writers, seed %i', { timeout: 60_000 }, async (seed) => {
    await using world = await ShimWorld.open({ hasChecksums: seed !== 1 });
    let turn = seed;
    world.pages.delayMs = () => ((turn = (turn * 7919 + 1) % 10_007) % 8 === 0 ? 1 : 0);
    // Half of the blocks are behind the start.
    // Of a catalog many come at once.
    const relation = seed === 3 ? PG_CLASS : 100;
    await world.lazy.addForks([forkOf(relation, 400)]);
    await world.lazy.finishForks();
    const worker = await startWithClock(world);
    const file = await worker.number(`open base/5/${relation} ${O_RDWR}`);
    expect(await worker.number(`fill ${file} ${relation} 400 400`)).toBe(400);
    const { result, evictor } = await stressed(
      world,
      worker,
      `stress base/5/${relation} ${relation} 800 6 6000 ${seed}`,
      BY_BLOCK,
    );
    expect(result['writes']).toBeGreaterThan(10_000);
    expect(result['reads']).toBeGreaterThan(10_000);
    expect(evictor.givenBlocks).toBeGreaterThan(1000);
    const again = world.pages.reads.filter(({ history }) => history === 'given-back');
    expect(again.length).toBeGreaterThan(500);
  });

  test.each([4, 5, 6])('those who cut, seed %i', { timeout: 60_000 }, async (seed) => {
    await using world = await ShimWorld.open(CHECKSUMS);
    let turn = seed;
    world.pages.delayMs = () => ((turn = (turn * 7919 + 1) % 10_007) % 4 === 0 ? 1 : 0);
    await world.lazy.addForks([forkOf(100, 1000)]);
    await world.lazy.finishForks();
    const worker = await startWithClock(world);
    const { result, evictor } = await stressed(
      world,
      worker,
      `cuts base/5/100 100 1000 5 4000 ${seed}`,
      BY_BLOCK,
    );
    expect(result['cuts']).toBeGreaterThan(300);
    expect(evictor.givenBlocks).toBeGreaterThan(500);
  });

  test.each([7, 8, 9])('files that are made and removed, seed %i', { timeout: 60_000 }, async (seed) => {
    await using world = await ShimWorld.open(CHECKSUMS);
    await world.lazy.finishForks();
    const worker = await startWithClock(world);
    const { result, evictor } = await stressed(
      world,
      worker,
      `lives base/5 200 0 6 150 ${seed}`,
      (relation, block) => (relation - 200) * 32 + block,
    );
    expect(result['cuts']).toBe(900);
    expect(evictor.givenBlocks).toBeGreaterThan(200);
  });
});
