import { describe, expect, test } from 'vitest';
import type { ObjectStatus, ObjectStore } from '../../src/io/objects.ts';
import { expectError, expectRefusal, type World } from './world.ts';

export interface ObjectsWorld extends World {
  /** An empty one. */
  readonly store: ObjectStore;
}

type Check = (title: string, body: (store: ObjectStore) => Promise<void>) => void;

const never = new AbortController().signal;
const MIB = 1024 * 1024;

/** What every side of the objects door does. */
export function describeObjects(name: string, makeWorld: () => Promise<ObjectsWorld>): void {
  const check: Check = (title, body) => {
    test(title, async () => {
      await using world = await makeWorld();
      await world.run(() => body(world.store));
    });
  };
  describe(`${name}: objects`, () => {
    checkContent(check);
    checkRanges(check);
    checkStreams(check);
    checkLists(check);
    checkRemoval(check);
    checkKeys(check);
    checkConditions(check);
    checkCancellation(check);
  });
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const put = (store: ObjectStore, key: string, text = key): Promise<void> =>
  store.put(key, bytes(text), { signal: never });
const get = async (store: ObjectStore, key: string): Promise<string> =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(await store.get(key, { signal: never }));

async function list(store: ObjectStore, prefix: string): Promise<ObjectStatus[]> {
  const found: ObjectStatus[] = [];
  for await (const status of store.list(prefix, never)) found.push(status);
  return found;
}

const listKeys = async (store: ObjectStore, prefix: string): Promise<string[]> =>
  (await list(store, prefix)).map(({ key }) => key);

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const collected: Uint8Array[] = [];
  for await (const piece of pieces) collected.push(piece);
  return Buffer.concat(collected);
}

/** Bytes in which every stretch differs from every other. */
function pattern(lengthBytes: number, seed: number): Uint8Array {
  const words = new Uint32Array(lengthBytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 0x9e3779b1);
  return new Uint8Array(words.buffer);
}

async function* piecesOf(content: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < content.length; start += pieceBytes) {
    yield content.subarray(start, start + pieceBytes);
  }
}

/** The comparison of the test library takes seconds for megabytes. */
const isSame = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

function checkContent(check: Check): void {
  check('an object is read as it was written', async (store) => {
    const content = Uint8Array.from({ length: 256 }, (_, index) => index);
    await store.put('a/b', content, { signal: never });
    const read = await store.get('a/b', { signal: never });
    expect([...read]).toEqual([...content]);
    expect(read.constructor).toBe(Uint8Array);
    content.fill(0);
    read.fill(0);
    expect((await store.get('a/b', { signal: never }))[255]).toBe(255);
  });

  check('an object is replaced as a whole', async (store) => {
    await put(store, 'a', 'the first one, which is longer');
    await put(store, 'a', 'second');
    expect(await get(store, 'a')).toBe('second');
    expect(await listKeys(store, '')).toEqual(['a']);
  });

  check('an object may be empty', async (store) => {
    await put(store, 'empty', '');
    await store.put(
      'stream',
      { sizeBytes: 0, pieces: () => piecesOf(new Uint8Array(0), 1) },
      { signal: never },
    );
    for (const key of ['empty', 'stream']) {
      expect(await get(store, key)).toBe('');
      expect((await store.head(key, never))?.sizeBytes).toBe(0);
      expect(await collect(store.getStream(key, { signal: never }))).toHaveLength(0);
      expect(await store.get(key, { signal: never, start: 0, end: 5 })).toHaveLength(0);
      expect(await store.get(key, { signal: never, start: 3 })).toHaveLength(0);
    }
  });

  check('head tells size and time', async (store) => {
    await put(store, 'a/b', 'four');
    const status = await store.head('a/b', never);
    expect(status).toMatchObject({ key: 'a/b', sizeBytes: 4 });
    // 2020 to 2200: no seconds and no microseconds.
    expect(status?.modifiedMs).toBeGreaterThan(1_577_836_800_000);
    expect(status?.modifiedMs).toBeLessThan(7_258_118_400_000);
    expect(await store.head('a', never)).toBeUndefined();
    expect(await store.head('a/b/c', never)).toBeUndefined();
    expect(await store.head('c', never)).toBeUndefined();
  });

  check('what is not there is not found', async (store) => {
    await put(store, 'a/b');
    for (const key of ['c', 'a', 'a/c', 'a/b/c']) {
      await expectRefusal(store.get(key, { signal: never }), 'not-found', 'OBJECT_NOT_FOUND');
      await expectRefusal(
        store.get(key, { signal: never, start: 1, end: 2 }),
        'not-found',
        'OBJECT_NOT_FOUND',
      );
      await expectRefusal(
        store.get(key, { signal: never, start: 1, end: 1 }),
        'not-found',
        'OBJECT_NOT_FOUND',
      );
      await expectRefusal(collect(store.getStream(key, { signal: never })), 'not-found', 'OBJECT_NOT_FOUND');
    }
  });
}

