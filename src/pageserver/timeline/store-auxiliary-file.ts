import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { auxiliaryFileKey, changeAuxiliaryFiles } from '../keyspace/auxiliary-file.ts';
import { NO_VALUE } from '../keyspace/stored-values.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import type { OpenLayer } from '../layers/open-layer.ts';
import type { Stems } from '../layers/stems.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import type { TimelineReader } from '../read/timeline-reader.ts';

/** What it needs of a timeline. */
interface AuxiliaryPlace {
  readonly lastRecordLsn: number;
  readonly stems: Stems;
  readerForIngest(): TimelineReader;
}

interface AuxiliaryObjectToStore {
  readonly path: string;
  /** Without it there is no such object from now on. */
  readonly content: Uint8Array | undefined;
  /** Where the content began to hold; undefined: at the last record. */
  readonly lsn: Lsn | undefined;
}

/**
 * Puts an auxiliary object into the open layer, beside the last record. Nobody else puts anything there meanwhile.
 * @param layerFor gives the layer for so many bytes
 * @returns the LSN that it got, or that of the last record where nothing changes
 * @throws as Timeline.putAuxiliaryFile
 */
export async function storeAuxiliaryFile(
  timeline: AuxiliaryPlace,
  { path, content, lsn: contentLsn }: AuxiliaryObjectToStore,
  layerFor: (lengthBytes: number) => Promise<OpenLayer>,
): Promise<number> {
  const recordEndLsn = timeline.lastRecordLsn;
  const key = auxiliaryFileKey(path);
  const old = await timeline.readerForIngest().readValue(key, lastLsnBeside(recordEndLsn));
  const since = (contentLsn === undefined ? recordEndLsn : Math.min(contentLsn, recordEndLsn)) as Lsn;
  const value = changeAuxiliaryFiles(old, { path, lsn: since, content });
  // What is there is newer, or there is nothing to be removed.
  if (value === (old ?? NO_VALUE)) return recordEndLsn;
  const layer = await layerFor(value.length);
  const lsn = Math.max(layer.lsnStart, recordEndLsn + 1);
  if (lsn > lastLsnBeside(recordEndLsn)) {
    throw new VarveError(
      'unavailable',
      'NO_ROOM_BESIDE_WAL',
      'too much was stored beside the last record: there has to be more WAL first',
      { lsn: recordEndLsn },
    );
  }
  const position = await layer.append(value, 0, value.length);
  const stem = timeline.stems.intern(key.kind, key.field2, key.field3, key.field4, key.field5);
  layer.put(stem, key.index, lsn, position, value.length, VALUE_IMAGE);
  return lsn;
}
