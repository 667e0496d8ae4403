import { expect, test } from 'vitest';
import { makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../test/support/safekeeper-wal.ts';
import { toLsn } from '../base/lsn.ts';
import { POSTGRES_17 } from '../postgres/versions/version.ts';
import { WalIntake } from './wal-intake.ts';
import { WalWindow } from './wal-window.ts';

const START_LSN = toLsn(TEST_SEGMENT_BYTES + 40);

test('what may be sent ends at whole units of 8 bytes, wherever the source cuts its WAL', async () => {
  const wal = makeWal({ startLsn: START_LSN, recordBytes: [1, 2, 3, 50, 5000] });
  const window = new WalWindow(START_LSN, 1024 * 1024);
  const told: number[] = [];
  const expectations = {
    version: POSTGRES_17,
    segmentBytes: TEST_SEGMENT_BYTES,
    systemIdentifier: TEST_SYSTEM,
    timelineId: 1,
  };
  const intake = new WalIntake(window, expectations, {
    onSafe: (lsn) => told.push(lsn),
    onFull: () => undefined,
    onRoom: () => undefined,
  });
  for (const byte of wal.bytes) {
    intake.write(Uint8Array.of(byte));
    await Promise.resolve();
    expect(intake.safeLsn % 8).toBe(0);
    expect(intake.safeLsn).toBeLessThanOrEqual(window.endLsn);
  }
  expect(intake.safeLsn).toBe(wal.ends.at(-1));
  expect(told.at(-1)).toBe(wal.ends.at(-1));
});
