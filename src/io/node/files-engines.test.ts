import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeFiles } from '../../../test/conformance/files.ts';
import { expectRefusal, runForReal } from '../../../test/conformance/world.ts';
import { VarveError } from '../../base/errors.ts';
import { allocateAligned } from '../aligned-buffer.ts';
import { VirtualFiles } from '../virtual-files.ts';
import { BounceBuffers, DirectFile } from './direct-file.ts';
import { FILES_ENGINES, openFilesEngine } from './files-engine.ts';
import { OpenFile } from './open-file.ts';
import { openBuffered, openRegularFile, UPDATING } from './open-regular-file.ts';

const makeDirectory = (): Promise<string> => mkdtemp(join(tmpdir(), 'varve-engines-'));
let directory: string;
beforeAll(async () => {
  directory = await makeDirectory();
});
afterAll(() => rm(directory, { recursive: true }));

for (const name of FILES_ENGINES) {
  for (const isVirtual of [false, true]) {
    describeFiles(`IO-11: the ${name} engine${isVirtual ? ' under virtual files' : ''}`, async () => {
      const own = await makeDirectory();
      const { files, descriptorsPerFile } = openFilesEngine(name);
      return {
        files: isVirtual
          ? new VirtualFiles(files, { maxDescriptors: 4 * descriptorsPerFile, descriptorsPerFile })
          : files,
        directory: own,
        run: runForReal,
        [Symbol.asyncDispose]: () => rm(own, { recursive: true }),
      };
    });
  }
}

test('IO-11: the engine is chosen by one word, and another word is refused', async () => {
  expect(FILES_ENGINES.map((name) => openFilesEngine(name).name)).toEqual(FILES_ENGINES);
  await expectRefusal((async () => openFilesEngine('io_uring'))(), 'bad-request', 'UNKNOWN_IO_ENGINE');
});

test('IO-01: a file that is written in steps has the same bytes on each engine', async () => {
  const contents: Buffer[] = [];
  for (const name of FILES_ENGINES) {
    const { files } = openFilesEngine(name);
    const path = join(directory, `same-${name}`);
    const source = allocateAligned(1_000_000);
    for (let index = 0; index < source.length; index++) source[index] = (index * 7 + (index >> 9)) & 0xff;
    await using file = await files.openForUpdate(path);
    for (let at = 0; at < source.length; at += 65_536) {
      await file.write(source, at, Math.min(65_536, source.length - at), at);
    }
    // The summary goes to the start in the end, and an index block into the middle.
    await file.write(source, 8192, 4096, 0);
    await file.write(source, 5, 333, 500_000);
    await file.sync();
    contents.push(readFileSync(path));
  }
  expect(contents).toHaveLength(2);
  expect(contents[0]!.length).toBe(1_000_000);
  expect(contents[0]!.equals(contents[1]!)).toBe(true);
});

/** The flags of each descriptor of this process that is open on a file below the directory. */
function openFlags(below: string): number[] {
  const flags: number[] = [];
  for (const descriptor of readdirSync('/proc/self/fd')) {
    try {
      if (!readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(below)) continue;
      const [, octal] = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? [];
      flags.push(Number.parseInt(octal ?? '', 8));
    } catch {
      // It was the descriptor of the listing itself.
    }
  }
  return flags;
}

const onLinux = process.platform === 'linux';
const O_DIRECT = process.arch === 'arm64' ? 0o200000 : 0o40000;

