import { BadRequestError, VarveError } from '../../base/errors.ts';
import { Gate } from '../../base/gate.ts';
import type { TenantId } from '../../base/ids.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import { Limiter } from '../../io/limiter.ts';
import type { ObjectStore } from '../../io/objects.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import { mayRemove, mayUpload, refuseUnlessRemoving } from '../remote/attached-mode.ts';
import type { DeletionQueue } from '../remote/deletion-queue.ts';
import { type GenerationSource, generationTooLow } from '../remote/generation-source.ts';
import type { GenerationValidator } from '../remote/generation-validator.ts';
import { markTenantDeleted, removeTenantObjects } from '../remote/tenant-objects.ts';
import type { TimelineSettings } from '../timeline/settings.ts';
import type { StorageDoors } from '../timeline/storage-doors.ts';
import type { ActiveTimeline } from './active-timeline.ts';
import { isFault } from './is-fault.ts';
import { Tenant } from './tenant.ts';
import { type SlotContent, TenantSlot, type TenantStatus, tenantNotFound } from './tenant-slot.ts';
import { TENANT_DELETED } from './tenant-timelines.ts';

/** How long those who come to a tenant that is being attached wait for it, if they do not say. */
const ACTIVE_WAIT_MS = 30_000;
/** So long what has been taken in may take to come to the store before a tenant is loaded anew. */
const RELOAD_FLUSH_MS = 5000;
/** So often it is looked whether a tenant that is being attached or detached is so no more. */
const BUSY_PAUSE_MS = 50;
const LOAD_RETRY_TIMING = { minMs: 100, maxMs: 10_000 };

export interface AttachOptions {
  /** What the control plane says; without it the generation source gives a new one. */
  readonly generation?: number;
  /** AttachedSingle, if not given. */
  readonly mode?: AttachedMode;
  /** For so long at most it is waited, before the tenant becomes stale, until what has been taken in is in the store. */
  readonly flushMs?: number;
  /** What is set for the tenant from now on, in place of what was. */
  readonly config?: TenantConfig;
}

export interface TenantsDoors {
  readonly storage: StorageDoors;
  readonly generations: GenerationSource;
  readonly validator: GenerationValidator;
  readonly deletions: DeletionQueue;
  /** As in TenantOptions. */
  readonly onServed: (active: ActiveTimeline) => void;
}

interface TenantsOptions {
  /** Each tenant has a directory below it. */
  readonly directory: string;
  readonly settings: TimelineSettings;
  /** Tenants whose timelines are loaded at once. */
  readonly loadsMax: number;
}

/** The tenants that are attached to this pageserver, in whatever state, and their coming and going. */
export class AttachedTenants {
  readonly #doors: TenantsDoors;
  readonly #options: TenantsOptions;
  readonly #slots = new Map<TenantId, TenantSlot>();
  readonly #loads: Limiter;
  readonly #ending = new AbortController();
  /** Those who attach and detach are inside. */
  readonly #gate = new Gate('the storage');
  readonly #changing = new Set<TenantId>();
  /** Resolves when all tenants that were attached at the start are active or broken, or this is closing. */
  readonly loaded: Promise<void>;

  /** @param attached at the start, each in a new generation: they begin to be loaded */
  constructor(doors: TenantsDoors, options: TenantsOptions, attached: ReadonlyMap<TenantId, number>) {
    this.#doors = doors;
    this.#options = options;
    this.#loads = new Limiter(options.loadsMax);
    const { generations } = doors;
    const slots = [...attached].map(
      ([tenantId, generation]) => new TenantSlot(tenantId, generation, generations.modeOf(tenantId)),
    );
    for (const slot of slots) {
      slot.isSpent = !mayUpload(slot.mode);
      this.#slots.set(slot.tenantId, slot);
      this.#load(slot);
    }
    this.loaded = Promise.all(slots.map((slot) => slot.whenLoaded())).then(() => undefined);
  }

