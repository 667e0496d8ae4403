import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { run } from '../../test/support/cluster-template.ts';
import { DirectoryObjects } from './directory-objects.ts';
import { nodeClock } from './node/clock.ts';
import { nodeFiles } from './node/files.ts';
import { nodeRandom } from './node/random.ts';
import { parseObjectLocation } from './object-location.ts';
import { openObjectStore } from './open-object-store.ts';
import { openS3Objects } from './s3/open.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-objects-'));
afterAll(() => rmSync(directory, { recursive: true }));
const doors = { files: nodeFiles, clock: nodeClock, random: nodeRandom, openS3: openS3Objects };

test('opens a directory', async () => {
  const store = await openObjectStore(parseObjectLocation(`file://${directory}/new`), doors);
  expect(store).toBeInstanceOf(DirectoryObjects);
  expect(store.description).toBe(`file://${directory}/new`);
  store.close();
});

test('opens a bucket', async () => {
  const store = await openObjectStore(parseObjectLocation('s3://my-bucket/a/b?region=eu-central-1'), doors);
  expect(store.description).toBe('s3://my-bucket/a/b');
  store.close();
});

test('the SDK is loaded only where there is a bucket', async () => {
  const script = `
    import { createRequire } from 'node:module';
    import { openS3Objects } from ${JSON.stringify(new URL('./s3/open.ts', import.meta.url).href)};
    const countLoaded = () =>
      Object.keys(createRequire(import.meta.url).cache).filter((name) => name.includes('client-s3')).length;
    const before = countLoaded();
    await openS3Objects({ kind: 's3', bucket: 'my-bucket', prefix: '', isPathStyle: false }, {});
    console.log(before, countLoaded() > 0);`;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const printed = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
  expect(printed.trim()).toBe('0 true');
});
