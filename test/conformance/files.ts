import { describe, expect, test } from 'vitest';
import { allocateAligned } from '../../src/io/aligned-buffer.ts';
import type { Files } from '../../src/io/files.ts';
import { replaceFile, TEMPORARY_SUFFIX } from '../../src/io/replace-file.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { expectRefusal, type World } from './world.ts';

export interface FilesWorld extends World {
  readonly files: Files;
  /** An empty directory, which the test fills. */
  readonly directory: string;
}

type Body = (files: Files, directory: string) => Promise<void>;
type Check = (title: string, body: Body) => void;

/** What every side of the files door does, as long as nothing crashes. */
export function describeFiles(name: string, makeWorld: () => Promise<FilesWorld>): void {
  const check: Check = (title, body) => {
    test(title, async () => {
      await using world = await makeWorld();
      await world.run(() => body(world.files, world.directory));
    });
  };
  describe(`${name}: files`, () => {
    checkReading(check);
    checkWriting(check);
    checkNames(check);
    checkDirectories(check);
    checkRefusals(check);
    checkReplacing(check);
    checkEngine(check);
  });
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function put(files: Files, path: string, text: string): Promise<void> {
  await using file = await files.openForUpdate(path);
  await file.resize(0);
  await file.write(bytes(text), 0, text.length, 0);
}

async function get(files: Files, path: string): Promise<string> {
  await using file = await files.open(path);
  const content = new Uint8Array(file.sizeBytes);
  expect(await file.read(content, 0, content.length, 0)).toBe(content.length);
  return new TextDecoder().decode(content);
}

function checkReading(check: Check): void {
  check('reads ranges, and fewer bytes only at the end', async (files, directory) => {
    await files.create(`${directory}/a`, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    await using file = await files.open(`${directory}/a`);
    expect([file.path, file.sizeBytes]).toEqual([`${directory}/a`, 8]);
    const target = new Uint8Array(10).fill(99);
    expect(await file.read(target, 1, 3, 2)).toBe(3);
    expect([...target]).toEqual([99, 3, 4, 5, 99, 99, 99, 99, 99, 99]);
    expect(await file.read(target, 0, 10, 5)).toBe(3);
    expect([...target.subarray(0, 4)]).toEqual([6, 7, 8, 5]);
    expect(await file.read(target, 0, 10, 8)).toBe(0);
    expect(await file.read(target, 0, 10, 1_000_000)).toBe(0);
    expect(await file.read(target, 10, 0, 0)).toBe(0);
  });

  check('many reads of one file at once', async (files, directory) => {
    const path = `${directory}/a`;
    await files.create(
      path,
      Uint8Array.from({ length: 256 }, (_, index) => index),
    );
    await using file = await files.open(path);
    const target = new Uint8Array(256);
    await Promise.all(Array.from(target, (_, index) => file.read(target, index, 1, 255 - index)));
    expect(target).toEqual(Uint8Array.from({ length: 256 }, (_, index) => 255 - index));
  });

  check('reads at once, as it reads later', async (files, directory) => {
    await files.create(`${directory}/a`, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    await using file = await files.open(`${directory}/a`);
    const target = new Uint8Array(10).fill(99);
    expect(file.readNow(target, 1, 3, 2)).toBe(3);
    expect([...target]).toEqual([99, 3, 4, 5, 99, 99, 99, 99, 99, 99]);
    expect(file.readNow(target, 0, 10, 5)).toBe(3);
    expect([...target.subarray(0, 4)]).toEqual([6, 7, 8, 5]);
    expect(file.readNow(target, 0, 10, 8)).toBe(0);
    expect(file.readNow(target, 10, 0, 0)).toBe(0);
    expect(() => file.readNow(new Uint8Array(2), 1, 2, 0)).toThrow(RangeError);
  });

  check('reading beyond the buffer is a bug, and throws', async (files, directory) => {
    await put(files, `${directory}/a`, 'text');
    await using file = await files.open(`${directory}/a`);
    await expect(file.read(new Uint8Array(2), 1, 2, 0)).rejects.toThrow(RangeError);
    expect(await file.read(new Uint8Array(2), 0, 2, 0)).toBe(2);
  });

  check('a file may be closed again, but not used any more', async (files, directory) => {
    const file = await files.openForUpdate(`${directory}/a`);
    await file.close();
    await expect(file.close()).resolves.toBeUndefined();
    expect(() => file.writeNow(bytes('x'), 0, 1, 0)).toThrow(/closed/);
    expect(() => file.readNow(new Uint8Array(1), 0, 1, 0)).toThrow(/closed/);
    await expect(file.write(bytes('x'), 0, 1, 0)).rejects.toThrow(/closed/);
    await expect(file.read(new Uint8Array(1), 0, 1, 0)).rejects.toThrow(/closed/);
    await expect(file.resize(0)).rejects.toThrow(/closed/);
    await expect(file.sync()).rejects.toThrow(/closed/);
    expect(await get(files, `${directory}/a`)).toBe('');
  });

  check('closing waits for what is under way', async (files, directory) => {
    const path = `${directory}/a`;
    const file = await files.openForUpdate(path);
    const content = new Uint8Array(20_000_000).fill(7);
    const target = new Uint8Array(4);
    const order: string[] = [];
    file.writeNow(Uint8Array.of(1, 2, 3, 4), 0, 4, 0);
    const written = file.write(content, 0, content.length, 4).then(() => order.push('written'));
    const synced = file.sync().then(() => order.push('synced'));
    const read = file.read(target, 0, 4, 0).then(() => order.push('read'));
    await file.close();
    order.push('closed');
    await Promise.all([written, synced, read]);
    expect(order).toHaveLength(4);
    expect(order.at(-1)).toBe('closed');
    expect([...target]).toEqual([1, 2, 3, 4]);
    expect(await files.stat(path)).toMatchObject({ kind: 'file', sizeBytes: 20_000_004 });
  });
}

function checkWriting(check: Check): void {
  check(
    'opening for update makes a file, and leaves one that is there as it is',
    async (files, directory) => {
      const path = `${directory}/a`;
      const made = await files.openForUpdate(path);
      expect(made.sizeBytes).toBe(0);
      made.writeNow(bytes('abc'), 0, 3, 0);
      await made.close();
      await using again = await files.openForUpdate(path);
      expect(again.sizeBytes).toBe(3);
      again.writeNow(bytes('_B_'), 1, 1, 1);
      expect(await get(files, path)).toBe('aBc');
    },
  );

  check('what is written now is read at once, through any opening of the file', async (files, directory) => {
    const path = `${directory}/a`;
    await using writer = await files.openForUpdate(path);
    await using reader = await files.open(path);
    const target = new Uint8Array(6);
    writer.writeNow(bytes('--abc--'), 2, 3, 0);
    expect(await reader.read(target, 0, 6, 0)).toBe(3);
    await writer.write(bytes('--def--'), 2, 3, 3);
    expect(await reader.read(target, 0, 6, 0)).toBe(6);
    expect(new TextDecoder().decode(target)).toBe('abcdef');
    expect(await writer.read(target, 0, 3, 2)).toBe(3);
    expect(new TextDecoder().decode(target)).toBe('cdedef');
    expect([reader.sizeBytes, writer.sizeBytes]).toEqual([0, 0]);
  });

  check('what was written may change afterwards', async (files, directory) => {
    await using file = await files.openForUpdate(`${directory}/a`);
    const source = bytes('first');
    file.writeNow(source, 0, 5, 0);
    source.fill(0);
    expect(await get(files, `${directory}/a`)).toBe('first');
  });

  check('a gap before what is written is zeros', async (files, directory) => {
    await using file = await files.openForUpdate(`${directory}/a`);
    file.writeNow(bytes('x'), 0, 1, 3);
    await file.write(bytes('y'), 0, 1, 6);
    expect(await get(files, `${directory}/a`)).toBe('\0\0\0x\0\0y');
  });

  check('nothing may be written, and it changes nothing', async (files, directory) => {
    await using file = await files.openForUpdate(`${directory}/a`);
    file.writeNow(new Uint8Array(0), 0, 0, 10);
    await file.write(new Uint8Array(0), 0, 0, 10);
    expect(await files.stat(`${directory}/a`)).toMatchObject({ kind: 'file', sizeBytes: 0 });
  });

  check('megabytes are written whole, in both ways', async (files, directory) => {
    const path = `${directory}/a`;
    const content = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 31) >> 4);
    await using file = await files.openForUpdate(path);
    await file.write(content, 0, content.length, 0);
    file.writeNow(content, 0, content.length, content.length);
    const target = new Uint8Array(content.length);
    for (const position of [0, content.length]) {
      expect(await file.read(target.fill(0), 0, target.length, position)).toBe(content.length);
      expect(Buffer.compare(target, content)).toBe(0);
    }
  });

  check('resizing cuts, and extends by zeros', async (files, directory) => {
    const path = `${directory}/a`;
    await put(files, path, 'abcdef');
    await using file = await files.openForUpdate(path);
    await file.resize(2);
    expect(await get(files, path)).toBe('ab');
    await file.resize(4);
    expect(await get(files, path)).toBe('ab\0\0');
    await file.resize(16 * 1024 * 1024);
    expect(await files.stat(path)).toMatchObject({ kind: 'file', sizeBytes: 16 * 1024 * 1024 });
  });

  check('syncs', async (files, directory) => {
    await using file = await files.openForUpdate(`${directory}/a`);
    await file.sync();
    file.writeNow(bytes('abc'), 0, 3, 0);
    await Promise.all([file.sync(), file.sync()]);
    await files.syncDirectory(directory);
    expect(await get(files, `${directory}/a`)).toBe('abc');
  });

  check('creates files, and replaces none', async (files, directory) => {
    const path = `${directory}/a`;
    await files.create(path, bytes('first'));
    await expectRefusal(files.create(path, bytes('second')), 'conflict', 'FILE_EXISTS');
    expect(await get(files, path)).toBe('first');
  });
}

const SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 12_288, 100_000, 262_144, 300_001];