  get active(): readonly Tenant[] {
    return [...this.#slots.values()].flatMap(({ tenant }) => (tenant === undefined ? [] : [tenant]));
  }

  get statuses(): readonly TenantStatus[] {
    return [...this.#slots.values()].flatMap(({ status }) => (status === undefined ? [] : [status]));
  }

  statusOf(tenantId: TenantId): TenantStatus | undefined {
    return this.#slots.get(tenantId)?.status;
  }

  /** @throws as PageStorage.tenant */
  require(tenantId: TenantId): Tenant {
    return this.#slot(tenantId).require();
  }

  /** @throws as PageStorage.activeTenant */
  async whenActive(
    tenantId: TenantId,
    signal: AbortSignal,
    waitMs: number = ACTIVE_WAIT_MS,
  ): Promise<Tenant> {
    throwIfCancelled(this.#ending.signal);
    const slot = this.#slot(tenantId);
    if (slot.tenant !== undefined) return slot.tenant;
    const either = AbortSignal.any([signal, this.#ending.signal]);
    return await slot.whenActive(this.#doors.storage.clock, waitMs, either);
  }

  /** @throws as PageStorage.attach */
  async attach(tenantId: TenantId, options: AttachOptions = {}): Promise<Tenant> {
    const { generation, config, mode = 'AttachedSingle', flushMs = 0 } = options;
    if (generation === undefined && this.#slots.has(tenantId)) {
      throw new VarveError('conflict', 'TENANT_ATTACHED', `tenant ${tenantId} is attached already`);
    }
    return await this.#change(tenantId, async () => {
      const { signal } = this.#ending;
      const known = this.#slots.get(tenantId);
      const isKept = generation !== undefined && known?.generation === generation && known.isServed;
      if (known !== undefined && isKept) {
        const tenant = await known.whenActive(this.#doors.storage.clock, ACTIVE_WAIT_MS, signal);
        await this.#changeMode(known, tenant, mode, flushMs);
        if (config !== undefined) await tenant.setConfig(config);
        return tenant;
      }
      const slot = await this.#attachAnew(tenantId, generation, mode, config);
      return await slot.whenActive(this.#doors.storage.clock, ACTIVE_WAIT_MS, signal);
    });
  }

  /** Here first, where less is allowed from then on; in the generation source first, where more is. */
  async #changeMode(slot: TenantSlot, tenant: Tenant, mode: AttachedMode, flushMs: number): Promise<void> {
    const { tenantId, generation } = slot;
    if (slot.isSpent && mayUpload(mode)) throw generationSpent(tenantId, generation);
    const apply = (): void => {
      slot.mode = mode;
      tenant.mode = mode;
    };
    if (!mayUpload(mode) && mayUpload(slot.mode) && flushMs > 0) await tenant.flush(flushMs);
    if (!mayRemove(mode)) apply();
    // Also where it is so already: writing it may have failed.
    await this.#doors.generations.changeMode(tenantId, generation, mode, this.#ending.signal);
    apply();
  }

  async #attachAnew(
    tenantId: TenantId,
    wanted: number | undefined,
    mode: AttachedMode,
    config: TenantConfig | undefined,
  ): Promise<TenantSlot> {
    const { generations } = this.#doors;
    const { signal } = this.#ending;
    const known = this.#slots.get(tenantId);
    if (wanted !== undefined && wanted < (known?.generation ?? 1)) {
      throw generationTooLow(tenantId, wanted, known?.generation ?? 1);
    }
    if (known?.isSpent === true && wanted === known.generation && mayUpload(mode)) {
      throw generationSpent(tenantId, wanted);
    }
    if (wanted !== undefined) await generations.adopt(tenantId, wanted, mode, signal);
    const generation = wanted ?? (await generations.attach(tenantId, signal));
    const slot = known ?? new TenantSlot(tenantId, generation, mode);
    await (await slot.stop())?.close();
    slot.isSpent &&= slot.generation === generation;
    slot.generation = generation;
    slot.mode = mode;
    this.#slots.set(tenantId, slot);
    this.#load(slot, config);
    return slot;
  }

  /** @throws as PageStorage.detach */
  async detach(tenantId: TenantId, { flushMs = 0 }: { readonly flushMs?: number } = {}): Promise<void> {
    this.#slot(tenantId);
    await this.#change(tenantId, async () => {
      const slot = this.#slot(tenantId);
      if (flushMs > 0 && mayUpload(slot.mode)) await slot.tenant?.flush(flushMs);
      await (await slot.stop())?.close();
      await this.#leave(slot, this.#ending.signal);
    });
  }

  /**
   * Loads the timelines of an active tenant anew, in the same generation. Whoever works on one of them is cancelled, and finds
   * the tenant attaching. Does nothing where it is not this one any more that is attached.
   * @throws VarveError ‘unavailable’ / TENANT_NOT_ACTIVE: it goes on; ‘cancelled’; what the tenant is broken by
   */
  async reload(tenant: Tenant): Promise<void> {
    const { tenantId } = tenant;
    const { clock } = this.#doors.storage;
    const { signal } = this.#ending;
    while (this.#changing.has(tenantId)) {
      throwIfCancelled(signal);
      await pause(clock, BUSY_PAUSE_MS, signal);
    }
    if (this.#slots.get(tenantId)?.tenant !== tenant) return;
    await this.#change(tenantId, async () => {
      await tenant.flush(RELOAD_FLUSH_MS);
      const slot = this.#slot(tenantId);
      await (await slot.stop())?.close(signal);
      this.#load(slot);
      await slot.whenActive(clock, ACTIVE_WAIT_MS, signal);
    });
  }

  /** @throws as PageStorage.deleteTenant */
  async delete(tenantId: TenantId): Promise<void> {
    await this.#change(tenantId, async () => {
      const slot = this.#slots.get(tenantId);
      if (slot === undefined) {
        await removeTenantObjects(this.#objects, tenantId, this.#ending.signal);
        return;
      }
      refuseUnlessRemoving(tenantId, slot.mode);
      await (await slot.stop())?.close();
      const { clock } = this.#doors.storage;
      const { signal } = this.#ending;
      if (!(await this.#doors.validator.isCurrent({ tenantId, generation: slot.generation }, signal))) {
        throw new VarveError('fenced', 'STALE_GENERATION', `another node has taken tenant ${tenantId} over`);
      }
      await markTenantDeleted(this.#objects, tenantId, slot.generation, clock.wallMs(), signal);
      await this.#remove(slot, signal);
    });
  }

  /** All that the store has of it, then what is here. */
  async #remove(slot: TenantSlot, signal: AbortSignal): Promise<void> {
    await removeTenantObjects(this.#objects, slot.tenantId, signal);
    await this.#leave(slot, signal);
  }

  async #leave(slot: TenantSlot, signal: AbortSignal): Promise<void> {
    const { tenantId } = slot;
    await this.#doors.generations.detach(tenantId, signal);
    await this.#doors.storage.files.removeDirectory(this.#directoryOf(tenantId));
    this.#slots.delete(tenantId);
    slot.leave();
  }

  get #objects(): ObjectStore {
    return this.#doors.storage.remote.objects;
  }

