import { fileURLToPath } from 'node:url';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { toLsn } from '../../src/base/lsn.ts';
import type { Files, ReadableFile } from '../../src/io/files.ts';
import { compareKeys, KEY_BYTES, type Key, readKey, writeKey } from '../../src/pageserver/keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../../src/pageserver/keyspace/key-range.ts';
import type { LayerCursor } from '../../src/pageserver/layers/format/layer-cursor.ts';
import type { LayerIdentity } from '../../src/pageserver/layers/format/layer-header.ts';
import { LayerWriter, type LayerWriterOptions } from '../../src/pageserver/layers/format/layer-writer.ts';

import {
  VALUE_HINTS_LOGGED,
  VALUE_IMAGE,
  VALUE_NEEDS_NO_BASE,
  VALUE_POISON,
  VALUE_RECORD,
  VALUE_VISIBILITY_CLEARS,
} from '../../src/pageserver/layers/value.ts';

export const OWNER = {
  tenantId: parseTenantId('1f359dd625e519a1a4e8d7509690f6fc'),
  timelineId: parseTimelineId('de200bd42b49cc1814412c7e592dd6e9'),
} as const;

/** A value of a layer, as an object. */
export interface LayerValue {
  readonly key: Key;
  readonly lsn: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

export const compareValues = (left: LayerValue, right: LayerValue): number =>
  compareKeys(left.key, right.key) || left.lsn - right.lsn;

const scratch = new DataView(new ArrayBuffer(KEY_BYTES));

export function addValue(writer: LayerWriter, { key, lsn, flags, bytes }: LayerValue): void {
  writeKey(scratch, 0, key);
  // Not at the beginning of its memory.
  const memory = new Uint8Array(bytes.length + 3);
  memory.set(bytes, 3);
  writer.add(scratch, 0, lsn, flags, memory, new DataView(memory.buffer), 3, bytes.length);
}

export type SampleOptions = Partial<LayerWriterOptions> & { readonly keys?: KeyRange };

/** Writes a layer of these values, which are in order. */
export async function writeLayer(
  files: Files,
  directory: string,
  values: Iterable<LayerValue>,
  options: SampleOptions = {},
): Promise<LayerIdentity> {
  const { keys = ALL_KEYS, ...rest } = options;
  await using writer = await LayerWriter.create({
    ...OWNER,
    files,
    directory,
    temporaryName: 'layer',
    postgresMajor: 17,
    kind: 'delta',
    lsnStart: toLsn(1),
    lsnEnd: toLsn(rest.kind === 'image' ? (rest.lsnStart ?? 1) + 1 : 1_000_000),
    generation: 3,
    compression: 'zstd',
    ...rest,
  });
  for (const value of values) {
    addValue(writer, value);
    if (writer.isFull) await writer.drain();
  }
  return { ...OWNER, description: await writer.finish(keys) };
}

/** All that is left of it. */
export async function readCursor(cursor: LayerCursor): Promise<LayerValue[]> {
  const values: LayerValue[] = [];
  while (cursor.advance() || (await cursor.next())) {
    values.push({
      key: readKey(cursor.keyView, cursor.keyOffset),
      lsn: cursor.lsn,
      flags: cursor.flags,
      bytes: cursor.bytes.slice(cursor.offset, cursor.offset + cursor.length),
    });
  }
  return values;
}

/** A file in memory, for reading. */
export function readableBytes(path: string, bytes: Uint8Array): ReadableFile {
  const readNow = (target: Uint8Array, start: number, length: number, position: number): number => {
    const piece = bytes.subarray(position, position + length);
    target.set(piece, start);
    return piece.length;
  };
  return {
    path,
    sizeBytes: bytes.length,
    readNow,
    read: async (...where) => readNow(...where),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

export const key = (kind: number, field4: number, index: number): Key => ({
  kind,
  field2: 1663,
  field3: 5,
  field4,
  field5: 0,
  index,
});

/** The version of layer files that is written, and that before it, which is read. */
type GoldenVersion = 1 | 2;

/**
 * What is in the golden delta layer: short and long histories, several stems, every kind of value that layers of the
 * version have.
 */
export function goldenDelta(version: GoldenVersion = 2): LayerValue[] {
  const values: LayerValue[] = [];
  const add = (of: Key, lsn: number, flags: number, text: string): void => {
    values.push({ key: of, lsn, flags, bytes: new TextEncoder().encode(text) });
  };
  add(key(0, 16384, 0), 0x1000, VALUE_RECORD | VALUE_NEEDS_NO_BASE, 'first record of block 0');
  add(key(0, 16384, 0), 0x1080, VALUE_RECORD, 'second record of block 0');
  for (let time = 0; time < 12; time++) {
    add(
      key(0, 16384, 1),
      0x1100 + time * 0x40,
      VALUE_RECORD | VALUE_HINTS_LOGGED,
      `record ${time} `.repeat(6),
    );
  }
  if (version >= 2) {
    const map = { ...key(0, 16384, 1), field5: 2 };
    const one = VALUE_VISIBILITY_CLEARS | VALUE_NEEDS_NO_BASE;
    values.push({ key: map, lsn: 0x1100, flags: one, bytes: Uint8Array.of(0, 0, 0x80, 0, 3) });
    const two = Uint8Array.of(0, 0, 0x80, 1, 3, 0, 0, 0x80, 2, 2);
    values.push({ key: map, lsn: 0x1140, flags: VALUE_VISIBILITY_CLEARS, bytes: two });
  }
  add(key(0, 16385, 0xffff_ffff), 0x2000, VALUE_IMAGE, 'all of a page. '.repeat(40));
  add(key(0, 16385, 0xffff_ffff), 0x2008, VALUE_POISON, 'this record could not be ingested');
  add(key(0x61, 16384, 0), 0x1000, VALUE_IMAGE, '0001');
  add(key(0x61, 16384, 0), 0x1fff_ffff_ffff, VALUE_IMAGE, '');
  return values;
}

export const GOLDEN_DELTA_OPTIONS: SampleOptions = {
  kind: 'delta',
  lsnStart: toLsn(0x1000),
  lsnEnd: toLsn(0x2000_0000_0000),
  generation: 0x2a,
  compression: 'none',
  blockBytes: 256,
};

/** What is in the golden image layer, which is compressed. */
export function goldenImage(): LayerValue[] {
  const values = Array.from({ length: 5 }, (_, index) => {
    const bytes = Uint8Array.from({ length: 500 }, (_byte, at) =>
      at < 100 ? (at * 7 + index) % 251 : index,
    );
    return { key: key(0, 16384, index), lsn: 0x2000, flags: VALUE_IMAGE, bytes };
  });
  values.push({
    key: key(0x61, 16384, 0),
    lsn: 0x2000,
    flags: VALUE_IMAGE,
    bytes: Uint8Array.of(5, 0, 0, 0),
  });
  return values;
}

export const GOLDEN_IMAGE_OPTIONS: SampleOptions = {
  kind: 'image',
  lsnStart: toLsn(0x2000),
  generation: 0x2a,
  compression: 'zstd',
  blockBytes: 512,
  keys: { start: key(0, 16384, 0), end: key(0x62, 0, 0) },
};

export const goldenLayerPath = (kind: 'delta' | 'image', version: GoldenVersion = 2): string =>
  fileURLToPath(new URL(`../golden/layer-${kind}-${version}.bin`, import.meta.url));