/** Bytes of which no two neighbouring sectors are alike. */
const patternOf = (lengthBytes: number): Uint8Array =>
  Uint8Array.from({ length: lengthBytes }, (_, index) => index * 7 + (index >> 9) * 13);

function checkEngine(check: Check): void {
  check('IO-01: aligned or not, what is written is read, of any size', async (files, directory) => {
    for (const size of SIZES) {
      const path = `${directory}/${size}`;
      const content = patternOf(size);
      const aligned = allocateAligned(size + 4096);
      aligned.set(content);
      await using file = await files.openForUpdate(path);
      await file.write(aligned, 0, size, 0);
      expect(await files.stat(path)).toMatchObject({ kind: 'file', sizeBytes: size });
      await file.sync();
      await using reader = await files.open(path);
      for (const [position, length] of [
        [0, size],
        [0, 4096],
        [4096, 8192],
        [511, 1026],
        [size - 1, 1],
        [size, 1],
        [size + 4096, 4096],
      ] as const) {
        if (position < 0) continue;
        const expected = Buffer.from(content.subarray(position, position + length));
        for (const target of [new Uint8Array(length + 1), allocateAligned(length + 1)]) {
          const start = length % 2;
          expect(await reader.read(target, start, length, position)).toBe(expected.length);
          expect(Buffer.from(target.subarray(start, start + expected.length)).equals(expected)).toBe(true);
          target.fill(0);
          expect(reader.readNow(target, start, length, position)).toBe(expected.length);
          expect(Buffer.from(target.subarray(start, start + expected.length)).equals(expected)).toBe(true);
        }
      }
    }
  });

  check(
    'IO-04: writes of ranges side by side, all at once, give the right file',
    async (files, directory) => {
      const content = patternOf(600_000);
      const aligned = allocateAligned(content.length);
      aligned.set(content);
      await using file = await files.openForUpdate(`${directory}/a`);
      const writes: Promise<void>[] = [];
      // Whole blocks, parts of blocks, and what lies across their borders; the last ones first.
      for (let end = content.length, turn = 0; end > 0; turn++) {
        const length = Math.min(end, [4096, 777, 12_288, 3319, 1, 8191][turn % 6] as number);
        end -= length;
        if (turn % 7 === 0) file.writeNow(aligned, end, length, end);
        else writes.push(file.write(turn % 5 === 0 ? content : aligned, end, length, end));
      }
      await Promise.all(writes);
      const target = new Uint8Array(content.length);
      expect(await file.read(target, 0, target.length, 0)).toBe(content.length);
      expect(Buffer.compare(target, content)).toBe(0);
      const { sizeBytes } = await files.stat(`${directory}/a`);
      expect(sizeBytes).toBe(content.length);
    },
  );

  check('IO-05: a file says its size and its kind, in the words of the door', async (files, directory) => {
    await put(files, `${directory}/a`, 'four');
    await using file = await files.open(`${directory}/a`);
    const status = await files.stat(`${directory}/a`);
    expect(Object.keys(status).sort()).toEqual(['kind', 'modifiedMs', 'sizeBytes']);
    expect([status.kind, status.sizeBytes, file.sizeBytes]).toEqual(['file', 4, 4]);
  });

  check(
    'VF-08: any sequence of operations does what it does to bytes in memory',
    async (files, directory) => {
      for (let seed = 1; seed <= 8; seed++) await compareWithModel(files, `${directory}/${seed}`, seed);
    },
  );
}

