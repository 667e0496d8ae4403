import { BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn, toLsn } from '../../base/lsn.ts';
import { PACKED_STATISTICS_PATH, parseFreeSpaceMapPart } from '../../contracts/auxiliary-path.ts';
import { AuxiliaryStreamDecoder } from '../../contracts/auxiliary-stream.ts';
import { untilCancelled } from '../../io/cancelled.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { beforeHeader } from '../start-set/cluster-at-lsn.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';

/** MAXIMUM_ALIGNOF */
const RECORD_ALIGNMENT = 8;

export interface TakenObjects {
  /** As of when they are. */
  readonly lsn: Lsn;
  /** They are to be in the bucket before this resolves. No WAL brings them again if they are lost before they are there. */
  readonly isDurable: boolean;
}

/**
 * Takes what a compute keeps beside WAL, as of an LSN that is waited for: free space maps and statistics, and nothing else.
 * Each object is taken on its own: what has come before something that is refused stays. One that is there with a later LSN
 * stays too, so whoever is late does no harm.
 *
 * @param begin begins the stream of objects, when all that can be refused at once is not
 * @throws VarveError ‘unavailable’ / LSN_NOT_REACHED; ‘precondition’ / NO_RECORD_BEFORE, LSN_BELOW_CUTOFF; BadRequestError
 * BAD_AUXILIARY_PATH, NOT_AT_A_RECORD; CorruptionError for what is no such stream; as Timeline.putAuxiliaryFile
 */
export async function takeAuxiliaryObjects(
  { timeline, reads }: ActiveTimeline,
  { lsn, isDurable }: TakenObjects,
  begin: () => AsyncIterable<Uint8Array>,
  context: ReadContext,
): Promise<void> {
  const aligned = toLsn(Math.ceil(lsn / RECORD_ALIGNMENT) * RECORD_ALIGNMENT);
  const wanted = beforeHeader(aligned, timeline.walSegmentBytes);
  const record = await reads.recordBefore(wanted, context);
  if (record === undefined) {
    throw new VarveError('precondition', 'NO_RECORD_BEFORE', 'no record ends at or before this LSN', { lsn });
  }
  const decoder = new AuxiliaryStreamDecoder();
  for await (const chunk of begin()) {
    for (const { path, content } of decoder.push(chunk)) {
      if (path === PACKED_STATISTICS_PATH) {
        // They would be taken for those of the record before.
        if (record.endLsn !== wanted) throw notAtRecord(lsn);
      } else if (parseFreeSpaceMapPart(timeline.version, path) === undefined) {
        throw new BadRequestError('BAD_AUXILIARY_PATH', 'a compute keeps nothing under such a path');
      }
      await timeline.putAuxiliaryFile(path, content, record.endLsn);
    }
  }
  decoder.finish();
  if (!isDurable) return;
  await untilCancelled(context.signal, timeline.flush());
  await timeline.remote.waitForUploads(context.signal);
}

function notAtRecord(lsn: Lsn): BadRequestError {
  const reason = `statistics are of the end of a record, and none ends at ${formatLsn(lsn)}`;
  return new BadRequestError('NOT_AT_A_RECORD', reason, { lsn });
}
