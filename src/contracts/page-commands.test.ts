import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import { toLsn } from '../base/lsn.ts';
import {
  formatPageServiceCommand,
  type PageServiceCommand,
  parsePageServiceCommand,
} from './page-commands.ts';

const TENANT = '0123456789abcdef0123456789abcdef';
const TIMELINE = 'fedcba9876543210fedcba9876543210';
const ids = `${TENANT} ${TIMELINE}`;
const target = { tenantId: parseTenantId(TENANT), timelineId: parseTimelineId(TIMELINE) };
const plain = { isGzip: false, isReplica: false };

test.each<[string, PageServiceCommand]>([
  [`pagestream_v2 ${ids}`, { kind: 'PageStream', protocolVersion: 2, ...target }],
  [`PageStream_V3 ${ids.toUpperCase()};`, { kind: 'PageStream', protocolVersion: 3, ...target }],
  [`basebackup ${ids}`, { kind: 'BaseBackup', ...target, ...plain }],
  [`basebackup ${ids} latest`, { kind: 'BaseBackup', ...target, ...plain }],
  [
    `basebackup ${ids} 0/10 --gzip`,
    { kind: 'BaseBackup', ...target, lsn: toLsn(16), isGzip: true, isReplica: false },
  ],
  [`basebackup ${ids} --replica --gzip`, { kind: 'BaseBackup', ...target, isGzip: true, isReplica: true }],
  [`fullbackup ${ids}`, { kind: 'FullBackup', ...target }],
  [`fullbackup ${ids} 0/10 0/8`, { kind: 'FullBackup', ...target, lsn: toLsn(16), previousLsn: toLsn(8) }],
  [`fullbackup ${ids} --zstd`, { kind: 'FullBackup', ...target, compression: 'zstd' }],
  [`fullbackup ${ids} 0/10 --gzip`, { kind: 'FullBackup', ...target, lsn: toLsn(16), compression: 'gzip' }],
  [`lease lsn ${TENANT}-0001 ${TIMELINE} 0/10`, { kind: 'LeaseLsn', ...target, lsn: toLsn(16) }],
  [`startset ${ids}`, { kind: 'StartSet', ...target, form: 'primary' }],
  [`startset ${ids} latest --read-only`, { kind: 'StartSet', ...target, form: 'read-only' }],
  [`STARTSET ${ids} 0/10 --standby`, { kind: 'StartSet', ...target, lsn: toLsn(16), form: 'standby' }],
  [`freespacemaps ${ids}`, { kind: 'FreeSpaceMaps', ...target }],
  [`freespacemaps ${ids} 0/10`, { kind: 'FreeSpaceMaps', ...target, lsn: toLsn(16) }],
  [`putauxiliary ${ids} 0/10`, { kind: 'PutAuxiliary', ...target, lsn: toLsn(16), isDurable: false }],
  [
    `PutAuxiliary ${ids} 0/10 --durable`,
    { kind: 'PutAuxiliary', ...target, lsn: toLsn(16), isDurable: true },
  ],
  [`lease LSN ${ids} 0/10`, { kind: 'LeaseLsn', ...target, lsn: toLsn(16) }],
  [`lsn last ${ids}`, { kind: 'LastLsn', ...target }],
  [`LSN At ${ids} 1970-01-01T01:00:00.5+01;`, { kind: 'LsnAtTime', ...target, timeMicros: 500_000n }],
  ["set datestyle to 'ISO'", { kind: 'Set' }],
])('%s', (text, command) => {
  expect(parsePageServiceCommand(text)).toEqual(command);
});

