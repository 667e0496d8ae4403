import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { compressStream } from './compress-stream.ts';
import { joinPieces } from './join-pieces.ts';
import { oneAhead } from './one-ahead.ts';

async function* pieces(count: number, lengthBytes: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index++) yield new Uint8Array(lengthBytes).fill(index);
}

async function* numbers(count: number): AsyncGenerator<number, void> {
  for (let number = 1; number <= count; number++) yield number;
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

test('one is under way while another is used, and never more', async () => {
  const log: string[] = [];
  const results = oneAhead(numbers(4), async (item) => {
    log.push(`begin ${item}`);
    await Promise.resolve();
    log.push(`end ${item}`);
    return item;
  });
  expect(log).toEqual([]);
  for await (const item of results) {
    await new Promise((resolve) => setImmediate(resolve));
    log.push(`used ${item}`);
  }
  const order = ['begin 1', 'end 1', 'begin 2', 'end 2', 'used 1', 'begin 3', 'end 3', 'used 2'];
  expect(log).toEqual([...order, 'begin 4', 'end 4', 'used 3', 'used 4']);
});

test('whoever stops early waits for the one that is under way, and no other is begun', async () => {
  let begun = 0;
  let ended = 0;
  const results = oneAhead(numbers(4), async (item) => {
    begun++;
    await new Promise((resolve) => setImmediate(resolve));
    ended++;
    return item;
  });
  for await (const _ of results) break;
  expect([begun, ended]).toEqual([2, 2]);
});

test('what fails ahead of time is told when its turn comes', async () => {
  const results = oneAhead(numbers(3), async (item) => {
    if (item === 2) throw new Error('two');
    return item;
  });
  const seen: number[] = [];
  await expect(
    (async () => {
      for await (const item of results) {
        await new Promise((resolve) => setImmediate(resolve));
        seen.push(item);
      }
    })(),
  ).rejects.toThrow('two');
  expect(seen).toEqual([1]);
  // And nobody is told who has left.
  const left = oneAhead(numbers(2), async (item) => {
    if (item === 2) throw new Error('two');
    return item;
  });
  for await (const _ of left) break;
});

test.each([
  [10_000, 100],
  [30, 20_000],
  [5, 400_000],
  [3, 32_768],
  [1, 0],
  [0, 0],
])('%i pieces of %i bytes are joined, and nothing is lost', async (count, lengthBytes) => {
  const chunks = await collect(joinPieces(pieces(count, lengthBytes)));
  const expected = Buffer.concat(await collect(pieces(count, lengthBytes)));
  expect(Buffer.compare(Buffer.concat(chunks), expected)).toBe(0);
  expect(chunks.every((chunk) => chunk.length > 0)).toBe(true);
  expect(chunks.length).toBeLessThanOrEqual(
    Math.max(count * (lengthBytes >= 32_768 ? 1 : 0), expected.length / 65_536 + 1),
  );
});

test('gzip and zstd decode to the same bytes', async () => {
  const expected = Buffer.concat(await collect(pieces(50, 40_000)));
  const [none, gzip, zstd] = await Promise.all(
    (['none', 'gzip', 'zstd'] as const).map(async (compression) =>
      Buffer.concat(await collect(compressStream(pieces(50, 40_000), compression))),
    ),
  );
  expect(Buffer.compare(none ?? Buffer.alloc(0), expected)).toBe(0);
  expect(Buffer.compare(gunzipSync(gzip ?? ''), expected)).toBe(0);
  expect(Buffer.compare(zstdDecompressSync(zstd ?? ''), expected)).toBe(0);
});

test.each(['gzip', 'zstd'] as const)(
  'a failure comes through %s, and a stop goes back through it',
  async (compression) => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* pieces(3, 40_000);
      throw new RangeError('broken');
    }
    await expect(collect(compressStream(failing(), compression))).rejects.toThrow(RangeError);
    let taken = 0;
    let isEnded = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield crypto.getRandomValues(new Uint8Array(60_000)).fill(++taken, 0, 1);
      } finally {
        isEnded = true;
      }
    }
    for await (const _ of compressStream(endless(), compression)) break;
    expect(isEnded).toBe(true);
    expect(taken).toBeLessThan(20);
  },
);
