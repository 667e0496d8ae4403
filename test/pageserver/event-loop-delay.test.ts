import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allocateAligned } from '../../src/io/aligned-buffer.ts';
import type { Files } from '../../src/io/files.ts';
import { FILES_ENGINES, openFilesEngine } from '../../src/io/node/files-engine.ts';
import { VirtualFiles } from '../../src/io/virtual-files.ts';
import { VALUE_RECORD } from '../../src/pageserver/layers/value.ts';
import { key, type LayerValue, writeLayer } from '../support/layer-samples.ts';

const MEBIBYTE = 1024 * 1024;
/** A gigabyte shows the same and takes longer. */
const WRITTEN_BYTES = 256 * MEBIBYTE;
const FILE_BYTES = 64 * MEBIBYTE;
const DELAY_MAX_MS = 10;
/** Collecting garbage delays the loop now and then as well; what blocks it does so each time. */
const ATTEMPTS = 3;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-delay-'));
});
afterAll(() => rm(directory, { recursive: true }));

/**
 * How long this thread was ready to run while others had the processors, in milliseconds: a busy machine is not what is
 * measured. Linux alone says it.
 */
function waitedMs(): number {
  if (process.platform !== 'linux') return 0;
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;
}

/** The delay of the event loop that one of a hundred is longer than, while this is done, in milliseconds. */
async function delayOf(action: () => Promise<void>): Promise<number> {
  const delaysMs: number[] = [];
  let last = { atMs: performance.now(), waitedMs: waitedMs() };
  const tick = (): void => {
    const now = { atMs: performance.now(), waitedMs: waitedMs() };
    delaysMs.push(now.atMs - last.atMs - (now.waitedMs - last.waitedMs));
    last = now;
  };
  const timer = setInterval(tick, 1);
  try {
    await action();
  } finally {
    clearInterval(timer);
  }
  // What was blocked last.
  tick();
  delaysMs.sort((left, right) => left - right);
  return delaysMs[Math.ceil(delaysMs.length * 0.99) - 1] as number;
}

async function expectUndelayed(action: () => Promise<void>): Promise<void> {
  const delaysMs: number[] = [];
  while (delaysMs.length < ATTEMPTS) {
    delaysMs.push(await delayOf(action));
    if ((delaysMs.at(-1) as number) < DELAY_MAX_MS) return;
  }
  expect.fail(`the event loop was held up for ${delaysMs.join(', ')} ms`);
}

/** Writes files side by side, as flushes and compactions do, and makes them durable. */
async function writeFiles(files: Files): Promise<void> {
  const source = allocateAligned(512 * 1024).fill(7);
  const writeOne = async (index: number): Promise<void> => {
    const path = join(directory, `layer-${index}`);
    await using file = await files.openForUpdate(path);
    await file.resize(0);
    for (let position = 0; position < FILE_BYTES; position += source.length) {
      await file.write(source, 0, source.length, position);
    }
    await file.sync();
    await file.close();
    await files.rename(path, `${path}-final`);
    await files.syncDirectory(directory);
  };
  await Promise.all(Array.from({ length: WRITTEN_BYTES / FILE_BYTES }, (_, index) => writeOne(index)));
}

/** One page after another, all of the same bytes: making them up is not what is measured. */
function* valuesOf(count: number): Generator<LayerValue> {
  const bytes = new Uint8Array(8000).fill(7);
  for (let index = 0; index < count; index++) {
    yield { key: key(1, 1, index), lsn: 100 + index, flags: VALUE_RECORD, bytes };
  }
}

describe.each(FILES_ENGINES)('the %s engine', (name) => {
  const { files: inner, descriptorsPerFile } = openFilesEngine(name);
  const files = new VirtualFiles(inner, { maxDescriptors: 64, descriptorsPerFile });

  test('IO-02: writing and syncing files holds up nobody', { timeout: 120_000 }, async () => {
    await expectUndelayed(() => writeFiles(files));
  });

  test('IO-03: what another engine has written is read without holding up anybody', {
    timeout: 120_000,
  }, async () => {
    const other = FILES_ENGINES.find((engine) => engine !== name) as string;
    await writeFiles(openFilesEngine(other).files);
    const switched = openFilesEngine(name).files;
    await expectUndelayed(async () => {
      await using file = await switched.open(join(directory, 'layer-0-final'));
      const target = new Uint8Array(256 * 1024);
      for (let position = 0; position < FILE_BYTES; position += target.length) {
        expect(await file.read(target, 0, target.length, position)).toBe(target.length);
        if (target[position % 1000] !== 7) expect.unreachable();
      }
      expect(file.sizeBytes).toBe(FILE_BYTES);
    });
  });

  test('IO-09: making delta layers holds up nobody', { timeout: 120_000 }, async () => {
    await expectUndelayed(async () => {
      await writeLayer(files, directory, valuesOf(10_000), {
        temporaryName: `delta-${name}`,
        // Compressing is work for another thread.
        compression: 'none',
      });
    });
  });

  test('VF-04: making, opening, looking at, reading and removing files holds up nobody', {
    timeout: 120_000,
  }, async () => {
    const content = new Uint8Array(100_000).fill(3);
    const use = async (path: string): Promise<void> => {
      await files.create(path, content);
      await using file = await files.open(path);
      const { sizeBytes } = await files.stat(path);
      expect(await file.read(new Uint8Array(sizeBytes), 0, sizeBytes, 0)).toBe(content.length);
      await file.close();
      await files.remove(path);
    };
    const useMany = async (user: number): Promise<void> => {
      for (let count = 0; count < 100; count++) await use(join(directory, `small-${user}-${count}`));
    };
    await expectUndelayed(async () => {
      await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(useMany));
    });
  });
});

test('IO-02: what does block the event loop is found', { timeout: 120_000 }, async () => {
  const source = new Uint8Array(32 * MEBIBYTE).fill(7);
  const delayMs = await delayOf(async () => {
    const file = openSync(join(directory, 'blocking'), 'w');
    for (let count = 0; count < 4; count++) {
      writeSync(file, source);
      fsyncSync(file);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    closeSync(file);
  });
  expect(delayMs).toBeGreaterThan(DELAY_MAX_MS);
});
