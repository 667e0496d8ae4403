import { describe, expect, test } from 'vitest';
import type { Files, UpdatableFile } from '../../../src/io/files.ts';
import { expectError, expectRefusal } from '../../conformance/world.ts';
import { Kernel } from '../kernel.ts';
import type { CrashOptions, SimDoors, SimNode } from '../kernel-node.ts';

const LOSE_ALL: CrashOptions = { kind: 'power', survival: 'nothing' };
const KEEP_ALL: CrashOptions = { kind: 'power', survival: 'everything' };
const SOME: CrashOptions = { kind: 'power', survival: 'some' };
const KILL: CrashOptions = { kind: 'kill' };

/** One life, which ends with a crash where the body does. */
async function live(
  node: SimNode,
  crash: CrashOptions,
  body: (files: Files, doors: SimDoors) => Promise<void>,
): Promise<void> {
  const { doors } = node.start(() => undefined);
  await node.kernel.perform(() => body(doors.files, doors));
  node.crash(crash);
}

function nodeFor(seed = 1): SimNode {
  const node = new Kernel(seed).addNode('node');
  node.disk.provideDirectory('/data');
  node.disk.faults.writeBackChance = 0;
  return node;
}

const pattern = (value: number, lengthBytes: number): Uint8Array => new Uint8Array(lengthBytes).fill(value);

async function put(files: Files, path: string, bytes: Uint8Array, isSynced = true): Promise<void> {
  await using file = await files.openForUpdate(path);
  await file.write(bytes, 0, bytes.length, 0);
  if (isSynced) await file.sync();
}

async function get(files: Files, path: string): Promise<number[]> {
  await using file = await files.open(path);
  const bytes = new Uint8Array(file.sizeBytes);
  await file.read(bytes, 0, bytes.length, 0);
  return [...bytes];
}

describe('names', () => {
  test('a synced file without a synced name is gone, or there, whole', async () => {
    for (const [crash, names] of [
      [LOSE_ALL, []],
      [KEEP_ALL, ['a']],
      [KILL, ['a']],
    ] as const) {
      const node = nodeFor();
      await live(node, crash, (files) => put(files, '/data/a', pattern(1, 5000)));
      await live(node, crash, async (files) => {
        expect(await files.list('/data')).toEqual(names);
        if (names.length > 0) expect(await get(files, '/data/a')).toEqual([...pattern(1, 5000)]);
      });
    }
  });

  test('a synced name of an un-synced file is an empty file', async () => {
    const node = nodeFor();
    await live(node, LOSE_ALL, async (files) => {
      await put(files, '/data/a', pattern(1, 5000), false);
      await files.syncDirectory('/data');
    });
    await live(node, LOSE_ALL, async (files) => expect(await get(files, '/data/a')).toEqual([]));
  });

  test('a directory is only as durable as its own name is', async () => {
    const node = nodeFor();
    await live(node, LOSE_ALL, async (files) => {
      await files.makeDirectory('/data/in/deep');
      await put(files, '/data/in/deep/a', pattern(1, 10));
      await files.syncDirectory('/data/in/deep');
      await files.syncDirectory('/data/in');
    });
    await live(node, LOSE_ALL, async (files) => {
      expect(await files.list('/data')).toEqual([]);
      await files.makeDirectory('/data/in/deep');
      await put(files, '/data/in/deep/a', pattern(2, 10));
      for (const path of ['/data/in/deep', '/data/in', '/data']) await files.syncDirectory(path);
    });
    await live(node, LOSE_ALL, async (files) => {
      expect(await get(files, '/data/in/deep/a')).toEqual([...pattern(2, 10)]);
    });
  });

  test('changes of a directory that were not synced are left in the order in which they were made', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const node = nodeFor(seed);
      await live(node, SOME, async (files) => {
        await put(files, '/data/0', pattern(1, 1));
        await files.syncDirectory('/data');
        await put(files, '/data/1', pattern(1, 1));
        await files.rename('/data/0', '/data/2');
        await files.remove('/data/1');
        await put(files, '/data/3', pattern(1, 1));
      });
      await live(node, SOME, async (files) => void seen.add((await files.list('/data')).join(' ')));
    }
    expect([...seen].sort()).toEqual(['0', '0 1', '1 2', '2', '2 3']);
  });

  test('a rename from one directory into another is durable in both', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const node = nodeFor(seed);
      node.disk.provideDirectory('/data/x');
      node.disk.provideDirectory('/data/y');
      await live(node, SOME, async (files) => {
        await put(files, '/data/x/a', pattern(1, 1));
        await files.syncDirectory('/data/x');
        await put(files, '/data/y/b', pattern(1, 1));
        await files.rename('/data/x/a', '/data/y/a');
        if (seed % 2 === 0) await files.syncDirectory('/data/x');
      });
      await live(node, SOME, async (files) => {
        const names = [...(await files.list('/data/x')), '|', ...(await files.list('/data/y'))].join(' ');
        if (seed % 2 === 0) expect(names).toBe('| a b');
        seen.add(names);
      });
    }
    expect([...seen].sort()).toEqual(['a |', 'a | b', '| a b']);
  });

  test('a removed file comes back whose removal was not synced', async () => {
    const node = nodeFor();
    await live(node, LOSE_ALL, async (files) => {
      await put(files, '/data/a', pattern(1, 10));
      await files.syncDirectory('/data');
      await files.remove('/data/a');
      await put(files, '/data/a', pattern(2, 10));
    });
    await live(node, LOSE_ALL, async (files) =>
      expect(await get(files, '/data/a')).toEqual([...pattern(1, 10)]),
    );
  });
});

