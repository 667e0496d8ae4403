import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { addValue, key, type LayerValue, OWNER, writeLayer } from '../../../../test/support/layer-samples.ts';
import { VarveError } from '../../../base/errors.ts';
import { toLsn } from '../../../base/lsn.ts';
import type { Files } from '../../../io/files.ts';
import { nodeFiles } from '../../../io/node/files.ts';
import { ALL_KEYS } from '../../keyspace/key-range.ts';
import { formatLayerFileName } from '../layer-name.ts';
import { VALUE_BYTES_MAX, VALUE_RECORD } from '../value.ts';
import { decodeLayerHeader, encodeLayerHeader, sealHeader } from './layer-header.ts';
import { LayerWriter, type LayerWriterOptions } from './layer-writer.ts';
import { HEADER_BYTES } from './layout.ts';
import { describeLayer, verifyLayer } from './verify-layer.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-writer-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
beforeEach(() => {
  for (const name of readdirSync(directory)) rmSync(join(directory, name));
});

const OPTIONS: LayerWriterOptions = {
  ...OWNER,
  files: nodeFiles,
  directory,
  temporaryName: 'new',
  postgresMajor: 17,
  kind: 'delta',
  lsnStart: toLsn(0x100),
  lsnEnd: toLsn(0x200),
  generation: 1,
  compression: 'none',
};

const value = (index: number, lsn: number, length = 10): LayerValue => ({
  key: key(0, 16384, index),
  lsn,
  flags: VALUE_RECORD,
  bytes: new Uint8Array(length).fill(index),
});

