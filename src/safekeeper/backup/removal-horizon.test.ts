import { expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import { firstSegmentToKeep } from './removal-horizon.ts';

const SEGMENT = 1024 * 1024;
const at = (segment: number, offset = 0): Lsn => toLsn(segment * SEGMENT + offset);

interface Case {
  readonly remote?: Lsn;
  readonly backup?: Lsn;
  readonly commit?: Lsn;
  readonly flush?: Lsn;
  readonly peers?: Lsn;
  readonly reader?: Lsn | undefined;
}

function keep(hasObjectStore: boolean, { remote, backup, commit, flush, peers, reader }: Case): number {
  return firstSegmentToKeep({
    persistent: {
      remoteConsistentLsn: remote ?? at(20),
      backupLsn: backup ?? at(20),
      commitLsn: commit ?? at(20),
      peerHorizonLsn: peers ?? at(20),
      server: { segmentBytes: SEGMENT, pgVersion: 0, systemIdentifier: 0n },
    },
    flushLsn: flush ?? at(20),
    hasObjectStore,
    slowestReaderLsn: reader,
  });
}

test.each<[string, boolean, Case, number]>([
  ['what all have goes', true, {}, 20],
  ['pageservers hold it', true, { remote: at(3, 5) }, 3],
  ['a border belongs to what comes', true, { remote: at(3) }, 3],
  ['what is not in the bucket stays', true, { backup: at(4) }, 4],
  ['what is not committed stays', true, { commit: at(5, 1) }, 5],
  ['what a peer has backed up further than here is flushed stays', true, { flush: at(6, 1) }, 6],
  ['peers and readers do not hold what is in the bucket', true, { peers: at(1), reader: at(1) }, 20],
  ['no pageserver has reported', true, { remote: at(0) }, 0],
  ['without a bucket, its LSN does not count', false, { backup: at(1) }, 20],
  ['without a bucket, pageservers hold it', false, { backup: at(1), remote: at(7) }, 7],
  ['without a bucket, peers hold it', false, { backup: at(1), peers: at(8, 9) }, 8],
  ['without a bucket, readers hold it', false, { backup: at(1), reader: at(9) }, 9],
  ['without a bucket, a reader that was sent nothing holds all', false, { reader: at(0) }, 0],
  ['without a bucket, what is not committed stays', false, { commit: at(10, 1) }, 10],
  ['without a bucket, what is not flushed stays', false, { flush: at(11, 1) }, 11],
])('removal: %s', (_what, hasObjectStore, view, expected) => {
  expect(keep(hasObjectStore, view)).toBe(expected);
});