/** Does the same to a file and to bytes in memory, and compares them after each step. */
async function compareWithModel(files: Files, path: string, seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const source = allocateAligned(100_000);
  source.set(patternOf(source.length));
  let model = new Uint8Array(0);
  let name = path;
  let file = await files.openForUpdate(path);
  let reader = await files.open(path);
  const near = (unit: number): number =>
    Math.max(0, random.below(12) * unit + random.pick([0, 0, 0, -1, 1, 100]));
  for (let step = 0; step < 150; step++) {
    const position = near(4096);
    const length = Math.min(near(4096), 40_000);
    switch (random.below(9)) {
      case 0:
      case 1:
      case 2: {
        const start = random.pick([0, 512, 4096, 3]);
        const whole = source.subarray(random.pick([0, 4096, 1]));
        if (random.chance(0.3)) file.writeNow(whole, start, length, position);
        else await file.write(whole, start, length, position);
        if (length === 0) break;
        const next = new Uint8Array(Math.max(model.length, position + length));
        next.set(model);
        next.set(whole.subarray(start, start + length), position);
        model = next;
        break;
      }
      case 3: {
        await file.resize(position);
        const next = new Uint8Array(position);
        next.set(model.subarray(0, position));
        model = next;
        break;
      }
      case 4:
        await file.sync();
        break;
      case 5: {
        const to = `${path}-${step}`;
        await files.rename(name, to);
        name = to;
        break;
      }
      case 6:
        await file.close();
        file = await files.openForUpdate(name);
        expect(file.sizeBytes).toBe(model.length);
        break;
      case 7:
        await reader.close();
        reader = await files.open(name);
        expect(reader.sizeBytes).toBe(model.length);
        break;
      default: {
        const target = random.chance(0.5) ? allocateAligned(length) : new Uint8Array(length);
        const from = random.pick([file, reader]);
        const count = await from.read(target, 0, length, position);
        const expected = model.subarray(position, position + length);
        expect(count).toBe(expected.length);
        expect(Buffer.compare(target.subarray(0, count), expected)).toBe(0);
        const now = from.readNow(target.fill(0), 0, length, position);
        // A virtual file may have no descriptor at this moment.
        if (now === -1) break;
        expect(now).toBe(expected.length);
        expect(Buffer.compare(target.subarray(0, now), expected)).toBe(0);
      }
    }
    expect((await files.stat(name)).sizeBytes).toBe(model.length);
  }
  await file.close();
  const target = new Uint8Array(model.length + 1);
  expect(await reader.read(target, 0, target.length, 0)).toBe(model.length);
  expect(Buffer.compare(target.subarray(0, model.length), model)).toBe(0);
  await reader.close();
}

