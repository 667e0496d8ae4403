import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { describeFiles } from '../../../test/conformance/files.ts';
import { expectRefusal, runForReal } from '../../../test/conformance/world.ts';
import { run } from '../../../test/support/cluster-template.ts';
import { toFileError } from './file-errors.ts';
import { nodeFiles } from './files.ts';

describeFiles('Node.js', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'varve-files-'));
  return {
    files: nodeFiles,
    directory,
    run: runForReal,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
});

const directory = mkdtempSync(join(tmpdir(), 'varve-files-'));
afterAll(() => rmSync(directory, { recursive: true }));

test('a circle of links is refused', async () => {
  const circle = join(directory, 'circle');
  symlinkSync('circle', circle);
  await expectRefusal(nodeFiles.open(circle), 'bad-request', 'BAD_PATH');
  await expectRefusal(nodeFiles.openForUpdate(circle), 'bad-request', 'BAD_PATH');
});

test('a pipe is refused and not waited for', async () => {
  const pipe = join(directory, 'pipe');
  await run('mkfifo', [pipe]);
  await expectRefusal(nodeFiles.open(pipe), 'bad-request', 'BAD_PATH');
  await expectRefusal(nodeFiles.openForUpdate(pipe), 'bad-request', 'BAD_PATH');
  expect(await nodeFiles.stat(pipe)).toMatchObject({ kind: 'other' });
});

test('a link to a directory is not removed as if it were one', async () => {
  await nodeFiles.makeDirectory(join(directory, 'target/in'));
  symlinkSync('target', join(directory, 'link'));
  await expectRefusal(nodeFiles.removeDirectory(join(directory, 'link')), 'bad-request', 'NOT_A_DIRECTORY');
  expect(await nodeFiles.list(join(directory, 'target'))).toEqual(['in']);
});

test('files and directories are for the account alone', async () => {
  await nodeFiles.makeDirectory(join(directory, 'private'));
  await using _file = await nodeFiles.openForUpdate(join(directory, 'private/file'));
  expect(statSync(join(directory, 'private')).mode & 0o777).toBe(0o700);
  expect(statSync(join(directory, 'private/file')).mode & 0o777).toBe(0o600);
});

test('a full disk is reported in the words of the system', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  expect(toFileError('/a', full)).toMatchObject({
    kind: 'unavailable',
    code: 'FILE_IO',
    reason: 'ENOSPC: no space left on device, write',
    place: { file: '/a' },
    cause: full,
  });
});

test('what is no failure of the system stays what it is', () => {
  const bug = new TypeError('a bug');
  expect(toFileError('/a', bug)).toBe(bug);
  const wrongArgument = Object.assign(new RangeError('out of range'), { code: 'ERR_OUT_OF_RANGE' });
  expect(toFileError('/a', wrongArgument)).toBe(wrongArgument);
});

// A limit on the size of files lets a write end short, and the one for the rest fail: as a disk that becomes full.
test.each(['write', 'writeNow'])(
  '%s goes on after a short write, and fails with what fails',
  async (method) => {
    const path = join(directory, `limited-${method}`);
    const module = JSON.stringify(fileURLToPath(new URL('files.ts', import.meta.url)));
    const program = `
    import { nodeFiles } from ${module};
    process.on('SIGXFSZ', () => undefined);
    const file = await nodeFiles.openForUpdate(${JSON.stringify(path)});
    try {
      await file.${method}(new Uint8Array(100_000).fill(7), 0, 100_000, 0);
    } catch (error) {
      console.log(error.kind, error.code, error.reason.split(',')[0]);
    }
    await file.close();`;
    const limit = ['--fsize=10000', process.execPath, '--input-type=module', '--eval', program];
    expect(await run('prlimit', limit)).toBe('unavailable FILE_IO EFBIG: file too large\n');
    expect(readFileSync(path)).toEqual(Buffer.alloc(10_000, 7));
  },
);

test('VF-10: a name that is not UTF-8 is refused where it comes in, with its bytes', async () => {
  const path = join(directory, 'latin');
  await nodeFiles.makeDirectory(path);
  await nodeFiles.create(join(path, 'ä'), new Uint8Array(1));
  const name = Buffer.concat([Buffer.from(`${path}/`), Buffer.of(0x61, 0xe4)]);
  writeFileSync(name, 'text');
  const error = await expectRefusal(nodeFiles.list(path), 'bad-request', 'BAD_PATH');
  expect([error.place.file, error.reason]).toEqual([path, expect.stringContaining('61e4')]);
  rmSync(name);
  expect(await nodeFiles.list(path)).toEqual(['ä']);
});

test('VF-10: a path that is not Unicode is refused, and not made another', async () => {
  const path = join(directory, 'half-\ud800');
  const there = join(directory, 'there');
  await nodeFiles.create(there, new Uint8Array(1));
  const before = await nodeFiles.list(directory);
  for (const action of [
    () => nodeFiles.open(path),
    () => nodeFiles.openForUpdate(path),
    () => nodeFiles.create(path, new Uint8Array(1)),
    () => nodeFiles.makeDirectory(path),
    () => nodeFiles.list(path),
    () => nodeFiles.stat(path),
    () => nodeFiles.remove(path),
    () => nodeFiles.removeDirectory(path),
    () => nodeFiles.syncDirectory(path),
    () => nodeFiles.rename(path, there),
    () => nodeFiles.rename(there, path),
    () => nodeFiles.link(path, there),
    () => nodeFiles.link(there, path),
  ]) {
    await expectRefusal(action(), 'bad-request', 'BAD_PATH');
  }
  expect(await nodeFiles.list(directory)).toEqual(before);
});
