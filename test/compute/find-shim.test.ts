import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findShim, type ShimPlaces } from '../../src/compute/lazy/find-shim.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeProcesses } from '../../src/io/node/processes.ts';
import { hasCompiler, SIGNAL } from '../shim/shim-world.ts';

const SOURCES = fileURLToPath(new URL('../../shim', import.meta.url));
const doors = { files: nodeFiles, processes: nodeProcesses };
let root: string;
let places: ShimPlaces;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'varve-find-shim-'));
  places = { sources: join(root, 'shim'), cache: join(root, 'cache/shims'), platform: 'linux-none' };
  await mkdir(places.sources);
  for (const name of await readdir(SOURCES))
    if (/\.[ch]$/.test(name)) await copyFile(join(SOURCES, name), join(places.sources, name));
});
afterEach(async () => rm(root, { recursive: true, force: true }));

test('the shim of the package is the first choice', async () => {
  const directory = join(places.sources, 'prebuilt/linux-none');
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'varve_shim.so'), 'prebuilt');
  expect(await findShim(places, doors, SIGNAL)).toBe(join(directory, 'varve_shim.so'));
});

test.runIf(hasCompiler)('one is built once for the same sources', { timeout: 60_000 }, async () => {
  const built = (await findShim(places, doors, SIGNAL)) as string;
  expect(built.startsWith(places.cache)).toBe(true);
  const { modifiedMs } = await nodeFiles.stat(built);
  expect(await findShim(places, doors, SIGNAL)).toBe(built);
  expect((await nodeFiles.stat(built)).modifiedMs).toBe(modifiedMs);
  expect(await readdir(places.cache)).toHaveLength(1);
  await writeFile(join(places.sources, 'extra.c'), 'int extra;\n');
  expect(await findShim(places, doors, SIGNAL)).not.toBe(built);
});

test('there is none where it cannot be built, or for another system', async () => {
  await writeFile(join(places.sources, 'system.c'), 'this is no C\n');
  expect(await findShim(places, doors, SIGNAL)).toBeUndefined();
  expect(await findShim({ ...places, platform: 'darwin-arm64' }, doors, SIGNAL)).toBeUndefined();
});
