import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FREE_SPACE_MAP_PART_BYTES } from '../contracts/auxiliary-path.ts';
import type { AuxiliaryObject } from '../contracts/auxiliary-stream.ts';
import { nodeFiles } from '../io/node/files.ts';
import { computePageChecksum, writePageChecksum } from '../postgres/page/checksum.ts';
import { FSM_NODES } from '../postgres/page/free-space-map.ts';
import { getPageLsn, initializePage, PAGE_CHECKSUM, Page, setPageLsn } from '../postgres/page/page.ts';
import { POSTGRES_17 } from '../postgres/versions/version.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { packPart } from './free-space-map-content.ts';
import { FreeSpaceMaps } from './free-space-maps.ts';

const PART_BLOCKS = FREE_SPACE_MAP_PART_BYTES / BLOCK_BYTES;
let directory: string;
let data: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'varve-maps-'));
  data = join(directory, 'data');
  for (const name of ['base/5', 'global', 'pg_tblspc']) mkdirSync(join(data, name), { recursive: true });
});

afterEach(() => rmSync(directory, { recursive: true }));

const open = (hasDataChecksums = false): FreeSpaceMaps =>
  new FreeSpaceMaps({ files: nodeFiles, path: data, version: POSTGRES_17, hasDataChecksums });

