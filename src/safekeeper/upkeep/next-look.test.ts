import { expect, test } from 'vitest';
import { type LookView, nextLookMs, retryDelayMs } from './next-look.ts';
import { UPKEEP_DEFAULTS } from './settings.ts';

const settings = { ...UPKEEP_DEFAULTS, controlFileSaveIntervalMs: 300, idleTimeoutMs: 60 };
const nothing: LookView = {
  nowMs: 1000,
  isInUse: false,
  isOpen: false,
  lastUsedMs: 0,
  aheadSinceMs: undefined,
  partial: { kind: 'nothing' },
  isUploadPending: false,
  evictableMs: undefined,
};

test.each<[string, Partial<LookView>, number | undefined]>([
  ['nothing is left to do', {}, undefined],
  ['it is in use', { isInUse: true, isOpen: true }, 1300],
  ['the control file is behind', { aheadSinceMs: 900, isInUse: true }, 1200],
  ['the control file is far behind', { aheadSinceMs: 1 }, 1000],
  ['a partial upload comes', { partial: { kind: 'wait', waitMs: 70 } }, 1070],
  ['another one is to upload', { isUploadPending: true }, 11_000],
  ['it is to be let go of', { isOpen: true, lastUsedMs: 990 }, 1050],
  ['letting go was in the way of somebody', { isOpen: true, lastUsedMs: 900 }, 6000],
  ['it is to be evicted', { evictableMs: 1500 }, 1500],
  ['eviction was in the way of somebody', { evictableMs: 1000 }, 6000],
  ['nobody evicts what is in use', { evictableMs: 1100, isInUse: true }, 1300],
  ['what comes first counts', { evictableMs: 1500, isOpen: true, lastUsedMs: 990 }, 1050],
])('the next look: %s', (_what, changes, expected) => {
  expect(nextLookMs({ ...nothing, ...changes }, settings)).toBe(expected);
});

test('failures are tried again ever later, and not too late', () => {
  expect([1, 2, 3, 9, 10, 1000].map(retryDelayMs)).toEqual([1000, 2000, 4000, 256_000, 300_000, 300_000]);
});
