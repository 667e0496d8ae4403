import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { delayedFiles } from './delayed-files.ts';
import type { Files } from './files.ts';
import { nodeClock } from './node/clock.ts';
import { nodeFiles } from './node/files.ts';
import { unsyncedFiles } from './unsynced-files.ts';
import { wrapSyncs } from './wrap-syncs.ts';

async function useAll(files: Files): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-syncs-'));
  try {
    await files.makeDirectory(`${directory}/a`);
    {
      await using file = await files.openForUpdate(`${directory}/a/b`);
      file.writeNow(Buffer.from('hello '), 0, 6, 0);
      await file.write(Buffer.from('world'), 0, 5, 6);
      await file.resize(8);
      await file.sync();
    }
    await files.create(`${directory}/a/c`, Buffer.from('!'));
    await files.link(`${directory}/a/c`, `${directory}/a/d`);
    await files.rename(`${directory}/a/b`, `${directory}/a/e`);
    await files.remove(`${directory}/a/c`);
    await files.syncDirectory(`${directory}/a`);
    const names = await files.list(`${directory}/a`);
    const { sizeBytes } = await files.stat(`${directory}/a/e`);
    await using file = await files.open(`${directory}/a/e`);
    const content = Buffer.alloc(file.sizeBytes);
    await file.read(content, 0, content.length, 0);
    expect((await files.space(directory)).capacityBytes).toBeGreaterThan(0);
    await files.removeDirectory(`${directory}/a`);
    return `${names.join()} ${sizeBytes} ${content} ${(await files.list(directory)).length}`;
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('a wrapped files door does all that the door does, and its syncs go through the wrapper', async () => {
  let syncs = 0;
  const files = wrapSyncs(nodeFiles, async (sync) => {
    syncs++;
    await sync();
  });
  expect(await useAll(files)).toBe('d,e 8 hello wo 0');
  expect(syncs).toBe(2);
});

test('syncs are delayed, or left out', async () => {
  const startMs = nodeClock.monotonicMs();
  // A timer of this clock keeps no process alive, and a test's process lives anyway.
  await useAll(delayedFiles(nodeFiles, nodeClock, 30));
  expect(nodeClock.monotonicMs() - startMs).toBeGreaterThanOrEqual(60);
  const failing: Files = {
    ...nodeFiles,
    syncDirectory: () => Promise.reject(new Error('this disk has no syncs')),
  };
  await expect(useAll(failing)).rejects.toThrow('no syncs');
  expect(await useAll(unsyncedFiles(failing))).toBe('d,e 8 hello wo 0');
});