function checkNames(check: Check): void {
  check('the time of the last change is known', async (files, directory) => {
    await put(files, `${directory}/a`, 'text');
    const { modifiedMs } = await files.stat(`${directory}/a`);
    // 2020 to 2200: no seconds and no microseconds.
    expect(modifiedMs).toBeGreaterThan(1_577_836_800_000);
    expect(modifiedMs).toBeLessThan(7_258_118_400_000);
  });

  check('a file with another name stays the same file to who has it open', async (files, directory) => {
    await using file = await files.openForUpdate(`${directory}/a`);
    await files.rename(`${directory}/a`, `${directory}/b`);
    file.writeNow(bytes('abc'), 0, 3, 0);
    await file.sync();
    expect(await get(files, `${directory}/b`)).toBe('abc');
    expect(await files.list(directory)).toEqual(['b']);
  });

  check('a name takes the place of another, whose file stays readable', async (files, directory) => {
    await put(files, `${directory}/a`, 'new');
    await put(files, `${directory}/b`, 'old');
    await using old = await files.open(`${directory}/b`);
    await files.rename(`${directory}/a`, `${directory}/b`);
    expect(await get(files, `${directory}/b`)).toBe('new');
    const target = new Uint8Array(3);
    expect(await old.read(target, 0, 3, 0)).toBe(3);
    expect(new TextDecoder().decode(target)).toBe('old');
    expect(await files.list(directory)).toEqual(['b']);
  });

  check('a file has two names, and lives until it has lost both', async (files, directory) => {
    await put(files, `${directory}/a`, 'text');
    await files.link(`${directory}/a`, `${directory}/b`);
    await put(files, `${directory}/c`, 'other');
    await expectRefusal(files.link(`${directory}/a`, `${directory}/c`), 'conflict', 'FILE_EXISTS');
    await expectRefusal(files.link(`${directory}/no`, `${directory}/d`), 'not-found', 'FILE_NOT_FOUND');
    await files.remove(`${directory}/a`);
    expect(await files.list(directory)).toEqual(['b', 'c']);
    expect(await get(files, `${directory}/b`)).toBe('text');
    expect(await get(files, `${directory}/c`)).toBe('other');
  });

  check('directories are renamed with what is in them', async (files, directory) => {
    await files.makeDirectory(`${directory}/a/in`);
    await put(files, `${directory}/a/in/file`, 'text');
    await files.rename(`${directory}/a`, `${directory}/b`);
    expect(await get(files, `${directory}/b/in/file`)).toBe('text');
    await files.makeDirectory(`${directory}/empty`);
    await files.rename(`${directory}/b`, `${directory}/empty`);
    expect(await files.list(directory)).toEqual(['empty']);
    expect(await get(files, `${directory}/empty/in/file`)).toBe('text');
  });

  check('a second name is of the same file, and takes no place of another', async (files, directory) => {
    await put(files, `${directory}/a`, 'text');
    await put(files, `${directory}/taken`, 'other');
    await files.link(`${directory}/a`, `${directory}/b`);
    await using file = await files.openForUpdate(`${directory}/b`);
    file.writeNow(bytes('T'), 0, 1, 0);
    expect(await get(files, `${directory}/a`)).toBe('Text');
    await files.remove(`${directory}/a`);
    expect(await get(files, `${directory}/b`)).toBe('Text');
    await expectRefusal(files.link(`${directory}/b`, `${directory}/taken`), 'conflict', 'FILE_EXISTS');
    await expectRefusal(files.link(`${directory}/a`, `${directory}/c`), 'not-found', 'FILE_NOT_FOUND');
    expect(await files.list(directory)).toEqual(['b', 'taken']);
  });

  check('a removed file stays readable to who has it open', async (files, directory) => {
    await put(files, `${directory}/a`, 'text');
    await using file = await files.open(`${directory}/a`);
    await files.remove(`${directory}/a`);
    expect(await files.list(directory)).toEqual([]);
    const target = new Uint8Array(4);
    expect(await file.read(target, 0, 4, 0)).toBe(4);
    expect(new TextDecoder().decode(target)).toBe('text');
    await using another = await files.openForUpdate(`${directory}/a`);
    expect(another.sizeBytes).toBe(0);
  });

  check('lists names in order, and tells kinds', async (files, directory) => {
    await files.makeDirectory(`${directory}/b`);
    for (const name of ['a', 'B', '0', 'ä', 'b.c']) await put(files, `${directory}/${name}`, name);
    expect(await files.list(directory)).toEqual(['0', 'B', 'a', 'b', 'b.c', 'ä']);
    expect(await files.stat(`${directory}/b`)).toMatchObject({ kind: 'directory' });
    expect(await files.stat(`${directory}/b.c`)).toMatchObject({ kind: 'file', sizeBytes: 3 });
  });
}

