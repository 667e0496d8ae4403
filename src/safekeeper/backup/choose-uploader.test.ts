import { expect, test } from 'vitest';
import { parseTimelineId } from '../../base/ids.ts';
import { toLsn } from '../../base/lsn.ts';
import type { PeerInfo } from '../timeline/peer-info.ts';
import { chooseUploader, UPLOADER_LAG_MAX_BYTES } from './choose-uploader.ts';

const MIB = 1024 * 1024;
/** As a little-endian number: 5. */
const FIVE = parseTimelineId(`05${'00'.repeat(15)}`);
const BACKUP = toLsn(64 * MIB);

const peer = (nodeId: number, changes: Partial<PeerInfo> = {}): PeerInfo => ({
  nodeId,
  commitLsn: toLsn(300 * MIB),
  localStartLsn: toLsn(16 * MIB),
  heardMs: 10_000,
  ...changes,
});

const choose = (self: PeerInfo, peers: readonly PeerInfo[], timelineId = FIVE): number | undefined =>
  chooseUploader({ timelineId, backupLsn: BACKUP, self, peers, nowMs: 12_000 });

test.each([
  ['one that is alone', peer(7), [], 7],
  ['of two, the second: 5 mod 2 = 1', peer(1), [peer(2)], 2],
  ['of three, the third: 5 mod 3 = 2', peer(1), [peer(2), peer(3)], 3],
  ['whoever asks', peer(3), [peer(2), peer(1)], 3],
  ['sorted by number, not by text', peer(10), [peer(9), peer(100)], 100],
  ['without who was not heard', peer(1), [peer(2, { heardMs: 6_999 }), peer(3)], 3],
  ['with who was heard just in time', peer(1), [peer(2, { heardMs: 7_000 }), peer(4), peer(3)], 2],
  ['without who has no WAL', peer(1), [peer(2, { localStartLsn: toLsn(0) })], 1],
  ['without who has too little WAL', peer(1), [peer(2, { localStartLsn: toLsn(BACKUP + 8) })], 1],
  ['with who has just enough', peer(1), [peer(2, { localStartLsn: BACKUP })], 2],
  ['without who lags', peer(1), [peer(2, { commitLsn: toLsn(300 * MIB - UPLOADER_LAG_MAX_BYTES - 1) })], 1],
  ['with who lags a little', peer(1), [peer(2, { commitLsn: toLsn(300 * MIB - UPLOADER_LAG_MAX_BYTES) })], 2],
  ['not itself where it lags', peer(2, { commitLsn: BACKUP }), [peer(1)], 1],
  ['counting itself once', peer(1), [peer(1, { commitLsn: toLsn(900 * MIB) }), peer(2)], 2],
  ['nobody where nobody can', peer(1, { localStartLsn: toLsn(BACKUP + 8) }), [], undefined],
] as const)('the uploader is chosen: %s', (_what, self, peers, expected) => {
  expect(choose(self, peers)).toBe(expected);
});

test('the first byte of the id is the lowest', () => {
  const peers = [peer(2), peer(3), peer(4), peer(5)];
  // 256^k mod 5 = 1: the sum of the bytes counts.
  expect(choose(peer(1), peers, parseTimelineId(`07${'00'.repeat(14)}01`))).toBe(4);
  // 256^k mod 4 = 0 for k > 0: only the first byte counts.
  expect(choose(peer(1), peers.slice(0, 3), parseTimelineId(`07${'00'.repeat(14)}01`))).toBe(4);
});
