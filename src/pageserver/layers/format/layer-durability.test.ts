import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Kernel } from '../../../../test/sim/kernel.ts';
import { key, type LayerValue, readCursor, writeLayer } from '../../../../test/support/layer-samples.ts';
import { VarveError } from '../../../base/errors.ts';
import type { Files, UpdatableFile } from '../../../io/files.ts';
import { FILES_ENGINES, openFilesEngine } from '../../../io/node/files-engine.ts';
import { VirtualFiles } from '../../../io/virtual-files.ts';
import { wrapSyncs } from '../../../io/wrap-syncs.ts';
import { formatLayerFileName } from '../layer-name.ts';
import { VALUE_RECORD } from '../value.ts';
import { LayerCursor } from './layer-cursor.ts';
import { verifyLayer } from './verify-layer.ts';

const VALUES: readonly LayerValue[] = Array.from({ length: 400 }, (_, index) => ({
  key: key(0, 16384, index * 7),
  lsn: 0x100 + index,
  flags: VALUE_RECORD,
  bytes: Uint8Array.from({ length: 50 + index }, (_, at) => index * 3 + (at >> 2)),
}));

test('IO-01: a layer file has the same bytes whichever engine writes it, and each reads that of the other', async () => {
  const contents: Buffer[] = [];
  for (const name of FILES_ENGINES) {
    const directory = await mkdtemp(join(tmpdir(), 'varve-layer-'));
    try {
      const { files: inner, descriptorsPerFile } = openFilesEngine(name);
      const files = new VirtualFiles(inner, { maxDescriptors: 8, descriptorsPerFile });
      const { description } = await writeLayer(files, directory, VALUES);
      const path = join(directory, formatLayerFileName(description));
      contents.push(await readFile(path));
      for (const reader of FILES_ENGINES) {
        const { files: others } = openFilesEngine(reader);
        await using cursor = await LayerCursor.open(others, path, await verifyLayer(others, path));
        expect(await readCursor(cursor)).toEqual(VALUES);
      }
      expect(await files.list(directory)).toHaveLength(1);
    } finally {
      await rm(directory, { recursive: true });
    }
  }
  expect(contents).toHaveLength(2);
  expect(contents[0]?.equals(contents[1] as Buffer)).toBe(true);
});

type Found = 'whole' | 'damaged' | 'absent';

/** Finishes a layer, then loses the power at once. Says what of the layer is there afterwards. */
async function finishAndLosePower(seed: number, wrap: (files: Files) => Files): Promise<Found> {
  const node = new Kernel(seed).addNode('node');
  node.disk.provideDirectory('/data');
  const { files } = node.start(() => undefined).doors;
  const layer = await node.kernel.perform(() => writeLayer(wrap(files), '/data', VALUES));
  node.crash({ kind: 'power', survival: seed % 2 === 0 ? 'nothing' : 'some' });
  const { files: after } = node.start(() => undefined).doors;
  const path = `/data/${formatLayerFileName(layer.description)}`;
  return node.kernel.perform(async () => {
    try {
      await verifyLayer(after, path);
      return 'whole';
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      return error.kind === 'not-found' ? 'absent' : 'damaged';
    }
  });
}

async function countFound(wrap: (files: Files) => Files): Promise<Record<Found, number>> {
  const counts = { whole: 0, damaged: 0, absent: 0 };
  for (let seed = 1; seed <= 60; seed++) counts[await finishAndLosePower(seed, wrap)]++;
  return counts;
}

/** A door on which the syncs of files do nothing. */
const withoutFileSyncs = (files: Files): Files => ({
  ...wrapSyncs(files, (sync) => sync()),
  async openForUpdate(path): Promise<UpdatableFile> {
    const file = await files.openForUpdate(path);
    file.sync = async () => undefined;
    return file;
  },
});

const withoutDirectorySyncs = (files: Files): Files => ({
  ...wrapSyncs(files, (sync) => sync()),
  syncDirectory: async () => undefined,
});

describe('when the power goes right after a layer was finished', () => {
  test('IO-06: its bytes are whole', async () => {
    expect(await countFound((files) => files)).toEqual({ whole: 60, damaged: 0, absent: 0 });
    expect(await countFound((files) => new VirtualFiles(files, { maxDescriptors: 2 }))).toMatchObject({
      whole: 60,
    });
  });

  test('IO-06: without the sync of the file they would not be', async () => {
    expect((await countFound(withoutFileSyncs)).damaged).toBeGreaterThan(20);
  });

  test('IO-07: without the sync of the directory its name would not be there', async () => {
    const counts = await countFound(withoutDirectorySyncs);
    expect(counts.damaged).toBe(0);
    expect(counts.absent).toBeGreaterThan(20);
  });

  test('IO-07: the syncs of the file and of the directory are awaited by who finishes it, in this order', async () => {
    const order: string[] = [];
    const node = new Kernel(1).addNode('node');
    node.disk.provideDirectory('/data');
    const { files } = node.start(() => undefined).doors;
    const noting = wrapSyncs(files, async (sync) => {
      order.push('sync begins');
      await sync();
      order.push('sync ends');
    });
    const renaming: Files = {
      ...noting,
      rename: async (from, to) => {
        order.push('rename');
        await files.rename(from, to);
      },
    };
    await node.kernel.perform(async () => {
      await writeLayer(renaming, '/data', VALUES);
      order.push('finished');
    });
    expect(order).toEqual(['sync begins', 'sync ends', 'rename', 'sync begins', 'sync ends', 'finished']);
  });
});
