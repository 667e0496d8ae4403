import { VarveError } from '../../base/errors.ts';
import { INVALID_LSN } from '../../base/lsn.ts';
import type { TimelineKey } from '../../contracts/safekeeper-api.ts';
import type { DebugDump } from '../../contracts/safekeeper-api-debug.ts';
import type { Files } from '../../io/files.ts';
import { isSegmentName } from '../../postgres/wal/segment-name.ts';
import { ControlFileStore } from '../control-file/control-file-store.ts';
import type { DebugDumpOptions } from '../http/administration.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { isActive } from '../timeline/timeline-reading.ts';
import { controlFileJson } from './control-file-json.ts';
import type { AdministrationExtensions } from './extensions.ts';
import { countZeros } from './zeros.ts';

type TimelineDump = DebugDump['timelines'][number];
type Memory = NonNullable<TimelineDump['memory']>;
type DiskFile = NonNullable<TimelineDump['disk_content']>['files'][number];

/**
 * What is known and held of one timeline. It is not opened for that: of one that nobody has used there is no memory,
 * and the control file is read from the disk.
 */
export async function dumpTimeline(
  timeline: Timeline,
  files: Files,
  extensions: AdministrationExtensions,
  options: DebugDumpOptions,
): Promise<TimelineDump> {
  const key = { tenant_id: timeline.tenantId, timeline_id: timeline.timelineId };
  const disk =
    options.diskContent || options.walLastModified ? await listFiles(timeline.directory, files) : [];
  const dump: TimelineDump = { ...key };
  if (options.controlFile) {
    const state =
      timeline.acceptor?.acceptor.persistent ??
      (await new ControlFileStore(files, timeline.directory).load());
    if (state !== undefined) dump.control_file = controlFileJson(state, options.termHistory);
  }
  if (options.memory) {
    const memory = memoryOf(timeline, key, extensions);
    if (memory !== undefined) dump.memory = memory;
  }
  if (options.diskContent) {
    const content: DiskFile[] = [];
    for (const file of disk) {
      const description = await ifThere(() => describeFile(file, files));
      if (description !== undefined) content.push(description);
    }
    dump.disk_content = { files: content };
  }
  const wal = disk.filter(({ name }) => isSegmentName(name.slice(0, 24)));
  if (options.walLastModified && wal.length > 0) {
    dump.wal_last_modified = Math.floor(Math.max(...wal.map(({ modifiedMs }) => modifiedMs)));
  }
  return dump;
}

function memoryOf(
  timeline: Timeline,
  key: TimelineKey,
  { peers, backup }: AdministrationExtensions,
): Memory | undefined {
  const durable = timeline.acceptor;
  if (durable === undefined) return undefined;
  const { acceptor, wal } = durable;
  return {
    is_cancelled: timeline.signal.aborted,
    peers_info_len: peers?.peersOf(key).length ?? 0,
    walsenders: timeline.senders.count,
    wal_backup_active: backup?.isUploading(key) ?? false,
    active: isActive(timeline, acceptor),
    num_computes: timeline.receivers.computes,
    last_removed_segno: Math.max(0, (wal?.oldestLocalSegment ?? 0) - 1),
    epoch_start_lsn: acceptor.persistent.termHistory.at(-1)?.lsn ?? INVALID_LSN,
    mem_state: {
      commit_lsn: acceptor.commitLsn,
      backup_lsn: acceptor.backupLsn,
      peer_horizon_lsn: acceptor.peerHorizonLsn,
      remote_consistent_lsn: acceptor.remoteConsistentLsn,
    },
    mgr_status: durable.failure?.reason ?? (timeline.isInUse ? 'in use' : 'idle'),
    write_lsn: acceptor.log.writeLsn,
    write_record_lsn: acceptor.log.recordLsn,
    flush_lsn: acceptor.log.flushLsn,
    file_open: wal?.isFileOpen ?? false,
  };
}

interface FileOnDisk {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

async function listFiles(directory: string, files: Files): Promise<FileOnDisk[]> {
  const found: FileOnDisk[] = [];
  for (const name of await files.list(directory)) {
    const path = `${directory}/${name}`;
    const status = await ifThere(() => files.stat(path));
    if (status?.kind !== 'file') continue;
    found.push({ name, path, sizeBytes: status.sizeBytes, modifiedMs: status.modifiedMs });
  }
  return found;
}

/** Segments are renamed and removed while we look at them. */
async function ifThere<Value>(look: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}

async function describeFile(
  { name, path, sizeBytes, modifiedMs }: FileOnDisk,
  files: Files,
): Promise<DiskFile> {
  await using file = await files.open(path);
  const { startBytes, endBytes } = await countZeros(file);
  return {
    name,
    size: sizeBytes,
    modified: Math.floor(modifiedMs),
    start_zeroes: startBytes,
    end_zeroes: endBytes,
  };
}
