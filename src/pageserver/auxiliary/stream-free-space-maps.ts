import type { Lsn } from '../../base/lsn.ts';
import { parseFreeSpaceMapPart } from '../../contracts/auxiliary-path.ts';
import { AuxiliaryStreamEncoder } from '../../contracts/auxiliary-stream.ts';
import { decodeAuxiliaryFiles } from '../keyspace/auxiliary-file.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { AUXILIARY_OTHERS } from '../start-set/auxiliary-directories.ts';
import { holdRecord } from '../start-set/hold-record.ts';
import { scanAll } from '../start-set/scan-all.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';

/** So much is gathered before it is sent. */
const CHUNK_BYTES: number = 64 * 1024;

/**
 * The free space maps that a compute has kept, as of an LSN (docs/formats/auxiliary-stream.md). Some may be of relations that
 * are no more: whoever starts a server knows which there are. While a chunk waits to be sent nothing is held of the timeline
 * but the promise that the LSN stays readable.
 * @param lsn undefined for the last record
 * @throws before the first chunk as holdRecord; later what reading fails of
 */
export async function* streamFreeSpaceMaps(
  active: ActiveTimeline,
  lsn: Lsn | undefined,
  context: ReadContext,
): AsyncGenerator<Uint8Array, void> {
  using holds = new DisposableStack();
  const recordEndLsn = await holdRecord(active, lsn, holds, context);
  const { version } = active.timeline;
  const encoder = new AuxiliaryStreamEncoder();
  let gathered = [encoder.header()];
  let lengthBytes = 0;
  for await (const { bytes } of scanAll(active.reads, AUXILIARY_OTHERS, recordEndLsn, context)) {
    for (const { path, content } of decodeAuxiliaryFiles(bytes)) {
      if (parseFreeSpaceMapPart(version, path) === undefined) continue;
      const frame = encoder.object({ path, content });
      if (frame === undefined) continue;
      gathered.push(frame);
      lengthBytes += frame.length;
    }
    if (lengthBytes < CHUNK_BYTES) continue;
    yield Buffer.concat(gathered);
    gathered = [];
    lengthBytes = 0;
  }
  yield Buffer.concat([...gathered, encoder.end()]);
}
