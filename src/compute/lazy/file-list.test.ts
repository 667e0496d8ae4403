import { describe, expect, test } from 'vitest';
import type { StartSetFork } from '../../contracts/start-set.ts';
import { FileList } from './file-list.ts';
import {
  FORK_FACTOR,
  LIST_ENTRY_BYTES,
  LIST_HEADER_BYTES,
  makeReply,
  REPLY_BYTES,
  REPLY_OK,
} from './format.ts';

const forkOf = (database: number, relation: number, fork: number, blocks: number): StartSetFork => ({
  relation: { tablespace: 1663, database, relation },
  fork,
  contentFork: fork,
  blocks,
});

/** The words of each entry of the whole list. */
function readList(list: FileList): number[][] {
  const bytes = Buffer.concat([...list.encode()]);
  const count = bytes.readUInt32LE(8);
  expect(bytes.length).toBe(LIST_HEADER_BYTES + count * LIST_ENTRY_BYTES);
  return Array.from({ length: count }, (_, index) =>
    Array.from({ length: LIST_ENTRY_BYTES / 4 }, (_unused, word) =>
      bytes.readUInt32LE(LIST_HEADER_BYTES + index * LIST_ENTRY_BYTES + word * 4),
    ),
  );
}

describe('a list of files', () => {
  test('has an entry for each file, by key, with its place among the words', () => {
    const list = new FileList();
    expect(list.addSlruSegment({ path: '', slru: 'multixact-offsets', segment: 3, sizeBytes: 8192 })).toBe(0);
    list.addForks([forkOf(5, 100, 0, 131_073)]);
    list.addForks([forkOf(5, 100, 2, 5), forkOf(5, 101, 0, 0), forkOf(6, 1, 0, 1025)]);
    expect(list.addSlruSegment({ path: '', slru: 'clog', segment: 7, sizeBytes: 32 * 8192 })).toBe(6);
    expect(readList(list)).toEqual([
      [0, 0, 7, 0, 32, 133, 6, 0],
      [0, 2, 3, 0, 1, 0, 0, 0],
      [1663, 5, 100, 0, 131_072, 1, 1, 0],
      [1663, 5, 100, 1, 1, 129, 2, 0],
      [1663, 5, 100, 2 * FORK_FACTOR, 5, 130, 3, 2],
      [1663, 5, 101, 0, 0, 131, 4, 0],
      [1663, 6, 1, 0, 1025, 131, 5, 0],
    ]);
    expect(list.presencePages).toBe(134);
    expect(list.find([1663, 5, 100, 1])).toBe(2);
    expect(list.find([0, 0, 7, 0])).toBe(6);
    for (const key of [
      [1663, 5, 100, 2],
      [1663, 4, 100, 0],
      [1663, 7, 1, 0],
      [0, 1, 3, 0],
    ] as const)
      expect(list.find(key)).toBeUndefined();
    expect(list.contentOf(2)).toEqual({
      kind: 'relation',
      relation: { tablespace: 1663, database: 5, relation: 100 },
      contentFork: 0,
      firstBlock: 131_072,
      blocks: 1,
      aroundBlocks: 0,
    });
    expect(list.contentOf(0)).toEqual({ kind: 'slru', slru: 'multixact-offsets', segment: 3, blocks: 1 });
    expect(list.contentOf(7)).toBeUndefined();
  });

  test('finds each of very many, and knows which cannot come any more', () => {
    const list = new FileList();
    for (let start = 0; start < 20_000; start += 1000)
      list.addForks(Array.from({ length: 1000 }, (_, index) => forkOf(5, (start + index) * 2 + 1000, 0, 1)));
    for (let index = 0; index < 20_000; index += 7) {
      expect(list.find([1663, 5, index * 2 + 1000, 0])).toBe(index);
      expect(list.find([1663, 5, index * 2 + 1001, 0])).toBeUndefined();
    }
    expect(list.isPast([1663, 5, 40_997, 0])).toBe(true);
    expect(list.isPast([1663, 5, 40_999, 0])).toBe(false);
    expect(list.isPast([1664, 0, 1, 0])).toBe(false);
    expect(list.isPast([0, 1, 1, 0])).toBe(true);
    expect(readList(list).map(([, , relation]) => relation)).toEqual(
      Array.from({ length: 20_000 }, (_, index) => index * 2 + 1000),
    );
  });

  test('refuses what it cannot hold', () => {
    const list = new FileList();
    list.addForks([forkOf(5, 100, 0, 1)]);
    for (const fork of [
      forkOf(5, 100, 0, 1),
      forkOf(5, 99, 0, 1),
      forkOf(4, 200, 0, 1),
      forkOf(5, 200, 1, 1),
    ])
      expect(() => list.addForks([fork])).toThrow();
    const segment = { path: '', slru: 'clog', segment: 1 } as const;
    expect(() => list.addSlruSegment({ ...segment, sizeBytes: 100 })).toThrow(/no number of pages/);
    expect(() => list.addSlruSegment({ ...segment, sizeBytes: 33 * 8192 })).toThrow(/no number of pages/);
    list.addSlruSegment({ ...segment, sizeBytes: 8192 });
    expect(() => list.addSlruSegment({ ...segment, sizeBytes: 8192 })).toThrow(/twice/);
    const many = Array.from({ length: 5 }, (_, index) => forkOf(6, index + 1, 0, 0xffff_ffff));
    expect(() => list.addForks(many)).toThrow(/cannot be read on demand/);
  });

  test('a reply says how long its payload is', () => {
    const reply = makeReply(4, REPLY_OK, 8192);
    expect(reply.length).toBe(REPLY_BYTES + 8192);
    expect([...new Uint32Array(reply.buffer, 0, 4)]).toEqual([4, 0, 8192, 0]);
  });
});
