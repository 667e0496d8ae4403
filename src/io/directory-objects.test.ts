import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { describeObjects } from '../../test/conformance/objects.ts';
import { expectRefusal, runForReal } from '../../test/conformance/world.ts';
import { VarveError } from '../base/errors.ts';
import { type DirectoryDoors, DirectoryObjects } from './directory-objects.ts';
import type { Files, UpdatableFile } from './files.ts';
import { nodeClock } from './node/clock.ts';
import { nodeFiles } from './node/files.ts';
import { nodeRandom } from './node/random.ts';

const never = new AbortController().signal;
const doors: DirectoryDoors = { files: nodeFiles, clock: nodeClock, random: nodeRandom };
const HOUR_MS = 3_600_000;

describeObjects('directory', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'varve-objects-'));
  return {
    store: await DirectoryObjects.open(doors, join(directory, 'root')),
    run: runForReal,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
});

const directory = mkdtempSync(join(tmpdir(), 'varve-objects-'));
afterAll(() => rmSync(directory, { recursive: true }));

const put = (store: DirectoryObjects, key: string): Promise<void> =>
  store.put(key, new TextEncoder().encode(key), { signal: never });

async function listKeys(store: DirectoryObjects): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('', never)) keys.push(key);
  return keys;
}

/** Notes what is asked of the files door, by paths below the root. */
function recordFiles(root: string): { files: Files; calls: string[] } {
  const calls: string[] = [];
  const short = (path: string): string =>
    (path === root ? '' : path.replace(`${root}/`, '')).replace(/^\.temporary\/.+/, 'T');
  const note = (name: string, ...paths: string[]): void => {
    calls.push([name, ...paths.map(short)].join(' '));
  };
  const files: Files = {
    ...nodeFiles,
    async openForUpdate(path) {
      const file = await nodeFiles.openForUpdate(path);
      const sync = file.sync.bind(file);
      file.sync = () => {
        note('sync', path);
        return sync();
      };
      return file;
    },
    rename: (from, to) => {
      note('rename', from, to);
      return nodeFiles.rename(from, to);
    },
    link: (from, to) => {
      note('link', from, to);
      return nodeFiles.link(from, to);
    },
    remove: (path) => {
      note('remove', path);
      return nodeFiles.remove(path);
    },
    syncDirectory: (path) => {
      note('syncDirectory', path);
      return nodeFiles.syncDirectory(path);
    },
  };
  return { files, calls };
}

test('an object is synced, then named, then its name is synced, with those of its directories', async () => {
  const root = join(directory, 'recorded/root');
  const { files, calls } = recordFiles(root);
  const store = await DirectoryObjects.open({ ...doors, files }, root);
  expect(calls).toEqual([
    `syncDirectory ${directory}`,
    `syncDirectory ${directory}/recorded`,
    'syncDirectory ',
  ]);
  const callsOf = async (action: Promise<void>): Promise<string[]> => {
    await action;
    return calls.splice(0);
  };
  calls.length = 0;
  expect(await callsOf(put(store, 'a/b/c'))).toEqual([
    ...['sync T', 'syncDirectory ', 'syncDirectory a'],
    ...['rename T a/b/c', 'syncDirectory a/b'],
  ]);
  expect(await callsOf(put(store, 'a/b/d'))).toEqual(['sync T', 'rename T a/b/d', 'syncDirectory a/b']);
  expect(await callsOf(put(store, 'e'))).toEqual(['sync T', 'rename T e', 'syncDirectory ']);
  const options = { signal: never, onlyIfAbsent: true };
  expect(await callsOf(store.put('a/f/g', new Uint8Array(1), options))).toEqual([
    ...['sync T', 'syncDirectory a', 'link T a/f/g', 'syncDirectory a/f', 'remove T'],
  ]);
  expect(await callsOf(store.remove(['a/b/c', 'a/b/d', 'no'], never))).toEqual([
    ...['remove a/b/c', 'remove a/b/d', 'remove no', 'syncDirectory a/b'],
  ]);
});

test('a directory that another process has just made is synced too', async () => {
  const root = join(directory, 'shared');
  const { files, calls } = recordFiles(root);
  const store = await DirectoryObjects.open({ ...doors, files }, root);
  await mkdir(join(root, 'a/b'), { recursive: true });
  calls.length = 0;
  await put(store, 'a/b/c');
  expect(calls).toEqual([
    'sync T',
    'syncDirectory ',
    'syncDirectory a',
    'rename T a/b/c',
    'syncDirectory a/b',
  ]);
});