test.each([
  ['', 'UNKNOWN_COMMAND'],
  ['set', 'UNKNOWN_COMMAND'],
  [`pagestream ${ids}`, 'UNKNOWN_COMMAND'],
  [`pagestream_v1 ${ids}`, 'UNKNOWN_COMMAND'],
  [`pagestream_v3 ${TENANT}`, 'BAD_COMMAND'],
  [`pagestream_v3 ${ids} x`, 'BAD_COMMAND'],
  [`pagestream_v3 ${TENANT}-0102 ${TIMELINE}`, 'BAD_ID'],
  [`pagestream_v3 ${TENANT} ${TIMELINE}0`, 'BAD_ID'],
  ['basebackup x', 'BAD_ID'],
  [`basebackup ${ids} --full`, 'BAD_COMMAND'],
  [`basebackup ${ids} --gzip --gzip`, 'BAD_COMMAND'],
  [`basebackup ${ids} --gzip 0/10`, 'BAD_COMMAND'],
  [`basebackup ${ids} newest`, 'BAD_LSN'],
  [`fullbackup ${ids} 0/1 0/2 0/3`, 'BAD_COMMAND'],
  [`fullbackup ${ids} --gzip --zstd`, 'BAD_LSN'],
  [`startset ${ids} --standby --read-only`, 'BAD_COMMAND'],
  [`startset ${ids} 0/1 --gzip`, 'BAD_COMMAND'],
  [`freespacemaps ${ids} --durable`, 'BAD_COMMAND'],
  [`putauxiliary ${ids}`, 'BAD_COMMAND'],
  [`putauxiliary ${ids} latest`, 'BAD_COMMAND'],
  [`putauxiliary ${ids} 0/1 --gzip`, 'BAD_COMMAND'],
  [`putauxiliary ${ids} 0/x`, 'BAD_LSN'],
  [`putauxiliary ${TENANT} x 0/1`, 'BAD_ID'],
  [`lease lsn ${TENANT}-0102 ${TIMELINE} 0/10`, 'BAD_ID'],
  [`lease ${ids} 0/10`, 'BAD_COMMAND'],
  [`lease lsn ${ids}`, 'BAD_COMMAND'],
  [`lsn ${ids}`, 'BAD_COMMAND'],
  [`lsn last ${ids} 0/10`, 'BAD_COMMAND'],
  [`lsn at ${ids}`, 'BAD_COMMAND'],
  [`lsn at ${ids} 2026-03-01 12:00Z`, 'BAD_COMMAND'],
  [`lsn at ${ids} yesterday`, 'BAD_TIME'],
  [`lsn at ${TENANT} x 2026-03-01T12:00Z`, 'BAD_ID'],
])('%j is refused with %s', (text, code) => {
  expect(() => parsePageServiceCommand(text)).toThrow(expect.objectContaining({ code, kind: 'bad-request' }));
});

test('what is written is read back', () => {
  const lsn = fc.maxSafeNat().map(toLsn);
  const commands: fc.Arbitrary<PageServiceCommand> = fc.oneof(
    fc.constantFrom<PageServiceCommand>(
      { kind: 'Set' },
      { kind: 'PageStream', protocolVersion: 2, ...target },
      { kind: 'PageStream', protocolVersion: 3, ...target },
      { kind: 'FullBackup', ...target },
      { kind: 'LastLsn', ...target },
    ),
    fc
      .bigInt({ min: 0n, max: 10n ** 16n })
      .map((timeMicros) => ({ kind: 'LsnAtTime' as const, ...target, timeMicros })),
    fc
      .record(
        { kind: fc.constant('BaseBackup' as const), lsn, isGzip: fc.boolean(), isReplica: fc.boolean() },
        { requiredKeys: ['kind', 'isGzip', 'isReplica'] },
      )
      .map((command) => ({ ...command, ...target })),
    fc
      .record(
        { kind: fc.constant('FullBackup' as const), lsn, previousLsn: lsn },
        { requiredKeys: ['kind', 'lsn'] },
      )
      .map((command) => ({ ...command, ...target })),
    fc
      .record({ kind: fc.constant('FreeSpaceMaps' as const), lsn }, { requiredKeys: ['kind'] })
      .map((command) => ({ ...command, ...target })),
    fc
      .record({ kind: fc.constant('PutAuxiliary' as const), lsn, isDurable: fc.boolean() })
      .map((command) => ({ ...command, ...target })),
    lsn.map((at) => ({ kind: 'LeaseLsn' as const, lsn: at, ...target })),
    fc
      .record(
        {
          kind: fc.constant('StartSet' as const),
          lsn,
          form: fc.constantFrom('primary' as const, 'read-only' as const, 'standby' as const),
        },
        { requiredKeys: ['kind', 'form'] },
      )
      .map((command) => ({ ...command, ...target })),
  );
  fc.assert(
    fc.property(commands, (command) => {
      expect(parsePageServiceCommand(formatPageServiceCommand(command))).toEqual(command);
    }),
  );
});

test('any text gives a command or a typed error', () => {
  const word = fc.oneof(
    fc.string({ maxLength: 4 }),
    fc.constantFrom(
      'pagestream_v3',
      'basebackup',
      'fullbackup',
      'startset',
      'putauxiliary',
      'freespacemaps',
      '--durable',
      '--standby',
      'lease',
      'lsn',
      'at',
      '2026-03-01T12:00Z',
      TENANT,
      '0/1',
      '--gzip',
      'latest',
    ),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 7 }), (words) => {
      try {
        parsePageServiceCommand(words.join(' '));
      } catch (error) {
        expect(error).toBeInstanceOf(VarveError);
      }
    }),
    { numRuns: 500 },
  );
});
