import { CorruptionError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { type TarEntry, TarReader } from '../../base/tar/tar-reader.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type { TimelineKey } from '../../contracts/safekeeper-api.ts';
import type { Files } from '../../io/files.ts';
import { parseSegmentName } from '../../postgres/wal/segment-name.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import { CONTROL_FILE_BYTES_MAX, decodeControlFile } from '../control-file/control-file-codec.ts';
import { CONTROL_FILE_NAME, ControlFileStore } from '../control-file/control-file-store.ts';
import { versionOf } from '../timeline/timelines.ts';
import { WAL_TIMELINE_ID, WalDirectory } from '../wal/wal-directory.ts';
import { WalStorage } from '../wal/wal-storage.ts';

const SEGMENT_PATTERN = /^([0-9A-F]{24})(\.partial)?$/;

export interface SnapshotToInstall {
  readonly files: Files;
  /** Where the timeline is made: empty, and nobody's yet. */
  readonly directory: string;
  readonly key: TimelineKey;
  /** Who keeps the timeline from now on. */
  readonly membership: MembershipConfiguration;
  /** The copy has to go at least so far. */
  readonly minFlushLsn: Lsn;
  /** Where it comes from, for errors. */
  readonly origin: string;
}

/**
 * Makes a timeline's directory of an archive of `snapshotTimeline`, and proves that it can be opened. All files are
 * durable on return; the directory's names are not.
 * @throws CorruptionError where the archive is not what it should be
 */
export async function installSnapshot(
  archive: AsyncIterable<Uint8Array>,
  wanted: SnapshotToInstall,
): Promise<PersistentState> {
  const reader = new TarReader(archive);
  try {
    const state = await readState(reader, wanted);
    await writeSegments(reader, state, wanted);
    const controlFile = new ControlFileStore(wanted.files, wanted.directory);
    await controlFile.load();
    const installed = { ...state, membership: wanted.membership };
    await controlFile.save(installed);
    await checkOpens(installed, wanted);
    return installed;
  } finally {
    await reader.close();
  }
}

async function readState(reader: TarReader, { key, origin }: SnapshotToInstall): Promise<PersistentState> {
  const entry = await reader.next();
  if (entry?.name !== CONTROL_FILE_NAME || entry.type !== 'file') {
    return refuse(origin, 'it does not begin with a control file');
  }
  const bytes = await reader.readAll(CONTROL_FILE_BYTES_MAX);
  const state = decodeControlFile(bytes, `${origin} ${CONTROL_FILE_NAME}`);
  const isRight = state.tenantId === key.tenant_id && state.timelineId === key.timeline_id;
  if (!isRight) refuse(origin, `it is of ${state.tenantId}/${state.timelineId}`);
  if (state.evictedAtLsn !== undefined) refuse(origin, 'its WAL is in a bucket');
  return state;
}

async function writeSegments(
  reader: TarReader,
  { server }: PersistentState,
  { files, directory, origin }: SnapshotToInstall,
): Promise<void> {
  const wal = new WalDirectory(files, directory, server.segmentBytes);
  let last = -1;
  let isLastPartial = false;
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const { segment, isPartial } = segmentOf(entry, wal, origin);
    if (segment <= last || isLastPartial) refuse(origin, `${entry.name} is out of order`);
    last = segment;
    isLastPartial = isPartial;
    await writeSegment(reader, wal, isPartial ? wal.partialPath(segment) : wal.completePath(segment));
  }
}

function segmentOf(
  { name, type, sizeBytes }: TarEntry,
  { segmentBytes }: WalDirectory,
  origin: string,
): { segment: number; isPartial: boolean } {
  const match = SEGMENT_PATTERN.exec(name);
  if (match === null || type !== 'file') return refuse(origin, `${JSON.stringify(name)} has no place in it`);
  const isPartial = match[2] !== undefined;
  if (isPartial ? sizeBytes > segmentBytes : sizeBytes !== segmentBytes) {
    refuse(origin, `${name} has ${sizeBytes} bytes`);
  }
  const { segment, timelineId } = parseSegmentName(match[1] as string, segmentBytes);
  if (timelineId !== WAL_TIMELINE_ID) refuse(origin, `${name} is of another PostgreSQL timeline`);
  return { segment, isPartial };
}

async function writeSegment(reader: TarReader, wal: WalDirectory, path: string): Promise<void> {
  await using file = await wal.files.openForUpdate(path);
  let at = 0;
  for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) {
    await file.write(piece, 0, piece.length, at);
    at += piece.length;
  }
  if (at < wal.segmentBytes) await file.resize(wal.segmentBytes);
  await file.sync();
}

/** Whoever has voted by this log has counted on all of it. */
async function checkOpens(
  state: PersistentState,
  { files, directory, minFlushLsn, origin }: SnapshotToInstall,
): Promise<void> {
  const { server, commitLsn, timelineStartLsn, localStartLsn } = state;
  await using wal = await WalStorage.open({
    files,
    directory,
    version: versionOf(server.pgVersion),
    segmentBytes: server.segmentBytes,
    systemIdentifier: server.systemIdentifier,
    commitLsn,
    timelineStartLsn,
    localStartLsn,
  });
  const flushLsn = Math.max(wal.flushLsn, timelineStartLsn);
  if (flushLsn < minFlushLsn) {
    refuse(origin, `its WAL ends at ${formatLsn(flushLsn)} instead of ${formatLsn(minFlushLsn)}`);
  }
}

function refuse(origin: string, reason: string): never {
  throw new CorruptionError('BAD_SNAPSHOT', `the snapshot of ${origin} is wrong: ${reason}`);
}
