import { expect, test } from 'vitest';
import { POSTGRES_17 } from '../postgres/versions/version.ts';
import { formatFreeSpaceMapPart, freeSpaceMapFile, parseFreeSpaceMapPart } from './auxiliary-path.ts';

const TABLESPACE = `pg_tblspc/16400/PG_17_${POSTGRES_17.catalogVersion}`;

test.each([
  ['base/5/16384_fsm/0', { tablespace: 1663, database: 5, relation: 16384 }, 0, 0],
  ['global/1260_fsm/1', { tablespace: 1664, database: 0, relation: 1260 }, 0, 1],
  [
    `${TABLESPACE}/5/4294967295_fsm.3/1023`,
    { tablespace: 16400, database: 5, relation: 4294967295 },
    3,
    1023,
  ],
])('%s is a part of a free space map', (path, relation, segment, part) => {
  expect(parseFreeSpaceMapPart(POSTGRES_17, path)).toEqual({ relation, segment, part });
  expect(formatFreeSpaceMapPart(POSTGRES_17, { relation, segment, part })).toBe(path);
  expect(path.startsWith(`${freeSpaceMapFile(POSTGRES_17, { relation, segment })}/`)).toBe(true);
});

test.each([
  '',
  '/',
  '../x',
  'base/5/16384_fsm',
  'base/5/16384_fsm/',
  'base/5/16384_fsm/00',
  'base/5/16384_fsm/1024',
  'base/5/16384_fsm/-1',
  'base/5/16384_fsm/0/0',
  'base/5/../5/16384_fsm/0',
  'base/5/t3_16384_fsm/0',
  'base/5/016384_fsm/0',
  'base/5/16384_vm/0',
  'base/5/16384/0',
  'base/05/16384_fsm/0',
  '/base/5/16384_fsm/0',
  'pg_tblspc/16400/PG_16_202307071/5/16384_fsm/0',
  'pg_stat/pgstat.stat',
])('%j is none', (path) => {
  expect(parseFreeSpaceMapPart(POSTGRES_17, path)).toBeUndefined();
});
