import type { Lsn } from '../../base/lsn.ts';
import type { StartSetForm } from '../../contracts/start-set.ts';
import { StartSetEncoder } from '../../contracts/start-set-encoder.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { type ClusterAtLsn, readCluster } from './cluster-at-lsn.ts';
import { clusterDirectories, clusterFiles, slruFile } from './cluster-files.ts';
import { holdRecord } from './hold-record.ts';
import { startForks } from './start-forks.ts';

/** Directories are gathered up to so many. */
const DIRECTORIES_AT_ONCE = 500;

export interface StartSetOptions {
  /** Undefined for the last record. */
  readonly lsn: Lsn | undefined;
  readonly form: StartSetForm;
}

/**
 * What a stock server starts from at an LSN, as bytes (docs/formats/start-set.md): first what is small, whole, so that
 * the server can start; then the list of relations. While a chunk waits to be sent nothing is held of the timeline but the
 * promise that the LSN stays readable.
 *
 * Equal for equal arguments, as long as the history can be read.
 * @throws before the first chunk as holdRecord, readCluster; later what reading fails of
 */
export async function* streamStartSet(
  active: ActiveTimeline,
  options: StartSetOptions,
  context: ReadContext,
): AsyncGenerator<Uint8Array, void> {
  using holds = new DisposableStack();
  const lsn = await holdRecord(active, options.lsn, holds, context);
  const cluster = await readCluster(active, lsn, options.form, context);
  const { reads } = active;
  const encoder = new StartSetEncoder();
  encodeHeader(encoder, active, cluster);
  let directories: string[] = [];
  for await (const path of clusterDirectories(cluster, context)) {
    directories.push(path);
    if (directories.length < DIRECTORIES_AT_ONCE) continue;
    encoder.directories(directories);
    directories = [];
    if (encoder.isFull) yield encoder.take();
  }
  encoder.directories(directories);
  for (const segment of cluster.slruSegments) {
    const file = await slruFile(reads, segment, cluster.recordEndLsn, false, context);
    encoder.slruSegment({ ...file, slru: segment.slru, segment: segment.segment });
    for (const { offset, bytes } of file.pieces) yield* encoder.piece(offset, bytes);
  }
  for await (const file of clusterFiles(cluster, context)) {
    encoder.file(file);
    for (const { offset, bytes } of file.pieces) yield* encoder.piece(offset, bytes);
  }
  encoder.ready();
  yield encoder.take();
  for await (const forks of startForks(reads, cluster.recordEndLsn, context)) yield* encoder.forks(forks);
  encoder.end();
  yield encoder.take();
}

function encodeHeader(encoder: StartSetEncoder, { timeline }: ActiveTimeline, cluster: ClusterAtLsn): void {
  const { form, version, systemIdentifier, walSegmentBytes } = cluster;
  const { recordEndLsn, previousRecordLsn, nextRecordLsn, walNeededFrom } = cluster;
  encoder.header({
    form,
    postgresMajor: version.major,
    catalogVersion: version.catalogVersion,
    systemIdentifier,
    walSegmentBytes,
    hasDataChecksums: timeline.hasDataChecksums,
    recordEndLsn,
    previousRecordLsn,
    nextRecordLsn,
    walNeededFrom,
  });
}