describe('what a writer does not take', () => {
  const refused: readonly (readonly [string, LayerValue])[] = [
    ['a lower key', value(4, 0x180)],
    ['a lower LSN', value(5, 0x14f)],
    ['the same key and LSN', value(5, 0x150)],
    ['an LSN below the layer', value(6, 0xff)],
    ['an LSN at the end of the layer', value(6, 0x200)],
    ['unknown flags', { ...value(6, 0x180), flags: 0x10 }],
  ];
  test.each(refused)('%s', async (_, wrong) => {
    await using writer = await LayerWriter.create(OPTIONS);
    addValue(writer, value(5, 0x150));
    expect(() => addValue(writer, wrong)).toThrow(expect.objectContaining({ kind: 'assertion' }));
    addValue(writer, value(5, 0x151));
    addValue(writer, value(6, 0x100));
    expect(writer.valueCount).toBe(3);
  });

  test('a value of more than VALUE_BYTES_MAX bytes', async () => {
    await using writer = await LayerWriter.create(OPTIONS);
    const bytes = new Uint8Array(1);
    const view = new DataView(new ArrayBuffer(18));
    expect(() => writer.add(view, 0, 0x100, VALUE_RECORD, bytes, view, 0, VALUE_BYTES_MAX + 1)).toThrow(
      'stored',
    );
  });

  test('a layer without LSNs, or an image layer of several', async () => {
    for (const wrong of [{ lsnEnd: toLsn(0x100) }, { kind: 'image' as const }]) {
      await expect(LayerWriter.create({ ...OPTIONS, ...wrong })).rejects.toMatchObject({ kind: 'assertion' });
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  test('a range of keys that not all values are in, and it can still be given the right one', async () => {
    await using writer = await LayerWriter.create(OPTIONS);
    addValue(writer, value(5, 0x150));
    addValue(writer, value(9, 0x150));
    const [five, six, nine, ten] = [5, 6, 9, 10].map((index) => key(0, 16384, index));
    for (const [start, end] of [
      [six, ten],
      [five, nine],
      [ten, five],
    ] as const) {
      await expect(writer.finish({ start: start!, end: end! })).rejects.toMatchObject({ kind: 'assertion' });
    }
    const layer = await writer.finish({ start: five!, end: ten! });
    expect(readdirSync(directory)).toEqual([formatLayerFileName(layer)]);
  });
});

test('the file is estimated well while it is written', async () => {
  for (const compression of ['none', 'zstd'] as const) {
    await using writer = await LayerWriter.create({ ...OPTIONS, compression });
    for (let index = 0; index < 20_000; index++) {
      addValue(writer, value(index, 0x100 + (index % 0x100), 100));
      if (writer.isFull) await writer.drain();
    }
    const estimated = writer.estimatedBytes;
    const { sizeBytes } = await writer.finish(ALL_KEYS);
    expect(Math.abs(estimated - sizeBytes)).toBeLessThan(40_000);
  }
});

describe('VF-06: a layer that is not finished', () => {
  test('is not there, and leaves nothing behind when it is given up', async () => {
    {
      await using writer = await LayerWriter.create(OPTIONS);
      for (let index = 0; index < 50_000; index++) addValue(writer, value(index, 0x180, 100));
      expect(readdirSync(directory)).toEqual(['new.temporary']);
    }
    expect(readdirSync(directory)).toEqual([]);
    const writer = await LayerWriter.create(OPTIONS);
    addValue(writer, value(1, 0x180));
    await writer.abort();
    await writer.abort();
    expect(readdirSync(directory)).toEqual([]);
    expect(() => addValue(writer, value(2, 0x180))).toThrow('aborted');
    await expect(writer.finish(ALL_KEYS)).rejects.toMatchObject({ kind: 'assertion' });
  });

  test('what is left of an earlier one under the same name does not matter', async () => {
    await nodeFiles.create(join(directory, 'new.temporary'), new Uint8Array(1_000_000).fill(7));
    const layer = await writeLayer(nodeFiles, directory, [value(1, 0x180)], {
      ...OPTIONS,
      temporaryName: 'new',
    });
    await verifyLayer(nodeFiles, join(directory, formatLayerFileName(layer.description)), layer);
  });

  test('one that is forgotten is told of', () => {
    const script = `
      import { LayerWriter } from './src/pageserver/layers/format/layer-writer.ts';
      import { nodeFiles } from './src/io/node/files.ts';
      const options = { tenantId: '${OWNER.tenantId}', timelineId: '${OWNER.timelineId}', files: nodeFiles,
        directory: process.argv[1], postgresMajor: 17, kind: 'delta', lsnStart: 1, lsnEnd: 2, generation: 1,
        compression: 'none', onLeak: (path) => console.log('leaked', path) };
      for (const name of ['forgotten', 'aborted']) {
        const writer = await LayerWriter.create({ ...options, temporaryName: name });
        if (name === 'aborted') await writer.abort();
      }
      for (let round = 0; round < 20; round++) {
        await new Promise((resolve) => setImmediate(resolve));
        globalThis.gc();
      }`;
    const args = ['--expose-gc', '--input-type=module-typescript', '--eval', script, directory];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect({ stdout, status }, stderr).toEqual({
      stdout: `leaked ${directory}/forgotten.temporary\n`,
      status: 0,
    });
  });
});

/** A files door on which one operation fails. */
function failing(operation: 'write' | 'sync' | 'rename' | 'syncDirectory', atCall: number): Files {
  let calls = 0;
  const fail = (): void => {
    if (++calls === atCall) throw new VarveError('unavailable', 'FILE_IO', 'the disk is full');
  };
  return {
    ...nodeFiles,
    rename: async (from, to) => {
      if (operation === 'rename') fail();
      await nodeFiles.rename(from, to);
    },
    syncDirectory: async (path) => {
      if (operation === 'syncDirectory') fail();
      await nodeFiles.syncDirectory(path);
    },
    openForUpdate: async (path) => {
      const file = await nodeFiles.openForUpdate(path);
      const { write, sync } = file;
      file.write = async (...args) => {
        if (operation === 'write') fail();
        await write.apply(file, args);
      };
      file.sync = async () => {
        if (operation === 'sync') fail();
        await sync.apply(file);
      };
      return file;
    },
  };
}

describe('VF-06: a layer whose writing fails', () => {
  test.each([
    ['write', 1],
    ['write', 3],
    // The header.
    ['write', 6],
    ['sync', 1],
    ['rename', 1],
    ['syncDirectory', 1],
  ] as const)('at %s %d is not there', async (operation, atCall) => {
    const files = failing(operation, atCall);
    const writing = async (): Promise<void> => {
      await using writer = await LayerWriter.create({ ...OPTIONS, files });
      for (let index = 0; index < 20_000; index++) {
        addValue(writer, value(index, 0x180, 100));
        if (writer.isFull) await writer.drain();
      }
      await writer.finish(ALL_KEYS);
    };
    await expect(writing()).rejects.toMatchObject({ code: 'FILE_IO' });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('VF-07: the header', () => {
  test('of the largest layer there can be fits into its block, and one that would not is refused', async () => {
    const layer = await writeLayer(nodeFiles, directory, [value(1, 0x180)], {
      ...OPTIONS,
      temporaryName: 'new',
    });
    const header = await describeLayer(nodeFiles, join(directory, formatLayerFileName(layer.description)));
    const most = 2 ** 53 - 1;
    const largest = {
      ...header,
      description: { ...header.description, keys: ALL_KEYS, lsnEnd: toLsn(most), generation: 2 ** 32 - 1 },
      postgresMajor: 2 ** 32 - 1,
      valueCount: most,
      keyCount: most,
      valueBytes: most,
    };
    const block = encodeLayerHeader(largest);
    expect(block.length).toBe(HEADER_BYTES);
    expect(decodeLayerHeader(block, header.description.sizeBytes, 'file')).toEqual(largest);
    expect(sealHeader(new Uint8Array(HEADER_BYTES - 4)).length).toBe(HEADER_BYTES);
    expect(() => sealHeader(new Uint8Array(HEADER_BYTES - 3))).toThrow('does not fit');
  });

  test('leaves the first data block alone', async () => {
    const layer = await writeLayer(nodeFiles, directory, [value(0x7a, 0x180)], {
      ...OPTIONS,
      temporaryName: 'new',
    });
    const path = join(directory, formatLayerFileName(layer.description));
    const bytes = readFileSync(path);
    expect(bytes.subarray(HEADER_BYTES).includes(Buffer.alloc(10, 0x7a))).toBe(true);
    expect(bytes.subarray(0, HEADER_BYTES).includes(Buffer.alloc(10, 0x7a))).toBe(false);
  });
});