function checkRanges(check: Check): void {
  check('reads ranges, cut at the end', async (store) => {
    await put(store, 'a', '0123456789');
    const ranges: [number | undefined, number | undefined, string][] = [
      [0, 10, '0123456789'],
      [0, 1, '0'],
      [9, 10, '9'],
      [3, 7, '3456'],
      [undefined, 4, '0123'],
      [6, undefined, '6789'],
      [6, 1000, '6789'],
      [10, undefined, ''],
      [10, 20, ''],
      [1000, undefined, ''],
      [0, 0, ''],
      [4, 4, ''],
    ];
    for (const [start, end, expected] of ranges) {
      const options = {
        signal: never,
        ...(start !== undefined && { start }),
        ...(end !== undefined && { end }),
      };
      const read = await store.get('a', options);
      expect(new TextDecoder().decode(read), `from ${start} to ${end}`).toBe(expected);
      const streamed = await collect(store.getStream('a', options));
      expect(new TextDecoder().decode(streamed), `from ${start} to ${end}`).toBe(expected);
    }
  });

  check('refuses what is no range', async (store) => {
    await put(store, 'a', '0123456789');
    for (const range of [
      { start: -1 },
      { start: 5, end: 4 },
      { end: -1 },
      { start: 0.5 },
      { start: Number.NaN },
    ]) {
      const options = { signal: never, ...range };
      await expectRefusal(store.get('a', options), 'bad-request', 'BAD_OBJECT_RANGE');
      await expectRefusal(collect(store.getStream('a', options)), 'bad-request', 'BAD_OBJECT_RANGE');
    }
  });
}

