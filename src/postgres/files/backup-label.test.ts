import { expect, test } from 'vitest';
import { parseBackupLabel } from './backup-label.ts';

const LABEL = `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000080
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-02-03 04:05:06 UTC
LABEL: nightly
START TIMELINE: 1
`;

test('a label of a primary, and one of a standby', () => {
  expect(parseBackupLabel(LABEL)).toEqual({
    startLsn: 0x200_0028,
    checkPointLsn: 0x200_0080,
    isFromStandby: false,
    timelineId: 1,
    isIncremental: false,
  });
  const other = LABEL.replace('primary', 'standby').replace('START TIMELINE: 1', 'START TIMELINE: 7');
  expect(parseBackupLabel(`${other}INCREMENTAL FROM LSN: 0/1000028\n`)).toMatchObject({
    isFromStandby: true,
    timelineId: 7,
    isIncremental: true,
  });
  expect(parseBackupLabel(LABEL.replace('START TIMELINE: 1\n', '')).timelineId).toBeUndefined();
});

test('a name that looks like a line of its own does not count', () => {
  const label = LABEL.replace('nightly', 'nightly\nSTART WAL LOCATION: 0/28');
  expect(parseBackupLabel(label).startLsn).toBe(0x200_0028);
});

test.each([
  ['nothing', ''],
  ['no beginning', LABEL.replace('START WAL', 'BEGIN WAL')],
  ['no checkpoint', LABEL.replace('0/2000080', 'soon')],
  ['an LSN that is none', LABEL.replace('0/2000028', '0/200002800')],
  ['a checkpoint before the beginning', LABEL.replace('0/2000080', '0/2000020')],
  ['a timeline that is none', LABEL.replace('TIMELINE: 1', 'TIMELINE: 0')],
])('%s is refused', (_, text) => {
  expect(() => parseBackupLabel(text)).toThrow(expect.objectContaining({ code: 'BAD_BACKUP_LABEL' }));
});
