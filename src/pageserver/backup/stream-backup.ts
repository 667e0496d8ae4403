import { BadRequestError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { tarEnd } from '../../base/tar/tar-writer.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import { CONTROL_FILE_PATH } from '../../postgres/files/control-file.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { type ClusterAtLsn, readCluster } from '../start-set/cluster-at-lsn.ts';
import type { ClusterFile } from '../start-set/cluster-file.ts';
import { clusterDirectories, clusterFiles, slruFile } from '../start-set/cluster-files.ts';
import { holdRecord } from '../start-set/hold-record.ts';
import { startForks } from '../start-set/start-forks.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { directoryEntry, fileEntry } from './archive-entries.ts';
import type { BackupOptions } from './backup-options.ts';
import { compressStream } from './compress-stream.ts';
import { configurationFiles, restartLsnFile, settingsFile, signalFiles } from './configuration-files.ts';
import { joinPieces } from './join-pieces.ts';
import { oneAhead } from './one-ahead.ts';
import { relationBatches } from './relation-batches.ts';
import { relationFiles } from './relation-files.ts';

/** What makes a directory a database's. */
const FILE_OF_DATABASE = /(^|\/)(PG_VERSION|pg_filenode\.map)$/;
const REPLICATION_SLOTS = 'pg_replslot/';
/** Of no use without slots. */
const FILE_OF_DECODING = /^pg_logical\/(mappings|snapshots)\//;

/**
 * A cluster at an LSN as a tar archive. A full one is all that a stock server needs: unpacked, it starts as after a clean
 * stop, without recovery. Two archives of one LSN are the same bytes, however far the timeline has come meanwhile.
 *
 * Nothing is held while nobody reads but memory for two batches of pages, and the promise that the LSN stays readable.
 *
 * @throws BadRequestError / WRONG_PREVIOUS_RECORD; as readCluster: both before the first chunk. As TimelineReads
 */
export function streamBackup(
  active: ActiveTimeline,
  options: BackupOptions,
  context: ReadContext,
): AsyncIterable<Uint8Array> {
  return compressStream(joinPieces(heldArchive(active, options, context)), options.compression);
}

/** The archive, with its LSN kept readable from the first read to the last. */
async function* heldArchive(
  active: ActiveTimeline,
  options: BackupOptions,
  context: ReadContext,
): AsyncGenerator<Uint8Array, void> {
  using holds = new DisposableStack();
  const lsn = await holdRecord(active, options.lsn, holds, context);
  const cluster = await readCluster(active, lsn, 'primary', context);
  checkPrevious(cluster, options.previousRecordLsn);
  for await (const piece of archiveOf(active, cluster, options, context)) {
    throwIfCancelled(context.signal);
    yield piece;
  }
}

function checkPrevious({ previousRecordLsn, recordEndLsn }: ClusterAtLsn, wanted: Lsn | undefined): void {
  if (wanted === undefined || wanted === previousRecordLsn) return;
  throw new BadRequestError(
    'WRONG_PREVIOUS_RECORD',
    `the record that ends at ${formatLsn(recordEndLsn)} begins at ${formatLsn(previousRecordLsn)}, not at ${formatLsn(wanted)}`,
  );
}

/**
 * In Neon's order. The control file comes after all that it speaks of, and last but for the WAL: from what was cut off
 * before it no server starts.
 */
async function* archiveOf(
  active: ActiveTimeline,
  cluster: ClusterAtLsn,
  options: BackupOptions,
  context: ReadContext,
): AsyncGenerator<Uint8Array, void> {
  const { reads } = active;
  const { wal, state } = cluster;
  const seconds = Number(wal.checkPoint.time);
  for await (const path of clusterDirectories(cluster, context)) yield directoryEntry(path, seconds);
  for (const file of configurationFiles()) yield* fileEntry(file, seconds);
  if (options.kind === 'full') yield* fileEntry(settingsFile(state.settings), seconds);
  for (const segment of cluster.slruSegments) {
    yield* fileEntry(await slruFile(reads, segment, cluster.recordEndLsn, true, context), seconds);
  }
  const last: ClusterFile[] = [];
  let hasRelations = false;
  for await (const file of clusterFiles(cluster, context)) {
    if (!hasRelations && !FILE_OF_DATABASE.test(file.path)) {
      yield* relationsOf(active, cluster, options, context);
      hasRelations = true;
    }
    if (file.path === CONTROL_FILE_PATH) last.unshift(file);
    else if (wal.files.includes(file)) last.push(file);
    else if (isWanted(file, options)) yield* entryOf(file, seconds);
  }
  if (hasSlots(options) && cluster.walNeededFrom !== undefined) {
    yield* fileEntry(restartLsnFile(cluster.walNeededFrom), seconds);
  }
  for (const file of signalFiles(cluster.previousRecordLsn)) yield* fileEntry(file, seconds);
  for (const file of last) yield* fileEntry(file, seconds);
  yield tarEnd();
}

/** Slots without the WAL that they need are of no use, and hold up vacuum: a full archive has no WAL. */
const hasSlots = ({ kind, isReplica }: BackupOptions): boolean => kind === 'base' && !isReplica;

function isWanted({ path }: ClusterFile, options: BackupOptions): boolean {
  if (path.startsWith(REPLICATION_SLOTS)) return hasSlots(options);
  return options.kind === 'base' || !FILE_OF_DECODING.test(path);
}

/** Each slot has a directory of its own, with one file. */
function* entryOf(file: ClusterFile, seconds: number): Generator<Uint8Array> {
  if (file.path.startsWith(REPLICATION_SLOTS)) {
    yield directoryEntry(file.path.slice(0, file.path.lastIndexOf('/')), seconds);
  }
  yield* fileEntry(file, seconds);
}

/** Pages are read while those before them are sent. */
async function* relationsOf(
  { timeline, reads }: ActiveTimeline,
  { version, recordEndLsn, wal }: ClusterAtLsn,
  options: BackupOptions,
  context: ReadContext,
): AsyncGenerator<Uint8Array, void> {
  const choice = options.kind === 'full' ? 'all' : 'init-forks';
  const files = relationFiles(version, startForks(reads, recordEndLsn, context), choice);
  const batches = relationBatches(files, recordEndLsn, Number(wal.checkPoint.time));
  yield* oneAhead(batches, async (batch) => {
    await timeline.yieldToOthers();
    if (batch.requests.length > 0) await reads.pages(batch.requests, context);
    if (timeline.hasDataChecksums) batch.writeChecksums();
    return batch.bytes;
  });
}