describe('content', () => {
  async function withFile(node: SimNode, crash: CrashOptions, body: (file: UpdatableFile) => Promise<void>) {
    await live(node, crash, async (files) => {
      const file = await files.openForUpdate('/data/a');
      await files.syncDirectory('/data');
      await body(file);
    });
  }
  const leftOn = async (node: SimNode): Promise<number[]> => {
    let bytes: number[] = [];
    await live(node, KILL, async (files) => {
      bytes = await get(files, '/data/a');
    });
    return bytes;
  };

  test('what was synced stays, and what was written after it is lost', async () => {
    const node = nodeFor();
    await withFile(node, LOSE_ALL, async (file) => {
      file.writeNow(pattern(1, 6000), 0, 6000, 0);
      await file.sync();
      file.writeNow(pattern(2, 3000), 0, 3000, 5000);
      await file.resize(100_000);
    });
    expect(await leftOn(node)).toEqual([...pattern(1, 6000)]);
  });

  test('a process that is killed loses nothing that it wrote', async () => {
    const node = nodeFor();
    await withFile(node, KILL, async (file) => file.writeNow(pattern(1, 6000), 0, 6000, 0));
    expect(await leftOn(node)).toEqual([...pattern(1, 6000)]);
    // It is in the cache only, and goes with the power.
    node.start(() => undefined);
    node.crash(LOSE_ALL);
    expect(await leftOn(node)).toEqual([]);
  });

  test('a sync covers what was written before it began, and not what came while it ran', async () => {
    for (const crash of [LOSE_ALL, KEEP_ALL]) {
      const node = nodeFor();
      await withFile(node, crash, async (file) => {
        file.writeNow(pattern(1, 1024), 0, 1024, 0);
        const synced = file.sync();
        file.writeNow(pattern(2, 512), 0, 512, 512);
        file.writeNow(pattern(2, 512), 0, 512, 1024);
        await synced;
      });
      const lost = [...pattern(1, 1024)];
      expect(await leftOn(node)).toEqual(
        crash === LOSE_ALL ? lost : [...pattern(1, 512), ...pattern(2, 1024)],
      );
    }
  });

  test('sectors are lost and left one by one, and whole', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 300; seed++) {
      const node = nodeFor(seed);
      await withFile(node, SOME, async (file) => {
        file.writeNow(pattern(1, 1536), 0, 1536, 0);
        await file.sync();
        file.writeNow(pattern(2, 1536), 0, 1536, 0);
      });
      const bytes = await leftOn(node);
      const sectors = [0, 512, 1024].map((start) => new Set(bytes.slice(start, start + 512)));
      for (const values of sectors) expect(values.size).toBe(1);
      seen.add(sectors.map((values) => [...values].join()).join(''));
    }
    expect([...seen].sort()).toEqual(['111', '112', '121', '122', '211', '212', '221', '222']);
  });

  test('a file that was growing has any size between, and zeros where a sector was lost', async () => {
    const sizes = new Set<number>();
    let holes = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const node = nodeFor(seed);
      await withFile(node, SOME, async (file) => file.writeNow(pattern(3, 5000), 0, 5000, 0));
      const bytes = await leftOn(node);
      sizes.add(bytes.length);
      if (bytes.length > 0 && bytes.includes(0)) holes++;
      expect(bytes.every((value) => value === 0 || value === 3)).toBe(true);
    }
    expect(sizes.size).toBeGreaterThan(5);
    expect(sizes).toContain(0);
    expect(sizes).toContain(5000);
    expect(holes).toBeGreaterThan(10);
  });

  test('what was cut off comes back only with the old size, and never in a file that grows again', async () => {
    for (const crash of [LOSE_ALL, KEEP_ALL, SOME]) {
      for (let seed = 1; seed <= 40; seed++) {
        const node = nodeFor(seed);
        await withFile(node, crash, async (file) => {
          file.writeNow(pattern(1, 9000), 0, 9000, 0);
          await file.sync();
          await file.resize(100);
        });
        const bytes = await leftOn(node);
        expect([100, 9000]).toContain(bytes.length);
        if (crash === LOSE_ALL) expect(bytes).toEqual([...pattern(1, 9000)]);
        await withFile(node, KEEP_ALL, async (file) => {
          await file.resize(50);
          await file.sync();
          await file.resize(10_000);
        });
        expect((await leftOn(node)).slice(50)).toEqual([...new Uint8Array(9950)]);
      }
    }
  });

  test('what was lost beyond the end of a file does not come back when it grows', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const node = nodeFor(seed);
      await withFile(node, SOME, async (file) => file.writeNow(pattern(3, 4000), 0, 4000, 0));
      const { length } = await leftOn(node);
      await withFile(node, LOSE_ALL, async (file) => {
        await file.resize(5000);
        await file.sync();
        file.writeNow(pattern(4, 5000), 0, 5000, 0);
      });
      expect((await leftOn(node)).slice(length)).toEqual([...new Uint8Array(5000 - length)]);
    }
  });

  test('the last of several syncs under way leaves the last content, whatever was written back meanwhile', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const node = nodeFor(seed);
      node.disk.faults.writeBackChance = seed % 2;
      await withFile(node, LOSE_ALL, async (file) => {
        const syncs: Promise<void>[] = [];
        for (let value = 1; value <= 5; value++) {
          file.writeNow(pattern(value, 1024), 0, 1024, 0);
          if (value !== 3) syncs.push(file.sync());
        }
        await (seed % 3 === 0 ? syncs.at(-1) : Promise.all(syncs));
      });
      expect(await leftOn(node)).toEqual([...pattern(5, 1024)]);
    }
  });

  test('what was written while a sync ran is covered by the next one', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const node = nodeFor(seed);
      node.disk.faults.writeBackChance = 1;
      await withFile(node, LOSE_ALL, async (file) => {
        file.writeNow(pattern(1, 1024), 0, 1024, 0);
        const synced = file.sync();
        for (const value of [2, 3]) file.writeNow(pattern(value, 1024), 0, 1024, 0);
        for (const value of [4, 5]) file.writeNow(pattern(value, 1024), 0, 1024, 4096);
        await synced;
        await file.sync();
      });
      const bytes = await leftOn(node);
      expect([...bytes.slice(0, 1024), ...bytes.slice(4096)]).toEqual([
        ...pattern(3, 1024),
        ...pattern(5, 1024),
      ]);
    }
  });

  test('wrong bits come only into sectors that were not synced', async () => {
    let wrong = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const node = nodeFor(seed);
      node.disk.faults.bitFlipChance = 1;
      await withFile(node, KEEP_ALL, async (file) => {
        file.writeNow(pattern(1, 1024), 0, 1024, 0);
        await file.sync();
        file.writeNow(pattern(1, 1024), 0, 1024, 1024);
      });
      const bytes = await leftOn(node);
      expect(bytes.slice(0, 1024)).toEqual([...pattern(1, 1024)]);
      if (bytes.slice(1024).some((value) => value !== 1)) wrong++;
    }
    expect(wrong).toBe(100);
  });

  test('the operating system writes back un-asked, so that any of several contents may be left', async () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 100; seed++) {
      const node = nodeFor(seed);
      node.disk.faults.writeBackChance = 0.5;
      await withFile(node, LOSE_ALL, async (file) => {
        file.writeNow(pattern(1, 512), 0, 512, 0);
        await file.sync();
        for (const value of [2, 3, 4]) file.writeNow(pattern(value, 512), 0, 512, 0);
      });
      seen.add((await leftOn(node))[0] as number);
    }
    expect([...seen].sort()).toEqual([1, 2, 3]);
  });
});