function checkStreams(check: Check): void {
  check('20 MiB go in and out in pieces', async (store) => {
    const content = pattern(20 * MIB, 1);
    const body = { sizeBytes: content.length, pieces: () => piecesOf(content, 100_003) };
    await store.put('large', body, { signal: never });
    expect((await store.head('large', never))?.sizeBytes).toBe(content.length);
    expect(isSame(await store.get('large', { signal: never }), content)).toBe(true);

    let pieceBytesMax = 0;
    const hash: Uint8Array[] = [];
    for await (const piece of store.getStream('large', { signal: never })) {
      pieceBytesMax = Math.max(pieceBytesMax, piece.length);
      hash.push(piece);
    }
    expect(isSame(Buffer.concat(hash), content)).toBe(true);
    expect(pieceBytesMax).toBeLessThanOrEqual(4 * MIB);

    const range = { signal: never, start: 5 * MIB - 3, end: 15 * MIB + 7 };
    expect(
      isSame(await collect(store.getStream('large', range)), content.subarray(range.start, range.end)),
    ).toBe(true);
  });

  check('20 MiB go in and out as one buffer', async (store) => {
    const content = pattern(20 * MIB, 2);
    await store.put('large', content, { signal: never });
    expect(isSame(await store.get('large', { signal: never }), content)).toBe(true);
  });

  check('who reads a stream may stop', async (store) => {
    await store.put('large', pattern(10 * MIB, 3), { signal: never });
    for await (const piece of store.getStream('large', { signal: never })) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await store.remove(['large'], never);
    expect(await store.head('large', never)).toBeUndefined();
  });

  check('refuses pieces that are not of the promised size, and keeps nothing of them', async (store) => {
    const content = pattern(3 * MIB, 4);
    await put(store, 'taken', 'old');
    for (const sizeBytes of [content.length - 1, content.length + 1, 0, -1, 1.5]) {
      for (const key of ['free', 'taken']) {
        const body = { sizeBytes, pieces: () => piecesOf(content, 70_000) };
        await expectRefusal(store.put(key, body, { signal: never }), 'bad-request', 'BAD_OBJECT_BODY');
      }
    }
    expect(await listKeys(store, '')).toEqual(['taken']);
    expect(await get(store, 'taken')).toBe('old');
  });

  check('what the pieces throw is thrown, and nothing is kept of them', async (store) => {
    await put(store, 'taken', 'old');
    let hasEnded = false;
    async function* pieces(): AsyncGenerator<Uint8Array> {
      try {
        yield pattern(2 * MIB, 5);
        throw new Error('the source has failed');
      } finally {
        hasEnded = true;
      }
    }
    for (const key of ['free', 'taken']) {
      const action = store.put(key, { sizeBytes: 4 * MIB, pieces }, { signal: never });
      await expect(action).rejects.toThrow('the source has failed');
    }
    expect(hasEnded).toBe(true);
    expect(await listKeys(store, '')).toEqual(['taken']);
    expect(await get(store, 'taken')).toBe('old');
  });

  check('of several written under one key at once, one is there, whole', async (store) => {
    const contents = Array.from({ length: 8 }, (_, index) => pattern(2 * MIB + 400 * index, 100 + index));
    await Promise.all(
      contents.map((content) =>
        store.put(
          'a/b',
          { sizeBytes: content.length, pieces: () => piecesOf(content, 65_536) },
          { signal: never },
        ),
      ),
    );
    const read = await store.get('a/b', { signal: never });
    expect(contents.filter((content) => isSame(content, read))).toHaveLength(1);
    expect(await list(store, '')).toMatchObject([{ key: 'a/b', sizeBytes: read.length }]);
  });
}

function checkLists(check: Check): void {
  check('lists by prefix, in order of the bytes of the whole key', async (store) => {
    // A dot comes before the slash, a zero after it; U+FF5E is less than 💾, although its UTF-16 unit is more.
    const keys = ['a.b', 'a/b', 'a/b.c', 'a/bc/d', 'a0', 'b/c/d', 'b/～', 'b/💾', 'c'];
    for (const key of keys.toReversed()) await put(store, key);
    expect(await listKeys(store, '')).toEqual(keys);
    expect(await listKeys(store, 'a')).toEqual(['a.b', 'a/b', 'a/b.c', 'a/bc/d', 'a0']);
    expect(await listKeys(store, 'a/')).toEqual(['a/b', 'a/b.c', 'a/bc/d']);
    expect(await listKeys(store, 'a/b')).toEqual(['a/b', 'a/b.c', 'a/bc/d']);
    expect(await listKeys(store, 'a/bc/d')).toEqual(['a/bc/d']);
    expect(await listKeys(store, 'a/b/')).toEqual([]);
    expect(await listKeys(store, 'b/c/d/e')).toEqual([]);
    expect(await listKeys(store, 'b/💾')).toEqual(['b/💾']);
    expect(await listKeys(store, 'd')).toEqual([]);
  });

  check('tells sizes and times', async (store) => {
    await put(store, 'a/b', 'four');
    await put(store, 'a/c', '');
    const found = await list(store, 'a/');
    expect(found).toMatchObject([
      { key: 'a/b', sizeBytes: 4 },
      { key: 'a/c', sizeBytes: 0 },
    ]);
    for (const { modifiedMs } of found) expect(modifiedMs).toBeGreaterThan(1_577_836_800_000);
  });

  check('lists and removes more keys than one request takes', async (store) => {
    const keys = Array.from({ length: 1203 }, (_, index) => `many/${String(index).padStart(5, '0')}`);
    for (let i = 0; i < keys.length; i += 100) {
      await Promise.all(keys.slice(i, i + 100).map((key) => put(store, key, '')));
    }
    await put(store, 'other');
    expect(await listKeys(store, 'many/')).toEqual(keys);
    await store.remove(keys, never);
    expect(await listKeys(store, '')).toEqual(['other']);
  });

  check('who reads a list may stop', async (store) => {
    for (const key of ['a', 'b', 'c']) await put(store, key);
    for await (const { key } of store.list('', never)) {
      expect(key).toBe('a');
      break;
    }
    await store.remove(['a'], never);
    expect(await listKeys(store, '')).toEqual(['b', 'c']);
  });
}

