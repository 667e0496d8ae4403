import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { ImportBackupQuery } from '../../contracts/pageserver-api-timeline.ts';
import type { Files } from '../../io/files.ts';
import { BACKUP_LABEL_PATH, type BackupLabel, parseBackupLabel } from '../../postgres/files/backup-label.ts';
import type { ControlFile } from '../../postgres/files/control-file.ts';
import type { XlogBody } from '../../postgres/rmgr/xlog.ts';
import { getPostgresVersion, type PostgresVersion } from '../../postgres/versions/version.ts';
import { firstRecordPosition } from '../../postgres/wal/page-header.ts';
import { readWholeFile } from '../ingest/import-files.ts';
import { type InitialCluster, readControlFile } from '../initial-layer.ts';
import type { ImportSource } from '../tenant/import-source.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { placeInCluster, VERSION_FILE, WAL_DIRECTORY } from './cluster-archive.ts';
import { receiveArchive } from './receive-archive.ts';
import { blameSender } from './refusal.ts';
import { POSTGRES_TIMELINE, type SegmentFiles, takeSegments, verifySegments } from './segment-files.ts';

/**
 * Begins a timeline from a cluster in a tar archive: a backup of a running server, which must have its WAL with it, or the
 * files of a stopped one. What can be read begins at `end_lsn` for the former, at `base_lsn` for the latter, and all of it
 * is durable in the store when this resolves. See docs/follow/import.md.
 *
 * @param signal given when whoever sends it has gone
 * @throws BadRequestError where the archive or the WAL in it is damaged, lacks something or is of another system, version or
 *   timeline than it should; VarveError ‘precondition’ for a cluster that cannot be imported; ‘conflict’ as
 *   Tenant.importTimeline; what the disk or the store fail of. Nothing is left of it then.
 */
export async function importBaseBackup(
  files: Files,
  tenant: Tenant,
  timelineId: TimelineId,
  query: ImportBackupQuery,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  if (query.end_lsn < query.base_lsn) refuse('BAD_RANGE', 'the end is before the beginning');
  const source = new BackupSource(files, getPostgresVersion(query.pg_version), query, tar, signal);
  await blameSender(() => tenant.importTimeline(timelineId, source));
}

/** WAL that belongs to a cluster that has been brought. */
type OwnWal = Pick<SegmentFiles, 'segmentBytes' | 'systemIdentifier' | 'startLsn' | 'endLsn'>;

class BackupSource implements ImportSource {
  readonly #files: Files;
  readonly #version: PostgresVersion;
  readonly #query: ImportBackupQuery;
  readonly #tar: AsyncIterable<Uint8Array>;
  readonly #signal: AbortSignal;
  /** undefined: there is nothing to be taken in. */
  #wal: OwnWal | undefined;

  constructor(
    files: Files,
    version: PostgresVersion,
    query: ImportBackupQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ) {
    this.#files = files;
    this.#version = version;
    this.#query = query;
    this.#tar = tar;
    this.#signal = signal;
  }

