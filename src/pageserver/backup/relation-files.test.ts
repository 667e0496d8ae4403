import { expect, test } from 'vitest';
import { RELATION_SEGMENT_BLOCKS } from '../../postgres/files/relation-file-name.ts';
import { computePageChecksum } from '../../postgres/page/checksum.ts';
import { PAGE_CHECKSUM, PAGE_UPPER } from '../../postgres/page/page.ts';
import { POSTGRES_17 } from '../../postgres/versions/version.ts';
import { BLOCK_BYTES, FORK_INIT, FORK_MAIN, FORK_VISIBILITY_MAP } from '../../postgres/wal/record-header.ts';
import type { StartFork } from '../start-set/start-forks.ts';
import { BATCH_PAGES, type RelationBatch, relationBatches } from './relation-batches.ts';
import { type RelationChoice, type RelationFileSource, relationFiles } from './relation-files.ts';

const size = (
  relation: number,
  fork: number,
  blocks: number,
  { database = 5, tablespace = 1663, contentFork = fork } = {},
): StartFork => ({ relation: { tablespace, database, relation }, fork, contentFork, blocks });

async function* inTwo(forks: readonly StartFork[]): AsyncGenerator<readonly StartFork[], void> {
  yield forks.slice(0, 1);
  yield forks.slice(1);
}

const filesOf = (
  forks: readonly StartFork[],
  choice: RelationChoice = 'all',
): AsyncIterable<RelationFileSource> => relationFiles(POSTGRES_17, inTwo(forks), choice);

async function pathsOf(
  forks: readonly StartFork[],
  choice: RelationChoice,
): Promise<[path: string, contentFork: number, blocks: number][]> {
  const files = await Array.fromAsync(filesOf(forks, choice));
  return files.map(({ path, contentFork, blocks }) => [path, contentFork, blocks]);
}

test('each fork has files of at most a gibibyte, and one if it has no block', async () => {
  const forks = [
    size(10, FORK_MAIN, 0),
    size(11, FORK_MAIN, RELATION_SEGMENT_BLOCKS),
    size(12, FORK_MAIN, 2 * RELATION_SEGMENT_BLOCKS + 1),
    size(12, FORK_VISIBILITY_MAP, 2),
    size(12, FORK_MAIN, 1, { database: 6 }),
    size(1262, FORK_MAIN, 1, { database: 0, tablespace: 1664 }),
    size(13, FORK_MAIN, 1, { database: 7, tablespace: 20000 }),
    size(14, FORK_MAIN, 2, { contentFork: FORK_INIT }),
    size(14, FORK_INIT, 2),
  ];
  const unlogged = [
    ['base/5/14', FORK_INIT, 2],
    ['base/5/14_init', FORK_INIT, 2],
  ];
  expect(await pathsOf(forks, 'all')).toEqual([
    ['base/5/10', FORK_MAIN, 0],
    ['base/5/11', FORK_MAIN, RELATION_SEGMENT_BLOCKS],
    ['base/5/12', FORK_MAIN, RELATION_SEGMENT_BLOCKS],
    ['base/5/12.1', FORK_MAIN, RELATION_SEGMENT_BLOCKS],
    ['base/5/12.2', FORK_MAIN, 1],
    ['base/5/12_vm', FORK_VISIBILITY_MAP, 2],
    ['base/6/12', FORK_MAIN, 1],
    ['global/1262', FORK_MAIN, 1],
    [`pg_tblspc/20000/PG_17_202406281/7/13`, FORK_MAIN, 1],
    ...unlogged,
  ]);
  expect(await pathsOf(forks, 'init-forks')).toEqual(unlogged);
});

/** How many pages and bytes each batch has, and which pages, in order. */
async function shapeOf(
  batches: AsyncIterable<RelationBatch>,
): Promise<{ pages: number[]; lengths: number[]; keys: string[] }> {
  const pages: number[] = [];
  const lengths: number[] = [];
  const keys: string[] = [];
  for await (const { bytes, requests } of batches) {
    pages.push(requests.length);
    lengths.push(bytes.length);
    keys.push(...requests.map(({ key }) => `${key.field4}/${key.field5}/${key.index}`));
  }
  return { pages, lengths, keys };
}

test('batches go on over the ends of files', async () => {
  const files = filesOf([size(1, 0, 3), size(2, 0, 0), size(3, 0, 130)]);
  const { pages, lengths, keys } = await shapeOf(relationBatches(files, 1, 0));
  expect(pages).toEqual([BATCH_PAGES, BATCH_PAGES, 133 - 2 * BATCH_PAGES]);
  expect(lengths[0]).toBe(BATCH_PAGES * BLOCK_BYTES + 3 * 512);
  expect(lengths.reduce((sum, length) => sum + length)).toBe(133 * BLOCK_BYTES + 3 * 512);
  expect(keys.slice(0, 5)).toEqual(['1/0/0', '1/0/1', '1/0/2', '3/0/0', '3/0/1']);
  expect(keys.at(-1)).toBe('3/0/129');
});

test('a fork of any length is laid out bit by bit, and so are forks without any', async () => {
  const batches = relationBatches(filesOf([size(1, 0, 0xffff_fffe)]), 1, 0);
  expect((await batches.next()).value?.requests).toHaveLength(BATCH_PAGES);
  const empty = Array.from({ length: 1000 }, (_, index) => size(index + 1, 0, 0));
  const { pages, lengths } = await shapeOf(relationBatches(filesOf(empty), 1, 0));
  expect(pages.every((count) => count === 0)).toBe(true);
  expect(Math.max(...lengths)).toBeLessThan(200_000);
  expect(lengths.reduce((sum, length) => sum + length)).toBe(1000 * 512);
});

test('pages get the checksum of their block number, and new ones none', async () => {
  const relation = { tablespace: 1663, database: 5, relation: 9 };
  const file = { path: 'base/5/9.1', relation, contentFork: FORK_MAIN };
  async function* source(): AsyncGenerator<RelationFileSource, void> {
    yield { ...file, firstBlock: RELATION_SEGMENT_BLOCKS, blocks: 2 };
  }
  const [batch] = await Array.fromAsync(relationBatches(source(), 1, 0));
  const [used, unused] = batch?.requests.map(({ target }) => target) ?? [];
  used?.view.setUint16(PAGE_UPPER, 8000, true);
  batch?.writeChecksums();
  expect(used?.view.getUint16(PAGE_CHECKSUM, true)).toBe(
    used && computePageChecksum(used, RELATION_SEGMENT_BLOCKS),
  );
  expect(unused?.bytes.every((byte) => byte === 0)).toBe(true);
  // What was written is in what goes out.
  expect(batch?.bytes.subarray(512 + PAGE_UPPER, 512 + PAGE_UPPER + 2)).toEqual(Uint8Array.of(0x40, 0x1f));
});