describe.runIf(onLinux)('direct I/O', () => {
  test('IO-01: the direct engine has a direct descriptor, or counts that it has none', async () => {
    const engine = openFilesEngine('direct');
    const path = join(directory, 'flags');
    {
      await using file = await engine.files.openForUpdate(path);
      const directs = openFlags(path).filter((flags) => (flags & O_DIRECT) !== 0);
      expect(directs.length + engine.refusals).toBe(1);
      // What is not aligned is no reason to do without.
      const { refusals } = engine;
      await file.write(allocateAligned(10_000), 0, 10_000, 0);
      await file.write(new Uint8Array(100), 0, 100, 3);
      expect(await file.read(new Uint8Array(9000), 0, 9000, 777)).toBe(9000);
      expect(await file.read(allocateAligned(8192), 0, 8192, 4096)).toBe(10_000 - 4096);
      expect(engine.refusals).toBe(refusals);
    }
    expect(openFlags(path)).toEqual([]);
  });

  test('IO-03: where the file system refuses direct I/O, the file is done in the portable way, and counted', async () => {
    const engine = openFilesEngine('direct');
    await using file = await engine.files.open('/proc/version');
    const target = allocateAligned(4096);
    expect(await file.read(target, 0, 4096, 0)).toBeGreaterThan(10);
    expect(engine.refusals).toBe(1);
    expect(Buffer.from(target).toString('latin1')).toContain('Linux version');
  });

  const invalid = (): Promise<never> => {
    const cause = Object.assign(new Error('EINVAL: invalid argument'), { code: 'EINVAL' });
    return Promise.reject(new VarveError('unavailable', 'FILE_IO', cause.message, {}, cause));
  };

  /** A file whose direct descriptor was opened, and refuses the I/O itself. */
  async function openRefusing(name: string): Promise<{ file: DirectFile; refusals: () => number }> {
    let refusals = 0;
    const path = join(directory, name);
    const file = await openRegularFile(path, UPDATING, async (_, sizeBytes, descriptor) => {
      const direct = await openRegularFile(path, UPDATING, openBuffered);
      Object.assign(direct, { read: invalid, write: invalid });
      const buffered = new OpenFile(path, sizeBytes, descriptor);
      return new DirectFile(buffered, direct, new BounceBuffers(), () => refusals++);
    });
    return { file, refusals: () => refusals };
  }

  test('IO-03: where the first I/O is refused, it and all that follows is done in the portable way', async () => {
    for (const first of ['write', 'read', 'bounce'] as const) {
      const { file, refusals } = await openRefusing(`refusing-${first}`);
      const source = allocateAligned(8192).fill(7);
      if (first === 'read') expect(await file.read(allocateAligned(4096), 0, 4096, 0)).toBe(0);
      if (first === 'bounce') expect(await file.read(new Uint8Array(10), 0, 10, 5)).toBe(0);
      await file.write(source, 0, 8192, 0);
      await Promise.all([file.write(source, 0, 4096, 8192), file.write(source, 0, 4096, 12_288)]);
      const target = new Uint8Array(20_000);
      expect(await file.read(target, 0, target.length, 0)).toBe(16_384);
      expect(target.subarray(0, 16_384).every((byte) => byte === 7)).toBe(true);
      expect(refusals()).toBe(1);
      await file.close();
      expect(openFlags(file.path)).toEqual([]);
    }
  });

  test('IO-03: other failures of direct I/O are failures', async () => {
    const { file, refusals } = await openRefusing('failing');
    const broken = new VarveError('unavailable', 'FILE_IO', 'EIO: i/o error');
    const direct = await openRegularFile(file.path, UPDATING, openBuffered);
    Object.assign(direct, { read: () => Promise.reject(broken), write: () => Promise.reject(broken) });
    const buffered = await openRegularFile(file.path, UPDATING, openBuffered);
    const failing = new DirectFile(buffered, direct, new BounceBuffers(), () => expect.unreachable());
    const memory = allocateAligned(4096);
    await expect(failing.write(memory, 0, 4096, 0)).rejects.toBe(broken);
    await expect(failing.read(memory, 0, 4096, 0)).rejects.toBe(broken);
    await expect(failing.read(memory, 1, 100, 0)).rejects.toBe(broken);
    await failing.close();
    await file.close();
    expect(refusals()).toBe(0);
  });
});

test('IO-12: the portable engine uses nothing that only Linux has', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const text = readFileSync(path, 'utf8');
    expect(text, path).not.toMatch(/\/proc\/|O_DIRECT\b|O_DSYNC|O_NOATIME|fallocate|process\.platform/);
    for (const [, target] of text.matchAll(/from '(\.[^']+)'/g)) visit(join(dirname(path), target as string));
  };
  visit(join(import.meta.dirname, 'files.ts'));
  expect([...seen].map((path) => path.split('/').at(-1))).toContain('open-regular-file.ts');
});
