import type { Lsn } from '../../src/base/lsn.ts';
import type { AttachedMode, LocationConfig } from '../../src/contracts/pageserver-api-config.ts';
import { wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import { silentLogger } from '../../src/observe/log.ts';
import type { PageserverAdministration } from '../../src/pageserver/administration/administration.ts';
import { administerStorage } from '../../src/pageserver/administration/storage-administration.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import type { Timeline } from '../../src/pageserver/timeline/timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import type { ModelTimeline } from '../engine/model-timeline.ts';
import { type ServedPages, servePages } from '../support/serve-pages.ts';
import { StorageWorld } from '../support/storage-world.ts';

const KIBIBYTE = 1024;
/** Layers are frozen, compacted and made anew all the time. */
const SETTINGS = {
  openLayerBytes: 64 * KIBIBYTE,
  targetBytes: 128 * KIBIBYTE,
  compactionThreshold: 3,
  imageThreshold: 2,
};
const CACHE_BYTES: number = 4 * 1024 * KIBIBYTE;

/** A pageserver of those between which a tenant moves: a storage of its own, the bucket of all, and a page service. */
export class MigrationNode implements AsyncDisposable {
  readonly id: number;
  readonly world: StorageWorld;
  #served: ServedPages;
  #isRunning = true;
  #intake: { readonly of: Timeline; readonly intake: TimelineIntake } | undefined;

  private constructor(id: number, world: StorageWorld, served: ServedPages) {
    this.id = id;
    this.world = world;
    this.#served = served;
  }

  static async open(id: number, objects: ObjectStore): Promise<MigrationNode> {
    const caches = { blockCacheBytes: CACHE_BYTES, pageCacheBytes: CACHE_BYTES };
    const world = await StorageWorld.open({ objects, settings: SETTINGS, ...caches });
    return new MigrationNode(id, world, await servePages(world.storage, silentLogger, world.storage));
  }

  get port(): number {
    return this.#served.port;
  }

  /** The one tenant, where it is active here. */
  get tenant(): Tenant | undefined {
    return this.#isRunning ? this.world.storage.tenants[0] : undefined;
  }

  get #administration(): PageserverAdministration {
    const { storage, directory } = this.world;
    return administerStorage({ nodeId: this.id, directory, storage, extensions: {} });
  }

  get location(): LocationConfig | null {
    return this.#administration.tenants.location(wholeTenant(this.world.tenantId));
  }

  /** As PUT location_config does. */
  async setLocation(
    mode: AttachedMode | 'Detached',
    generation: number | undefined,
    flushMs = 0,
  ): Promise<void> {
    const location = { mode, generation, shard_number: 0, shard_count: 0, tenant_conf: {} };
    await this.#administration.tenants.setLocation(wholeTenant(this.world.tenantId), location, { flushMs });
  }

  /** Brings the timeline the WAL that it lacks. Where it is not active, or ends, nothing happens. */
  async feed(model: ModelTimeline): Promise<void> {
    const active = this.#timelineOf(model);
    if (active === undefined || active.timeline.lastRecordLsn >= model.walEnd) return;
    const { timeline } = active;
    if (this.#intake?.of !== timeline) {
      this.#intake = { of: timeline, intake: await TimelineIntake.start(timeline) };
    }
    const { intake } = this.#intake;
    if (intake.position < model.walEnd) await intake.take(model.walFrom(intake.position).slice());
  }

  /** What safekeepers would be told; undefined where they are told nothing. */
  toldRemoteLsn(model: ModelTimeline): Lsn | undefined {
    return this.#timelineOf(model)?.timeline.positions.remoteConsistentLsn;
  }

  #timelineOf({ id }: ModelTimeline): ActiveTimeline | undefined {
    return this.tenant?.timelines.find(({ timeline }) => timeline.timelineId === id);
  }

  /** As a process that is stopped and started. */
  async restart(): Promise<void> {
    this.#isRunning = false;
    await this.#served.door.close();
    await this.world.stop();
    await this.world.start();
    this.#isRunning = true;
    this.#served = await servePages(this.world.storage, silentLogger, this.world.storage);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#served.door.close();
    await this.world[Symbol.asyncDispose]();
  }
}