function checkDirectories(check: Check): void {
  check('makes directories with those above, also again', async (files, directory) => {
    const path = `${directory}/a/b/c`;
    await files.makeDirectory(path);
    await files.makeDirectory(path);
    await put(files, `${path}/file`, 'text');
    await files.makeDirectory(path);
    expect(await files.list(path)).toEqual(['file']);
    await files.syncDirectory(path);
  });

  check('removes directories with all that is in them, also again', async (files, directory) => {
    await files.makeDirectory(`${directory}/a/b`);
    await put(files, `${directory}/a/file`, 'text');
    await put(files, `${directory}/a/b/file`, 'text');
    await files.removeDirectory(`${directory}/a`);
    expect(await files.list(directory)).toEqual([]);
    await files.removeDirectory(`${directory}/a`);
    await files.removeDirectory(`${directory}/a/b/c`);
  });

  check('space is known', async (files, directory) => {
    const { capacityBytes, availableBytes } = await files.space(directory);
    expect(capacityBytes).toBeGreaterThan(0);
    expect(availableBytes).toBeGreaterThan(0);
    expect(availableBytes).toBeLessThanOrEqual(capacityBytes);
  });
}

function checkRefusals(check: Check): void {
  check('refuses what is not there', async (files, directory) => {
    const path = `${directory}/nothing`;
    const actions = [
      () => files.open(path),
      () => files.stat(path),
      () => files.list(path),
      () => files.remove(path),
      () => files.rename(path, `${directory}/a`),
      () => files.syncDirectory(path),
      () => files.space(path),
      () => files.create(`${path}/a`, bytes('x')),
      () => files.openForUpdate(`${path}/a`),
    ];
    for (const action of actions) {
      const error = await expectRefusal(action(), 'not-found', 'FILE_NOT_FOUND');
      expect(error.place.file).toMatch(/^.*\/nothing(\/a)?$/);
    }
    await put(files, `${directory}/a`, 'text');
    await expectRefusal(files.rename(`${directory}/a`, `${path}/a`), 'not-found', 'FILE_NOT_FOUND');
    expect(await files.list(directory)).toEqual(['a']);
  });

  check('refuses a directory where a file is asked for', async (files, directory) => {
    await files.makeDirectory(`${directory}/d`);
    await put(files, `${directory}/a`, 'text');
    for (const action of [
      () => files.open(`${directory}/d`),
      () => files.openForUpdate(`${directory}/d`),
      () => files.remove(`${directory}/d`),
      () => files.rename(`${directory}/a`, `${directory}/d`),
    ]) {
      await expectRefusal(action(), 'bad-request', 'IS_A_DIRECTORY');
    }
    await expectRefusal(files.create(`${directory}/d`, bytes('x')), 'conflict', 'FILE_EXISTS');
    expect(await files.list(directory)).toEqual(['a', 'd']);
  });

  check('refuses a file where a directory is asked for', async (files, directory) => {
    const path = `${directory}/a`;
    await put(files, path, 'text');
    await files.makeDirectory(`${directory}/d`);
    for (const action of [
      () => files.list(path),
      () => files.open(`${path}/b`),
      () => files.openForUpdate(`${path}/b`),
      () => files.stat(`${path}/b`),
      () => files.remove(`${path}/b`),
      () => files.makeDirectory(`${path}/b`),
      () => files.removeDirectory(path),
      () => files.syncDirectory(path),
      () => files.rename(`${directory}/d`, path),
    ]) {
      await expectRefusal(action(), 'bad-request', 'NOT_A_DIRECTORY');
    }
    await expectRefusal(files.makeDirectory(path), 'conflict', 'FILE_EXISTS');
    expect(await get(files, path)).toBe('text');
  });

  check('refuses to put a directory in place of one that is not empty', async (files, directory) => {
    await files.makeDirectory(`${directory}/a`);
    await files.makeDirectory(`${directory}/b/in`);
    await expectRefusal(files.rename(`${directory}/a`, `${directory}/b`), 'conflict', 'FILE_EXISTS');
    expect(await files.list(`${directory}/b`)).toEqual(['in']);
  });
}

