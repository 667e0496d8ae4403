import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VarveError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import {
  formatReplicationCommand,
  parseReplicationCommand,
  type ReplicationCommand,
} from './replication-commands.ts';

const start = (fields: object = {}): ReplicationCommand => ({
  kind: 'StartReplication',
  startLsn: toLsn(0x16b5a50),
  ...fields,
});

test.each<[string, ReplicationCommand]>([
  ['IDENTIFY_SYSTEM', { kind: 'IdentifySystem' }],
  ['  IDENTIFY_SYSTEM ; ', { kind: 'IdentifySystem' }],
  ['TIMELINE_STATUS', { kind: 'TimelineStatus' }],
  ['ACCEPTOR_STATE', { kind: 'AcceptorState' }],
  ["START_STATUS_STREAM (version '1')", { kind: 'StartStatusStream', version: 1 }],
  ['TIMELINE_HISTORY 2', { kind: 'TimelineHistory', timelineId: 2 }],
  ['START_REPLICATION 0/16B5A50', start()],
  ['START_REPLICATION PHYSICAL 0/16b5a50', start()],
  ['START_REPLICATION PHYSICAL 1/0 TIMELINE 7', start({ startLsn: 2 ** 32, timelineId: 7 })],
  ['START_REPLICATION SLOT Ab PHYSICAL 0/16B5A50', start({ slot: 'ab' })],
  ['START_REPLICATION SLOT "A""b" 0/16B5A50 TIMELINE 1', start({ slot: 'A"b', timelineId: 1 })],
  ["START_REPLICATION PHYSICAL 0/16B5A50 (term='42')", start({ term: 42 })],
  ["START_REPLICATION 0/16B5A50 ( term = '9007199254740991' )", start({ term: 9007199254740991 })],
  ['START_WAL_PUSH', { kind: 'StartWalPush', protocolVersion: 2, allowTimelineCreation: true }],
  [
    "START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')",
    { kind: 'StartWalPush', protocolVersion: 3, allowTimelineCreation: false },
  ],
  ['SHOW wal_segment_size', { kind: 'Show', name: 'wal_segment_size' }],
  ['show a."B"', { kind: 'Show', name: 'a.B' }],
  ["set datestyle to 'ISO, MDY'", { kind: 'Set' }],
  ['SET\tx = 1', { kind: 'Set' }],
])('%s', (text, command) => {
  expect(parseReplicationCommand(text)).toEqual(command);
});

test.each([
  ['', '42601', '"" is not a command'],
  ['SELECT 1', '42601', '"SELECT" is not a command'],
  ['identify_system', '42601', '"identify_system" is not a command'],
  ['"IDENTIFY_SYSTEM"', '42601', 'is not a command'],
  ['SETx', '42601', '"SETx" is not a command'],
  ['IDENTIFY_SYSTEM x', '42601', '"x" stands where the end of the command must'],
  ['SHOW ', '42601', 'the end of the command stands where the name of a setting must'],
  ["SHOW 'a'", '42601', 'stands where the name'],
  ['START_REPLICATION', '42601', 'stands where an LSN such as 0/16B5A50 must'],
  ['START_REPLICATION SLOT 0/1', '42601', '"0/1" stands where the name of a slot must'],
  ['START_REPLICATION 0/1 TIMELINE 0', '22023', 'the timeline "0"'],
  ['START_REPLICATION 0/1 TIMELINE 4294967296', '22023', 'from 1 to 4294967295'],
  ["START_REPLICATION 0/1 (term='9007199254740992')", '22023', 'the term "9007199254740992"'],
  ["START_REPLICATION 0/1 (term='1e3')", '22023', 'the term "1e3"'],
  ["START_REPLICATION 0/1 (epoch='1')", '42601', 'the option "epoch" is unknown'],
  ["START_REPLICATION 0/1 (term='1', term='1')", '42601', 'stands twice'],
  ["START_REPLICATION 0/1 (term='1'", '42601', 'stands where ")" must'],
  ["START_REPLICATION 0/1 (term='1", '42601', 'unterminated quoted string'],
  ['START_REPLICATION SLOT "a 0/1', '42601', 'unterminated quoted string'],
  ['START_REPLICATION SLOT s LOGICAL 0/1', '0A000', 'logical replication'],
  ["BASE_BACKUP (LABEL 'x')", '0A000', 'BASE_BACKUP is not served'],
  ['START_STATUS_STREAM', '42601', 'the version of the status stream is missing'],
  ["START_STATUS_STREAM (version 'x')", '22023', 'the version of the status stream "x"'],
  ["START_WAL_PUSH (proto_version '')", '22023', 'the protocol version ""'],
  ["START_WAL_PUSH (allow_timeline_creation 'yes')", '22023', 'true and false'],
  [`SHOW ${'a'.repeat(10_000)}`, '42601', 'too long'],
])('%j is refused with %s', (text, sqlState, reason) => {
  const parse = (): ReplicationCommand => parseReplicationCommand(text);
  expect(parse).toThrow(reason);
  expect(parse).toThrow(expect.objectContaining({ sqlState }));
});

test('an LSN that is too large is refused', () => {
  expect(() => parseReplicationCommand('START_REPLICATION FFFFFFFF/0')).toThrow(
    expect.objectContaining({ code: 'BAD_LSN' }),
  );
});

const optional = { requiredKeys: ['kind', 'startLsn'] as ['kind', 'startLsn'] };
const commands: fc.Arbitrary<ReplicationCommand> = fc.oneof(
  fc.constantFrom<ReplicationCommand>(
    { kind: 'IdentifySystem' },
    { kind: 'TimelineStatus' },
    { kind: 'Set' },
    { kind: 'Show', name: 'a.b' },
  ),
  fc.record({ kind: fc.constant('TimelineHistory' as const), timelineId: fc.integer({ min: 1 }) }),
  fc.record({
    kind: fc.constant('StartWalPush' as const),
    protocolVersion: fc.nat(),
    allowTimelineCreation: fc.boolean(),
  }),
  fc.record(
    {
      kind: fc.constant('StartReplication' as const),
      slot: fc.string({ unit: 'binary' }),
      startLsn: fc.maxSafeNat().map(toLsn),
      timelineId: fc.integer({ min: 1, max: 0xffff_ffff }),
      term: fc.maxSafeNat(),
    },
    optional,
  ),
);

test('what is written is read back', () => {
  fc.assert(
    fc.property(commands, (command) => {
      expect(parseReplicationCommand(formatReplicationCommand(command))).toEqual(command);
    }),
  );
});

test('any text gives a command or a typed error', () => {
  const word = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 3 }),
    fc.constantFrom(
      ...'START_REPLICATION|SLOT|PHYSICAL|TIMELINE|0/1|7|(|)|term|=|,|\'1\'|;|"a"|SHOW|.'.split('|'),
    ),
  );
  fc.assert(
    fc.property(fc.array(word), (words) => {
      try {
        parseReplicationCommand(words.join(' '));
      } catch (error) {
        expect(error).toBeInstanceOf(VarveError);
        expect((error as VarveError).kind).toBe('bad-request');
      }
    }),
    { numRuns: 500 },
  );
});