test('what cannot be made durable is not there, and leaves nothing', async () => {
  const root = join(directory, 'failing');
  const failure = new VarveError('unavailable', 'FILE_IO', 'the disk is full');
  let failing = '';
  const step = <Result>(name: string, action: () => Promise<Result>): Promise<Result> =>
    name === failing ? Promise.reject(failure) : action();
  const files: Files = {
    ...nodeFiles,
    async openForUpdate(path) {
      const file: UpdatableFile = await nodeFiles.openForUpdate(path);
      const [write, sync] = [file.write.bind(file), file.sync.bind(file)];
      file.write = (...given) => step('write', () => write(...given));
      file.sync = () => step('sync', sync);
      return file;
    },
    rename: (from, to) => step('rename', () => nodeFiles.rename(from, to)),
    link: (from, to) => step('link', () => nodeFiles.link(from, to)),
  };
  const store = await DirectoryObjects.open({ ...doors, files }, root);
  for (failing of ['write', 'sync', 'rename', 'link']) {
    const options = { signal: never, onlyIfAbsent: failing === 'link' };
    const error = await expectRefusal(
      store.put('a/b', new Uint8Array(5), options),
      'unavailable',
      'OBJECT_STORE',
    );
    expect(error.cause).toBe(failure);
    expect(await listKeys(store)).toEqual([]);
    expect(await readdir(join(root, '.temporary'))).toEqual([]);
  }
  failing = '';
  await put(store, 'a/b');
  expect(await listKeys(store)).toEqual(['a/b']);
});

test('left-overs of crashes are not listed, and swept after a day', async () => {
  const root = join(directory, 'swept');
  await mkdir(join(root, '.temporary'), { recursive: true });
  const nowMs = Date.now();
  let passedMs = 0;
  const clock = { ...nodeClock, wallMs: () => nowMs + passedMs, monotonicMs: () => passedMs };
  for (const [name, ageMs] of [
    ['old', 25 * HOUR_MS],
    ['young', 22.5 * HOUR_MS],
  ] as const) {
    const path = join(root, '.temporary', name);
    await writeFile(path, 'left');
    await utimes(path, new Date(nowMs - ageMs), new Date(nowMs - ageMs));
  }
  const store = await DirectoryObjects.open({ ...doors, clock }, root);
  expect(await readdir(join(root, '.temporary'))).toEqual(['young']);
  expect(await listKeys(store)).toEqual([]);
  await put(store, 'a');
  expect(await readdir(join(root, '.temporary'))).toEqual(['young']);
  passedMs = 2 * HOUR_MS;
  await put(store, 'b');
  expect(await readdir(join(root, '.temporary'))).toEqual([]);
  expect(await listKeys(store)).toEqual(['a', 'b']);
});

test('names may be as long as the file system takes', async () => {
  const store = await DirectoryObjects.open(doors, join(directory, 'long'));
  const name = 'é'.repeat(127);
  await put(store, `${name}/${name}`);
  expect(await listKeys(store)).toEqual([`${name}/${name}`]);
});

test('finds its way when its directories are removed behind its back', async () => {
  const root = join(directory, 'gone');
  const store = await DirectoryObjects.open(doors, root);
  await put(store, 'a/b');
  await rm(root, { recursive: true });
  expect(await listKeys(store)).toEqual([]);
  await expectRefusal(put(store, 'a/b'), 'unavailable', 'OBJECT_STORE');
  await put(store, 'a/b');
  expect(await listKeys(store)).toEqual(['a/b']);
});

test('passes over what is neither file nor directory', async () => {
  const root = join(directory, 'odd');
  const store = await DirectoryObjects.open(doors, root);
  await put(store, 'a');
  await symlink('/nowhere', join(root, 'dangling'));
  await symlink('/dev/null', join(root, 'device'));
  expect(await listKeys(store)).toEqual(['a']);
});

test('refuses to be where there is no directory', async () => {
  const path = join(directory, 'file');
  await writeFile(path, '');
  await expectRefusal(DirectoryObjects.open(doors, path), 'bad-request', 'BAD_OBJECT_LOCATION');
  await expectRefusal(DirectoryObjects.open(doors, `${path}/root`), 'bad-request', 'BAD_OBJECT_LOCATION');
  await expect(DirectoryObjects.open(doors, 'relative')).rejects.toThrow('no absolute path');
});

test('a store that is opened to look into it makes nothing', async () => {
  const root = join(directory, 'looked-into');
  const absent = DirectoryObjects.openExisting(doors, root);
  await expect(absent).rejects.toMatchObject({ kind: 'not-found', code: 'FILE_NOT_FOUND' });
  await mkdir(join(root, 'a'), { recursive: true });
  await writeFile(join(root, 'a', 'b'), 'content');
  const store = await DirectoryObjects.openExisting(doors, root);
  expect(await listKeys(store)).toEqual(['a/b']);
  expect(Buffer.from(await store.get('a/b', { signal: never })).toString()).toBe('content');
  expect(await readdir(root)).toEqual(['a']);
  const file = DirectoryObjects.openExisting(doors, join(root, 'a', 'b'));
  await expect(file).rejects.toMatchObject({ code: 'BAD_OBJECT_LOCATION' });
});