/** Pages of a map as a server writes them, each with a mark and an LSN. */
function mapPages(marks: readonly number[], hasDataChecksums = false): Uint8Array {
  const bytes = new Uint8Array(marks.length * BLOCK_BYTES);
  for (const [block, mark] of marks.entries()) {
    const page = new Page(bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
    if (mark === 0) continue;
    initializePage(page, 0);
    setPageLsn(page, 7, 9);
    page.bytes[FSM_NODES] = mark;
    if (hasDataChecksums) writePageChecksum(page, block);
  }
  return bytes;
}

let ticks = 0;
function write(name: string, bytes: Uint8Array): void {
  writeFileSync(join(data, name), bytes);
  // As time goes by between two writes.
  const time = 1_700_000_000 + ++ticks;
  utimesSync(join(data, name), time, time);
}

async function changesOf(maps: FreeSpaceMaps): Promise<AuxiliaryObject[]> {
  const objects: AuxiliaryObject[] = [];
  for await (const object of maps.changes()) objects.push(object);
  return objects;
}

async function layOut(
  maps: FreeSpaceMaps,
  objects: readonly AuxiliaryObject[],
  isWanted: (relation: { readonly relation: number }) => boolean = () => true,
): Promise<number> {
  const staging = join(directory, 'maps');
  mkdirSync(staging);
  return await maps.layOut(
    (async function* () {
      yield* objects;
    })(),
    { directory: staging, giveAll: async () => undefined, isWanted },
  );
}

const marksOf = (name: string): number[] => {
  const bytes = readFileSync(join(data, name));
  return Array.from(
    { length: bytes.length / BLOCK_BYTES },
    (_, block) => bytes[block * BLOCK_BYTES + FSM_NODES] ?? 0,
  );
};

test('only what has changed since storage was told is told, and what is gone', async () => {
  const maps = open();
  write('base/5/16384_fsm', mapPages([1, 2, 3]));
  write('global/1260_fsm', mapPages([4]));
  const first = await changesOf(maps);
  expect(first.map(({ path }) => path)).toEqual(['global/1260_fsm/0', 'base/5/16384_fsm/0']);
  // Storage did not get them.
  expect(await changesOf(maps)).toHaveLength(2);
  maps.confirm();
  expect(await changesOf(maps)).toEqual([]);
  // Another LSN, and nothing else, is no change.
  write('global/1260_fsm', mapPages([4], true));
  expect(await changesOf(maps)).toEqual([]);
  maps.confirm();
  write('global/1260_fsm', mapPages([5]));
  rmSync(join(data, 'base/5/16384_fsm'));
  expect(await changesOf(maps)).toEqual([
    { path: 'global/1260_fsm/0', content: expect.any(Uint8Array) },
    { path: 'base/5/16384_fsm/0', content: undefined },
  ]);
  maps.confirm();
  expect(await changesOf(maps)).toEqual([]);
});

test('maps of temporary and unlogged relations, and other files, are left alone', async () => {
  for (const name of [
    't3_16384_fsm',
    '16385_fsm',
    '16385_init',
    '16386_vm',
    '16387',
    'x_fsm',
    '16388_fsm.tmp',
  ])
    write(`base/5/${name}`, mapPages([1]));
  mkdirSync(join(data, 'base/pgsql_tmp'));
  write('base/pgsql_tmp/16389_fsm', mapPages([1]));
  expect(await changesOf(open())).toEqual([]);
});

test('a map goes to another directory, in parts of which only those that changed are told', async () => {
  const marks = Array.from({ length: PART_BLOCKS + 2 }, (_, block) => (block % 250) + 1);
  write('base/5/16384_fsm', mapPages(marks, true));
  mkdirSync(join(data, `pg_tblspc/16400/PG_17_${POSTGRES_17.catalogVersion}/5`), { recursive: true });
  const inTablespace = `pg_tblspc/16400/PG_17_${POSTGRES_17.catalogVersion}/5/16384_fsm`;
  write(inTablespace, mapPages([9], true));
  const maps = open(true);
  const objects = await changesOf(maps);
  expect(objects.map(({ path }) => path).sort()).toEqual([
    'base/5/16384_fsm/0',
    'base/5/16384_fsm/1',
    `${inTablespace}/0`,
  ]);
  maps.confirm();
  marks[PART_BLOCKS] = 251;
  write('base/5/16384_fsm', mapPages(marks, true));
  const [changed, ...others] = await changesOf(maps);
  expect([changed?.path, others]).toEqual(['base/5/16384_fsm/1', []]);
  write('base/5/16384_fsm', mapPages([1], true));
  expect((await changesOf(maps)).map(({ path, content }) => [path, content === undefined])).toEqual([
    ['base/5/16384_fsm/0', false],
    ['base/5/16384_fsm/1', true],
  ]);

  for (const name of ['base/5/16384_fsm', inTablespace]) rmSync(join(data, name));
  const later = open(true);
  expect(await layOut(later, objects.toReversed())).toBe(2);
  marks[PART_BLOCKS] = (PART_BLOCKS % 250) + 1;
  expect(marksOf('base/5/16384_fsm')).toEqual(marks);
  expect(marksOf(inTablespace)).toEqual([9]);
  const laid = new Uint8Array(readFileSync(join(data, 'base/5/16384_fsm')));
  for (const block of [0, PART_BLOCKS, PART_BLOCKS + 1]) {
    const page = new Page(laid.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
    // A server cannot write out a page that is ahead of its WAL.
    expect(getPageLsn(page)).toBe(0);
    expect(page.view.getUint16(PAGE_CHECKSUM, true)).toBe(computePageChecksum(page, block));
  }
  expect(await changesOf(later)).toEqual([]);
});

test('a page that was being written is left out, where checksums tell', async () => {
  const bytes = mapPages([1, 2, 0], true);
  bytes[BLOCK_BYTES + 5000] = 77;
  write('base/5/16384_fsm', bytes);
  const objects = await changesOf(open(true));
  rmSync(join(data, 'base/5/16384_fsm'));
  await layOut(open(true), objects);
  expect(marksOf('base/5/16384_fsm')).toEqual([1, 0, 0]);
});

test('what a server has made itself stays, and what is of no relation, or no map, is forgotten', async () => {
  const maps = open();
  write('base/5/16384_fsm', mapPages([8]));
  const of = (path: string, content: Uint8Array): AuxiliaryObject => ({ path, content });
  const good = packPart(mapPages([3]));
  const random = Uint8Array.from({ length: BLOCK_BYTES }, (_, index) => (index * 7919) % 251);
  const count = await layOut(
    maps,
    [
      of('base/5/16384_fsm/0', good),
      of('base/5/16400_fsm/0', good),
      of('base/6/16384_fsm/0', good),
      of('base/5/16401_fsm/0', Uint8Array.of(1, 2, 3)),
      of('base/5/16402_fsm/0', zstdCompressSync(new Uint8Array(BLOCK_BYTES + 1))),
      of('base/5/16403_fsm/0', zstdCompressSync(new Uint8Array(FREE_SPACE_MAP_PART_BYTES + BLOCK_BYTES))),
      of('base/5/16404_fsm/0', zstdCompressSync(random)),
      of('../../x', good),
      of('base/5/16405_fsm/0', good),
    ],
    ({ relation }) => relation !== 16_400,
  );
  expect(count).toBe(2);
  expect(marksOf('base/5/16384_fsm')).toEqual([8]);
  expect(marksOf('base/5/16405_fsm')).toEqual([3]);
  // Random bytes that could be a page: a server zeroes such with a warning, unless the header is right.
  const laid = new Page(new Uint8Array(readFileSync(join(data, 'base/5/16404_fsm'))));
  expect(getPageLsn(laid)).toBe(0);
  expect(statSync(join(data, 'base/5/16404_fsm')).size).toBe(BLOCK_BYTES);
  const changes = (await changesOf(maps)).map(({ path, content }) => [path, content === undefined]);
  expect(changes).toEqual([
    ['base/5/16384_fsm/0', false],
    ['base/5/16400_fsm/0', true],
    ['base/5/16401_fsm/0', true],
    ['base/5/16402_fsm/0', true],
    ['base/5/16403_fsm/0', true],
    ['base/6/16384_fsm/0', true],
  ]);
});
