import { expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import type { PartialSegment } from '../consensus/persistent-state.ts';
import { isAllUploaded } from './eviction-plan.ts';
import { isPartialOf, partialSegmentName } from './object-names.ts';
import { type PartialView, planPartial, segmentsToUpload } from './upload-plan.ts';

const SEGMENT = 1024 * 1024;
const at = (segment: number, offset = 0): Lsn => toLsn(segment * SEGMENT + offset);
const server = { segmentBytes: SEGMENT, pgVersion: 170_000, systemIdentifier: 0n };

test('a partial segment has the name that Neon gives it', () => {
  const position = { term: 12, flushLsn: toLsn(0x1_0123_4568), commitLsn: toLsn(0x1_0120_0000) };
  const name = partialSegmentName(position, 16 * SEGMENT, 7);
  expect(name).toBe('000000010000000100000001_12_0000000101234568_0000000101200000_sk7.partial');
  expect(isPartialOf(name, 7)).toBe(true);
  expect(isPartialOf(name, 17)).toBe(false);
  expect(isPartialOf(name.replace('sk7', 'sk17'), 7)).toBe(false);
});

test.each([
  ['nothing is committed', at(3), at(3), undefined],
  ['the segment is not full', at(3), at(3, SEGMENT - 8), undefined],
  ['one is full', at(3), at(4), { first: 3, end: 4 }],
  ['the first one of a timeline', at(3, 200), at(4, 8), { first: 3, end: 4 }],
  ['several are full', at(3), at(9, 8), { first: 3, end: 9 }],
  ['another safekeeper has uploaded more than is committed here', at(9), at(4), undefined],
])('whole segments to upload: %s', (_what, backup, commit, expected) => {
  expect(segmentsToUpload(backup, commit, SEGMENT)).toEqual(expected);
});

const POSITION = { term: 4, flushLsn: at(5, 800), commitLsn: at(5, 800) };
const partial = (changes: Partial<PartialSegment>): PartialSegment => {
  const segment = { status: 'uploaded' as const, ...POSITION, ...changes };
  return { name: partialSegmentName(segment, SEGMENT, 1), ...segment };
};

type Changes = Partial<Omit<PartialView, 'persistent'> & PartialView['persistent']>;
const plan = (changes: Changes): ReturnType<typeof planPartial> =>
  planPartial({
    nodeId: 1,
    persistent: {
      partialSegments: [],
      backupLsn: at(5),
      localStartLsn: at(2, 80),
      timelineStartLsn: at(2, 80),
      server,
      ...changes,
    },
    position: POSITION,
    hasLocalWal: true,
    unchangedMs: 1000,
    timeoutMs: 1000,
    ...changes,
  });

const OLDER = partial({ flushLsn: at(5, 400), commitLsn: at(5, 400) });
const BEFORE = partial({ flushLsn: at(4, 400), commitLsn: at(4, 400) });

test.each<[string, Changes, ReturnType<typeof planPartial>]>([
  ['it is time', {}, { kind: 'upload', segment: partial({ status: 'in-progress' }) }],
  ['something came not long ago', { unchangedMs: 400 }, { kind: 'wait', waitMs: 600 }],
  ['it is there', { partialSegments: [partial({})] }, { kind: 'nothing' }],
  [
    'an older one stays until then',
    { partialSegments: [OLDER], unchangedMs: 0 },
    { kind: 'wait', waitMs: 1000 },
  ],
  [
    'one of another term is another',
    { partialSegments: [partial({ term: 3 })] },
    { kind: 'upload', segment: partial({ status: 'in-progress' }) },
  ],
  [
    'what was being removed is removed',
    { partialSegments: [partial({}), { ...OLDER, status: 'deleting' }] },
    { kind: 'clean', names: [OLDER.name] },
  ],
  [
    'what was broken off is removed',
    { partialSegments: [{ ...OLDER, status: 'in-progress' }] },
    { kind: 'clean', names: [OLDER.name] },
  ],
  [
    'what was broken off is tried again',
    { partialSegments: [partial({ status: 'in-progress' })] },
    { kind: 'upload', segment: partial({ status: 'in-progress' }) },
  ],
  [
    'one of a segment that is whole in the bucket is removed',
    { partialSegments: [BEFORE] },
    { kind: 'clean', names: [BEFORE.name] },
  ],
  [
    'one of a segment that is not stays',
    { partialSegments: [BEFORE], backupLsn: at(4), unchangedMs: 0 },
    { kind: 'wait', waitMs: 1000 },
  ],
  [
    'the log ends with a segment',
    { position: { term: 4, flushLsn: at(5), commitLsn: at(5) } },
    { kind: 'nothing' },
  ],
  ['the beginning of the segment is elsewhere', { localStartLsn: at(5, 80) }, { kind: 'nothing' }],
  [
    'the segment is the first one of all',
    { localStartLsn: at(5, 80), timelineStartLsn: at(5, 80) },
    { kind: 'upload', segment: partial({ status: 'in-progress' }) },
  ],
  [
    'the WAL is in the bucket only',
    { hasLocalWal: false, partialSegments: [partial({})] },
    { kind: 'nothing' },
  ],
  ['an eviction keeps what it needs', { hasLocalWal: false, partialSegments: [BEFORE] }, { kind: 'nothing' }],
])('partial segments: %s', (_what, changes, expected) => {
  expect(plan(changes)).toEqual(expected);
});

interface EvictionCase {
  readonly flush?: Lsn;
  readonly record?: Lsn;
  readonly commit?: Lsn;
  readonly backup?: Lsn;
  readonly write?: Lsn;
  readonly evictedAt?: Lsn;
  readonly partials?: readonly PartialSegment[];
}

test.each<[string, EvictionCase, boolean]>([
  ['all is there', {}, true],
  ['torn bytes at the end count for nothing', { write: at(5, 808) }, true],
  ['no partial segment', { partials: [] }, false],
  ['one that is under way', { partials: [partial({ status: 'in-progress' })] }, false],
  ['one that ends earlier', { partials: [OLDER] }, false],
  ['one of another term', { partials: [partial({ term: 3 })] }, false],
  ['one with less committed', { partials: [partial({ commitLsn: at(5, 8) })] }, false],
  ['something is not committed', { commit: at(5, 400) }, false],
  ['something is not flushed', { record: at(5, 808), write: at(5, 808) }, false],
  ['whole segments are missing', { backup: at(4, 8) }, false],
  ['there is no WAL', { write: at(0) }, false],
  ['it is evicted', { evictedAt: at(5, 800) }, false],
  ['the log ends with a segment', { flush: at(5), record: at(5), commit: at(5), partials: [] }, true],
])('eviction: %s', (_what, { flush, record, commit, backup, write, evictedAt, partials }, expected) => {
  const flushLsn = flush ?? POSITION.flushLsn;
  const recordLsn = record ?? flushLsn;
  const log = { writeLsn: write ?? recordLsn, recordLsn, flushLsn };
  const persistent = {
    partialSegments: partials ?? [partial({})],
    backupLsn: backup ?? at(5),
    evictedAtLsn: evictedAt,
    server,
  };
  const position = { term: 4, flushLsn, commitLsn: commit ?? flushLsn };
  expect(isAllUploaded({ persistent, log, position })).toBe(expected);
});
