import { BadRequestError } from '../../base/errors.ts';
import type { Pass } from '../../base/gate.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type {
  DigestRange,
  FilesystemUsage,
  MembershipSwitchResult,
  PullTimelineRequest,
  PullTimelineResult,
  SafekeeperStatus,
  SafekeeperTimelineInfo,
  SafekeeperUtilization,
  TenantDeleteResult,
  TermBumpResult,
  TimelineDeleteResult,
  TimelineDigest,
  TimelineKey,
  TimelineStatus,
} from '../../contracts/safekeeper-api.ts';
import type {
  ControlFilePatchResult,
  ControlFileUpdates,
  DebugDump,
} from '../../contracts/safekeeper-api-debug.ts';
import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import { patchState } from '../consensus/patch-state.ts';
import { checkServer } from '../consensus/server-info.ts';
import type {
  CreateTimeline,
  DebugDumpOptions,
  DeleteOptions,
  SafekeeperAdministration,
} from '../http/administration.ts';
import type { ResidentTimeline, Timeline } from '../timeline/timeline.ts';
import { type Timelines, versionOf } from '../timeline/timelines.ts';
import { canBeginAt } from '../wal/first-segment.ts';
import { controlFileJson, patchFromJson } from './control-file-json.ts';
import { copyTimeline } from './copy-timeline.ts';
import { dumpTimeline } from './debug-dump.ts';
import { digestWal, type ReadWal } from './digest.ts';
import { type AdministrationExtensions, notConfigured } from './extensions.ts';
import { Removal } from './removal.ts';
import { timelineStatusOf } from './timeline-status.ts';

/** What a dump says of how the safekeeper was started. */
export interface ServiceFacts {
  readonly nodeId: number;
  readonly directory: string;
  /** As `host:port`. */
  readonly listenPg: string;
  readonly listenHttp: string;
  /** Nothing is durable: a benchmark. */
  readonly isSyncOff: boolean;
}

export interface AdministrationDoors {
  readonly timelines: Timelines;
  readonly files: Files;
  readonly clock: Clock;
  readonly readWal: ReadWal;
  /** Asked at each request, since some are there only when the service has started. */
  readonly facts: () => ServiceFacts;
  /** Keeps the safekeeper from closing until it is left. Throws ‘cancelled’ where it closes already. */
  readonly enter: () => Pass;
  /** Aborted when the safekeeper begins to close. */
  readonly life: AbortSignal;
  /** No WAL of the timeline is removed here until it is disposed of. */
  readonly holdRemoval: (timeline: Timeline) => Disposable;
  readonly extensions: AdministrationExtensions;
}

/** What a safekeeper does when its HTTP API asks for it. */
export class TimelineAdministration implements SafekeeperAdministration {
  readonly #doors: AdministrationDoors;
  readonly #removal: Removal;

