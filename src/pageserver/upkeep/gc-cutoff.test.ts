import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { type CutoffInputs, gcCutoff } from './gc-cutoff.ts';

const lsn = (value: number): Lsn => value as Lsn;

const inputs: CutoffInputs = {
  previousCutoff: lsn(100),
  lastRecordLsn: lsn(1000),
  remoteConsistentVisible: lsn(900),
  lsnAtHistoryStart: lsn(500),
  horizonBytes: 300,
  branchPoints: [],
  leases: [],
  nowMs: 10_000,
};
const cutoff = (changed: Partial<CutoffInputs>): number => gcCutoff({ ...inputs, ...changed }).cutoff;

describe('the cutoff', () => {
  test('by age and by size, what keeps more', () => {
    expect(cutoff({})).toBe(500);
    expect(cutoff({ lsnAtHistoryStart: lsn(800) })).toBe(700);
    expect(cutoff({ horizonBytes: 0 })).toBe(500);
  });

  test('not above what is remotely consistent', () => {
    expect(cutoff({ lsnAtHistoryStart: lsn(1000), horizonBytes: 0 })).toBe(900);
  });

  test('never back', () => {
    expect(cutoff({ lsnAtHistoryStart: lsn(50) })).toBe(100);
    expect(cutoff({ horizonBytes: 950 })).toBe(100);
    expect(cutoff({ horizonBytes: 5000 })).toBe(100);
    expect(() => cutoff({ previousCutoff: lsn(901) })).toThrow('above what is remotely consistent');
  });

  test('not at all before anything of a new timeline has been validated', () => {
    expect(cutoff({ remoteConsistentVisible: INVALID_LSN, horizonBytes: 0 })).toBe(100);
  });

  test('not at all while the age of nothing is known', () => {
    expect(cutoff({ lsnAtHistoryStart: undefined })).toBe(100);
  });

  test('in whatever order inputs change, it only rises, and stays within all limits', () => {
    const position = fc.nat(2000).map(lsn);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(position, fc.nat(2000), fc.option(position)), { minLength: 1 }),
        (steps) => {
          let previousCutoff = lsn(0);
          let lastRecordLsn = lsn(0);
          for (const [grown, horizonBytes, age] of steps) {
            lastRecordLsn = lsn(lastRecordLsn + grown);
            const remoteConsistentVisible = lsn(Math.max(previousCutoff, lastRecordLsn - 500));
            const lsnAtHistoryStart = age ?? undefined;
            const made = gcCutoff({
              ...inputs,
              previousCutoff,
              lastRecordLsn,
              remoteConsistentVisible,
              lsnAtHistoryStart,
              horizonBytes,
            });
            expect(made.cutoff).toBeGreaterThanOrEqual(previousCutoff);
            expect(made.cutoff).toBeLessThanOrEqual(remoteConsistentVisible);
            if (made.cutoff > previousCutoff) {
              expect(made.cutoff).toBeLessThanOrEqual(lastRecordLsn - horizonBytes);
              expect(made.cutoff).toBeLessThanOrEqual(lsnAtHistoryStart as Lsn);
            }
            previousCutoff = made.cutoff;
          }
        },
      ),
    );
  });
});

test('branch points and leases below the cutoff stay readable, but for leases that are over', () => {
  const { retainedLsns, leasedLsns } = gcCutoff({
    ...inputs,
    branchPoints: [lsn(300), lsn(40), lsn(500), lsn(600), lsn(300)],
    leases: [
      { lsn: lsn(200), validUntilMs: 10_001 },
      { lsn: lsn(210), validUntilMs: 10_000 },
      { lsn: lsn(220), validUntilMs: 9_000 },
      { lsn: lsn(40), validUntilMs: 20_000 },
      { lsn: lsn(700), validUntilMs: 20_000 },
    ],
  });
  // With what was put beside the records that end there, but not with a later record.
  expect(retainedLsns).toEqual([47, 207, 303]);
  expect(leasedLsns).toEqual([40, 200]);
  const both = { branchPoints: [lsn(296), lsn(300)], lsnAtHistoryStart: lsn(301) };
  expect(gcCutoff({ ...inputs, ...both }).retainedLsns).toEqual([]);
  expect(gcCutoff({ ...inputs, ...both, lsnAtHistoryStart: lsn(304) }).retainedLsns).toEqual([303]);
});
