import { describe, expect, test } from 'vitest';
import type { Files } from '../../../src/io/files.ts';
import { replaceFile, TEMPORARY_SUFFIX } from '../../../src/io/replace-file.ts';
import { Kernel } from '../kernel.ts';
import type { CrashMoment, CrashOptions, SimNode } from '../kernel-node.ts';

type Replace = typeof replaceFile;

const OLD = content(1, 9000);
const NEW = content(2, 13_000);
const THIRD = content(3, 700);

/** Every sector is different, and no sector is like one of another content. */
function content(value: number, lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, index) => value * 64 + ((index >> 9) % 60) + 1);
}

function nodeFor(seed: number): SimNode {
  const node = new Kernel(seed).addNode('node');
  node.disk.provideDirectory('/data');
  return node;
}

async function read(files: Files): Promise<Uint8Array> {
  await using file = await files.open('/data/state');
  const bytes = new Uint8Array(file.sizeBytes);
  await file.read(bytes, 0, bytes.length, 0);
  return bytes;
}

function nameOf(bytes: Uint8Array): 'old' | 'new' | 'torn' {
  if (Buffer.compare(bytes, OLD) === 0) return 'old';
  return Buffer.compare(bytes, NEW) === 0 ? 'new' : 'torn';
}

/** Replaces the old content by the new one, in a life that ends by `plan`, and says what the next life finds. */
async function crashWhileReplacing(
  node: SimNode,
  replace: Replace,
  plan: () => void,
  atEnd: CrashOptions,
): Promise<{ found: 'old' | 'new' | 'torn'; hadReturned: boolean }> {
  const { kernel } = node;
  const first = node.start(() => undefined).doors.files;
  await kernel.perform(() => replaceFile(first, '/data', 'state', OLD));
  let hadReturned = false;
  node.restart(async ({ files }) => {
    plan();
    await replace(files, '/data', 'state', NEW);
    hadReturned = true;
    node.crash(atEnd);
  }, atEnd);
  await kernel.run();
  const { files } = node.start(() => undefined).doors;
  const found = nameOf(await kernel.perform(() => read(files)));
  // Whatever is left over, the next replacement takes place.
  await kernel.perform(() => replaceFile(files, '/data', 'state', THIRD));
  expect(await kernel.perform(() => read(files))).toEqual(THIRD);
  expect(await kernel.perform(() => files.list('/data'))).toEqual(['state']);
  return { found, hadReturned };
}

const MOMENTS: readonly CrashMoment[] = ['before', 'middle', 'after'];
const KINDS: readonly CrashOptions[] = [
  { kind: 'kill' },
  { kind: 'power', survival: 'nothing' },
  { kind: 'power', survival: 'everything' },
  { kind: 'power', survival: 'some' },
];

describe('VF-01: a crash at any step of replacing a file', () => {
  for (const options of KINDS) {
    for (const moment of MOMENTS) {
      test(`${moment} each effect, ${options.kind} ${options.survival ?? ''}`, async () => {
        const found = new Set<string>();
        let effect = 0;
        for (let isOver = false; !isOver; ) {
          effect++;
          for (let seed = 1; seed <= 20; seed++) {
            const node = nodeFor(seed);
            const plan = (): void => node.crashAtEffect(effect, moment, options);
            const outcome = await crashWhileReplacing(node, replaceFile, plan, options);
            expect(outcome.found).not.toBe('torn');
            if (outcome.hadReturned) expect(outcome.found).toBe('new');
            isOver = outcome.hadReturned;
            found.add(outcome.found);
          }
        }
        // Open, resize, write, sync, rename, sync of the directory; and one round without a crash in it.
        expect(effect).toBe(7);
        expect([...found].sort()).toEqual(['new', 'old']);
      });
    }
  }
});

/** Power goes at a random time. The machine has written back what it liked, and wrong bits may be in it. */
async function loseSomeSectors(replace: Replace, seeds: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = { old: 0, new: 0, torn: 0, lost: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const node = nodeFor(seed);
    node.disk.faults.bitFlipChance = seed % 3 === 0 ? 0.2 : 0;
    node.disk.faults.writeBackChance = 0.5;
    const plan = (): void => {
      node.kernel.after(undefined, node.kernel.random.below(2500), () => node.crash({ survival: 'some' }));
    };
    const { found, hadReturned } = await crashWhileReplacing(node, replace, plan, { survival: 'some' });
    counts[found]!++;
    if (hadReturned && found !== 'new') counts.lost!++;
  }
  return counts;
}

test('VF-03: sectors of 512 bytes are lost and left at random, and the content is whole', async () => {
  const counts = await loseSomeSectors(replaceFile, 600);
  expect([counts.torn, counts.lost]).toEqual([0, 0]);
  expect(counts.old).toBeGreaterThan(50);
  expect(counts.new).toBeGreaterThan(50);
});

describe('VF-03: the simulated disk finds what a replacement forgets', () => {
  const temporaryPath = `/data/state${TEMPORARY_SUFFIX}`;
  async function write(files: Files, path: string, bytes: Uint8Array, isSynced: boolean): Promise<void> {
    await using file = await files.openForUpdate(path);
    await file.resize(0);
    await file.write(bytes, 0, bytes.length, 0);
    if (isSynced) await file.sync();
  }

  test('the sync of the file', async () => {
    const counts = await loseSomeSectors(async (files, directory, name, bytes) => {
      await write(files, temporaryPath, bytes, false);
      await files.rename(temporaryPath, `${directory}/${name}`);
      await files.syncDirectory(directory);
    }, 100);
    expect(counts.torn).toBeGreaterThan(0);
  });

  test('the sync of the directory', async () => {
    const counts = await loseSomeSectors(async (files, directory, name, bytes) => {
      await write(files, temporaryPath, bytes, true);
      await files.rename(temporaryPath, `${directory}/${name}`);
    }, 100);
    expect(counts.torn).toBe(0);
    expect(counts.lost).toBeGreaterThan(0);
  });

  test('the temporary name', async () => {
    const counts = await loseSomeSectors(async (files, directory, name, bytes) => {
      await write(files, `${directory}/${name}`, bytes, true);
    }, 100);
    expect(counts.torn).toBeGreaterThan(0);
  });
});