function checkReplacing(check: Check): void {
  check('VF-01: a replaced file has the new content, and nothing else is left', async (files, directory) => {
    await replaceFile(files, directory, 'state', bytes('first, and longer'));
    expect(await get(files, `${directory}/state`)).toBe('first, and longer');
    await replaceFile(files, directory, 'state', bytes('second'));
    expect(await get(files, `${directory}/state`)).toBe('second');
    await replaceFile(files, directory, 'state', new Uint8Array(0));
    expect(await get(files, `${directory}/state`)).toBe('');
    expect(await files.list(directory)).toEqual(['state']);
  });

  check('VF-01: a left-over under the temporary name is overwritten', async (files, directory) => {
    await put(files, `${directory}/state`, 'old');
    await put(files, `${directory}/state${TEMPORARY_SUFFIX}`, 'what a crash has left, longer than the next');
    await replaceFile(files, directory, 'state', bytes('new'));
    expect(await get(files, `${directory}/state`)).toBe('new');
    expect(await files.list(directory)).toEqual(['state']);
  });

  check('VF-01: who has the old content open goes on to read it', async (files, directory) => {
    await replaceFile(files, directory, 'state', bytes('old'));
    await using reader = await files.open(`${directory}/state`);
    await replaceFile(files, directory, 'state', bytes('new'));
    const target = new Uint8Array(3);
    expect(await reader.read(target, 0, 3, 0)).toBe(3);
    expect(new TextDecoder().decode(target)).toBe('old');
  });
}
