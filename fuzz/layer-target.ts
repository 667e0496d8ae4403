import { readFileSync } from 'node:fs';
import { crc32cBulk } from '../src/base/crc32c-bulk.ts';
import { KEY_BYTES } from '../src/pageserver/keyspace/key.ts';
import { decodeStoredBlock, decodeStoredLength } from '../src/pageserver/layers/format/block-frame.ts';
import {
  countRowsBelow,
  endOfRow,
  indexOfRow,
  lsnOfRow,
  rowCountOf,
  startOfRow,
  stemAt,
  stemCountOf,
} from '../src/pageserver/layers/format/data-block.ts';
import {
  findIndexRow,
  indexRowCountOf,
  positionOfIndexRow,
  storedLengthOfIndexRow,
} from '../src/pageserver/layers/format/index-block.ts';
import { decodeLayerHeader, sealHeader } from '../src/pageserver/layers/format/layer-header.ts';
import { BLOCK_DATA, type BlockType, HEADER_BYTES } from '../src/pageserver/layers/format/layout.ts';
import { toBlock } from '../src/pageserver/layers/format/read-layer.ts';
import { goldenLayerPath } from '../test/support/layer-samples.ts';
import type { SeededRandom } from '../test/support/seeded-random.ts';
import { mutate, mutateInPlace } from './mutate.ts';

interface StoredBlock {
  readonly position: number;
  readonly storedLength: number;
  readonly raw: Uint8Array;
}

interface SampleLayer {
  readonly bytes: Uint8Array;
  readonly blocks: readonly StoredBlock[];
}

function loadLayer(kind: 'delta' | 'image'): SampleLayer {
  const bytes = new Uint8Array(readFileSync(goldenLayerPath(kind)));
  const view = new DataView(bytes.buffer);
  const blocks: StoredBlock[] = [];
  for (let position = HEADER_BYTES; position < bytes.length; ) {
    const storedLength = decodeStoredLength(view, position, position, bytes.length, kind);
    blocks.push({
      position,
      storedLength,
      raw: decodeStoredBlock(bytes, position, storedLength, position, kind),
    });
    position += storedLength;
  }
  return { bytes, blocks };
}

let layers: readonly SampleLayer[] | undefined;

function expectThat(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`a layer's block was taken although ${what}`);
}

/** All that a search or a cursor ever asks of a data block. */
function useDataBlock(bytes: Uint8Array, view: DataView, key: DataView): void {
  const count = rowCountOf(view);
  for (let row = 0; row < count; row++) {
    const [start, end] = [startOfRow(view, row), endOfRow(view, row)];
    expectThat(start <= end && end <= bytes.length, 'a value lies outside of it');
    expectThat(Number.isSafeInteger(lsnOfRow(view, row)), 'an LSN is not exact');
    indexOfRow(view, row);
  }
  for (let stem = 0; stem < stemCountOf(view); stem++) view.getUint32(stemAt(view, stem) + KEY_BYTES - 4);
  const below = countRowsBelow(view, key, lsnOfRow(view, count - 1));
  expectThat(below >= 0 && below <= count, 'its rows cannot be searched');
}

function useIndexBlock(view: DataView, key: DataView, fileBytes: number): void {
  const count = indexRowCountOf(view);
  const row = findIndexRow(view, key, 0x1000);
  expectThat(row >= -1 && row < count, 'its rows cannot be searched');
  for (let at = 0; at < count; at++) {
    const [position, length] = [positionOfIndexRow(view, at), storedLengthOfIndexRow(view, at)];
    expectThat(position >= HEADER_BYTES && position + length <= fileBytes, 'it leads out of the file');
  }
}

function useRaw(
  raw: Uint8Array,
  type: BlockType,
  position: number,
  fileBytes: number,
  random: SeededRandom,
): void {
  const { bytes, view } = toBlock(raw, type, position, { path: 'layer', sizeBytes: fileBytes });
  const key = new DataView(new ArrayBuffer(KEY_BYTES));
  for (let at = 0; at < KEY_BYTES; at++)
    key.setUint8(at, random.pick([0, 0xff, raw[random.below(raw.length)] as number]));
  if (type === BLOCK_DATA) useDataBlock(bytes, view, key);
  else useIndexBlock(view, key, fileBytes);
}

/** Headers, blocks and what is in blocks of layer files, damaged, mostly with checksums that are right. */
export function layerTarget(random: SeededRandom): void {
  layers ??= [loadLayer('delta'), loadLayer('image')];
  const { bytes, blocks } = random.pick(layers);
  if (random.chance(0.2)) {
    const header = bytes.slice(0, HEADER_BYTES - 4);
    mutateInPlace(header.subarray(0, 190), random, [bytes.length, HEADER_BYTES]);
    decodeLayerHeader(sealHeader(header), bytes.length, 'layer');
    return;
  }
  const { position, storedLength, raw } = random.pick(blocks);
  const type = raw[0] as BlockType;
  if (random.chance(0.2)) {
    const stored = bytes.slice(position, position + storedLength);
    mutateInPlace(stored.subarray(4, random.pick([16, storedLength])), random, [raw.length, stored.length]);
    const view = new DataView(stored.buffer);
    if (random.chance(0.9)) view.setUint32(0, crc32cBulk(stored, 4, storedLength, position));
    const length = decodeStoredLength(view, 0, position, position + stored.length, 'layer');
    useRaw(decodeStoredBlock(stored, 0, length, position, 'layer'), type, position, bytes.length, random);
    return;
  }
  const damaged = random.chance(0.3) ? mutate(raw, random.pick(blocks).raw, random) : raw.slice();
  if (damaged.length > 0) mutateInPlace(damaged, random, [raw.length, raw.length - 24]);
  useRaw(damaged, type, position, bytes.length, random);
}
