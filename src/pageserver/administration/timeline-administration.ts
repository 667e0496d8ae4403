import type {
  ArchivalState,
  DetachBehavior,
  DetachResult,
  ImportBackupQuery,
  ImportWalQuery,
  ShardTimelineKey,
  TimelineBootstrapRequest,
  TimelineBranchRequest,
  TimelineInfo,
  TimelinesAndBroken,
  WholeTimelineKey,
} from '../../contracts/pageserver-api-timeline.ts';
import { type TenantShardId, wholeTenant } from '../../contracts/tenant-shard-id.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { LogicalSizes } from '../timeline/logical-sizes.ts';
import type { TimelineAdministration, TimelineInfoOptions } from './administration.ts';
import { createBranch } from './create-branch.ts';
import type { AdministrationExtensions } from './extensions.ts';
import { type TenantAccess, timelineOf } from './tenant-access.ts';
import { toBrokenInfo, toTimelineInfo } from './timeline-info.ts';

/** As Neon has it. */
const POSTGRES_MAJOR_DEFAULT = 17;
/** Who asks all the time, of a timeline that changes all the time, gets a size that is at most so old. */
const SIZE_AGE_MS = 10_000;

const never: AbortSignal = new AbortController().signal;

/** The life of timelines, as the HTTP API shows and changes it. */
export class StorageTimelineAdministration implements TimelineAdministration {
  readonly detachAncestor?: NonNullable<TimelineAdministration['detachAncestor']>;
  readonly importBaseBackup?: NonNullable<TimelineAdministration['importBaseBackup']>;
  readonly importWal?: NonNullable<TimelineAdministration['importWal']>;
  readonly #access: TenantAccess;
  readonly #sizes: LogicalSizes;
  readonly #extensions: AdministrationExtensions;

  constructor(access: TenantAccess, sizes: LogicalSizes, extensions: AdministrationExtensions) {
    this.#access = access;
    this.#sizes = sizes;
    this.#extensions = extensions;
    const { detachAncestor, importBaseBackup, importWal } = extensions;
    if (detachAncestor !== undefined) {
      this.detachAncestor = (key, behavior) => this.#detachAncestor(detachAncestor, key, behavior);
    }
    if (importBaseBackup !== undefined) {
      this.importBaseBackup = (key, query, tar, signal) =>
        this.#importBaseBackup(importBaseBackup, key, query, tar, signal);
    }
    if (importWal !== undefined) {
      this.importWal = (key, query, tar, signal) => this.#importWal(importWal, key, query, tar, signal);
    }
  }

  async branch(
    shard: TenantShardId,
    request: TimelineBranchRequest,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const tenant = await this.#access.tenant(shard, signal);
    return this.#newInfo(shard, await createBranch(tenant, request, signal));
  }

  async bootstrap(
    shard: TenantShardId,
    { new_timeline_id, pg_version }: TimelineBootstrapRequest,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const tenant = await this.#access.tenant(shard, signal);
    const cluster = { major: pg_version ?? POSTGRES_MAJOR_DEFAULT };
    return this.#newInfo(shard, await tenant.createFromInitdb(new_timeline_id, cluster));
  }

  #newInfo(shard: TenantShardId, { timeline }: ActiveTimeline): TimelineInfo {
    return toTimelineInfo(shard, timeline, {
      size: this.#sizes.known(timeline),
      receiver: this.#extensions.receivers?.stateOf(timeline),
    });
  }

  async list(
    shard: TenantShardId,
    options: TimelineInfoOptions,
    signal: AbortSignal,
  ): Promise<TimelinesAndBroken> {
    const tenant = await this.#access.tenant(shard, signal);
    const timelines: TimelineInfo[] = [];
    for (const active of tenant.timelines) timelines.push(await this.#info(shard, active, options, signal));
    const broken = tenant.brokenTimelines.map((each) => toBrokenInfo(shard, each));
    return { timelines, offloaded: [], ...(broken.length === 0 ? {} : { broken }) };
  }

  async info(
    key: ShardTimelineKey,
    options: TimelineInfoOptions,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const active = await this.#access.timeline(key, signal);
    return await this.#info(key.tenant_shard_id, active, options, signal);
  }

  async #info(
    shard: TenantShardId,
    active: ActiveTimeline,
    { isSizeWanted }: TimelineInfoOptions,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const { timeline } = active;
    return toTimelineInfo(shard, timeline, {
      size: isSizeWanted
        ? await this.#sizes.current(active, signal)
        : await this.#sizes.recent(active, signal, SIZE_AGE_MS),
      receiver: this.#extensions.receivers?.stateOf(timeline),
    });
  }

  async delete(key: ShardTimelineKey): Promise<void> {
    const tenant = await this.#access.tenant(key.tenant_shard_id, never);
    await tenant.deleteTimeline(key.timeline_id);
  }

  async setArchival(key: ShardTimelineKey, state: ArchivalState): Promise<void> {
    const tenant = await this.#access.tenant(key.tenant_shard_id, never);
    timelineOf(tenant, key.timeline_id);
    if (state === 'Archived') await tenant.archiveTimeline(key.timeline_id);
    else await tenant.unarchiveTimeline(key.timeline_id);
  }

  async #detachAncestor(
    detachAncestor: NonNullable<AdministrationExtensions['detachAncestor']>,
    key: ShardTimelineKey,
    behavior: DetachBehavior,
  ): Promise<DetachResult> {
    const tenant = await this.#access.tenant(key.tenant_shard_id, never);
    timelineOf(tenant, key.timeline_id);
    return await detachAncestor(tenant, key.timeline_id, behavior);
  }

  async #importBaseBackup(
    importBaseBackup: NonNullable<AdministrationExtensions['importBaseBackup']>,
    { tenant_id, timeline_id }: WholeTimelineKey,
    query: ImportBackupQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const tenant = await this.#access.tenant(wholeTenant(tenant_id), signal);
    await importBaseBackup(tenant, timeline_id, query, tar, signal);
  }

  async #importWal(
    importWal: NonNullable<AdministrationExtensions['importWal']>,
    { tenant_id, timeline_id }: WholeTimelineKey,
    query: ImportWalQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const key = { tenant_shard_id: wholeTenant(tenant_id), timeline_id };
    await importWal(await this.#access.timeline(key, signal), query, tar, signal);
  }
}