function checkRemoval(check: Check): void {
  check('removes, and passes over what is not there', async (store) => {
    for (const key of ['a/b', 'a/c', 'd']) await put(store, key);
    await store.remove(['a/b', 'a/b', 'no', 'a', 'd/e', 'd'], never);
    expect(await listKeys(store, '')).toEqual(['a/c']);
    await store.remove([], never);
    await store.remove(['a/b'], never);
    expect(await listKeys(store, '')).toEqual(['a/c']);
    await put(store, 'a/b', 'again');
    expect(await get(store, 'a/b')).toBe('again');
  });
}

function checkKeys(check: Check): void {
  check('keys may have odd characters', async (store) => {
    const names = [
      ...[
        ' ',
        ' a',
        'a b',
        'a+b',
        'a%20b',
        '%2F',
        '%',
        '&amp;',
        '<a>',
        '"a"',
        "'a'",
        'a&b',
        'a=b?c#d',
        '~!@$^*()',
      ],
      ...[
        'a\\b',
        'a:b',
        'a;b,c',
        '[a]{b}|`',
        'é',
        'e\u0301',
        '日本語',
        '💾',
        '...',
        '.a',
        'a.',
        '-a',
        '\u00a0',
        '\ufeff',
      ],
      ...['x'.repeat(200), 'constructor', '__proto__', '1', '01', 'true', '</Key>', '\u2028', '..a', 'a..'],
    ];
    for (const name of names) await put(store, `odd/${name}/${name}`, name);
    for (const name of names) {
      const key = `odd/${name}/${name}`;
      expect(await get(store, key), key).toBe(name);
      expect(await store.head(key, never), key).toMatchObject({ key });
      expect(await listKeys(store, key), key).toContain(key);
    }
    const inOrder = names
      .map((name) => `odd/${name}/${name}`)
      .sort((a, b) => Buffer.compare(bytes(a), bytes(b)));
    expect(await listKeys(store, 'odd/')).toEqual(inOrder);
    await store.remove(inOrder, never);
    expect(await listKeys(store, '')).toEqual([]);
  });

  check('refuses what is no key, everywhere', async (store) => {
    for (const key of [
      '',
      '/',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/../b',
      './a',
      'a\0',
      'a\nb',
      '\ud800',
      '.temporary/a',
    ]) {
      for (const action of [
        () => put(store, key),
        () => store.get(key, { signal: never }),
        () => collect(store.getStream(key, { signal: never })),
        () => store.head(key, never),
        () => store.remove(['fine', key], never),
      ]) {
        await expectRefusal(action(), 'bad-request', 'BAD_OBJECT_KEY');
      }
    }
    for (const prefix of ['/', '/a', 'a//b', 'a/../b', '../', './a', 'a\0']) {
      await expectRefusal(list(store, prefix), 'bad-request', 'BAD_OBJECT_KEY');
    }
    expect(await listKeys(store, '.temporary')).toEqual([]);
  });

  check('where a key goes on beyond another one, it works or is refused by name', async (store) => {
    await put(store, 'a/b');
    const kept = ['a/b'];
    for (const key of ['a/b/c', 'a', 'a/b/c/d']) {
      for (const onlyIfAbsent of [true, false]) {
        const error = await store.put(key, bytes(key), { signal: never, onlyIfAbsent }).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error === undefined) kept.push(key);
        else if (!kept.includes(key)) expectError(error, 'bad-request', 'BAD_OBJECT_KEY');
      }
    }
    expect(await listKeys(store, '')).toEqual([...new Set(kept)].sort());
    for (const key of kept) expect(await get(store, key)).toBe(key);
    await store.remove(kept, never);
    await put(store, 'a/b', 'again');
    expect(await get(store, 'a/b')).toBe('again');
  });
}