  constructor(doors: AdministrationDoors) {
    const { timelines, files, extensions } = doors;
    this.#doors = doors;
    this.#removal = new Removal({
      timelines,
      files,
      nodeId: doors.facts().nodeId,
      backup: extensions.backup,
    });
  }

  status(): SafekeeperStatus {
    return { id: this.#doors.facts().nodeId };
  }

  async utilization(): Promise<SafekeeperUtilization> {
    return { timeline_count: this.#doors.timelines.count };
  }

  async filesystemUsage(): Promise<FilesystemUsage> {
    using _pass = this.#doors.enter();
    const { directory } = this.#doors.facts();
    const { capacityBytes, availableBytes } = await this.#doors.files.space(directory);
    return {
      data_dir: directory,
      capacity_bytes: capacityBytes,
      usage_bytes: capacityBytes - availableBytes,
    };
  }

  async createTimeline(request: CreateTimeline): Promise<void> {
    using _pass = this.#doors.enter();
    const { tenant_id, timeline_id, pg_version, system_id, wal_seg_size, start_lsn, commit_lsn } = request;
    const server = { pgVersion: pg_version, systemIdentifier: system_id, segmentBytes: wal_seg_size };
    checkServer(server, server);
    versionOf(pg_version);
    if (start_lsn !== 0 && !canBeginAt(start_lsn, wal_seg_size)) {
      throw new BadRequestError('BAD_LSN', 'WAL can not begin here', { lsn: start_lsn });
    }
    if (commit_lsn !== start_lsn) {
      throw new BadRequestError(
        'BAD_LSN',
        'a timeline without WAL is committed up to its start, no further',
        {
          lsn: commit_lsn,
        },
      );
    }
    await this.#doors.timelines.create({
      tenantId: tenant_id,
      timelineId: timeline_id,
      membership: request.mconf,
      server,
      startLsn: start_lsn,
      commitLsn: commit_lsn,
    });
  }

  async listTimelines(): Promise<TimelineKey[]> {
    return [...this.#doors.timelines.all()].map(({ tenantId, timelineId }) => {
      return { tenant_id: tenantId, timeline_id: timelineId };
    });
  }

  async timelineStatus(key: TimelineKey): Promise<TimelineStatus> {
    using _pass = this.#doors.enter();
    using timeline = await this.#stay(key, 'state');
    return timelineStatusOf(timeline, key, this.#doors.extensions.peers?.peersOf(key) ?? []);
  }

  async deleteTimeline(key: TimelineKey, options: DeleteOptions): Promise<TimelineDeleteResult> {
    using _pass = this.#doors.enter();
    return await this.#removal.delete(key, options);
  }

  async deleteTenant(tenantId: TenantId, options: DeleteOptions): Promise<TenantDeleteResult> {
    using _pass = this.#doors.enter();
    const result: TenantDeleteResult = {};
    const ofTenant = [...this.#doors.timelines.all()].filter((timeline) => timeline.tenantId === tenantId);
    for (const { timelineId } of ofTenant) {
      const key = { tenant_id: tenantId, timeline_id: timelineId };
      result[timelineId] = await this.#removal.delete(key, options);
    }
    return result;
  }

  async pullTimeline(request: PullTimelineRequest, signal: AbortSignal): Promise<PullTimelineResult> {
    using _pass = this.#doors.enter();
    const { transfer } = this.#doors.extensions;
    if (transfer === undefined) throw notConfigured('copying timelines between safekeepers');
    return await transfer.pullTimeline(request, this.#untilEnd(signal));
  }

  async snapshot(
    key: TimelineKey,
    destinationId: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    using _pass = this.#doors.enter();
    const { transfer } = this.#doors.extensions;
    if (transfer === undefined) throw notConfigured('copying timelines between safekeepers');
    return await transfer.snapshot(key, destinationId, this.#untilEnd(signal));
  }

  async setMembership(
    key: TimelineKey,
    configuration: MembershipConfiguration,
  ): Promise<MembershipSwitchResult> {
    using _pass = this.#doors.enter();
    using timeline = await this.#stay(key, 'state');
    return await timeline.acceptor.run(function* (acceptor) {
      const previous = yield* acceptor.switchMembership(configuration);
      return {
        previous_conf: previous,
        current_conf: acceptor.membership,
        last_log_term: acceptor.lastLogTerm,
        flush_lsn: acceptor.flushLsn,
      };
    });
  }

  async excludeTimeline(
    key: TimelineKey,
    configuration: MembershipConfiguration,
  ): Promise<TimelineDeleteResult> {
    using _pass = this.#doors.enter();
    return await this.#removal.exclude(key, configuration);
  }

  async copyTimeline(
    source: TimelineKey,
    targetTimelineId: TimelineId,
    untilLsn: Lsn,
    signal: AbortSignal,
  ): Promise<void> {
    using _pass = this.#doors.enter();
    const { timelines, files, clock, extensions } = this.#doors;
    using timeline = await this.#stay(source, 'wal');
    using _held = this.#doors.holdRemoval(timelines.get(source.tenant_id, source.timeline_id));
    const doors = { timelines, files, clock, backup: extensions.backup };
    await copyTimeline(timeline, targetTimelineId, untilLsn, doors, this.#untilEnd(signal));
  }

  async patchControlFile(key: TimelineKey, updates: ControlFileUpdates): Promise<ControlFilePatchResult> {
    using _pass = this.#doors.enter();
    using timeline = await this.#stay(key, 'state');
    const patch = patchFromJson(updates);
    const { before, after } = await timeline.acceptor.patch((acceptor) => patchState(acceptor, patch));
    return {
      old_control_file: controlFileJson(before, true),
      new_control_file: controlFileJson(after, true),
    };
  }

  async checkpoint(key: TimelineKey): Promise<void> {
    using _pass = this.#doors.enter();
    using timeline = await this.#stay(key, 'state');
    await timeline.acceptor.run((acceptor) => acceptor.save());
  }

  async digest(key: TimelineKey, range: DigestRange, signal: AbortSignal): Promise<TimelineDigest> {
    using _pass = this.#doors.enter();
    using timeline = await this.#stay(key, 'wal');
    return { sha256: await digestWal(timeline, range, this.#doors.readWal, this.#untilEnd(signal)) };
  }

  async resetPartialBackup(key: TimelineKey): Promise<string[]> {
    using _pass = this.#doors.enter();
    const { backup } = this.#doors.extensions;
    if (backup === undefined) throw notConfigured('an object store');
    return await backup.resetPartial(key);
  }

  async bumpTerm(key: TimelineKey, term: number | undefined): Promise<TermBumpResult> {
    using _pass = this.#doors.enter();
    using timeline = await this.#stay(key, 'state');
    const bumped = await timeline.acceptor.run((acceptor) => acceptor.bumpTerm(term));
    return { previous_term: bumped.previousTerm, current_term: bumped.currentTerm };
  }

  async recordSafekeeperInfo(key: TimelineKey, info: SafekeeperTimelineInfo): Promise<void> {
    using _pass = this.#doors.enter();
    const { peers } = this.#doors.extensions;
    if (peers === undefined) throw notConfigured('the status stream between safekeepers');
    await peers.record(key, info);
  }

  async debugDump(options: DebugDumpOptions): Promise<DebugDump> {
    using _pass = this.#doors.enter();
    const { timelines, files, clock, facts, extensions } = this.#doors;
    const startTime = Math.floor(clock.wallMs());
    const wanted = [...timelines.all()].filter(
      ({ tenantId, timelineId }) =>
        tenantId === (options.tenantId ?? tenantId) && timelineId === (options.timelineId ?? timelineId),
    );
    const dumps: DebugDump['timelines'] = [];
    for (const timeline of wanted) dumps.push(await dumpTimeline(timeline, files, extensions, options));
    const { nodeId, directory, listenPg, listenHttp, isSyncOff } = facts();
    return {
      start_time: startTime,
      finish_time: Math.floor(clock.wallMs()),
      timelines: dumps,
      timelines_count: timelines.count,
      config: {
        id: nodeId,
        workdir: directory,
        listen_pg_addr: listenPg,
        listen_http_addr: listenHttp,
        no_sync: isSyncOff,
        max_offloader_lag_bytes: extensions.backup?.offloaderLagBytesMax ?? 0,
        wal_backup_enabled: extensions.backup !== undefined,
      },
    };
  }

  /** Given when whoever asked has gone, and when the safekeeper closes. */
  #untilEnd(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#doors.life]);
  }

  #stay({ tenant_id, timeline_id }: TimelineKey, needs: 'wal' | 'state'): Promise<ResidentTimeline> {
    return this.#doors.timelines.get(tenant_id, timeline_id).stay(needs);
  }
}
