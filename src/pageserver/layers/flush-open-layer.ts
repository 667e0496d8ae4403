import type { Lsn } from '../../base/lsn.ts';
import type { JobContext } from '../../io/workers.ts';
import { KEY_BYTES, writeKey } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import { EntryBatch } from './entry-batch.ts';
import type { Compression } from './format/block-frame.ts';
import type { LayerOwner } from './format/layer-header.ts';
import { LayerWriter } from './format/layer-writer.ts';
import type { LayerDescription } from './layer-description.ts';
import type { SharedOpenLayerIndex } from './open-layer-index.ts';
import { OpenLayerReader } from './open-layer-reader.ts';
import { SortedEntries } from './sorted-entries.ts';
import { stemKey } from './stems.ts';

/** After so many bytes others get their turn: some milliseconds, most of them spent compressing. */
const STEP_BYTES: number = 256 * 1024;
/** What the work for a value is worth, beside that for its bytes. */
const VALUE_COST_BYTES = 32;

/** A frozen layer whose file is whole, as plain data. */
export interface SharedOpenLayer {
  readonly path: string;
  readonly index: SharedOpenLayerIndex;
  /** As Stems.copyWords gives them. */
  readonly stemWords: Uint32Array;
}

export interface FlushOpenLayerInput extends LayerOwner {
  readonly layer: SharedOpenLayer;
  /** Where the layer file goes. */
  readonly directory: string;
  /** As LayerWriterOptions. */
  readonly temporaryName: string;
  readonly postgresMajor: number;
  readonly lsnStart: Lsn;
  /** Exclusive: what the open layer was frozen at. */
  readonly lsnEnd: Lsn;
  readonly generation: number;
  readonly compression: Compression;
}

/**
 * The job that makes a frozen layer a level-0 delta layer, of all keys. The open layer's file stays.
 *
 * In a layer file a key has one value at an LSN. Where the open layer has several, a base makes those that were put
 * before it superfluous, poison all records beside it, and a record that was put twice is one value; anything else is a
 * mistake of ingest.
 *
 * @throws what files fail of, with nothing left behind; VarveError ‘cancelled’
 */
export async function flushOpenLayer(
  input: FlushOpenLayerInput,
  context: JobContext,
): Promise<LayerDescription> {
  const { layer, ...options } = input;
  await using reader = await OpenLayerReader.open(layer.path, context);
  await using writer = await LayerWriter.create({ ...options, files: context.files, kind: 'delta' });
  const entries = new SortedEntries(layer.index, layer.stemWords);
  const batch = new EntryBatch();
  while (batch.fill(entries)) {
    const bytes = await reader.read(batch);
    await addBatch(batch, bytes, input, writer, context);
  }
  return await writer.finish(ALL_KEYS);
}

async function addBatch(
  batch: EntryBatch,
  bytes: Uint8Array,
  { layer: { stemWords }, lsnEnd }: FlushOpenLayerInput,
  writer: LayerWriter,
  context: JobContext,
): Promise<void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const key = new DataView(new ArrayBuffer(KEY_BYTES));
  let bytesInStep = 0;
  for (let entry = 0; entry < batch.count; entry++) {
    const lsn = batch.lsns[entry] as number;
    // Of a record that could not be taken in to its end: the timeline ends before it.
    if (lsn >= lsnEnd) continue;
    writeKey(key, 0, stemKey(stemWords, batch.stems[entry] as number, batch.indexes[entry] as number));
    const length = batch.lengths[entry] as number;
    const offset = batch.offsets[entry] as number;
    writer.add(key, 0, lsn, batch.flags[entry] as number, bytes, view, offset, length);
    bytesInStep += length + VALUE_COST_BYTES;
    if (bytesInStep < STEP_BYTES) continue;
    bytesInStep = 0;
    if (writer.isFull) await writer.drain();
    await context.step();
  }
}
