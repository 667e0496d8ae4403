import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { POSTGRES_17 } from '../versions/version.ts';
import {
  formatDatabasePath,
  formatRelationPath,
  parseDatabasePath,
  parseRelationPath,
  type RelationFile,
} from './relation-file-name.ts';

const file = (
  tablespace: number,
  database: number,
  relation: number,
  rest: Partial<RelationFile>,
): RelationFile => ({
  relation: { tablespace, database, relation },
  fork: 0,
  segment: 0,
  temporaryBackend: undefined,
  ...rest,
});

const IN_TABLESPACE = 'pg_tblspc/16500/PG_17_202406281';

describe('paths of relation files', () => {
  test.each([
    ['base/5/16384', file(1663, 5, 16384, {})],
    ['base/5/16384.1', file(1663, 5, 16384, { segment: 1 })],
    ['base/5/16384_vm', file(1663, 5, 16384, { fork: 2 })],
    ['base/5/16384_fsm.12', file(1663, 5, 16384, { fork: 1, segment: 12 })],
    ['base/5/16384_init', file(1663, 5, 16384, { fork: 3 })],
    ['base/5/t0_16384', file(1663, 5, 16384, { temporaryBackend: 0 })],
    ['base/5/t13_16384_fsm.2', file(1663, 5, 16384, { fork: 1, segment: 2, temporaryBackend: 13 })],
    ['global/1262', file(1664, 0, 1262, {})],
    ['global/1262_vm', file(1664, 0, 1262, { fork: 2 })],
    [`${IN_TABLESPACE}/5/4294967295`, file(16500, 5, 4_294_967_295, {})],
  ])('%s', (path, parts) => {
    expect(formatRelationPath(POSTGRES_17, parts)).toBe(path);
    expect(parseRelationPath(POSTGRES_17, path)).toEqual(parts);
  });

  test.each([
    'base/5/PG_VERSION',
    'base/5/pg_filenode.map',
    'base/5/pg_internal.init',
    'base/5/016384',
    'base/5/0',
    'base/5/4294967296',
    'base/5/99999999999999999999',
    'base/5/16384.0',
    'base/5/16384.01',
    'base/5/16384.',
    'base/5/16384_',
    'base/5/16384_main',
    'base/5/16384_vm_fsm',
    'base/5/16384.1_vm',
    'base/5/t_16384',
    'base/5/t1_',
    'base/5/16384.tmp',
    'base/05/16384',
    'base/16384',
    'base/5/6/16384',
    '16384',
    'global/pg_control',
    'global/5/16384',
    'pg_xact/0000',
    'pg_tblspc/16500/5/16384',
    'pg_tblspc/16500/PG_16_202307071/5/16384',
    'pg_tblspc/016500/PG_17_202406281/5/16384',
    'pg_wal/000000010000000000000001',
    '',
    '/',
  ])('"%s" is none', (path) => {
    expect(parseRelationPath(POSTGRES_17, path)).toBeUndefined();
  });

  test('any file round-trips', () => {
    const oid = fc.integer({ min: 1, max: 0xffff_ffff });
    const relation = fc.oneof(
      fc.record({ tablespace: fc.constant(1664), database: fc.constant(0), relation: oid }),
      fc.record({ tablespace: oid.filter((value) => value !== 1664), database: oid, relation: oid }),
    );
    const files = fc.record({
      relation,
      fork: fc.integer({ min: 0, max: 3 }),
      segment: fc.nat({ max: 32_767 }),
      temporaryBackend: fc.option(fc.nat({ max: 0x3_ffff }), { nil: undefined }),
    });
    fc.assert(
      fc.property(files, (parts) => {
        expect(parseRelationPath(POSTGRES_17, formatRelationPath(POSTGRES_17, parts))).toEqual(parts);
        const { tablespace, database } = parts.relation;
        const directory = formatDatabasePath(POSTGRES_17, tablespace, database);
        expect(parseDatabasePath(POSTGRES_17, directory)).toEqual({ tablespace, database });
      }),
    );
  });
});
