import { expect, test } from 'vitest';
import { KEY_MAX, type Key, nextKey } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import {
  clusterKey,
  databaseKey,
  KIND_RELATION_SIZE,
  kindRange,
  locksKey,
  originKey,
  relationBlockKey,
  relationMapKey,
  relationSizeKey,
  slruBlockKey,
  slruSegmentKey,
  tablespaceKey,
  twoPhaseKey,
} from '../keyspace/keys.ts';
import { recordPositionsKey } from '../layers/record-positions.ts';
import { boundaryText, keyRangeText, keyText } from './key-text.ts';

const relation = { tablespace: 1663, database: 5, relation: 16384 };

test.each<[Key, string]>([
  [relationBlockKey(relation, 0, 7), '1663/5/16384 block 7'],
  [relationBlockKey(relation, 2, 7), '1663/5/16384 vm block 7'],
  [relationBlockKey(relation, 9, 0), '1663/5/16384 fork 9 block 0'],
  [relationSizeKey(relation, 1), 'size of 1663/5/16384 fsm'],
  [slruBlockKey('clog', 70), 'clog page 70'],
  [{ ...slruBlockKey('clog', 70), field2: 9 }, 'SLRU 9 page 70'],
  [slruSegmentKey('multixact-members', 3), 'size of multixact-members segment 3'],
  [databaseKey(1663, 5), 'database 1663/5'],
  [relationMapKey(1664, 0), 'relation map 1664/0'],
  [twoPhaseKey(2 ** 32 + 9), 'prepared transaction 1:9'],
  [originKey(4), 'replication origin 4'],
  [tablespaceKey(16400), 'tablespace 16400'],
  [locksKey(800), 'locks of transaction 800'],
  [clusterKey(0), 'control file'],
  [clusterKey(99), 'cluster value 99'],
  [recordPositionsKey(2 ** 33 + 1), 'record positions from 8000/4000'],
  [{ ...KEY_MAX, index: 0 }, 'FFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000'],
])('key %# in words', (key, text) => {
  expect(keyText(key)).toBe(text);
});

test('ranges and boundaries in words', () => {
  const block = (number: number): Key => relationBlockKey(relation, 0, number);
  expect(keyRangeText(ALL_KEYS)).toBe('all keys');
  expect(keyRangeText({ start: block(3), end: block(10) })).toBe('1663/5/16384 blocks 3–9');
  expect(keyRangeText({ start: block(3), end: nextKey(block(3)) })).toBe('1663/5/16384 block 3');
  expect(keyRangeText({ start: block(3), end: slruBlockKey('clog', 0) })).toBe(
    '1663/5/16384 block 3 to before clog page 0',
  );
  expect(keyRangeText(kindRange(KIND_RELATION_SIZE))).toBe(
    'the first of relation sizes to before the first of auxiliary files',
  );
  expect(boundaryText(KEY_MAX)).toBe('the end');
});
