import { expect, test } from 'vitest';
import { QUICK_READ_BYTES_MAX, QuickReads } from './quick-reads.ts';

/** Time stands still but for what reads take, and turns end when the test says so. */
class Loop {
  nowMs = 0;
  diskReads = 0;
  readonly reads: QuickReads;
  #onTurn: (() => void)[] = [];

  constructor() {
    this.reads = new QuickReads(
      () => this.nowMs,
      (call) => this.#onTurn.push(call),
      () => this.diskReads,
    );
  }

  /** Returns whether it was done at once. @param isFromDisk it is not in the system's memory */
  read(tookMs: number, isFromDisk = tookMs >= 1): boolean {
    if (!this.reads.begin(8192)) return false;
    this.nowMs += tookMs;
    if (isFromDisk) this.diskReads++;
    this.reads.end();
    return true;
  }

  nextTurn(): void {
    for (const call of this.#onTurn.splice(0)) call();
  }
}

test('quick reads are done at once until the turn has lasted long enough, and again in the next one', () => {
  const loop = new Loop();
  const count = (): number => {
    let reads = 0;
    while (loop.read(1 / 128)) reads++;
    return reads;
  };
  const first = count();
  expect(first).toBe(65);
  loop.nextTurn();
  loop.nowMs += 1000;
  expect(count()).toBe(first);
});

test('what happens between the reads does not count to the turn', () => {
  const loop = new Loop();
  expect(loop.read(0)).toBe(true);
  loop.nowMs += 1;
  expect(loop.read(0.6, false)).toBe(true);
  expect(loop.read(0)).toBe(false);
});

test('a slow read that was not from a disk has waited for the processor, and says nothing of the next ones', () => {
  const loop = new Loop();
  for (let turn = 0; turn < 10; turn++) {
    expect(loop.read(15, false)).toBe(true);
    expect(loop.reads.begin(8192)).toBe(false);
    loop.nextTurn();
  }
  expect(loop.read(25, false)).toBe(true);
  loop.nextTurn();
  expect(loop.reads.begin(8192)).toBe(false);
});

test('a long read is never done at once', () => {
  const { reads } = new Loop();
  expect(reads.begin(QUICK_READ_BYTES_MAX + 1)).toBe(false);
  expect(reads.begin(QUICK_READ_BYTES_MAX)).toBe(true);
});

test('after a slow read many are not done at once, and more each time; a quick one puts an end to that', () => {
  const loop = new Loop();
  const restAfterSlowRead = (): number => {
    loop.nextTurn();
    expect(loop.read(10)).toBe(true);
    loop.nextTurn();
    let rest = 0;
    while (!loop.reads.begin(1)) rest++;
    loop.reads.end();
    return rest;
  };
  expect(restAfterSlowRead()).toBe(64);
  expect(restAfterSlowRead()).toBe(64);
  const rests: number[] = [];
  for (let slow = 0; slow < 9; slow++) {
    loop.nextTurn();
    let rest = 0;
    while (!loop.read(10)) rest++;
    rests.push(rest);
  }
  expect(rests).toEqual([0, 64, 128, 256, 512, 1024, 2048, 4096, 4096]);
});