  async bring(directory: string, signal: AbortSignal): Promise<InitialCluster> {
    const either = AbortSignal.any([signal, this.#signal]);
    const [files, version] = [this.#files, this.#version];
    const placeOf = (entry: Parameters<typeof placeInCluster>[1]): ReturnType<typeof placeInCluster> =>
      placeInCluster(version, entry);
    const paths = await receiveArchive(this.#tar, { files, directory, placeOf }, either);
    await this.#checkVersion(directory);
    const cluster = { files, directory, version };
    const control = await readControlFile(cluster);
    checkTimeline(control.checkPointCopy.thisTimelineId);
    const hasWal = [...paths].some((path) => path.startsWith(`${WAL_DIRECTORY}/`));
    if (!paths.has(BACKUP_LABEL_PATH)) {
      this.#checkStopped(control);
      if (hasWal && this.#query.end_lsn > control.checkPoint) {
        await this.#verifyWal(directory, control, control.checkPoint, () => undefined, either);
      }
      return cluster;
    }
    const label = parseBackupLabel(await this.#readText(`${directory}/${BACKUP_LABEL_PATH}`));
    this.#checkLabel(label, control);
    if (!hasWal) {
      precondition(
        'BACKUP_WITHOUT_WAL',
        'a backup of a running server cannot be read without the WAL that was written meanwhile, and there is none in its pg_wal: take it with --wal-method=fetch',
      );
    }
    const isComplete = isBackupComplete(label, control, this.#query.end_lsn);
    await this.#verifyWal(directory, control, label.startLsn, isComplete.look, either);
    if (!isComplete.answer()) {
      refuse('WAL_ENDS_EARLY', `the backup goes on behind ${formatLsn(this.#query.end_lsn)}`);
    }
    return { ...cluster, backupStartLsn: label.startLsn };
  }

  async takeWal(timeline: Timeline, cluster: InitialCluster): Promise<void> {
    if (this.#wal === undefined) return;
    const signal = AbortSignal.any([timeline.signal, this.#signal]);
    await takeSegments(this.#segments(cluster.directory, this.#wal), timeline, signal);
    if (timeline.poisonedRecords > 0) {
      refuse('BAD_WAL_RECORD', `${timeline.poisonedRecords} records of the WAL cannot be taken in`);
    }
    await timeline.flush();
    if (cluster.backupStartLsn !== undefined) {
      timeline.advanceGcCutoff(timeline.lastRecordLsn);
    }
  }

  #segments(directory: string, wal: OwnWal): SegmentFiles {
    return {
      ...wal,
      files: this.#files,
      directory: `${directory}/${WAL_DIRECTORY}`,
      version: this.#version,
    };
  }

  async #verifyWal(
    directory: string,
    { walSegmentBytes, systemIdentifier }: ControlFile,
    startLsn: Lsn,
    onXlog: (body: XlogBody) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { end_lsn: endLsn } = this.#query;
    const wal = { segmentBytes: walSegmentBytes, systemIdentifier, startLsn, endLsn };
    await verifySegments(this.#segments(directory, wal), onXlog, signal);
    this.#wal = wal;
  }

  /** ValidatePgVersion. */
  async #checkVersion(directory: string): Promise<void> {
    const text = await this.#readText(`${directory}/${VERSION_FILE}`);
    if (text.trim() === String(this.#version.major)) return;
    refuse(
      'WRONG_POSTGRES_VERSION',
      `the cluster is of PostgreSQL "${text.trim().slice(0, 20)}", not of ${this.#version.major}`,
    );
  }

  #checkStopped({ state, checkPoint, walSegmentBytes }: ControlFile): void {
    if (state !== 'shut down') {
      precondition('CLUSTER_NOT_SHUT_DOWN', `the cluster is ${state}, and has no ${BACKUP_LABEL_PATH}`);
    }
    const { base_lsn: baseLsn } = this.#query;
    // A page's header may come between the end of a record, which names where a cluster is, and the checkpoint.
    if (firstRecordPosition(baseLsn, walSegmentBytes) === checkPoint) return;
    refuse(
      'WRONG_BASE_LSN',
      `the cluster was stopped at ${formatLsn(checkPoint)}, not at ${formatLsn(baseLsn)}`,
    );
  }

  #checkLabel(label: BackupLabel, control: ControlFile): void {
    const { base_lsn: baseLsn } = this.#query;
    if (label.isIncremental) precondition('INCREMENTAL_BACKUP', 'an incremental backup is no whole one');
    if (label.timelineId !== undefined) checkTimeline(label.timelineId);
    if (label.startLsn !== baseLsn) {
      refuse(
        'WRONG_BASE_LSN',
        `the backup begins at ${formatLsn(label.startLsn)}, not at ${formatLsn(baseLsn)}`,
      );
    }
    const isOfRecovery = control.state === 'in archive recovery' || control.state === 'shut down in recovery';
    if (label.isFromStandby && !isOfRecovery) {
      refuse('BAD_BACKUP_LABEL', `the backup is one of a standby, and its cluster is ${control.state}`);
    }
  }

  async #readText(path: string): Promise<string> {
    return new TextDecoder().decode(await readWholeFile(this.#files, path));
  }
}

/**
 * Whether the WAL reaches to where the backup was complete: a record says so, and of a standby's the control file
 * (xlogrecovery.c, CheckRecoveryConsistency).
 */
function isBackupComplete(
  label: BackupLabel,
  control: ControlFile,
  endLsn: Lsn,
): { readonly look: (body: XlogBody) => void; readonly answer: () => boolean } {
  if (!label.isFromStandby) {
    let hasEnd = false;
    return {
      look: (body) => {
        if (body.kind === 'BACKUP_END' && body.startLsn === label.startLsn) hasEnd = true;
      },
      answer: () => hasEnd,
    };
  }
  const refuseWithoutPages = (): never =>
    precondition('FULL_PAGE_WRITES_OFF', 'full_page_writes were off while the standby was backed up');
  if (!control.checkPointCopy.fullPageWrites) refuseWithoutPages();
  return {
    look: (body) => {
      if (body.kind === 'FPW_CHANGE' && !body.fullPageWrites) refuseWithoutPages();
    },
    answer: () => endLsn >= control.minRecoveryPoint,
  };
}

function checkTimeline(timelineId: number): void {
  if (timelineId === POSTGRES_TIMELINE) return;
  precondition(
    'WRONG_WAL_TIMELINE',
    `the cluster is on PostgreSQL's timeline ${timelineId}; only those on ${POSTGRES_TIMELINE} can be imported`,
  );
}

function refuse(code: string, reason: string): never {
  throw new BadRequestError(code, reason);
}

function precondition(code: string, reason: string): never {
  throw new VarveError('precondition', code, reason);
}