function checkConditions(check: Check): void {
  check('writes only if the key is free', async (store) => {
    const options = { signal: never, onlyIfAbsent: true };
    await store.put('a/b', bytes('first'), options);
    const error = await expectRefusal(
      store.put('a/b', bytes('second'), options),
      'precondition',
      'OBJECT_EXISTS',
    );
    expect(error.message).toContain('a/b');
    expect(await get(store, 'a/b')).toBe('first');
    expect(await listKeys(store, '')).toEqual(['a/b']);
    await store.remove(['a/b'], never);
    await store.put('a/b', { sizeBytes: 5, pieces: () => piecesOf(bytes('third'), 2) }, options);
    expect(await get(store, 'a/b')).toBe('third');
  });

  check('of several that write only if the key is free, one does', async (store) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) =>
        store.put('a/b', bytes(`number ${index}`), { signal: never, onlyIfAbsent: true }),
      ),
    );
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    for (const [index, outcome] of outcomes.entries()) {
      if (index === winner) continue;
      if (outcome.status === 'fulfilled') throw new Error(`number ${index} has written too`);
      expectError(outcome.reason, 'precondition', 'OBJECT_EXISTS');
    }
    expect(await get(store, 'a/b')).toBe(`number ${winner}`);
  });
}

function checkCancellation(check: Check): void {
  check('does nothing when the signal was given before', async (store) => {
    await put(store, 'a', 'old');
    const signal = AbortSignal.abort();
    for (const action of [
      () => store.put('a', bytes('new'), { signal }),
      () => store.put('b', { sizeBytes: 1, pieces: () => piecesOf(bytes('x'), 1) }, { signal }),
      () => store.get('a', { signal }),
      () => collect(store.getStream('a', { signal })),
      () => store.head('a', signal),
      () => store.list('', signal)[Symbol.asyncIterator]().next(),
      () => store.remove(['a'], signal),
    ]) {
      await expectRefusal(action(), 'cancelled', 'CANCELLED');
    }
    expect(await listKeys(store, '')).toEqual(['a']);
    expect(await get(store, 'a')).toBe('old');
  });

  check('a write that is cancelled between its pieces writes nothing', async (store) => {
    await put(store, 'a', 'old');
    for (const key of ['a', 'b']) {
      const controller = new AbortController();
      let hasEnded = false;
      async function* pieces(): AsyncGenerator<Uint8Array> {
        try {
          yield pattern(2 * MIB, 6);
          controller.abort();
          yield pattern(2 * MIB, 7);
        } finally {
          hasEnded = true;
        }
      }
      const action = store.put(key, { sizeBytes: 4 * MIB, pieces }, { signal: controller.signal });
      await expectRefusal(action, 'cancelled', 'CANCELLED');
      expect(hasEnded).toBe(true);
    }
    expect(await listKeys(store, '')).toEqual(['a']);
    expect(await get(store, 'a')).toBe('old');
  });

  check('a stream and a list end where they are cancelled', async (store) => {
    await store.put('a', pattern(10 * MIB, 8), { signal: never });
    await put(store, 'b');
    const streaming = new AbortController();
    const readOn = async (): Promise<void> => {
      for await (const piece of store.getStream('a', { signal: streaming.signal })) {
        expect(piece.length).toBeLessThan(10 * MIB);
        streaming.abort();
      }
    };
    await expectRefusal(readOn(), 'cancelled', 'CANCELLED');
    const listing = new AbortController();
    const listOn = async (): Promise<void> => {
      for await (const { key } of store.list('', listing.signal)) {
        expect(key).toBe('a');
        listing.abort();
      }
    };
    await expectRefusal(listOn(), 'cancelled', 'CANCELLED');
  });
}
