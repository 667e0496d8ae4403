import { expect, test } from 'vitest';
import { BudgetPolicy } from './budget-policy.ts';
import type { GiveReport } from './shim-connection.ts';

const MIB = 1024 * 1024;
const WAIT_MS = 30_000;

const reportOf = (usedMib: number, flags: Partial<GiveReport> = {}): GiveReport => ({
  usedBytes: usedMib * MIB,
  givenBytes: 0,
  isShort: false,
  isBehind: false,
  hasNoHoles: false,
  ...flags,
});

test('nothing is given back below nine tenths of the budget, and then down to eight', () => {
  const policy = new BudgetPolicy(100 * MIB, WAIT_MS);
  expect(policy.decide(reportOf(50), 0)).toEqual({
    giveBytes: 0,
    wakeBytes: 20 * MIB,
    wantsNewerLsn: false,
    isPressed: false,
    slowsWal: false,
    isFull: false,
  });
  expect(policy.decide(reportOf(90), 0).giveBytes).toBe(0);
  expect(policy.decide(reportOf(95), 0)).toMatchObject({ giveBytes: 15 * MIB, isPressed: false });
  // Where much is brought it is looked at again before the budget is used up.
  expect(policy.decide(reportOf(90), 0).wakeBytes).toBe(512 * 1024);
});

test('what is newer than what storage was known to have asks for a newer LSN', () => {
  const policy = new BudgetPolicy(100 * MIB, WAIT_MS);
  expect(policy.decide(reportOf(95, { isShort: true, isBehind: true }), 0)).toMatchObject({
    wantsNewerLsn: true,
    isPressed: true,
    slowsWal: false,
  });
  expect(policy.decide(reportOf(85, { isShort: true, isBehind: true }), 0).wantsNewerLsn).toBe(false);
});

test('writing is slowed above the budget, until there is some room', () => {
  const policy = new BudgetPolicy(100 * MIB, WAIT_MS);
  expect(policy.decide(reportOf(100, { isShort: true }), 0)).toMatchObject({
    slowsWal: false,
    isPressed: true,
  });
  expect(policy.decide(reportOf(105), 100)).toMatchObject({ slowsWal: true, isPressed: true });
  expect(policy.decide(reportOf(99), 200).slowsWal).toBe(true);
  expect(policy.decide(reportOf(98), 300).slowsWal).toBe(false);
  expect(policy.decide(reportOf(99), 400).slowsWal).toBe(false);
});

test('it is full when writing was slow for too long at a stretch', () => {
  const policy = new BudgetPolicy(100 * MIB, WAIT_MS);
  expect(policy.decide(reportOf(105, { isShort: true }), 1000).isFull).toBe(false);
  expect(policy.decide(reportOf(97), 20_000).isFull).toBe(false);
  expect(policy.decide(reportOf(105, { isShort: true }), 30_000).isFull).toBe(false);
  expect(policy.decide(reportOf(105, { isShort: true }), 59_999).isFull).toBe(false);
  expect(policy.decide(reportOf(105, { isShort: true }), 60_000).isFull).toBe(true);
});
