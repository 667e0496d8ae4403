import { expect, test } from 'vitest';
import { type Activity, isIdle, learn, untilNextLookMs } from './idle-rule.ts';

const QUIET = { isBusy: false, youngestIdleMs: undefined, sessions: 7 };
const SINCE_1000: Activity = { lastActiveAtMs: 1000, sessions: 7 };

test('a server that nobody uses is idle when the time is over, and not before', () => {
  const known = learn(SINCE_1000, { ...QUIET, atMs: 5999 });
  expect(isIdle(known, 5999, 5000)).toBe(false);
  expect(isIdle(learn(known, { ...QUIET, atMs: 6000 }), 6000, 5000)).toBe(true);
});

test('a session that does something, or keeps something, begins the time anew', () => {
  expect(learn(SINCE_1000, { ...QUIET, atMs: 9000, isBusy: true }).lastActiveAtMs).toBe(9000);
});

test('a session that is open and does nothing counts from its last query', () => {
  const known = learn(SINCE_1000, { ...QUIET, atMs: 9000, youngestIdleMs: 3000 });
  expect(known.lastActiveAtMs).toBe(6000);
  // One that has done nothing for longer than was known before takes nothing back.
  expect(learn(known, { ...QUIET, atMs: 9500, youngestIdleMs: 9000 }).lastActiveAtMs).toBe(6000);
});

test('a session that came and went between two looks counts', () => {
  const known = learn(SINCE_1000, { ...QUIET, atMs: 9000, sessions: 8 });
  expect(known).toEqual({ lastActiveAtMs: 9000, sessions: 8 });
  // The first look knows no number to compare with.
  expect(learn({ lastActiveAtMs: 1000, sessions: undefined }, { ...QUIET, atMs: 2000 })).toEqual({
    lastActiveAtMs: 1000,
    sessions: 7,
  });
});

test('the next look comes when the server can first be idle, and now and then before', () => {
  expect(untilNextLookMs(SINCE_1000, 1000, 300_000)).toBe(30_000);
  expect(untilNextLookMs(SINCE_1000, 291_000, 300_000)).toBe(10_000);
  expect(untilNextLookMs(SINCE_1000, 1000, 8000)).toBe(2000);
  expect(untilNextLookMs(SINCE_1000, 2900, 2000)).toBe(250);
});