  #directoryOf(tenantId: TenantId): string {
    return `${this.#options.directory}/${tenantId}`;
  }

  #slot(tenantId: TenantId): TenantSlot {
    const slot = this.#slots.get(tenantId);
    if (slot === undefined) throw tenantNotFound(tenantId);
    return slot;
  }

  /** A tenant is attached or detached by one at a time, and by nobody once this is closing. */
  async #change<Result>(tenantId: TenantId, action: () => Promise<Result>): Promise<Result> {
    if (this.#changing.has(tenantId)) {
      throw new VarveError('conflict', 'TENANT_BUSY', `tenant ${tenantId} is being attached or detached`);
    }
    using _pass = this.#gate.enter();
    this.#changing.add(tenantId);
    try {
      return await action();
    } finally {
      this.#changing.delete(tenantId);
    }
  }

  /** Ends all that is under way. */
  async close(): Promise<void> {
    this.#ending.abort();
    const stopped = [...this.#slots.values()].map((slot) => slot.stop());
    await this.#gate.close();
    // One that was attached meanwhile is among them, too.
    stopped.push(...[...this.#slots.values()].map((slot) => slot.stop()));
    const tenants = await Promise.all(stopped);
    await Promise.all(tenants.map(async (tenant) => tenant?.close()));
  }

  /** Loads a tenant, or goes on with removing it, until it works, fails for good, or is stopped. */
  #load(slot: TenantSlot, config?: TenantConfig): void {
    slot.load(async (signal) => {
      const { clock, random, logger } = this.#doors.storage;
      const { tenantId } = slot;
      const retry = new RetryDelay(LOAD_RETRY_TIMING, random);
      while (!signal.aborted) {
        try {
          return await this.#tryLoad(slot, signal, config);
        } catch (error) {
          if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
          if (signal.aborted) break;
          logger.warn('A tenant could not be loaded and will be tried again', { tenantId, error });
        }
        await pause(clock, retry.nextMs(), signal);
      }
      return { state: 'stopping' };
    });
  }

  /** @throws what may pass */
  async #tryLoad(slot: TenantSlot, signal: AbortSignal, config?: TenantConfig): Promise<SlotContent> {
    const { tenantId } = slot;
    try {
      const tenant = await this.#loads.run(signal, () => this.#loadTenant(slot, signal, config));
      return { state: 'active', tenant };
    } catch (error) {
      if (!isFault(error)) throw error;
      if (error.code !== TENANT_DELETED) {
        this.#doors.storage.logger.error('A tenant cannot be served', { tenantId, error });
        return { state: 'broken', error };
      }
    }
    // Where nothing may be removed, it is by the node that may.
    if (mayRemove(slot.mode)) await this.#remove(slot, signal);
    else await this.#leave(slot, signal);
    return { state: 'gone' };
  }

  async #loadTenant(slot: TenantSlot, signal: AbortSignal, config?: TenantConfig): Promise<Tenant> {
    return await Tenant.load(this.#doors.storage, {
      tenantId: slot.tenantId,
      generation: slot.generation,
      mode: slot.mode,
      directory: this.#directoryOf(slot.tenantId),
      settings: this.#options.settings,
      validator: this.#doors.validator,
      deletions: this.#doors.deletions,
      onServed: this.#doors.onServed,
      signal,
      ...(config === undefined ? {} : { config }),
    });
  }
}

const generationSpent = (tenantId: TenantId, generation: number): BadRequestError =>
  new BadRequestError(
    'GENERATION_SPENT',
    `Generation ${generation} of tenant ${tenantId} was that of an earlier process: nothing more is stored in it`,
  );
