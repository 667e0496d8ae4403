import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  GOLDEN_DELTA_OPTIONS,
  GOLDEN_IMAGE_OPTIONS,
  goldenDelta,
  goldenImage,
  goldenLayerPath,
  OWNER,
  readableBytes,
  readCursor,
  writeLayer,
} from '../../../../test/support/layer-samples.ts';
import { CorruptionError } from '../../../base/errors.ts';
import { nodeFiles } from '../../../io/node/files.ts';
import { BlockCache } from '../block-cache.ts';
import { BlockPins } from '../blocks.ts';
import { FoundValues } from '../found-values.ts';
import { LayerFile } from '../layer-file.ts';
import { formatLayerFileName } from '../layer-name.ts';
import type { ReadContext } from '../read-context.ts';
import { LayerCursor } from './layer-cursor.ts';
import type { LayerIdentity } from './layer-header.ts';
import { LAYER_FORMAT_VERSION } from './layout.ts';
import { describeLayer, verifyLayer } from './verify-layer.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-golden-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SAMPLES = [
  { kind: 'delta', version: 1, values: goldenDelta(1), options: GOLDEN_DELTA_OPTIONS },
  { kind: 'delta', version: 2, values: goldenDelta(2), options: GOLDEN_DELTA_OPTIONS },
  { kind: 'image', version: 1, values: goldenImage(), options: GOLDEN_IMAGE_OPTIONS },
  { kind: 'image', version: 2, values: goldenImage(), options: GOLDEN_IMAGE_OPTIONS },
] as const;
const context: ReadContext = { task: 'administration', signal: new AbortController().signal };

/** All that can be found under each key, as text. */
async function findAll(
  layer: LayerIdentity,
  bytes: Uint8Array,
  keys: (typeof SAMPLES)[number]['values'],
): Promise<string> {
  const path = '/layer';
  const cache = new BlockCache(1_000_000);
  const file = new LayerFile({ ...layer, path, cache, open: async () => readableBytes(path, bytes) });
  const found = new FoundValues();
  let text = '';
  for (const { key, lsn } of keys) {
    const pins = new BlockPins();
    found.clear();
    while (!file.search(key, 0, lsn + 1, pins, found, context)) await pins.load(context);
    for (let index = 0; index < found.count; index++) {
      const offset = found.offsets[index] as number;
      const value = (found.bytes[index] as Uint8Array).subarray(
        offset,
        offset + (found.lengths[index] as number),
      );
      text += `${found.lsns[index]} ${found.flags[index]} ${Buffer.from(value).toString('latin1')}\n`;
    }
  }
  return text;
}

for (const { kind, version, values, options } of SAMPLES) {
  describe(`the golden ${kind} layer of version ${version}`, () => {
    const golden = new Uint8Array(readFileSync(goldenLayerPath(kind, version)));
    const files = { open: async (path: string) => readableBytes(path, golden) };

    test.runIf(version === LAYER_FORMAT_VERSION)('is what is written today, byte for byte', async () => {
      const layer = await writeLayer(nodeFiles, directory, values, options);
      const written = readFileSync(join(directory, formatLayerFileName(layer.description)));
      expect(Buffer.compare(written, golden)).toBe(0);
    });

    test('can be read', async () => {
      const layer = await describeLayer(files, '/layer');
      expect(layer).toMatchObject({ ...OWNER, postgresMajor: 17, valueCount: values.length });
      expect(layer.description).toMatchObject({ kind, generation: 0x2a, sizeBytes: golden.length });
      expect(await verifyLayer(files, '/layer', layer)).toEqual(layer);
      await using cursor = await LayerCursor.open(files, '/layer', layer);
      expect(await readCursor(cursor)).toEqual(values);
    });

    test('is refused or gives the same, whichever byte is damaged or cut', async () => {
      const layer = await describeLayer(files, '/layer');
      const whole = await findAll(layer, golden, values);
      for (let at = 0; at < golden.length; at++) {
        const damaged = golden.slice();
        damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
        const opened = { open: async (path: string) => readableBytes(path, damaged) };
        const error = await verifyLayer(opened, '/layer').catch((thrown: unknown) => thrown);
        expect(error, `byte ${at}`).toBeInstanceOf(CorruptionError);
        expect((error as CorruptionError).place, `byte ${at}`).toMatchObject({ file: '/layer' });
        expect((error as CorruptionError).place.offset, `byte ${at}`).toBeTypeOf('number');
        const found = await findAll(layer, damaged, values).catch((thrown: unknown) => thrown);
        if (found !== whole) expect(found, `byte ${at}`).toBeInstanceOf(CorruptionError);
        if (at % 7 !== 0) continue;
        const cut = { open: async (path: string) => readableBytes(path, golden.subarray(0, at)) };
        await expect(verifyLayer(cut, '/layer'), `cut at ${at}`).rejects.toThrow(CorruptionError);
      }
    });
  });
}
