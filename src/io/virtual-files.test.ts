import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeFiles } from '../../test/conformance/files.ts';
import { expectRefusal } from '../../test/conformance/world.ts';
import { Kernel } from '../../test/sim/kernel.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { VarveError } from '../base/errors.ts';
import type { Files, ReadableFile } from './files.ts';
import { nodeFiles } from './node/files.ts';
import { openFilesEngine } from './node/files-engine.ts';
import { VirtualFiles } from './virtual-files.ts';
import { wrapSyncs } from './wrap-syncs.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-virtual-'));
});
afterAll(() => rm(directory, { recursive: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const turns = async (count = 20): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

async function textOf(file: ReadableFile, length = file.sizeBytes): Promise<string> {
  const target = new Uint8Array(length);
  const count = await file.read(target, 0, length, 0);
  return new TextDecoder().decode(target.subarray(0, count));
}

/** A door that knows how many of its files are open, and lets reads wait. */
function watchOpen(inner: Files) {
  const watched = { now: 0, most: 0, opened: [] as string[], stall: undefined as Promise<void> | undefined };
  const watch = <File extends ReadableFile>(file: File): File => {
    watched.now++;
    watched.most = Math.max(watched.most, watched.now);
    watched.opened.push(file.path.split('/').at(-1) as string);
    const [read, close] = [file.read.bind(file), file.close.bind(file)];
    let isOpen = true;
    file.read = async (...range) => {
      expect(isOpen).toBe(true);
      await watched.stall;
      expect(isOpen).toBe(true);
      return read(...range);
    };
    file.close = async () => {
      if (isOpen) watched.now--;
      isOpen = false;
      await close();
    };
    return file;
  };
  const files: Files = {
    ...wrapSyncs(inner, (sync) => sync()),
    open: async (path) => watch(await inner.open(path)),
    openForUpdate: async (path) => watch(await inner.openForUpdate(path)),
  };
  return { watched, files };
}

/** Files with their names as content, in a directory of their own. */
async function makeFiles(name: string, count: number, cap: number) {
  const root = join(directory, name);
  await nodeFiles.makeDirectory(root);
  const paths = Array.from({ length: count }, (_, index) => join(root, `f${index}`));
  for (const [index, path] of paths.entries()) await nodeFiles.create(path, bytes(`f${index}`));
  const { watched, files } = watchOpen(nodeFiles);
  return { root, paths, watched, files: new VirtualFiles(files, { maxDescriptors: cap }) };
}

describe('descriptors', () => {
  test.each(['portable', 'direct'])(
    'VF-05: 5000 open files take no more descriptors than allowed: %s',
    async (name) => {
      const root = join(directory, `many-${name}`);
      await nodeFiles.makeDirectory(root);
      const paths = Array.from({ length: 5000 }, (_, index) => join(root, `layer-${index}`));
      for (const path of paths) await nodeFiles.create(path, bytes(path));
      const { files: inner, descriptorsPerFile } = openFilesEngine(name);
      const { watched, files: watchedFiles } = watchOpen(inner);
      const files = new VirtualFiles(watchedFiles, { maxDescriptors: 64, descriptorsPerFile });
      const descriptors = (): number => readdirSync('/proc/self/fd').length;
      const before = process.platform === 'linux' ? descriptors() : 0;
      let mostDescriptors = 0;
      const open = await Promise.all(paths.map((path) => files.open(path)));
      const random = new SeededRandom(1);
      await Promise.all(
        Array.from({ length: 10_000 }, async (_, turn) => {
          const index = random.below(open.length);
          expect(await textOf(open[index] as ReadableFile)).toBe(paths[index]);
          if (turn % 500 === 0 && process.platform === 'linux') {
            mostDescriptors = Math.max(mostDescriptors, descriptors() - before);
          }
        }),
      );
      expect(watched.most).toBe(64 / descriptorsPerFile);
      // One that is being closed has given its place away only when it is closed; directories may be open for a moment.
      expect(mostDescriptors).toBeLessThanOrEqual(64 + 2);
      expect(files.counts.descriptorsOpen).toBe(64);
      expect(files.counts.evicted).toBeGreaterThan(4000);
      await Promise.all(open.map((file) => file.close()));
      expect([files.counts.descriptorsOpen, watched.now]).toEqual([0, 0]);
    },
  );

  test('VF-05: the file that was used least recently gives its descriptor back', async () => {
    const { paths, files, watched } = await makeFiles('recent', 4, 3);
    const open = await Promise.all(paths.slice(0, 3).map((path) => files.open(path)));
    await textOf(open[0] as ReadableFile);
    expect(open[1]!.readNow(new Uint8Array(2), 0, 2, 0)).toBe(2);
    const fourth = await files.open(paths[3] as string);
    expect(open.map((file) => file.readNow(new Uint8Array(2), 0, 2, 0))).toEqual([2, 2, -1]);
    watched.opened.length = 0;
    expect(await textOf(open[2] as ReadableFile)).toBe('f2');
    expect(await textOf(fourth)).toBe('f3');
    expect(watched.opened).toEqual(['f2', 'f3']);
    expect(files.counts).toMatchObject({
      opened: 6,
      evicted: 3,
      descriptorsOpen: 3,
      reads: 6,
      bytesRead: 12,
    });
    for (const file of [...open, fourth]) await file.close();
  });

  test('VF-05: a file in use keeps its descriptor, and who needs one waits', async () => {
    const { paths, files, watched } = await makeFiles('busy', 4, 2);
    const open: ReadableFile[] = [];
    for (const path of paths.slice(0, 3)) open.push(await files.open(path));
    const { promise, resolve } = Promise.withResolvers<void>();
    watched.stall = promise;
    const done: string[] = [];
    const reads = open.map(async (file) => done.push(await textOf(file)));
    const opening = files.open(paths[3] as string).then((file) => {
      done.push('opened');
      return file;
    });
    await turns();
    expect([done, watched.most, files.counts.descriptorsOpen]).toEqual([[], 2, 2]);
    resolve();
    await Promise.all(reads);
    open.push(await opening);
    expect(done.sort()).toEqual(['f0', 'f1', 'f2', 'opened']);
    expect(watched.most).toBe(2);
    expect(files.counts.waits).toBeGreaterThan(0);
    for (const file of open) await file.close();
    expect(files.counts.descriptorsOpen).toBe(0);
  });

  test('VF-05: a file that is updated keeps its descriptor, and reading goes on beside as many as there may be', async () => {
    const { root, paths, files, watched } = await makeFiles('updated', 20, 8);
    const updated = await Promise.all(
      Array.from({ length: 6 }, (_, index) => files.openForUpdate(join(root, `u${index}`))),
    );
    let isSeventhOpen = false;
    const seventh = files.openForUpdate(join(root, 'u6')).then((file) => {
      isSeventhOpen = true;
      return file;
    });
    const readers = await Promise.all(paths.map((path) => files.open(path)));
    for (const [index, file] of readers.entries()) expect(await textOf(file)).toBe(`f${index}`);
    for (const file of updated) {
      file.writeNow(bytes('abc'), 0, 3, 0);
      await file.write(bytes('abc'), 0, 3, 3);
      expect(file.readNow(new Uint8Array(9), 0, 9, 0)).toBe(6);
    }
    expect([isSeventhOpen, watched.most]).toEqual([false, 8]);
    await updated[3]!.close();
    await updated[3]!.close();
    await (await seventh).close();
    const { counts } = files;
    expect(counts).toMatchObject({ writes: 12, bytesWritten: 36, waits: expect.any(Number), syncs: 0 });
    for (const file of [...updated, ...readers]) await file.close();
    expect([files.counts.descriptorsOpen, watched.now, watched.most]).toEqual([0, 0, 8]);
  });

  test('VF-05: what cannot be opened takes no descriptor', async () => {
    const { root, paths, files } = await makeFiles('refused', 3, 2);
    for (let count = 0; count < 5; count++) {
      await expectRefusal(files.open(join(root, 'none')), 'not-found', 'FILE_NOT_FOUND');
      await expectRefusal(files.openForUpdate(root), 'bad-request', 'IS_A_DIRECTORY');
    }
    const open = await Promise.all(paths.map((path) => files.open(path)));
    // Somebody goes around the door.
    await rm(paths[0] as string);
    await textOf(open[1] as ReadableFile);
    await textOf(open[2] as ReadableFile);
    for (let count = 0; count < 5; count++) {
      await expectRefusal(textOf(open[0] as ReadableFile), 'not-found', 'FILE_NOT_FOUND');
    }
    for (let count = 0; count < 3; count++) {
      await textOf(open[1] as ReadableFile);
      await textOf(open[2] as ReadableFile);
      await expectRefusal(files.remove(paths[0] as string), 'not-found', 'FILE_NOT_FOUND');
    }
    expect(await textOf(open[1] as ReadableFile)).toBe('f1');
    for (const file of open) await file.close();
    expect(files.counts.descriptorsOpen).toBe(0);
  });

  test('VF-05: closing waits for a read that waits for a descriptor', async () => {
    const { paths, files, watched } = await makeFiles('closing', 3, 2);
    const open = await Promise.all(paths.map((path) => files.open(path)));
    const { promise, resolve } = Promise.withResolvers<void>();
    watched.stall = promise;
    const reads = [1, 2, 0].map((index) => textOf(open[index] as ReadableFile));
    const closing = open[0]!.close();
    await turns();
    resolve();
    expect(await Promise.all(reads)).toEqual(['f1', 'f2', 'f0']);
    await closing;
    await expect(textOf(open[0] as ReadableFile)).rejects.toThrow(/closed/);
    for (const file of open) await file.close();
    expect([files.counts.descriptorsOpen, watched.now]).toEqual([0, 0]);
  });

  test('too few descriptors are refused', () => {
    expect(() => new VirtualFiles(nodeFiles, { maxDescriptors: 1 })).toThrow(/too few/);
    expect(() => new VirtualFiles(nodeFiles, { maxDescriptors: 3, descriptorsPerFile: 2 })).toThrow(
      /too few/,
    );
  });
});

describe('names', () => {
  test('VF-08: a file without a descriptor is found under its new name', async () => {
    const { root, paths, files } = await makeFiles('renamed', 5, 2);
    const open = await Promise.all(paths.map((path) => files.open(path)));
    await files.rename(paths[0] as string, join(root, 'other'));
    await files.makeDirectory(join(root, 'd'));
    await files.rename(paths[1] as string, join(root, 'd/in'));
    await files.rename(join(root, 'd'), join(root, 'e'));
    await files.rename(join(root, 'e/in'), join(root, 'e/in'));
    for (const [index, file] of open.entries()) expect(await textOf(file)).toBe(`f${index}`);
    await expectRefusal(files.rename(paths[2] as string, join(root, 'e')), 'bad-request', 'IS_A_DIRECTORY');
    for (const [index, file] of open.entries()) expect(await textOf(file)).toBe(`f${index}`);
    for (const file of open) await file.close();
    expect(files.counts.descriptorsOpen).toBe(0);
  });

  test('VF-08: a name does not change while a file is being opened by it', async () => {
    const { root, paths } = await makeFiles('opening', 3, 2);
    let stall: Promise<void> | undefined;
    const reached = Promise.withResolvers<void>();
    const order: string[] = [];
    const inner: Files = {
      ...nodeFiles,
      open: async (path) => {
        if (stall !== undefined) reached.resolve();
        await stall;
        order.push(`open ${path.split('/').at(-1)}`);
        return nodeFiles.open(path);
      },
      rename: (from, to) => {
        order.push('rename');
        return nodeFiles.rename(from, to);
      },
    };
    const files = new VirtualFiles(inner, { maxDescriptors: 2 });
    const open: ReadableFile[] = [];
    // The first one is without a descriptor in the end.
    for (const path of paths) open.push(await files.open(path));
    const { promise, resolve } = Promise.withResolvers<void>();
    stall = promise;
    order.length = 0;
    const read = textOf(open[0] as ReadableFile);
    await reached.promise;
    const renaming = files.rename(paths[0] as string, join(root, 'other'));
    await turns();
    resolve();
    expect(await read).toBe('f0');
    await renaming;
    expect(order).toEqual(['open f0', 'rename']);
    for (const file of open) await file.close();
  });

  test('VF-08: a file that has lost its name is read until it is closed', async () => {
    const { root, paths, files } = await makeFiles('lost', 10, 8);
    const open = await Promise.all(paths.map((path) => files.open(path)));
    await files.remove(paths[0] as string);
    await files.rename(paths[1] as string, paths[2] as string);
    await files.create(paths[0] as string, bytes('new'));
    await files.makeDirectory(join(root, 'd'));
    await files.rename(paths[3] as string, join(root, 'd/in'));
    await files.removeDirectory(join(root, 'd'));
    for (let round = 0; round < 3; round++) {
      for (const [index, file] of open.entries()) expect(await textOf(file)).toBe(`f${index}`);
    }
    await using another = await files.open(paths[0] as string);
    expect(await textOf(another)).toBe('new');
    for (const file of open) await file.close();
    expect(files.counts.descriptorsOpen).toBe(1);
  });

  test('VF-05: more open files than there may be do not lose their names', async () => {
    const { paths, files } = await makeFiles('kept', 9, 8);
    const open = await Promise.all(paths.map((path) => files.open(path)));
    for (const path of paths.slice(0, 6)) await files.remove(path);
    await expectRefusal(files.remove(paths[6] as string), 'unavailable', 'FILE_IO');
    for (const [index, file] of open.entries()) expect(await textOf(file)).toBe(`f${index}`);
    await open[0]!.close();
    await files.remove(paths[6] as string);
    for (const file of open) await file.close();
    expect(files.counts.descriptorsOpen).toBe(0);
  });
});

for (const seed of [1, 2]) {
  describeFiles(`simulated, virtual, seed ${seed}`, async () => {
    const kernel = new Kernel(seed);
    const node = kernel.addNode('node');
    node.disk.provideDirectory('/data');
    const { doors } = node.start(() => undefined);
    return {
      files: new VirtualFiles(doors.files, { maxDescriptors: 4 }),
      directory: '/data',
      run: (body) => kernel.perform(body),
      [Symbol.asyncDispose]: async () => node.crash({ kind: 'kill' }),
    };
  });
}

/** Uses files of its own: what two do with one name at the same time, no door orders. */
class Actor {
  readonly #files: VirtualFiles;
  readonly #random: SeededRandom;
  readonly #yield: () => Promise<void>;
  readonly #prefix: string;
  #made = 0;
  readonly #open: { file: ReadableFile; text: string }[] = [];
  readonly #names: { path: string; text: string }[] = [];

  constructor(files: VirtualFiles, random: SeededRandom, prefix: string, yieldToOthers: () => Promise<void>) {
    this.#files = files;
    this.#random = random;
    this.#prefix = prefix;
    this.#yield = yieldToOthers;
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) await this.#act();
    for (const { file } of this.#open) await file.close();
  }

  #newPath(): string {
    return `/data/${this.#prefix}-${this.#made++}`;
  }

  async #act(): Promise<void> {
    const at = this.#random.below(this.#names.length + 1);
    const name = this.#names[at];
    const choice = this.#random.below(10);
    if (name === undefined || choice === 0) {
      const path = this.#newPath();
      await this.#files.create(path, bytes(path));
      this.#names.push({ path, text: path });
    } else if (choice <= 2) {
      if (this.#open.length < 6)
        this.#open.push({ file: await this.#files.open(name.path), text: name.text });
    } else if (choice === 3) {
      const path = this.#newPath();
      // Somebody may be reading it just now.
      const reads = this.#open.filter(({ text }) => text === name.text).map((open) => this.#expectText(open));
      await this.#files.rename(name.path, path);
      await Promise.all(reads);
      name.path = path;
    } else if (choice === 4) {
      this.#names.splice(at, 1);
      await this.#remove(name.path, name.text);
    } else if (this.#open.length > 0) {
      await this.#readOrClose(this.#random.below(this.#open.length), choice === 5);
    }
  }

  /** One of those that have it open goes on without a name; the others would need a descriptor each. */
  async #remove(path: string, text: string): Promise<void> {
    const mine = this.#open.filter((open) => open.text === text);
    for (const { file } of mine.splice(1)) await this.#close(file);
    await this.#removeWhenPossible(path);
    for (const open of mine) {
      await this.#expectText(open);
      await this.#close(open.file);
    }
  }

  async #removeWhenPossible(path: string): Promise<void> {
    for (;;) {
      try {
        await this.#files.remove(path);
        return;
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind !== 'unavailable') throw error;
        await this.#yield();
      }
    }
  }

  async #readOrClose(index: number, closes: boolean): Promise<void> {
    const open = this.#open[index] as { file: ReadableFile; text: string };
    const reads = [this.#expectText(open), this.#expectText(open)];
    if (closes) await this.#close(open.file);
    await Promise.all(reads);
  }

  async #close(file: ReadableFile): Promise<void> {
    this.#open.splice(
      this.#open.findIndex((open) => open.file === file),
      1,
    );
    await file.close();
  }

  async #expectText({ file, text }: { file: ReadableFile; text: string }): Promise<void> {
    expect(await textOf(file, 20)).toBe(text);
  }
}

/** Several use a few descriptors at once. Returns how often one was taken away. */
async function useAtOnce(seed: number): Promise<number> {
  const kernel = new Kernel(seed);
  const node = kernel.addNode('node');
  node.disk.provideDirectory('/data');
  const { doors } = node.start(() => undefined);
  const { watched, files: inner } = watchOpen(doors.files);
  const files = new VirtualFiles(inner, { maxDescriptors: 4 });
  const random = new SeededRandom(seed);
  const actors = ['a', 'b', 'c', 'd', 'e'].map(
    (prefix) => new Actor(files, random, prefix, () => doors.clock.yieldToOthers()),
  );
  await kernel.perform(() => Promise.all(actors.map((actor) => actor.run(60))));
  expect([files.counts.descriptorsOpen, watched.now]).toEqual([0, 0]);
  expect(watched.most).toBeLessThanOrEqual(4);
  return files.counts.evicted;
}

test('VF-08: many at once, with names that change, read what they opened', async () => {
  let evicted = 0;
  for (let seed = 1; seed <= 40; seed++) evicted += await useAtOnce(seed);
  expect(evicted).toBeGreaterThan(1000);
});