describe('faults', () => {
  test('a full disk takes what it has room for, and takes more when something is removed', async () => {
    const node = nodeFor();
    node.disk.capacityBytes = 8 * 4096;
    await live(node, KILL, async (files) => {
      const file = await files.openForUpdate('/data/a');
      await file.resize(16 * 1024 * 1024);
      expect((await files.space('/data')).availableBytes).toBe(8 * 4096);
      await put(files, '/data/b', pattern(1, 4 * 4096));
      let error: unknown;
      try {
        file.writeNow(pattern(1, 6 * 4096), 0, 6 * 4096, 0);
      } catch (reason) {
        error = reason;
      }
      expectError(error, 'unavailable', 'FILE_IO');
      expect((await files.space('/data')).availableBytes).toBe(0);
      await expectRefusal(file.write(pattern(1, 1), 0, 1, 8 * 4096), 'unavailable', 'FILE_IO');
      await files.remove('/data/b');
      await file.write(pattern(1, 6 * 4096), 0, 6 * 4096, 0);
      await file.close();
      await files.remove('/data/a');
      expect((await files.space('/data')).availableBytes).toBe(8 * 4096);
    });
  });

  test('operations fail that are chosen by their kind and path', async () => {
    const node = nodeFor();
    await live(node, KILL, async (files) => {
      node.disk.faults.failNext('names', 'data/a', 2);
      await expectRefusal(files.openForUpdate('/data/a'), 'unavailable', 'FILE_IO');
      await put(files, '/data/b', pattern(1, 10));
      await expectRefusal(files.rename('/data/a', '/data/c'), 'unavailable', 'FILE_IO');
      await put(files, '/data/a', pattern(1, 10));
      node.disk.faults.failNext('read', '/data/b');
      await expectRefusal(files.open('/data/b'), 'unavailable', 'FILE_IO');
      node.disk.faults.failChance.write = 1;
      const file = await files.openForUpdate('/data/b');
      expect(() => file.writeNow(pattern(1, 10), 0, 10, 0)).toThrow('the simulated disk fails');
    });
  });

  test('after a failed sync some is lost, the next sync knows nothing of it, and reading anew tells', async () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 50; seed++) {
      const node = nodeFor(seed);
      let told: number[] = [];
      await live(node, LOSE_ALL, async (files) => {
        const file = await files.openForUpdate('/data/a');
        await files.syncDirectory('/data');
        file.writeNow(pattern(1, 4096), 0, 4096, 0);
        node.disk.faults.failNext('sync', '/data/a');
        await expectRefusal(file.sync(), 'unavailable', 'FILE_IO');
        await file.sync();
        await file.close();
        told = await get(files, '/data/a');
      });
      await live(node, KILL, async (files) => expect(await get(files, '/data/a')).toEqual(told));
      seen.add(told.filter((value) => value === 1).length);
    }
    expect(seen.size).toBeGreaterThan(3);
  });

  test('syncs take as long as the disk says', async () => {
    const node = nodeFor();
    node.disk.faults.latency.sync = { minUs: 20_000, maxUs: 30_000, tailChance: 0, tailFactor: 1 };
    await live(node, KILL, async (files, { clock }) => {
      const file = await files.openForUpdate('/data/a');
      const startMs = clock.monotonicMs();
      file.writeNow(pattern(1, 10), 0, 10, 0);
      expect(clock.monotonicMs()).toBe(startMs);
      await file.sync();
      expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(19.99);
      expect(clock.monotonicMs() - startMs).toBeLessThan(31);
    });
  });
});
